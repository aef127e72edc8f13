"""Population-based augmentation (PBA): many nets train side by side, and the poor ones copy the good ones on the way.

Training is cut into parts. After each part, every net of the worst quarter takes over the weights of a net of the best
quarter (*exploit*) and its policy, slightly changed (*explore*). So a policy may change while a net trains, and the
result is a schedule: the policies that led to the best net, part by part. The whole search costs one training per
member of the population, and no training is dropped before its first part is over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mini_lib import require
from mini_lib.augment.chain import Standardised
from mini_lib.augment.pictures import need_generator
from mini_lib.augment.policy import Policy
from mini_lib.augment.search.children import Build, ChildRecipe, train_children
from mini_lib.augment.search.policy_gradient import seeded
from mini_lib.augment.search.schedule import PolicySchedule
from mini_lib.augment.search.space import SearchSpace, need_space
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment
from mini_lib.data import Split

RESAMPLED = 0.2  # the probability that exploring draws a gene anew
FARTHEST = 3  # by how many values a probability or magnitude is moved at most


@dataclass(frozen=True, eq=False)
class PopulationResult:
    """The result of a population.

    `accuracies[part][member]` are validation accuracies after each part, in [0, 1]; `accuracy` is that of the best
    member at the end, and `schedule` holds the policies that it and its ancestors were trained with.
    """

    schedule: PolicySchedule
    accuracy: float
    accuracies: tuple[tuple[float, ...], ...]
    spent: Spent


def population_based(
    build: Build,
    space: SearchSpace,
    train: Split,
    validation: Split,
    recipe: ChildRecipe,
    *,
    seed: int,
    parts: int = 5,
    population: int = 16,
    sub_policies: int = 5,
    wrap: Callable[[Augment], Augment] = Standardised,
    progress: Callable[[int, Sequence[float]], None] | None = None,
) -> PopulationResult:
    """Train a population whose policies evolve as it learns, and return the schedule of the best member.

    Each part is a training by `recipe` that starts from the weights of the part before: its learning rate rises and
    falls in every part, and the optimizer's state starts anew. The population costs `population * parts * recipe.steps
    * recipe.batch_size` pictures.

    Args:
        build: makes an untrained net from a seed.
        space: the space that policies are drawn from; the paper's policies have another form (each operation twice, of
            which a picture draws up to two).
        train, validation: the data that the nets learn from, and the data that ranks them.
        recipe: of one part; it must not halve.
        seed: decides weights, pictures, policies, and who copies whom.
        parts: the number of parts.
        population: how many nets, 2 or more.
        sub_policies: of each policy.
        wrap: turns a policy into an augmentation of the pictures; `Standardised` for standardised ones.
        progress: called after each part, with its number from 1 and the validation accuracies.

    Raises:
        TypeError: a number is not a whole number, or a split is not a `Split`.
        ValueError: a number is too small, the recipe halves, or a net cannot be trained (see `train_children`).

    Source: D. Ho et al., "Population Based Augmentation: Efficient Learning of Augmentation Policy Schedules", 2019,
    section 3; explore as in its algorithm 2.
    """
    need_space(space)
    seed = require.whole("seed", seed, low=0, fix="any whole number will do")
    parts = require.whole("parts", parts, low=1, fix="a schedule has one policy per part")
    population = require.whole("population", population, low=2, fix="the paper has 16")
    require.callable_("wrap", wrap, fix="it turns a policy into an augmentation of the pictures, such as Standardised")
    if progress is not None:
        require.callable_("progress", progress, fix="None leaves it out")
    if require.of_type("recipe", recipe, ChildRecipe, fix="use ChildRecipe(steps=80)").halve_at:
        raise ValueError(f"the recipe halves at {recipe.halve_at}, but a population keeps all members; leave it out")
    generator = seeded(seed, 0)
    policies = [space.random_policy(sub_policies, generator) for _ in range(population)]
    lines: list[tuple[Policy, ...]] = [
        ()
    ] * population  # the policies that each member's weights were trained with, part by part
    weights, accuracies, spent = None, [], Spent()
    for part in range(1, parts + 1):
        seeds = torch.randint(2**31, (population,), generator=generator).tolist()
        augments = [wrap(policy) for policy in policies]
        children = train_children(build, augments, train, validation, recipe, seeds, start=weights)
        spent = sum((child.spent for child in children), spent)
        accuracies.append(tuple(child.validation_accuracy for child in children))
        lines = [(*line, policy) for line, policy in zip(lines, policies)]
        weights = [child.weights for child in children]
        ranked = sorted(range(population), key=lambda member: -accuracies[-1][member])
        if progress is not None:
            progress(part, accuracies[-1])
        quarter = max(1, population // 4)
        for poor in ranked[-quarter:]:
            good = ranked[int(torch.randint(quarter, (1,), generator=generator))]
            weights[poor], lines[poor] = weights[good], lines[good]
            policies[poor] = explored(space, policies[good], generator)
    return PopulationResult(PolicySchedule(lines[ranked[0]]), accuracies[-1][ranked[0]], tuple(accuracies), spent)


def explored(space: SearchSpace, policy: Policy, generator: torch.Generator) -> Policy:
    """Return a policy near another: some genes are drawn anew, the other probabilities and magnitudes move a little.

    Each gene is drawn anew with probability 0.2. Otherwise an operation stays, and a probability or a magnitude moves
    by 0 to 3 values up or down, within the space.

    Raises:
        TypeError: the space, the policy or the generator is of another type.
        ValueError: the policy is not in this space.
    """
    need_generator(generator)
    need_space(space)
    genes = list(space.genes(policy))
    for place, gene in enumerate(genes):
        choices = space.choices[place % len(space.choices)]
        anew = int(torch.randint(choices, (1,), generator=generator))
        move = int(torch.randint(FARTHEST + 1, (1,), generator=generator))
        up, is_anew = torch.rand(2, generator=generator) < torch.tensor([0.5, RESAMPLED])
        if is_anew:
            genes[place] = anew
        elif place % 3:  # not operations, which have no neighbours
            genes[place] = min(max(gene + (move if up else -move), 0), choices - 1)
    return space.policy(genes)
