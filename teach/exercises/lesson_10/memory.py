"""Lesson 10, exercise 10.6: how many bytes are alive at once."""

from itertools import pairwise

import numpy as np
import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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
            "That keeps every tensor to the end. A tensor needs no memory after its last step.",
        ),
        Mistake(
            lambda ranges: max(size for size, _, _ in ranges),
            "That is the largest tensor. A layer needs its input and its output at the same time.",
        ),
        Mistake(
            _peak(lambda at, first, end: first <= at < end),
            "A tensor is in memory from its first step on, and still needed at its last, where a layer reads it. Both "
            "ends count.",
        ),
        Mistake(
            lambda ranges: max([a[0] + b[0] for a, b in pairwise(ranges)] or [ranges[0][0]]),
            "That looks at neighbours only. A shortcut keeps a tensor alive while others come and "
            "go: add up all that are alive.",
        ),
        Mistake(_most_buffers, "That is how many tensors are alive. Add up their bytes."),
        Mistake(
            _peak(steps=lambda ranges: range(_last(ranges)) or [0]),
            "The last step is left out: `range(n)` ends at n - 1.",
        ),
        Mistake(
            _peak(steps=lambda ranges: range(1, _last(ranges) + 1) or [0]), "Step 0 is left out: the steps begin at 0."
        ),
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
            "A tensor is alive at its first step, at its last step, and between the two. Both ends count.",
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
            lambda ranges: max(sum(b for a, b, c in ranges if a <= at <= c) for at in range(_last(ranges) + 1)),
            lambda ranges: max(
                sum(c for a, b, c in ranges if a <= at <= b) for at in range(max(b for _, b, _ in ranges) + 1)
            ),
            lambda ranges: max(sum(c for a, b, c in ranges if a <= at <= b) for at in range(_last(ranges) + 1)),
        ),
        Symptom(
            lambda got, expected, arguments: max(got) == expected and len(got) > 1,
            "Those are the bytes at each step. Return the largest number.",
            examples=(_peak(of=list),),
        ),
        Symptom(
            lambda got, expected, arguments: got < expected,
            "At some step more bytes are alive than that.",
            examples=(lambda ranges: ranges[0][0] // 2,),
        ),
        Symptom(
            lambda got, expected, arguments: got > expected,
            "At no step are that many bytes alive at the same time.",
            examples=(lambda ranges: 7 * _peak()(ranges) + 1,),
        ),
    ),
    also_correct=(_peak_by_events, _peak_in_numpy),
    forbidden=(loops.peak_live_bytes,),
)
