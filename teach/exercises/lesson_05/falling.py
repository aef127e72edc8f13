"""Lesson 05, exercise 5.4: how fast the density falls."""

import itertools
from fractions import Fraction

import numpy as np
import torch

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def falling_densities(target: float, rounds: int) -> list[float]:
    """Densities after each round: fast at first, slowly at the end, along a cubic curve from 1 to `target`."""
    return [target + (1 - target) * (1 - done / rounds) ** 3 for done in range(1, rounds + 1)]


def _falling_exactly(target: float, rounds: int) -> list[Fraction]:
    sparsity = 1 - Fraction(target)
    return [1 - sparsity * (1 - Fraction(rounds - done, rounds) ** 3) for done in range(1, rounds + 1)]


def _compounded(target: float, rounds: int) -> list[float]:
    density, densities = 1.0, []
    for done in range(1, rounds + 1):
        density = target + (density - target) * (1 - done / rounds) ** 3
        densities.append(density)
    return densities


def _early(target: float, rounds: int) -> list[float]:
    """Densities counted from round 0: the first is 1."""
    return [target + (1 - target) * (1 - done / rounds) ** 3 for done in range(rounds)]


FALLING_DENSITIES = Exercise(
    id="5.4",
    title="Fast at first",
    reference=falling_densities,
    cases=(
        Case(0.5, 1),
        Case(0.2, 2),
        Case(0.1, 4),
        *random_cases(8, seed=54, make=lambda g: Case(random_whole(g, 1, 18) / 20, random_whole(g, 3, 7))),
    ),
    mistakes=(
        Mistake(
            lambda target, rounds: [1 - (1 - target) * done / rounds for done in range(1, rounds + 1)],
            "That falls by the same amount each round. Early on, many weights are not needed: let the density fall "
            "fast at first.",
        ),
        Mistake(
            lambda target, rounds: [1 - (1 - target) * (done / rounds) ** 3 for done in range(1, rounds + 1)],
            "That falls slowly at first and fast at the end, when the remaining weights are needed most. Cube the "
            "share of the way that is left.",
        ),
        Mistake(
            lambda target, rounds: [target + (1 - target) * (1 - done / rounds) ** 2 for done in range(1, rounds + 1)],
            "That is the square of the share of the way that is left. Take the cube.",
        ),
        Mistake(
            lambda target, rounds: [target + (1 - target) * (1 - done / rounds) ** 3 for done in range(rounds)],
            "That starts with a round that prunes nothing, and never reaches the target. Count the rounds that are "
            "done: 1 to `rounds`.",
        ),
        Mistake(
            lambda target, rounds: [1 - density for density in falling_densities(target, rounds)],
            "Those are sparsities, the shares that are gone. A density is the share that stays.",
        ),
        Mistake(
            lambda target, rounds: [target ** (done / rounds) for done in range(1, rounds + 1)],
            "That takes the same share of what remains in each round. It is another schedule: see `iterative`.",
        ),
        Mistake(
            _compounded,
            "The way is measured from the start, density 1, in every round; not from where the last round ended.",
        ),
    ),
    symptoms=(
        variants(
            "`target` is a density, the share that stays at the end: the last density is the target.",
            lambda target, rounds: [1 - target * (1 - (1 - n / rounds) ** 3) for n in range(1, rounds + 1)],
            lambda target, rounds: [target * (1 - (1 - n / rounds) ** 3) for n in range(1, rounds + 1)],
            lambda target, rounds: [1 - target * n / rounds for n in range(1, rounds + 1)],
        ),
        variants(
            "The density falls from 1 to `target`: the part still to go is (1 - target) times the cube, and the "
            "target is added to it.",
            *(
                lambda target, rounds, density=density: [
                    density(target, (1 - n / rounds) ** 3) for n in range(1, rounds + 1)
                ]
                for density in (
                    lambda t, cube: cube,
                    lambda t, cube: t + cube,
                    lambda t, cube: (1 - t) * cube,
                    lambda t, cube: max(t, cube),
                    lambda t, cube: t * cube,
                    lambda t, cube: t + t * cube,
                    lambda t, cube: 1 - (1 - t) * cube,
                )
            ),
        ),
        Symptom(
            lambda got, expected, given: (
                not isinstance(got, (list, tuple, torch.Tensor)) or torch.as_tensor(got).ndim == 0
            ),
            "That is one number. Return a list with the density after each round.",
            [lambda target, rounds: target + (1 - target) * (1 - 1 / rounds) ** 3],
        ),
        variants(
            "`//` cuts the share of the way to a whole number, 0 or 1: divide with `/`.",
            lambda target, rounds: [target + (1 - target) * (1 - n // rounds) ** 3 for n in range(1, rounds + 1)],
            lambda target, rounds: [1 - (1 - target) * (n // rounds) ** 3 for n in range(1, rounds + 1)],
        ),
        variants(
            "The rounds are counted wrongly. After round n the share n / rounds of the way is done, for n from 1 to "
            "`rounds`.",
            *(
                lambda target, rounds, share=share: [
                    target + (1 - target) * (1 - share(n, rounds)) ** 3 for n in range(1, rounds + 1)
                ]
                for share in (
                    lambda n, rounds: n / (rounds + 1),
                    lambda n, rounds: (n - 1) / max(rounds - 1, 1),
                    lambda n, rounds: 1 / n,
                    lambda n, rounds: 1 / rounds,
                )
            ),
            lambda target, rounds: [1 - falling for falling in _early(target, rounds)],
            lambda target, rounds: _early(target, rounds + 1)[1:],
        ),
        variants(
            "The share of the way that is left, 1 - n / rounds, is raised to the power of 3, and nothing else is.",
            *(
                lambda target, rounds, power=power: [
                    target + (1 - target) * (1 - n / rounds) ** power for n in range(1, rounds + 1)
                ]
                for power in (1 / 3, 1 / 2, 4, 6)
            ),
            lambda target, rounds: [(1 - (1 - target) * n / rounds) ** 3 for n in range(1, rounds + 1)],
            lambda target, rounds: [(target + (1 - target) * (1 - n / rounds)) ** 3 for n in range(1, rounds + 1)],
            lambda target, rounds: [target + ((1 - target) * (1 - n / rounds)) ** 3 for n in range(1, rounds + 1)],
            lambda target, rounds: [1 - ((1 - target) * n / rounds) ** 3 for n in range(1, rounds + 1)],
            lambda target, rounds: [target ** (1 - (1 - n / rounds) ** 3) for n in range(1, rounds + 1)],
        ),
        variants(
            "That is the share that each round takes away. Return the density that is left after it.",
            lambda target, rounds: [
                before - after for before, after in itertools.pairwise([1.0, *falling_densities(target, rounds)])
            ],
        ),
    ),
    also_correct=(
        _falling_exactly,
        lambda target, rounds: target + (1 - target) * np.linspace(1, 0, rounds + 1)[1:] ** 3,
    ),
    forbidden=(prune.cubic,),
)
