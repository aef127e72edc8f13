"""Regularized evolution: the best of a few parents is changed a little, and the oldest policy dies, good or not."""

from collections import deque
from collections.abc import Sequence

import torch

from mini_lib import require
from mini_lib.augment.policy import Policy, need_policy
from mini_lib.augment.search.policy_gradient import seeded
from mini_lib.augment.search.random_search import need_rewards
from mini_lib.augment.search.space import SearchSpace, need_space


class Evolution:
    """A search that keeps the newest `population` policies, and asks for children of the better ones.

    The first `population` policies are drawn at random, as `RandomSearch` draws them with this seed. Each later one is
    a child of the best of `sample` policies, drawn from the population, and differs from that parent in one gene. Since
    policies die of age, a policy that was only lucky is forgotten unless it has good children.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is below 1, the seed below 0, or `sample` above `population`.

    Source: E. Real et al., "Regularized Evolution for Image Classifier Architecture Search", 2019, algorithm 1.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int, sub_policies: int = 5, population: int = 16, sample: int = 4
    ) -> None:
        self.space = need_space(space)
        self.seed = require.whole("seed", seed, low=0, fix="any whole number will do")
        self.sub_policies = require.whole("sub_policies", sub_policies, low=1, fix="the papers have 5")
        self.population = require.whole("population", population, low=1, fix="16 suits some hundred trials")
        self.sample = require.whole("sample", sample, low=1, high=population, fix="a quarter of the population, say")
        self._asked = self._told = 0
        self._alive: deque[tuple[Policy, float]] = deque(maxlen=self.population)  # the newest, the oldest of them first

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide which policies are asked for, as plain values."""
        names = ("seed", "sub_policies", "population", "sample")
        return {**self.space.settings, **{name: getattr(self, name) for name in names}}

    def ask(self, count: int) -> list[Policy]:
        """Return the next `count` policies, all chosen by the rewards that were told so far.

        Raises:
            TypeError, ValueError: `count` is not a whole number of 1 or more.
        """
        count = require.whole("count", count, low=1, fix="ask for at least one policy")
        numbers = range(self._asked, self._asked + count)
        self._asked += count
        return [self._next(number) for number in numbers]

    def tell(self, policies: Sequence[Policy], rewards: Sequence[float]) -> None:
        """Add policies with their rewards to the population; the oldest die.

        Raises:
            TypeError, ValueError: there is not one finite number per policy.
        """
        rewards = need_rewards(policies, rewards)
        for policy in policies:
            need_policy(policy)
        self._alive.extend(zip(policies, rewards))
        self._told += len(rewards)
        self._asked = max(self._asked, self._told)  # a replayed log was asked for in an earlier run

    def _next(self, number: int) -> Policy:
        generator = seeded(self.seed, number)
        if number < self.population or not self._alive:
            return self.space.random_policy(self.sub_policies, generator)
        drawn = torch.randperm(len(self._alive), generator=generator)[: self.sample].tolist()
        parent, _ = max((self._alive[place] for place in drawn), key=lambda one: one[1])
        return self.space.neighbour(parent, generator)
