"""One search by one method on the pictures of one seed, and what its policy is.

All methods that try policies are told the validation accuracy of children that start from the same weights and see the
training pictures in the same order: two of them differ in their policy alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from mini_lib.augment.chain import Standardised
from mini_lib.augment.policy import Policy, policy_from_json
from mini_lib.augment.random_policies import RandAugment
from mini_lib.augment.search.children import Child, ChildRecipe, train_children
from mini_lib.augment.search.controller import Controller
from mini_lib.augment.search.density_matching import DensityMatching
from mini_lib.augment.search.population import population_based
from mini_lib.augment.search.schedule import Schedule
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment
from mini_lib.data import Splits
from mini_lib.fit import accuracy
from studies.augment.contest import CONTROLLER, DENSITY, POPULATION, RANDAUGMENT, TPE, Contest, Search, pictures_of
from studies.augment.optuna_baseline import OptunaTPE
from studies.tickets.study import load_once

SPACE = SearchSpace()
COUNTS, MAGNITUDES = (1, 2), (3, 8, 14, 20, 27)  # of the grid of RandAugment
PARTS = 4  # of a schedule
JUDGED_PER_TRIAL = 3  # policies that density matching judges where another method trains one child
OTHER_SEED = 1_000_000  # added to a seed for chance that has nothing to do with it


def joined(policies: Sequence[Policy]) -> Policy:
    """Return the sub-policies of several policies as one policy."""
    return Policy(tuple(one for policy in policies for one in policy.sub_policies))


def random_policies(contest: Contest, seed: int, count: int) -> list[Policy]:
    """Return policies that nobody searched for, drawn evenly from the space that the searches have."""
    generator = torch.Generator().manual_seed(OTHER_SEED + seed)
    return [SPACE.random_policy(contest.sub_policies, generator) for _ in range(count)]


class Evaluate:
    """Judges policies by the validation accuracy of a child each; `spent` is what that took."""

    def __init__(self, contest: Contest, splits: Splits, seed: int) -> None:
        self.contest, self.splits, self.seed = contest, splits, seed
        self.spent = Spent()

    def __call__(self, policies: Sequence[Augment]) -> list[float]:
        """Return one reward per policy."""
        children = self.children(policies, [self.seed] * len(policies))
        self.spent = sum((child.spent for child in children), self.spent)
        return [child.validation_accuracy for child in children]

    def children(self, policies: Sequence[Augment], seeds: Sequence[int]) -> list[Child]:
        """Return trained children; nothing is counted as spent."""
        return train_children(
            self.contest.build,
            [Standardised(policy) for policy in policies],
            self.splits.train,
            self.splits.validation,
            recipe_of(self.contest, self.contest.child_steps),
            seeds,
        )


@dataclass(frozen=True)
class Found:
    """What a method has found: its policy and its winner as JSON, the winner's reward, and what it was told."""

    policy: str
    best: str
    reward: float
    rewards: tuple[float, ...]
    spent: Spent


def search(contest: Contest, seed: int, method: str) -> Search:
    """Search by a method on the pictures of a seed, and train its winner again as children with other seeds.

    Raises:
        ValueError: there is no such method.
    """
    begun_s = time.perf_counter()
    splits = pictures_of(contest, seed, load_once(contest.load_data))
    evaluate = Evaluate(contest, splits, seed)
    if method == RANDAUGMENT:
        found = _grid(contest, evaluate)
    elif method == POPULATION:
        found = _population(contest, splits, seed)
    elif method == DENSITY:
        found = _density(contest, splits, seed)
    else:
        found = _asked(contest, method_of(method, contest, seed), evaluate, contest.trials)
    seconds = round(time.perf_counter() - begun_s, 2)
    winner = [augment_of(method, found.best, contest.child_steps) for _ in range(contest.again)]
    children = evaluate.children(winner, [OTHER_SEED + seed * contest.again + net for net in range(contest.again)])
    return Search(
        seed=seed,
        method=method,
        policy=found.policy,
        best=found.best,
        rewards=tuple(round(reward, 4) for reward in found.rewards),
        reward=round(found.reward, 4),
        again_validation=tuple(round(child.validation_accuracy, 4) for child in children),
        again_test=tuple(round(accuracy(child.model, splits.test), 5) for child in children),
        trained_pictures=found.spent.trained_pictures,
        judged_pictures=found.spent.judged_pictures,
        seconds=seconds,
    )


def method_of(name: str, contest: Contest, seed: int) -> object:
    """Return a method that asks for policies and is told their rewards.

    Raises:
        ValueError: there is no such method.
    """
    each = contest.sub_policies
    makers: dict[str, Callable[[], object]] = {
        CONTROLLER: lambda: Controller(SPACE, seed=seed, sub_policies=each),
        TPE: lambda: OptunaTPE(SPACE, seed=seed, sub_policies=each),
    }
    if name not in makers:
        raise ValueError(f"there is no method {name!r}; there are {', '.join((*makers, POPULATION, DENSITY))}")
    return makers[name]()


def augment_of(method: str, text: str, steps: int) -> Augment:
    """Return the augmentation that a search has written as JSON, for one training of so many steps."""
    if method == RANDAUGMENT:
        return RandAugment(**json.loads(text))
    if method == POPULATION:
        return Schedule(tuple(policy_from_json(json.dumps(rows)) for rows in json.loads(text))).begin(steps)
    return policy_from_json(text)


def recipe_of(contest: Contest, steps: int, batches_at_once: int = 10) -> ChildRecipe:
    """Return how every net of the contest is trained, children and final ones."""
    return ChildRecipe(
        steps=steps,
        batch_size=contest.batch_size,
        learning_rate=contest.learning_rate,
        weight_decay=contest.weight_decay,
        batches_at_once=batches_at_once,
    )


def _asked(
    contest: Contest, method: object, evaluate: Callable[[Sequence[Policy]], list[float]], trials: int = 0
) -> Found:
    """Ask for policies and tell their rewards until the trials are spent; the best few, joined, are what is found."""
    policies, rewards = [], []
    while (left := (trials or contest.trials) - len(policies)) > 0:
        asked = method.ask(min(left, contest.together))
        told = evaluate(asked)
        method.tell(asked, told)
        policies += asked
        rewards += told
    ranked = sorted(range(len(policies)), key=lambda trial: -rewards[trial])
    best = [policies[trial] for trial in ranked[: contest.joined]]
    return Found(joined(best).to_json(), best[0].to_json(), rewards[ranked[0]], tuple(rewards), evaluate.spent)


def _grid(contest: Contest, evaluate: Evaluate) -> Found:
    """Every count with every magnitude, as many children of each as the trials allow: the highest mean is taken."""
    settings = [(count, magnitude) for count in COUNTS for magnitude in MAGNITUDES]
    each = max(1, contest.trials // len(settings))
    means = []
    for count, magnitude in settings:
        policies = [RandAugment(count, magnitude)] * each
        children = evaluate.children(policies, [evaluate.seed + OTHER_SEED * number for number in range(each)])
        evaluate.spent = sum((child.spent for child in children), evaluate.spent)
        means.append(fmean(child.validation_accuracy for child in children))
    best = max(range(len(means)), key=means.__getitem__)
    text = json.dumps(dict(zip(("count", "magnitude"), settings[best])))
    return Found(text, text, means[best], tuple(means), evaluate.spent)


def _population(contest: Contest, splits: Splits, seed: int) -> Found:
    """As many nets as the pictures of all trials suffice for, each trained as long as a final net."""
    found = population_based(
        contest.build,
        SPACE,
        splits.train,
        splits.validation,
        recipe_of(contest, contest.final_steps // PARTS),
        seed=seed,
        parts=PARTS,
        population=max(2, contest.trials * contest.child_steps // contest.final_steps),
        sub_policies=contest.sub_policies,
    )
    text = json.dumps([json.loads(policy.to_json()) for policy in found.schedule.policies])
    return Found(text, text, found.accuracy, found.accuracies[-1], found.spent)


def _density(contest: Contest, splits: Splits, seed: int) -> Found:
    """One net without augmentation judges policies on the validation pictures; TPE asks, as in the paper."""
    recipe = recipe_of(contest, contest.final_steps)
    (child,) = train_children(contest.build, [None], splits.train, splits.validation, recipe, [seed])
    judge = DensityMatching(child.model, splits.validation, seed=seed)
    found = _asked(contest, method_of(TPE, contest, seed), judge, JUDGED_PER_TRIAL * contest.trials)
    return replace(found, spent=child.spent + judge.spent)
