"""Lesson 04, exercise 4.2: in whole numbers only, a product without the zero points of both factors."""

from fractions import Fraction

import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

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


def _cross(first, second, last, exchanged=False):
    """A wrong answer: other signs of the two terms in the middle and of the last one, or zero points exchanged."""

    def wrong(product, sum_a, sum_b, count, zero_a, zero_b):
        of_a, of_b = (zero_a, zero_b) if exchanged else (zero_b, zero_a)
        return product + first * of_a * sum_a + second * of_b * sum_b + last * count * zero_a * zero_b

    return wrong


def _with_last(last):
    return lambda product, sum_a, sum_b, count, zero_a, zero_b: (
        product - zero_b * sum_a - zero_a * sum_b + last(count, zero_a, zero_b)
    )


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
            "The zero points are swapped. Multiply (a - zero_a) by (b - zero_b) on paper: each a is multiplied by "
            "zero_b, and each b by zero_a.",
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
    symptoms=(
        variants(
            "The zero points are swapped, and the last term is not right either. Multiply (a - zero_a) by (b - "
            "zero_b) on paper: each a is multiplied by zero_b, and each b by zero_a.",
            *(_cross(-1, -1, last, exchanged=True) for last in (0, -1)),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - zero_a * sum_a - zero_b * sum_b + zero_a * zero_b
            ),
        ),
        variants(
            "One of the two terms in the middle is missing: each a was multiplied by a b that is zero_b too large, "
            "*and* each b by an a that is zero_a too large.",
            *(_cross(first, -1 - first, last) for first in (-1, 0) for last in (1, 0, -1)),
            *(_cross(first, -1 - first, 1, exchanged=True) for first in (-1, 0)),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - zero_b * sum_a + zero_a * zero_b,
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - zero_a * sum_b + zero_a * zero_b,
        ),
        variants(
            "Look at the signs: both terms in the middle are subtracted, and the last one is added.",
            *(_cross(*signs) for signs in ((1, -1, 1), (-1, 1, 1), (1, 1, -1), (1, 1, 0), (0, 0, 1))),
        ),
        variants(
            "`sum_a` and `sum_b` are sums over all pairs already: multiply them by a zero point, without `count`.",
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - count * (zero_b * sum_a + zero_a * sum_b) + count * zero_a * zero_b
            ),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - count * (zero_b * sum_a + zero_a * sum_b) + zero_a * zero_b
            ),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - count * (zero_b * sum_a + zero_a * sum_b),
        ),
        variants(
            "That multiplies sums, and a product of two sums is not the sum of the products: start from `product`, "
            "which is the sum of a * b.",
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (sum_a - zero_a) * (sum_b - zero_b),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - (sum_a - zero_a) * (sum_b - zero_b),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - (sum_a - count * zero_a) * (sum_b - count * zero_b)
            ),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (sum_a - zero_a) * (sum_b - zero_b) * count,
        ),
        variants(
            "Both terms in the middle are missing: zero_b times the sum of the a codes, and zero_a times the sum of "
            "the b codes.",
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product - zero_a * zero_b,
            lambda product, sum_a, sum_b, count, zero_a, zero_b: product + zero_a * zero_b,
        ),
        variants(
            "Look at the brackets: zero_b * sum_a and zero_a * sum_b are two terms, each subtracted from the product.",
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - zero_b * (sum_a - zero_a * sum_b) + count * zero_a * zero_b
            ),
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - zero_b * (sum_a - zero_a * sum_b + count * zero_a * zero_b)
            ),
        ),
        variants(
            "Each zero point is multiplied by the *sum* of the codes of the other factor, not by their number.",
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - count * zero_b - count * zero_a + count * zero_a * zero_b
            ),
        ),
        variants(
            "Each sum is multiplied by the zero point of the other factor only: sum_a by zero_b, and sum_b by zero_a.",
            lambda product, sum_a, sum_b, count, zero_a, zero_b: (
                product - (zero_a + zero_b) * (sum_a + sum_b) + count * zero_a * zero_b
            ),
        ),
        variants(
            "The first three terms are right. The last one is zero_a * zero_b, once for each of the `count` pairs.",
            *(
                _with_last(last)
                for last in (
                    lambda count, a, b: count**2 * a * b,
                    lambda count, a, b: count * (a + b),
                    lambda count, a, b: count * a,
                    lambda count, a, b: count * b,
                    lambda count, a, b: count,
                    lambda count, a, b: 2 * count * a * b,
                )
            ),
        ),
    ),
    also_correct=(_without_zero_points_by_means, _without_zero_points_in_torch),
)
