"""Lesson 10, exercises 10.6 and 10.7: which bytes are alive at once, and where they may lie."""

from itertools import pairwise

import numpy as np
import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.exercises.variants import variants

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


def _peak(alive=lambda at, first, end: first <= at <= end, steps=lambda ranges: range(_last(ranges) + 1), of=max):
    """A wrong answer: another rule of who is alive, other steps, or another number of what is alive at each."""
    return lambda ranges: of(sum(size for size, first, end in ranges if alive(at, first, end)) for at in steps(ranges))


def _last(ranges: list[Range]) -> int:
    return max(end for _, _, end in ranges)


def _most_buffers(ranges: list[Range]) -> int:
    return max(sum(first <= at <= end for _, first, end in ranges) for at in range(_last(ranges) + 1))


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
        Case([(8, 0, 0), (4, 1, 2)]),
        Case([(8, 0, 1), (4, 1, 2), (6, 2, 3)]),
        Case([(8, 0, 1), (4, 1, 2), (9, 2, 2)]),
        Case([(4, 0, 1), (9, 1, 1)]),
        Case([(4, 20, 21), (9, 21, 22)]),
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
            _peak(lambda at, first, end: first <= at < end),
            "A tensor is still needed at its last step: the layer of that step reads it. Both ends count.",
        ),
        Mistake(
            lambda ranges: max([a[0] + b[0] for a, b in pairwise(ranges)] or [ranges[0][0]]),
            "That looks at neighbours only. A shortcut keeps a tensor alive while others come and "
            "go: add up all that are alive.",
        ),
        Mistake(_most_buffers, "That is how many tensors are alive. Add up their bytes."),
        Mistake(
            lambda ranges: sum(size * (end - first + 1) for size, first, end in ranges),
            "That adds up all steps. Add up the bytes of one step, and take the step with the most.",
        ),
        Mistake(
            _peak(of=min), "That is the step with the fewest bytes. The memory must be enough for the fullest one."
        ),
    ),
    symptoms=(
        variants(
            "A tensor is alive at its first step, at its last, and between them: both ends count.",
            _peak(lambda at, first, end: first < at <= end),
            _peak(lambda at, first, end: first < at < end),
        ),
        variants(
            "A tensor is also alive between its first and its last step: a shortcut waits there to be read.",
            _peak(lambda at, first, end: at == first),
            _peak(lambda at, first, end: at == end),
            _peak(lambda at, first, end: at in (first, end)),
        ),
        variants(
            "Some steps are left out. Look at all of them, from 0 to the last step of any tensor, both included.",
            _peak(steps=lambda ranges: range(_last(ranges)) or [0]),
            _peak(steps=lambda ranges: range(1, _last(ranges) + 1) or [0]),
            _peak(steps=lambda ranges: range(1, _last(ranges)) or [0]),
            _peak(steps=lambda ranges: range(len(ranges))),
            _peak(steps=lambda ranges: range(len(ranges) + 1)),
            _peak(steps=lambda ranges: range(ranges[-1][2] + 1)),
        ),
        variants(
            "That looks at one step only. The peak may be at any of them.",
            _peak(steps=lambda ranges: [0]),
            _peak(steps=lambda ranges: [ranges[0][1]]),
            _peak(steps=lambda ranges: [_last(ranges)]),
        ),
        variants(
            "That is the number of the step. Return how many bytes are alive at it.",
            lambda ranges: max(range(_last(ranges) + 1), key=lambda at: _peak(steps=lambda _: [at])(ranges)),
        ),
        variants(
            "That is a mean over the steps. The memory must be enough for the fullest step.",
            lambda ranges: _peak(of=sum)(ranges) / (_last(ranges) + 1),
        ),
        variants(
            "The largest two may never be alive together, and more than two may be. Look at the steps.",
            lambda ranges: sum(sorted(size for size, _, _ in ranges)[-2:]),
        ),
        variants(
            "Each range is (bytes, first step, last step), in this order.",
            lambda ranges: max(
                sum(c for a, b, c in ranges if a <= at <= b) for at in range(max(b for _, b, _ in ranges) + 1)
            ),
            lambda ranges: max(sum(c for a, b, c in ranges if a <= at <= b) for at in range(_last(ranges) + 1)),
        ),
        Symptom(
            lambda got, expected, arguments: max(got) == expected and len(got) > 1,
            "Those are the bytes at each step. Return the most of them.",
            examples=(_peak(of=list),),
        ),
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
    return min(_gaps(size, taken), key=lambda gap: gap[1])[0]


def _lowest(fits):
    """A wrong answer: the lowest offset at which `fits(offset, size, start, end)` for every taken place."""
    return lambda size, taken: next(at for at in range(1000) if all(fits(at, size, start, end) for start, end in taken))


def _gaps(size: int, taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(offset, bytes) of the gaps that are large enough, and the place on top as an endless one."""
    offset, gaps = 0, []
    for start, end in sorted(taken):
        if start - offset >= size:
            gaps.append((offset, start - offset))
        offset = max(offset, end)
    return [*gaps, (offset, 10**9)]


def _after_the_first(size: int, taken: list[tuple[int, int]]) -> int:
    """Looks at the gaps between taken places, and not at the one below the lowest."""
    return _gaps(size, [(0, min(start for start, _ in taken)), *taken])[0][0] if taken else 0


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
        Case(2, [(0, 16), (2, 6)]),
        Case(2, [(3, 5), (8, 10), (12, 14)]),
        Case(6, [(2, 4)]),
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
        Mistake(_after_the_first, "The gap below the first taken place counts too: begin at byte 0."),
        Mistake(
            lambda size, taken: (
                _gaps(size, taken)[:-1][-1][0] if len(_gaps(size, taken)) > 1 else _gaps(size, taken)[0][0]
            ),
            "That is the highest gap that fits. First fit stops at the lowest one.",
        ),
        Mistake(
            lambda size, taken: max(_gaps(size, taken)[:-1] or _gaps(size, taken), key=lambda gap: gap[1])[0],
            "That is the largest gap (worst fit). First fit takes the lowest one that is large enough.",
        ),
        Mistake(_smallest_gap, "That is the smallest gap that fits (best fit). First fit takes the lowest one."),
    ),
    symptoms=(
        variants(
            "The second number of a taken place is the first byte *after* it: that byte is free.",
            _lowest(lambda at, size, start, end: at + size <= start or at > end),
            lambda size, taken: first_fit(size, [(start, end + 1) for start, end in taken]),
        ),
        variants(
            "A taken place is (first byte, first byte after). The second number is no length.",
            lambda size, taken: first_fit(size, [(start, start + end) for start, end in taken]),
        ),
        variants(
            "All `size` bytes must be free, from the first to the last, and not only some of them.",
            _lowest(lambda at, size, start, end: at < start or at >= end),
            _lowest(lambda at, size, start, end: not (start <= at < end or start <= at + size - 1 < end)),
        ),
        variants(
            "Any byte may be the first one, not only multiples of `size`.",
            lambda size, taken: next(
                at for at in range(0, 1000, size) if all(at + size <= start or at >= end for start, end in taken)
            ),
        ),
        variants(
            "Sort by the *start* of the taken places, not by their end.",
            lambda size, taken: _unsorted(size, sorted(taken, key=lambda place: place[1])),
        ),
        variants(
            "That looks at the gap below the lowest taken place only. There may be gaps between the others.",
            lambda size, taken: (
                0 if not taken or min(start for start, _ in taken) >= size else max(end for _, end in taken)
            ),
        ),
        variants(
            "That adds up what is taken. Taken places may overlap, and a gap may lie between them.",
            lambda size, taken: sum(end - start for start, end in taken),
        ),
    ),
    also_correct=(_first_fit_by_trying, _first_fit_in_numpy),
)
