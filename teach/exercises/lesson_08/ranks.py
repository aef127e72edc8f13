"""Lesson 08, exercises 8.3 and 8.4: what the singular values say: the error at every rank, and a rank by energy."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank
from mini_lib.factorize.rank import rank_by_energy
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 8.3 ------------------------------------------------------------------------------------------------


def errors_by_rank(values: Tensor) -> Tensor:
    """The relative error of the best approximation of rank 0, 1, ..., n of a matrix with these n singular values."""
    squares = values.square()
    lost = torch.stack([squares[rank:].sum() for rank in range(len(values) + 1)])
    return (lost / squares.sum()).sqrt()


def _errors_with_loops(values):
    squares = [value**2 for value in values.tolist()]
    return [math.sqrt(sum(squares[rank:]) / sum(squares)) for rank in range(len(squares) + 1)]


def _errors_by_what_is_kept(values):
    squares = np.square(values.numpy())
    kept = np.concatenate([[0.0], squares.cumsum()])
    return np.sqrt(1 - kept / kept[-1])


def _errors(error):
    """A wrong answer: `error(values, rank)` at the ranks 0 to n."""
    return lambda values: torch.stack([error(values, rank) for rank in range(len(values) + 1)])


def _values(generator: torch.Generator) -> Tensor:
    """Whole numbers, so that sums of their squares are exact."""
    count = random_whole(generator, 3, 6)
    return torch.randint(1, 15, (count,), generator=generator).float().sort(descending=True).values


ERRORS_BY_RANK = Exercise(
    id="8.3",
    title="The error at every rank",
    reference=errors_by_rank,
    cases=(
        Case(tensor([4.0, 3.0])),
        Case(tensor([6.0, 3.0, 2.0])),
        Case(tensor([5.0, 0.0])),
        *random_cases(8, seed=83, make=lambda generator: Case(_values(generator))),
    ),
    mistakes=(
        Mistake(
            _errors(lambda values, rank: values[rank:].sum() / values.sum()),
            "Singular values add up like the sides of a right triangle: by their squares, with a root at the end.",
        ),
        Mistake(
            _errors(lambda values, rank: values[rank:].square().sum() / values.square().sum()),
            "That is the share of the squares that is lost. The error is its root.",
        ),
        Mistake(
            _errors(lambda values, rank: values[:rank].norm() / values.norm()),
            "That is what is kept, and it grows. The error falls with the rank: from 1 at rank 0 to 0 at full rank.",
        ),
        Mistake(
            _errors(lambda values, rank: 1 - values[:rank].norm() / values.norm()),
            "The kept and the lost part are at right angles: their squares add up to 1, they themselves do not.",
        ),
        Mistake(
            _errors(lambda values, rank: values[rank:].norm()),
            "That is how much is lost, in the unit of the weights. Relative means: divided by the size of the matrix.",
        ),
        Mistake(
            _errors(lambda values, rank: values[rank : rank + 1].sum() / values[0]),
            "That is the first value that is lost, over the largest: the error of the worst direction. The Frobenius "
            "error counts all of them.",
        ),
        Mistake(
            _errors(lambda values, rank: values[rank : rank + 1].sum() / values.norm()),
            "That is the first value that is lost. All behind it are lost too.",
        ),
        Mistake(
            lambda values: errors_by_rank(values)[1:],
            "The first one is missing: rank 0 keeps nothing, and its error is 1. n singular values have n + 1 ranks.",
        ),
        Mistake(
            lambda values: errors_by_rank(values)[:-1],
            "The last one is missing: at full rank the error is 0. n singular values have n + 1 ranks.",
        ),
        Mistake(
            lambda values: errors_by_rank(values).flip(0),
            "The order is turned round: rank 0 comes first, with the largest error.",
        ),
    ),
    also_correct=(_errors_with_loops, _errors_by_what_is_kept),
    forbidden=(low_rank.rank_errors,),
    atol=1e-6,
)

# 8.4 ------------------------------------------------------------------------------------------------


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
        values, energy = _values(generator), random_whole(generator, 3, 7) / 8
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
            "That is an index, or one rank too few: what stands at index 0 is what rank 1 holds.",
        ),
        Mistake(
            _strictly, "Where a rank holds exactly the share that was asked for, it is enough: at least, not more than."
        ),
        Mistake(
            lambda values, energy: max(1, int((values.square().cumsum(0) <= energy * values.square().sum()).sum())),
            "That is the last rank that stays below the share. Asked is the first one that reaches it.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, 1 - energy),
            "That is the rank at which only the share `energy` is lost. It shall be kept.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, energy**2),
            "That compares lengths: the root of the kept squares over the root of all. Energy is the sum of squares as "
            "it is, without the root.",
        ),
        Mistake(
            lambda values, energy: rank_holding(values, 1 - (1 - energy) ** 2),
            "That limits the relative *error* to 1 - energy. The energy is about the squares: the lost ones may hold "
            "1 - energy.",
        ),
        Mistake(
            lambda values, energy: max(1, math.ceil(energy * len(values))),
            "That is this share of the *number* of singular values. The first of them hold far more than the last.",
        ),
        Mistake(
            lambda values, energy: int((values.square() >= energy * values[0] ** 2).sum()),
            "That compares each value with the largest one. Add up the squares from the first on, until the share of "
            "all is reached.",
        ),
    ),
    also_correct=(_holding_with_a_loop, _holding_in_numpy),
    forbidden=(rank_by_energy,),
)
