"""Lesson 06, exercise 6.7: rewinding to a later step."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole

# 6.7 ------------------------------------------------------------------------------------------------


def rewind(history: list[Tensor], rates: list[float], mask: Tensor, k: int) -> tuple[Tensor, list[float]]:
    """Where a net that is rewound to step k starts, and the learning rates of the steps that it still takes."""
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


def _half(at: int, says: str, *wrong) -> Symptom:
    """The symptom that one of the two values is what one of `wrong` gives, whatever the other one is."""

    def same(one, other):
        return torch.equal(torch.as_tensor(one), torch.as_tensor(other))

    def shows(got, expected, given):
        return not same(got[at], expected[at]) and any(same(got[at], one(**given)) for one in wrong)

    def example(one):
        def answer(history, rates, mask, k):
            both = list(rewind(history, rates, mask, k))
            both[at] = one(history, rates, mask, k)
            return tuple(both)

        return answer

    return Symptom(shows, says, [example(one) for one in wrong])


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
            "That trains for all T steps again, k more than the dense net had left. After rewinding to k, T - k "
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
            "Those are the initial weights, with the learning rates of step k. Take the weights of step k too.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[-1 - k] * mask, rates[k:]),
            "That goes k steps back from the end. Step k is counted from the start.",
        ),
        Mistake(
            lambda history, rates, mask, k: (history[k].clone(), rates[k:]),
            "The mask is missing: the weights that were pruned came back.",
        ),
    ),
    symptoms=(
        _half(
            1,
            "The steps that are left use the learning rates from place k to the end: rates[k:].",
            lambda history, rates, mask, k: rates[:k],
            lambda history, rates, mask, k: rates[-k:],
            lambda history, rates, mask, k: rates[k + 1 :],
            lambda history, rates, mask, k: rates[max(k - 1, 0) :],
            lambda history, rates, mask, k: rates[k:-1],
            lambda history, rates, mask, k: rates[::-1][k:],
            lambda history, rates, mask, k: rates[k - 1 :],
            lambda history, rates, mask, k: rates[: k + 1],
        ),
        Symptom(
            lambda got, expected, given: (
                isinstance(got, tuple) and (not hasattr(got[1], "__len__") or getattr(got[1], "ndim", 1) == 0)
            ),
            "The second value is a list: the learning rates of all steps that are left.",
            [
                lambda history, rates, mask, k: (history[k] * mask, rates[k]),
                lambda history, rates, mask, k: (history[k] * mask, len(rates) - k),
            ],
        ),
        Symptom(
            lambda got, expected, given: isinstance(got[0][0], (list, Tensor)) and len(got[0][0]) > 1,
            "Those are the weights at several steps. The net starts from the weights of step k alone.",
            [lambda history, rates, mask, k: ([one * mask for one in history[k:]], rates[k:])],
        ),
        Symptom(
            lambda got, expected, given: got[0].shape == (int(given["mask"].sum()),) != expected[0].shape,
            "The pruned weights are left out. They stay in their places, as zeros: multiply by the mask.",
            [lambda history, rates, mask, k: (history[k][mask], rates[k:])],
        ),
        _half(
            0, "The mask is the wrong way round: True means kept.", lambda history, rates, mask, k: history[k] * ~mask
        ),
        Symptom(
            lambda got, expected, given: bool(got[0][~given["mask"]].any()),
            "A pruned weight is not zero. It starts as 0, not as the value it had at some step.",
            [
                lambda history, rates, mask, k: (torch.where(mask, history[k], history[0]), rates[k:]),
                lambda history, rates, mask, k: (torch.where(mask, history[k], history[-1]), rates[k:]),
            ],
        ),
        _half(
            0,
            "Those are the weights of another step: `history[k]` holds the weights after k steps.",
            lambda history, rates, mask, k: history[-k] * mask,
        ),
    ),
    also_correct=(_rewind_with_loops, _rewind_in_numpy),
)
