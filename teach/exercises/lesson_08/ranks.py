"""Lesson 08, exercise 8.3: what the singular values say of the error at every rank."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


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


def _row(seen: Any) -> Tensor:
    return torch.as_tensor(seen, dtype=torch.float64)


def _is_not_relative(got: Any, expected: Any, arguments: dict[str, Any]) -> bool:
    mine, right = _row(got), _row(expected)
    if mine.shape != right.shape or abs(float(mine[0]) - 1) < 1e-6 or not mine[0]:
        return False
    return any(bool(torch.allclose(mine / mine[0], right**power, atol=1e-5)) for power in (1, 2))


def _divides_by_what_is_kept(got: Any, expected: Any, arguments: dict[str, Any]) -> bool:
    if torch.allclose(_row(got), _row(expected)):
        return False
    mine, right = _row(got)[1:], _row(expected)[1:]
    ratio = right**2 / (1 - right**2)
    return any(bool(torch.allclose(mine, ratio**power, atol=1e-5)) for power in (1, 0.5))


def spread_values(generator: torch.Generator) -> Tensor:
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
        *random_cases(8, seed=83, make=lambda generator: Case(spread_values(generator))),
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
            _errors(lambda values, rank: 1 - values[:rank].norm() / values.norm()),
            "The kept and the lost part are at right angles: the squares of their shares add up to 1, the shares do "
            "not.",
        ),
        Mistake(
            _errors(lambda values, rank: values[rank : rank + 1].sum() / values[0]),
            "That is the first lost value over the largest one: the error of the worst direction. The Frobenius error "
            "counts all directions.",
        ),
        Mistake(
            _errors(lambda values, rank: values[rank : rank + 1].sum() / values.norm()),
            "That is the first value that is lost. All values after it are lost too.",
        ),
        Mistake(
            lambda values: errors_by_rank(values)[1:],
            "The first error is missing: rank 0 keeps nothing, and its error is 1. n singular values have n + 1 ranks.",
        ),
        Mistake(
            lambda values: errors_by_rank(values)[:-1],
            "The last error is missing: at full rank the error is 0. n singular values have n + 1 ranks.",
        ),
        Mistake(
            lambda values: errors_by_rank(values).flip(0),
            "The order is reversed: rank 0 comes first, with the largest error.",
        ),
        Mistake(
            _errors(
                lambda values, rank: (
                    values[rank:].square().mean().nan_to_num().sqrt() / values.norm(p=2) * len(values) ** 0.5
                )
            ),
            "Those are means, and the lost part has fewer values than the whole. Add up the squares.",
        ),
        Mistake(
            _errors(lambda values, rank: torch.tensor(1 - rank / len(values))),
            "That is the share of the *number* of singular values. The first of them are larger than the last.",
        ),
        Mistake(
            lambda values: errors_by_rank(values)[:1],
            "Only rank 0 came back. A `return` inside the loop ends it after its first round: put it after the loop.",
        ),
    ),
    symptoms=(
        variants(
            "Nothing is squared. The squares of the singular values add up, and the root comes at the end.",
            _errors(lambda values, rank: (values[rank:].sum() / values.sum()).sqrt()),
            _errors(lambda values, rank: values[rank:].sum() / values.norm()),
        ),
        variants(
            "The root covers the whole fraction: divide by the sum of all squares first, and then take the root.",
            _errors(lambda values, rank: values[rank:].norm() / values.square().sum()),
        ),
        variants(
            "That loses the largest singular values first. A rank keeps the first ones: the lost ones come after them.",
            *(
                _errors(
                    lambda values, rank, power=power: (values[: len(values) - rank].norm() / values.norm()) ** power
                )
                for power in (1, 2)
            ),
        ),
        variants(
            "That begins with rank 1. Rank 0 keeps nothing and loses all values: `values[rank:]`.",
            _errors(lambda values, rank: values[rank + 1 :].norm() / values.norm()),
            _errors(lambda values, rank: values[rank + 1 :].square().sum() / values.square().sum()),
        ),
        Symptom(
            lambda got, expected, arguments: _row(got)[0] < 1e-6 and _row(got)[-1] < 1e-6,
            "At rank 0 nothing is kept, so everything is lost: the first error is 1.",
            examples=(lambda values: errors_by_rank(values) * (torch.arange(len(values) + 1) > 0),),
        ),
        Symptom(
            lambda got, expected, arguments: _row(got)[-1] >= _row(got)[0],
            "That is the kept part, which grows. The error falls with the rank: from 1 at rank 0 to 0 at full rank.",
            examples=(
                _errors(lambda values, rank: values[:rank].norm() / values.norm()),
                _errors(lambda values, rank: values[:rank].square().sum() / values.square().sum()),
                lambda values: (values.square().cumsum(0) / values.square().sum()).sqrt(),
            ),
        ),
        Symptom(
            _is_not_relative,
            "That is how much is lost, in absolute terms. Divide by the norm of all singular values, so that rank 0 "
            "has the error 1.",
            examples=(
                _errors(lambda values, rank: values[rank:].norm()),
                _errors(lambda values, rank: values[rank:].square().sum()),
                _errors(lambda values, rank: values[rank:].norm() / values[0]),
                _errors(lambda values, rank: values[rank:].norm() / values.sum()),
            ),
        ),
        Symptom(
            _divides_by_what_is_kept,
            "That compares the lost part with the part that is kept. Divide by the norm of the whole matrix.",
            examples=(
                _errors(lambda values, rank: values[rank:].norm() / values[:rank].norm().clamp(min=1e-9)),
                _errors(lambda values, rank: values[rank:].square().sum() / values[:rank].square().sum()),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, float),
            "That is the error at one rank. Return n + 1 numbers, for the ranks 0 to n.",
            examples=(lambda values: float(errors_by_rank(values)[1]),),
        ),
    ),
    also_correct=(_errors_with_loops, _errors_by_what_is_kept),
    forbidden=(low_rank.rank_errors,),
    atol=1e-6,
)
