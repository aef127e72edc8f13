"""Lesson 08, exercise 8.4: the rank that holds a share of the energy."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize.rank import rank_by_energy
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.exercises.lesson_08.ranks import spread_values
from teach.variants import variants


def rank_holding(values: Tensor, energy: float) -> int:
    """The smallest rank whose singular values hold at least the share `energy` of the sum of all squares."""
    kept = values.square().cumsum(0) / values.square().sum()
    return int((kept < energy).sum()) + 1


def _holding_with_a_loop(values, energy):
    squares = [value**2 for value in values.tolist()]
    kept = 0.0
    for rank, square in enumerate(squares, start=1):
        kept += square
        if kept >= energy * sum(squares):
            return rank


def _holding_in_numpy(values, energy):
    squares = np.square(values.numpy().astype(np.float64))
    return np.searchsorted(squares.cumsum(), energy * squares.sum()) + 1


def _share_reached(values, energy):
    return int((values.cumsum(0) / values.sum() < energy).sum()) + 1


def _strictly(values, energy):
    kept = values.square().cumsum(0) / values.square().sum()
    return min(int((kept <= energy).sum()) + 1, len(values))


def _energy_case(generator: torch.Generator) -> Case:
    """A share in eighths, and no sum of squares within a thousandth of it: no rounding decides."""
    while True:
        values, energy = spread_values(generator), random_whole(generator, 3, 7) / 8
        kept = values.square().cumsum(0) / values.square().sum()
        if (kept - energy).abs().min() > 1e-3:
            return Case(values, energy)


RANK_HOLDING = Exercise(
    id="8.4",
    title="The rank that holds most of it",
    reference=rank_holding,
    # 3, 2, 1, 1, 1 have the squares 9, 4, 1, 1, 1 of 16: every share of 16 is exact, and rank 3 holds 7/8.
    cases=(
        Case(tensor([4.0, 3.0]), 0.5),
        Case(tensor([4.0, 3.0]), 0.75),
        Case(tensor([3.0, 2.0, 1.0, 1.0, 1.0]), 0.875),
        Case(tensor([3.0, 2.0, 1.0, 1.0, 1.0]), 0.75),
        Case(tensor([2.0, 2.0, 2.0, 2.0]), 0.25),
        Case(tensor([2.0, 2.0, 2.0, 2.0]), 0.5),
        Case(tensor([4.0, 3.0]), 1.0),
        *random_cases(10, seed=84, make=_energy_case),
    ),
    mistakes=(
        Mistake(
            _share_reached,
            "That adds up the singular values themselves. Energy is the "
            "sum of their *squares*, and the large ones have most of it.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, energy) - 1,
            "That is an index, or one rank too few: the first entry, at index 0, belongs to rank 1.",
        ),
        Mistake(_strictly, "A rank that holds exactly the requested share is enough: compare with >=, not >."),
        Mistake(
            lambda values, energy: max(1, int((values.square().cumsum(0) <= energy * values.square().sum()).sum())),
            "That is the last rank that stays below the share. Return the first one that reaches it.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, 1 - energy),
            "That is the rank at which only the share `energy` is lost. Keep that share.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, energy**2),
            "That compares lengths: the root of the kept squares over the root of all squares. Energy is the sum of "
            "squares itself, without a root.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, 1 - (1 - energy) ** 2),
            "That limits the relative *error* to 1 - energy. Energy counts squares: the lost ones may hold a share of "
            "1 - energy.",
        ),
        Mistake(
            lambda values, energy: min(len(values), int((values.square().cumsum(0) < energy).sum()) + 1),
            "The share is of the *sum* of all squares. Divide by that sum before you compare.",
        ),
        Mistake(
            lambda values, energy: int((values.square().cumsum(0) >= energy * values.square().sum()).sum()),
            "That counts the ranks that hold enough. Return the smallest of them.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values.flip(0), energy),
            "That begins with the smallest singular values. The rank keeps the largest ones, which come first.",
        ),
        Mistake(
            lambda values, energy: min(
                len(values), int(((values / values.sum()).square().cumsum(0) < energy).sum()) + 1
            ),
            "That keeps all of the values. If you divide before you square, the shares do not add up to 1.",
        ),
    ),
    symptoms=(
        variants(
            "That is this share of the *number* of singular values. The first of them hold far more than the last.",
            lambda values, energy: math.ceil(energy * len(values)),
            lambda values, energy: int(energy * len(values)),
            lambda values, energy: round(energy * len(values)),
            lambda values, energy: int(energy * len(values)) + 1,
        ),
        variants(
            "That compares each value by itself. Add up the squares, starting with the first, until their sum reaches "
            "the requested share.",
            *(
                lambda values, energy, power=power, whole=whole: int(
                    (values**power >= energy * whole(values**power)).sum()
                )
                for power in (1, 2)
                for whole in (torch.sum, torch.max)
            ),
            *(
                lambda values, energy, power=power, none=none: next(
                    (at + 1 for at, one in enumerate(values**power / (values**power).sum()) if one >= energy),
                    len(values) if none == "all" else none,
                )
                for power in (1, 2)
                for none in ("all", 0)
            ),
        ),
        variants(
            "That is the share which this rank holds. Return the rank.",
            lambda values, energy: float(values[: rank_holding(values, energy)].square().sum() / values.square().sum()),
            lambda values, energy: float(values[: rank_holding(values, energy)].square().sum()),
        ),
        variants(
            "That is the singular value at the cut. Return how many are kept.",
            lambda values, energy: float(values[rank_holding(values, energy) - 1]),
        ),
        Symptom(
            lambda got, expected, arguments: 0 <= got < expected,
            "That rank holds less than the requested share: go on until it is reached.",
            examples=(lambda values, energy: rank_holding(values, energy) // 2,),
        ),
        Symptom(
            lambda got, expected, arguments: expected < got <= len(arguments["values"]),
            "A smaller rank already holds the share. Take the smallest of them.",
            examples=(lambda values, energy: min(len(values), rank_holding(values, energy) + 2),),
        ),
    ),
    also_correct=(_holding_with_a_loop, _holding_in_numpy),
    forbidden=(rank_by_energy,),
)
