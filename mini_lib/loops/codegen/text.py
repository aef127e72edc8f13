"""The parts of C that do not involve values: subscripts, loop headers, guards."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.codegen.names import Names
from mini_lib.loops.ir import Buffer, Load, Loop, Program, all_loops, ranges
from mini_lib.loops.reach import MAX_INT32, largest_index, require_64_bits
from mini_lib.loops.show import show_guard

INDENT = "    "


@dataclass(frozen=True)
class CScope:
    """The names and loops known at a place in the C text.

    `values` gives each variable of the program as an expression of C variables: itself where a C loop runs over it, a
    constant where its loop is unrolled. `loops` are the loops around, outermost first.
    """

    names: Names
    index_type: str = "int"
    values: Mapping[str, Affine] = field(default_factory=dict)
    loops: tuple[Loop, ...] = ()
    is_first: bool = True

    def affine(self, value: Affine) -> Affine:
        """An expression of the program's variables, in C variables."""
        return value.substitute(self.values)

    def inside(self, loop: Loop) -> "CScope":
        """The scope in the body of a loop that is written as a C loop."""
        own = {loop.name: affine(self.names[loop.name])}
        for bind in loop.binds:
            own[bind.quotient] = affine(self.names[bind.quotient])
            own[bind.remainder] = affine(self.names[bind.remainder])
        return replace(self, values={**self.values, **own}, loops=(*self.loops, loop))

    def at(self, loop: Loop, step: int) -> tuple["CScope", list[str]]:
        """The scope in one copy of an unrolled loop, and the lines to declare it.

        A quotient or remainder that is not a constant there gets a C variable of its own.
        """
        values = {**self.values, loop.name: self.affine(loop.start[0]) + step}
        first = self.is_first and step == 0
        scope = replace(self, values=values, loops=(*self.loops, loop), is_first=first)
        lines = []
        for bind in loop.binds:
            of = scope.affine(bind.of)
            if of.is_constant:
                values[bind.quotient] = affine(of.constant // bind.by)
                values[bind.remainder] = affine(of.constant % bind.by)
                continue
            fresh = {n: self.names.fresh(f"{n}_{step}") for n in (bind.quotient, bind.remainder)}
            values.update({name: affine(identifier) for name, identifier in fresh.items()})
            lines += _divmod(bind.of, bind.by, tuple(fresh.values()), scope)
        return scope, lines


def scope_of(program: Program, prefix: str = "") -> CScope:
    """The scope at the top of a function; its name and those of buffers start with `prefix`."""
    require_64_bits(program)
    large = max(largest_index(program), *(buffer.stored_bytes for buffer in program.buffers)) > MAX_INT32
    return CScope(Names(program, prefix), "int64_t" if large else "int")


def loop_header(loop: Loop, scope: CScope) -> str:
    """The line that opens a C loop: `for (int m_o = 0; m_o < 32; m_o++) {`."""
    name = scope.names[loop.name]
    start = _bound("max_int", [scope.affine(bound) for bound in loop.start])
    stop = _bound("min_int", [scope.affine(bound) for bound in loop.stop])
    return f"for ({scope.index_type} {name} = {start}; {name} < {stop}; {name}++) {{"


def bind_lines(loop: Loop, inside: CScope) -> list[str]:
    """The declarations of the quotients and remainders of a loop, at the top of its body."""
    lines = []
    for bind in loop.binds:
        targets = (inside.names[bind.quotient], inside.names[bind.remainder])
        lines += _divmod(bind.of, bind.by, targets, inside)
    return lines


def guard_text(guards: tuple[Affine, ...], scope: CScope) -> str | None:
    """The condition of an `if`; "" where it always holds, None where it never does."""
    texts = []
    for guard in guards:
        here = scope.affine(guard)
        if not here.is_constant:
            texts.append(show_guard(here))
        elif here.constant < 0:
            return None
    return " && ".join(texts)


def offset_text(buffer: Buffer, access: Load, scope: CScope) -> str:
    """An access's distance from the buffer's start, in elements: `512*(16*m_o + m_i) + k`."""
    parts, constant = [], 0
    for stride, subscript in zip(buffer.strides, access.index, strict=True):
        here = scope.affine(subscript)
        if here.is_constant:
            constant += stride * here.constant
        elif stride == 1 or (len(here.terms) == 1 and not here.constant):
            parts.append(affine_text(here * stride))
        else:
            parts.append(f"{stride}*({affine_text(here)})")
    if constant or not parts:
        parts.append(str(constant))
    return " + ".join(parts).replace("+ -", "- ")


def affine_text(value: Affine) -> str:
    """An expression of C variables, large multiples first: `16*m_o + m_i`.

    >>> affine_text(16 * affine("o") + affine("i") - 1)
    '16*o + i - 1'
    """
    terms = tuple(sorted(value.terms, key=lambda term: -abs(term[1])))
    return str(Affine(terms, value.constant))


def integer_helpers(program: Program, index_type: str) -> list[str]:
    """The small C functions on whole numbers that the loop headers and binds of a program call."""
    lines = []
    parameters = f"({index_type} a, {index_type} b)"
    if any(len(loop.start) + len(loop.stop) > 2 for loop in all_loops(program.body)):
        lines += [
            f"static inline {index_type} min_int{parameters} {{ return a < b ? a : b; }}",
            f"static inline {index_type} max_int{parameters} {{ return a > b ? a : b; }}",
        ]
    if any(loop.binds for loop in all_loops(program.body)):
        lines += [
            "// division that rounds down, as Python's divmod does",
            f"static inline {index_type} floor_mod({index_type} a, {index_type} b) {{ return (a % b + b) % b; }}",
            f"static inline {index_type} floor_div({index_type} a, {index_type} b) "
            "{ return (a - floor_mod(a, b)) / b; }",
        ]
    return lines


def _divmod(of: Affine, by: int, targets: tuple[str, ...], scope: CScope) -> list[str]:
    """Two declarations; plain `/` and `%` where the expression cannot be negative."""
    low, _ = of.extremes(ranges(scope.loops))
    value, kind = scope.affine(of), scope.index_type
    text = affine_text(value)
    if low < 0:
        return [f"{kind} {targets[0]} = floor_div({text}, {by});", f"{kind} {targets[1]} = floor_mod({text}, {by});"]
    text = f"({text})" if len(value.terms) > 1 or value.constant else text
    return [f"{kind} {targets[0]} = {text} / {by};", f"{kind} {targets[1]} = {text} % {by};"]


def _bound(function: str, bounds: list[Affine]) -> str:
    text = affine_text(bounds[0])
    for bound in bounds[1:]:
        text = f"{function}({text}, {affine_text(bound)})"
    return text
