"""Lesson 03, exercise 3.5: the best scale for given codes."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 3.5 ------------------------------------------------------------------------------------------------


def best_scale(w: Tensor, codes: Tensor) -> Tensor:
    """The scale of each row with the least squared error, for given codes."""
    return (w * codes).sum(dim=1) / (codes * codes).sum(dim=1)


def _best_scale_by_least_squares(w: Tensor, codes: Tensor) -> np.ndarray:
    rows = zip(w.double().numpy(), codes.double().numpy())
    return np.array([np.linalg.lstsq(code[:, None], row, rcond=None)[0][0] for row, code in rows])


def _best_scale_by_hand(w: Tensor, codes: Tensor) -> list[float]:
    rows = zip(w.tolist(), codes.tolist())
    return [sum(v * c for v, c in zip(row, code)) / sum(c * c for c in code) for row, code in rows]


def _scale_case(generator: torch.Generator) -> Case:
    highest = random_whole(generator, 1, 3)
    w = torch.randn(3, 6, generator=generator).round(decimals=2)
    codes = torch.clamp(torch.round(w * highest), -highest, highest)
    codes[:, 0] = highest  # at least one is not 0, and one may not have the sign of its weight
    return Case(w, codes)


BEST_SCALE = Exercise(
    id="3.5",
    title="The best scale for given codes",
    reference=best_scale,
    cases=(
        Case(tensor([[1.0, -3.0]]), tensor([[1.0, -1.0]])),
        Case(tensor([[1.0, -3.0, 0.5, 3.5]]), tensor([[0.0, -1.0, 0.0, 1.0]])),
        Case(tensor([[2.0, 0.5], [4.0, -2.0]]), tensor([[1.0, 1.0], [1.0, -1.0]])),
        Case(tensor([[5.0, 1.0]]), tensor([[2.0, 1.0]])),
        *random_cases(8, seed=35, make=_scale_case),
    ),
    mistakes=(
        Mistake(
            lambda w, codes: w.abs().mean(dim=1),
            "That is right where all codes are -1 or 1. A weight with code 0 stays 0 whatever the scale, and must not "
            "count; one with code 2 counts more.",
        ),
        Mistake(
            lambda w, codes: (w * codes).mean(dim=1),
            "Divide by the sum of the squared codes, not by the number of weights: that includes the zeros.",
        ),
        Mistake(
            lambda w, codes: w.abs().amax(dim=1) / codes.abs().amax(dim=1),
            "That scale just reaches the largest weight, and is too large for the others. Minimize the squared error.",
        ),
        Mistake(
            lambda w, codes: w.abs().sum(dim=1) / codes.abs().sum(dim=1),
            "That divides all magnitudes by all codes: weights with code 0 still count. Multiply each weight by its "
            "code.",
        ),
        Mistake(
            lambda w, codes: (w * codes).abs().sum(dim=1) / (codes * codes).sum(dim=1),
            "A code may differ in sign from its weight, and then its product is negative: take no magnitudes in the "
            "sum.",
        ),
        Mistake(
            lambda w, codes: ((w * codes).sum(dim=1) / (codes * codes).sum(dim=1)).abs(),
            "The best scale may be negative, where most codes differ in sign from their weights: take no magnitude "
            "here.",
        ),
    ),
    symptoms=(
        variants(
            "Divide by codes · codes: square each code, then add up. A code of 2 counts four times there.",
            *(
                lambda w, codes, below=below: (w * codes).sum(dim=1) / below(codes)
                for below in (
                    lambda codes: codes.abs().sum(dim=1),
                    lambda codes: (codes != 0).sum(dim=1),
                    lambda codes: codes.norm(dim=1),
                    lambda codes: codes.sum(dim=1),
                    lambda codes: codes.sum(dim=1) ** 2,
                    lambda codes: 1,
                )
            ),
            lambda w, codes: (w * codes).sum(dim=1) / (w * w).sum(dim=1),
        ),
        variants(
            "Multiply each weight by its code before you add up: w · codes, over codes · codes.",
            lambda w, codes: w.sum(dim=1) / (codes * codes).sum(dim=1),
            lambda w, codes: w.abs().sum(dim=1) / (codes * codes).sum(dim=1),
        ),
        variants(
            "That is one scale for all rows. Each row, an output channel, has its own.",
            lambda w, codes: (w * codes).sum() / (codes * codes).sum(),
            lambda w, codes: ((w * codes).sum() / (codes * codes).sum()).repeat(len(w)),
            lambda w, codes: (w * codes).mean(),
            lambda w, codes: (w[0] * codes[0]).sum() / (codes[0] * codes[0]).sum(),
        ),
        variants(
            "`dim` names the axis that disappears: a row is summed over its n weights, dim=1, and keeps one scale.",
            lambda w, codes: (w * codes).sum(dim=0) / (codes * codes).sum(dim=0),
            lambda w, codes: (w * codes).mean(dim=0),
            lambda w, codes: (w @ codes.T) / (codes @ codes.T),
            lambda w, codes: w.abs().mean(dim=0),
        ),
        variants(
            "A ratio for each weight, or a ratio of two sums, does not give the least squared error: a weight with a "
            "large code counts more. Project: (w · codes) / (codes · codes).",
            lambda w, codes: (w / codes).mean(dim=1),
            lambda w, codes: torch.stack([(v[c != 0] / c[c != 0]).mean() for v, c in zip(w, codes)]),
            lambda w, codes: torch.stack([v[c != 0].abs().mean() for v, c in zip(w, codes)]),
            lambda w, codes: w.sum(dim=1) / codes.sum(dim=1),
            lambda w, codes: w.abs().median(dim=1).values,
        ),
        variants(
            "That gives the codes the length of w. The nearest point on a line is a projection: "
            "(w · codes) / (codes · codes).",
            lambda w, codes: w.norm(dim=1) / codes.norm(dim=1),
            lambda w, codes: w.std(dim=1) / codes.std(dim=1),
        ),
    ),
    also_correct=(_best_scale_by_least_squares, _best_scale_by_hand),
)
