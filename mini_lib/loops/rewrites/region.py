"""The part of a buffer that an iteration of a loop touches: a box that moves with the loops around it."""

from collections.abc import Iterator
from dataclasses import dataclass

from mini_lib.loops.affine import Affine
from mini_lib.loops.ir import Leaf, Load, Loop, Node, leaves, ranges
from mini_lib.loops.rewrites.tree import map_accesses, map_statements


@dataclass(frozen=True)
class Region:
    """A box: on each axis, `size` elements from `start`, an expression of the loops around.

    `low` and `high` are the ends that `start` and `start + size - 1` can reach over all iterations.
    """

    start: tuple[Affine, ...]
    size: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]

    def staged(self, nodes: tuple[Node, ...], buffer: str, local: str) -> tuple[Node, ...]:
        """The same tree with a local buffer, which holds only the box, in place of the buffer."""

        def near(access: Load) -> Load:
            if access.buffer != buffer:
                return access
            return Load(local, tuple(one - start for one, start in zip(access.index, self.start, strict=True)))

        return map_statements(nodes, lambda one: map_accesses(one, near))


def accesses_of(body: tuple[Node, ...], buffer: str) -> Iterator[tuple[Leaf, Load]]:
    """Every load and store of a buffer, with its place (the loops of the place are those inside `body`)."""
    for leaf in leaves(body):
        for access in (*leaf.statement.loads, leaf.statement.store):
            if access.buffer == buffer:
                yield leaf, access


def region(path: tuple[Loop, ...], buffer: str) -> Region:
    """The box of a buffer that one iteration of the last loop of `path` touches.

    Raises:
        ValueError: the body does not touch it, or touches places that move differently with the loops around.
    """
    loop = path[-1]
    outside = ranges(path)
    ends: list[list[tuple[Affine, int, int]]] = []
    for leaf, access in accesses_of(loop.body, buffer):
        box = ranges((*path, *leaf.loops))
        found = []
        for subscript in access.index:
            kept = Affine(tuple(term for term in subscript.terms if term[0] in outside))
            found.append((kept, *(subscript - kept).extremes(box)))
        ends.append(found)
    if not ends:
        raise ValueError(f"the body of {loop.name} does not touch {buffer}")
    start, size, low, high = [], [], [], []
    for axis, seen in enumerate(zip(*ends, strict=True)):
        bases = {base for base, _, _ in seen}
        if len(bases) > 1:
            shown = " and ".join(sorted(str(base) for base in bases))
            raise ValueError(
                f"inside {loop.name}, axis {axis} of {buffer} is reached from {shown}: no one box holds both. "
                "Choose a loop further out"
            )
        first, last = min(one[1] for one in seen), max(one[2] for one in seen)
        start.append(seen[0][0] + first)
        size.append(last - first + 1)
        reach = start[-1].extremes(outside)
        low.append(reach[0])
        high.append(reach[1] + last - first)
    return Region(tuple(start), tuple(size), tuple(low), tuple(high))
