"""Lesson 02, exercise 2.3: values moved to the grid."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import of_tensors, variants

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


def _stepped(step):
    """The three steps with another function in the place of rounding."""

    def wrong(x, scale, zero_point, lowest, highest):
        return ((step(x / scale) + zero_point).clamp(lowest, highest) - zero_point) * scale

    return wrong


def _only_at_ties(got, expected, a):
    wrong = got != expected
    tie = (a["x"] / a["scale"]) % 1 == 0.5
    return bool(wrong.any() and (tie | ~wrong).all()) and bool(((got - expected).abs() <= a["scale"]).all())


def _only_beyond(got, expected, a):
    code = _codes(a["x"], a["scale"], a["zero_point"])
    return bool((got != expected).any() and (((code < a["lowest"]) | (code > a["highest"])) | (got == expected)).all())


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
        Case(tensor([0.5, 1.5]), 1.0, 1, 0, 7),
        Case(tensor([[0.9, -0.4], [2.2, 0.1]]), 0.5, 0, -3, 3),
        *random_cases(8, seed=23, make=_grid_case),
    ),
    mistakes=(
        Mistake(
            _stepped(torch.floor),
            "That always rounds down, which is off by up to a whole step. Round to the nearest code.",
        ),
        Mistake(
            _stepped(torch.trunc), "Converting a float to an integer cuts off the fraction. Round to the nearest code."
        ),
        Mistake(
            lambda x, scale, zero_point, lowest, highest: torch.round(x / scale).clamp(lowest, highest) * scale,
            "Clamp the code after the zero point is added: lowest and highest are limits on codes.",
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
    symptoms=(
        variants(
            "The first and the last code belong to the grid.",
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, scale, zero_point).clamp(lowest, highest - 1) - zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, scale, zero_point).clamp(lowest + 1, highest - 1) - zero_point) * scale
            ),
        ),
        of_tensors(
            _only_at_ties,
            "Only ties are wrong. `torch.round(x / scale)` takes a tie to the even whole number, and the zero point is "
            "added after it. Always rounding ties up shifts the mean.",
            (
                _stepped(lambda v: torch.floor(v + 0.5)),
                _stepped(lambda v: v.sign() * torch.floor(v.abs() + 0.5)),
                lambda x, scale, zero_point, lowest, highest: (
                    (torch.round(x / scale + zero_point).clamp(lowest, highest) - zero_point) * scale
                ),
            ),
        ),
        of_tensors(
            _only_beyond,
            "Values beyond the ends of the grid have no code: clamp to both lowest and highest.",
            (
                lambda x, scale, zero_point, lowest, highest: torch.round(x / scale) * scale,
                lambda x, scale, zero_point, lowest, highest: (
                    (_codes(x, scale, zero_point).clamp(max=highest) - zero_point) * scale
                ),
                lambda x, scale, zero_point, lowest, highest: (
                    (_codes(x, scale, zero_point).clamp(min=lowest) - zero_point) * scale
                ),
                lambda x, scale, zero_point, lowest, highest: (
                    ((_codes(x, scale, zero_point) - lowest) % (highest - lowest + 1) + lowest - zero_point) * scale
                ),
            ),
        ),
        of_tensors(
            lambda got, expected, a: not bool(((got / a["scale"]) % 1 == 0).all()),
            "Some of your values lie between two values of the grid. A code is a whole number: round x / scale.",
            (_stepped(lambda v: v),),
        ),
        variants(
            "That does not round to the nearest code, and the ends of the grid are missing.",
            lambda x, scale, zero_point, lowest, highest: torch.floor(x / scale) * scale,
            lambda x, scale, zero_point, lowest, highest: torch.trunc(x / scale) * scale,
        ),
        variants(
            "`int` cuts the fraction off, before or after the zero point is added. Round to the nearest code.",
            lambda x, scale, zero_point, lowest, highest: (
                (torch.trunc(x / scale + zero_point).clamp(lowest, highest) - zero_point) * scale
            ),
        ),
        variants("That always rounds up. Round to the nearest code.", _stepped(torch.ceil)),
        variants(
            "The limits lowest and highest are for *codes*, not for values: clamp after dividing by the scale and "
            "adding the zero point.",
            lambda x, scale, zero_point, lowest, highest: torch.round(x.clamp(lowest, highest) / scale) * scale,
            lambda x, scale, zero_point, lowest, highest: (torch.round(x / scale) * scale).clamp(lowest, highest),
        ),
        variants(
            "The zero point is added on the way to the codes and subtracted on the way back.",
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, scale, -zero_point).clamp(lowest, highest) + zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, scale, zero_point).clamp(lowest, highest) + zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (torch.round(x / scale).clamp(lowest, highest) - zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, scale, -zero_point).clamp(lowest, highest) - zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: _codes(x, scale, -zero_point).clamp(lowest, highest) * scale,
        ),
        variants(
            "The zero point is a code: it is added after the division by the scale, and subtracted before the "
            "multiplication.",
            lambda x, scale, zero_point, lowest, highest: (
                _codes(x, scale, zero_point).clamp(lowest, highest) * scale - zero_point
            ),
            lambda x, scale, zero_point, lowest, highest: (
                torch.round((x + zero_point) / scale).clamp(lowest, highest) * scale - zero_point
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (torch.round((x + zero_point) / scale).clamp(lowest, highest) - zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (torch.round((x - zero_point) / scale).clamp(lowest, highest) + zero_point) * scale
            ),
        ),
        variants(
            "A value divided by the scale is a code, and a code times the scale is a value.",
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, 1 / scale, zero_point).clamp(lowest, highest) - zero_point) * scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                ((torch.round(x * scale) + zero_point).clamp(lowest, highest) - zero_point) / scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                _codes(x, 1 / scale, zero_point).clamp(lowest, highest) - zero_point
            ),
            lambda x, scale, zero_point, lowest, highest: (
                (_codes(x, scale, zero_point).clamp(lowest, highest) - zero_point) / scale
            ),
            lambda x, scale, zero_point, lowest, highest: (
                _codes(x, scale, zero_point).clamp(lowest, highest) - zero_point
            ),
            lambda x, scale, zero_point, lowest, highest: (
                ((torch.round(x) / scale + zero_point).clamp(lowest, highest) - zero_point) * scale
            ),
        ),
    ),
    also_correct=(_fake_quantize_by_hand, _fake_quantize_in_numpy),
    forbidden=(quantize.fake_quantize,),
)
