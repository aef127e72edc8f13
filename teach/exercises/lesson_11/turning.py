"""Lesson 11, exercises 11.1 and 11.2: turning about the centre, and from a magnitude to a strength with a sign."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.augment.operations import Operation
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 11.1 -----------------------------------------------------------------------------------------------

Matrix = list[list[float]]


def turn_matrix(degrees: float, width: int, height: int) -> Matrix:
    """Where each pixel of a picture turned anticlockwise about its centre comes from, [[a, b, c], [d, e, f]]."""
    return _about((width - 1) / 2, (height - 1) / 2, math.radians(degrees))


def _about(x: float, y: float, angle: float) -> Matrix:
    """Turned by an angle in radians about the point (x, y)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]]


def _three_matrices(degrees, width, height):
    x, y, angle = (width - 1) / 2, (height - 1) / 2, np.deg2rad(degrees)
    to_centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return (np.linalg.inv(to_centre) @ turn @ to_centre)[:2]


def _centre_stays(degrees, width, height):
    angle = torch.deg2rad(tensor(float(degrees), dtype=torch.float64))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    centre = tensor([width - 1, height - 1], dtype=torch.float64) / 2
    return torch.cat([turn, (centre - turn @ centre)[:, None]], dim=1)


def _turn_case(generator: torch.Generator) -> Case:
    width, height = random_whole(generator, 2, 6), random_whole(generator, 7, 12)
    return Case(15 * random_whole(generator, 1, 23) + 5, width, height)


TURN_MATRIX = Exercise(
    id="11.1",
    title="About the centre",
    reference=turn_matrix,
    cases=(Case(90, 3, 3), Case(180, 4, 2), Case(30, 28, 28), *random_cases(8, seed=111, make=_turn_case)),
    mistakes=(
        Mistake(
            lambda degrees, width, height: _about(0, 0, math.radians(degrees)),
            "That turns about the corner (0, 0), and much of the picture swings out of the frame. "
            "Add what brings the centre back to itself.",
        ),
        Mistake(
            lambda degrees, width, height: _about(width / 2, height / 2, math.radians(degrees)),
            "Half a pixel off. Pixels are counted from 0, so the centre of `width` pixels is (width - 1) / 2.",
        ),
        Mistake(
            lambda degrees, width, height: _about((width - 1) // 2, (height - 1) // 2, math.radians(degrees)),
            "The centre of an even number of pixels lies between two of them: `//` drops the half, so use `/`.",
        ),
        Mistake(
            lambda degrees, width, height: _about((width - 1) / 2, (height - 1) / 2, degrees),
            "`cos` and `sin` take radians: math.radians(degrees).",
        ),
        Mistake(
            lambda degrees, width, height: turn_matrix(-degrees, width, height),
            "That turns clockwise. y points down, and the matrix says where a pixel *comes from*: each of the two "
            "turns the sign round.",
        ),
        Mistake(
            lambda degrees, width, height: turn_matrix(degrees, height, width),
            "Width and height are exchanged: x runs along the width.",
        ),
        Mistake(
            lambda degrees, width, height: [
                [*row[:2], centre]
                for row, centre in zip(turn_matrix(degrees, 1, 1), ((width - 1) / 2, (height - 1) / 2))
            ],
            "The centre is added back, but was not taken off first. Turn the way from the centre to the pixel, "
            "and not the way from the corner.",
        ),
    ),
    also_correct=(_three_matrices, _centre_stays),
    atol=1e-4,  # of a pixel: float32 keeps 2**-24 of 12 or 28, and a mistake is off by a tenth of a pixel and more
)

# 11.2 -----------------------------------------------------------------------------------------------


def strengths(magnitudes: Tensor, negative: Tensor, weakest: float, strongest: float, signed: bool) -> Tensor:
    """Strengths in an operation's own unit, one per picture; the sign of a signed operation is the picture's own."""
    strength = weakest + (strongest - weakest) * magnitudes / 9
    return torch.where(negative & signed, -strength, strength)


def _strengths_by_hand(magnitudes, negative, weakest, strongest, signed):
    found = []
    for magnitude, backwards in zip(magnitudes.tolist(), negative.tolist()):
        strength = weakest * (9 - magnitude) / 9 + strongest * magnitude / 9
        found.append(-strength if signed and backwards else strength)
    return found


def _strengths_in_numpy(magnitudes, negative, weakest, strongest, signed):
    strength = np.interp(magnitudes.numpy(), [0, 9], [weakest, strongest])
    return strength * np.where(negative.numpy() & signed, -1, 1)


_TURN, _GREY, _BITS = (0.0, 30.0, True), (255.0, 0.0, False), (8.0, 4.0, False)  # rotate, solarize, posterize


def _strengths_case(generator: torch.Generator) -> Case:
    scale = (_TURN, _GREY, _BITS, (0.0, 0.9, True))[random_whole(generator, 0, 3)]
    negative = torch.rand(6, generator=generator) < 0.5
    negative[0] = torch.rand((), generator=generator) < 0.5
    negative[1] = ~negative[0]  # both occur
    return Case(torch.randint(1, 10, (6,), generator=generator), negative, *scale)


STRENGTHS = Exercise(
    id="11.2",
    title="From a magnitude to degrees",
    reference=strengths,
    cases=(
        Case(tensor([9]), tensor([False]), *_TURN),
        Case(tensor([3, 3]), tensor([False, True]), *_TURN),
        Case(tensor([3, 6]), tensor([True, False]), *_TURN),
        Case(tensor([9, 0]), tensor([False, True]), *_BITS),
        *random_cases(8, seed=112, make=_strengths_case),
    ),
    mistakes=(
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: weakest + (strongest - weakest) * magnitudes / 9,
            "The sign is never negative: all pictures turn the same way, and the model never sees the other half. "
            "Where `negative` is True, turn it round.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative, weakest, strongest, True
            ),
            "This operation has no direction, and gets a negative strength: minus 4 bits mean nothing. Turn the sign "
            "round only where it is `signed`.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative[0].expand(len(negative)), weakest, strongest, signed
            ),
            "One sign for the whole batch. Each picture has its own: negative[i] belongs to picture i.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes * 0.9, negative, weakest, strongest, signed
            ),
            "Divide by 9, not by 10: 0 to 9 are ten magnitudes, and the highest must give `strongest`.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative, 0.0, strongest, signed
            ),
            "A scale does not have to begin at 0, nor to rise. It runs from `weakest`: posterize keeps 8 bits at "
            "magnitude 0, and 4 at 9.",
        ),
    ),
    also_correct=(_strengths_by_hand, _strengths_in_numpy),
    forbidden=(Operation.strength,),
)
