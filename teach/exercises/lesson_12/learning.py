"""Lesson 12, exercise 12.3: how much better than usual a reward is."""

import itertools

import numpy as np
import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 12.3 -----------------------------------------------------------------------------------------------


def advantages(rewards: list[float], decay: float) -> list[float]:
    """Each reward minus the moving mean of those before it; the baseline starts as the first reward."""
    found, baseline = [], rewards[0]
    for reward in rewards:
        found.append(reward - baseline)
        baseline = decay * baseline + (1 - decay) * reward
    return found


def _advantages_in_numpy(rewards, decay):
    baseline, found = np.float64(rewards[0]), np.zeros(len(rewards))
    for at, reward in enumerate(rewards):
        found[at] = reward - baseline
        baseline += (1 - decay) * found[at]
    return found


def _advantages_from_the_sum(rewards, decay):
    """The baseline written out as the weighted sum that it is."""
    found = []
    for at, reward in enumerate(rewards):
        baseline = decay**at * rewards[0]
        baseline += sum((1 - decay) * decay ** (at - 1 - k) * rewards[k] for k in range(at))
        found.append(reward - baseline)
    return tensor(found, dtype=torch.float64)


def _advantages(*, start=lambda rewards: rewards[0], first_update=False, mix=lambda b, r, d: d * b + (1 - d) * r):
    def answer(rewards, decay):
        found, baseline = [], start(rewards)
        for reward in rewards:
            if first_update:
                baseline = mix(baseline, reward, decay)
            found.append(reward - baseline)
            if not first_update:
                baseline = mix(baseline, reward, decay)
        return found

    return answer


def _rewards_case(generator: torch.Generator) -> Case:
    rewards = torch.rand(random_whole(generator, 3, 6), generator=generator).mul(100).round().div(100).tolist()
    return Case([round(reward, 2) for reward in rewards], random_whole(generator, 6, 9) / 10)


ADVANTAGES = Exercise(
    id="12.3",
    title="Better than usual",
    reference=advantages,
    cases=(
        Case([0.5, 0.75], 0.5),
        Case([0.5, 0.75, 0.5], 0.5),
        Case([0.25, 0.75, 0.75, 0.75], 0.75),
        *random_cases(6, seed=123, make=_rewards_case),
    ),
    mistakes=(
        Mistake(
            _advantages(first_update=True),
            "The reward was mixed into its own baseline before it was compared. Compare first, then update: the "
            "baseline is what was usual *before* this trial.",
        ),
        Mistake(
            _advantages(mix=lambda baseline, reward, decay: (1 - decay) * baseline + decay * reward),
            "The two shares are swapped: `decay` is the share of the old baseline that stays. With a decay near 1 "
            "the baseline moves slowly.",
        ),
        Mistake(
            _advantages(start=lambda rewards: 0.0),
            "The baseline started at 0. Then the first trials all look far better than usual, whatever they were: "
            "start it at the first reward.",
        ),
        Mistake(
            lambda rewards, decay: [reward - sum(rewards) / len(rewards) for reward in rewards],
            "That is the mean over all trials, also those still to come, and the decay is not used. The baseline "
            "knows only earlier trials, and forgets the oldest.",
        ),
        Mistake(
            lambda rewards, decay: [0.0] + [rewards[at] - sum(rewards[:at]) / at for at in range(1, len(rewards))],
            "That is the plain mean of all earlier rewards, and the decay is not used. A moving average forgets: each "
            "update keeps the share `decay` of the old one.",
        ),
        Mistake(
            lambda rewards, decay: [0.0] + [now - before for before, now in itertools.pairwise(rewards)],
            "That compares with the last reward alone. The baseline remembers older ones, with the share `decay`.",
        ),
        Mistake(
            lambda rewards, decay: [-one for one in advantages(rewards, decay)],
            "The sign is reversed: an advantage is positive where the reward is better than usual.",
        ),
        Mistake(
            lambda rewards, decay: list(rewards),
            "Those are the rewards themselves. All accuracies are positive, so every choice would be made more likely: "
            "subtract the baseline.",
        ),
    ),
    also_correct=(_advantages_in_numpy, _advantages_from_the_sum),
)
