"""Lesson 10, exercises 10.6 and 10.7: which bytes are alive at once, and where they may lie."""

from itertools import pairwise

import numpy as np
import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 10.6 -----------------------------------------------------------------------------------------------

Range = tuple[int, int, int]  # bytes, first step, last step


def peak_live_bytes(ranges: list[Range]) -> int:
    """The most bytes that are alive at one step; a range is alive at its first and its last step."""
    last = max(end for _, _, end in ranges)
    return max(sum(size for size, first, end in ranges if first <= at <= end) for at in range(last + 1))


def _peak_by_events(ranges: list[Range]) -> int:
    events = [(first, 1, size) for size, first, _ in ranges]
    events += [(end + 1, 0, -size) for size, _, end in ranges]
    alive = peak = 0
    for _, _, change in sorted(events):
        alive += change
        peak = max(peak, alive)
    return peak


def _peak_in_numpy(ranges: list[Range]) -> np.int64:
    alive = np.zeros(max(end for _, _, end in ranges) + 1, dtype=np.int64)
    for size, first, end in ranges:
        alive[first : end + 1] += size
    return alive.max()


def _exclusive(ranges: list[Range]) -> int:
    last = max(end for _, _, end in ranges)
    return max(sum(size for size, first, end in ranges if first <= at < end) for at in range(last + 1))


def _most_buffers(ranges: list[Range]) -> int:
    last = max(end for _, _, end in ranges)
    return max(sum(first <= at <= end for _, first, end in ranges) for at in range(last + 1))


def _ranges_case(generator: torch.Generator) -> Case:
    ranges = []
    for _ in range(random_whole(generator, 5, 8)):
        first = random_whole(generator, 0, 8)
        last = first + random_whole(generator, 1, 4)
        ranges.append((random_whole(generator, 1, 50), first, last))
    return Case(ranges)


PEAK_LIVE_BYTES = Exercise(
    id="10.6",
    title="The most bytes alive at once",
    reference=peak_live_bytes,
    cases=(
        Case([(8, 0, 1)]),
        Case([(8, 0, 1), (4, 1, 2)]),
        Case([(8, 0, 1), (4, 1, 2), (6, 2, 3)]),
        Case([(5, 0, 4), (8, 0, 1), (4, 1, 2), (6, 2, 3)]),
        *random_cases(10, seed=106, make=_ranges_case),
    ),
    mistakes=(
        Mistake(
            lambda ranges: sum(size for size, _, _ in ranges),
            "That keeps every tensor to the end. One that nobody reads any more needs no memory.",
        ),
        Mistake(
            lambda ranges: max(size for size, _, _ in ranges),
            "That is the largest tensor. A layer needs its input and its output at the same time.",
        ),
        Mistake(
            _exclusive, "A tensor is still needed at its last step: the layer of that step reads it. Both ends count."
        ),
        Mistake(
            lambda ranges: max([a[0] + b[0] for a, b in pairwise(ranges)] or [ranges[0][0]]),
            "That looks at neighbours only. A shortcut keeps a tensor alive while others come and "
            "go: add up all that are alive.",
        ),
        Mistake(_most_buffers, "That is how many tensors are alive. Add up their bytes."),
    ),
    also_correct=(_peak_by_events, _peak_in_numpy),
    forbidden=(loops.peak_live_bytes,),
)

# 10.7 -----------------------------------------------------------------------------------------------


def first_fit(size: int, taken: list[tuple[int, int]]) -> int:
    """The lowest offset where `size` bytes are free; `taken` are (first byte, first byte after)."""
    offset = 0
    for start, end in sorted(taken):
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset


def _first_fit_by_trying(size: int, taken: list[tuple[int, int]]) -> int:
    candidates = sorted([0, *(end for _, end in taken)])
    return next(at for at in candidates if all(at + size <= start or at >= end for start, end in taken))


def _first_fit_in_numpy(size: int, taken: list[tuple[int, int]]) -> np.int64:
    used = np.zeros(max([0, *(end for _, end in taken)]) + size, dtype=bool)
    for start, end in taken:
        used[start:end] = True
    windows = np.lib.stride_tricks.sliding_window_view(used, size)
    return np.flatnonzero(~windows.any(axis=1))[0]


def _unsorted(size: int, taken: list[tuple[int, int]]) -> int:
    offset = 0
    for start, end in taken:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset


def _falls_back(size: int, taken: list[tuple[int, int]]) -> int:
    offset = 0
    for start, end in sorted(taken):
        if start - offset >= size:
            break
        offset = end
    return offset


def _strictly_larger(size: int, taken: list[tuple[int, int]]) -> int:
    offset = 0
    for start, end in sorted(taken):
        if start - offset > size:
            break
        offset = max(offset, end)
    return offset


def _any_gap(size: int, taken: list[tuple[int, int]]) -> int:
    offset = 0
    for start, end in sorted(taken):
        if start > offset:
            break
        offset = max(offset, end)
    return offset


def _smallest_gap(size: int, taken: list[tuple[int, int]]) -> int:
    offset, gaps = 0, []
    for start, end in sorted(taken):
        if start - offset >= size:
            gaps.append((start - offset, offset))
        offset = max(offset, end)
    return min(gaps)[1] if gaps else offset


def _taken_case(generator: torch.Generator) -> Case:
    taken = []
    for _ in range(random_whole(generator, 2, 6)):
        start = random_whole(generator, 0, 60)
        taken.append((start, start + random_whole(generator, 2, 20)))
    return Case(random_whole(generator, 2, 12), taken)


FIRST_FIT = Exercise(
    id="10.7",
    title="The lowest place that is free",
    reference=first_fit,
    cases=(
        Case(4, []),
        Case(4, [(0, 8)]),
        Case(4, [(0, 8), (12, 16)]),
        Case(4, [(4, 8)]),
        Case(4, [(0, 8), (10, 16)]),
        Case(4, [(12, 16), (0, 8)]),
        Case(4, [(0, 16), (2, 6), (18, 30)]),
        Case(4, [(6, 10), (14, 20)]),
        *random_cases(10, seed=107, make=_taken_case),
    ),
    mistakes=(
        Mistake(
            lambda size, taken: max([0, *(end for _, end in taken)]),
            "That always goes on top. Look for a gap below that is large enough.",
        ),
        Mistake(_unsorted, "The taken places come in any order. Sort them by their start before you look for gaps."),
        Mistake(
            _falls_back, "Two taken places may overlap, and a short one may end before a long one: keep the larger end."
        ),
        Mistake(_strictly_larger, "A gap of exactly `size` bytes fits."),
        Mistake(_any_gap, "The first gap may be too small: check that `size` bytes fit."),
        Mistake(_smallest_gap, "That is the smallest gap that fits (best fit). First fit takes the lowest one."),
    ),
    also_correct=(_first_fit_by_trying, _first_fit_in_numpy),
)
