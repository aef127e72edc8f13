"""One statement in C: scalar code, vector code, or lane by lane under a guard on the lanes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from mini_lib.loops.codegen.registers import RegisterFile
from mini_lib.loops.codegen.text import INDENT, CScope, guard_text, loop_header, offset_text
from mini_lib.loops.codegen.values import C_TYPES, Prelude, Term, convert, expression, in_all_lanes
from mini_lib.loops.ir import Load, Loop, Op, Program, Statement, map_loads
from mini_lib.loops.meaning.walk import accesses, has_lane_guard, lane_step, own_names

GATHER_PER_LINE = 4
Operand = Callable[[Load], Term]  # the C text of a load
Shape = Literal["one", "wide", "lane by lane", "vector variable"]  # where the lanes of a vector statement find a value


@dataclass(frozen=True)
class Context:
    """The context of every statement: the program, the helpers, and the variables of registers.

    With `volatile`, each load goes into a variable of its own, in the program's order.
    """

    program: Program
    prelude: Prelude
    registers: RegisterFile
    volatile: bool = False

    def dtype(self, statement: Statement) -> str:
        """The element type in which a statement calculates: that of the buffer it stores to."""
        return self.program.buffer(statement.buffer).dtype

    def element(self, access: Load, scope: CScope) -> str:
        """One element of a buffer."""
        buffer = self.program.buffer(access.buffer)
        if buffer.scope == "register":
            return self.registers.element(buffer, access, scope)
        return f"{scope.names[buffer.name]}[{offset_text(buffer, access, scope)}]"

    def converted(self, load: Load, term: Term, dtype: str, lanes: int | None) -> Term:
        """A loaded element, or a vector of them, in the type that the statement calculates in."""
        return convert(term, self.program.buffer(load.buffer).dtype, dtype, lanes, self.prelude)


def scalar_statement(statement: Statement, scope: CScope, context: Context) -> list[str]:
    """The lines of a statement that runs once."""
    condition = guard_text(statement.guards, scope)
    if condition is None:
        return []
    target = context.element(statement.store, scope)
    loads, statement, operand = _loads_first(statement, _elements(statement, scope, context), None, scope, context)
    return _guarded(condition, [*loads, _assign(statement, target, operand, None, context)])


def vector_statement(
    statement: Statement, loop: Loop, lanes: list[CScope], scope: CScope, context: Context
) -> list[str]:
    """The lines of a statement for all lanes of a loop; `lanes` has a scope for each."""
    if has_lane_guard(statement, loop):
        return _lane_by_lane(statement, loop, lanes, scope, context)
    condition = guard_text(statement.guards, lanes[0])
    if condition is None:
        return []
    dtype, width = context.dtype(statement), len(lanes)

    def vector(load: Load) -> Term:
        return context.converted(load, _load(load, loop, lanes, context), dtype, width)

    loads, statement, operand = _loads_first(statement, vector, width, scope, context)
    shape = _shape(statement.store, loop, context)
    if shape == "vector variable":
        buffer = context.program.buffer(statement.buffer)
        target = context.registers.vector(buffer, statement.store, lanes[0])
        lines = [_assign(statement, target, operand, width, context)]
    else:
        value = expression(statement.value, operand, dtype, width, context.prelude)
        lines = _store(statement, value, shape, lanes, context)
    return _guarded(condition, [*loads, *lines])


def _elements(statement: Statement, scope: CScope, context: Context) -> Operand:
    """The C text of each load of a scalar statement: one element."""
    dtype = context.dtype(statement)
    return lambda load: context.converted(load, Term(context.element(load, scope)), dtype, None)


def _loads_first(
    statement: Statement, operand: Operand, lanes: int | None, scope: CScope, context: Context
) -> tuple[list[str], Statement, Operand]:
    """With `volatile`: lines that load into variables, the statement that uses the variables, and their C text.

    Without it nothing is loaded first, and the statement stays as it is.
    """
    if not context.volatile:
        return [], statement, operand
    dtype, lines = context.dtype(statement), []
    variables: dict[str, Term] = {}

    def into_variable(load: Load) -> Load:
        term, name = operand(load), scope.names.fresh("x")
        kind = context.prelude.vector(dtype, lanes) if term.is_vector else C_TYPES[dtype]
        lines.append(f"{kind} {name} = {term.text};")
        variables[name] = Term(name, is_vector=term.is_vector)
        return Load(name, ())  # a variable has no subscripts

    value = map_loads(statement.value, into_variable)
    return lines, replace(statement, value=value), lambda variable: variables[variable.buffer]


def _store(statement: Statement, value: Term, shape: Shape, lanes: list[CScope], context: Context) -> list[str]:
    """The lines that put a value in memory, or in scalar variables."""
    dtype, prelude = context.dtype(statement), context.prelude
    first = context.element(statement.store, lanes[0])
    if shape == "wide":
        value = in_all_lanes(value, dtype, len(lanes), prelude)
        return [f"{prelude.store(dtype, len(lanes))}(&{first}, {value.text});"]
    if shape == "one" and not value.is_vector:
        return [f"{first} = {value.text};"]
    value = in_all_lanes(value, dtype, len(lanes), prelude)
    kept = lanes[0].names.fresh("v")
    lines = [f"{prelude.vector(dtype, len(lanes))} {kept} = {value.text};"]
    if shape == "one":  # every lane stores to the same place: the last one stays
        return [*lines, f"{first} = {kept}[{len(lanes) - 1}];"]
    for at, lane in enumerate(lanes):
        lines.append(f"{context.element(statement.store, lane)} = {kept}[{at}];")
    return lines


def _load(load: Load, loop: Loop, lanes: list[CScope], context: Context) -> Term:
    """A load of a vector statement: one value for all lanes, or a vector."""
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


def _shape(access: Load, loop: Loop, context: Context) -> Shape:
    """How a vector statement accesses a buffer: one element, a wide run of elements, lane by lane, or a variable."""
    buffer = context.program.buffer(access.buffer)
    if not any(subscript.names & own_names(loop) for subscript in access.index):
        return "one"
    if buffer.scope == "register":
        kept_whole = context.registers.lanes[buffer.name] == loop.extent
        return "vector variable" if kept_whole else "lane by lane"
    step = lane_step(loop, buffer.offset(access.index))
    return {0: "one", 1: "wide"}.get(step, "lane by lane")


def _assign(statement: Statement, target: str, operand: Operand, lanes: int | None, context: Context) -> str:
    """`target = value;`, or `target += rest;` where the value starts with the target."""
    value, sign, dtype = statement.value, "=", context.dtype(statement)
    if isinstance(value, Op) and value.name in ("+", "-", "*") and value.arguments[0] == statement.store:
        sign, value = f"{value.name}=", value.arguments[1]
    term = expression(value, operand, dtype, lanes, context.prelude)
    if lanes is not None and sign == "=":
        term = in_all_lanes(term, dtype, lanes, context.prelude)
    return f"{target} {sign} {term.text};"


def _lane_by_lane(statement: Statement, loop: Loop, lanes: list[CScope], scope: CScope, context: Context) -> list[str]:
    """Scalar code for the lanes whose guard holds: first all values, then all stores."""
    if _lanes_are_independent(statement, loop, context):
        body = scalar_statement(statement, scope.inside(loop), context)
        return [loop_header(loop, scope), *(INDENT + line for line in body), "}"]
    dtype = context.dtype(statement)
    names, values, stores = [], [], []
    for lane in lanes:
        condition = guard_text(statement.guards, lane)
        if condition is None:
            continue
        name = scope.names.fresh("v")
        loads, calculation, operand = _loads_first(statement, _elements(statement, lane, context), None, scope, context)
        value = expression(calculation.value, operand, dtype, None, context.prelude)
        values += _guarded(condition, [*loads, f"{name} = {value.text};"])
        stores += _guarded(condition, [f"{context.element(statement.store, lane)} = {name};"])
        names.append(name)
    if not names:
        return []
    declared = f"{C_TYPES[dtype]} {', '.join(f'{name} = 0' for name in names)};"
    return [declared, *values, *stores]


def _lanes_are_independent(statement: Statement, loop: Loop, context: Context) -> bool:
    """Whether a plain loop over the lanes does the same: no lane reads an element that another lane stores."""
    scopes = {context.program.buffer(access.buffer).scope for access, _ in accesses(statement)}
    if "register" in scopes or loop.binds or context.volatile:
        return False
    step = lane_step(loop, context.program.buffer(statement.buffer).offset(statement.index))
    return all(load.buffer != statement.buffer for load in statement.loads) or (
        bool(step) and all(load == statement.store for load in statement.loads if load.buffer == statement.buffer)
    )


def _guarded(condition: str, lines: list[str]) -> list[str]:
    """Lines under an `if`; several lines get a block of their own, to keep their variables separate."""
    if len(lines) == 1:
        return [f"if ({condition}) {lines[0]}" if condition else lines[0]]
    head = f"if ({condition}) {{" if condition else "{"
    return [head, *(INDENT + line for line in lines), "}"]
