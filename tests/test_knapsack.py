"""One option per layer under one budget: against all choices, a table of all budgets, and each other."""

import itertools
import re
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from mini_lib.knapsack import Option, evolutionary, exact, greedy, need_affordable

option = st.builds(
    Option, st.just(1), st.integers(0, 10) | st.integers(0, 10**9), st.one_of(st.floats(0, 1), st.integers(0, 3))
)
some_layers = st.lists(st.lists(option, min_size=1, max_size=4), min_size=1, max_size=4)


def few(options, budget):
    """`evolutionary` with a small population: as affordable, if not as good."""
    return evolutionary(options, budget, population=4, generations=3)


def named(layers) -> dict[str, list[Option]]:
    return {str(number): choices for number, choices in enumerate(layers)}


def cost(taken) -> int:
    return sum(option.cost for option in taken)


def error(taken) -> float:
    return sum(option.error for option in taken)


def least_error(layers, budget) -> float:
    """The truth: of all choices, the best that is affordable."""
    return min(error(taken) for taken in itertools.product(*layers) if cost(taken) <= budget)


def random_layers(seed: int, layers: int, options: int, dearest: int = 12) -> list[list[Option]]:
    """Costs and errors at random, so that some options are worse than others and many are not on any hull."""
    random = Random(seed)
    return [
        [Option(place, random.randint(0, dearest), random.randint(0, 100) / 16) for place in range(options)]
        for _ in range(layers)
    ]


def random_budget(seed: int, layers) -> int:
    least, most = (sum(end(o.cost for o in choices) for choices in layers) for end in (min, max))
    return Random(seed).randint(least, most)


# --- what holds for all of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("choose", [exact, greedy, few])
@given(layers=some_layers, draw=st.data())
@settings(max_examples=80, deadline=None)
def test_a_choice_takes_one_option_of_each_layer_and_stays_in_the_budget(choose, layers, draw):
    options, costs = named(layers), [cost(taken) for taken in itertools.product(*layers)]
    # a budget that some choice meets exactly is the one that a solver's tolerance would overspend
    budget = max(min(costs), draw.draw(st.sampled_from(costs)) - draw.draw(st.integers(0, 1)))
    chosen = choose(options, budget)
    assert list(chosen) == list(options)
    assert all(any(choice is o for o in options[name]) for name, choice in chosen.items())
    assert cost(chosen.values()) <= budget
    best = least_error(layers, budget)
    largest = max((o.error for choices in layers for o in choices), default=0)
    # milp stops within 1e-6 of the best, on a scale where the largest error is 1e4; the sums are rounded
    tolerance = (1e-10 + 1e-15) * largest
    assert error(chosen.values()) >= best - tolerance
    if choose is exact:
        assert error(chosen.values()) <= best + tolerance


@pytest.mark.parametrize("choose", [exact, greedy, evolutionary])
def test_a_budget_that_cannot_be_met_says_what_can(choose):
    with pytest.raises(ValueError, match=r"budget of 2 cannot be met: .*still 3; give 3 or more"):
        choose({"a": [Option(1, 3, 0.0)]}, 2)
    assert [choice.value for choice in choose({"a": [Option(1, 3, 0.0)]}, 3).values()] == [1]
    with pytest.raises(ValueError, match="holds no layer"):
        choose({}, 5)
    with pytest.raises(ValueError, match="layer 'a' has no option; give at least"):
        choose({"a": []}, 5)
    assert [choice.value for choice in choose({"a": [Option(1, np.int64(3), 0.0)]}, np.int64(3)).values()] == [1]
    for wrong in (3.0, True, np.float64(3)):
        with pytest.raises(TypeError, match=rf"budget must be a whole number, got {re.escape(repr(wrong))}; round it"):
            choose({"a": [Option(1, 3, 0.0)]}, wrong)


def test_a_budget_is_named_as_the_caller_says():
    need_affordable(1_000, 1_000, "budget_macs")
    with pytest.raises(ValueError, match=r"budget_macs of 999 cannot be met: .*still 1,000; give 1,000 or more"):
        need_affordable(1_000, 999, "budget_macs")


def test_bad_options_say_why():
    for wrong, refusal in ((-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(refusal, match=rf"cost must be a whole number of 0 or more, got {wrong}; give MACs"):
            Option(1, wrong, 0.0)
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"error must be a finite number of 0 or more, got {wrong}"):
            Option(1, 1, wrong)


# --- exact ---------------------------------------------------------------------------------------------------------


def test_one_too_dear_is_too_dear():
    # 12,620,826 + 85,446,845 + 62,714,058 is the budget and 1, less than a solver's tolerance can tell. (Once the dear
    # choice is forbidden, the presolve of HiGHS calls the rest infeasible.)
    options = {
        "a": [Option(1, 12_620_826, 0.9), Option(2, 51_512_089, 0.8)],
        "b": [Option(1, 54_809_654, 0.5), Option(2, 85_446_845, 0.2)],
        "c": [Option(1, 41_292_913, 0.9), Option(2, 62_714_058, 0.5)],
    }
    # left: 1 1 2 and 1 2 1, with errors of 1.9 and 2.0, and those with the second of a, which cost more than they gain
    assert [choice.value for choice in exact(options, 160_781_728).values()] == [1, 1, 2]
    assert [choice.value for choice in exact(options, 160_781_729).values()] == [1, 2, 2]


@pytest.mark.parametrize("seed", range(10))
def test_many_layers_against_a_table_of_all_budgets(seed):
    """Dynamic programming: the least error of the layers so far at each whole budget."""
    layers = random_layers(seed, layers=12, options=6)
    budget = random_budget(seed, layers)
    table = np.zeros(budget + 1)
    for choices in layers:
        shifted = [np.full(budget + 1, np.inf) for _ in choices]
        for row, one in zip(shifted, choices, strict=True):
            row[one.cost :] = table[: max(budget + 1 - one.cost, 0)] + one.error
        table = np.min(shifted, axis=0)
    # errors are sixteenths, so sums are exact; the solver is within 1e-10 of the largest error, far less than one
    assert error(exact(named(layers), budget).values()) == table[budget]


# --- greedy --------------------------------------------------------------------------------------------------------


def by_hand(layers) -> dict[str, list[Option]]:
    return {
        name: [Option(place, *cost_and_error) for place, cost_and_error in enumerate(choices)]
        for name, choices in layers.items()
    }


def test_greedy_steps_by_hand():
    # a saves 6 for 2, then 2 for 2; b saves 8 for 4: per unit 3, 1 and 2. (1, 11) of b is above its hull.
    options = by_hand({"a": [(1, 9), (3, 3), (5, 1)], "b": [(0, 12), (1, 11), (4, 4)]})
    taken = [[choice.value for choice in greedy(options, budget).values()] for budget in range(1, 10)]
    assert taken == [[0, 0], [0, 0], [1, 0], [1, 0], [2, 0], [2, 0], [1, 2], [1, 2], [2, 2]]


def test_greedy_loses_where_a_good_step_blocks_a_better_one():
    # a saves 1 for 1, b only 9 for 10; but of a budget of 10 the first step leaves too little for the second
    options = by_hand({"a": [(0, 1), (1, 0)], "b": [(0, 9), (10, 0)]})
    assert error(greedy(options, 10).values()) == 9
    assert error(exact(options, 10).values()) == 1
    # and it never looks above the hull: the option in the middle is all that the budget buys
    options = by_hand({"a": [(0, 9), (2, 8), (10, 0)]})
    assert error(greedy(options, 9).values()) == 9
    assert error(exact(options, 9).values()) == 8


# cost, gain and layer of each step; no two gain as much per cost, so there is one order
some_steps = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(0, 3)),
    max_size=9,
    unique_by=lambda step: Fraction(step[1], step[0]),
)


@given(some_steps, st.data())
@settings(max_examples=80, deadline=None)
def test_greedy_is_exact_where_gains_fall_and_its_steps_spend_the_budget(steps, draw):
    steps = sorted(steps, key=lambda step: Fraction(step[1], step[0]), reverse=True)
    layers = []
    for layer in range(4):
        choices = [Option(0, 0, sum(step[1] for step in steps if step[2] == layer))]
        for more, gain in (step[:2] for step in steps if step[2] == layer):
            choices.append(Option(len(choices), choices[-1].cost + more, choices[-1].error - gain))
        layers.append(choices)
    budget = sum(step[0] for step in steps[: draw.draw(st.integers(0, len(steps)))])
    taken = greedy(named(layers), budget).values()
    assert cost(taken) == budget and error(taken) == least_error(layers, budget)


@pytest.mark.parametrize("seed", range(20))
def test_greedy_is_near_the_fractional_optimum(seed):
    """The linear program, in which a layer may be mixed of options, is below every choice; greedy is one step above."""
    layers = random_layers(seed, layers=6, options=5)
    budget = random_budget(seed, layers)
    flat = [o for choices in layers for o in choices]
    one_each = np.zeros((len(layers), len(flat)))
    one_each[np.repeat(np.arange(len(layers)), 5), np.arange(len(flat))] = 1
    fractional = linprog(
        [o.error for o in flat], [[o.cost for o in flat]], [budget], one_each, np.ones(len(layers)), (0, 1)
    ).fun
    found, best = (error(choose(named(layers), budget).values()) for choose in (greedy, exact))
    step = max(max(o.error for o in choices) - min(o.error for o in choices) for choices in layers)
    # HiGHS is within 1e-7
    assert fractional - 1e-6 <= best <= found < fractional + step + 1e-6


def test_costs_that_differ_by_one_in_a_hundred_million():
    """HiGHS' presolve calls this one infeasible; exact asks again without it. The optimum is counted out."""
    big = 10**8
    layers = [
        [(1, 9.0), (big + 1, 7.0)],
        [(2, 5.0), (3, 1.0), (3, 6.0), (big, 5.0)],
        [(2, 7.0), (big + 3, 2.0)],
        [(big, 6.0), (1, 7.0), (0, 7.0)],
        [(1, 9.0), (big + 3, 7.0), (2, 9.0), (0, 8.0)],
        [(1, 7.0), (1, 3.0)],
    ]
    layers = [[Option(value, *one) for value, one in enumerate(choices)] for choices in layers]
    budget = 3 * big + 6
    found = exact(named(layers), budget).values()
    assert cost(found) <= budget and error(found) == least_error(layers, budget)


def test_the_unit_of_the_costs_does_not_matter():
    """A budget above 10^7 is scaled for the solver: a million times the costs is the same problem."""
    layers = random_layers(3, layers=12, options=4)
    budget = random_budget(3, layers)
    large = [[Option(one.value, 10**6 * one.cost, one.error) for one in choices] for choices in layers]
    small, scaled = exact(named(layers), budget), exact(named(large), 10**6 * budget)
    assert [one.value for one in small.values()] == [one.value for one in scaled.values()]


# --- evolutionary --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_evolution_finds_the_optimum_of_few_layers(seed):
    layers = random_layers(seed, layers=4, options=4)
    budget = random_budget(seed, layers)
    assert error(evolutionary(named(layers), budget).values()) == least_error(layers, budget)


def test_evolution_beats_the_exact_sum_where_layers_harm_each_other():
    # Alone, 2 bits harm the last layer most and then the first, so the sum spends the budget there. But 2 bits twice in
    # a row are ruin.
    bits = [Option(2, 2, 1.0), Option(4, 4, 0.5), Option(8, 8, 0.25)]
    first, last = [Option(2, 2, 1.5), *bits[1:]], [Option(2, 2, 9.0), Option(8, 8, 0.0)]
    options = {"first": first, "second": bits, "third": bits, "last": last}
    order = list(options)

    def harm(choice):
        twice = sum(choice[a].value == choice[b].value == 2 for a, b in itertools.pairwise(order))
        return error(choice.values()) + 20 * twice

    budget = 16
    best = min(
        harm(dict(zip(order, taken, strict=True)))
        for taken in itertools.product(*options.values())
        if cost(taken) <= budget
    )
    additive, evolved = exact(options, budget), evolutionary(options, budget, error_of=harm)
    assert harm(evolved) == best < harm(additive)
    assert error(additive.values()) < error(evolved.values())  # by the sum alone, the other one looks better


def test_the_same_seed_repeats_and_no_choice_is_measured_twice():
    options, seen = named(random_layers(0, layers=10, options=6)), []

    def measured(choice):
        assert list(choice) == list(options)
        seen.append(tuple(one.value for one in choice.values()))
        return error(choice.values())

    found, asked = [], []
    for seed in (7, 7, 8):
        found.append(evolutionary(options, 60, error_of=measured, seed=seed, population=10, generations=3))
        asked.append(tuple(seen))
        assert len(set(seen)) == len(seen) <= 10 + 3 * 10
        seen.clear()
    assert found[0] == found[1] != found[2]  # too few generations to end at one optimum
    assert asked[0] == asked[1] != asked[2]


def test_each_generation_is_as_many_children_as_the_population():
    """Of a thousand options each in 30 layers no two choices are alike by chance, so each one is measured once."""
    options = {str(layer): [Option(k, 1, float(k)) for k in range(1000)] for layer in range(30)}
    for population, generations in ((2, 0), (6, 1), (8, 3)):
        seen = []

        def measured(choice, seen=seen):
            seen.append(tuple(one.value for one in choice.values()))
            return error(choice.values())

        evolutionary(options, 30, error_of=measured, population=population, generations=generations)
        assert len(seen) == population * (1 + generations)


def test_more_generations_can_only_help():
    options = named(random_layers(3, layers=10, options=6))
    errors = [error(evolutionary(options, 50, generations=count).values()) for count in (0, 1, 5, 20, 40)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0]
    assert errors[-1] >= error(exact(options, 50).values())


def test_a_population_of_none():
    options = {"a": [Option(1, 1, 0.0)]}
    with pytest.raises(ValueError, match="population must be a whole number of 2 or more, got 1"):
        evolutionary(options, 1, population=1)
    with pytest.raises(ValueError, match="generations must be a whole number of 0 or more, got -1"):
        evolutionary(options, 1, generations=-1)
    with pytest.raises(TypeError, match="population must be a whole number of 2 or more, got 2.5"):
        evolutionary(options, 1, population=2.5)


@pytest.mark.parametrize("wrong", [float("nan"), None, "1"])
def test_an_error_of_a_whole_choice_is_a_number(wrong):
    layers = {"a": [Option(1, 1, 3.0), Option(2, 4, 1.0)]}
    with pytest.raises((TypeError, ValueError), match=r"^error_of\(choice\) must be a finite number, got"):
        evolutionary(layers, 9, error_of=lambda choice: wrong if choice["a"].value == 1 else 0.5)


@pytest.mark.parametrize("choose", [exact, greedy, evolutionary])
def test_options_may_come_one_by_one(choose):
    assert choose({"a": (option for option in [Option(1, 1, 1.0), Option(2, 2, 0.5)])}, 3)["a"].value == 2


# --- errors of very different sizes --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_exact_is_the_best_where_an_option_fails_utterly(seed):
    # A layer that breaks at few bits has an error of 10^12 there. Scaled by the largest error, the solver took all
    # choices of the others for equal: seeds 0 to 11 gave up to ten times the least error.
    random = Random(seed)
    layers = [
        [Option(k, random.randint(0, 40), 10 ** random.uniform(-12, 12)) for k in range(4)]
        for _ in range(random.randint(2, 5))
    ]
    budget = random_budget(seed, layers)
    least = least_error(layers, budget)
    found = exact(named(layers), budget).values()
    assert error(found) <= least * (1 + 1e-9)
    assert error(found) <= error(greedy(named(layers), budget).values()) * (1 + 1e-12)


def test_errors_too_large_to_add_up():
    layers = {name: [Option(1, 1, 1.5e308)] for name in "ab"}
    for choose in (exact, greedy, few):
        with pytest.raises(ValueError, match="errors must add up to a finite number; divide them all by the largest"):
            choose(layers, 2)
