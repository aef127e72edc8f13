"""Lesson 02, exercise 2.4: one scale per channel."""

import numpy as np
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_02.grids import weights
from teach.variants import variants

# 2.4 ------------------------------------------------------------------------------------------------


def channel_scales(weight: Tensor, bits: int) -> Tensor:
    """One symmetric scale for each output channel: weight [out, ...] gives [out]."""
    return weight.flatten(1).abs().amax(dim=1) / (2 ** (bits - 1) - 1)


def _rows(size=lambda rows: rows.abs().amax(dim=1), codes=lambda b: 2 ** (b - 1) - 1):
    """The scales of the rows with slips: of the size of a row, and of the largest code."""
    return lambda weight, bits: size(weight.flatten(1)) / codes(bits)


CHANNEL_SCALES = Exercise(
    id="2.4",
    title="One scale per channel",
    reference=channel_scales,
    cases=(
        Case(tensor([[1.0, -2.0], [0.5, 0.25]]), bits=2),
        *random_cases(3, seed=24, make=lambda g: Case(weights(3, 4, generator=g), bits=random_whole(g, 2, 8))),
        *random_cases(4, seed=25, make=lambda g: Case(weights(3, 3, 2, 2, generator=g), bits=random_whole(g, 2, 8))),
    ),
    mistakes=(
        Mistake(
            lambda weight, bits: weight.abs().max() / (2 ** (bits - 1) - 1),
            "That is one scale for the whole tensor. Each output channel needs its own.",
        ),
        Mistake(
            lambda weight, bits: weight.abs().transpose(0, 1).flatten(1).amax(dim=1) / (2 ** (bits - 1) - 1),
            "Those are the input channels. A weight is [out, in, ...]: the output channel is axis 0.",
        ),
        Mistake(
            _rows(size=lambda rows: rows.amax(dim=1)),
            "The largest weight of a channel may be negative: take the largest magnitude.",
        ),
        Mistake(
            _rows(size=lambda rows: rows.abs().amax(dim=1), codes=lambda b: 2 ** (b - 1)),
            "The largest code is 2**(bits-1) - 1, as in the first exercise.",
        ),
        Mistake(
            _rows(size=lambda rows: rows.abs().max(dim=1)),
            "`max(dim=...)` gives the values and their places: take its `.values`, or use `amax`.",
        ),
    ),
    symptoms=(
        variants(
            "One scale for each channel: the largest magnitude of its own row, not of the whole tensor.",
            lambda weight, bits: (weight.abs().max() / (2 ** (bits - 1) - 1)).repeat(len(weight)),
            lambda weight, bits: weight.abs().max() / 2 ** (bits - 1),
            lambda weight, bits: weight.abs().max() / (2**bits - 1),
        ),
        variants(
            "`dim` names the axis that disappears. Axis 0, the output channel, is the one that has to stay.",
            *(lambda weight, bits, at=at: weight.abs().amax(dim=0) / (2 ** (bits - 1) - at) for at in (1, 0)),
            lambda weight, bits: weight.flatten(1).abs().amax(dim=0) / (2 ** (bits - 1) - 1),
            lambda weight, bits: weight.flatten(0, -2).abs().amax(dim=0) / (2 ** (bits - 1) - 1),
        ),
        variants(
            "For a convolution, more than one axis is left: take the largest magnitude over every axis but axis 0.",
            lambda weight, bits: weight.abs().amax(dim=1) / (2 ** (bits - 1) - 1),
            lambda weight, bits: weight.abs().amax(dim=-1) / (2 ** (bits - 1) - 1),
            lambda weight, bits: weight.abs().amax(dim=tuple(range(1, weight.dim()))[-2:]) / (2 ** (bits - 1) - 1),
            lambda weight, bits: weight.flatten(0, -2).abs().amax(dim=1) / (2 ** (bits - 1) - 1),
        ),
        variants(
            "The largest code of a signed grid is 2**(bits-1) - 1: half of the codes are negative.",
            _rows(codes=lambda b: 2**b - 1),
            _rows(codes=lambda b: 2**b),
            _rows(codes=lambda b: b),
            _rows(codes=lambda b: 2**b - 2),
        ),
        variants(
            "That is the largest magnitude of each channel. Divide it by the largest code.", _rows(codes=lambda b: 1)
        ),
        variants(
            "With a mean or a norm, weights fall beyond the end of the grid, or codes go unused. Take the largest "
            "magnitude.",
            _rows(size=lambda rows: rows.abs().mean(dim=1)),
            _rows(size=lambda rows: rows.abs().sum(dim=1)),
            _rows(size=lambda rows: rows.norm(dim=1)),
            _rows(size=lambda rows: rows.std(dim=1)),
        ),
        variants(
            "That is the scale of an asymmetric grid, from the smallest weight to the largest. A symmetric grid is "
            "centred on zero.",
            _rows(size=lambda rows: rows.amax(dim=1) - rows.amin(dim=1), codes=lambda b: 2**b - 1),
            _rows(size=lambda rows: rows.amax(dim=1) - rows.amin(dim=1)),
        ),
    ),
    also_correct=(
        lambda weight, bits: [max(abs(v) for v in row) / (2 ** (bits - 1) - 1) for row in weight.flatten(1).tolist()],
        lambda weight, bits: (
            np.abs(weight.numpy()).max(axis=tuple(range(1, weight.dim()))) / np.float64(2 ** (bits - 1) - 1)
        ),
    ),
    forbidden=(quantize.choose_qparams,),
)
