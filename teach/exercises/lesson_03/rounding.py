"""Lesson 03, exercise 3.1: rounding that looks at the inputs."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 3.1 ------------------------------------------------------------------------------------------------


def round_in_turn(w: Tensor, moments: Tensor, scale: float, highest: int) -> Tensor:
    """The weights rounded one after the other, the ones to come moved to make up for each error."""
    w = w.clone()
    for at in range(len(w)):
        rounded = _rounded(w[at], scale, highest)
        error, rest = w[at] - rounded, slice(at + 1, None)
        w[at] = rounded
        if at + 1 < len(w):
            w[rest] += error * torch.linalg.solve(moments[rest, rest], moments[rest, at])
    return w


def _rounded(x: Tensor, scale: float, highest: int) -> Tensor:
    return quantize.fake_quantize(x, scale, 0, -highest, highest)


def _by_the_factor_of_the_inverse(w: Tensor, moments: Tensor, scale: float, highest: int) -> Tensor:
    upper = torch.linalg.cholesky(torch.linalg.inv(moments.double()), upper=True)  # as GPTQ's paper does it
    w = w.double()
    for at in range(len(w)):
        rounded = _rounded(w[at], scale, highest)
        w = w - (w[at] - rounded) / upper[at, at] * upper[at] * (torch.arange(len(w)) > at)
        w[at] = rounded
    return w


def _in_numpy(w: Tensor, moments: Tensor, scale: float, highest: int) -> list[float]:
    row, h = w.numpy().astype(np.float64), moments.numpy().astype(np.float64)
    done = []
    while len(row):
        done.append(float(np.clip(np.rint(row[0] / scale), -highest, highest) * scale))
        share = np.linalg.inv(h[1:, 1:]) @ h[1:, 0]  # empty for the last weight
        row, h = row[1:] + (row[0] - done[-1]) * share, h[1:, 1:]
    return done


def _turn(w, moments, scale, highest, *, sign=1, solve=True, of_the_first=False, clamp=True):
    """The same with the slips that people make."""
    first, w = w, w.clone()
    for at in range(len(w)):
        rounded = _rounded(w[at], scale, highest) if clamp else torch.round(w[at] / scale) * scale
        error, rest = (first[at] if of_the_first else w[at]) - rounded, slice(at + 1, None)
        w[at] = rounded
        if at + 1 < len(w):
            share = moments[rest, at]
            share = torch.linalg.solve(moments[rest, rest], share) if solve else share / moments[at, at]
            w[rest] += sign * error * share
    return w


def _without_the_last_step(w, moments, scale, highest):
    w = w.clone()
    for at in range(len(w) - 1):
        rounded, rest = _rounded(w[at], scale, highest), slice(at + 1, None)
        w[rest] += (w[at] - rounded) * torch.linalg.solve(moments[rest, rest], moments[rest, at])
        w[at] = rounded
    return w


def _row_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 3, 6)
    inputs = torch.randn(40, size, generator=generator) + torch.randn(40, 1, generator=generator)
    moments = (inputs.T @ inputs / 40).round(decimals=2) + 0.1 * torch.eye(size)
    weights = (0.6 * torch.randn(size, generator=generator)).round(decimals=2) + 0.003  # never half-way by itself
    return Case(weights, moments, 0.5, random_whole(generator, 1, 3))


_TOGETHER = tensor([[1.0, 0.75], [0.75, 1.0]])

ROUND_IN_TURN = Exercise(
    id="3.1",
    title="Round with the inputs in mind",
    reference=round_in_turn,
    cases=(
        Case(tensor([0.4]), tensor([[2.0]]), 1.0, 1),
        Case(tensor([0.4, 0.4]), torch.eye(2), 1.0, 1),
        Case(tensor([0.4, 0.4]), _TOGETHER, 1.0, 1),
        Case(tensor([-1.9, 0.9]), _TOGETHER, 1.0, 1),
        Case(tensor([0.4, 0.4]), tensor([[1.0, 1.5], [1.5, 4.0]]), 1.0, 3),
        *random_cases(8, seed=31, make=_row_case),
    ),
    mistakes=(
        Mistake(
            lambda w, moments, scale, highest: _rounded(w, scale, highest),
            "The result is round-to-nearest, as if nothing had moved. Move the weights still to come by the error, and "
            "round them as they then are. Take the error before you overwrite `w[at]`: a slice of a tensor is a view.",
        ),
        Mistake(
            lambda *a: _turn(*a, sign=-1),
            "The others move the wrong way: if rounding took something off this weight, the rest must add it back.",
        ),
        Mistake(
            lambda *a: _turn(*a, solve=False),
            "That is how strongly each input goes with this one, taken alone. The rest also overlap with one another: "
            "solve moments[rest, rest] @ share = moments[rest, at].",
        ),
        Mistake(
            lambda *a: _turn(*a, of_the_first=True),
            "The error is taken from the weight as it was at the start. What counts is how far this rounding moved it.",
        ),
        Mistake(
            lambda *a: _turn(*a, clamp=False),
            "A weight that was moved may lie beyond the end of the grid: clamp its code to -highest and highest.",
        ),
        Mistake(_without_the_last_step, "The last weight is not rounded. It has nobody to move, but it needs a code."),
    ),
    also_correct=(_by_the_factor_of_the_inverse, _in_numpy),
    rtol=1e-4,
    atol=1e-5,
)
