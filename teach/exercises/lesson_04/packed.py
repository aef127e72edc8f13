"""Lesson 04, exercise 4.1: a product on packed codes."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import packing
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole


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
            "The two codes of each byte are swapped. The first one lies in the *lower* four bits.",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(
                torch.cat([packed & 15, packed >> 4]).int(), x, scale, zero_point
            ),
            "That takes all lower halves first and then all upper ones. The two codes of one byte are neighbours: they "
            "meet x[0] and x[1], those of the next byte x[2] and x[3].",
        ),
        Mistake(
            lambda packed, x, scale, zero_point: _dot(_codes(packed), x, scale, zero_point),
            "The codes are still bytes, and a byte has no negative numbers: 3 - 8 becomes 251. Subtract after the "
            "multiplication with x, or make the codes integers of another type first.",
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
    also_correct=(_packed_dot_by_hand, _packed_dot_through_weights),
    forbidden=(packing.unpack,),
)
