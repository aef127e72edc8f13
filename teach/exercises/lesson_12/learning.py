"""Lesson 12, exercise 12.3: how much better than usual a reward is."""

import itertools
import statistics

import numpy as np
import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 12.3 -----------------------------------------------------------------------------------------------


def advantages(rewards: list[float], decay: float) -> list[float]:
    """Each reward minus the moving mean of the earlier ones; the baseline starts as the first reward."""
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


def _from_one(baseline_of):
    """A wrong answer: every reward minus the same baseline, `baseline_of(rewards, decay)`."""
    return lambda rewards, decay: [reward - baseline_of(rewards, decay) for reward in rewards]


def _last_baseline(rewards, decay):
    return rewards[-1] - advantages([*rewards, rewards[-1]], decay)[-1]


def _of_advantages(rewards, decay):
    """The baseline is mixed with the advantage in place of the reward."""
    found, baseline = [], rewards[0]
    for reward in rewards:
        found.append(reward - baseline)
        baseline = decay * baseline + (1 - decay) * found[-1]
    return found


def _one_late(rewards, decay):
    """Each reward enters the baseline one trial too late."""
    return [0.0] + [
        reward - (before - late) for before, reward, late in zip(rewards, rewards[1:], advantages(rewards, decay))
    ]


def _standardized(rewards, decay):
    spread = statistics.pstdev(rewards)
    return [(reward - statistics.fmean(rewards)) / spread for reward in rewards]


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
            "baseline is the usual reward *before* this trial.",
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
            "That is the mean over all trials, including later ones, and the decay is not used. The baseline knows "
            "only earlier trials, and forgets the oldest.",
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
    symptoms=(
        variants(
            "Those are the baselines. Return how much each reward is above its baseline: reward - baseline.",
            lambda rewards, decay: [reward - one for reward, one in zip(rewards, advantages(rewards, decay))],
        ),
        variants(
            "The baseline includes the reward of the same trial, and forgets nothing. It is a moving average of the "
            "trials *before*.",
            lambda rewards, decay: [reward - sum(rewards[: at + 1]) / (at + 1) for at, reward in enumerate(rewards)],
        ),
        variants(
            "The baseline never moves: it stays at the first reward. Mix each reward in after the comparison.",
            _from_one(lambda rewards, decay: rewards[0]),
        ),
        variants(
            "Every reward is compared with the same baseline, which already includes later rewards. Compare each one "
            "with the baseline *before* its trial, then update it.",
            _from_one(_last_baseline),
        ),
        variants(
            "The two shares must add up to 1: the baseline keeps `decay` of itself, and gets 1 - decay of the reward.",
            _advantages(mix=lambda baseline, reward, decay: decay * baseline + reward),
            _advantages(mix=lambda baseline, reward, decay: decay * baseline),
            _advantages(mix=lambda baseline, reward, decay: baseline + (1 - decay) * reward),
        ),
        variants(
            "The advantage is mixed into the baseline. It is a mean of *rewards*: mix in the reward.", _of_advantages
        ),
        variants(
            "The baseline starts at the mean of all rewards, including later ones. It starts at the first reward.",
            _advantages(start=lambda rewards: sum(rewards) / len(rewards)),
        ),
        variants(
            "That is the ratio of the two. An advantage is a difference: reward - baseline.",
            lambda rewards, decay: [
                reward / (reward - one) for reward, one in zip(rewards, advantages(rewards, decay))
            ],
        ),
        variants(
            "Two things: the reward is mixed in before it is compared, and the baseline does not start at the first "
            "reward or keeps the wrong share.",
            _advantages(first_update=True, start=lambda rewards: 0.0),
            _advantages(first_update=True, mix=lambda baseline, reward, decay: (1 - decay) * baseline + decay * reward),
        ),
        variants(
            "Each reward enters the baseline one trial too late. After a trial, mix in the reward of that trial.",
            _one_late,
        ),
        variants(
            "The rewards are standardized by their mean and spread. Subtract the moving average of the earlier "
            "rewards, and do nothing else.",
            _standardized,
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (int, float)),
            "That is one number. Return a list with the advantage of every trial.",
            (lambda rewards, decay: advantages(rewards, decay)[-1],),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == len(expected) and abs(float(got[0])) > 1e-6,
            "The first advantage is not 0, but the average starts as the first reward. Subtract the average itself "
            "from "
            "each reward.",
            (lambda rewards, decay: [one + 0.25 for one in advantages(rewards, decay)],),
        ),
    ),
    also_correct=(_advantages_in_numpy, _advantages_from_the_sum),
)
