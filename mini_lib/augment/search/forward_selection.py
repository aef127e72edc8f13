"""Forward selection: a policy grows step by step, each time by the step that raises the reward most."""

from collections.abc import Sequence

import torch

from mini_lib import require
from mini_lib.augment.operations import Operation, identity
from mini_lib.augment.policy import Policy, Step, SubPolicy
from mini_lib.augment.search.policy_gradient import seeded
from mini_lib.augment.search.random_search import need_rewards
from mini_lib.augment.search.space import SearchSpace, need_space

NOTHING = Policy([SubPolicy(Step(identity, probability=1.0))])


class ForwardSelection:
    """A search that starts with no augmentation and adds, in each round, the step that raises the reward most.

    Each round tries every operation of the space with `draws` different random pairs of probability and magnitude, as
    one more step of the newest sub-policy. The best becomes the policy that the next round adds to, if its reward is
    higher than any before. If none is, or the sub-policy has all `space.steps` steps, the next round tries them as the
    first step of a new sub-policy. The search is finished when that does not help either, or when there are
    `sub_policies` of them; `ask` then returns nothing.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is below 1, or the seed below 0.

    >>> search = ForwardSelection(SearchSpace(), seed=0)
    >>> [first] = search.ask(1)
    >>> first == NOTHING
    True

    Source: the greedy choice of variables in regression (T. Hastie et al., "The Elements of Statistical Learning",
    2009, section 3.3.2), with steps of a policy in place of variables.
    """

    def __init__(self, space: SearchSpace, *, seed: int, sub_policies: int = 5, draws: int = 3) -> None:
        self.space = need_space(space)
        self.seed = require.whole("seed", seed, low=0, fix="any whole number will do")
        self.sub_policies = require.whole("sub_policies", sub_policies, low=1, fix="the papers have 5")
        self.draws = require.whole("draws", draws, low=1, fix="3 tries each operation three times per round")
        self._best, self._reward = NOTHING, float("-inf")  # the policy that the round adds to
        self._round, self._opens = 0, False  # and whether it adds a sub-policy, or a step to the newest one
        self._candidates, self._asked = [NOTHING], 0  # of this round, and how many of them were asked for
        self._told: list[tuple[Policy, float]] = []  # of this round

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide which policies are asked for, as plain values."""
        names = ("seed", "sub_policies", "draws")
        return {**self.space.settings, **{name: getattr(self, name) for name in names}}

    def ask(self, count: int) -> list[Policy]:
        """Return `count` of this round's policies, fewer if there are no more, and none when the search is finished.

        Raises:
            TypeError: `count` is not a whole number.
            ValueError: it is below 1, or the round still waits for rewards, on which the next one depends.
        """
        count = require.whole("count", count, low=1, fix="ask for at least one policy")
        if self._candidates and self._asked == len(self._candidates):
            raise ValueError(
                f"round {self._round} waits for {self._asked - len(self._told)} rewards of policies that were asked "
                "for; tell them first"
            )
        asked = self._candidates[self._asked : self._asked + count]
        self._asked += len(asked)
        return asked

    def tell(self, policies: Sequence[Policy], rewards: Sequence[float]) -> None:
        """Take the rewards of this round's policies; after the last one, the next round begins.

        Raises:
            TypeError, ValueError: there is not one finite number per policy, or a policy is not this round's next.
        """
        rewards = need_rewards(policies, rewards)
        for policy, reward in zip(policies, rewards):
            if len(self._told) == len(self._candidates) or policy != self._candidates[len(self._told)]:
                raise ValueError(f"round {self._round} did not ask for this policy next; tell in the order of asking")
            self._told.append((policy, reward))
            self._asked = max(self._asked, len(self._told))  # a replayed log was asked for in an earlier run
            if len(self._told) == len(self._candidates):
                self._next_round()

    def _next_round(self) -> None:
        best, reward = max(self._told, key=lambda one: one[1])
        gained = reward > self._reward
        if gained:
            self._best, self._reward = best, reward
        self._round += 1
        self._told, self._asked = [], 0
        finished = self._opens and not gained
        self._opens = self._best == NOTHING or not gained or len(self._newest) == self.space.steps
        if finished or (self._opens and len(self._kept) == self.sub_policies):
            self._candidates = []
            return
        generator = seeded(self.seed, self._round)
        self._candidates = [
            self._grown(step) for operation in self.space.operations for step in self._drawn(operation, generator)
        ]

    @property
    def _kept(self) -> tuple[SubPolicy, ...]:
        return () if self._best == NOTHING else self._best.sub_policies

    @property
    def _newest(self) -> tuple[Step, ...]:
        return self._kept[-1].steps

    def _drawn(self, operation: Operation, generator: torch.Generator) -> list[Step]:
        """Some of the space's steps with an operation, all different in effect."""
        magnitudes = self.space.magnitudes if operation.weakest != operation.strongest else self.space.magnitudes[:1]
        steps = [
            Step(operation, probability=probability, magnitude=magnitude)
            for probability in self.space.probabilities
            for magnitude in magnitudes
        ]
        return [steps[place] for place in torch.randperm(len(steps), generator=generator)[: self.draws].tolist()]

    def _grown(self, step: Step) -> Policy:
        """The policy with one more step."""
        if self._opens:
            return Policy([*self._kept, SubPolicy(step)])
        return Policy([*self._kept[:-1], SubPolicy(*self._newest, step)])
