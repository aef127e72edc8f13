"""Lesson 10, exercise 10.7: the lowest place that is free."""

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


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
        Mistake(
            lambda size, taken: _unsorted(size, sorted(taken, key=lambda place: place[1])),
            "Sort by the *start* of the taken places, not by their end.",
        ),
        Mistake(
            _lowest(lambda at, size, start, end: not (start <= at < end or start <= at + size - 1 < end)),
            "A taken place may be between the first and the last of the bytes. All `size` of them must be free.",
        ),
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
        Mistake(
            lambda size, taken: 0 if sorted(taken)[0][0] >= size else first_fit(size, taken),
            "`taken` may be empty. Then nothing is taken, and the lowest free place is 0.",
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
            "A taken place is (first byte, first byte after). The second number is not a length.",
            lambda size, taken: first_fit(size, [(start, start + end) for start, end in taken]),
        ),
        variants(
            "Any byte may be the first one, not only multiples of `size`.",
            lambda size, taken: next(
                at for at in range(0, 1000, size) if all(at + size <= start or at >= end for start, end in taken)
            ),
        ),
        variants(
            "That looks at the gap below the lowest taken place only. There may be gaps between the others.",
            lambda size, taken: (
                0 if not taken or min(start for start, _ in taken) >= size else max(end for _, end in taken)
            ),
        ),
        variants(
            "That adds up the taken bytes. Taken places may overlap, and there may be gaps between them.",
            lambda size, taken: sum(end - start for start, end in taken),
        ),
        Symptom(
            lambda got, expected, arguments: any(
                got < end and start < got + arguments["size"] for start, end in arguments["taken"]
            ),
            "That place overlaps a taken one.",
            examples=(lambda size, taken: min((start for start, _ in taken), default=0),),
        ),
        Symptom(
            lambda got, expected, arguments: got > expected,
            "That place is free, and so is a lower one.",
            examples=(lambda size, taken: 500 + size,),
        ),
    ),
    also_correct=(_first_fit_by_trying, _first_fit_in_numpy),
)
