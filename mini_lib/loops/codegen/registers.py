"""Which C variable holds which element of a register buffer: registers have no addresses."""

from mini_lib.loops.affine import Affine
from mini_lib.loops.codegen.text import CScope
from mini_lib.loops.ir import Buffer, Leaf, Load, Loop, Program
from mini_lib.loops.meaning.walk import accesses, own_names


class RegisterFile:
    """The C variables of all register buffers of a program.

    A buffer is kept as vectors if vector loops run over its last axis, with as many lanes as these loops; any other
    buffer has one variable per element. The variables are collected while the text is written, then declared.
    """

    def __init__(self, program: Program) -> None:
        self.lanes = {buffer.name: _lanes(buffer, program) for buffer in program.buffers if buffer.scope == "register"}
        self._variables: dict[str, dict[tuple[int, ...], str]] = {name: {} for name in self.lanes}

    def variables(self, buffer: str) -> list[str]:
        """The variables of a buffer that the text uses, in the order of their subscripts."""
        return [name for _, name in sorted(self._variables[buffer].items())]

    def element(self, buffer: Buffer, access: Load, scope: CScope) -> str:
        """The variable that holds one element, or the lane of a vector: `C_r_3_1[5]`."""
        index = self._index(buffer, access, scope)
        lanes = self.lanes[buffer.name]
        if not lanes:
            return self._variable(buffer, index, scope)
        chunk, lane = divmod(index[-1], lanes)
        return f"{self._variable(buffer, (*index[:-1], chunk), scope)}[{lane}]"

    def vector(self, buffer: Buffer, access: Load, scope: CScope) -> str:
        """The variable that holds the vector that starts at an element."""
        index = self._index(buffer, access, scope)
        chunk = index[-1] // self.lanes[buffer.name]
        return self._variable(buffer, (*index[:-1], chunk), scope)

    def _variable(self, buffer: Buffer, index: tuple[int, ...], scope: CScope) -> str:
        known = self._variables[buffer.name]
        if index not in known:
            known[index] = scope.names.fresh("_".join((scope.names[buffer.name], *map(str, index))))
        return known[index]

    def _index(self, buffer: Buffer, access: Load, scope: CScope) -> tuple[int, ...]:
        here = [scope.affine(subscript) for subscript in access.index]
        for subscript, original in zip(here, access.index, strict=True):
            if not subscript.is_constant:
                rolled = [n for n in sorted(original.names) if not scope.values[n].is_constant]
                raise ValueError(
                    f"{buffer.name}[{', '.join(map(str, access.index))}] lies in registers, and "
                    f"registers have no addresses: unroll loop {rolled[0]} first, or vectorize "
                    f'it, or keep {buffer.name} in scope="scratch"'
                )
        index = tuple(subscript.constant for subscript in here)
        if not all(0 <= at < size for at, size in zip(index, buffer.shape, strict=True)):
            raise ValueError(
                f"{buffer.name}[{', '.join(map(str, index))}] is out of bounds: {buffer.name} "
                f"has shape {buffer.shape}; change the subscript {', '.join(map(str, access.index))}"
            )
        return index


def _lanes(buffer: Buffer, program: Program) -> int:
    """How many lanes the vectors of a register buffer have; 0 where it has none."""
    found = set()
    for leaf in program.leaves:
        for access, _ in accesses(leaf.statement):
            if access.buffer == buffer.name and leaf.loops and leaf.loops[-1].kind == "vector":
                lanes = _lanes_of(access, leaf)
                if lanes is not None:
                    found.add(lanes)
    return found.pop() if len(found) == 1 else 0


def _lanes_of(access: Load, leaf: Leaf) -> int | None:
    """The lanes of an access to whole aligned vectors; 0 if it is not; None for one element."""
    loop: Loop = leaf.loops[-1]
    own = own_names(loop)
    if not any(subscript.names & own for subscript in access.index):
        return None
    *outer, last = access.index
    first = last.substitute({loop.name: loop.start[0]})
    whole = (
        not any(subscript.names & own for subscript in outer)
        and last.names & own == {loop.name}
        and last.coefficient(loop.name) == 1
        and _divides(loop.extent or 0, first)
    )
    return (loop.extent or 0) if whole else 0


def _divides(lanes: int, value: Affine) -> bool:
    return lanes > 0 and all(count % lanes == 0 for _, count in (*value.terms, ("", value.constant)))
