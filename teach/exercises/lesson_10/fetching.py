"""Lesson 10, exercise 10.8: how long a pipeline of loads and computations takes."""

import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

Times = list[int]


def pipelined_time(loads: Times, computes: Times) -> int:
    """Cycles with two buffers: while one tile is worked on, the next one is loaded."""
    hidden = sum(max(load, compute) for load, compute in zip(loads[1:], computes, strict=False))
    return loads[0] + hidden + computes[-1]


def _pipelined_by_events(loads: Times, computes: Times) -> float:
    load_ends, compute_ends = [], []
    for at, (load, compute) in enumerate(zip(loads, computes, strict=True)):
        start = load_ends[-1] if load_ends else 0
        if at >= 2:  # its buffer must be free
            start = max(start, compute_ends[at - 2])
        load_ends.append(start + load)
        compute_ends.append(max(load_ends[-1], compute_ends[-1] if compute_ends else 0) + compute)
    return float(compute_ends[-1])


def _pipelined_by_clock(loads: Times, computes: Times) -> int:
    now = loads[0]
    for at in range(len(loads)):
        following = loads[at + 1] if at + 1 < len(loads) else 0
        now += max(computes[at], following)
    return now


def _endless_buffers(loads: Times, computes: Times) -> int:
    loaded = done = 0
    for load, compute in zip(loads, computes, strict=True):
        loaded += load
        done = max(done, loaded) + compute
    return done


def _tiles_case(generator: torch.Generator) -> Case:
    tiles = random_whole(generator, 3, 7)
    loads = [random_whole(generator, 1, 20) for _ in range(tiles)]
    return Case(loads, [random_whole(generator, 1, 20) for _ in range(tiles)])


PIPELINED_TIME = Exercise(
    id="10.8",
    title="The time of a double-buffered loop",
    reference=pipelined_time,
    cases=(
        Case([3], [5]),
        Case([3, 3], [5, 5]),
        Case([5, 5, 5], [3, 3, 3]),
        Case([2, 6, 1], [4, 3, 5]),
        Case([1, 1, 9, 9], [9, 9, 1, 1]),
        Case([1, 1, 1, 9], [9, 1, 1, 1]),
        *random_cases(10, seed=108, make=_tiles_case),
    ),
    mistakes=(
        Mistake(
            lambda loads, computes: sum(loads) + sum(computes),
            "That is one after the other. With a second buffer, the next load runs while this tile is worked on.",
        ),
        Mistake(
            lambda loads, computes: max(sum(loads), sum(computes)),
            "The first load has nothing to hide behind, and nothing hides the last computation: both are waited for.",
        ),
        Mistake(
            lambda loads, computes: sum(max(load, compute) for load, compute in zip(loads, computes, strict=True)),
            "A tile cannot be worked on while it is still being loaded: pair each computation with "
            "the load of the *next* tile.",
        ),
        Mistake(
            lambda loads, computes: (
                loads[0] + sum(max(load, compute) for load, compute in zip(loads, computes, strict=True))
            ),
            "After the first load, pair each computation with the load of the *next* tile, not with its own.",
        ),
        Mistake(
            lambda loads, computes: loads[0] + sum(max(load, c) for load, c in zip(loads[1:], computes, strict=False)),
            "The last tile still has to be worked on when all loads are done.",
        ),
        Mistake(
            lambda loads, computes: (
                sum(max(load, c) for load, c in zip(loads[1:], computes, strict=False)) + computes[-1]
            ),
            "Before anything can start, the first tile has to be loaded.",
        ),
        Mistake(
            _endless_buffers,
            "With two buffers a load waits until the tile before the last one is done with: it "
            "cannot run ahead for ever.",
        ),
    ),
    also_correct=(_pipelined_by_events, _pipelined_by_clock),
    forbidden=(loops.double_buffered_s, loops.pipelined_s, loops.timeline),
)
