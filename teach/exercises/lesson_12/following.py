"""Lesson 12, exercise 12.4: the direction in which a controller learns from a reward."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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
            "Only the choice is moved. The logarithm of a softmax also contains the sum over all options: subtract "
            "each option's probability. Each row then adds up to 0.",
        ),
        Mistake(
            lambda logits, choices, advantage: _chosen(logits, choices) - logits.softmax(dim=1),
            "The advantage is missing: without it, good and bad choices alike become more likely.",
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
            "That is the mean over the decisions. The probability of a policy is a product over its decisions, so its "
            "logarithm is a *sum*.",
        ),
        Mistake(
            lambda logits, choices, advantage: advantage * (_chosen(logits, choices) - logits),
            "Those are the logits themselves. A logit is not a probability: take the softmax of each row first.",
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
            "The *logarithms* of the probabilities were subtracted. The derivative of the logarithm contains the "
            "probabilities themselves: softmax, not log_softmax.",
        ),
    ),
    symptoms=(
        variants(
            "The advantage multiplies the second part only. It belongs to the whole difference: put that in brackets, "
            "(chosen - probabilities).",
            lambda logits, choices, advantage: _chosen(logits, choices) - advantage * logits.softmax(dim=1),
        ),
        variants(
            "The sign is reversed, and it is the mean over the decisions. Minimizing a loss goes the other way, and "
            "its "
            "default is the mean: take the sum of the logarithms.",
            lambda logits, choices, advantage: -policy_gradient(logits, choices, advantage) / len(choices),
        ),
        variants(
            "Those are the probabilities alone. The choice that was drawn is missing: 1 at the choice, minus the "
            "probabilities.",
            lambda logits, choices, advantage: logits.softmax(dim=1),
            lambda logits, choices, advantage: advantage * logits.softmax(dim=1),
            lambda logits, choices, advantage: -advantage * logits.softmax(dim=1),
        ),
        variants(
            "Those are the logits after a step. Return the direction alone, without the old logits.",
            lambda logits, choices, advantage: logits + policy_gradient(logits, choices, advantage),
        ),
        variants(
            "`exp` is not divided by the sum of its row, or each logit is taken by itself. Use the softmax: the "
            "options "
            "of a decision share a probability of 1.",
            lambda logits, choices, advantage: advantage * (_chosen(logits, choices) - logits.exp()),
            lambda logits, choices, advantage: advantage * (_chosen(logits, choices) - logits.sigmoid()),
        ),
        variants(
            "That is the derivative with respect to the *probability*, or of the softmax with respect to one of its "
            "own logits. The derivative of log p with respect to the logits is 1 at the choice, minus the "
            "probabilities.",
            lambda logits, choices, advantage: advantage * _chosen(logits, choices) / logits.softmax(dim=1),
            lambda logits, choices, advantage: advantage * logits.softmax(dim=1) * (1 - logits.softmax(dim=1)),
        ),
        variants(
            "The sign of the advantage is lost: where it is negative, the choices must become *less* likely.",
            lambda logits, choices, advantage: policy_gradient(logits, choices, abs(advantage)),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (int, float)) or Tensor(got).numel() == expected.shape[0],
            "That is one number per decision, or one for all. The gradient has an entry for each logit: [decisions, "
            "options].",
            (
                lambda logits, choices, advantage: (
                    advantage * logits.log_softmax(dim=1).gather(1, choices[:, None]).sum()
                ),
                lambda logits, choices, advantage: advantage * logits.log_softmax(dim=1).gather(1, choices[:, None]),
                lambda logits, choices, advantage: (
                    advantage * (1 - logits.softmax(dim=1).gather(1, choices[:, None])[:, 0])
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: got.ndim == 1 and len(got) == expected.shape[1],
            "The decisions were added up. Each decision has logits of its own, so it keeps its own row.",
            (lambda logits, choices, advantage: policy_gradient(logits, choices, advantage).sum(dim=0),),
        ),
        Symptom(
            lambda got, expected, arguments: got.shape == expected.shape and bool((got.sum(dim=1).abs() > 1e-3).all()),
            "The rows do not add up to 0. In each row, the choice has 1 minus its probability, and the other options "
            "have minus theirs, all times the advantage.",
            (lambda logits, choices, advantage: advantage * (1 - logits.softmax(dim=1)),),
        ),
    ),
    also_correct=(_gradient_by_autograd, _gradient_in_plain_python, _gradient_in_numpy),
)
