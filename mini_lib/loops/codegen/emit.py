"""A program as readable C: the loops of the nest, under their own names."""

from collections.abc import Iterator
from math import prod

from mini_lib.loops.buffer import ALIGNMENT_BYTES
from mini_lib.loops.codegen.registers import RegisterFile
from mini_lib.loops.codegen.statement import Context, scalar_statement, vector_statement
from mini_lib.loops.codegen.text import INDENT, CScope, bind_lines, integer_helpers, loop_header, scope_of
from mini_lib.loops.codegen.values import C_TYPES, Prelude
from mini_lib.loops.ir import Buffer, Loop, Node, Program, Statement, need_program
from mini_lib.loops.meaning.types import require_types
from mini_lib.loops.meaning.walk import accesses, check_vector
from mini_lib.require import of_type

LARGEST_PRIVATE_BYTES = 1 << 20  # a thread's stack is a few MiB
_MOST_COPIES = 20_000  # statements written out; compilers give up near this number
Homes = dict[str, set[tuple[int, ...]]]


def to_c(program: Program, *, volatile: bool = False, static: bool = False, restrict: bool = False) -> str:
    """The C text of a program: one function that takes a pointer for each argument, in their order.

    `volatile=True` makes every memory access one load or store instruction, in the program's order, so that a tool
    which counts accesses counts exactly these. `static=True` makes the arguments and scratch buffers arrays of the
    file, aligned to 64 bytes, and the function takes nothing. `restrict=True` promises the compiler that no two
    arguments overlap: it may then keep a sum in a register, and change the order of loops. Arrays of the file never
    overlap, so the two are not given together.

    An unrolled loop is written out, a vector loop uses the vector types of GCC and clang, and a parallel loop uses
    OpenMP. A register buffer becomes local variables. Integers are unsigned, since only unsigned ones wrap in C.
    Without `restrict`, each access of the program is an access in the text.

    Floats round as in `run` unless the compiler contracts `a*b + c` into one operation, as GCC does
    where the machine has one; `-ffp-contract=off` forbids it.

    Raises:
        ValueError: a register buffer is touched by a loop that is not unrolled; the number of a vector's lanes is not a
            power of two; unrolling writes out more than 20,000 statements; an integer type is to hold a quotient, a
            fraction or a float; index arithmetic needs more than 64 bits; `static` and `restrict` are both true.

    >>> from mini_lib.loops import matmul
    >>> print(to_c(matmul(m=4, n=8, k=2)))
    // matmul
    #include <stdint.h>
    <BLANKLINE>
    void matmul(float *C, const float *A, const float *B) {
        for (int m = 0; m < 4; m++) {
            for (int n = 0; n < 8; n++) {
                for (int k = 0; k < 2; k++) {
                    C[8*m + n] += A[2*m + k] * B[8*k + n];
                }
            }
        }
    }
    <BLANKLINE>
    """
    require_types(need_program("program", program))
    for name, value in (("volatile", volatile), ("static", static), ("restrict", restrict)):
        of_type(name, value, (bool, int), fix="pass True or False")
    prelude = Prelude(volatile=volatile)
    lines = function_lines(program, prelude, volatile=volatile, static=static, restrict=restrict)
    return "\n".join([f"// {program.name}", *header_lines(prelude), "", *lines, ""])


def function_name(program: Program, prefix: str = "") -> str:
    """The name of the C function of a program."""
    return scope_of(program, prefix).names.function


def header_lines(prelude: Prelude) -> list[str]:
    """The text above the functions: includes, vector types, helpers."""
    lines = ["#include <stdint.h>"]
    if prelude.needs_math:
        lines.append("#include <math.h>")
    helpers = prelude.lines
    if any("INLINE" in line for line in helpers):
        helpers = ["#define INLINE static inline __attribute__((always_inline))", *helpers]
    return [*lines, "", *helpers] if helpers else lines


def function_lines(
    program: Program,
    prelude: Prelude,
    *,
    volatile: bool = False,
    static: bool = False,
    restrict: bool = False,
    prefix: str = "",
) -> list[str]:
    """The lines of the function, with its arrays where they are static; helpers go to `prelude`.

    `prefix` comes before the names of the function and of the buffers, so that one file can hold several.

    Raises:
        ValueError: as `to_c`.
    """
    if static and restrict:
        raise ValueError(
            "restrict is a promise about arguments, and with static=True the function takes none; "
            "got static=True and restrict=True; leave restrict out, since arrays of the file never overlap"
        )
    scope = scope_of(program, prefix)
    context = Context(program, prelude, RegisterFile(program), volatile)
    for line in integer_helpers(program, scope.index_type):
        prelude.add(line)
    written = {leaf.statement.buffer for leaf in program.leaves}
    homes = _homes(program)
    body = [line for node in program.body for line in _node(node, scope, context, homes, (id(node),))]
    local = _declarations(program, scope, context, homes, (), static)
    arrays, parameters = [], []
    qualifier = "volatile " if volatile else ""
    for buffer in program.arguments:
        name, kind = scope.names[buffer.name], C_TYPES[buffer.dtype]
        if static:
            arrays.append(f"_Alignas({ALIGNMENT_BYTES}) {qualifier}{kind} {name}[{buffer.stored_elements}];")
        else:
            const = "" if buffer.name in written else "const "
            parameters.append(f"{qualifier}{const}{kind} *{'restrict ' * bool(restrict)}{name}")
    if static:
        arrays += [line.removeprefix("static ") for line in local if line.startswith("static ")]
        local = [line for line in local if not line.startswith("static ")]
    head = f"void {scope.names.function}({', '.join(parameters) or 'void'}) {{"
    return [*arrays, head, *(INDENT + line for line in (*local, *body)), "}"]


def _node(node: Node, scope: CScope, context: Context, homes: Homes, path: tuple[int, ...]) -> list[str]:
    """The lines of a loop or statement; `path` identifies the loops around."""
    if isinstance(node, Statement):
        return scalar_statement(node, scope, context)
    if node.kind == "vector":
        return _vector_loop(node, scope, context)
    if node.kind == "unrolled" and node.extent is not None:
        return _unrolled_loop(node, scope, context, homes, path)
    inside = scope.inside(node)
    body = bind_lines(node, inside)
    children = [line for child in node.body for line in _node(child, inside, context, homes, (*path, id(child)))]
    if node.kind == "parallel":
        body += _declarations(context.program, inside, context, homes, path, False)
    pragma = ["#pragma omp parallel for"] if node.kind == "parallel" else []
    body += children
    return [*_done_by(node), *pragma, loop_header(node, scope), *(INDENT + line for line in body), "}"]


def _unrolled_loop(loop: Loop, scope: CScope, context: Context, homes: Homes, path: tuple[int, ...]) -> list[str]:
    """The body of a loop, written out once per iteration."""
    copies = prod(around.extent or 1 for around in (*scope.loops, loop) if around.kind == "unrolled")
    if copies > _MOST_COPIES:
        raise ValueError(
            f"unrolling {loop.name} writes out {copies} copies, more than {_MOST_COPIES}; "
            "unroll fewer loops, or split them first and unroll the inner part"
        )
    lines = [f"// {loop.name}: unrolled, {loop.extent} copies", *_done_by(loop)] if scope.is_first else []
    for step in range(loop.extent or 0):
        inside, declared = scope.at(loop, step)
        lines += declared
        for child in loop.body:
            lines += _node(child, inside, context, homes, (*path, id(child)))
    return lines


def _vector_loop(loop: Loop, scope: CScope, context: Context) -> list[str]:
    """The statements of a vector loop, each for all lanes before the next statement."""
    check_vector(loop)
    lines = [f"// {loop.name}: {loop.extent} lanes at once", *_done_by(loop)] if scope.is_first else []
    lanes, declared, body = [], [], []
    for step in range(loop.extent or 0):
        inside, binds = scope.at(loop, step)
        lanes.append(inside)
        declared += binds
    for statement in loop.body:
        body += vector_statement(statement, loop, lanes, scope, context)
    return [*lines, *declared, *body]


def _done_by(loop: Loop) -> list[str]:
    return [f"// {loop.intrinsic} does this loop"] if loop.intrinsic else []


def _homes(program: Program) -> Homes:
    """Where each local buffer is declared: the paths to parallel loops, or () for the function.

    A buffer that is recreated in an iteration of a parallel loop, or of a loop inside one, is private to it.
    """
    homes: Homes = {}
    for buffer in program.buffers:
        if buffer.scope == "memory":
            continue
        homes[buffer.name] = set()
        for leaf in program.leaves:
            names = [loop.name for loop in leaf.loops]
            if buffer.home in names and _uses(leaf.statement, buffer.name):
                around = leaf.loops[: names.index(buffer.home) + 1]
                kinds = [loop.kind for loop in around]
                last = max((at for at, kind in enumerate(kinds) if kind == "parallel"), default=-1)
                homes[buffer.name].add(tuple(id(loop) for loop in around[: last + 1]))
        homes[buffer.name] = homes[buffer.name] or {()}
    return homes


def _uses(statement: Statement, buffer: str) -> bool:
    return any(access.buffer == buffer for access, _ in accesses(statement))


def _declarations(
    program: Program, scope: CScope, context: Context, homes: Homes, path: tuple[int, ...], static: bool
) -> list[str]:
    """The local buffers whose home is here."""
    lines = []
    for buffer in program.buffers:
        if path in homes.get(buffer.name, ()):
            lines += list(_declaration(buffer, scope, context, private=bool(path), static=static))
    return lines


def _declaration(buffer: Buffer, scope: CScope, context: Context, *, private: bool, static: bool) -> Iterator[str]:
    shape = " x ".join(map(str, buffer.shape))
    kind = C_TYPES[buffer.dtype]
    if buffer.scope == "scratch":
        if private and buffer.stored_bytes > LARGEST_PRIVATE_BYTES:
            raise ValueError(
                f"scratch buffer {buffer.name} takes {buffer.stored_bytes} bytes for each thread, "
                f"more than {LARGEST_PRIVATE_BYTES}; make its tile smaller"
            )
        qualifier = "volatile " if context.volatile else ""
        storage = "" if private else "static "
        array = f"{scope.names[buffer.name]}[{buffer.stored_elements}]"
        yield f"{storage}_Alignas({ALIGNMENT_BYTES}) {qualifier}{kind} {array};  // scratch, {shape}"
        return
    variables = context.registers.variables(buffer.name)
    lanes = context.registers.lanes[buffer.name]
    if lanes:
        kind = context.prelude.vector(buffer.dtype, lanes)
    if variables:
        yield f"// {buffer.name}, {shape}, in registers"
    for at in range(0, len(variables), 8):
        yield f"{kind} {', '.join(variables[at : at + 8])};"
