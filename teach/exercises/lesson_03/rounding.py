"""Lesson 03, exercise 3.1: rounding that looks at the inputs."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import of_tensors, variants

# 3.1 ------------------------------------------------------------------------------------------------


def round_in_turn(w: Tensor, moments: Tensor, scale: float, highest: int) -> Tensor:
    """The weights rounded one after another; those still to come move to make up for each error."""
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


def _solved(moments, at, rest):
    return torch.linalg.solve(moments[rest, rest], moments[rest, at])


def _turn(share=_solved, *, error=lambda now, rounded, first, scale: now - rounded, rounding=_rounded):
    """The same with the slips that people make: in the share of the others, the error, the rounding."""

    def wrong(w, moments, scale, highest):
        first, w = w, w.clone()
        for at in range(len(w)):
            now, rest = w[at].clone(), slice(at + 1, None)
            w[at] = rounding(now, scale, highest)
            if at + 1 < len(w):
                w[rest] += error(now, w[at], first[at], scale) * share(moments, at, rest)
        return w

    return wrong


def _turn_once(share):
    def wrong(w, moments, scale, highest):
        w = w.clone()
        rounded, rest = _rounded(w[0], scale, highest), slice(1, None)
        if len(w) > 1:
            w[rest] += (w[0] - rounded) * share(moments, 0, rest)
        w[0] = rounded
        return w

    return wrong


def _against(share):
    return lambda moments, at, rest: -share(moments, at, rest)


_ALONE = (
    lambda moments, at, rest: moments[rest, at] / moments[at, at],
    lambda moments, at, rest: moments[rest, at] / moments[rest, rest].diagonal(),
    lambda moments, at, rest: moments[rest, at],
    lambda moments, at, rest: moments[rest, rest] @ moments[rest, at],
)


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
        Case(tensor([2.6, 0.4]), _TOGETHER, 1.0, 1),
        Case(tensor([1.8, 0.5, -0.7]), tensor([[2.5, -1.0, 0.5], [-1.0, 2.5, -1.5], [0.5, -1.5, 3.0]]), 1.0, 3),
        *random_cases(8, seed=31, make=_row_case),
    ),
    mistakes=(
        Mistake(
            lambda w, moments, scale, highest: _rounded(w, scale, highest),
            "The result is round-to-nearest, as if nothing had moved. Either the error is 0 (take it before you "
            "overwrite `w[at]`: a slice of a tensor is a view), or it does not move the others: solve with the "
            "moments of the rest alone, moments[rest, rest].",
        ),
        Mistake(
            _turn(_against(_solved)),
            "The others move the wrong way: if rounding took something off this weight, the rest must add it back.",
        ),
        Mistake(
            _turn(error=lambda now, rounded, first, scale: first - rounded),
            "The error is taken from the weight as it was at the start. What counts is how far this rounding moved it.",
        ),
        Mistake(
            _turn(rounding=lambda x, scale, highest: torch.round(x / scale) * scale),
            "A weight that was moved may lie beyond the end of the grid: clamp its code to -highest and highest.",
        ),
        Mistake(
            _without_the_last_step, "The last weight is not rounded. No weight is left to move, but it needs a code."
        ),
        Mistake(
            _turn(lambda m, at, rest: _solved(m, at, rest) * (at + 2 < len(m))),
            "The last weight but one still moves the last one. Only the last has nothing left to move.",
        ),
        Mistake(
            _turn(lambda m, at, rest: -torch.linalg.inv(m)[rest, at] / torch.linalg.inv(m)[at, at]),
            "That column of the inverse is right for the first weight only. After it, the inverse is that of the "
            "moments of the weights still to come.",
        ),
        Mistake(
            _turn(lambda m, at, rest: torch.eye(len(m) - at - 1)[0] * m[at + 1, at] / m[at + 1, at + 1]),
            "Only the next weight moves. All the weights still to come share the error.",
        ),
    ),
    symptoms=(
        variants(
            "That is `w` itself: the rounded weights have moved back, or were not written. The rest begins at at + 1.",
            lambda w, moments, scale, highest: w,
            rtol=1e-4,
        ),
        variants(
            "Only the first weight is rounded. Go on to the end of the row: where is your `return`?",
            _turn_once(_solved),
            _turn_once(lambda moments, at, rest: torch.zeros(len(moments) - 1)),
            rtol=1e-4,
        ),
        of_tensors(
            lambda got, expected, a: bool(((got / a["scale"] - (got / a["scale"]).round()).abs() > 1e-3).any()),
            "Some of the weights are not on the grid. Each one is rounded when its turn comes, and stays rounded: "
            "write it back, and move only those after it.",
            (
                lambda w, moments, scale, highest: _turn(rounding=lambda x, scale, highest: x)(
                    w + 0.01, moments, scale, highest
                ),
            ),
        ),
        variants(
            "That is how strongly each input goes with this one, taken alone. The rest also overlap with one another: "
            "solve moments[rest, rest] @ share = moments[rest, at].",
            *(_turn(share) for share in _ALONE),
            rtol=1e-4,
        ),
        variants(
            "The error moves the others in the opposite direction, and all of them at once: solve moments[rest, "
            "rest] @ share = moments[rest, at], and add error * share.",
            *(_turn(_against(share)) for share in _ALONE),
            rtol=1e-4,
        ),
        variants(
            "That uses the inverse of all of `moments`. The weights that are rounded already no longer move: only rows "
            "and columns of the rest count.",
            _turn(lambda moments, at, rest: torch.linalg.inv(moments)[rest, at]),
            _turn(lambda m, at, rest: torch.linalg.inv(m)[rest, rest] @ m[rest, at]),
            rtol=1e-4,
        ),
        variants(
            "How far the others move depends on how their inputs go together with this one: `moments` decides it.",
            _turn(lambda moments, at, rest: torch.ones(len(moments) - at - 1) / (len(moments) - at - 1)),
            _turn(lambda moments, at, rest: torch.ones(len(moments) - at - 1)),
            _turn(lambda moments, at, rest: torch.eye(len(moments))[0, : len(moments) - at - 1]),
            rtol=1e-4,
        ),
        variants(
            "The scale is lost: a code is round(w / scale), the value is code * scale, and the error is in units of w.",
            _turn(error=lambda now, rounded, first, scale: (now - rounded) / scale),
            _turn(rounding=lambda x, scale, highest: _rounded(x, 1.0, highest)),
            lambda w, moments, scale, highest: _turn()(w, moments, scale, highest) / scale,
            rtol=1e-4,
        ),
        variants(
            "Go through the row from left to right: the first weight is rounded first.",
            lambda w, moments, scale, highest: _turn()(w.flip(0), moments.flip(0, 1), scale, highest).flip(0),
            rtol=1e-4,
        ),
    ),
    also_correct=(_by_the_factor_of_the_inverse, _in_numpy),
    rtol=1e-4,
    atol=1e-5,
)
