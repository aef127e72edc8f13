"""Methods that ask and are told: random search, evolution and forward selection, on rewards that are known."""

import re
from collections import Counter

import pytest
import tiny_children as tiny
import torch

from mini_lib.augment import Policy, Step, SubPolicy
from mini_lib.augment.operations import invert, rotate, shear_x
from mini_lib.augment.search import Evolution, ForwardSelection, RandomSearch, SearchSpace

SPACE = tiny.SPACE


def says(message: str) -> str:
    return f"^{re.escape(message)}"


METHODS = {
    "random": lambda seed: RandomSearch(SPACE, seed=seed, sub_policies=2),
    "evolution": tiny.evolution,
    "forward": lambda seed: ForwardSelection(SPACE, seed=seed, sub_policies=2),
}


def play(method, trials, together=1):
    """Ask, reward and tell; the policies in order."""
    asked = []
    while len(asked) < trials and (policies := method.ask(min(together, trials - len(asked)))):
        method.tell(policies, [tiny.worth(policy) for policy in policies])
        asked += policies
    return asked


@pytest.mark.parametrize("name", METHODS)
def test_chance_comes_from_the_seed_and_from_nothing_else(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = play(METHODS[name](0), 30, together=3)
    assert torch.equal(before, torch.get_rng_state())
    assert play(METHODS[name](0), 30, together=3) == first
    assert play(METHODS[name](1), 30, together=3) != first


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_only_told_goes_on_as_if_it_had_asked(name):
    whole, told = METHODS[name](0), METHODS[name](0)
    first = play(whole, 9, together=3)
    told.tell(first, [tiny.worth(policy) for policy in first])
    assert play(told, 9, together=3) == play(whole, 9, together=3)


@pytest.mark.parametrize("name", METHODS)
def test_rewards_that_cannot_be(name):
    method = METHODS[name](0)
    policies = method.ask(1)
    with pytest.raises(ValueError, match=says("tell one reward per policy, got 1 policies and 2")):
        method.tell(policies, [0.1, 0.2])
    with pytest.raises(ValueError, match=says("a reward must be a finite number, got nan; find out why the child")):
        method.tell(policies, [float("nan")])
    with pytest.raises(ValueError, match=says("count must be a whole number of 1 or more, got 0; ask for at least")):
        method.ask(0)


# --- the space -----------------------------------------------------------------------------------------------------


def test_a_neighbour_differs_in_one_gene_and_every_gene_can_change():
    chance = torch.Generator().manual_seed(0)
    policy = SPACE.random_policy(2, chance)
    changed = Counter()
    for _ in range(300):
        other = SPACE.neighbour(policy, chance)
        [place] = [i for i, (a, b) in enumerate(zip(SPACE.genes(policy), SPACE.genes(other))) if a != b]
        changed[place, SPACE.genes(other)[place]] += 1
    # 12 genes: 3, 1 and 2 other values in turn. The rarest has 300 / 12 / 3 = 8.3 draws: e**-8.3 that it has none, and
    # there are 4 * 3 of those: 0.003 in all, for other seeds.
    assert len(changed) == 4 * (3 + 1 + 2)


def test_a_space_of_one_policy_has_no_neighbours():
    space = SearchSpace((rotate,), (0.5,), (3,), steps=1)
    policy = space.random_policy(1, torch.Generator())
    with pytest.raises(ValueError, match=says("a space with one value for each gene has no neighbours; give it more")):
        space.neighbour(policy, torch.Generator())


# --- random search -------------------------------------------------------------------------------------------------


def test_random_policies_do_not_depend_on_rewards_and_all_values_come_up():
    method = METHODS["random"](0)
    told = play(method, 60)
    assert told == METHODS["random"](0).ask(60)
    genes = torch.tensor([SPACE.genes(policy) for policy in told])
    assert [len(genes[:, place].unique()) for place in range(12)] == list(SPACE.choices) * 2
    assert all(len(policy.sub_policies) == 2 for policy in told)


# --- evolution -----------------------------------------------------------------------------------------------------


def different_genes(one, other):
    return sum(a != b for a, b in zip(SPACE.genes(one), SPACE.genes(other)))


def test_the_first_of_evolution_are_those_of_random_search():
    assert play(tiny.evolution(), 6) == METHODS["random"](0).ask(6)


def test_a_child_comes_from_the_best_of_those_drawn_among_the_newest():
    """With all of the population drawn, the parent is known: the best of the newest six."""
    method = Evolution(SPACE, seed=0, sub_policies=2, population=6, sample=6)
    asked = []
    for number in range(40):
        [policy] = method.ask(1)
        if number >= 6:
            highest = max(reward for _, reward in asked[-6:])
            parents = [one for one, reward in asked[-6:] if reward == highest]  # of equal ones, any
            assert 1 in [different_genes(policy, parent) for parent in parents]
        method.tell([policy], [tiny.worth(policy)])
        asked.append((policy, tiny.worth(policy)))


def test_the_best_is_forgotten_when_it_is_old():
    method = Evolution(SPACE, seed=0, sub_policies=1, population=3, sample=3)
    first, *others = method.ask(4)
    method.tell([first], [1.0])
    method.tell(others, [0.1, 0.5, 0.2])
    [child] = method.ask(1)
    assert different_genes(child, others[1]) == 1


def test_evolution_beats_random_search_where_rewards_add_up():
    """A random step is worth 0, .1 or .2: (.1 + .2) / 4 = .075, with a variance of .05 / 4 - .075**2 = .0069. The mean
    over 3 * 40 policies of four steps is .3, with a standard error of sqrt(4 * .0069 / 120) = .015: .45 is ten of them.
    """
    means = [
        sum(tiny.worth(policy) for seed in range(3) for policy in play(METHODS[name](seed), 80)[40:]) / 120
        for name in ("random", "evolution")
    ]
    assert abs(means[0] - 0.3) < 0.06 and means[1] > 0.45


def test_a_sample_larger_than_the_population_is_refused():
    with pytest.raises(ValueError, match=says("sample must be a whole number from 1 to 4, got 5; a quarter of the")):
        Evolution(SPACE, seed=0, population=4, sample=5)


# --- forward selection ---------------------------------------------------------------------------------------------


def names(policy):
    return [[step.operation.name for step in one.steps] for one in policy.sub_policies]


def test_forward_selection_by_hand():
    """Each round adds to the newest sub-policy what is worth most, invert. After two full ones it is finished."""
    method = ForwardSelection(SPACE, seed=0, sub_policies=2, draws=1)
    asked = play(method, 1000, together=4)
    assert names(asked[0]) == [["identity"]]
    rounds = [asked[first : first + 4] for first in range(1, len(asked), 4)]
    kept = ["invert"]
    assert [[names(policy) for policy in one] for one in rounds] == [
        [[[name]] for name in ("rotate", "shear_x", "invert", "identity")],
        [[[*kept, name]] for name in ("rotate", "shear_x", "invert", "identity")],
        [[kept * 2, [name]] for name in ("rotate", "shear_x", "invert", "identity")],
        [[kept * 2, [*kept, name]] for name in ("rotate", "shear_x", "invert", "identity")],
    ]
    assert method.ask(5) == []


def test_a_sub_policy_that_gains_no_more_is_left_and_the_search_ends_when_a_new_one_does_not_help_either():
    method = ForwardSelection(SPACE, seed=0, draws=1)
    asked = []
    while policies := method.ask(100):
        method.tell(policies, [float("invert" in names(policy)[0]) for policy in policies])
        asked.append([names(policy) for policy in policies])
    assert [len(one) for one in asked] == [1, 4, 4, 4]
    assert asked[2][0] == [["invert", "rotate"]] and asked[3][0] == [["invert"], ["rotate"]]


def test_where_nothing_helps_the_search_ends_after_one_round():
    method = ForwardSelection(SPACE, seed=0)
    count = 0
    while policies := method.ask(7):
        method.tell(policies, [0.5] * len(policies))
        count += len(policies)
    # Nothing, then three of the six steps that turn or shear; what has no strength differs in its probability alone.
    assert count == 1 + 3 + 3 + 2 + 2


def test_draws_differ_in_what_they_do():
    method = ForwardSelection(SPACE, seed=0, draws=6)
    method.tell(method.ask(1), [0.0])
    steps = [policy.sub_policies[0].steps[0] for policy in method.ask(100)]
    assert Counter(step.operation.name for step in steps) == {"rotate": 6, "shear_x": 6, "invert": 2, "identity": 2}
    assert len(set(steps)) == len(steps)
    assert {(step.probability, step.magnitude) for step in steps if step.operation is shear_x} == {
        (probability, magnitude) for probability in (0.5, 1.0) for magnitude in (0, 3, 9)
    }


def test_forward_selection_waits_for_its_rewards_in_order():
    method = ForwardSelection(SPACE, seed=0)
    method.ask(1)
    with pytest.raises(
        ValueError, match=says("round 0 waits for 1 rewards of policies that were asked for; tell them")
    ):
        method.ask(1)
    other = Policy([SubPolicy(Step(invert, probability=0.5))])
    with pytest.raises(ValueError, match=says("round 0 did not ask for this policy next; tell in the order of asking")):
        method.tell([other], [0.5])
