"""Policies at random: the control for every cleverer search."""

from collections.abc import Sequence

from mini_lib import require
from mini_lib.augment.policy import Policy
from mini_lib.augment.search.policy_gradient import seeded
from mini_lib.augment.search.space import SearchSpace, need_space


class RandomSearch:
    """A search that draws each policy uniformly from the space, whatever rewards it is told.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: `sub_policies` is below 1, or the seed below 0.

    >>> one, other = RandomSearch(SearchSpace(), seed=0), RandomSearch(SearchSpace(), seed=0)
    >>> one.ask(2) == other.ask(1) + other.ask(1)                                # the same, however it is asked
    True
    """

    def __init__(self, space: SearchSpace, *, seed: int, sub_policies: int = 5) -> None:
        self.space = need_space(space)
        self.seed = require.whole("seed", seed, low=0, fix="any whole number will do")
        self.sub_policies = require.whole("sub_policies", sub_policies, low=1, fix="the papers have 5")
        self._asked = self._told = 0

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide which policies are asked for, as plain values."""
        return {**self.space.settings, "seed": self.seed, "sub_policies": self.sub_policies}

    def ask(self, count: int) -> list[Policy]:
        """Return the next `count` policies.

        Raises:
            TypeError, ValueError: `count` is not a whole number of 1 or more.
        """
        count = require.whole("count", count, low=1, fix="ask for at least one policy")
        numbers = range(self._asked, self._asked + count)
        self._asked += count
        return [self.space.random_policy(self.sub_policies, seeded(self.seed, number)) for number in numbers]

    def tell(self, policies: Sequence[Policy], rewards: Sequence[float]) -> None:
        """Count the policies, and learn nothing.

        Raises:
            TypeError, ValueError: there is not one finite number per policy.
        """
        rewards = need_rewards(policies, rewards)
        self._told += len(rewards)
        self._asked = max(self._asked, self._told)  # a replayed log was asked for in an earlier run


def need_rewards(policies: Sequence[Policy], rewards: Sequence[float]) -> list[float]:
    """Return the rewards as plain numbers, after a check that there is one finite reward per policy.

    Raises:
        TypeError: a reward is not a number.
        ValueError: there is no reward, one too many or too few, or one that is not finite.
    """
    for name, values in {"policies": policies, "rewards": rewards}.items():
        require.of_type(name, values, (list, tuple), fix="give a list")
    if not policies or len(policies) != len(rewards):
        raise ValueError(
            f"tell one reward per policy, got {len(policies)} policies and {len(rewards)}; judge each once"
        )
    return [require.finite("a reward", reward, fix="find out why the child failed") for reward in rewards]
