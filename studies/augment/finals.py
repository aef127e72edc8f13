"""The final nets: all arms take equally many steps, from the same weights, and see the pictures in the same order."""

from __future__ import annotations

import time

import torch

from mini_lib.augment.chain import Standardised
from mini_lib.augment.operations import rotate, shear_x, translate_x, translate_y
from mini_lib.augment.policy import Policy, Step, SubPolicy
from mini_lib.augment.random_policies import TrivialAugment
from mini_lib.augment.search.children import train_children
from mini_lib.batch import Augment
from mini_lib.data import Split, Splits
from mini_lib.fit import accuracy
from studies.augment.contest import (
    AFFINE,
    ALL_LABELS,
    HALF,
    JOINED,
    NONE,
    POPULATION,
    RANDOM,
    TRIVIAL,
    Contest,
    Final,
    Search,
    pictures_of,
)
from studies.augment.searches import augment_of, joined, random_policies, recipe_of
from studies.tickets.study import load_once

# A policy that somebody who knows clothes might write without a search: a pixel or two aside, or turned and slanted a
# little.
HAND_WRITTEN = Policy(
    [
        SubPolicy(Step(translate_x, probability=0.5, magnitude=1), Step(translate_y, probability=0.5, magnitude=1)),
        SubPolicy(Step(rotate, probability=0.5, magnitude=3), Step(shear_x, probability=0.5, magnitude=3)),
    ]
)


def train_final(contest: Contest, seed: int, arm: str, search: Search | None = None) -> Final:
    """Return the final nets of an arm and a seed; a searched arm trains with the policy that its `search` found.

    Raises:
        ValueError: there is no such arm, or its search is missing; as `fit`.
    """
    begun_s = time.perf_counter()
    splits = pictures_of(contest, seed, load_once(contest.load_data))
    policy = arm.removeprefix(ALL_LABELS).removesuffix(HALF)
    steps = contest.final_steps // (2 if arm.endswith(HALF) else 1)
    train = _together(splits) if arm.startswith(ALL_LABELS) else splits.train
    seeds = [contest.nets * seed + net for net in range(contest.nets)]  # the same in all arms
    nets = train_children(
        contest.build,
        [_augment(contest, policy, search, own, steps) for own in seeds],
        train,
        splits.validation,
        recipe_of(contest, steps, 1 if policy == POPULATION else 10),  # a schedule counts its batches
        seeds,
    )
    return Final(
        seed=seed,
        arm=arm,
        validation=tuple(round(net.validation_accuracy, 4) for net in nets) if train is splits.train else (),
        test=tuple(round(accuracy(net.model, splits.test), 5) for net in nets),
        trained_pictures=steps * contest.batch_size,
        seconds=round(time.perf_counter() - begun_s, 2),
    )


def _augment(contest: Contest, policy: str, search: Search | None, own: int, steps: int) -> Augment | None:
    if policy == NONE:
        return None
    if policy in (RANDOM, JOINED):
        drawn = random_policies(contest, own, contest.joined if policy == JOINED else 1)
        return Standardised(joined(drawn))
    if policy in (AFFINE, TRIVIAL):
        return Standardised(HAND_WRITTEN if policy == AFFINE else TrivialAugment())
    if search is None:
        raise ValueError(f"there is no arm {policy!r} without a search; give the search, or one of the contest's arms")
    return Standardised(augment_of(search.method, search.policy, steps))


def _together(splits: Splits) -> Split:
    parts = (splits.train, splits.validation)
    return Split(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
