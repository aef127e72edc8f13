"""Schedules of density: their first values by hand, and what must hold for all of them."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.prune import cubic, geometric, iterative, one_shot
from mini_lib.prune.schedules import check_falling

shares = st.floats(min_value=1e-4, max_value=1.0)
some_rounds = st.integers(min_value=1, max_value=30)


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_geometric_is_a_power():
    # 0.8, 0.64, 0.512, 0.4096, and half of it again after three more: 0.8^7 = 0.4096 * 0.512
    assert geometric(0.2, rounds=7)[2:] == pytest.approx((0.512, 0.4096, 0.32768, 0.262144, 0.2097152), rel=1e-12)


def test_cubic_is_the_published_formula():
    # s_t = s_f + (s_i - s_f) (1 - t)^3 with s_i = 0.5, s_f = 0.9, at t = 1/4, 2/4, 3/4, 1; density is 1 - s_t
    expected = [1 - (0.9 + (0.5 - 0.9) * (1 - t) ** 3) for t in (0.25, 0.5, 0.75, 1.0)]
    assert cubic(0.1, rounds=4, start=0.5) == pytest.approx(expected, rel=1e-12)
    assert expected[1] == pytest.approx(0.15)  # 0.1 + 0.4 / 8


def test_iterative_falls_by_equal_ratios():
    # From 1 to 1/8 in three rounds is a half each. It is the geometric schedule that ends at a density.
    assert iterative(0.125, rounds=3) == pytest.approx((0.5, 0.25, 0.125), rel=1e-12)
    assert iterative(0.8**5, rounds=5) == pytest.approx(geometric(0.2, rounds=5), rel=1e-12)


@given(shares, some_rounds)
def test_all_end_exactly_at_the_target_and_never_rise(density, rounds):
    for schedule in (one_shot(density), iterative(density, rounds), cubic(density, rounds)):
        assert schedule[-1] == density
        assert check_falling(schedule) == schedule  # each in (0, 1], and none above the one before
    assert len(iterative(density, rounds)) == len(cubic(density, rounds)) == rounds


@given(st.floats(min_value=0.01, max_value=0.9), some_rounds)
def test_geometric_takes_the_same_share_each_time(rate, rounds):
    schedule = (1.0, *geometric(rate, rounds))
    assert len(schedule) == rounds + 1
    for before, after in pairwise(schedule):
        assert (before - after) / before == pytest.approx(rate, rel=1e-9)


@given(st.floats(min_value=0.01, max_value=0.5), st.integers(min_value=2, max_value=30))
def test_cubic_takes_most_at_first(density, rounds):
    schedule = (1.0, *cubic(density, rounds))
    falls = [before - after for before, after in pairwise(schedule)]
    assert all(earlier > later for earlier, later in pairwise(falls))


@pytest.mark.parametrize("rounds", [0, -1, 2.0, True, "3"])
def test_rounds_are_a_whole_number(rounds):
    message = says(f"rounds must be a whole number of 1 or more, got {rounds!r}; one_shot is a single round")
    for schedule in (lambda: geometric(0.2, rounds), lambda: iterative(0.2, rounds), lambda: cubic(0.2, rounds)):
        with pytest.raises(ValueError if type(rounds) is int else TypeError, match=message):
            schedule()


@pytest.mark.parametrize("density", [0, -0.1, 1.5, 20, float("nan"), float("inf")])
def test_a_target_outside_the_range_is_refused(density):
    message = says(f"density must lie in (0, 1], got {density}; 0.2 keeps a fifth of the weights")
    for schedule in (lambda: one_shot(density), lambda: iterative(density, 3), lambda: cubic(density, 3)):
        with pytest.raises(ValueError, match=message):
            schedule()


def test_what_else_is_refused():
    for rate in (0, 1, -0.2, 20):
        with pytest.raises(
            ValueError,
            match=says(f"rate must lie in (0, 1), got {rate}; 0.2 takes a fifth of what remains in each round"),
        ):
            geometric(rate, 3)
    with pytest.raises(
        ValueError, match=says("start must be at least density, got 0.1 below 0.2; pruning only takes away")
    ):
        cubic(0.2, rounds=3, start=0.1)
    with pytest.raises(ValueError, match=says("start must lie in (0, 1], got 2; 0.2 keeps a fifth of the weights")):
        cubic(0.2, rounds=3, start=2)
    with pytest.raises(
        TypeError, match=says("density must be a number in (0, 1], got '0.2'; 0.2 keeps a fifth of the weights")
    ):
        one_shot("0.2")


def test_densities_that_rise_or_are_none_are_refused():
    assert check_falling(iter([0.5, 0.5, 0.2])) == (0.5, 0.5, 0.2)
    with pytest.raises(
        ValueError, match=says("densities must not rise, got 0.5 after 0.2; a pruned weight does not come back")
    ):
        check_falling([0.2, 0.5])
    with pytest.raises(ValueError, match=says("densities hold none; give at least one, such as one_shot(0.2)")):
        check_falling([])
    with pytest.raises(ValueError, match=says("density must lie in (0, 1], got 0; 0.2 keeps a fifth of the weights")):
        check_falling([0.5, 0])
    with pytest.raises(TypeError, match=says("densities must be several, got 0.2; for a single one use one_shot(0.2)")):
        check_falling(0.2)
