"""Lesson 06, exercise 6.1: how much is left after some rounds."""

import math

import numpy as np
import torch

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 6.1 ------------------------------------------------------------------------------------------------


def density_after(rate: float, rounds: int) -> float:
    """The share of the weights that is left when each round takes `rate` of what remains."""
    return (1 - rate) ** rounds


def _density_round_by_round(rate: float, rounds: int) -> np.float64:
    left = np.float64(1.0)
    for _ in range(rounds):
        left -= rate * left
    return left


def _rate_case(generator: torch.Generator) -> Case:
    return Case(random_whole(generator, 1, 9) / 10, random_whole(generator, 2, 12))


DENSITY_AFTER = Exercise(
    id="6.1",
    title="What is left after some rounds",
    reference=density_after,
    cases=(Case(0.25, 1), Case(0.5, 2), Case(0.2, 3), Case(0.2, 0), *random_cases(8, seed=61, make=_rate_case)),
    mistakes=(
        Mistake(
            lambda rate, rounds: 1 - rate * rounds,
            "Each round takes its share of what remains, not of what there was at the start.",
        ),
        Mistake(
            lambda rate, rounds: max(0.0, 1 - rate * rounds),
            "Each round takes its share of what remains: so something always remains, and nothing needs to be cut off "
            "at zero.",
        ),
        Mistake(
            lambda rate, rounds: rate**rounds,
            "The rate is the share that goes. The share that stays in each round is 1 - rate.",
        ),
        Mistake(
            lambda rate, rounds: 1 - (1 - rate) ** rounds,
            "That is the share that is gone, the sparsity. The density is the share that is left.",
        ),
        Mistake(
            lambda rate, rounds: (1 - rate) ** max(rounds - 1, 0),
            "That is one round too few: the first round already takes its share.",
        ),
    ),
    symptoms=(
        variants(
            "Count the rounds: each of them, from the first to the last, leaves 1 - rate of what there was.",
            lambda rate, rounds: (1 - rate) ** (rounds + 1),
            lambda rate, rounds: 1 - rate,
        ),
        variants(
            "Each round multiplies what is left by 1 - rate: after two rounds, that is (1 - rate) * (1 - rate).",
            lambda rate, rounds: (1 - rate) * rounds,
            lambda rate, rounds: 1 - rate**rounds,
            lambda rate, rounds: rounds ** (1 - rate),
            lambda rate, rounds: (1 - rate) / rounds if rounds else 1,
            lambda rate, rounds: (1 - rate / rounds) ** rounds if rounds else 1,
            lambda rate, rounds: 1 / (1 + rate) ** rounds,
            lambda rate, rounds: (1 + rate) ** rounds,
            lambda rate, rounds: math.exp(-rate * rounds),
            lambda rate, rounds: 1 - rate**2 * rounds,
            lambda rate, rounds: rate * rounds,
            lambda rate, rounds: min(1, rate * rounds),
        ),
        Symptom(
            lambda got, expected, given: isinstance(got, (list, tuple)) or getattr(got, "ndim", 0) > 0,
            "Those are several numbers. Return what is left after the last round.",
            [lambda rate, rounds: [(1 - rate) ** done for done in range(1, rounds + 1)]],
        ),
    ),
    also_correct=(_density_round_by_round,),
    forbidden=(prune.geometric, prune.iterative),
)
