"""A program as C that calculates nothing: at each access it calls a simulated cache instead."""

from mini_lib.loops.codegen.text import (
    INDENT,
    CScope,
    bind_lines,
    guard_text,
    integer_helpers,
    loop_header,
    offset_text,
    scope_of,
)
from mini_lib.loops.ir import Load, Loop, Node, Program, Statement
from mini_lib.loops.meaning.walk import accesses, check_vector, has_lane_guard, lane_step


def touch_source(program: Program, simulator: str) -> str:
    """The C text of `void touch_all(cachesim *, int64_t base, ...)`: a base for each buffer.

    `simulator` is the text of cachesim.h, whose `cachesim_touch` takes the accesses, in the program's order.
    """
    scope = scope_of(program, "base_")
    bases = [scope.names[buffer.name] for buffer in program.buffers if buffer.scope != "register"]
    parameters = ", ".join(["cachesim *state_", *(f"int64_t {name}" for name in bases)])
    body = [INDENT + line for node in program.body for line in _node(node, scope, program)]
    lines = [simulator, *integer_helpers(program, scope.index_type), f"void touch_all({parameters}) {{", *body, "}"]
    return "\n".join(lines) + "\n"


def _node(node: Node, scope: CScope, program: Program) -> list[str]:
    if isinstance(node, Statement):
        condition = guard_text(node.guards, scope)
        if condition is None:
            return []
        lines = [line for access, is_write in accesses(node) for line in _touch(access, is_write, 1, scope, program)]
        return _guarded(condition, lines)
    inside = scope.inside(node)
    if node.kind == "vector":
        check_vector(node)
        return [line for statement in node.body for line in _lanes(statement, node, scope, program)]
    body = [line for child in node.body for line in _node(child, inside, program)]
    return _loop(node, scope, body)


def _lanes(statement: Statement, loop: Loop, scope: CScope, program: Program) -> list[str]:
    """A statement for all lanes: every load of every lane, then every store."""
    inside = scope.inside(loop)
    lines = []
    if has_lane_guard(statement, loop):
        condition = guard_text(statement.guards, inside)
        for wanted in (False, True):
            touched = [
                line
                for access, is_write in accesses(statement)
                if is_write == wanted
                for line in _touch(access, is_write, 1, inside, program)
            ]
            if condition is not None and touched:
                lines += _loop(loop, scope, _guarded(condition, touched))
        return lines
    first, declared = scope.at(loop, 0)
    for access, is_write in accesses(statement):
        step = lane_step(loop, program.buffer(access.buffer).offset(access.index))
        if step in (0, 1):
            elements = (loop.extent or 0) if step else 1
            lines += _touch(access, is_write, elements, first, program)
        else:
            lines += _loop(loop, scope, _touch(access, is_write, 1, inside, program))
    condition = guard_text(statement.guards, first)
    return [] if condition is None else [*declared, *_guarded(condition, lines)]


def _touch(access: Load, is_write: bool, elements: int, scope: CScope, program: Program) -> list[str]:
    buffer = program.buffer(access.buffer)
    if buffer.scope == "register":
        return []
    size_bytes = buffer.element_bytes
    offset = offset_text(buffer, access, scope)
    place = f"{scope.names[buffer.name]} + (int64_t){size_bytes} * ({offset})"
    return [f"cachesim_touch(state_, {place}, {elements * size_bytes}, {int(is_write)});"]


def _loop(loop: Loop, scope: CScope, body: list[str]) -> list[str]:
    inside = scope.inside(loop)
    lines = [*bind_lines(loop, inside), *body]
    return [loop_header(loop, scope), *(INDENT + line for line in lines), "}"] if body else []


def _guarded(condition: str, lines: list[str]) -> list[str]:
    if not condition or not lines:
        return lines
    return [f"if ({condition}) {{", *(INDENT + line for line in lines), "}"]
