"""The answers of lesson 12 agree with the library and with autograd; what students write in numpy passes as well."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS
from mini_lib.augment.search import PPO, Reinforce, SearchSpace
from teach.exercises.lesson_12 import EXERCISES, clipping, following, learning, racing, searching
from teach.judge import judge

SEEDS = st.integers(0, 10_000)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def said(id, answer) -> str:
    return judge(BY_ID[id], answer).text


@given(st.integers(1, 14), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_the_size_is_that_of_the_librarys_space(operations, probabilities, magnitudes, steps):
    space = SearchSpace(
        AUTOAUGMENT_OPERATIONS[:operations],
        probabilities=[0.25 * (1 + place) for place in range(probabilities)],
        magnitudes=range(magnitudes),
        steps=steps,
    )
    assert searching.space_size(operations, probabilities, magnitudes, steps, sub_policies=1) == space.size


@given(SEEDS, st.floats(-1, 1))
def test_the_gradient_is_that_of_the_librarys_loss(seed, advantage):
    """One policy of three decisions; the loss has the other sign. 1e-12: a few double roundings of numbers below 10."""
    logits = drawn(seed, 3, 5).requires_grad_()
    choices = torch.randint(5, (3,), generator=torch.Generator().manual_seed(seed))
    log_p = logits.log_softmax(dim=1).gather(1, choices[:, None]).T
    loss = Reinforce().loss(log_p, log_p.detach(), tensor([advantage], dtype=torch.float64))
    (expected,) = torch.autograd.grad(-loss, logits)
    torch.testing.assert_close(
        following.policy_gradient(logits.detach(), choices, advantage), expected, rtol=1e-12, atol=1e-12
    )


@given(SEEDS)
def test_the_clipped_objective_is_that_of_the_library(seed):
    """Policies of a single decision, so that the library's sum over decisions has one term."""
    new, old, advantage = drawn(seed, 3, 6)
    expected = -PPO(clip=0.2).loss(new[:, None], old[:, None], advantage)
    torch.testing.assert_close(clipping.clipped_objective(new, old, advantage, 0.2), expected, rtol=1e-12, atol=1e-12)


def test_halving_by_hand():
    """Four children, stages to 10 and 30: 40 steps, two stay, 20 steps more for each."""
    accuracies = tensor([[0.1, 0.9], [0.3, 0.6], [0.4, 0.5], [0.2, 0.8]])
    assert racing.halving(accuracies, [10, 30]) == (1, 80)


def test_the_cases_worked_by_hand_in_the_lesson():
    assert searching.space_size(3, 2, 2, steps=2, sub_policies=1) == 144
    assert learning.advantages([0.5, 0.75, 0.5], 0.5) == [0, 0.25, -0.125]
    assert following.policy_gradient(torch.zeros(1, 4), tensor([2]), -0.5).tolist() == [[0.125, 0.125, -0.375, 0.125]]
    old, new = tensor([0.25]).log(), tensor([0.5]).log()
    for advantage, expected in ((1.0, 1.25), (-1.0, -2.0)):
        assert clipping.clipped_objective(new, old, tensor([advantage]), 0.25).item() == pytest.approx(expected)


def test_answers_in_numpy_and_plain_python_pass():
    def gradient(logits, choices, advantage):
        weights = np.exp(np.asarray(logits))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        return advantage * (np.eye(logits.shape[1])[np.asarray(choices)] - probabilities)

    def objective(new, old, advantage, clip):
        ratios = [math.exp(a - b) for a, b in zip(new.tolist(), old.tolist())]
        pairs = zip(ratios, advantage.tolist())
        return sum(min(r * a, min(max(r, 1 - clip), 1 + clip) * a) for r, a in pairs) / len(ratios)

    def matched(searched, rewards, drawn, top):
        ranked = [policy for _, policy in sorted(zip(rewards, searched), reverse=True)]
        joined = sum(ranked[:top], [])  # noqa: RUF017 - as a student writes it
        return joined, sum(drawn, [])[: len(joined)]  # noqa: RUF017

    for id, answer in (("12.4", gradient), ("12.5", objective), ("12.8", matched)):
        assert "passed" in said(id, answer)


def test_a_baseline_that_is_the_mean_of_all_earlier_rewards_is_not_a_moving_one():
    def mean_of_earlier(rewards, decay):
        return [0.0] + [rewards[at] - sum(rewards[:at]) / at for at in range(1, len(rewards))]

    assert "A moving average forgets" in said("12.3", mean_of_earlier)
