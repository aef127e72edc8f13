"""Policy gradients, by hand, against autograd and against the expected reward itself."""

import itertools
import math

import pytest
import torch

from mini_lib.augment.search.policy_gradient import PPO, Reinforce, seeded


def test_reinforce_estimates_the_gradient_of_the_expected_reward():
    """Over all decisions, weighted by their probabilities, the estimate is the gradient itself: no sampling, no
    tolerance but rounding (float64)."""
    logits = torch.tensor([[0.3, -0.2, 0.1], [0.0, 0.5, -0.4]], dtype=torch.float64, requires_grad=True)
    decisions = torch.tensor(list(itertools.product(range(3), repeat=2)))  # all nine
    rewards = torch.tensor([math.sin(3.0 * i) for i in range(9)], dtype=torch.float64)
    log_p = logits.log_softmax(dim=1).gather(1, decisions.T).T  # [9, 2]
    p = log_p.sum(dim=1).exp()
    (wanted,) = torch.autograd.grad((p * rewards).sum(), logits, retain_graph=True)
    for baseline in (0.0, 0.7):  # whatever the baseline is, the expectation stays
        weighted = (rewards - baseline) * p.detach() * len(p)  # `loss` takes a plain mean
        (found,) = torch.autograd.grad(Reinforce().loss(log_p, log_p.detach(), weighted), logits, retain_graph=True)
        torch.testing.assert_close(-found, wanted, rtol=0, atol=1e-15 * 100)


@pytest.mark.parametrize("clip", [0.2, math.inf])
def test_the_first_step_of_ppo_is_reinforces(clip):
    """While the sampler is still the one that drew, every ratio is 1: inside the clip, with the gradient of log p."""
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    advantages = torch.randn(5, dtype=torch.float64, generator=generator)
    (reinforce,) = torch.autograd.grad(Reinforce().loss(log_p, log_p.detach(), advantages), log_p)
    (ppo,) = torch.autograd.grad(PPO(epochs=1, clip=clip).loss(log_p, log_p.detach(), advantages), log_p)
    torch.testing.assert_close(ppo, reinforce, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.1, 2.0, -2.0 * 1.1),  # inside: d(-r A) / d(log p) = -r A
        (1.5, 2.0, 0.0),  # good, and already likelier by more than the clip: no more
        (0.5, 2.0, -2.0 * 0.5),  # good, though less likely than it was: back
        (0.5, -2.0, 0.0),  # bad, and already less likely
        (1.5, -2.0, 2.0 * 1.5),  # bad, though likelier than it was
    ],
)
def test_ppo_stops_where_the_ratio_has_gone_far_enough(ratio, advantage, slope):
    log_p = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    loss = PPO(clip=0.2).loss(log_p, torch.zeros(1, 1), torch.tensor([advantage]))
    loss.backward()
    assert log_p.grad.item() == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reinforce(learning_rate=0), "learning_rate must be a finite number above 0, got 0; 0.005"),
        (lambda: Reinforce(entropy_bonus=-1), "entropy_bonus must be a finite number of 0 or more, got -1; 0 leaves"),
        (lambda: Reinforce(baseline_decay=1), r"baseline_decay must lie in \[0, 1\), got 1; 0.95 averages"),
        (lambda: PPO(epochs=0), "epochs must be a whole number of 1 or more, got 0; 1 makes it REINFORCE"),
        (lambda: PPO(clip=0), "clip must be a finite number above 0, got 0; 0.2 is common"),
        (lambda: PPO(clip=math.nan), "clip must be a finite number above 0, got nan"),
        (lambda: PPO(learning_rate=-1.0), "learning_rate must be a finite number above 0, got -1.0"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_chance_depends_on_the_seed_and_on_the_count():
    drawn = {
        (seed, count): tuple(torch.randint(2**40, (4,), generator=seeded(seed, count)).tolist())
        for seed in range(8)
        for count in range(8)
    }
    assert len(set(drawn.values())) == 64
    assert drawn[3, 4] == tuple(torch.randint(2**40, (4,), generator=seeded(3, 4)).tolist())
