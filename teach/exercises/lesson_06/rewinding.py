"""Lesson 06, exercises 6.7 and 6.8: rewinding to a later step, and what it all costs."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 6.7 ------------------------------------------------------------------------------------------------


def rewind(history: list[Tensor], rates: list[float], mask: Tensor, k: int) -> tuple[Tensor, list[float]]:
    """Where a net that is rewound to step k starts, and the learning rates of the steps that it still makes."""
    return history[k] * mask, rates[k:]


def _rewind_with_loops(history: list[Tensor], rates: list[float], mask: Tensor, k: int) -> tuple:
    start = [weight if keep else 0.0 for weight, keep in zip(history[k].tolist(), mask.tolist())]
    return start, tuple(rates[step] for step in range(k, len(rates)))


def _rewind_in_numpy(history: list[Tensor], rates: list[float], mask: Tensor, k: int) -> tuple:
    return np.where(mask.numpy(), np.stack(history)[k], 0), np.array(rates)[k:]


def _history_case(generator: torch.Generator) -> Case:
    steps = random_whole(generator, 4, 8)
    history = list(torch.randn(steps + 1, 4, generator=generator).round(decimals=2))
    rates = [round(0.1 * 0.8**step, 4) for step in range(steps)]
    mask = torch.zeros(4, dtype=torch.bool)
    mask[torch.randperm(4, generator=generator)[:2]] = True
    return Case(history, rates, mask, random_whole(generator, 1, steps - 1))


_HISTORY = [tensor([0.5, 0.25]), tensor([0.75, 0.5]), tensor([1.0, 0.125]), tensor([1.5, 0.0625])]

REWIND = Exercise(
    id="6.7",
    title="Rewind to step k",
    reference=rewind,
    cases=(
        Case(_HISTORY, [0.3, 0.2, 0.1], tensor([True, False]), 1),
        Case(_HISTORY, [0.3, 0.2, 0.1], tensor([True, False]), 0),
        Case(_HISTORY, [0.3, 0.2, 0.1], tensor([True, False]), 2),
        *random_cases(8, seed=67, make=_history_case),
    ),
    mistakes=(
        Mistake(
            lambda history, rates, mask, k: (history[k] * mask, rates[:]),
            "That trains for all T steps again, k more than the dense net had from there. After rewinding to k, T - k "
            "steps are left.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[k] * mask, rates[: len(rates) - k]),
            "The number of steps is right, but the learning rates are those of the beginning. They are rewound to "
            "step k as well: leave out the first k.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[max(k - 1, 0)] * mask, rates[k:]),
            "Those are the weights after k - 1 steps: history[0] is the start, so the weights after k steps are "
            "history[k].",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[k + 1] * mask, rates[k:]),
            "Those are the weights after k + 1 steps: history[0] is the start, so the weights after k steps are "
            "history[k].",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[-1] * mask, rates[k:]),
            "Only the learning rate is rewound here: the weights are still the trained ones. That is learning-rate "
            "rewinding.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[0] * mask, rates[k:]),
            "Those are the weights of the start, for the learning rates of step k. Take the weights of step k too.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[-1 - k] * mask, rates[k:]),
            "That goes k steps back from the end. Step k is counted from the start.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[k].clone(), rates[k:]),
            "The mask is forgotten: the weights that were pruned came back.",
        ),
    ),
    also_correct=(_rewind_with_loops, _rewind_in_numpy),
)

# 6.8 ------------------------------------------------------------------------------------------------


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
            "That finds the last mask. The ticket under it is still to be trained.",
        ),
        Mistake(
            lambda rounds, steps, rewind_to: (rounds + 1) * steps,
            "After rewinding to a later step only the rest of the steps is made again.",
        ),
        Mistake(
            lambda rounds, steps, rewind_to: (rounds + 1) * (steps - rewind_to),
            "The dense net makes all of its steps: there is nothing yet to be rewound to.",
        ),
        Mistake(
            _cheaper_when_sparse,
            "A step with zeros in it takes as long as one without: the kernels here multiply by zero too. Count steps, "
            "not weights.",
        ),
    ),
    also_correct=(_steps_round_by_round,),
)
