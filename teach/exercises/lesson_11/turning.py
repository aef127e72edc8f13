"""Lesson 11, exercise 11.1: turning about the centre."""

import math

import numpy as np
import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole

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


def _turn(rows):
    """a, b, d and e of [[a, b, c], [d, e, f]], rounded: how it turns, wherever the centre is."""
    return [round(float(rows[row][column]), 3) for row in (0, 1) for column in (0, 1)]


def _turned_by(signs, exchanged=False):
    """Whether cos and sin are where they belong but for their signs, or are swapped."""

    def shows(got, expected, arguments):
        cos, sin = math.cos(math.radians(arguments["degrees"])), math.sin(math.radians(arguments["degrees"]))
        one, other = (sin, cos) if exchanged else (cos, sin)
        turned = [one * signs[0], other * signs[1], other * signs[2], one * signs[3]]
        wrong = any(abs(float(got[row][2]) - expected[row][2]) > 0.001 for row in (0, 1)) or _turn(got) != _turn(
            expected
        )
        return wrong and len(got) == 2 and _turn(got) == [round(part, 3) for part in turned]

    return shows


def _turning(signs, x=0.5, y=0.5, minus=0):
    """A wrong answer: signs of cos, sin, sin, cos, and another centre as shares of width and height."""

    def wrong(degrees, width, height):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        a, b, d, e = cos * signs[0], sin * signs[1], sin * signs[2], cos * signs[3]
        at_x, at_y = x * width - minus, y * height - minus
        return [[a, b, at_x - a * at_x - b * at_y], [d, e, at_y - d * at_x - e * at_y]]

    return wrong


TURN_MATRIX = Exercise(
    id="11.1",
    title="About the centre",
    reference=turn_matrix,
    cases=(Case(90, 3, 3), Case(180, 4, 2), Case(30, 28, 28), *random_cases(8, seed=111, make=_turn_case)),
    mistakes=(
        Mistake(
            lambda degrees, width, height: _about(0, 0, math.radians(degrees)),
            "That turns about the corner (0, 0), and much of the picture swings out of the frame. Add the shift that "
            "brings the centre back to itself.",
        ),
        Mistake(
            lambda degrees, width, height: _about(width / 2, height / 2, math.radians(degrees)),
            "That is half a pixel off. Pixels are counted from 0, so the centre of `width` pixels is (width - 1) / 2.",
        ),
        Mistake(
            lambda degrees, width, height: _about((width - 1) // 2, (height - 1) // 2, math.radians(degrees)),
            "The centre of an even number of pixels is between two of them: `//` drops the half, so use `/`.",
        ),
        Mistake(
            lambda degrees, width, height: _about((width - 1) / 2, (height - 1) / 2, degrees),
            "`cos` and `sin` take radians: math.radians(degrees).",
        ),
        Mistake(
            lambda degrees, width, height: turn_matrix(-degrees, width, height),
            "That turns clockwise. y points down, and the matrix says where a pixel *comes from*: each of these two "
            "facts reverses the sign.",
        ),
        Mistake(
            lambda degrees, width, height: turn_matrix(degrees, height, width),
            "Width and height are swapped: x runs along the width.",
        ),
        Mistake(
            lambda degrees, width, height: [
                [*row[:2], centre]
                for row, centre in zip(turn_matrix(degrees, 1, 1), ((width - 1) / 2, (height - 1) / 2))
            ],
            "The centre is added back, but was not taken off first. Turn the vector from the centre to the "
            "pixel, not the one from the corner.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: (
                got[0][2] == got[1][2] == 0 and _turned_by((1, 1, -1, 1))(got, expected, arguments)
            ),
            "Without a third column it turns about the corner (0, 0). Add the shift that brings the centre back to "
            "itself, and check the signs of the two `sin`.",
            (_turning((1, 1, -1, 1), 0, 0),),
        ),
        Symptom(
            _turned_by((1, -1, 1, 1)),
            "The turn is right: a, b, d and e are as they should be. c and f are not: they must bring the centre, "
            "((width - 1) / 2, (height - 1) / 2), back to itself.",
            (
                _turning((1, -1, 1, 1), 1, 1, minus=1),
                lambda degrees, width, height: [[*row[:2], -row[2]] for row in turn_matrix(degrees, width, height)],
            ),
        ),
        Symptom(
            _turned_by((1, 1, -1, 1)),
            "It turns clockwise, and it does not keep the centre where it is. Swap the signs of the two `sin`, then "
            "look at c and f.",
            (_turning((1, 1, -1, 1)), _turning((1, 1, -1, 1), 1, 1)),
        ),
        Symptom(
            lambda got, expected, arguments: (
                _turned_by((1, 1, 1, 1))(got, expected, arguments)
                or _turned_by((1, -1, -1, 1))(got, expected, arguments)
            ),
            "Both `sin` have the same sign, which is not a turn: one of them is -sin.",
            (_turning((1, 1, 1, 1), minus=0.5), _turning((1, -1, -1, 1), minus=0.5)),
        ),
        Symptom(
            _turned_by((1, -1, 1, 1), exchanged=True),
            "`cos` and `sin` are swapped. Without a turn, at 0 degrees, each pixel must stay: `cos` belongs to a and "
            "e.",
            (
                lambda degrees, width, height: [
                    [math.sin(math.radians(degrees)), -math.cos(math.radians(degrees)), 0],
                    [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0],
                ],
            ),
        ),
    ),
    also_correct=(_three_matrices, _centre_stays),
    atol=1e-4,  # of a pixel: float32 keeps 2**-24 of 12 or 28, and a mistake is off by a tenth of a pixel and more
)
