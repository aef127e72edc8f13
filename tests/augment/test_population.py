"""Population-based augmentation: whose weights go on, with which policies they were trained, what exploring does."""

import math

import pytest
import torch
from torch import nn

from mini_lib.augment.operations import identity, invert, rotate, shear_x
from mini_lib.augment.search import population
from mini_lib.augment.search.children import Child, ChildRecipe
from mini_lib.augment.search.population import explored, population_based
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
from mini_lib.data import PIXEL_MEAN, PIXEL_STD, Split

SPACE = SearchSpace(
    (identity, invert, rotate, shear_x), probabilities=(0.0, 0.25, 0.5, 0.75, 1.0), magnitudes=range(10)
)
RECIPE = ChildRecipe(steps=2, batch_size=4)
NOTHING = Split(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))


def worth(policy) -> float:
    """What a part of training with this policy adds to a made-up net's skill: its mean share of all genes' heights."""
    genes = SPACE.genes(policy)
    return sum(gene / (SPACE.choices[place % 6] - 1) for place, gene in enumerate(genes)) / len(genes)


def skilled(skill: float) -> Child:
    net = nn.Module()
    net.weight = nn.Parameter(torch.tensor(skill, dtype=torch.float64))
    return Child(net, skill, RECIPE.steps, Spent(RECIPE.steps * RECIPE.batch_size, 4))


def train_skills(build, augments, train, validation, recipe, seeds, *, start=None):
    """A stand-in for `train_children`: a net is its skill, and a policy adds to it what it is worth."""
    before = [0.0] * len(augments) if start is None else [float(weights["weight"]) for weights in start]
    return [skilled(skill + worth(policy)) for skill, policy in zip(before, augments)]


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(population, "train_children", train_skills)

    def run(seed=0, **settings):
        settings = dict(parts=6, population=8, sub_policies=2) | settings
        return population_based(
            lambda seed: None, SPACE, NOTHING, NOTHING, RECIPE, seed=seed, wrap=lambda policy: policy, **settings
        )

    return run


@pytest.mark.parametrize("seed", range(5))
def test_the_schedule_is_that_of_the_weights_that_won(made_up, seed):
    """The skill of the best is the sum of what its policies are worth, through every copy: within roundings."""
    result = made_up(seed)
    assert result.accuracy == max(result.accuracies[-1])
    assert result.accuracy == pytest.approx(sum(map(worth, result.schedule.policies)), rel=1e-12)
    assert len(result.schedule.policies) == 6


def test_the_poor_copy_the_good_and_the_others_go_on(made_up, monkeypatch):
    """Of eight, the worst two take over the weights of the best two; the other six keep weights and policy."""
    trained = []

    def noted(build, augments, *rest, **start):
        trained.append(augments)
        return train_skills(build, augments, *rest, **start)

    monkeypatch.setattr(population, "train_children", noted)
    first, second, *_ = made_up().accuracies
    begun = [skill - worth(policy) for skill, policy in zip(second, trained[1])]
    best, runner_up, *others, worse, worst = sorted(range(8), key=lambda member: -first[member])
    for member in (best, runner_up, *others):
        assert begun[member] == pytest.approx(first[member], rel=1e-12)
        assert trained[1][member] == trained[0][member]
    for member in (worse, worst):
        assert min(abs(begun[member] - first[good]) for good in (best, runner_up)) < 1e-12
        assert trained[1][member] not in trained[0]


def test_a_population_beats_as_many_nets_that_never_copy(made_up):
    """Without copying, a member's skill is six times its first: on every seed the population ends above that."""
    for seed in range(5):
        result = made_up(seed)
        assert result.accuracy >= 6 * max(result.accuracies[0]) - 1e-12


def test_what_it_costs_does_not_depend_on_who_copies(made_up):
    assert made_up().spent == Spent(8 * 6 * 2 * 4, 8 * 6 * 4)


def test_the_same_seed_gives_the_same_schedule_and_leaves_the_global_state(made_up):
    before = torch.get_rng_state()
    parts = []
    first = made_up(3, progress=lambda part, accuracies: parts.append((part, accuracies)))
    assert torch.equal(torch.get_rng_state(), before)
    assert parts == list(enumerate(first.accuracies, start=1))
    assert made_up(3).schedule == first.schedule
    assert made_up(4).schedule != first.schedule


def test_exploring_draws_anew_or_moves_a_little():
    """From gene 0 of 4 operations, 2 of 5 probabilities, 5 of 10 magnitudes, 2,000 times for each of the two steps.

    An operation stays with 0.8 + 0.2 / 4 = 0.85, a probability does with 0.8 / 4 + 0.2 / 5 = 0.24, and a magnitude with
    0.8 / 4 + 0.2 / 10 = 0.22. No move of a magnitude by 3 ends at 0: it is 0 with 0.2 / 10 = 0.02.
    Five standard deviations of 4,000 draws are at most 5 * sqrt(0.25 / 4000) = 0.04, and of a share of 0.02 0.011."""
    policy = SPACE.policy((0, 2, 5) * 2)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([SPACE.genes(explored(SPACE, policy, generator)) for _ in range(2000)]).reshape(-1, 3)
    share = lambda kind, value: (drawn[:, kind] == value).double().mean().item()  # noqa: E731
    assert abs(share(0, 0) - 0.85) < 0.04
    assert abs(share(1, 2) - 0.24) < 0.04
    # One up, or one of the moves by two and three, which both end at the highest value: 0.8 * (1/8, 2/8), and 0.04.
    assert abs(share(1, 3) - 0.14) < 0.04 and abs(share(1, 4) - 0.24) < 0.04 and abs(share(1, 0) - 0.24) < 0.04
    assert abs(share(2, 5) - 0.22) < 0.04 and abs(share(2, 8) - 0.12) < 0.04
    assert abs(share(2, 0) - 0.02) < 5 * math.sqrt(0.02 / 4000)


def test_real_nets_learn_through_the_parts():
    """Black pictures are class 0, white ones class 1, and the nets begin with zeros."""
    labels = torch.arange(32) % 2
    pixels = labels.float()[:, None, None, None].expand(32, 1, 4, 4)
    split = Split(((pixels - PIXEL_MEAN) / PIXEL_STD).contiguous(), labels)
    space = SearchSpace((identity, shear_x), probabilities=(0.5, 1.0), magnitudes=(1, 5))

    def build(seed):
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
        nn.init.zeros_(net[1].weight)
        nn.init.zeros_(net[1].bias)
        return net

    recipe = ChildRecipe(steps=5, batch_size=8, learning_rate=0.1)
    result = population_based(build, space, split, split, recipe, seed=0, parts=2, population=4, sub_policies=1)
    assert result.accuracy == 1
    assert result.spent == Spent(4 * 2 * 5 * 8, 4 * 2 * 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(parts=0), "parts must be a whole number of 1 or more, got 0; a schedule has one policy per part"),
        (dict(population=1), "population must be a whole number of 2 or more, got 1; the paper has 16"),
        (dict(sub_policies=0), "sub_policies must be a whole number from 1 to 16384, got 0"),
        (dict(seed=-1), "seed must be a whole number of 0 or more, got -1"),
    ],
)
def test_bad_input_is_refused(made_up, settings, message):
    with pytest.raises(ValueError, match=message):
        made_up(**settings)


def test_a_recipe_that_halves_is_refused():
    with pytest.raises(ValueError, match=r"the recipe halves at \(1,\), but a population keeps all members; leave it"):
        population_based(lambda seed: None, SPACE, NOTHING, NOTHING, ChildRecipe(steps=2, halve_at=(1,)), seed=0)
