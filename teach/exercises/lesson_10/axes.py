"""Lesson 10, exercise 10.2: which loop runs along which axis of a unit."""

import itertools
from fractions import Fraction
from typing import Any

import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.exercises.lesson_10.units import padded, utilization


def best_axes(loops: dict[str, int], rows: int, columns: int) -> tuple[str, str]:
    """The two loops that use most of a rows x columns unit: (loop on the rows, loop on the columns)."""
    return max(
        itertools.permutations(loops, 2),
        key=lambda pair: utilization([loops[pair[0]], loops[pair[1]]], [rows, columns]),
    )


def _best_axes_by_hand(loops: dict[str, int], rows: int, columns: int) -> list[str]:
    best, best_share = None, Fraction(-1)
    for down in loops:
        for across in loops:
            if down == across:
                continue
            share = Fraction(loops[down], -(-loops[down] // rows) * rows)
            share *= Fraction(loops[across], -(-loops[across] // columns) * columns)
            if share > best_share:
                best, best_share = [down, across], share
    return best


def _share(loops: dict[str, int], pair: tuple[str, str], rows: int, columns: int) -> float:
    return utilization([loops[pair[0]], loops[pair[1]]], [rows, columns])


def _is_clear(loops: dict[str, int], rows: int, columns: int) -> bool:
    """Whether one pair is better than all others, so that one answer is right."""
    shares = sorted(_share(loops, pair, rows, columns) for pair in itertools.permutations(loops, 2))
    return shares[-1] > shares[-2] + 1e-6


def _axes_case(generator: torch.Generator) -> Case:
    while True:
        names = ("out", "in", "y", "x", "dy")
        loops = {name: random_whole(generator, 3, 70) for name in names}
        rows, columns = ((32, 8), (16, 32), (8, 64))[random_whole(generator, 0, 2)]
        if _is_clear(loops, rows, columns):
            return Case(loops, rows, columns)


def _either_way(pair: Any) -> Any:
    """In the cases, dy and dx come together only where they are equally long: then either may be on the rows."""
    return ("dy", "dx") if isinstance(pair, (tuple, list)) and set(pair) == {"dy", "dx"} else pair


def _best_of(share, pairs=itertools.permutations):
    """A wrong answer: the pair with the largest `share(length, length, rows, columns)`."""
    return lambda loops, rows, columns: max(
        pairs(loops, 2), key=lambda pair: share(loops[pair[0]], loops[pair[1]], rows, columns)
    )


def _one_by_one(first: int):
    """A wrong answer: the best loop for one axis (0: the rows), then the best of the others for the other axis."""

    def wrong(loops: dict[str, int], rows: int, columns: int) -> tuple[str, str]:
        here, there = (rows, columns) if first == 0 else (columns, rows)
        one = max(loops, key=lambda name: utilization([loops[name]], [here]))
        other = max((name for name in loops if name != one), key=lambda name: utilization([loops[name]], [there]))
        return (one, other) if first == 0 else (other, one)

    return wrong


def _longest(loops: dict[str, int]) -> list[str]:
    return sorted(loops, key=lambda name: loops[name], reverse=True)[:2]


def _least_waste(loops: dict[str, int], rows: int, columns: int) -> tuple[str, str]:
    def empty(pair: tuple[str, str]) -> int:
        down, across = loops[pair[0]], loops[pair[1]]
        return padded(down, rows) - down + padded(across, columns) - across

    return min(itertools.permutations(loops, 2), key=empty)


BEST_AXES = Exercise(
    id="10.2",
    title="Which loop on which axis",
    reference=best_axes,
    view=_either_way,
    cases=(
        Case({"out": 16, "in": 8}, 8, 16),
        Case({"out": 17, "in": 16, "x": 32}, 16, 32),
        Case({"out": 10, "in": 8, "dx": 3}, 8, 4),
        Case({"out": 36, "in": 2, "x": 6}, 16, 32),
        Case({"in": 2, "dy": 3, "dx": 3}, 4, 4),
        *random_cases(10, seed=102, make=_axes_case),
    ),
    mistakes=(
        Mistake(
            _best_of(lambda down, across, rows, columns: down * across),
            "The longest loops are not always the best: 17 on an axis of 16 leaves half of it empty, and 16 fills it.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                itertools.product(loops, repeat=2), key=lambda pair: _share(loops, pair, rows, columns)
            ),
            "One loop cannot run along both axes: that would be only the diagonal.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                itertools.combinations(loops, 2), key=lambda pair: _share(loops, pair, rows, columns)
            ),
            "The two axes differ, so try each pair both ways round.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                itertools.permutations(loops, 2),
                key=lambda pair: min(loops[pair[0]], rows) * min(loops[pair[1]], columns),
            ),
            "That fills the first block only. A loop that is longer than the axis ends in a partly filled block.",
        ),
        Mistake(
            _least_waste,
            "That counts empty rows and columns. Two empty rows of four are worse than two of forty: compare shares.",
        ),
        Mistake(
            lambda loops, rows, columns: best_axes(loops, rows, columns)[::-1],
            "The two are swapped: return (loop on the rows, loop on the columns).",
        ),
        Mistake(
            lambda loops, rows, columns: _share(loops, best_axes(loops, rows, columns), rows, columns),
            "That is the share that is used. Return the names of the two loops.",
        ),
        Mistake(
            _one_by_one(0),
            "That chooses the loop for the rows first, and the columns get what is left. The rows' best loop may be "
            "needed more on the columns: compare pairs.",
        ),
        Mistake(
            _one_by_one(1), "That chooses the loop for the columns first, and the rows get what is left. Compare pairs."
        ),
        Mistake(
            lambda loops, rows, columns: min(
                itertools.permutations(loops, 2), key=lambda pair: _share(loops, pair, rows, columns)
            ),
            "That is the pair that uses the unit least. Take the largest share.",
        ),
        Mistake(
            _best_of(
                lambda down, across, rows, columns: utilization([down], [rows]) + utilization([across], [columns])
            ),
            "The shares of the two axes multiply. Their sum prefers a pair with one full axis.",
        ),
        Mistake(
            _best_of(
                lambda down, across, rows, columns: min(utilization([down], [rows]), utilization([across], [columns]))
            ),
            "The emptier axis alone does not decide. The shares of the two axes multiply.",
        ),
        Mistake(
            _best_of(lambda down, across, rows, columns: utilization([down], [rows])),
            "Only the rows count there. A pair is as good as the shares of both axes, multiplied.",
        ),
        Mistake(
            _best_of(lambda down, across, rows, columns: utilization([across], [columns])),
            "Only the columns count there. A pair is as good as the shares of both axes, multiplied.",
        ),
        Mistake(
            _best_of(lambda down, across, rows, columns: -(down % rows + across % columns)),
            "A small remainder is not a full block: 17 on an axis of 16 leaves 1, which takes a block of its own.",
        ),
        Mistake(
            _best_of(lambda down, across, rows, columns: utilization([down, across], [rows, rows])),
            "The two axes have different lengths: the second loop runs along `columns`.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                [(a, b) for a in loops for b in loops if loops[a] != loops[b]],
                key=lambda pair: _share(loops, pair, rows, columns),
            ),
            "Two different loops may be equally long, as dy and dx are. Compare the names, not the lengths.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: list(got) == [arguments["loops"][name] for name in expected],
            "Those are the lengths of the two loops. Return their names.",
            examples=(lambda loops, rows, columns: [loops[name] for name in best_axes(loops, rows, columns)],),
        ),
        Symptom(
            lambda got, expected, arguments: (
                list(got) != list(expected) and set(got) == set(_longest(arguments["loops"]))
            ),
            "Those are the two longest loops. Compare how well each fills the blocks of its axis.",
            examples=(lambda loops, rows, columns: _longest(loops), lambda loops, rows, columns: _longest(loops)[::-1]),
        ),
        Symptom(
            lambda got, expected, arguments: (
                list(got) != list(expected) and set(got) <= set(arguments["loops"]) and len(set(got)) == 2
            ),
            "Another pair uses more of the unit. Work out the share of every pair, both ways round.",
            examples=(_best_of(lambda down, across, rows, columns: -abs(down - rows) - abs(across - columns)),),
        ),
    ),
    also_correct=(_best_axes_by_hand,),
)
