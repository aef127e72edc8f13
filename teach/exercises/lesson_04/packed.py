"""Lesson 04, exercise 4.1: a product on packed codes."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import packing
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def _codes(packed: Tensor) -> Tensor:
    """The two codes of each byte, the lower four bits first, still as bytes."""
    return torch.stack([packed & 15, packed >> 4], dim=1).flatten()


def packed_dot(packed: Tensor, x: Tensor, scale: float, zero_point: int) -> Tensor:
    """The sum of weight times x, where weight = (code - zero_point) * scale and a byte holds two codes."""
    return scale * ((_codes(packed) * x).sum() - zero_point * x.sum())


def _packed_dot_by_hand(packed: Tensor, x: Tensor, scale: float, zero_point: int) -> float:
    values = x.tolist()
    total = -zero_point * sum(values)
    for at, byte in enumerate(packed.tolist()):
        total += byte % 16 * values[2 * at] + byte // 16 * values[2 * at + 1]
    return total * scale


def _packed_dot_through_weights(packed: Tensor, x: Tensor, scale: float, zero_point: int) -> np.float64:
    codes = np.stack([packed.numpy() & 15, packed.numpy() >> 4], axis=1).ravel().astype(np.float64)
    return ((codes - zero_point) * scale) @ x.numpy().astype(np.float64)


def _dot(codes: Tensor, x: Tensor, scale: float, zero_point: int) -> Tensor:
    return scale * ((codes - zero_point) * x).sum()


def _row_case(generator: torch.Generator) -> Case:
    # Quarters, so that all sums are exact in float32; x far from a mean of zero, so that no result is near zero.
    count = 2 * random_whole(generator, 2, 6)
    x = torch.randint(-8, 20, (count,), generator=generator) / 4
    packed = torch.randint(0, 256, (count // 2,), generator=generator, dtype=torch.uint8)
    return Case(packed, x, random_whole(generator, 1, 9) / 10, random_whole(generator, 3, 12))


def _side_by_side(low: Tensor, high: Tensor) -> Tensor:
    return torch.stack([low.float(), high.float()], dim=1).flatten()


def _summed(codes=_codes, less=lambda zero_point, x: zero_point * x.sum()):
    """A wrong answer: other codes, or something else that is subtracted for the zero point."""
    return lambda packed, x, scale, zero_point: scale * ((codes(packed) * x).sum() - less(zero_point, x))


_LESS = (  # what is subtracted instead of zero_point * x.sum()
    lambda zero_point, x: 0,
    lambda zero_point, x: zero_point,
    lambda zero_point, x: zero_point * len(x),
    lambda zero_point, x: zero_point * len(x) / 2,
    lambda zero_point, x: zero_point * x[::2].sum(),
    lambda zero_point, x: zero_point * x[1::2].sum(),
    lambda zero_point, x: zero_point * x.mean(),
    lambda zero_point, x: -zero_point * x.sum(),
    lambda zero_point, x: -zero_point,
)


PACKED_DOT = Exercise(
    id="4.1",
    title="A dot product on packed codes",
    reference=packed_dot,
    cases=(
        Case(tensor([0x98], dtype=torch.uint8), tensor([3.0, 2.0]), 0.5, 8),
        Case(tensor([0x21], dtype=torch.uint8), tensor([1.0, 1.0]), 1.0, 0),
        Case(tensor([0x43, 0xF0], dtype=torch.uint8), tensor([1.0, 2.0, 3.0, 4.0]), 0.25, 7),
        *random_cases(8, seed=41, make=_row_case),
    ),
    mistakes=(
        Mistake(
            lambda packed, x, scale, zero_point: _dot(
                torch.stack([packed >> 4, packed & 15], dim=1).flatten().int(), x, scale, zero_point
            ),
            "The two codes of each byte are swapped. The first one is in the *lower* four bits.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(
                torch.cat([packed & 15, packed >> 4]).int(), x, scale, zero_point
            ),
            "That takes all lower halves first and then all upper ones. The two codes of one byte are neighbours: "
            "they go with x[0] and x[1], and the codes of the next byte with x[2] and x[3].",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(_codes(packed), x, scale, zero_point),
            "The codes are still bytes, and a byte has no negative numbers: 3 - 8 becomes 251. Subtract after the "
            "multiplication with x, or convert the codes to another integer type first.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(_codes(packed).int(), x, scale, 0),
            "The zero point is missing: a code stands for (code - zero_point) * scale.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: scale * ((_codes(packed) * x).sum() - zero_point),
            "The zero point is subtracted once. It belongs to every code, and each of them is multiplied by its x: "
            "subtract zero_point times the sum of x.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: scale * ((_codes(packed) * x).sum() - zero_point * len(x)),
            "The zero point is subtracted once per code, but each code is multiplied by its x: use the sum of x "
            "instead of their number.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: scale * (_codes(packed) * x).sum() - zero_point * x.sum(),
            "The zero point is a code too. Multiply by the scale after you have subtracted it.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot((_codes(packed).int() + 8) % 16 - 8, x, scale, zero_point),
            "You read the four bits as a signed number from -8 to 7. These codes run from 0 to 15, and the zero point "
            "says which of them is zero.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(
                torch.stack([packed, packed >> 4], dim=1).flatten().int(), x, scale, zero_point
            ),
            "The first code still has the second one in its upper bits. Keep the lower four: byte & 15.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(_codes(packed).int(), x, 1.0, zero_point),
            "That is the sum over codes. Multiply it by the scale, once, at the end.",
        ),
    ),
    symptoms=(
        variants(
            "The two codes of a byte are byte & 15, the lower one, and byte >> 4, the upper one: whole numbers from 0 "
            "to 15.",
            _summed(lambda packed: _side_by_side(packed & 7, packed >> 4)),
            _summed(lambda packed: _side_by_side(packed & 16, packed >> 4)),
            _summed(lambda packed: _side_by_side(packed & 15, packed >> 8)),
            _summed(lambda packed: _side_by_side(packed & 15, packed / 16)),
            _summed(lambda packed: _side_by_side(packed & 15, packed & 240)),
            _summed(lambda packed: _side_by_side(packed & 15, packed >> 3)),
            _summed(lambda packed: _side_by_side(packed & 15, packed)),
            _summed(lambda packed: _side_by_side(packed & 15, packed & 15)),
            _summed(lambda packed: _side_by_side(packed >> 4, packed >> 4)),
        ),
        variants(
            "The two codes of each byte are swapped: the lower four bits come first. Something else is wrong too; "
            "fix this first.",
            *(_summed(lambda packed: _side_by_side(packed >> 4, packed & 15), less=less) for less in _LESS),
        ),
        variants(
            "Each byte holds two codes, and each of them is multiplied by its own x. You use only one of the two.",
            lambda packed, x, scale, zero_point: _dot((packed & 15).float(), x[::2], scale, zero_point),
            lambda packed, x, scale, zero_point: _dot((packed >> 4).float(), x[1::2], scale, zero_point),
        ),
        variants(
            "Subtract the zero point from every code, and only then multiply by its x and by the scale.",
            *(_summed(less=less) for less in _LESS[3:]),
            lambda packed, x, scale, zero_point: scale * (_codes(packed) * x).sum() - zero_point,
            lambda packed, x, scale, zero_point: scale * (_codes(packed) * x).sum() - zero_point * len(x),
        ),
        variants(
            "A product of two sums is not the sum of the products: multiply each code by its own x, and then add up.",
            lambda packed, x, scale, zero_point: scale * (_codes(packed).sum() - zero_point) * x.sum(),
            lambda packed, x, scale, zero_point: scale * (_codes(packed).sum() - zero_point * len(x)) * x.sum(),
            lambda packed, x, scale, zero_point: scale * (_codes(packed).sum() * x.sum() - zero_point * x.sum()),
        ),
        variants(
            "The zero point is multiplied by x, not by the codes: subtract zero_point times the sum of x.",
            lambda packed, x, scale, zero_point: (
                scale * ((_codes(packed) * x).sum() - zero_point * _codes(packed).sum())
            ),
        ),
        Symptom(
            lambda got, expected, given: (
                len(got) == len(given["x"]) and math.isclose(float(sum(got)), expected, abs_tol=1e-4)
            ),
            "Those are the products, one for each weight. Add them up: a row gives one number.",
            [lambda packed, x, scale, zero_point: (_codes(packed).int() - zero_point) * x * scale],
        ),
    ),
    also_correct=(_packed_dot_by_hand, _packed_dot_through_weights),
    forbidden=(packing.unpack,),
)
