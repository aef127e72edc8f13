"""The place of each buffer in one block of memory: buffers that are not needed together share space.

All planners except the naive one place the buffers one by one, and differ in the order. An exact plan,
for small graphs, is in `optimal.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from mini_lib.loops.memory.liveness import LiveRange, aligned_bytes, peak_live_bytes
from mini_lib.require import checked, of_type, shown, whole


@dataclass(frozen=True)
class Plan:
    """The offset of each buffer in one block of memory of `peak_bytes`; it checks itself.

    Every offset and every size is rounded up to whole `alignment_bytes`.

    Raises:
        TypeError: an offset or the alignment is not a whole number.
        ValueError: an offset is missing, negative or not aligned, two ranges have the same name, or two buffers that
            are alive at the same step overlap.

    >>> ranges = [LiveRange("x", 8, 0, 1), LiveRange("y", 4, 1, 2), LiveRange("z", 6, 2, 3)]
    >>> Plan(ranges, {"x": 0, "y": 8, "z": 0}).peak_bytes
    12
    >>> Plan(ranges, {"x": 0, "y": 6, "z": 0})
    Traceback (most recent call last):
    ValueError: 'x' (bytes 0 to 7) and 'y' (6 to 9) overlap and both live at step 1; move one
    """

    ranges: tuple[LiveRange, ...]
    offsets: Mapping[str, int]
    alignment_bytes: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", checked_ranges(self.ranges, self.alignment_bytes))
        checked(self, "alignment_bytes", whole, low=1, fix="use 64, a cache line, or 1 for none")
        object.__setattr__(self, "offsets", dict(of_type("offsets", self.offsets, Mapping, fix="pass {name: offset}")))
        names = [r.name for r in self.ranges]
        if set(names) != set(self.offsets):
            raise ValueError(
                f"offsets must name each of {names}, got {shown(list(self.offsets))}; give one offset for each"
            )
        for name, offset in self.offsets.items():
            self.offsets[name] = offset = whole(f"offset of {name!r}", offset, low=0, fix="memory starts at 0")
            if offset % self.alignment_bytes:
                raise ValueError(
                    f"offset of {name!r} must be whole {self.alignment_bytes} bytes, got {offset}; "
                    f"use {aligned_bytes(offset, self.alignment_bytes)}"
                )
        for one, two in combinations(self.ranges, 2):
            start, other = self.offsets[one.name], self.offsets[two.name]
            end, other_end = self.end(one), self.end(two)
            if one.meets(two) and start < other_end and other < end:
                raise ValueError(
                    f"{one.name!r} (bytes {start} to {end - 1}) and {two.name!r} ({other} to "
                    f"{other_end - 1}) overlap and both live at step "
                    f"{max(one.first_step, two.first_step)}; move one"
                )

    def end(self, live: LiveRange) -> int:
        """Return the first byte after a buffer, its alignment included.

        Raises:
            TypeError: `live` is not a live range.
            ValueError: it is not in this plan.
        """
        of_type("live", live, LiveRange, fix="pass one of plan.ranges")
        if live.name not in self.offsets:
            raise ValueError(f"the plan has no buffer {shown(live.name)}; pass one of plan.ranges")
        return self.offsets[live.name] + aligned_bytes(live.size_bytes, self.alignment_bytes)

    @property
    def peak_bytes(self) -> int:
        """The size of the block of memory that the plan needs."""
        return max(map(self.end, self.ranges))

    @property
    def bound_bytes(self) -> int:
        """The most bytes alive at one step, which no plan can beat."""
        return peak_live_bytes(self.ranges, self.alignment_bytes)


def checked_ranges(ranges: Iterable[LiveRange], alignment_bytes: int) -> tuple[LiveRange, ...]:
    """Return the ranges as a tuple, if there is at least one and each has its own name."""
    alignment_bytes = whole("alignment_bytes", alignment_bytes, low=1, fix="use 64, a cache line, or 1 for none")
    ranges = tuple(of_type("ranges", ranges, Iterable, fix="pass live_ranges(steps, inputs)"))
    if not ranges:
        raise ValueError("ranges must hold at least one LiveRange, got none; pass live_ranges(steps, inputs)")
    for live in ranges:
        if not isinstance(live, LiveRange):
            raise TypeError(f"ranges must hold LiveRange, got {shown(live)}; pass live_ranges(steps, inputs)")
    names = [live.name for live in ranges]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each range needs its own name, got {twice} twice; rename one")
    return ranges


def place_in_order(ranges: Sequence[LiveRange], order: Iterable[LiveRange], alignment_bytes: int) -> Plan:
    """Place buffers in this order, each into the smallest gap that fits, or else on top.

    The gaps are those between earlier placed buffers that are alive at the same time.

    Source: Pisarchyk 2020, "Efficient Memory Management for Deep Neural Net Inference", algorithm 3.

    >>> x, y, z = LiveRange("x", 8, 0, 0), LiveRange("y", 4, 0, 1), LiveRange("z", 8, 1, 1)
    >>> place_in_order((x, y, z), (x, y, z), alignment_bytes=1).offsets  # z where x was
    {'x': 0, 'y': 8, 'z': 0}
    """
    placed: list[tuple[int, int, LiveRange]] = []  # offset, end, buffer
    for live in order:
        size = aligned_bytes(live.size_bytes, alignment_bytes)
        free_from, best, smallest = 0, None, None
        for offset, end, _ in sorted((p for p in placed if live.meets(p[2])), key=lambda p: p[:2]):
            gap = offset - free_from
            if gap >= size and (smallest is None or gap < smallest):
                best, smallest = free_from, gap
            free_from = max(free_from, end)
        offset = free_from if best is None else best
        placed.append((offset, offset + size, live))
    return Plan(tuple(ranges), {live.name: offset for offset, _, live in placed}, alignment_bytes)


def plan_naive(ranges: Iterable[LiveRange], alignment_bytes: int = 1) -> Plan:
    """Plan with no reuse: every buffer has its own place.

    >>> ranges = [LiveRange("x", 8, 0, 0), LiveRange("y", 4, 0, 1), LiveRange("z", 8, 1, 1)]
    >>> plan_naive(ranges).peak_bytes
    20
    """
    ranges = checked_ranges(ranges, alignment_bytes)
    offsets, top = {}, 0
    for live in ranges:
        offsets[live.name] = top
        top += aligned_bytes(live.size_bytes, alignment_bytes)
    return Plan(ranges, offsets, alignment_bytes)


def plan_greedy_by_size(ranges: Iterable[LiveRange], alignment_bytes: int = 1) -> Plan:
    """Plan the largest buffers first, regardless of time: small ones fit into the remaining gaps.

    Source: Pisarchyk 2020, "Efficient Memory Management for Deep Neural Net Inference", section 5.

    >>> ranges = [LiveRange("x", 8, 0, 0), LiveRange("y", 4, 0, 1), LiveRange("z", 8, 1, 1)]
    >>> plan_greedy_by_size(ranges).offsets
    {'x': 0, 'z': 0, 'y': 8}
    """
    ranges = checked_ranges(ranges, alignment_bytes)
    return place_in_order(ranges, sorted(ranges, key=_by_size), alignment_bytes)


def plan_best_fit(ranges: Iterable[LiveRange], alignment_bytes: int = 1) -> Plan:
    """Plan in order of time, as an allocator does: each into the smallest free block that fits.

    It does not know the future. Here x is placed at 0 and y at 4; when z comes, the hole that x
    leaves is too small. With the largest first, y and x do not split the memory:

    >>> ranges = [LiveRange("x", 4, 0, 0), LiveRange("y", 4, 0, 1), LiveRange("z", 8, 1, 1)]
    >>> plan_best_fit(ranges).peak_bytes, plan_greedy_by_size(ranges).peak_bytes
    (16, 12)
    """
    ranges = checked_ranges(ranges, alignment_bytes)
    return place_in_order(ranges, sorted(ranges, key=lambda live: live.first_step), alignment_bytes)


def plan(ranges: Iterable[LiveRange], alignment_bytes: int = 1, *, moves: int = 1000, seed: int = 0) -> Plan:
    """Return the best plan of several orders, improved by random moves.

    The orders are by size, by time, by lifetime, by size times lifetime. It stops as soon as a plan
    meets the bound. Otherwise it tries `moves` more orders, drawn with `seed`: mostly, a buffer at the very top of
    memory is placed earlier. One in twenty worse orders is kept, so that the search does not get stuck.

    Raises:
        TypeError: `moves` or `seed` is not a whole number.
        ValueError: `moves` or `seed` is below 0.

    >>> ranges = [LiveRange("x", 4, 0, 0), LiveRange("y", 4, 0, 1), LiveRange("z", 8, 1, 1)]
    >>> best = plan(ranges)
    >>> best.peak_bytes, best.bound_bytes
    (12, 12)
    """
    ranges = checked_ranges(ranges, alignment_bytes)
    moves = whole("moves", moves, low=0, fix="use 1000, or 0 for the fixed orders alone")
    seed = whole("seed", seed, low=0, fix="pass any seed such as 0")
    generator = random.Random(seed)
    bound_bytes = peak_live_bytes(ranges, alignment_bytes)
    orders = [sorted(ranges, key=key) for key in (_by_size, _by_time, _by_lifetime, _by_area)]
    plans = [place_in_order(ranges, order, alignment_bytes) for order in orders]
    now, order = min(zip(plans, orders, strict=True), key=lambda pair: pair[0].peak_bytes)
    best = now
    for _ in range(moves):
        if best.peak_bytes == bound_bytes:  # always so for a single buffer
            break
        tried_order = _moved(order, now, generator)
        tried = place_in_order(ranges, tried_order, alignment_bytes)
        if tried.peak_bytes <= now.peak_bytes or generator.random() < 0.05:
            now, order = tried, tried_order
        if tried.peak_bytes < best.peak_bytes:
            best = tried
    return best


def _moved(order: list[LiveRange], now: Plan, generator: random.Random) -> list[LiveRange]:
    """Return the order with one buffer moved earlier: one at the top, or, three times in ten, any."""
    order = list(order)
    at = order.index(generator.choice([live for live in order if now.end(live) == now.peak_bytes]))
    if at == 0 or generator.random() < 0.3:
        at = generator.randrange(1, len(order))
    order.insert(generator.randrange(at), order.pop(at))
    return order


def _by_size(live: LiveRange) -> tuple[int, int]:
    return -live.size_bytes, -live.steps


def _by_time(live: LiveRange) -> int:
    return live.first_step


def _by_lifetime(live: LiveRange) -> tuple[int, int]:
    return -live.steps, -live.size_bytes


def _by_area(live: LiveRange) -> int:
    return -live.steps * live.size_bytes
