"""Whole-number systems against the plainest oracle there is: trying every point of the box."""

from itertools import product

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.legality.feasible import System, _search, extremes, solve, tighten

NAMES = "abcd"


def points(system: System) -> list[dict[str, int]]:
    """Every point of a system, in the order of its variables."""
    box = [range(low, high + 1) for low, high in system.ranges.values()]
    found = (dict(zip(system.ranges, values, strict=True)) for values in product(*box))
    return [point for point in found if system.holds(point)]


@st.composite
def systems(draw) -> System:
    names = NAMES[: draw(st.integers(1, 4))]
    ranges = {}
    for name in names:
        low = draw(st.integers(-4, 4))
        ranges[name] = (low, low + draw(st.integers(-1, 5)))
    counts = st.integers(-5, 5)

    def rows(largest):
        return [
            sum((affine(name) * draw(counts) for name in names), affine(draw(st.integers(-9, 9))))
            for _ in range(draw(st.integers(0, largest)))
        ]

    return System(ranges, tuple(rows(2)), tuple(rows(3)))


@settings(max_examples=300, deadline=None)
@given(systems())
def test_there_is_a_point_exactly_when_trying_them_all_finds_one(system):
    found, all_points = solve(system), points(system)
    assert (found is None) == (not all_points)
    assert found is None or found in all_points


@settings(max_examples=200, deadline=None)
@given(systems())
def test_tightening_loses_no_point(system):
    tight, all_points = tighten(system), points(system)
    assert (points(tight) if tight else []) == all_points
    if tight:
        assert all(
            system.ranges[name][0] <= low <= high <= system.ranges[name][1]
            for name, (low, high) in tight.ranges.items()
        )


@settings(max_examples=150, deadline=None)
@given(systems())
def test_the_smallest_point_is_the_first_in_lexicographic_order(system):
    found = solve(system, smallest=tuple(affine(name) for name in system.ranges))
    assert found == next(iter(points(system)), None)  # they are made in that order


@settings(max_examples=150, deadline=None)
@given(systems(), st.lists(st.integers(-3, 3), min_size=4, max_size=4))
def test_extremes_are_those_of_all_points(system, counts):
    goal = sum((affine(name) * count for name, count in zip(system.ranges, counts, strict=False)), affine(2))
    values = [goal.value(point) for point in points(system)]
    assert extremes(system, goal) == ((min(values), max(values)) if values else None)


@settings(max_examples=150, deadline=None)
@given(systems())
def test_the_search_without_floats_is_exact_too(system):
    found, all_points = _search(system, Affine()), points(system)
    assert (found is None) == (not all_points)
    assert found is None or found in all_points


def test_a_wrong_float_answer_is_noticed(monkeypatch):
    # 6a = 15b + 3 and a from 4: (8, 3) is the first; the corners of the box are none
    system = System({"a": (4, 20), "b": (0, 20)}, equal=(affine("a") * 6 - affine("b") * 15 - 3,))
    assert solve(system) in points(system)

    def nearly(*_, **__):
        return scipy.optimize.OptimizeResult(status=0, x=np.array([5.4, 2.0]))

    monkeypatch.setattr(scipy.optimize, "milp", nearly)
    assert solve(system) in points(system)


def test_a_reused_tile_is_found_without_an_integer_program(monkeypatch):
    """16 o + i = 0 with |i| < 16 has one solution, whatever the size."""
    monkeypatch.setattr(scipy.optimize, "milp", lambda *_, **__: pytest.fail("not needed"))
    box = {"o": (-(10**6), 10**6), "i": (-15, 15)}
    same = affine("o") * 16 + affine("i")
    assert solve(System(box, equal=(same,))) == {"o": 0, "i": 0}
    assert solve(System(box, equal=(same,), at_least=(affine("o") - 1,))) is None


def test_large_numbers_stay_exact():
    """A thin lattice: 4096 x - 4095 y = 1 has the point (1, 1) and then every (4095, 4096) further on."""
    box = {"x": (2, 5000), "y": (2, 5000)}
    line = affine("x") * 4096 - affine("y") * 4095 - 1
    assert solve(System(box, equal=(line,))) == {"x": 4096, "y": 4097}
    assert solve(System({"x": (2, 4095), "y": (2, 4096)}, equal=(line,))) is None


def test_a_system_without_variables():
    assert solve(System({}, equal=(Affine(),))) == {}
    assert solve(System({}, equal=(Affine((), 1),))) is None
    assert solve(System({}, at_least=(Affine((), -1),))) is None


def test_each_round_goes_over_the_constraints_once():
    """a > b, b > a. Round 1: a >= 1, b <= 8; then b >= 2, a <= 7. Round 2: a >= 3, b <= 6; b >= 4, a <= 5. In round 3
    a > b needs b <= 4, so b = 4 and a = 5, and b > a has no point. One round alone never sees that.
    """
    a, b = affine("a"), affine("b")
    system = System({"a": (0, 9), "b": (0, 9)}, at_least=(a - b - 1, b - a - 1))
    assert tighten(system, rounds=1).ranges == {"a": (1, 7), "b": (2, 8)}
    assert tighten(system, rounds=2).ranges == {"a": (3, 5), "b": (4, 6)}
    assert tighten(system, rounds=3) is None


def test_the_search_halves_the_box_until_it_finds_the_point():
    """x + y = 9 and x - y = 1 meet in (5, 4) alone. Bounds alone stop at x from 1 to 9 and y from 0 to 8, and neither
    corner is a point. With x - y = 2 there is none: 2 x would be 11.
    """
    x, y = affine("x"), affine("y")
    box = {"x": (0, 9), "y": (0, 9)}
    one = System(box, equal=(x + y - 9, x - y - 1))
    assert tighten(one).ranges == {"x": (1, 9), "y": (0, 8)}
    assert _search(one, Affine()) == solve(one) == {"x": 5, "y": 4}
    assert _search(System(box, equal=(x + y - 9, x - y - 2)), Affine()) is None
    assert _search(System(box, equal=(x + y - 9, x - y + 7)), Affine()) == {"x": 1, "y": 8}  # in the other half
