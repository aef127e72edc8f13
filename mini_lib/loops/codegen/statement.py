"""One statement in C: scalar code, vector code, or lane by lane under a guard on the lanes."""

from collections.abc import Callable
from dataclasses import dataclass

from mini_lib.loops.codegen.registers import RegisterFile
from mini_lib.loops.codegen.text import Scope, guard_text, loop_header, offset_text
from mini_lib.loops.codegen.values import C_TYPES, Prelude, Term, convert, expression, in_all_lanes
from mini_lib.loops.ir import Load, Loop, Op, Program, Statement
from mini_lib.loops.meaning.walk import accesses, has_lane_guard, lane_step, own_names

GATHER_PER_LINE = 4


@dataclass(frozen=True)
class Context:
    """What the text of every statement needs: the program, the helpers, where registers are kept.

    With `volatile`, loads come one by one into variables of their own, in the order that the program has.
    """

    program: Program
    prelude: Prelude
    registers: RegisterFile
    volatile: bool = False

    def element(self, access: Load, scope: Scope) -> str:
        """One element of a buffer."""
        buffer = self.program.buffer(access.buffer)
        if buffer.scope == "register":
            return self.registers.element(buffer, access, scope)
        return f"{scope.names[buffer.name]}[{offset_text(buffer, access, scope)}]"


def scalar_statement(statement: Statement, scope: Scope, context: Context) -> list[str]:
    """The lines of a statement that is done once."""
    condition = guard_text(statement.guards, scope)
    if condition is None:
        return []
    dtype = context.program.buffer(statement.buffer).dtype

    def operand(load: Load) -> Term:
        source = context.program.buffer(load.buffer).dtype
        return convert(Term(context.element(load, scope)), source, dtype, None, context.prelude)

    target = context.element(statement.store, scope)
    setup, operand = _one_by_one(statement, operand, dtype, None, scope, context)
    return _guarded(condition, [*setup, _assign(statement, target, operand, dtype, None, context)])


def vector_statement(statement: Statement, loop: Loop, lanes: list[Scope], scope: Scope, context: Context) -> list[str]:
    """The lines of a statement for all lanes of a loop; `lanes` has a scope for each."""
    if has_lane_guard(statement, loop):
        return _lane_by_lane(statement, loop, lanes, scope, context)
    condition = guard_text(statement.guards, lanes[0])
    if condition is None:
        return []
    dtype, prelude = context.program.buffer(statement.buffer).dtype, context.prelude

    def operand(load: Load) -> Term:
        term = _load(load, loop, lanes, context)
        return convert(term, context.program.buffer(load.buffer).dtype, dtype, len(lanes), prelude)

    setup, operand = _one_by_one(statement, operand, dtype, len(lanes), scope, context)
    shape = _shape(statement.store, loop, context)
    if shape == "vector variable":
        buffer = context.program.buffer(statement.buffer)
        target = context.registers.vector(buffer, statement.store, lanes[0])
        lines = [_assign(statement, target, operand, dtype, len(lanes), context)]
    else:
        value = expression(statement.value, operand, dtype, len(lanes), prelude)
        lines = _store(statement, value, shape, lanes, context)
    return _guarded(condition, [*setup, *lines])


def _store(statement: Statement, value: Term, shape: str, lanes: list[Scope], context: Context) -> list[str]:
    """The lines that put a value in memory, or in scalar variables."""
    dtype, prelude = context.program.buffer(statement.buffer).dtype, context.prelude
    first = context.element(statement.store, lanes[0])
    if shape == "wide":
        value = in_all_lanes(value, dtype, len(lanes), prelude)
        return [f"{prelude.store(dtype, len(lanes))}(&{first}, {value.text});"]
    if shape == "one" and not value.is_vector:
        return [f"{first} = {value.text};"]
    value = in_all_lanes(value, dtype, len(lanes), prelude)
    kept = lanes[0].names.fresh("v")
    lines = [f"{prelude.vector(dtype, len(lanes))} {kept} = {value.text};"]
    if shape == "one":  # every lane stores to one place: the last one stays
        return [*lines, f"{first} = {kept}[{len(lanes) - 1}];"]
    for at, lane in enumerate(lanes):
        lines.append(f"{context.element(statement.store, lane)} = {kept}[{at}];")
    return lines


def _load(load: Load, loop: Loop, lanes: list[Scope], context: Context) -> Term:
    """What a vector statement reads: one value for all lanes, or a vector."""
    shape = _shape(load, loop, context)
    buffer = context.program.buffer(load.buffer)
    if shape == "vector variable":
        return Term(context.registers.vector(buffer, load, lanes[0]), is_vector=True)
    if shape == "one":
        return Term(context.element(load, lanes[0]))
    if shape == "wide":
        function = context.prelude.load(buffer.dtype, len(lanes))
        return Term(f"{function}(&{context.element(load, lanes[0])})", is_vector=True)
    elements = [context.element(load, lane) for lane in lanes]
    rows = [", ".join(elements[at : at + GATHER_PER_LINE]) for at in range(0, len(elements), GATHER_PER_LINE)]
    kind = context.prelude.vector(buffer.dtype, len(lanes))
    return Term(f"({kind}){{{', '.join(rows)}}}", is_vector=True)


def _shape(access: Load, loop: Loop, context: Context) -> str:
    """How a vector statement touches a buffer: one, wide, lane by lane, or a variable."""
    buffer = context.program.buffer(access.buffer)
    if not any(subscript.names & own_names(loop) for subscript in access.index):
        return "one"
    if buffer.scope == "register":
        kept_whole = context.registers.lanes[buffer.name] == loop.extent
        return "vector variable" if kept_whole else "lane by lane"
    step = lane_step(loop, buffer.offset(access.index))
    return {0: "one", 1: "wide"}.get(step, "lane by lane")


def _assign(
    statement: Statement, target: str, operand: Callable[[Load], Term], dtype: str, lanes: int | None, context: Context
) -> str:
    """`target = value;`, or `target += rest;` where the value starts with the target."""
    value, sign = statement.value, "="
    updates = isinstance(value, Op) and value.name in ("+", "-", "*")
    if updates and value.arguments[0] == statement.store and not context.volatile:
        sign, value = f"{value.name}=", value.arguments[1]
    term = expression(value, operand, dtype, lanes, context.prelude)
    if lanes is not None and sign == "=":
        term = in_all_lanes(term, dtype, lanes, context.prelude)
    return f"{target} {sign} {term.text};"


def _one_by_one(
    statement: Statement, operand: Callable[[Load], Term], dtype: str, lanes: int | None, scope: Scope, context: Context
) -> tuple[list[str], Callable[[Load], Term]]:
    """With volatile, a variable for each load, in order, and the operand that names it."""
    if not context.volatile:
        return [], operand
    lines, names = [], []
    for load in statement.loads:
        term = operand(load)
        kind = context.prelude.vector(dtype, lanes) if term.is_vector else C_TYPES[dtype]
        names.append(Term(scope.names.fresh("x"), is_vector=term.is_vector))
        lines.append(f"{kind} {names[-1].text} = {term.text};")
    waiting = iter(names)  # an expression asks for its loads in their order
    return lines, lambda _: next(waiting)


def _lane_by_lane(statement: Statement, loop: Loop, lanes: list[Scope], scope: Scope, context: Context) -> list[str]:
    """Scalar code for the lanes whose guard holds: all values first, then all stores."""
    dtype = context.program.buffer(statement.buffer).dtype
    if _is_free_of_order(statement, loop, context):
        inside = scope.inside(loop)
        body = scalar_statement(statement, inside, context)
        return [loop_header(loop, scope), *("    " + line for line in body), "}"]
    names, values, stores = [], [], []
    for lane in lanes:
        condition = guard_text(statement.guards, lane)
        if condition is None:
            continue
        names.append(scope.names.fresh("v"))

        def operand(load: Load, lane: Scope = lane) -> Term:
            source = context.program.buffer(load.buffer).dtype
            return convert(Term(context.element(load, lane)), source, dtype, None, context.prelude)

        setup, operand = _one_by_one(statement, operand, dtype, None, scope, context)
        value = expression(statement.value, operand, dtype, None, context.prelude)
        values += _guarded(condition, [*setup, f"{names[-1]} = {value.text};"])
        target = context.element(statement.store, lane)
        stores += _guarded(condition, [f"{target} = {names[-1]};"])
    if not names:
        return []
    declared = f"{C_TYPES[dtype]} {', '.join(f'{name} = 0' for name in names)};"
    return [declared, *values, *stores]


def _is_free_of_order(statement: Statement, loop: Loop, context: Context) -> bool:
    """Whether a plain loop over the lanes does the same: no lane reads what another one stores."""
    scopes = {context.program.buffer(access.buffer).scope for access, _ in accesses(statement)}
    if "register" in scopes or loop.binds or context.volatile:
        return False
    step = lane_step(loop, context.program.buffer(statement.buffer).offset(statement.index))
    return all(load.buffer != statement.buffer for load in statement.loads) or (
        bool(step) and all(load == statement.store for load in statement.loads if load.buffer == statement.buffer)
    )


def _guarded(condition: str, lines: list[str]) -> list[str]:
    """Lines under an `if`; a block of its own keeps the variables of several lines apart."""
    if len(lines) == 1:
        return [f"if ({condition}) {lines[0]}" if condition else lines[0]]
    head = f"if ({condition}) {{" if condition else "{"
    return [head, *("    " + line for line in lines), "}"]
