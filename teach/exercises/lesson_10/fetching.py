"""Lesson 10, exercise 10.8: how long a pipeline of loads and computations takes."""

import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

Times = list[int]


def pipelined_time(loads: Times, computes: Times) -> int:
    """Cycles with two buffers: while one tile is computed, the next one is loaded."""
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


def _rounds(pairs, first=lambda loads: loads[0], last=lambda computes: computes[-1], longer=max):
    """A wrong answer: other pairs of a load and a computation share a round, or its ends are other ones."""
    return lambda loads, computes: first(loads) + sum(longer(pair) for pair in pairs(loads, computes)) + last(computes)


def _next(loads: Times, computes: Times) -> list[tuple[int, int]]:
    return list(zip(loads[1:], computes, strict=False))


def _equal(of_loads, of_computes):
    """A wrong answer: the rule for equal tiles, with one load and one computation in place of all."""

    def wrong(loads: Times, computes: Times) -> float:
        load, compute = of_loads(loads), of_computes(computes)
        return load + (len(loads) - 1) * max(load, compute) + compute

    return wrong


def _mean(times: Times) -> float:
    return sum(times) / len(times)


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
            "That runs loads and computations one after the other. With a second buffer, the next load runs during "
            "the computation of this tile.",
        ),
        Mistake(
            lambda loads, computes: max(sum(loads), sum(computes)),
            "No computation hides the first load, and no load hides the last computation: both count in full.",
        ),
        Mistake(
            lambda loads, computes: sum(max(load, compute) for load, compute in zip(loads, computes, strict=True)),
            "A tile cannot be used while it is still being loaded: pair each computation with the load of the *next* "
            "tile.",
        ),
        Mistake(
            lambda loads, computes: (
                loads[0] + sum(max(load, compute) for load, compute in zip(loads, computes, strict=True))
            ),
            "After the first load, pair each computation with the load of the *next* tile, not with its own.",
        ),
        Mistake(
            lambda loads, computes: loads[0] + sum(max(load, c) for load, c in zip(loads[1:], computes, strict=False)),
            "The last tile still has to be computed after all loads are done.",
        ),
        Mistake(
            lambda loads, computes: (
                sum(max(load, c) for load, c in zip(loads[1:], computes, strict=False)) + computes[-1]
            ),
            "Before anything can start, the first tile has to be loaded.",
        ),
        Mistake(
            _endless_buffers,
            "With two buffers, a load has to wait until one of them is free: it cannot run ahead for ever.",
        ),
        Mistake(
            lambda loads, computes: loads[0] + max(computes[0], loads[1]) + computes[-1] if len(loads) > 1 else None,
            "A `return` inside the loop ends it after its first round, and with one tile it never comes: put it "
            "after the loop.",
        ),
    ),
    symptoms=(
        variants(
            "A round has the computation of one tile and the load of the *next*: computes[0] goes with loads[1].",
            _rounds(lambda loads, computes: list(zip(loads, computes, strict=True))),
            _rounds(lambda loads, computes: list(zip(loads[1:], computes[1:], strict=True))),
            _rounds(lambda loads, computes: list(zip(loads, computes[1:], strict=False))),
            _rounds(lambda loads, computes: list(zip(loads[:-1], computes[:-1], strict=False))),
        ),
        variants(
            "That is the rule for equal tiles. These tiles differ: each round takes the larger of its own two times.",
            _equal(lambda loads: loads[0], lambda computes: computes[0]),
            _equal(max, max),
            _equal(_mean, _mean),
            lambda loads, computes: loads[0] + (len(loads) - 1) * max(*loads, *computes) + computes[-1],
            lambda loads, computes: loads[0] + (len(loads) - 1) * max(loads[0], computes[0]) + computes[-1],
        ),
        variants(
            "Only the load of the *first* tile, before the rounds, and the computation of the *last* one, after them, "
            "have no partner.",
            _rounds(_next, last=lambda computes: computes[0]),
            _rounds(_next, first=lambda loads: loads[-1]),
            _rounds(_next, first=lambda loads: loads[-1], last=lambda computes: computes[0]),
            lambda loads, computes: _rounds(_next, last=lambda _: loads[-1])(loads, computes),
            _rounds(_next, first=lambda loads: 0, last=lambda computes: 0),
        ),
        variants(
            "Compare the two in each round, and not once for all rounds: a short load cannot lend its time to a later "
            "round.",
            lambda loads, computes: loads[0] + max(sum(loads[1:]), sum(computes[:-1])) + computes[-1],
            lambda loads, computes: max(loads[0] + sum(computes), sum(loads) + computes[-1]),
            lambda loads, computes: loads[0] + max(sum(loads[1:]), sum(computes)),
        ),
        variants(
            "In a round both must finish: it takes as long as the *slower* of the two.", _rounds(_next, longer=min)
        ),
        variants(
            "In some rounds the load takes longer, in others the computation. Each round takes the larger of its two "
            "times.",
            lambda loads, computes: sum(loads) + computes[-1],
            lambda loads, computes: loads[0] + sum(computes),
        ),
        variants(
            "One round is missing: after the first load, every other tile is loaded in a round of its own.",
            _rounds(lambda loads, computes: _next(loads, computes)[:-1]),
            _rounds(lambda loads, computes: _next(loads, computes)[1:]),
        ),
    ),
    also_correct=(_pipelined_by_events, _pipelined_by_clock),
    forbidden=(loops.double_buffered_s, loops.pipelined_s, loops.timeline),
)
