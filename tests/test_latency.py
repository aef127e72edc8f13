"""Timing under a clock that the test holds, so that every number is exact."""

import re
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib import latency as timing
from mini_lib.latency import Latency, clock_tick_s, compare_latency, latency, milliseconds


class Clock:
    """Stands still, except while a call made by `lasting` runs."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now_s

    def lasting(self, name: str, *times_s: float) -> Callable[[], None]:
        remaining = list(times_s)

        def call() -> None:
            self.order.append(name)
            self.now_s += remaining.pop(0)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", clock)
    return clock


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_latency_keeps_every_run_but_the_warm_up(clock: Clock) -> None:
    # Powers of two, so that the clock's sums are exact.
    measured = latency(clock.lasting("call", 64.0, 32.0, 4.0, 1.0, 2.0), repeats=3, warmup=2)
    assert measured == Latency((4.0, 1.0, 2.0))


def test_calls_take_turns_and_keep_their_own_times(clock: Clock) -> None:
    times = compare_latency(
        {"a": clock.lasting("a", 8.0, 1.0, 2.0), "b": clock.lasting("b", 8.0, 4.0, 0.5)}, repeats=2, warmup=1
    )
    assert clock.order == ["a", "b", "a", "b", "a", "b"]
    assert times == {"a": Latency((1.0, 2.0)), "b": Latency((4.0, 0.5))}


def test_a_short_call_in_a_contest_is_warmed_at_each_of_its_turns(clock: Clock) -> None:
    # the slow one leaves cold caches: the first run after it takes 0.25 s, the next 0.125 s
    fast = clock.lasting("fast", 0.25, 0.25, 0.125, 0.25, 0.125)
    times = compare_latency({"slow": clock.lasting("slow", 1.0, 1.0, 1.0), "fast": fast}, repeats=2, warmup=1)
    assert clock.order == ["slow", "fast", "slow", "fast", "fast", "slow", "fast", "fast"]
    assert times == {"slow": Latency((1.0, 1.0)), "fast": Latency((0.125, 0.125))}


def test_a_call_that_is_timed_alone_needs_no_warming_between_its_runs(clock: Clock) -> None:
    assert latency(clock.lasting("call", 0.25, 0.125, 0.0625), repeats=2, warmup=1) == Latency((0.125, 0.0625))


def test_a_coarse_clock_sees_runs_in_bunches(clock: Clock) -> None:
    def coarse() -> float:  # as processor time on Windows, in steps of 1/64 s
        clock.now_s += 1e-6  # looking at it takes time, too
        return clock.now_s // (1 / 64) / 64

    times = compare_latency({"call": clock.lasting("call", *[0.001] * 10_000)}, repeats=5, clock=coarse)["call"]
    # a bunch lasts 20 ticks or more, and its two ends are each wrong by less than a tick
    assert all(abs(time_s / 0.001 - 1) < 2 / 20 for time_s in times.times_s)
    assert clock_tick_s(coarse) == 1 / 64


def test_a_clock_that_moves_with_each_look_sees_single_runs(clock: Clock) -> None:
    looks = iter(range(10**6))
    times = compare_latency(
        {"call": clock.lasting("call", *[1.0] * 10)}, repeats=3, warmup=0, clock=lambda: next(looks)
    )
    assert times["call"] == Latency((1.0, 1.0, 1.0)) and len(clock.order) == 3 + 3


def test_a_clock_that_stands_still_has_no_tick(clock: Clock) -> None:
    assert clock_tick_s(lambda: 1.0) == 0.0


def test_median_and_percentiles_worked_by_hand() -> None:
    # Sorted 0, 1, ..., 10: the 10th percentile is a tenth of the way, the 90th nine tenths.
    measured = Latency((10.0, 0.0, 1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0))
    assert (measured.low_s, measured.median_s, measured.high_s) == (1.0, 5.0, 9.0)


def test_one_run_is_its_own_median_and_spread() -> None:
    measured = Latency((0.5,))
    assert (measured.low_s, measured.median_s, measured.high_s) == (0.5, 0.5, 0.5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=50))
def test_percentiles_equal_the_standard_librarys(times: list[int]) -> None:
    deciles = statistics.quantiles(times, n=10, method="inclusive")
    measured = Latency(tuple(map(float, times)))
    # Both interpolate between two numbers up to 1000, in a different order: a few roundings, each of
    # at most 1000 * 2^-53 or 1.1e-13.
    assert abs(measured.low_s - deciles[0]) <= 1e-12
    assert abs(measured.high_s - deciles[-1]) <= 1e-12
    assert measured.median_s == deciles[4]


@pytest.mark.parametrize(
    ("times_s", "text"),
    [
        ((0.0125, 0.012, 0.0151), "12.5 (12.0-15.1)"),
        ((2.5e-6, 2e-6, 3.25e-6), "0.00250 (0.00200-0.00325)"),
        ((1.5, 1.25, 12.0), "1,500 (1,250-12,000)"),
        ((0.0, 0.0, 0.001), "0 (0-1)"),
    ],
)
def test_milliseconds_show_three_digits_of_the_median(times_s: tuple[float, float, float], text: str) -> None:
    assert milliseconds(*times_s) == text


@pytest.mark.parametrize(
    ("times_s", "message"),
    [
        ((), "times_s must be one or more times, got none; time the call again"),
        ((0.1, -0.1), "each of times_s must be a finite number of 0 or more, got -0.1; time the call again"),
        ((0.1, float("nan")), "each of times_s must be a finite number of 0 or more, got nan; time the call again"),
    ],
)
def test_times_that_no_clock_gives_are_refused(times_s: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=says(message)):
        Latency(times_s)


def test_bad_input_is_refused_before_anything_runs(clock: Clock) -> None:
    call = clock.lasting("call")
    with pytest.raises(
        ValueError, match=says("repeats must be a whole number of 1 or more, got 0; use 30 for a stable median")
    ):
        latency(call, repeats=0)
    with pytest.raises(
        ValueError, match=says("warmup must be a whole number of 0 or more, got -1; use 3 to let caches warm up")
    ):
        latency(call, warmup=-1)
    with pytest.raises(
        TypeError, match=says("calls['model'] must be callable, got 3; wrap the work: lambda: model(x)")
    ):
        compare_latency({"fine": call, "model": 3})
    with pytest.raises(
        ValueError,
        match=says("calls must name at least one call, got none; pass a dict such as {'model': lambda: model(x)}"),
    ):
        compare_latency({})
    assert clock.order == []
