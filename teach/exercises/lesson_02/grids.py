"""Lesson 02, exercises 2.1 to 2.4: the grid of values that codes stand for."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole


def weights(*shape: int, generator: torch.Generator) -> Tensor:
    """Random numbers of the size of weights."""
    return torch.randn(*shape, generator=generator) * 0.2


# 2.1 ------------------------------------------------------------------------------------------------


def _symmetric_scale_by_hand(weight: Tensor, bits: int) -> float:
    largest = 0.0
    for value in weight.flatten().tolist():
        largest = max(largest, abs(value))
    return largest / (2 ** (bits - 1) - 1)


SYMMETRIC_SCALE = Exercise(
    id="2.1",
    title="Scale of a symmetric grid",
    reference=quantize.symmetric_scale,
    cases=(
        Case(tensor([3.0]), bits=8),
        Case(tensor([-1.0, 0.5]), bits=2),
        *random_cases(8, seed=21, make=lambda g: Case(weights(3, 5, generator=g), bits=random_whole(g, 2, 8))),
    ),
    mistakes=(
        Mistake(
            lambda w, bits: w.abs().max() / 2 ** (bits - 1),
            "A signed 4-bit grid ends at +7, not +8: there are 2**(bits-1) - 1 positive codes.",
        ),
        Mistake(
            lambda w, bits: w.max() / (2 ** (bits - 1) - 1),
            "The largest weight may be negative: take the largest magnitude.",
        ),
        Mistake(
            lambda w, bits: (w.max() - w.min()) / (2**bits - 1),
            "That is the scale of an asymmetric grid. A symmetric one is centred on zero.",
        ),
        Mistake(
            lambda w, bits: w.abs().max() / (2**bits - 1),
            "Half of the codes are negative: only 2**(bits-1) - 1 of them lie above zero.",
        ),
        Mistake(
            lambda w, bits: (2 ** (bits - 1) - 1) / w.abs().max(),
            "That is the inverse. The scale is the width of one step: weight = code * scale.",
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
        Case(-0.4, 1.1, bits=4),
        *random_cases(8, seed=22, make=_range_case),
    ),
    mistakes=(
        Mistake(
            lambda low, high, bits: ((high - low) / (2**bits - 1), round(-low / ((high - low) / (2**bits - 1)))),
            "Zero must lie on the grid (padding and ReLU produce it "
            "all the time): stretch the range to include 0 first.",
        ),
        Mistake(
            lambda low, high, bits: (
                (max(high, 0.0) - min(low, 0.0)) / (2**bits - 1),
                -min(low, 0.0) / ((max(high, 0.0) - min(low, 0.0)) / (2**bits - 1)),
            ),
            "The zero point is a code, so it must be a whole number: with a fraction, zero falls between two codes.",
        ),
        Mistake(
            lambda low, high, bits: (affine_grid(low, high, bits)[0], -affine_grid(low, high, bits)[1]),
            "The sign is turned. code = value / scale + zero_point, and the lowest value gets code 0.",
        ),
        Mistake(
            lambda low, high, bits: (
                (max(high, 0.0) - min(low, 0.0)) / 2**bits,
                round(-min(low, 0.0) / ((max(high, 0.0) - min(low, 0.0)) / 2**bits)),
            ),
            "2**bits codes have 2**bits - 1 steps between them, as four fence posts have three gaps.",
        ),
    ),
    also_correct=(_affine_grid_in_torch,),
    forbidden=(quantize.affine_scale, quantize.choose_qparams),
)

# 2.3 ------------------------------------------------------------------------------------------------


def fake_quantize(x: Tensor, scale: float, zero_point: int, lowest: int, highest: int) -> Tensor:
    """Each value of x moved to the nearest value of the grid."""
    return quantize.fake_quantize(x, scale, zero_point, lowest, highest)


def _codes(x: Tensor, scale: float, zero_point: int) -> Tensor:
    return torch.round(x / scale) + zero_point


def _fake_quantize_by_hand(x: Tensor, scale: float, zero_point: int, lowest: int, highest: int) -> Tensor:
    values = []
    for value in x.flatten().tolist():
        code = min(max(round(value / scale) + zero_point, lowest), highest)  # Python's round is half to even too
        values.append((code - zero_point) * scale)
    return tensor(values).reshape(x.shape)


def _fake_quantize_in_numpy(x: Tensor, scale: float, zero_point: int, lowest: int, highest: int) -> np.ndarray:
    codes = np.clip(np.rint(x.numpy() / np.float32(scale)) + zero_point, lowest, highest)
    return (codes - zero_point) * np.float32(scale)


def _half_up(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5)


def _grid_case(generator: torch.Generator) -> Case:
    bits = random_whole(generator, 2, 5)
    zero_point = int(torch.randint(1, 2**bits - 1, (), generator=generator))
    scale = 2.0 ** -int(torch.randint(0, 4, (), generator=generator))  # a power of two: ties are exact
    x = torch.randint(-60, 60, (9,), generator=generator) / 16
    return Case(x, scale, zero_point, 0, 2**bits - 1)


FAKE_QUANTIZE = Exercise(
    id="2.3",
    title="Round to the grid",
    reference=fake_quantize,
    cases=(
        Case(tensor([0.9]), 1.0, 0, -7, 7),
        Case(tensor([0.5, 1.5]), 1.0, 0, -7, 7),
        Case(tensor([-1.0, 9.0]), 1.0, 0, -7, 7),
        Case(tensor([0.0, 2.0]), 0.5, 1, 0, 3),
        *random_cases(8, seed=23, make=_grid_case),
    ),
    mistakes=(
        Mistake(
            lambda x, scale, zero_point, lowest, highest: (
                (torch.clamp(torch.floor(x / scale) + zero_point, lowest, highest) - zero_point) * scale
            ),
            "That always rounds down, which is off by up to a whole step. Round to the nearest code.",
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: (
                (torch.clamp(torch.trunc(x / scale) + zero_point, lowest, highest) - zero_point) * scale
            ),
            "Turning a float into an integer cuts the fraction off. Round to the nearest code.",
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: (
                (torch.clamp(_half_up(x / scale) + zero_point, lowest, highest) - zero_point) * scale
            ),
            "A tie goes to the even code, as torch.round does it. Always rounding ties up shifts the mean.",
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: (
                (torch.clamp(torch.round(x / scale), lowest, highest) + zero_point - zero_point) * scale
            ),
            "Clamp the code after the zero point is added: lowest and highest are limits on codes.",
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: torch.round(x / scale) * scale,
            "Values beyond the ends of the grid have no code: clamp to lowest and highest.",
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: _codes(x, scale, zero_point).clamp(lowest, highest) * scale,
            "Going back, subtract the zero point before you multiply: value = (code - zero_point) * scale.",
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: _codes(x, scale, zero_point).clamp(lowest, highest),
            "Those are the codes. Return the values they stand for: (code - zero_point) * scale.",
        ),
    ),
    also_correct=(_fake_quantize_by_hand, _fake_quantize_in_numpy),
    forbidden=(quantize.fake_quantize,),
)

# 2.4 ------------------------------------------------------------------------------------------------


def channel_scales(weight: Tensor, bits: int) -> Tensor:
    """One symmetric scale for each output channel: weight [out, ...] gives [out]."""
    return weight.flatten(1).abs().amax(dim=1) / (2 ** (bits - 1) - 1)


CHANNEL_SCALES = Exercise(
    id="2.4",
    title="One scale a channel",
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
            lambda weight, bits: weight.abs().amax(dim=1) / (2 ** (bits - 1) - 1),
            "For a convolution that leaves the kernel's height and width: the largest is over everything but axis 0.",
        ),
        Mistake(
            lambda weight, bits: weight.flatten(1).amax(dim=1) / (2 ** (bits - 1) - 1),
            "The largest weight of a channel may be negative: take the largest magnitude.",
        ),
        Mistake(
            lambda weight, bits: weight.flatten(1).abs().mean(dim=1) / (2 ** (bits - 1) - 1),
            "With the mean, half of the weights lie beyond the end of the grid. Take the largest magnitude.",
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
