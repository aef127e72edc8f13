"""Lesson 04, exercises 4.2 and 4.3: in whole numbers only, from the zero points of both factors back to a code."""

from fractions import Fraction

import torch
from torch import tensor

from mini_lib.quantize import integer
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 4.2 ------------------------------------------------------------------------------------------------


def without_zero_points(product: int, sum_a: int, sum_b: int, count: int, zero_a: int, zero_b: int) -> int:
    """The sum of (a - zero_a) * (b - zero_b), from the sum of the products of the codes and the two sums of codes."""
    return product - zero_b * sum_a - zero_a * sum_b + count * zero_a * zero_b


def _without_zero_points_by_means(product, sum_a, sum_b, count, zero_a, zero_b):
    """Around the means: the sum of (a - mean)(b - mean), plus count times the distance of both means from zero."""
    about_means = Fraction(product) - Fraction(sum_a * sum_b, count)
    return int(about_means + count * (Fraction(sum_a, count) - zero_a) * (Fraction(sum_b, count) - zero_b))


def _without_zero_points_in_torch(product, sum_a, sum_b, count, zero_a, zero_b):
    signs = tensor([1, -zero_b, -zero_a, zero_a * zero_b])
    return signs @ tensor([product, sum_a, sum_b, count])


def _codes_case(generator: torch.Generator) -> Case:
    count = random_whole(generator, 3, 40)
    a, b = torch.randint(0, 256, (2, count), generator=generator)
    zero_a, zero_b = random_whole(generator, 2, 100), random_whole(generator, 101, 200)
    return Case(int(a @ b), int(a.sum()), int(b.sum()), count, zero_a, zero_b)


WITHOUT_ZERO_POINTS = Exercise(
    id="4.2",
    title="The cross terms of two zero points",
    reference=without_zero_points,
    cases=(
        Case(15, 3, 5, 1, 1, 2),
        Case(23, 8, 5, 2, 2, 1),
        Case(23, 8, 5, 2, 2, 0),
        *random_cases(8, seed=42, make=_codes_case),
    ),
    mistakes=(
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - zero_b * sum_a - zero_a * sum_b,
            "The last term is missing: minus times minus is plus, so zero_a * zero_b comes back once for each of the "
            "`count` pairs.",
        ),
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - zero_b * sum_a - zero_a * sum_b + zero_a * zero_b
            ),
            "Each of the `count` pairs has its own zero_a * zero_b: multiply it by their number.",
        ),
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - zero_b * sum_a - zero_a * sum_b - count * zero_a * zero_b
            ),
            "The last term has the wrong sign: (-zero_a) * (-zero_b) is positive.",
        ),
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - zero_a * sum_a - zero_b * sum_b + count * zero_a * zero_b
            ),
            "The zero points are exchanged. Multiply (a - zero_a) by (b - zero_b) on paper: each a meets zero_b, and "
            "each b meets zero_a.",
        ),
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product + zero_b * sum_a + zero_a * sum_b + count * zero_a * zero_b
            ),
            "That adds the zero points to the codes. A value is code *minus* zero point.",
        ),
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - count * zero_a * zero_b,
            "The two terms in the middle are missing: each a was multiplied by a b that is zero_b too large, and each "
            "b by an a that is zero_a too large.",
        ),
        Mistake(
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (sum_a - count * zero_a) * (sum_b - count * zero_b),
            "A product of two sums is not the sum of the products.",
        ),
    ),
    also_correct=(_without_zero_points_by_means, _without_zero_points_in_torch),
)

# 4.3 ------------------------------------------------------------------------------------------------


def requantize(accumulator: int, multiplier: int, shift: int, zero_point: int, lowest: int, highest: int) -> int:
    """The code of a sum: accumulator * multiplier / 2**shift to the nearest whole number, moved and clamped."""
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
            "Turning a quotient into an integer cuts the fraction off. Round to the nearest whole number.",
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
            "The code may lie outside of what its bits can hold. Clamp it to lowest and highest.",
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
            "The product does not fit in 32 bits, and what does not fit wraps around. A 32-bit sum times a 31-bit "
            "multiplier needs 64 bits.",
        ),
    ),
    also_correct=(_requantize_exactly, _requantize_in_torch),
    forbidden=(integer.requantize,),
)
