"""Lesson 02, exercise 2.5: where a grid ends."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_02.grids import weights
from teach.variants import variants

# 2.5 ------------------------------------------------------------------------------------------------


def _clipped(w: Tensor, bits: int, end: float) -> Tensor:
    highest = 2 ** (bits - 1) - 1
    return quantize.fake_quantize(w, end / highest, 0, -highest, highest)


def best_clip(w: Tensor, bits: int, ends: list[float]) -> float:
    """The end of the symmetric grid, among `ends`, that gives the lowest mean squared error."""
    return min(ends, key=lambda end: (w - _clipped(w, bits, end)).square().mean().item())


def _chosen(error, highest=lambda bits: 2 ** (bits - 1) - 1):
    """The end with the least of another error, or on a grid with another largest code."""

    def wrong(w, bits, ends):
        last = highest(bits)
        grids = {end: quantize.fake_quantize(w, end / last, 0, -last, last) for end in ends}
        return min(ends, key=lambda end: error(w, grids[end], end).item())

    return wrong


def _mse(w, scale, highest, more=0):
    return (w - quantize.fake_quantize(w, scale, 0, -highest - more, highest)).square().mean().item()


def _until_it_rises(w, bits, ends):
    errors = [(w - _clipped(w, bits, end)).square().mean().item() for end in ends]
    at = 0
    while at + 1 < len(ends) and errors[at + 1] <= errors[at]:
        at += 1
    return ends[at]


def _best_clip_by_hand(w: Tensor, bits: int, ends: list[float]) -> np.float64:
    values, highest = w.numpy().astype(np.float64), 2 ** (bits - 1) - 1
    errors = []
    for end in ends:
        codes = np.clip(np.rint(values / (end / highest)), -highest, highest)
        errors.append(((values - codes * end / highest) ** 2).sum())
    return np.float64(ends[int(np.argmin(errors))])


def _heavy_tailed(generator: torch.Generator) -> Case:
    w = weights(64, generator=generator) ** 3 * 25  # most weights near zero, a few far out
    largest = w.abs().max().item()
    tenths = torch.randperm(10, generator=generator) + 1  # in any order: the best is not next to the second best
    return Case(w, random_whole(generator, 3, 4), [round(largest * k / 10, 4) for k in tenths.tolist()])


BEST_CLIP = Exercise(
    id="2.5",
    title="Where to clip",
    reference=best_clip,
    cases=(
        Case(tensor([0.9, 0.9, 0.9, 2.0]), 2, [1.0, 2.0]),
        Case(tensor([0.1, 0.2, -0.3, 3.0]), 3, [0.3, 1.0, 3.0]),
        Case(tensor([1.0]), 2, [1.5, 3.0, 1.0]),
        Case(tensor([1.0]), 2, [1.0, 3.0, 1.5]),
        Case(tensor([1.0, -1.0]), 4, [1.0, 2.0]),
        Case(tensor([3.0]), 3, [4.0, 4.5]),
        Case(tensor([1.0]), 2, [6.0, 2.0, 1.0, 3.0]),
        *random_cases(8, seed=26, make=_heavy_tailed),
    ),
    mistakes=(
        Mistake(
            lambda w, bits, ends: max(ends),
            "Never clipping spends the codes on a few outliers. A shorter "
            "grid has a finer step for all the others: measure both.",
        ),
        Mistake(
            lambda w, bits, ends: min(ends),
            "The shortest grid has the finest step, but it clips many weights. Measure the error of all ends.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded)[w.abs() <= end].square().sum()),
            "Count the clipped weights too: their error is the price of the shorter grid.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - w.clamp(-end, end)).square().mean()),
            "That is the error of clipping alone. Rounding has an error too, and a long grid has coarse steps.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).abs().mean()),
            "That is the mean absolute error. Squared, one large error weighs more than many small ones.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).abs().max()),
            "That is the worst single error. The mean squared error looks at all weights.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).mean()),
            "Errors of both signs cancel in that mean. Square each error first.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).mean().abs()),
            "Square each error before you take the mean: otherwise errors of both signs cancel.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: -(w - rounded).square().mean()), "That is the end with the *largest* error."
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).square().mean(), highest=lambda bits: 2 ** (bits - 1)),
            "A symmetric grid ends at the code 2**(bits-1) - 1, so the scale is end / (2**(bits-1) - 1).",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).square().mean(), highest=lambda bits: 2**bits - 1),
            "Half of the codes are negative: the largest is 2**(bits-1) - 1.",
        ),
        Mistake(
            _chosen(lambda w, rounded, end: (w - rounded).square().mean(), highest=lambda bits: bits),
            "The largest code is 2**(bits-1) - 1, not the number of bits.",
        ),
        Mistake(
            lambda w, bits, ends: min(ends, key=lambda end: _mse(w, end, 2 ** (bits - 1) - 1)),
            "The end is not the scale: the scale is the end divided by the largest code.",
        ),
        Mistake(
            lambda w, bits, ends: min(
                ends, key=lambda end: _mse(w, end / (2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1, 1)
            ),
            "A symmetric grid begins at -highest. One more code on the negative side makes it asymmetric.",
        ),
        Mistake(
            lambda w, bits, ends: min(ends, key=lambda end: _mse(w, end / 2 ** (bits - 1), 2 ** (bits - 1) - 1)),
            "The scale of a grid that ends at `end` is end / highest: the largest code, 2**(bits-1) - 1, stands for "
            "`end`.",
        ),
        Mistake(
            lambda w, bits, ends: min(ends, key=lambda end: _mse(w, end / (2**bits - 1), 2 ** (bits - 1) - 1)),
            "The scale of a grid that ends at `end` is end / highest, with the highest code to which you clamp.",
        ),
        Mistake(
            lambda w, bits, ends: min(
                ends, key=lambda end: _mse(w, end / (2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1, 1 - 2 ** (bits - 1))
            ),
            "A symmetric grid has as many codes below zero as above: it goes from -highest to highest.",
        ),
        Mistake(
            lambda w, bits, ends: ends.index(best_clip(w, bits, ends)),
            "That is its position in the list. Return the end itself.",
        ),
        Mistake(lambda w, bits, ends: ends[0], "That is the first end, whatever its error. Compare all of them."),
        Mistake(lambda w, bits, ends: ends[-1], "That is the last end, whatever its error. Compare all of them."),
    ),
    symptoms=(
        variants(
            "That is not the end of the grid, but its scale or its error. Return the end itself.",
            lambda w, bits, ends: best_clip(w, bits, ends) / (2 ** (bits - 1) - 1),
            lambda w, bits, ends: min((w - _clipped(w, bits, end)).square().mean().item() for end in ends),
            lambda w, bits, ends: min((w - _clipped(w, bits, end)).square().sum().item() for end in ends),
        ),
        variants(
            "Compare each error with the smallest so far, and go on to the end of the list: the ends are in no "
            "particular order.",
            _until_it_rises,
        ),
    ),
    also_correct=(_best_clip_by_hand,),
)
