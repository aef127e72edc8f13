"""Density matching, with a net whose answers are known by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib.augment.operations import identity, invert
from mini_lib.augment.policy import Policy, Step, SubPolicy
from mini_lib.augment.search.children import ChildRecipe
from mini_lib.augment.search.density_matching import DensityMatching, fast_autoaugment, folds
from mini_lib.augment.search.random_search import RandomSearch
from mini_lib.augment.search.run import run_search
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
from mini_lib.data import PIXEL_MEAN, PIXEL_STD, Split


def policy_of(operation, probability=1.0):
    return Policy([SubPolicy(Step(operation, probability=probability))])


def shades(count: int) -> Split:
    """Black pictures of class 0 and white ones of class 1, in turn, standardised."""
    labels = torch.arange(count) % 2
    pixels = labels.float()[:, None, None, None].expand(count, 1, 2, 2)
    return Split(((pixels - PIXEL_MEAN) / PIXEL_STD).contiguous(), labels)


def shade_net(_: int = 0) -> nn.Module:
    """Of a black picture it says class 0, of a white one class 1, with logits (0, ln 3) and (0, -ln 3): p = 3/4."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    slope = 2 * math.log(3) * PIXEL_STD / 4  # the sum of a white picture's pixels is 4 / PIXEL_STD above a black one's
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0], [slope]]).expand(2, 4))
        net[1].bias.copy_(torch.tensor([0.0, slope * 4 * PIXEL_MEAN / PIXEL_STD - math.log(3)]))
    return net


def test_it_rewards_what_the_net_still_recognises():
    judge = DensityMatching(shade_net(), shades(10))
    assert judge([policy_of(identity), policy_of(invert)]) == [1.0, 0.0]
    (half,) = DensityMatching(shade_net(), shades(1000), draws=4)([policy_of(invert, 0.5)])
    assert abs(half - 0.5) < 5 * math.sqrt(0.25 / 4000)  # five standard deviations of 4,000 fair coins


def test_the_loss_is_the_cross_entropy_with_its_sign_changed():
    judge = DensityMatching(shade_net(), shades(10), reward="loss")
    # right with p = 3/4, wrong with 1/4; logits near 1 are exact to a few 2^-23
    assert judge([policy_of(identity), policy_of(invert)]) == pytest.approx(
        [math.log(3 / 4), math.log(1 / 4)], abs=1e-5
    )


def test_a_net_that_trains_is_judged_by_a_copy_that_does_not():
    """Threads share a net: one that leaves it in training mode again moves the batch norm of another."""
    net = nn.Sequential(shade_net(), nn.BatchNorm1d(2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    judge = DensityMatching(net, shades(10))
    assert net.training and not judge.net.training and judge.net is not net
    judge([policy_of(identity)])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_reward_depends_on_the_policy_alone():
    often, seldom = policy_of(invert, 0.7), policy_of(invert, 0.2)
    judge = DensityMatching(shade_net(), shades(50), seed=3)
    together = judge([often, seldom])
    assert judge([seldom]) + judge([often]) == together[::-1]
    assert DensityMatching(shade_net(), shades(50), seed=4)([often]) != together[:1]


def test_every_picture_judged_is_counted():
    judge = DensityMatching(shade_net(), shades(10), draws=3)
    judge([policy_of(identity), policy_of(invert)])
    judge([policy_of(identity)])
    assert judge.spent == Spent(judged_pictures=3 * 10 * 3)


class Listed:
    """A search method that asks for given policies, one after the other."""

    def __init__(self, policies):
        self.policies = list(policies)

    def ask(self, count):
        asked, self.policies = self.policies[:count], self.policies[count:]
        return asked

    def tell(self, policies, rewards):
        pass


def test_a_search_by_density_matching_goes_on_after_a_stop_and_not_with_another_net(tmp_path):
    space = SearchSpace((identity, invert), probabilities=(0.2, 0.8), magnitudes=(0,), steps=1)
    judge = DensityMatching(shade_net(), shades(8), setup=Spent(trained_pictures=5))
    search = lambda judge, trials, log: run_search(  # noqa: E731
        RandomSearch(space, seed=0, sub_policies=1), judge, trials=trials, together=2, log=log
    )
    search(judge, 4, tmp_path / "log")
    whole = search(judge, 8, None)
    assert search(judge, 8, tmp_path / "log") == whole
    assert whole.spent == Spent(5, 8 * 8)
    other = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="evaluate.net"):
        search(DensityMatching(other, shades(8)), 8, tmp_path / "log")


@given(sizes=st.lists(st.integers(3, 9), min_size=1, max_size=4), count=st.integers(2, 3), seed=st.integers(0, 2**31))
def test_folds_part_the_pictures_and_spread_the_classes(sizes, count, seed):
    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    split = Split(torch.arange(float(len(labels)))[:, None], labels)  # a picture is its number
    judged_in_all = []
    for learned, judged in folds(split, count, seed=seed):
        assert sorted([*learned.images[:, 0].tolist(), *judged.images[:, 0].tolist()]) == list(range(len(split)))
        judged_in_all += judged.images[:, 0].tolist()
        for label, size in enumerate(sizes):
            assert size // count <= (judged.labels == label).sum() <= -(-size // count)
        assert torch.equal(split.labels[judged.images[:, 0].long()], judged.labels)
    assert sorted(judged_in_all) == list(range(len(split)))


def test_fast_autoaugment_joins_the_best_of_each_fold_and_judges_with_a_net_that_never_saw_the_pictures():
    train = shades(24)
    tried = [policy_of(invert), policy_of(identity), policy_of(invert, 0.5)]
    seen = []

    def search(evaluate, fold):
        outcome = run_search(Listed(tried), evaluate, trials=3, together=2)
        seen.append((fold, len(evaluate.held_out), outcome.best.policy is tried[1]))
        return outcome

    recipe = ChildRecipe(steps=20, batch_size=8, learning_rate=0.1)
    found = fast_autoaugment(shade_net, train, search, recipe=recipe, seed=0, count=3, top=1)
    assert seen == [(0, 8, True), (1, 8, True), (2, 8, True)]
    assert [one.steps[0].operation.name for one in found.policy.sub_policies] == ["identity"] * 3
    # per fold: 20 steps of 8, judged on 8 when it was done; and three policies on 8 pictures
    assert found.spent == Spent(trained_pictures=3 * 20 * 8, judged_pictures=3 * (8 + 3 * 8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: DensityMatching("net", shades(2)), TypeError, "model must be an nn.Module, got str"),
        (lambda: DensityMatching(shade_net(), 3), TypeError, "held_out must be a data.Split, got int; take one of"),
        (
            lambda: DensityMatching(shade_net(), shades(2), reward="f1"),
            ValueError,
            "reward must be 'accuracy' or 'loss'",
        ),
        (lambda: DensityMatching(shade_net(), shades(2), draws=0), ValueError, "draws must be a whole number of 1 or"),
        (lambda: next(folds("x", 2, seed=0)), TypeError, "folds are made of a data.Split, got str"),
        (lambda: next(folds(shades(4), 1, seed=0)), ValueError, "count must be a whole number of 2 or more, got 1"),
        (lambda: next(folds(shades(4), 3, seed=0)), ValueError, "3 folds need 3 pictures of each class, got 2 of one"),
        (
            lambda: fast_autoaugment(shade_net, shades(4), lambda *_: None, recipe=ChildRecipe(1, 2), seed=0, top=0),
            ValueError,
            "top must be a whole number of 1 or more, got 0; the paper has 10",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
