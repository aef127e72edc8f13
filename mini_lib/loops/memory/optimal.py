"""The best possible memory plan, proved by search, to judge the quick planners on small graphs.

Push every buffer of a plan down until it rests on the floor or on another buffer: the peak does not grow. So it is
enough to look at plans that are built from below. At each step of time, memory is filled up to some height, and the
search continues at the lowest height. Either a buffer starts there, or a gap stays free.
"""

from __future__ import annotations

from collections.abc import Iterable

from mini_lib.loops.memory.liveness import LiveRange, aligned_bytes, peak_live_bytes
from mini_lib.loops.memory.planner import Plan, checked_ranges, plan
from mini_lib.require import whole


def plan_optimal(ranges: Iterable[LiveRange], alignment_bytes: int = 1, *, states: int = 100_000) -> Plan:
    """Return a plan of the smallest peak, by branch and bound over which buffer rests where.

    It examines at most `states` partly filled memories, which takes a few seconds. That is enough for about twenty-five
    buffers whose live ranges all overlap, and for hundreds where `plan` meets the bound.

    Raises:
        TypeError: `states` is not a whole number.
        ValueError: `states` is below 1, or more than `states` would have to be examined.

    Greedy by size puts d at 0 and c on top of it, from 3 to 5. Then a fits below c, but b does not, and goes on top, up
    to 7. It is best to put c on top of a and b, from 4 to 6, with d below it:

    >>> from mini_lib.loops.memory.planner import plan_greedy_by_size
    >>> ranges = [LiveRange("a", 2, 0, 0), LiveRange("b", 2, 0, 0)]
    >>> ranges += [LiveRange("c", 2, 0, 1), LiveRange("d", 3, 1, 1)]
    >>> plan_greedy_by_size(ranges).peak_bytes, plan_optimal(ranges).peak_bytes
    (7, 6)

    Source: after Sekiyama 2018, "Profile-guided memory optimization for deep neural networks", which treats a plan as
    rectangles of fixed times packed into a strip, and Burke 2004, "A new placement heuristic for the orthogonal
    stock-cutting problem", for the lowest gap first.
    """
    ranges = checked_ranges(ranges, alignment_bytes)
    states = whole("states", states, low=1, fix="use 100_000")
    quick = plan(ranges, alignment_bytes)
    if quick.peak_bytes == peak_live_bytes(ranges, alignment_bytes):
        return quick
    search = _Search(ranges, alignment_bytes, quick, states)
    search.fill((0,) * len(search.alive), (1 << len(ranges)) - 1, 0, {})
    return search.best


class _Search:
    """The memories seen so far, and the best plan among them."""

    def __init__(self, ranges: tuple[LiveRange, ...], alignment_bytes: int, best: Plan, states: int) -> None:
        self.ranges, self.alignment_bytes, self.best, self.states = (ranges, alignment_bytes, best, states)
        self.bound_bytes = peak_live_bytes(ranges, alignment_bytes)
        self.sizes = [aligned_bytes(live.size_bytes, alignment_bytes) for live in ranges]
        self.alive = _crowded_steps(ranges)  # for each column of the picture, one bit per buffer
        self.columns = [[c for c, alive in enumerate(self.alive) if alive >> i & 1] for i in range(len(ranges))]
        self.seen: set[tuple[tuple[int, ...], int]] = set()

    def fill(self, heights: tuple[int, ...], left: int, top: int, offsets: dict[int, int]) -> None:
        """Try all ways to place the buffers `left` (one bit each); `top` is the peak so far."""
        if not left:
            if top < self.best.peak_bytes:
                named = {self.ranges[i].name: offset for i, offset in offsets.items()}
                self.best = Plan(self.ranges, named, self.alignment_bytes)
            return
        todo = [self._sum(alive & left) for alive in self.alive]
        # The remaining buffers must lie above those already placed: prune a state that cannot beat the best.
        least = max(h + t for h, t in zip(heights, todo, strict=True) if t)
        if max(top, least) >= self.best.peak_bytes:
            return
        if (heights, left) in self.seen:
            return
        self.seen.add((heights, left))
        if len(self.seen) > self.states:
            raise ValueError(
                f"{len(self.ranges)} buffers have more than {self.states} memories to look at, and "
                "no plan is proved the best; use plan(ranges), or raise `states`"
            )
        column = min((c for c, t in enumerate(todo) if t), key=lambda c: heights[c])
        height, high, inside = heights[column], column, []
        while high + 1 < len(heights) and todo[high + 1] and heights[high + 1] == height:
            high += 1  # flat ground from `column` to `high`
        for i in _bits(left & self.alive[column]):
            if self.columns[i][0] == column and self.columns[i][-1] <= high:
                inside.append(i)
        for i in sorted(inside, key=lambda i: -self.sizes[i]):
            end = height + self.sizes[i]
            raised = _raise(heights, self.columns[i], end)
            self.fill(raised, left & ~(1 << i), max(top, end), {**offsets, i: height})
            if self.best.peak_bytes == self.bound_bytes:
                return
        # Or nothing starts at the leftmost column here: then the buffer above it rests on a neighbour, or on a buffer
        # that starts further right in this valley.
        rests = [heights[c] for c in (column - 1, high + 1) if 0 <= c < len(heights) and todo[c]]
        right = [self.sizes[i] for i in _bits(left) if column < self.columns[i][0] and self.columns[i][-1] <= high]
        rests += [height + min(right)] if right else []
        if rests:
            self.fill(_raise(heights, [column], min(rests)), left, top, offsets)

    def _sum(self, buffers: int) -> int:
        return sum(self.sizes[i] for i in _bits(buffers))


def _crowded_steps(ranges: tuple[LiveRange, ...]) -> list[int]:
    """Return which buffers live together, one bit each; a step that adds nothing is left out."""
    kept: list[int] = []
    for at in sorted({live.first_step for live in ranges}):
        alive = sum(1 << i for i, r in enumerate(ranges) if r.first_step <= at <= r.last_step)
        if kept and kept[-1] & alive == kept[-1]:
            kept.pop()
        kept.append(alive)
    return kept


def _raise(heights: tuple[int, ...], columns: list[int], to: int) -> tuple[int, ...]:
    raised = list(heights)
    for column in columns:
        raised[column] = to
    return tuple(raised)


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]
