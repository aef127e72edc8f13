"""Optuna behind the same ask and tell: what it asks for, what it learns, and that it is quiet."""

import math
import sys

import optuna
import pytest

from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS
from mini_lib.augment.search.space import SearchSpace
from studies.augment.optuna_baseline import OptunaTPE

SPACE = SearchSpace(AUTOAUGMENT_OPERATIONS[:5], probabilities=(0.2, 0.6, 1.0), magnitudes=(1, 3, 5, 7))
BEST = (4, 1, 2, 0, 2, 3)


def likeness(policy) -> float:
    return sum(map(int.__eq__, SPACE.genes(policy), BEST)) / len(BEST)


def play(method, groups, together=4):
    log = []
    for _ in range(groups):
        policies = method.ask(together)
        log.append((policies, [likeness(policy) for policy in policies]))
        method.tell(*log[-1])
    return log


def test_it_asks_for_better_policies_than_chance():
    """Of a random policy 1/5, 1/3 or 1/4 of the genes are right, 26%, with a standard deviation of sqrt((0.16 + 0.22 +
    0.19) * 2) / 6 = 0.18. The mean of the last 40 of 100 lies above 0.26 + 5 * 0.18 / sqrt(40) = 0.40."""
    log = play(OptunaTPE(SPACE, seed=0, sub_policies=1), 25)
    last = [reward for _, rewards in log[-10:] for reward in rewards]
    assert sum(last) / len(last) > 0.40


@pytest.mark.parametrize("asked", [True, False], ids=["asked again", "told alone"])
def test_a_log_that_is_told_again_leads_on_alike(asked):
    played = OptunaTPE(SPACE, seed=3, sub_policies=1)
    log = play(played, 6)
    again = OptunaTPE(SPACE, seed=3, sub_policies=1)
    for policies, rewards in log:
        if asked:
            assert again.ask(4) == policies
        again.tell(policies, rewards)
    assert again.ask(4) == played.ask(4)
    assert OptunaTPE(SPACE, seed=4, sub_policies=1).ask(4) != log[0][0]


def test_whole_policies_have_as_many_sub_policies_as_asked_for():
    (policy,) = OptunaTPE(SPACE, seed=0, sub_policies=3).ask(1)
    assert len(policy.sub_policies) == 3


def test_optuna_is_quiet_and_as_loud_as_before_afterwards(capfd):
    before = optuna.logging.get_verbosity()
    play(OptunaTPE(SPACE, seed=0, sub_policies=1), 3)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_a_missing_optuna_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match="Optuna is not installed; .*pip install"):
        OptunaTPE(SPACE, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: OptunaTPE(SPACE, seed=-1), "seed must be a whole number of 0 or more, got -1"),
        (lambda m: OptunaTPE(SPACE, seed=0, sub_policies=0), "sub_policies must be a whole number of 1 or more, got 0"),
        (lambda m: m.ask(0), "count must be a whole number of 1 or more, got 0"),
        (lambda m: m.tell(m.ask(2), [0.5]), "tell one reward per policy, got 2 policies and 1"),
        (lambda m: m.tell(m.ask(1), [math.inf]), "a reward must be a finite number, got inf"),
        (lambda m: m.tell([SPACE.policy(BEST * 2)], [0.5]), "1 sub-policies, got one of 2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(OptunaTPE(SPACE, seed=0, sub_policies=1))
