"""Lesson 12, exercises 12.3 and 12.4: how a controller learns from rewards."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor, tensor

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

# 12.4 -----------------------------------------------------------------------------------------------


def policy_gradient(logits: Tensor, choices: Tensor, advantage: float) -> Tensor:
    """advantage * d log p(choices) / d logits: for each decision, (1 at the choice, 0 elsewhere) - probabilities."""
    chosen = torch.nn.functional.one_hot(choices, logits.shape[1])
    return advantage * (chosen - logits.softmax(dim=1))


def _gradient_by_autograd(logits, choices, advantage):
    logits = logits.clone().requires_grad_()
    log_probability = logits.log_softmax(dim=1).gather(1, choices[:, None]).sum()
    (gradient,) = torch.autograd.grad(advantage * log_probability, logits)
    return gradient


def _gradient_in_plain_python(logits, choices, advantage):
    rows = []
    for row, choice in zip(logits.tolist(), choices.tolist()):
        total = sum(math.exp(one) for one in row)
        rows.append([advantage * ((at == choice) - math.exp(one) / total) for at, one in enumerate(row)])
    return rows


def _gradient_in_numpy(logits, choices, advantage):
    weights = np.exp(logits.numpy())
    gradient = -weights / weights.sum(axis=1, keepdims=True)
    gradient[np.arange(len(choices)), choices.numpy()] += 1
    return advantage * gradient


def _chosen(logits, choices):
    return torch.nn.functional.one_hot(choices, logits.shape[1]).double()


def _decisions_case(generator: torch.Generator) -> Case:
    decisions, options = random_whole(generator, 2, 4), random_whole(generator, 3, 5)
    logits = torch.randn(decisions, options, generator=generator).round(decimals=1)
    choices = torch.randint(options, (decisions,), generator=generator)
    if torch.equal(choices, logits.argmax(dim=1)):
        choices = (choices + 1) % options
    return Case(logits, choices, (random_whole(generator, 0, 1) * 2 - 1) * random_whole(generator, 1, 9) / 10)


POLICY_GRADIENT = Exercise(
    id="12.4",
    title="The gradient of REINFORCE",
    reference=policy_gradient,
    cases=(
        Case(tensor([[0.0, 0.0]]), tensor([0]), 1.0),
        Case(tensor([[0.0, 0.0, 0.0, 0.0]]), tensor([2]), -0.5),
        Case(tensor([[0.0, math.log(3.0)], [0.0, 0.0]]), tensor([0, 1]), 0.5),
        *random_cases(6, seed=124, make=_decisions_case),
    ),
    mistakes=(
        Mistake(
            lambda logits, choices, advantage: advantage * (logits.softmax(dim=1) - _chosen(logits, choices)),
            "The sign is reversed. That is the gradient of a loss; the exercise asks for the direction in which the "
            "choices become *more* likely if the advantage is positive.",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * _chosen(logits, choices),
            "Only the choice is moved. The logarithm of a softmax also has the sum of all options in it: subtract each "
            "option's probability. Each row then adds up to 0.",
        ),
        Mistake(
            lambda logits, choices, advantage: _chosen(logits, choices) - logits.softmax(dim=1),
            "The advantage is missing: without it, good and bad choices are made more likely alike.",
        ),
        Mistake(
            lambda logits, choices, advantage: (
                advantage * (_chosen(logits, logits.argmax(dim=1)) - logits.softmax(dim=1))
            ),
            "That moves the most likely options. The reward belongs to the choices that were *drawn* and tried.",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * (_chosen(logits, choices) - logits.softmax(dim=0)),
            "The probabilities were normalized over the decisions. Each decision is a row: its options add up to 1, "
            "softmax(dim=1).",
        ),
        Mistake(
            lambda logits, choices, advantage: (
                advantage
                * logits.softmax(dim=1).gather(1, choices[:, None])
                * (_chosen(logits, choices) - logits.softmax(dim=1))
            ),
            "That is the gradient of the probability. Rare choices would hardly ever be learned from: take the "
            "gradient of its *logarithm*.",
        ),
        Mistake(
            lambda logits, choices, advantage: (
                advantage
                * logits.softmax(dim=1).gather(1, choices[:, None]).prod()
                * (_chosen(logits, choices) - logits.softmax(dim=1))
            ),
            "That is the gradient of the product of the probabilities. With thirty decisions it is practically zero: "
            "take the gradient of the *logarithm*, which is a sum.",
        ),
        Mistake(
            lambda logits, choices, advantage: (
                advantage * (_chosen(logits, choices) - logits.softmax(dim=1)) / len(choices)
            ),
            "That is the mean over the decisions. The probability of a policy is the product of its decisions', so its "
            "logarithm is their *sum*.",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * (_chosen(logits, choices) - logits),
            "Those are the logits themselves. A logit is no probability: take the softmax of each row first.",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * _chosen(logits, choices) * (1 - logits.softmax(dim=1)),
            "Only the entries of the choices are filled. The logits of the other options are in the softmax, too: "
            "their derivative is minus their probability, so that each row adds up to 0.",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * _chosen(logits, choices) - logits.softmax(dim=1),
            "The advantage multiplies the first part only. It belongs to the whole difference: put that in brackets.",
        ),
        Mistake(
            lambda logits, choices, advantage: (
                advantage * (_chosen(logits, choices) - logits.flatten().softmax(dim=0).view_as(logits))
            ),
            "The probabilities were normalized over all decisions together. Each decision is a row: its options add up "
            "to 1, softmax(dim=1).",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * (_chosen(logits, choices) - logits.log_softmax(dim=1)),
            "The *logarithms* of the probabilities were subtracted. The derivative of the logarithm has the "
            "probabilities themselves in it: softmax, not log_softmax.",
        ),
    ),
    also_correct=(_gradient_by_autograd, _gradient_in_plain_python, _gradient_in_numpy),
)
