"""Dependences: which iterations must wait for which others, as directions and distances.

A dependence runs from an access to a later one of the same element, at least one of them a store. All such pairs count
(memory-based dependences, as in compilers without data-flow analysis), not only the last store before a load.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mini_lib.columns import aligned
from mini_lib.loops.affine import Affine
from mini_lib.loops.ir import Leaf, Program, need_program
from mini_lib.loops.legality.domain import (
    Access,
    conflicts,
    iteration_pairs,
    kind_of,
    same_copy,
    same_element,
    shared_loops,
)
from mini_lib.loops.legality.feasible import System, extremes, tighten
from mini_lib.loops.show import show_access


@dataclass(frozen=True)
class Dependence:
    """A store or load that must stay before another one: their statements, and how far apart they are.

    `loops` are the loops around both. `direction` has "<" where the sink is in a later iteration of the loop than
    the source, "=" in the same, ">" in an earlier one, "*" where pairs differ. `distance` has the number of
    iterations where all pairs agree, else None. A carrying loop that moves neither access touches the element again in
    every later iteration; its distance is the one to the next iteration, 1.
    """

    source: str
    sink: str
    kind: str
    buffer: str
    loops: tuple[str, ...]
    direction: tuple[str, ...]
    distance: tuple[int | None, ...]
    accesses: tuple[str, str]

    @property
    def carrier(self) -> str | None:
        """The loop whose order preserves it: the outermost with "<"; None if the order of the text does."""
        names = (name for name, sign in zip(self.loops, self.direction, strict=True) if sign != "=")
        return next(names, None)

    def __str__(self) -> str:
        signs = ", ".join(self.direction)
        steps = ", ".join("*" if step is None else str(step) for step in self.distance)
        return (
            f"{self.kind:6} {self.source} {self.accesses[0]} -> {self.sink} {self.accesses[1]}"
            f"  ({', '.join(self.loops)}): ({signs})  distance ({steps})"
        )


def dependences(program: Program) -> tuple[Dependence, ...]:
    """All dependences of a program whose loops run in the order of the text.

    One entry for each pair of accesses and each loop that carries it, and one where both are in the same iteration
    of all loops around them.

    >>> from mini_lib.loops import matmul
    >>> for found in dependences(matmul(m=4, n=4, k=4)):
    ...     print(found.kind, found.buffer, found.direction, found.distance)
    flow C ('=', '=', '<') (0, 0, 1)
    anti C ('=', '=', '<') (0, 0, 1)
    output C ('=', '=', '<') (0, 0, 1)

    Source: Allen and Kennedy, Optimizing Compilers for Modern Architectures (2001), sections 2.2.1 to 2.2.4.
    """
    found = []
    need_program("program", program)
    for one in program.leaves:
        for two in program.leaves:
            for first, second in conflicts(one.statement, two.statement):
                home = program.buffer(first.buffer).home
                found += _between(one, two, first, second, home)
    order = ("flow", "anti", "output")
    return tuple(sorted(found, key=lambda item: order.index(item.kind)))


def show_dependences(program: Program) -> str:
    """The dependences as a table, one per line."""
    found = dependences(program)
    if not found:
        return "no dependences: every iteration may run at any time"
    rows = [("kind", "from", "to", "loops", "direction", "distance")]
    for item in found:
        steps = ("any" if step is None else str(step) for step in item.distance)
        rows.append(
            (
                item.kind,
                f"{item.source} {item.accesses[0]}",
                f"{item.sink} {item.accesses[1]}",
                ", ".join(item.loops),
                ", ".join(item.direction),
                ", ".join(steps),
            )
        )
    return aligned(rows, left=range(len(rows[0])))


def _between(one: Leaf, two: Leaf, first: Access, second: Access, home: str) -> Iterator[Dependence]:
    """The dependences from an access of one statement to an access of another, outer carriers first."""
    both = iteration_pairs(one, two)
    copy = same_copy(home, one, two, both)
    if copy is None:
        return
    touching = tighten(both.system.with_(equal=(*same_element(first, second, both), *copy)))
    shared = shared_loops(one, two)
    names = tuple(loop.name for loop in one.loops[:shared])
    steps = [both.step(name) for name in names]
    for depth in range(shared + 1) if touching else ():
        outer = tuple(steps[:depth])
        if depth < shared:
            system = touching.with_(outer, (steps[depth] - 1,))
            if _still(names[depth], one, two, first, second):
                system = system.with_((steps[depth] - 1,))
        elif one.positions[shared:] < two.positions[shared:]:
            system = touching.with_(outer)
        else:
            continue  # within an iteration, a statement's loads come before its own store in any case
        ends = _ends(system, steps[depth:])
        if ends is None:
            continue
        ends = [(0, 0)] * depth + ends
        yield Dependence(
            one.statement.name,
            two.statement.name,
            kind_of(first, second),
            first.buffer,
            names,
            tuple(_sign(low, high) for low, high in ends),
            tuple(low if low == high else None for low, high in ends),
            (show_access(first), show_access(second)),
        )


def _ends(system: System, steps: list[Affine]) -> list[tuple[int, int]] | None:
    """The smallest and largest value of each step; None where the system has no point."""
    ends = []
    for step in steps or [Affine()]:
        found = extremes(system, step)
        if found is None:
            return None
        ends.append(found)
    return ends[: len(steps)]


def _still(name: str, one: Leaf, two: Leaf, first: Access, second: Access) -> bool:
    """Whether a loop moves neither access, nor the bounds and guards inside it."""
    used = {name for access in (first, second) for row in access.index for name in row.names}
    for leaf in (one, two):
        used |= {name for guard in leaf.statement.guards for name in guard.names}
        for loop in leaf.loops:
            used |= {name for bound in (*loop.start, *loop.stop) for name in bound.names}
            used |= {name for bind in loop.binds for name in bind.of.names}
    return name not in used


def _sign(low: int, high: int) -> str:
    if low == high == 0:
        return "="
    return "<" if low > 0 else ">" if high < 0 else "*"
