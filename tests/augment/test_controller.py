"""The controller: gradients against finite differences, and what it finds where the best policy is known."""

import math

import pytest
import torch

from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS
from mini_lib.augment.search.controller import Controller
from mini_lib.augment.search.policy_gradient import PPO, Reinforce
from mini_lib.augment.search.run import run_search
from mini_lib.augment.search.space import SearchSpace

SPACE = SearchSpace(AUTOAUGMENT_OPERATIONS[:5], probabilities=(0.2, 0.6, 1.0), magnitudes=(1, 3, 5, 7))
BEST = (4, 1, 2, 0, 2, 3)  # of the 5 * 3 * 4 * 5 * 3 * 4 = 3,600 sub-policies


def likeness(policy, best=BEST) -> float:
    """The share of genes that are those of the best policy: 1 for it alone."""
    return sum(map(int.__eq__, SPACE.genes(policy), best)) / len(best)


def play(controller, groups, reward=likeness, together=8) -> list[tuple[list, list[float]]]:
    """Ask and tell, and return what was asked and told."""
    log = []
    for _ in range(groups):
        policies = controller.ask(together)
        log.append((policies, [reward(policy) for policy in policies]))
        controller.tell(*log[-1])
    return log


@pytest.mark.parametrize("update", [Reinforce(), PPO()], ids=["REINFORCE", "PPO"])
def test_it_finds_the_best_policy_where_chance_does_not(update):
    """200 random trials hit the one best of 3,600 policies with a probability below p = 200 / 3,600 = 5.6%, and in four
    seeds of six or more with less than 15 p^4 = 1.5e-4. A random policy has 1/5, 1/3 or 1/4 of its genes right: 26%."""
    found = 0
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        best = [int(torch.randint(choices, (1,), generator=generator)) for choices in SPACE.choices]
        controller = Controller(SPACE, seed=seed, sub_policies=1, update=update)
        log = play(controller, 25, lambda policy, best=best: likeness(policy, best))
        found += max(max(rewards) for _, rewards in log) == 1
        assert sum(log[-1][1]) / 8 > 2 * 0.26
    assert found >= 4


def test_what_it_has_learned_can_be_drawn():
    controller = Controller(SPACE, seed=0, sub_policies=1)
    play(controller, 20)
    learned = controller.probabilities()
    for kind, shares in enumerate((learned.operation, learned.probability, learned.magnitude)):
        assert shares[0].argmax(dim=1).tolist() == list(BEST[kind::3])


def test_a_new_controller_draws_nearly_evenly_and_each_kind_from_its_own_choices():
    """A state of the LSTM lies within (-1, 1) and a weight within 0.1: with 4 units and the bias, a logit lies within
    0.5, and a share between e^-1 / choices and e / choices."""
    learned = Controller(SPACE, seed=0, sub_policies=2, units=4).probabilities()
    assert learned.operation.shape == (2, 2, 5)
    assert learned.probability.shape == (2, 2, 3)
    assert learned.magnitude.shape == (2, 2, 4)
    for shares in (learned.operation, learned.probability, learned.magnitude):
        torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, 2))
        assert (shares * shares.shape[2]).log().abs().max() < 1


def test_probabilities_are_the_frequencies_of_what_is_asked_for():
    """The standard deviation of a share counted in 4,000 draws is at most sqrt(0.25 / 4000) = 0.008, and that of the
    mean of 4,000 probabilities at most as much: of their difference 0.011. Four of these are 0.045, for 48 shares."""
    controller = Controller(SPACE, seed=1, sub_policies=2, units=20, update=PPO(learning_rate=0.03))
    play(controller, 5, lambda policy: sum(SPACE.genes(policy)))
    genes = torch.tensor([SPACE.genes(policy) for policy in controller.ask(4000)]).reshape(4000, 2, 2, 3)
    learned = controller.probabilities(samples=4000)
    for kind, shares in enumerate((learned.operation, learned.probability, learned.magnitude)):
        counted = torch.nn.functional.one_hot(genes[..., kind], shares.shape[2]).float().mean(dim=0)
        assert (counted - shares).abs().max() < 0.045
    assert (learned.operation - 1 / 5).abs().max() > 0.2  # and it has learned something that could be seen


def test_probabilities_of_all_policies_add_up_to_one():
    space = SearchSpace(AUTOAUGMENT_OPERATIONS[:3], probabilities=(0.5, 1.0), magnitudes=(2, 8), steps=1)
    controller = Controller(space, seed=0, sub_policies=2, units=8)
    sub = [(o, p, m) for o in range(3) for p in range(2) for m in range(2)]
    everything = [space.policy((*first, *second)) for first in sub for second in sub]
    log_p = controller.log_probabilities(everything).double()
    assert log_p.exp().sum().item() == pytest.approx(1, abs=144 * 2**-23)  # each of 144 within a few roundings


def test_the_gradient_of_the_log_probability_is_that_of_finite_differences():
    """In float64 a central difference with h = 1e-6 is off by h^2 / 6 times the third derivative, and for the rounding
    of sums near 10 by 1e-15 / h = 1e-9: 1e-8 leaves room for both."""
    controller = Controller(SPACE, seed=0, sub_policies=1, units=6)
    net = controller.net.double()
    policies = [SPACE.policy(BEST), SPACE.policy((0, 0, 0, 0, 0, 0))]
    controller.log_probabilities(policies).sum().backward()
    generator = torch.Generator().manual_seed(0)
    for weight in net.parameters():
        if weight.grad.abs().max() == 0:
            continue
        direction = torch.randn(weight.shape, dtype=torch.float64, generator=generator)
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight.add_(step * direction)
                values.append(controller.log_probabilities(policies).sum().item())
                weight.sub_(step * direction)
        slope = (values[0] - values[1]) / 2e-6
        assert slope == pytest.approx((weight.grad * direction).sum().item(), abs=1e-8)


def test_ppo_with_one_epoch_and_no_clip_is_reinforce():
    nets = []
    for update in (Reinforce(learning_rate=0.01), PPO(learning_rate=0.01, epochs=1, clip=math.inf)):
        controller = Controller(SPACE, seed=0, sub_policies=2, units=16, update=update)
        policies = controller.ask(8)
        controller.tell(policies, [likeness(one, BEST * 2) for one in policies])
        nets.append(controller)
    for one, other in zip(nets[0].net.parameters(), nets[1].net.parameters()):
        # Adam's first step is the gradient over its own size, 0.01 * g / (|g| + 1e-8): a rounding of g that is tiny
        # beside the others may still turn it. So it is the gradients that are compared, within roundings of float32.
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_the_baseline_is_a_moving_average_and_its_height_does_not_matter():
    """Rewards 100 higher leave every advantage as it is, but for roundings: the same policies are asked for."""
    low, high = (Controller(SPACE, seed=2, sub_policies=1, units=20) for _ in range(2))
    first, second = play(low, 5), play(high, 5, lambda policy: likeness(policy) + 128)
    assert [SPACE.genes(one) for group, _ in first for one in group] == [
        SPACE.genes(one) for group, _ in second for one in group
    ]
    assert high._baseline == pytest.approx(low._baseline + 128)
    by_hand = sum(first[0][1]) / 8
    for reward in (reward for _, rewards in first for reward in rewards):
        by_hand = 0.95 * by_hand + 0.05 * reward
    assert low._baseline == pytest.approx(by_hand, rel=1e-12)


def test_entropy_is_kept_by_a_bonus_for_it():
    entropies = []
    for bonus in (0.0, 0.1):
        controller = Controller(SPACE, seed=0, sub_policies=1, units=20, update=PPO(entropy_bonus=bonus))
        play(controller, 15)
        with torch.no_grad():
            entropies.append(controller.net(torch.tensor([BEST]))[1].item())
    assert entropies[1] > entropies[0] + 0.5
    assert entropies[1] <= math.log(3600) + 1e-5  # that of even draws, the highest there is


@pytest.mark.parametrize("asked", [True, False], ids=["asked again", "told alone"])
def test_a_log_that_is_told_again_leads_on_alike(asked):
    played = Controller(SPACE, seed=5, sub_policies=2, units=20)
    reward = lambda policy: likeness(policy, BEST * 2)  # noqa: E731
    log = play(played, 6, reward)
    again = Controller(SPACE, seed=5, sub_policies=2, units=20)
    for policies, rewards in log:
        if asked:
            assert again.ask(8) == policies
        again.tell(policies, rewards)
    assert again.ask(8) == played.ask(8)
    assert Controller(SPACE, seed=6, sub_policies=2, units=20).ask(8) != log[0][0]


def test_a_log_names_how_the_controller_learns(tmp_path):
    """A search that is started again with another update would ask for other policies: it is refused."""
    judged = lambda policies: [likeness(policy) for policy in policies]  # noqa: E731
    log = tmp_path / "log"
    whole = run_search(Controller(SPACE, seed=0, sub_policies=1, units=8), judged, trials=8, together=2)
    run_search(Controller(SPACE, seed=0, sub_policies=1, units=8), judged, trials=4, together=2, log=log)
    assert (
        run_search(Controller(SPACE, seed=0, sub_policies=1, units=8), judged, trials=8, together=2, log=log) == whole
    )
    for other in (
        Controller(SPACE, seed=0, sub_policies=1, units=8, update=PPO(clip=0.3)),
        Controller(SPACE, seed=0, sub_policies=1, units=8, update=Reinforce(learning_rate=0.003)),
        Controller(SPACE, seed=0, sub_policies=1, units=9),
    ):
        with pytest.raises(ValueError, match="method"):
            run_search(other, judged, trials=8, together=2, log=log)


def test_the_global_random_state_is_left_as_it_was():
    before = torch.get_rng_state()
    controller = Controller(SPACE, seed=0, sub_policies=1, units=8)
    play(controller, 1)
    controller.probabilities(10)
    assert torch.equal(torch.get_rng_state(), before)


def test_drawing_a_figure_does_not_change_what_is_asked_for():
    one, other = (Controller(SPACE, seed=0, sub_policies=1, units=8) for _ in range(2))
    one.probabilities()
    assert one.ask(4) == other.ask(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: Controller(SPACE, seed=-1), "seed must be a whole number of 0 or more, got -1"),
        (lambda c: Controller(SPACE, seed=0, sub_policies=0), "sub_policies must be a whole number from 1 to 16384"),
        (lambda c: Controller(SPACE, seed=0, units=0), "units must be a whole number from 1 to 16384, got 0"),
        (lambda c: c.ask(0), "count must be a whole number of 1 or more, got 0; ask for at least one policy"),
        (lambda c: c.tell([], []), "tell one reward per policy, got 0 policies and 0"),
        (lambda c: c.log_probabilities([]), "a controller needs at least one policy, got none; ask for some"),
        (lambda c: c.tell(c.ask(2), [0.5]), "tell one reward per policy, got 2 policies and 1"),
        (lambda c: c.tell(c.ask(1), [math.nan]), "a reward must be a finite number, got nan; find out why"),
        (lambda c: c.tell([SPACE.policy(BEST * 2)], [0.5]), "draws policies of 1 sub-policies, got one of 2; give its"),
        (lambda c: c.probabilities(0), "samples must be a whole number from 1 to 1048576, got 0; 256 gives smooth"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Controller(SPACE, seed=0, sub_policies=1, units=4))
