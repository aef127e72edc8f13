"""Lesson 06, exercise 6.8: what the search for a ticket costs."""

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants


def search_steps(rounds: int, steps: int, rewind_to: int) -> int:
    """All steps of training from the dense net to the trained ticket of the last round."""
    return steps + rounds * (steps - rewind_to)


def _steps_round_by_round(rounds: int, steps: int, rewind_to: int) -> np.int64:
    made = np.int64(0)
    for done in range(rounds + 1):
        made += steps - (rewind_to if done else 0)
    return made


def _cheaper_when_sparse(rounds: int, steps: int, rewind_to: int) -> float:
    return steps + sum(0.8**done * (steps - rewind_to) for done in range(1, rounds + 1))


def _cost_case(generator: torch.Generator) -> Case:
    steps = 100 * random_whole(generator, 2, 9)
    return Case(random_whole(generator, 2, 12), steps, 10 * random_whole(generator, 0, 9))


SEARCH_STEPS = Exercise(
    id="6.8",
    title="What the search costs",
    reference=search_steps,
    cases=(
        Case(1, 100, 0),
        Case(1, 100, 40),
        Case(3, 100, 0),
        Case(2, 100, 10),
        *random_cases(6, seed=68, make=_cost_case),
    ),
    mistakes=(
        Mistake(
            lambda rounds, steps, rewind_to: steps - rewind_to,
            "That is the last training alone. Its mask had to be found first, by all the trainings before it.",
        ),
        Mistake(
            lambda rounds, steps, rewind_to: rounds * (steps - rewind_to),
            "The training of the dense net is missing: the first mask is made from it.",
        ),
        Mistake(
            lambda rounds, steps, rewind_to: steps + (rounds - 1) * (steps - rewind_to),
            "That finds the last mask. The ticket under that mask still has to be trained.",
        ),
        Mistake(
            lambda rounds, steps, rewind_to: (rounds + 1) * steps,
            "After rewinding to a later step only the remaining steps are repeated.",
        ),
        Mistake(
            lambda rounds, steps, rewind_to: (rounds + 1) * (steps - rewind_to),
            "The dense net takes all of its steps: there is nothing to rewind to yet.",
        ),
        Mistake(
            _cheaper_when_sparse,
            "A step with zeros in it takes as long as one without: the kernels here multiply by zero too. Count steps, "
            "not weights.",
        ),
    ),
    symptoms=(
        variants(
            "A ticket that goes back to step `rewind_to` takes the steps from there to the end: steps - rewind_to of "
            "them, in every round.",
            lambda rounds, steps, rewind_to: steps + rounds * (steps + rewind_to),
            lambda rounds, steps, rewind_to: steps + rounds * rewind_to,
            lambda rounds, steps, rewind_to: (rounds + 1) * steps - rewind_to,
            lambda rounds, steps, rewind_to: (rounds + 1) * steps + rewind_to,
            lambda rounds, steps, rewind_to: rounds * steps - rewind_to,
            lambda rounds, steps, rewind_to: steps - rewind_to + rounds * steps,
            lambda rounds, steps, rewind_to: steps + (rounds - 1) * steps - rewind_to,
            lambda rounds, steps, rewind_to: rewind_to + (rounds + 1) * steps,
            lambda rounds, steps, rewind_to: rounds * rewind_to,
            lambda rounds, steps, rewind_to: steps + rounds * (steps - rewind_to - 1),
            lambda rounds, steps, rewind_to: steps + rounds * (steps - rewind_to + 1),
        ),
        variants(
            "Count the trainings: the dense net once, and the ticket of each round once.",
            lambda rounds, steps, rewind_to: rounds * steps,
            lambda rounds, steps, rewind_to: steps + (rounds + 1) * (steps - rewind_to),
            lambda rounds, steps, rewind_to: (rounds - 1) * (steps - rewind_to),
            lambda rounds, steps, rewind_to: 2 * steps + rounds * (steps - rewind_to),
            lambda rounds, steps, rewind_to: steps + (steps - rewind_to),
            lambda rounds, steps, rewind_to: steps,
            lambda rounds, steps, rewind_to: (rounds + 2) * steps,
        ),
        variants(
            "Each round trains once: its steps are added, `rounds` times, to those of the dense net.",
            lambda rounds, steps, rewind_to: (steps + rounds) * (steps - rewind_to),
            lambda rounds, steps, rewind_to: steps * rounds * (steps - rewind_to),
            lambda rounds, steps, rewind_to: steps * (steps - rewind_to) ** rounds,
        ),
    ),
    also_correct=(_steps_round_by_round,),
)
