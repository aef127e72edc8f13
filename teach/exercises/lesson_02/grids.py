"""Lesson 02, exercises 2.1 and 2.2: the grid of values that codes stand for."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants


def weights(*shape: int, generator: torch.Generator) -> Tensor:
    """Random numbers of the size of weights."""
    return torch.randn(*shape, generator=generator) * 0.2


# 2.1 ------------------------------------------------------------------------------------------------


def _symmetric_scale_by_hand(weight: Tensor, bits: int) -> float:
    largest = 0.0
    for value in weight.flatten().tolist():
        largest = max(largest, abs(value))
    return largest / (2 ** (bits - 1) - 1)


def _over(size=lambda w: w.abs().max(), codes=lambda b: 2 ** (b - 1) - 1):
    """A symmetric scale with slips: of the size that the grid reaches, and of its largest code."""
    return lambda weight, bits: size(weight) / codes(bits)


SYMMETRIC_SCALE = Exercise(
    id="2.1",
    title="Scale of a symmetric grid",
    reference=quantize.symmetric_scale,
    cases=(
        Case(tensor([3.0]), bits=8),
        Case(tensor([-1.0, 0.5]), bits=2),
        Case(tensor([-1.0, 3.0]), bits=3),
        Case(tensor([-2.0, 7.0]), bits=4),
        *random_cases(8, seed=21, make=lambda g: Case(weights(3, 5, generator=g), bits=random_whole(g, 2, 8))),
    ),
    mistakes=(
        Mistake(
            _over(codes=lambda b: 2 ** (b - 1)),
            "A signed 4-bit grid ends at +7, not +8: there are 2**(bits-1) - 1 positive codes.",
        ),
        Mistake(_over(size=lambda w: w.max()), "The largest weight may be negative: take the largest magnitude."),
        Mistake(
            lambda weight, bits: (2 ** (bits - 1) - 1) / weight.abs().max(),
            "That is the inverse. The scale is the width of one step: weight = code * scale.",
        ),
        Mistake(_over(codes=lambda b: 1), "That is the largest magnitude. Divide it by the largest code."),
    ),
    symptoms=(
        variants(
            "That is the scale of an asymmetric grid. A symmetric one is centred on zero.",
            _over(size=lambda w: w.max() - w.min()),
            _over(size=lambda w: w.max() - w.min(), codes=lambda b: 2**b - 1),
            _over(size=lambda w: w.max() - w.min(), codes=lambda b: 2**b - 2),
            _over(size=lambda w: w.max() - w.min(), codes=lambda b: 2**b),
        ),
        variants(
            "Half of the codes are negative: only 2**(bits-1) - 1 of them are above zero.",
            _over(codes=lambda b: 2**b - 1),
            _over(codes=lambda b: 2**b - 2),
            _over(codes=lambda b: 2**b),
            _over(codes=lambda b: (2**b - 1) / 2),
        ),
        variants(
            "Look at the largest code: with 2, 3 and 4 bits it is 1, 3 and 7, that is 2**(bits-1) - 1.",
            _over(codes=lambda b: b),
            _over(codes=lambda b: b - 1),
            _over(codes=lambda b: 2 * b - 1),
            _over(codes=lambda b: 2 * (b - 1) - 1),
            _over(codes=lambda b: 2 ** (b - 1) + 1),
            _over(codes=lambda b: 2 ** (b - 2)),
        ),
        variants(
            "`^` is not a power in Python: write `**`. It also binds less tightly than a sum.",
            _over(codes=lambda b: (2 ^ (b - 1)) - 1),
            _over(codes=lambda b: 2 ^ (b - 1) - 1),
        ),
        variants(
            "The grid has to reach weights on both sides of zero: take the largest magnitude.",
            _over(size=lambda w: w.min().abs()),
            _over(size=lambda w: w.max(), codes=lambda b: 2 ** (b - 1)),
            _over(size=lambda w: w.max(), codes=lambda b: 2**b - 1),
        ),
        variants(
            "The grid has to reach the largest magnitude, so that no weight is cut off: do not take a mean or a norm.",
            _over(size=lambda w: w.abs().mean()),
            _over(size=lambda w: w.norm()),
            _over(size=lambda w: w.abs().sum()),
            _over(size=lambda w: w.abs().min()),
        ),
        variants(
            "Divide the largest magnitude by the largest code, with parentheses: `... / (2**(bits-1) - 1)`.",
            lambda weight, bits: weight.abs().max() / 2 ** (bits - 1) - 1,
            lambda weight, bits: weight.abs().max() * (2 ** (bits - 1) - 1),
            lambda weight, bits: 2 ** (bits - 1) / weight.abs().max(),
        ),
        variants(
            "One scale serves the whole tensor: take the largest magnitude over all of its axes.",
            _over(size=lambda w: w.abs().amax(dim=-1)),
            _over(size=lambda w: w.abs().amax(dim=0)),
        ),
    ),
    also_correct=(
        _symmetric_scale_by_hand,
        lambda w, bits: np.abs(w.numpy().astype(np.float64)).max() / (2 ** (bits - 1) - 1),
    ),
)

# 2.2 ------------------------------------------------------------------------------------------------


def affine_grid(low: float, high: float, bits: int) -> tuple[float, int]:
    """The scale and zero point of the unsigned grid that covers low to high and holds zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


def _affine_grid_in_torch(low: float, high: float, bits: int) -> tuple[Tensor, Tensor]:
    ends = tensor([low, high, 0.0], dtype=torch.float64)
    scale = (ends.max() - ends.min()) / (2**bits - 1)
    return scale, torch.round(-ends.min() / scale).to(torch.int32)


def _grid(
    stretch=lambda low, high: (min(low, 0.0), max(high, 0.0)),
    steps=lambda bits: 2**bits - 1,
    zero=lambda low, high, scale: round(-low / scale),
):
    """An affine grid with slips: of the range, the number of steps, the zero point."""

    def wrong(low, high, bits):
        low, high = stretch(low, high)
        scale = (high - low) / steps(bits)
        return scale, zero(low, high, scale) if scale else 0

    return wrong


def _unguarded(stretch):
    """A grid of a range that may be empty: then its scale is 0, and the division by it raises."""

    def wrong(low, high, bits):
        low, high = stretch(low, high)
        scale = (high - low) / (2**bits - 1)
        return scale, round(-low / scale)

    return wrong


def _range_case(generator: torch.Generator) -> Case:
    low, high = (round(float(v), 3) for v in torch.sort(torch.randn(2, generator=generator)).values)
    return Case(low, high + 1e-3, bits=random_whole(generator, 2, 8))


AFFINE_GRID = Exercise(
    id="2.2",
    title="An asymmetric grid that holds zero",
    reference=affine_grid,
    cases=(
        Case(0.0, 3.0, bits=2),
        Case(-1.0, 2.0, bits=2),
        Case(1.0, 4.0, bits=2),
        Case(-4.0, -1.0, bits=2),
        Case(2.0, 6.0, bits=2),
        Case(-6.0, -3.0, bits=2),
        Case(-0.75, 2.25, bits=2),
        Case(-1.25, 1.75, bits=2),
        Case(-1.75, 1.25, bits=2),
        Case(-2.25, 0.75, bits=2),
        Case(-0.4, 1.1, bits=4),
        *random_cases(8, seed=22, make=_range_case),
    ),
    mistakes=(
        Mistake(
            _grid(stretch=lambda low, high: (low, high)),
            "Zero must lie on the grid (padding and ReLU produce it "
            "all the time): stretch the range to include 0 first.",
        ),
        Mistake(
            _grid(zero=lambda low, high, scale: -low / scale),
            "The zero point is a code, so it must be a whole number: with a fraction, zero falls between two codes.",
        ),
        Mistake(
            _grid(zero=lambda low, high, scale: round(low / scale)),
            "The sign is flipped. code = value / scale + zero_point, and the lowest value gets code 0.",
        ),
        Mistake(
            _grid(steps=lambda bits: 2**bits),
            "2**bits codes have 2**bits - 1 steps between them, as four fence posts have three gaps.",
        ),
        Mistake(
            _unguarded(lambda low, high: (0.0, max(high, 0.0))),
            "Not every low end becomes 0: a low end below 0 stays where it is.",
        ),
        Mistake(
            _unguarded(lambda low, high: (max(low, 0.0), max(high, 0.0))),
            "Stretching makes the range larger: the low end is the smaller of `low` and 0, so take `min`.",
        ),
    ),
    symptoms=(
        variants(
            "All 2**bits codes cover this range, not half of them: it has 2**bits - 1 steps.",
            _grid(steps=lambda bits: 2 ** (bits - 1) - 1),
            _grid(steps=lambda bits: 2 ** (bits - 1)),
            _grid(steps=lambda bits: bits),
            _grid(steps=lambda bits: 2**bits - 2),
            item=0,
        ),
        variants(
            "The grid need not be symmetric: its width is the width of the range, high - low.",
            lambda low, high, bits: (2 * max(abs(low), abs(high)) / (2**bits - 1), 2 ** (bits - 1)),
            lambda low, high, bits: (max(abs(low), abs(high)) / (2 ** (bits - 1) - 1), 0),
            lambda low, high, bits: ((min(low, 0.0) + max(high, 0.0)) / (2**bits - 1), 0),
            lambda low, high, bits: ((high + low) / (2**bits - 1), 0),
            item=0,
        ),
        variants(
            "Either end may lie on the wrong side of 0: a low end above 0 becomes 0, and so does a high end below 0.",
            _grid(stretch=lambda low, high: (min(low, 0.0), high)),
            _grid(stretch=lambda low, high: (low, max(high, 0.0))),
            _grid(stretch=lambda low, high: (0.0, high)),
            _grid(stretch=lambda low, high: (max(low, 0.0), min(high, 0.0))),
            item=0,
        ),
        variants(
            "Round to the *nearest* code: the zero point is always rounded in one direction here.",
            _grid(zero=lambda low, high, scale: math.floor(-low / scale)),
            _grid(zero=lambda low, high, scale: math.ceil(-low / scale)),
            item=1,
        ),
        variants(
            "Dividing a value by the scale gives its code: the zero point is rounded after `low` is divided.",
            _grid(zero=lambda low, high, scale: round(-low)),
            _grid(zero=lambda low, high, scale: round(-low * scale)),
            _grid(zero=lambda low, high, scale: round(-low) / scale),
            item=1,
        ),
        variants(
            "The codes are unsigned: they start at 0, not at -2**(bits-1), so the zero point does not depend on the "
            "middle code.",
            lambda low, high, bits: (
                affine_grid(low, high, bits)[0],
                affine_grid(low, high, bits)[1] - 2 ** (bits - 1),
            ),
            lambda low, high, bits: (affine_grid(low, high, bits)[0], 2 ** (bits - 1)),
            item=1,
        ),
        variants(
            "The zero point counts the steps from the *low* end of the range, which has code 0, up to the value 0.",
            _grid(zero=lambda low, high, scale: round(high / scale)),
            _grid(zero=lambda low, high, scale: 0),
            _grid(zero=lambda low, high, scale: round(-(high + low) / 2 / scale)),
            item=1,
        ),
        variants(
            "The stretched range decides the zero point as well as the scale.",
            lambda low, high, bits: (affine_grid(low, high, bits)[0], round(-low / affine_grid(low, high, bits)[0])),
            item=1,
        ),
    ),
    also_correct=(_affine_grid_in_torch,),
    forbidden=(quantize.affine_scale, quantize.choose_qparams),
)
