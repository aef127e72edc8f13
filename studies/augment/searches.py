"""One search by one method on the pictures of one seed, and the policy that it finds.

All methods that try policies are told the validation accuracy of children that start from the same weights and see the
training pictures in the same order: two children differ only in their policy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from joblib import parallel_config

from mini_lib.augment.chain import Standardised
from mini_lib.augment.policy import Policy, policy_from_json
from mini_lib.augment.random_policies import RandAugment
from mini_lib.augment.search.by_children import ByChildren
from mini_lib.augment.search.children import Child, ChildRecipe, train_children
from mini_lib.augment.search.controller import Controller
from mini_lib.augment.search.density_matching import DensityMatching
from mini_lib.augment.search.evolution import Evolution
from mini_lib.augment.search.forward_selection import ForwardSelection
from mini_lib.augment.search.population import population_based
from mini_lib.augment.search.random_search import RandomSearch
from mini_lib.augment.search.run import SearchOutcome, run_search
from mini_lib.augment.search.schedule import PolicySchedule
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment
from mini_lib.data import Splits
from mini_lib.fit import accuracy
from studies.augment.contest import (
    CONTROLLER,
    DENSITY,
    EVOLUTION,
    FORWARD,
    POPULATION,
    RANDAUGMENT,
    RANDOM_SEARCH,
    TPE,
    WITHOUT_CHILDREN,
    Contest,
    Search,
    pictures_of,
)
from studies.augment.optuna_baseline import OptunaTPE
from studies.tickets.study import load_once

SPACE = SearchSpace()
COUNTS, MAGNITUDES = (1, 2), (3, 8, 14, 20, 27)  # of the grid of RandAugment
PARTS = 4  # of a schedule
JUDGED_PER_TRIAL = 3  # policies that density matching judges where another method trains one child
AT_ONCE = 10  # batches that one call augments
OTHER_SEED = 1_000_000  # added to a seed for draws that are independent of it


def joined(policies: Sequence[Policy]) -> Policy:
    """Return the sub-policies of several policies as one policy."""
    return Policy(tuple(one for policy in policies for one in policy.sub_policies))


def random_policies(contest: Contest, seed: int, count: int) -> list[Policy]:
    """Return policies without a search, drawn uniformly from the space of the searches."""
    generator = torch.Generator().manual_seed(OTHER_SEED + seed)
    return [SPACE.random_policy(contest.sub_policies, generator) for _ in range(count)]


@dataclass(frozen=True)
class Found:
    """The result of a method: its policy and its winner as JSON, the winner's reward, and all rewards in order."""

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
    with parallel_config(backend="sequential"):  # a search is one task, and starts no tasks elsewhere
        found = _found(contest, splits, seed, method)
    seconds = round(time.perf_counter() - begun_s, 2)
    children = [] if method in WITHOUT_CHILDREN else _winner_again(contest, splits, seed, method, found.best)
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
        RANDOM_SEARCH: lambda: RandomSearch(SPACE, seed=seed, sub_policies=each),
        EVOLUTION: lambda: Evolution(SPACE, seed=seed, sub_policies=each),
        FORWARD: lambda: ForwardSelection(SPACE, seed=seed, sub_policies=each, draws=1),
        CONTROLLER: lambda: Controller(SPACE, seed=seed, sub_policies=each),
        TPE: lambda: OptunaTPE(SPACE, seed=seed, sub_policies=each),
    }
    if name not in makers:
        raise ValueError(f"there is no method {name!r}; there are {', '.join((*makers, POPULATION, DENSITY))}")
    return makers[name]()


def augment_of(method: str, text: str, steps: int) -> Augment:
    """Return the augmentation that a search has written as JSON, for one training of that many steps."""
    if method == RANDAUGMENT:
        return RandAugment(**json.loads(text))
    if method == POPULATION:
        return PolicySchedule(tuple(policy_from_json(json.dumps(rows)) for rows in json.loads(text))).begin(steps)
    return policy_from_json(text)


def recipe_of(contest: Contest, steps: int, batches_at_once: int = AT_ONCE) -> ChildRecipe:
    """Return how every net of the contest is trained, children and final ones."""
    return ChildRecipe(
        steps=steps,
        batch_size=contest.batch_size,
        learning_rate=contest.learning_rate,
        weight_decay=contest.weight_decay,
        batches_at_once=batches_at_once,
    )


def _found(contest: Contest, splits: Splits, seed: int, method: str) -> Found:
    if method == RANDAUGMENT:
        return _grid(contest, splits, seed)
    if method == POPULATION:
        return _population(contest, splits, seed)
    if method == DENSITY:
        return _density(contest, splits, seed)
    outcome = _until_spent(contest, by_children(contest, splits, (seed,)), seed, method)
    return _of(outcome, 1 if method == FORWARD else contest.joined)  # it has grown one policy, trial after trial


def _until_spent(contest: Contest, judge: ByChildren, seed: int, method: str) -> SearchOutcome:
    """Search until all trials are spent; a method that finishes earlier begins again, with another seed."""
    trials, spent, begun = (), Spent(), 0
    while len(trials) < contest.trials:
        asks = method_of(method, contest, seed + OTHER_SEED * begun)
        left = contest.trials - len(trials)
        outcome = run_search(asks, judge, trials=left, together=contest.together)
        trials, spent, begun = trials + outcome.trials, spent + outcome.spent, begun + 1
    return SearchOutcome(trials, spent)


def _winner_again(contest: Contest, splits: Splits, seed: int, method: str, text: str) -> list[Child]:
    return train_children(
        contest.build,
        [Standardised(augment_of(method, text, contest.child_steps)) for _ in range(contest.again)],
        splits.train,
        splits.validation,
        recipe_of(contest, contest.child_steps),
        [OTHER_SEED + seed * contest.again + net for net in range(contest.again)],
    )


def by_children(contest: Contest, splits: Splits, seeds: Sequence[int]) -> ByChildren:
    """Return the judge of policies by the validation accuracy of children, one per policy and seed."""
    recipe = recipe_of(contest, contest.child_steps)
    return ByChildren(contest.build, splits.train, splits.validation, recipe, seeds=seeds)


def _of(outcome: SearchOutcome, count: int) -> Found:
    return Found(
        outcome.joined(min(count, len(outcome.trials))).to_json(),
        outcome.best.policy.to_json(),
        outcome.best.reward,
        tuple(trial.reward for trial in outcome.trials),
        outcome.spent,
    )


def _grid(contest: Contest, splits: Splits, seed: int) -> Found:
    """Every count with every magnitude, with as many children of each as the trials allow; the highest mean wins."""
    settings = [(count, magnitude) for count in COUNTS for magnitude in MAGNITUDES]
    each = max(1, contest.trials // len(settings))
    judge = by_children(contest, splits, [seed + OTHER_SEED * number for number in range(each)])
    means = [judge([RandAugment(count, magnitude)])[0] for count, magnitude in settings]
    best = max(range(len(means)), key=means.__getitem__)
    text = json.dumps(dict(zip(("count", "magnitude"), settings[best])))
    return Found(text, text, means[best], tuple(means), judge.spent)


def _population(contest: Contest, splits: Splits, seed: int) -> Found:
    """As many nets as the pictures of all trials allow, each trained for as long as a final net."""
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
    trials = JUDGED_PER_TRIAL * contest.trials
    outcome = run_search(method_of(TPE, contest, seed), judge, trials=trials, together=contest.together)
    found = _of(outcome, contest.joined)
    return replace(found, spent=child.spent + found.spent)
