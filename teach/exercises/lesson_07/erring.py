"""Lesson 07, exercise 7.6: how near the nearest kernel is, known beforehand."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank, separable
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def error_beforehand(values: Tensor, multiplier: int) -> Tensor:
    """The relative error of the whole kernel; `values` [M, n] are the singular values of its slices, largest first."""
    return (values[:, multiplier:].square().sum() / values.square().sum()).sqrt()


def _error_with_loops(values, multiplier):
    lost = sum(value**2 for row in values.tolist() for value in row[multiplier:])
    return math.sqrt(lost / sum(value**2 for row in values.tolist() for value in row))


def _error_by_norms(values, multiplier):
    return np.linalg.norm(values.numpy()[:, multiplier:]) / np.linalg.norm(values.numpy())


def _error_by_what_is_kept(values, multiplier):
    squares = values.double() ** 2
    return torch.sqrt(1 - squares[:, :multiplier].sum() / squares.sum())


def _each(values: Tensor, multiplier: int) -> Tensor:
    return values[:, multiplier:].norm(dim=1) / values.norm(dim=1)


def _pooled_error(values, multiplier):
    ranked = values.flatten().sort(descending=True).values
    return ranked[multiplier * len(values) :].norm() / ranked.norm()


def _values_case(generator: torch.Generator) -> Case:
    """Whole numbers, so that sums of squares are exact; the channels differ in size."""
    rows = []
    for _ in range(random_whole(generator, 2, 4)):
        size = random_whole(generator, 1, 4)
        rows.append(torch.randint(1, 12, (4,), generator=generator).sort(descending=True).values * size)
    return Case(torch.stack(rows).float(), random_whole(generator, 1, 3))


ERROR_BEFOREHAND = Exercise(
    id="7.6",
    title="The error, known beforehand",
    reference=error_beforehand,
    cases=(
        Case(tensor([[4.0, 3.0]]), 1),
        Case(tensor([[6.0, 3.0, 2.0]]), 2),
        Case(tensor([[12.0, 0.0], [4.0, 3.0]]), 1),
        Case(tensor([[4.0, 3.0], [4.0, 3.0]]), 2),
        *random_cases(8, seed=76, make=_values_case),
    ),
    mistakes=(
        Mistake(
            lambda values, multiplier: _each(values, multiplier).mean(),
            "That is the mean of the slices' errors, and a faint slice counts as much as a strong one. Errors do not "
            "average: add up their squares, then take the root.",
        ),
        Mistake(
            lambda values, multiplier: _each(values, multiplier).square().mean().sqrt(),
            "Each slice was made relative to itself. The error is relative to the whole kernel: add up all that is "
            "lost, and divide by all that there was.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier:].sum() / values.sum(),
            "Singular values add up like the sides of a right triangle: by their squares, with a root at the end.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier:].square().sum() / values.square().sum(),
            "That is the share of the squares that is lost. The error is its root.",
        ),
        Mistake(
            lambda values, multiplier: values[:, :multiplier].norm() / values.norm(),
            "That is the part that is kept. The singular values after the first `multiplier` are lost.",
        ),
        Mistake(
            lambda values, multiplier: 1 - values[:, :multiplier].norm() / values.norm(),
            "The kept and the lost part are at right angles: their squares add up to 1, but the parts themselves do "
            "not.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier - 1 :].norm() / values.norm(),
            "That begins one too early: Python counts from 0, and values[:, multiplier] is the first that is lost.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier : multiplier + 1].norm() / values.norm(),
            "That is only the first value that is lost. All values from there to the end are lost.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier:].norm(),
            "That is the error in the unit of the weights. A relative error is divided by the size of the kernel.",
        ),
        Mistake(
            _pooled_error,
            "That keeps the largest values of all channels together. Each channel has `multiplier` kernels of its own, "
            "and cannot lend them.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: len(got) == len(given["values"]),
            "Those are errors of the slices. The exercise asks for one number, the error of the whole kernel.",
            [_each],
        ),
        variants(
            "Begin with the first singular value that is lost, values[:, multiplier], and take all of each row from "
            "there on.",
            lambda values, multiplier: values[:, multiplier + 1 :].norm() / values.norm(),
            lambda values, multiplier: values[multiplier:].norm() / values.norm(),
            lambda values, multiplier: values[:, -multiplier:].norm() / values.norm(),
            lambda values, multiplier: values[:, -1].norm() / values.norm(),
            lambda values, multiplier: values[0, multiplier:].norm() / values[0].norm(),
        ),
        variants(
            "Those are the singular values that are kept. The error comes from those that are lost.",
            lambda values, multiplier: values[:, :multiplier].square().sum() / values.square().sum(),
            lambda values, multiplier: values[:, :multiplier].sum() / values.sum(),
            lambda values, multiplier: values[:, :multiplier].norm(),
        ),
        variants(
            "A relative error is divided by the size of the whole kernel, the root of the sum of the squares of *all* "
            "values.",
            lambda values, multiplier: values[:, multiplier:].norm() / values[:, :multiplier].norm(),
            lambda values, multiplier: values[:, multiplier:].norm() / values[:, 0].norm(),
            lambda values, multiplier: values[:, multiplier:].norm() / values.sum(),
            lambda values, multiplier: values[:, multiplier:].norm() / values.max(),
            lambda values, multiplier: values[:, multiplier:].square().sum() / values[:, :multiplier].square().sum(),
            lambda values, multiplier: values[:, multiplier:].square().sum(),
            lambda values, multiplier: values[:, multiplier:].sum(),
            lambda values, multiplier: values[:, multiplier:].norm() / values.square().sum(),
            lambda values, multiplier: values[:, multiplier:].square().mean().sqrt() / values.norm(),
            lambda values, multiplier: values[:, multiplier:].square().mean().sqrt() / values.square().mean().sqrt(),
        ),
        variants(
            "Add up the squares of what is lost in all slices, divide by the sum of all squares, and take one root at "
            "the end.",
            *(
                lambda values, multiplier, of=of: of(_each(values, multiplier))
                for of in (
                    torch.sum,
                    torch.max,
                    torch.median,
                    torch.norm,
                    lambda each: each.square().mean(),
                    lambda each: each.square().sum(),
                )
            ),
            lambda values, multiplier: values[:, multiplier:].norm(dim=1).sum() / values.norm(dim=1).sum(),
            lambda values, multiplier: (values[:, multiplier:].sum() / values.sum()).sqrt(),
            lambda values, multiplier: (values[:, multiplier:].sum(1) / values.sum(1)).mean(),
            lambda values, multiplier: (1 - values[:, :multiplier].norm() / values.norm()) ** 0.5,
            lambda values, multiplier: values[:, multiplier:].square().sum() / values.norm(),
        ),
    ),
    also_correct=(_error_with_loops, _error_by_norms, _error_by_what_is_kept),
    forbidden=(separable.separable_errors, low_rank.rank_errors),
)
