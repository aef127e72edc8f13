"""The searches: they repeat by seed, return nothing illegal, and evolution never loses what it has found."""

import random

import numpy as np
import pytest
from mixing import as_integers, run_mixed
from search_comparison import SearchComparison, compare_searches

from mini_lib.loops import conv2d, gauss_seidel, matmul, pointwise_chain, transpose
from mini_lib.loops.codegen.emit import to_c
from mini_lib.loops.legality.violation import IllegalRewrite
from mini_lib.loops.machine.estimate import estimate_time
from mini_lib.loops.machine.model import MachineModel
from mini_lib.loops.meaning.interpret import random_arguments
from mini_lib.loops.search.search import SearchResult, evolutionary_search, random_search
from mini_lib.loops.search.space import Schedule, Space

SMALL = matmul(8, 16, 8, dtype="i32")
SEARCHES = [random_search, evolutionary_search]


def model(nest):
    return estimate_time(nest, MachineModel()).cycles


def loops(nest):
    """A cost that takes no time: few loops, with ties broken by the text."""
    return len(nest.loop_names) + len(str(nest)) / 1e4


@pytest.mark.parametrize("search", SEARCHES)
def test_a_seed_repeats_a_search(search):
    one, two = (search(SMALL, trials=12, seed=3, cost=loops) for _ in range(2))
    assert one == two
    assert one.trials != search(SMALL, trials=12, seed=4, cost=loops).trials


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("kernel", [SMALL, conv2d(4, 2, 4, 8, dtype="i32"), as_integers(gauss_seidel(9, 9), "i32")])
def test_whatever_is_tried_calculates_the_same(search, kernel):
    arrays = random_arguments(kernel, 0)
    expected = run_mixed(kernel, **arrays)
    for trial in search(kernel, trials=8, seed=1, cost=loops).trials:
        found = run_mixed(trial.nest, **arrays)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=str(trial.nest))


def test_the_history_is_the_best_so_far_and_nothing_is_tried_twice():
    found = random_search(SMALL, trials=15, seed=0, cost=loops)
    costs = [trial.cost for trial in found.trials]
    assert list(found.history) == [min(costs[: at + 1]) for at in range(15)]
    assert found.best.cost == min(costs)
    assert len({trial.nest for trial in found.trials}) == 15


def test_evolution_starts_with_the_same_draws_and_never_gets_worse_than_its_first_generation():
    for seed in range(4):
        chance = random_search(SMALL, trials=8, seed=seed, cost=loops)
        evolved = evolutionary_search(SMALL, trials=20, seed=seed, cost=loops, population=8)
        assert evolved.trials[:8] == chance.trials
        assert evolved.history[-1] <= evolved.history[7] == chance.history[-1]


def test_evolution_climbs_where_choices_add_up():
    """A cost that is a sum over single choices is what crossover and mutation are made for."""
    kernel = matmul(16, 16, 16)
    space = Space(kernel)

    def wanted(nest):
        text = str(nest)
        return 10.0 - 3 * ("vectorized" in text) - 3 * ("unrolled" in text) - 3 * ("register" in text)

    results = [evolutionary_search(kernel, space, trials=40, seed=s, cost=wanted) for s in range(3)]
    assert all(result.history[-1] <= 4.0 for result in results)


def test_refusals_are_counted():
    found = random_search(gauss_seidel(9, 9), trials=4, seed=0, cost=loops)
    assert found.refused > 0  # most orders of it are illegal


def test_an_illegal_schedule_is_refused_with_its_reason():
    space = Space(gauss_seidel(8, 9))
    swapped = Schedule(vector=None, tiles=(("i", 1), ("j", 1)), order=(("i", (0.9, 0.9)), ("j", (0.1, 0.1))))
    with pytest.raises(IllegalRewrite):
        space.apply(swapped)


def test_a_schedule_by_hand_is_the_nest_that_it_says():
    space = Space(matmul(16, 16, 16))
    schedule = Schedule(
        vector=("n", 8),
        tiles=(("m", 4), ("n", 1), ("k", 1)),
        order=(("m", (0.1, 0.9)), ("n", (0.2, 0.2)), ("k", (0.5, 0.5))),
        unrolled=1,
        registers=1,
    )
    by_hand = (
        matmul(16, 16, 16)
        .split("n", 8)
        .split("m", 4)
        .reorder("m.o n.o k m.i n.i")
        .vectorize("n.i")
        .unroll("m.i")
        .cache_write("C", at="n.o", scope="register")
    )
    made = space.apply(schedule)
    assert made.body == by_hand.body and made.buffers == by_hand.buffers


def test_registers_under_a_loop_that_goes_round_are_refused():
    space = Space(matmul(16, 16, 16))
    schedule = Schedule(
        vector=None,
        tiles=(("m", 1), ("n", 1), ("k", 1)),
        order=(("m", (0.1, 0.1)), ("n", (0.9, 0.9)), ("k", (0.5, 0.5))),
        registers=1,
    )
    with pytest.raises(ValueError, match="registers have no addresses, and n runs over them"):
        space.apply(schedule)


def test_every_schedule_of_the_space_can_be_written_in_c():
    space, rng, written = Space(matmul(32, 32, 32)), random.Random(7), 0
    while written < 30:
        try:
            nest = space.apply(space.draw(rng))
        except ValueError:
            continue
        assert "void matmul" in to_c(nest)
        written += 1


def test_children_take_every_choice_from_a_parent():
    space, rng = Space(matmul(32, 32, 32)), random.Random(0)
    for _ in range(20):
        one, two = space.draw(rng), space.draw(rng)
        child = space.cross(one, two, rng)
        assert child.vector in (one.vector, two.vector)
        for at, tile in enumerate(child.tiles):
            assert tile in (one.tiles[at], two.tiles[at])
        assert space.mutate(child, rng, 1.0) != child


def test_the_clock_decides_among_the_finalists_only():
    measured = []

    def clock(nest):
        measured.append(nest)
        return -float(len(measured))  # the last one measured is the fastest

    found = random_search(SMALL, trials=10, seed=0, cost=loops, measure=clock, finalists=3)
    assert len(measured) == len(found.measured) == 3
    assert found.best.nest == measured[-1]
    assert max(loops(nest) for nest in measured) <= sorted(t.cost for t in found.trials)[2]
    assert [one.seconds for one in found.measured] == [-3, -2, -1]


def test_progress_counts_every_trial():
    seen = []
    random_search(SMALL, trials=5, cost=loops, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_the_comparison_gives_both_the_same_budget_and_the_same_start():
    seen = []
    result = compare_searches(
        SMALL, trials=12, seeds=(0, 1), cost=loops, progress=lambda done, of: seen.append((done, of))
    )
    assert result.random.shape == result.evolutionary.shape == (2, 12)
    np.testing.assert_array_equal(result.random[:, :8], result.evolutionary[:, :8])
    assert seen == [(n, 48) for n in range(1, 49)]
    np.testing.assert_allclose(result.gain, result.random[:, -1] / result.evolutionary[:, -1])


def test_the_model_guides_to_something_better_than_the_plain_nest():
    kernel = matmul(32, 32, 32)
    found = evolutionary_search(kernel, trials=16, seed=0, cost=model)
    assert found.best.cost < model(kernel)


def test_a_space_that_is_small_ends_the_search():
    tiny = Space(transpose(2, 3), tile_sizes=(1,), lanes=(2,))
    found = random_search(transpose(2, 3), tiny, trials=500, cost=loops)
    assert 0 < len(found.trials) < 500


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: random_search(SMALL, trials=0), "trials must be a whole number of 1 or more, got 0"),
        (
            lambda: random_search(SMALL, trials=1, cost=loops, finalists=0),
            "finalists must be a whole number of 1 or more",
        ),
        (lambda: evolutionary_search(SMALL, elite=1), "elite must be a whole number from 2 to 8, got 1"),
        (lambda: evolutionary_search(SMALL, mutation=0), r"mutation must lie in \(0, 1\], got 0; use 0.3"),
        (lambda: compare_searches(SMALL, seeds=()), "seeds must have at least one"),
        (lambda: Space(pointwise_chain(8)), "loops directly nested around one statement"),
    ],
)
def test_what_cannot_be_searched_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_results_are_plain_values():
    assert SearchResult((), 0).measured == ()
    gain = SearchComparison(np.array([[4.0, 2.0]]), np.array([[4.0, 1.0]])).gain
    np.testing.assert_array_equal(gain, [2.0])
