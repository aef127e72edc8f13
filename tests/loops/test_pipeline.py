"""Pipelines: worked by hand, against the longest path through their waits, and within their bounds."""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_bounds import bound_s, steady_state_s

from mini_lib.loops.machine.pipeline import Span, double_buffered_s, pipelined_s, serial_s, timeline

# Whole numbers of quarter seconds: every sum is exact.
TIMES = st.integers(0, 40).map(lambda quarter: quarter / 4)
TILES = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=12).map(lambda rows: tuple(zip(*rows, strict=True)))


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_two_buffers_worked_by_hand():
    # Loads 2, 2, 2; computing 3, 1, 3. Load 2 may start when tile 0 has left buffer 0, at 5.
    assert timeline([2, 2, 2], [3, 1, 3]) == (
        Span(0, "load", 0, 0, 2),
        Span(0, "compute", 0, 2, 5),
        Span(1, "load", 1, 2, 4),
        Span(1, "compute", 1, 5, 6),
        Span(2, "load", 0, 5, 7),
        Span(2, "compute", 0, 7, 10),
    )
    assert double_buffered_s([2, 2, 2], [3, 1, 3]) == 10
    # Three buffers: load 2 from 4 to 6, so the engine never stops: 2 + 3 + 1 + 3.
    assert pipelined_s([2, 2, 2], [3, 1, 3], buffers=3) == 9
    assert serial_s([2, 2, 2], [3, 1, 3]) == 13


def test_the_bound_worked_by_hand():
    assert bound_s([5, 5], [1, 3]) == 5 + 5 + 3  # the loader never stops, then the last computation
    assert bound_s([2, 1], [4, 4]) == 2 + 4 + 4  # the first load, then the engine never stops


@given(TIMES, TIMES, TIMES, TIMES)
def test_two_tiles_in_two_buffers_meet_the_bound(load0: float, load1: float, compute0: float, compute1: float):
    tiles = (load0, load1), (compute0, compute1)
    assert double_buffered_s(*tiles) == bound_s(*tiles)


def longest_path_s(load_s: tuple[float, ...], compute_s: tuple[float, ...], buffers: int) -> Fraction:
    """When everything is done: each event ends after the latest of those that it waits for. In fractions."""

    @cache
    def loaded(tile: int) -> Fraction:
        if tile < 0:
            return Fraction(0)
        return max(loaded(tile - 1), computed(tile - buffers)) + Fraction(load_s[tile])

    @cache
    def computed(tile: int) -> Fraction:
        if tile < 0:
            return Fraction(0)
        return max(computed(tile - 1), loaded(tile)) + Fraction(compute_s[tile])

    return computed(len(load_s) - 1)


def ticks_s(load_s: tuple[float, ...], compute_s: tuple[float, ...], buffers: int) -> float:
    """Move a clock on by quarters: what can begin begins, then both machines work for one tick."""
    loads, computes = ([round(4 * time_s) for time_s in times] for times in (load_s, compute_s))
    loading = computing = ready = done = now = 0  # tiles begun to load, begun to compute, loaded, computed
    load_left = compute_left = 0
    while True:
        for _ in range(4 * len(loads)):  # steps of no time may set each other off
            if load_left == 0 and ready < loading:
                ready = loading
            if compute_left == 0 and done < computing:
                done = computing
            if ready == loading < len(loads) and loading - done < buffers:
                load_left, loading = loads[loading], loading + 1
            if done == computing < ready:
                compute_left, computing = computes[computing], computing + 1
        if done == len(loads):
            return now / 4
        now += 1
        load_left, compute_left = max(0, load_left - 1), max(0, compute_left - 1)


@given(TILES, st.integers(1, 5))
def test_the_end_is_the_longest_path_and_what_a_clock_shows(tiles: tuple, buffers: int):
    found = pipelined_s(*tiles, buffers)
    assert found == longest_path_s(*tiles, buffers) == ticks_s(*tiles, buffers)


@given(TILES)
def test_one_buffer_is_serial_and_no_number_of_buffers_beats_the_bound(tiles: tuple):
    load_s, compute_s = tiles
    times_s = [pipelined_s(load_s, compute_s, buffers) for buffers in range(1, len(load_s) + 2)]
    assert times_s[0] == serial_s(load_s, compute_s)
    assert times_s == sorted(times_s, reverse=True)  # more buffers never hurt
    assert times_s[1] == double_buffered_s(load_s, compute_s)
    assert times_s[-1] == times_s[-2]  # as many as tiles are enough
    assert times_s[-1] >= bound_s(load_s, compute_s) >= max(sum(load_s), sum(compute_s))


@given(TILES, st.integers(1, 4))
def test_nothing_is_in_two_places_at_once(tiles: tuple, buffers: int):
    load_s, compute_s = tiles
    spans = timeline(load_s, compute_s, buffers)
    for kind, times_s in (("load", load_s), ("compute", compute_s)):
        same = [span for span in spans if span.kind == kind]
        assert [span.end_s - span.start_s for span in same] == list(times_s)
        assert all(one.end_s <= two.start_s for one, two in pairwise(same))
    held = {tile: (spans[2 * tile].start_s, spans[2 * tile + 1].end_s) for tile in range(len(load_s))}
    for tile in range(buffers, len(load_s)):  # a buffer holds one tile at a time
        assert spans[2 * tile].buffer == spans[2 * (tile - buffers)].buffer
        assert held[tile - buffers][1] <= held[tile][0]


@given(TIMES, TIMES, st.integers(1, 20), st.integers(2, 4))
def test_equal_tiles_follow_the_formula(load_s: float, compute_s: float, tiles: int, buffers: int):
    expected = steady_state_s(load_s, compute_s, tiles)
    assert expected == load_s + (tiles - 1) * max(load_s, compute_s) + compute_s
    assert pipelined_s([load_s] * tiles, [compute_s] * tiles, buffers) == expected


BAD = [
    (lambda: serial_s([], []), ValueError, "load_s must hold at least one tile, got none; pass the seconds of each"),
    (lambda: serial_s([1, 2], [1]), ValueError,
     "load_s and compute_s must hold one time for each tile, got 2 and 1; make them equally long"),
    (lambda: serial_s(1.0, [1]), TypeError,
     "load_s must be of type Sequence or ndarray, got 1.0; for n equal tiles pass [1.0] * n"),
    (lambda: serial_s([1], [-1]), ValueError,
     "compute_s[0] must be a finite number of 0 or more, got -1; pass the seconds of each tile"),
    (lambda: bound_s([1], [float("nan")]), ValueError,
     "compute_s[0] must be a finite number of 0 or more, got nan; pass the seconds of each tile"),
    (lambda: timeline(["1"], [1]), TypeError,
     "load_s[0] must be a finite number of 0 or more, got '1'; pass the seconds of each tile"),
    (lambda: timeline([1], [1], 0), ValueError,
     "buffers must be a whole number of 1 or more, got 0; use 2, or 1 for no overlap"),
    (lambda: timeline([1], [1], 1.5), TypeError,
     "buffers must be a whole number of 1 or more, got 1.5; use 2, or 1 for no overlap"),
    (lambda: steady_state_s(1, 1, 0), ValueError,
     "tiles must be a whole number of 1 or more, got 0; pass how many tiles there are"),
    (lambda: steady_state_s(-1, 1, 2), ValueError,
     "load_s must be a finite number of 0 or more, got -1; pass the seconds that one tile takes to load"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", BAD)
def test_bad_input_is_refused_with_a_reason(call: Callable, kind: type, message: str):
    with pytest.raises(kind, match=says(message)):
        call()
