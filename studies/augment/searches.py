"""One search by one method on the pictures of one seed, and what its policy is.

All methods that try policies are told the validation accuracy of children that start from the same weights and see the
training pictures in the same order: two of them differ in their policy alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import torch

from mini_lib.augment.chain import Standardised
from mini_lib.augment.policy import Policy, policy_from_json
from mini_lib.augment.random_policies import RandAugment
from mini_lib.augment.search.children import ChildRecipe, train_children
from mini_lib.augment.search.controller import Controller
from mini_lib.augment.search.density_matching import DensityMatching
from mini_lib.augment.search.policy_gradient import PPO, Reinforce, seeded
from mini_lib.augment.search.schedule import Schedule
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment
from mini_lib.data import Splits
from mini_lib.fit import accuracy
from studies.augment.contest import (
    DENSITY,
    EVOLUTION,
    FORWARD,
    POPULATION,
    PPO_CONTROLLER,
    RANDAUGMENT,
    RANDOM_SEARCH,
    TPE,
    Contest,
    Search,
    pictures_of,
)
from studies.augment.optuna_baseline import OptunaTPE
from studies.tickets.study import load_once

SPACE = SearchSpace()
COUNTS, MAGNITUDES = (1, 2, 3), (3, 9, 15, 21)  # of the grid of RandAugment
OTHER_SEED = 1_000_000  # added to a seed for chance that has nothing to do with it


def joined(policies: Sequence[Policy]) -> Policy:
    """Return the sub-policies of several policies as one policy."""
    return Policy(tuple(one for policy in policies for one in policy.sub_policies))


def random_policies(contest: Contest, seed: int, count: int) -> list[Policy]:
    """Return policies that nobody searched for, drawn evenly from the space that the searches have."""
    generator = torch.Generator().manual_seed(OTHER_SEED + seed)
    return [SPACE.random_policy(contest.sub_policies, generator) for _ in range(count)]


class Evaluate:
    """Children of one seed, one per policy: their validation accuracies are the rewards, and `spent` what they took."""

    def __init__(self, contest: Contest, splits: Splits, seed: int) -> None:
        self.contest, self.splits, self.seed = contest, splits, seed
        self.spent = Spent()

    def __call__(self, augments: Sequence[Augment | None], seeds: Sequence[int] = ()) -> list[float]:
        """Return one reward per augmentation."""
        children = train_children(
            self.contest.build,
            [None if one is None else Standardised(one) for one in augments],
            self.splits.train,
            self.splits.validation,
            recipe_of(self.contest, self.contest.child_steps),
            seeds or [self.seed] * len(augments),
        )
        for child in children:
            self.spent += child.spent
        self.models = [child.model for child in children]
        return [child.validation_accuracy for child in children]


def recipe_of(contest: Contest, steps: int) -> ChildRecipe:
    """Return how every net of the contest is trained, children and final ones."""
    return ChildRecipe(
        steps=steps,
        batch_size=contest.batch_size,
        learning_rate=contest.learning_rate,
        weight_decay=contest.weight_decay,
        batches_at_once=10,
    )
