"""Lesson 12, exercise 12.5: how far a controller may follow one batch of trials."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 12.5 -----------------------------------------------------------------------------------------------


def clipped_objective(new: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO: the mean of min(ratio * advantage, clipped ratio * advantage)."""
    ratio = (new - old).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def _clipped_in_numpy(new, old, advantage, clip):
    ratio, advantage = np.exp(new.numpy() - old.numpy()), advantage.numpy()
    return np.minimum(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage).mean()


def _clipped_case_by_case(new, old, advantage, clip):
    total = 0.0
    for after, before, a in zip(new.tolist(), old.tolist(), advantage.tolist()):
        ratio = math.exp(after - before)
        ratio = min(ratio, 1 + clip) if a >= 0 else max(ratio, 1 - clip)
        total += ratio * a
    return total / len(new)


def _ratio(new, old):
    return (new - old).exp()


def _trials_case(generator: torch.Generator) -> Case:
    """Ratios on both sides of the clip, with advantages of both signs."""
    count = random_whole(generator, 4, 6)
    old = torch.randn(count, generator=generator).sub(4).round(decimals=1)
    moved = tensor([0.5, -0.5, 0.6, -0.7, 0.1, -0.4])[:count]
    advantage = tensor([0.2, 0.3, -0.1, -0.4, 0.2, -0.2])[:count] * random_whole(generator, 1, 4)
    return Case(old + moved, old, advantage.round(decimals=1), 0.2)


def _logs(*probabilities: float) -> Tensor:
    return tensor(probabilities).log()


def _smaller(ratio_of=_ratio, low=lambda clip: 1 - clip, high=lambda clip: 1 + clip):
    """A wrong answer: the mean smaller product with another ratio, or with other ends."""

    def wrong(new, old, advantage, clip):
        ratio = ratio_of(new, old)
        return torch.minimum(ratio * advantage, ratio.clamp(low(clip), high(clip)) * advantage).mean()

    return wrong


def _products(pick):
    """A wrong answer: `pick(ratio, clipped ratio, advantage)`."""
    return lambda new, old, advantage, clip: pick(
        _ratio(new, old), _ratio(new, old).clamp(1 - clip, 1 + clip), advantage
    )


CLIPPED_OBJECTIVE = Exercise(
    id="12.5",
    title="PPO clips what has moved enough",
    reference=clipped_objective,
    cases=(
        Case(_logs(0.5), _logs(0.25), tensor([1.0]), 0.25),
        Case(_logs(0.25), _logs(0.5), tensor([1.0]), 0.25),
        Case(_logs(0.5), _logs(0.25), tensor([-1.0]), 0.25),
        Case(_logs(0.25), _logs(0.5), tensor([-1.0]), 0.25),
        Case(_logs(0.5, 0.25), _logs(0.25, 0.5), tensor([1.0, -1.0]), 0.25),
        Case(_logs(0.5), _logs(0.5), tensor([2.0]), 0.25),
        *random_cases(6, seed=125, make=_trials_case),
    ),
    mistakes=(
        Mistake(
            lambda new, old, advantage, clip: (_ratio(new, old) * advantage).mean(),
            "Nothing is clipped. Then one lucky trial is followed for as many steps as there are: compare with the "
            "clipped ratio.",
        ),
        Mistake(
            lambda new, old, advantage, clip: (_ratio(new, old).clamp(1 - clip, 1 + clip) * advantage).mean(),
            "The ratio is always clipped, so a step in the *wrong* direction can no longer be taken back: its gradient "
            "is zero. Take the smaller of the clipped and the unclipped product.",
        ),
        Mistake(
            lambda new, old, advantage, clip: (
                torch.minimum(_ratio(new, old), _ratio(new, old).clamp(1 - clip, 1 + clip)) * advantage
            ).mean(),
            "The smaller *ratio* was taken, and then multiplied. With a negative advantage that is the larger product: "
            "multiply first, then take the smaller product.",
        ),
        Mistake(
            lambda new, old, advantage, clip: torch.maximum(
                _ratio(new, old) * advantage, _ratio(new, old).clamp(1 - clip, 1 + clip) * advantage
            ).mean(),
            "The larger product is the optimistic one: it rewards going too far. Take the smaller.",
        ),
        Mistake(
            lambda new, old, advantage, clip: clipped_objective(new - old, torch.ones_like(new), advantage, clip),
            "The ratio is exp(new - old), of the two logarithms and nothing else.",
        ),
        Mistake(
            lambda new, old, advantage, clip: clipped_objective(
                (new / old).log(), torch.zeros_like(new), advantage, clip
            ),
            "Those are logarithms: the ratio of two probabilities is exp(new - old), not new / old.",
        ),
        Mistake(
            lambda new, old, advantage, clip: clipped_objective(old, new, advantage, clip),
            "The ratio is upside down: it is the new probability over the old one.",
        ),
        Mistake(
            lambda new, old, advantage, clip: -clipped_objective(new, old, advantage, clip),
            "That is the loss, which is minimized. Return the objective itself, which grows when good policies become "
            "more likely.",
        ),
        Mistake(
            lambda new, old, advantage, clip: clipped_objective(new, old, advantage, clip) * len(new),
            "That is the sum over the trials. The objective is their mean.",
        ),
        Mistake(
            lambda new, old, advantage, clip: torch.minimum(
                _ratio(new, old) * advantage, _ratio(new, old).clamp(max=1 + clip) * advantage
            ).mean(),
            "The ratio is clipped above only. A bad choice that has already become less likely has moved enough, too: "
            "clip below at 1 - clip as well.",
        ),
        Mistake(
            lambda new, old, advantage, clip: torch.minimum(
                (_ratio(new, old) * advantage).mean(), (_ratio(new, old).clamp(1 - clip, 1 + clip) * advantage).mean()
            ),
            "The smaller of two *means* was taken. Choose for each trial: take its smaller product, then the mean "
            "over the trials.",
        ),
        Mistake(
            lambda new, old, advantage, clip: torch.minimum(
                (new - old) * advantage, (new - old).clamp(-clip, clip) * advantage
            ).mean(),
            "That is the difference of the logarithms, which is the logarithm of the ratio. Take its exponential, and "
            "clip that to 1 - clip and 1 + clip.",
        ),
    ),
    symptoms=(
        variants(
            "`exp` is missing. new - old is the logarithm of the ratio: take its exponential, then clip that.",
            _smaller(lambda new, old: new - old),
        ),
        variants(
            "That is not the ratio of two probabilities. Both arguments are logarithms: the ratio is exp(new - old).",
            _smaller(lambda new, old: new.exp() - old.exp()),
            _smaller(lambda new, old: new.exp() / old),
            _smaller(lambda new, old: new.exp()),
            _smaller(lambda new, old: (new.sum() - old.sum()).exp().expand_as(new)),
        ),
        variants(
            "The ratio is clipped to the wrong limits. It may differ from 1 by `clip`: from 1 - clip to 1 + clip.",
            _smaller(low=lambda clip: -clip, high=lambda clip: clip),
            _smaller(low=lambda clip: 1 / (1 + clip)),
            _smaller(low=lambda clip: 0.8, high=lambda clip: 1.2),
            _smaller(low=lambda clip: 1 - clip / 2, high=lambda clip: 1 + clip / 2),
        ),
        variants(
            "The logarithms were clipped, and not the ratio. Take exp(new - old) first.",
            lambda new, old, advantage, clip: torch.minimum(
                _ratio(new, old) * advantage, (new - old).clamp(-clip, clip).exp() * advantage
            ).mean(),
        ),
        variants(
            "The ratio is clipped below only. A good choice that has already become more likely has moved enough, too: "
            "clip above at 1 + clip as well.",
            _smaller(high=lambda clip: math.inf),
        ),
        variants(
            "The product was clipped. Clip the *ratio*, and multiply the clipped ratio by the advantage.",
            lambda new, old, advantage, clip: torch.minimum(
                _ratio(new, old) * advantage, (_ratio(new, old) * advantage).clamp(1 - clip, 1 + clip)
            ).mean(),
        ),
        variants(
            "The advantage is missing from one of the two products. Both the ratio and the clipped ratio are "
            "multiplied "
            "by it.",
            _products(lambda ratio, clipped, advantage: torch.minimum(ratio * advantage, clipped).mean()),
            _products(lambda ratio, clipped, advantage: torch.minimum(ratio, clipped * advantage).mean()),
            _products(lambda ratio, clipped, advantage: torch.minimum(ratio, clipped).mean()),
        ),
        variants(
            "The larger *ratio* was taken, and then multiplied. Multiply first, then take the smaller product.",
            _products(lambda ratio, clipped, advantage: (torch.maximum(ratio, clipped) * advantage).mean()),
        ),
        variants(
            "All trials share one advantage here, or the smallest trial is taken. Each trial has its own product; "
            "their "
            "mean is the objective.",
            _products(lambda ratio, clipped, advantage: torch.minimum(ratio * advantage, clipped * advantage).min()),
            _products(
                lambda ratio, clipped, advantage: torch.minimum(
                    ratio * advantage.mean(), clipped * advantage.mean()
                ).mean()
            ),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, Tensor)),
            "That is one product per trial. Return one number: their mean.",
            (_products(lambda ratio, clipped, advantage: torch.minimum(ratio * advantage, clipped * advantage)),),
        ),
    ),
    also_correct=(_clipped_in_numpy, _clipped_case_by_case),
)
