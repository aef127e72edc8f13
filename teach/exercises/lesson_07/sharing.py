"""Lesson 07, exercise 7.3: which share of the MACs a pair does, and up to which multiplier that is a saving."""

import math
from fractions import Fraction

import numpy as np
import torch

from mini_lib.factorize import cost
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole


def share_and_limit(outputs: int, kernel: int, multiplier: int) -> tuple[Fraction, int]:
    """The pair's share of the convolution's MACs, and the largest multiplier at which that is below 1."""
    once = Fraction(1, outputs) + Fraction(1, kernel**2)
    return multiplier * once, math.ceil(1 / once) - 1


def _share_by_counting(outputs, kernel, multiplier):
    plain, once = outputs * kernel**2, outputs + kernel**2
    largest = 0
    while (largest + 1) * once < plain:
        largest += 1
    return multiplier * once / plain, largest


def _share_in_numpy(outputs, kernel, multiplier):
    once = outputs + kernel**2
    return np.array([multiplier * once / (outputs * kernel**2), (outputs * kernel**2 - 1) // once])


def _share(share):
    """A wrong answer whose limit is right."""
    return lambda outputs, kernel, multiplier: (
        share(outputs, kernel, multiplier),
        share_and_limit(outputs, kernel, multiplier)[1],
    )


def _limit(limit):
    """A wrong answer whose share is right."""
    return lambda outputs, kernel, multiplier: (share_and_limit(outputs, kernel, multiplier)[0], limit(outputs, kernel))


def _share_case(generator: torch.Generator) -> Case:
    return Case(random_whole(generator, 2, 60), random_whole(generator, 2, 5), random_whole(generator, 2, 4))


def _below(value: Fraction) -> int:
    """The largest whole number below."""
    return math.ceil(value) - 1


def _half(at: int, says: str, *wrong) -> Symptom:
    """The symptom that one of the two numbers is what one of `wrong` gives, whatever the other one is."""

    def shows(got, expected, given):
        n, k, r = given["outputs"], given["kernel"], given["multiplier"]
        if math.isclose(got[at], expected[at], rel_tol=1e-5, abs_tol=1e-9):
            return False
        return any(math.isclose(got[at], one(n, k, r), rel_tol=1e-5, abs_tol=1e-9) for one in wrong)

    def example(one):
        def answer(outputs, kernel, multiplier):
            both = list(share_and_limit(outputs, kernel, multiplier))
            both[at] = one(outputs, kernel, multiplier)
            return tuple(both)

        return answer

    return Symptom(shows, says, [example(one) for one in wrong])


SHARE_AND_LIMIT = Exercise(
    id="7.3",
    title="What is saved, and until when",
    reference=share_and_limit,
    cases=(
        Case(4, 2, 1),
        Case(16, 3, 1),
        Case(16, 3, 4),
        Case(18, 3, 2),
        Case(1, 3, 1),
        Case(32, 3, 1),
        Case(1, 1, 1),
        Case(1, 2, 2),
        *random_cases(8, seed=73, make=_share_case),
    ),
    mistakes=(
        Mistake(
            _share(lambda n, k, r: Fraction(1, k**2)),
            "That is the depthwise part alone, and it equals the share only with very many outputs. The pointwise part "
            "adds its 1 / outputs.",
        ),
        Mistake(
            _share(lambda n, k, r: Fraction(1, n) + Fraction(1, k**2)),
            "The share is that of multiplier 1. Both parts grow with the multiplier.",
        ),
        Mistake(
            _share(lambda n, k, r: Fraction(1, n) + Fraction(r, k**2)),
            "The multiplier is on the depthwise part only. The pointwise part reads that many times more channels: it "
            "grows too.",
        ),
        Mistake(
            _share(lambda n, k, r: r * (Fraction(1, n) + Fraction(1, k))),
            "The kernel is a square: it takes 1 / kernel**2.",
        ),
        Mistake(
            _share(lambda n, k, r: r * Fraction(1, n * k**2)),
            "The two parts run one after the other. Their shares are added, not multiplied.",
        ),
        Mistake(
            _share(lambda n, k, r: 1 - r * (Fraction(1, n) + Fraction(1, k**2))),
            "That is the share that is saved. The exercise asks for the share that is left to do.",
        ),
        Mistake(
            _share(lambda n, k, r: 1 / (r * (Fraction(1, n) + Fraction(1, k**2)))),
            "That says how many times fewer MACs, which is the share upside down. It is not a speed either: nothing "
            "here was timed.",
        ),
        Mistake(
            _limit(lambda n, k: n * k**2 // (n + k**2)),
            "Where outputs * kernel**2 / (outputs + kernel**2) is whole, the pair costs as much as the convolution "
            "there. Saving means fewer MACs: one multiplier lower.",
        ),
        Mistake(
            _limit(lambda n, k: math.ceil(n * k**2 / (n + k**2))),
            "If you round up, the pair costs as much as the convolution or more. The limit is the last multiplier "
            "that saves: below, never at it.",
        ),
        Mistake(
            _limit(lambda n, k: round(n * k**2 / (n + k**2))),
            "Rounding to the nearest may go up, and there the pair already "
            "costs more. The limit is the last multiplier that saves.",
        ),
        Mistake(
            _limit(lambda n, k: min(n, k**2)),
            "At that multiplier the pair can be any convolution, and costs more than it. Ask at which one the share is "
            "still below 1.",
        ),
    ),
    symptoms=(
        _half(
            0,
            "The share has two parts, multiplier / kernel**2 for the depthwise and multiplier / outputs for the "
            "pointwise convolution: add both.",
            lambda n, k, r: Fraction(r, k**2),
            lambda n, k, r: Fraction(r, n),
            lambda n, k, r: Fraction(r, n) + Fraction(1, k**2),
            lambda n, k, r: Fraction(1, n),
            lambda n, k, r: r * Fraction(1, n + k**2),
            lambda n, k, r: Fraction(1, n * r) + Fraction(1, k**2 * r),
            lambda n, k, r: Fraction(1, n * r) + Fraction(1, k**2),
            lambda n, k, r: Fraction(1, n) + Fraction(1, k**2 * r),
        ),
        _half(
            1,
            "The limit is the multiplier that you look for. It does not depend on the `multiplier` that is given.",
            lambda n, k, r: _below(Fraction(n * k**2, r * (n + k**2))),
            lambda n, k, r: n * k**2 // (r * (n + k**2)),
            lambda n, k, r: round(n * k**2 / (r * (n + k**2))),
            lambda n, k, r: r,
        ),
        _half(
            1,
            "A multiplier is a whole number: the last one at which the share is still below 1.",
            lambda n, k, r: n * k**2 / (n + k**2),
        ),
        _half(
            1,
            "Where no multiplier saves anything the limit is 0.",
            lambda n, k, r: max(1, _below(Fraction(n * k**2, n + k**2))),
        ),
        _half(
            1,
            "At the limit the share, with both of its parts, is still below 1, and at the next multiplier it is not.",
            lambda n, k, r: k**2,
            lambda n, k, r: k**2 - 1,
            lambda n, k, r: n,
            lambda n, k, r: n - 1,
            lambda n, k, r: k,
            lambda n, k, r: n * k**2 // (n + k**2) - 1,
            lambda n, k, r: n * k**2 // (n + k**2) + 1,
            lambda n, k, r: _below(Fraction(n * k, n + k)),
            lambda n, k, r: n * k // (n + k),
            lambda n, k, r: min(n, k**2) - 1,
        ),
    ),
    also_correct=(_share_by_counting, _share_in_numpy),
    forbidden=(cost.cost_ratio, cost.break_even_multiplier),
)
