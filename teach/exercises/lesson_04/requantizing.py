"""Lesson 04, exercise 4.3: in whole numbers only, from a sum back to a code."""

import math
from fractions import Fraction

import torch

from mini_lib.quantize import integer
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants


def requantize(accumulator: int, multiplier: int, shift: int, zero_point: int, lowest: int, highest: int) -> int:
    """The code of a sum: accumulator * multiplier / 2**shift, rounded to nearest, plus the zero point, clamped."""
    scaled = (accumulator * multiplier + (1 << (shift - 1))) >> shift
    return min(max(scaled + zero_point, lowest), highest)


def _requantize_exactly(accumulator, multiplier, shift, zero_point, lowest, highest):
    return sorted((lowest, round(Fraction(accumulator * multiplier, 2**shift)) + zero_point, highest))[1]


def _requantize_in_torch(accumulator, multiplier, shift, zero_point, lowest, highest):
    scaled = torch.tensor(accumulator, dtype=torch.int64) * multiplier / 2.0**shift
    return (scaled.round() + zero_point).clamp(lowest, highest)


def _in_32_bits(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def _clamped(code: int, lowest: int, highest: int) -> int:
    return min(max(code, lowest), highest)


def _sum_case(generator: torch.Generator) -> Case:
    """A real factor between 1/400 and 1/50 as a 31-bit multiplier, and a sum that may be clamped; never a tie."""
    while True:
        shift = random_whole(generator, 36, 39)
        multiplier, accumulator = random_whole(generator, 2**30, 2**31 - 1), random_whole(generator, -9000, 9000)
        part = Fraction(accumulator * multiplier, 2**shift) % 1
        if abs(part - Fraction(1, 2)) > Fraction(1, 100):
            return Case(accumulator, multiplier, shift, random_whole(generator, -20, 20), -128, 127)


def _nearest(x: Fraction, zero_point: int) -> int:
    return round(x) + zero_point


def _down(x: Fraction, zero_point: int) -> int:
    return math.floor(x) + zero_point


def _scaled(code, limits="both"):
    """A wrong answer: `code(exact quotient, zero_point)`, and which limits it keeps."""

    def wrong(accumulator, multiplier, shift, zero_point, lowest, highest):
        found = code(Fraction(accumulator * multiplier, 2**shift), zero_point)
        low, high = limits if isinstance(limits, tuple) else (lowest, highest)
        found = found if limits in ("none", "lowest") else min(found, high)
        return found if limits in ("none", "highest") else max(found, low)

    return wrong


REQUANTIZE = Exercise(
    id="4.3",
    title="From a sum back to a code",
    reference=requantize,
    cases=(
        Case(100, 77, 8, 0, 0, 255),
        Case(102, 77, 8, 3, 0, 255),
        Case(-5, 77, 8, 3, 0, 255),
        Case(-100, 77, 8, 3, 0, 255),
        Case(5000, 77, 8, -10, -128, 127),
        Case(20000, 77, 8, 0, 0, 255),
        Case(123_456, 1_288_490_189, 40, 5, -128, 127),
        *random_cases(8, seed=43, make=_sum_case),
    ),
    mistakes=(
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                (accumulator * multiplier >> shift) + zero_point, lowest, highest
            ),
            "A shift to the right always rounds down. Add half of 2**shift before you shift: then it rounds to the "
            "nearest.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                int(accumulator * multiplier / 2**shift) + zero_point, lowest, highest
            ),
            "Converting a quotient to an integer cuts off the fraction. Round to the nearest whole number.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                (accumulator >> shift) * multiplier + zero_point, lowest, highest
            ),
            "You shifted first, and nearly all bits were gone before the multiplication. Multiply first.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: requantize(
                accumulator + zero_point, multiplier, shift, 0, lowest, highest
            ),
            "The zero point is a code of the *output*: add it after the sum has been scaled.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: (
                requantize(accumulator, multiplier, shift, 0, lowest, highest) + zero_point
            ),
            "The limits are those of the code, and the code includes the zero point: add it first, then clamp.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: requantize(
                accumulator, multiplier, shift, zero_point, -(2**62), 2**62
            ),
            "The code may be outside the range that its bits can hold. Clamp it to lowest and highest.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: requantize(
                accumulator, multiplier, shift, -zero_point, lowest, highest
            ),
            "On the way to a code the zero point is added. It is subtracted on the way back.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                (_in_32_bits(accumulator * multiplier + (1 << (shift - 1))) >> shift) + zero_point, lowest, highest
            ),
            "The product does not fit in 32 bits, so it wraps around. A 32-bit sum times a 31-bit multiplier needs "
            "64 bits.",
        ),
        Mistake(
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                accumulator * multiplier + (1 << shift - 1) >> shift + zero_point, lowest, highest
            ),
            "`+` binds tighter than `>>`: put the shift in parentheses before you add the zero point.",
        ),
    ),
    symptoms=(
        variants(
            "`int(x + 0.5)` rounds a negative x the wrong way, since int() cuts toward zero. Use round(), or add half "
            "and shift: a shift rounds down.",
            *(_scaled(by) for by in (lambda x, z: int(x + 0.5) + z, lambda x, z: int(x + z + 0.5))),
        ),
        variants(
            "That cuts a fraction off. Round to the nearest whole number before you add the zero point.",
            _scaled(lambda x, z: int(x + z)),
        ),
        variants(
            "That rounds up. To round to the nearest, add half of 2**shift, which is 1 << (shift - 1), before the "
            "shift.",
            _scaled(lambda x, z: math.ceil(x) + z),
            _scaled(lambda x, z: math.floor(x) + 1 + z),
        ),
        variants(
            "A code below `lowest` or above `highest` cannot be stored: clamp it at both ends.",
            *(_scaled(_nearest, only) for only in ("lowest", "highest")),
            *(_scaled(by, "none") for by in (_down, lambda x, z: int(x) + z, lambda x, z: int(x + 0.5) + z)),
        ),
        variants(
            "The zero point does not reach the code: add it whole, after the shift. The code of a sum of 0 is the zero "
            "point.",
            *(
                lambda accumulator, multiplier, shift, zero_point, lowest, highest, half=half: _clamped(
                    (accumulator * multiplier + zero_point + (half << shift - 1)) >> shift, lowest, highest
                )
                for half in (0, 1)
            ),
            *(_scaled(lambda x, z, by=by: by(x, 0), limits) for by in (_nearest, _down) for limits in ("both", "none")),
        ),
        variants(
            "`shift` counts bits: the product is divided by 2**shift.",
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                round(accumulator * multiplier / shift) + zero_point, lowest, highest
            ),
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                (accumulator * multiplier << shift) + zero_point, lowest, highest
            ),
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                accumulator * multiplier + zero_point, lowest, highest
            ),
        ),
        variants(
            "No ReLU is asked for: the lower limit is `lowest`, and the upper one `highest`.",
            _scaled(lambda x, z: max(0, round(x) + z), "none"),
            _scaled(lambda x, z: max(0, round(x) + z)),
            _scaled(lambda x, z: max(z, round(x) + z)),
        ),
        variants(
            "Multiply first: a shift before the multiplication throws bits away.",
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: _clamped(
                (accumulator + (1 << shift - 1) >> shift) * multiplier + zero_point, lowest, highest
            ),
        ),
        variants(
            "The two limits are swapped: take the smaller of the code and `highest`, then the larger of that and "
            "`lowest`.",
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: max(
                highest, min(lowest, requantize(accumulator, multiplier, shift, zero_point, -(2**62), 2**62))
            ),
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: lowest,
        ),
        variants(
            "The limits are `lowest` and `highest`, which depend on the layer: use these two.",
            *(_scaled(_nearest, limits) for limits in ((0, 255), (-127, 127))),
        ),
        variants(
            "A code that is too large becomes `highest`, and one that is too small `lowest`: yours wraps around.",
            lambda accumulator, multiplier, shift, zero_point, lowest, highest: (
                (requantize(accumulator, multiplier, shift, zero_point, -(2**62), 2**62) - lowest)
                % (highest - lowest + 1)
                + lowest
            ),
        ),
    ),
    also_correct=(_requantize_exactly, _requantize_in_torch),
    forbidden=(integer.requantize,),
)
