"""How long a call takes: a median with its spread, never one number. Import through `mini_lib.measure`."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from time import perf_counter

import numpy as np

from mini_lib.require import callable_, finite, not_negative, of_type, shown, whole

# A call refills the caches within a few milliseconds, which hardly matter in a run of this length.
_CACHES_MATTER_BELOW_S = 0.3
# With a clock of coarser ticks than this, runs are timed in groups that last this many ticks.
_FINE_TICK_S, _TICKS = 2e-6, 20
_MOST_LOOKS = 200_000  # at a clock before it counts as standing still: 20 ms or more


@dataclass(frozen=True)
class Latency:
    """The seconds that repeated runs of one call took, in the order in which they ran.

    Raises:
        TypeError: a time is not a number.
        ValueError: there is no time, or one that is negative or not finite.

    >>> latency = Latency((0.003, 0.001, 0.002))
    >>> latency.median_s
    0.002
    >>> print(latency)
    2.00 (1.20-2.80) ms
    """

    times_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.times_s, Iterable):
            raise TypeError(f"times_s must be several times, got {shown(self.times_s)}; time the call again")
        fix = "time the call again"
        object.__setattr__(
            self, "times_s", tuple(not_negative("each of times_s", one, fix=fix) for one in self.times_s)
        )
        if not self.times_s:
            raise ValueError("times_s must be one or more times, got none; time the call again")

    @property
    def median_s(self) -> float:
        """Half of the runs were faster."""
        return statistics.median(self.times_s)

    @property
    def low_s(self) -> float:
        """The 10th percentile, linear between neighbouring runs."""
        return float(np.percentile(self.times_s, 10))

    @property
    def high_s(self) -> float:
        """The 90th percentile, linear between neighbouring runs."""
        return float(np.percentile(self.times_s, 90))

    def __str__(self) -> str:
        return f"{milliseconds(self.median_s, self.low_s, self.high_s)} ms"


def latency(call: Callable[[], object], *, repeats: int = 30, warmup: int = 3) -> Latency:
    """Time `repeats` runs of `call()`, after `warmup` runs that are thrown away.

    The first runs are slower: memory is allocated, caches are cold, kernels are chosen. `call` must
    return only when its work is done, so on a GPU it ends by synchronizing.

    Raises:
        TypeError: `call` cannot be called, or a count is not a whole number.
        ValueError: `repeats` is below 1 or `warmup` below 0.

    >>> len(latency(lambda: sum(range(10)), repeats=5).times_s)
    5
    """
    return compare_latency({"call": call}, repeats=repeats, warmup=warmup)["call"]


def compare_latency(
    calls: dict[str, Callable[[], object]],
    *,
    repeats: int = 30,
    warmup: int = 3,
    clock: Callable[[], float] | None = None,
) -> dict[str, Latency]:
    """Time several calls in turns, A B A B, so that a machine that slows down slows them all.

    Each call runs once untimed at the start of its turn, unless it is long: otherwise it would find the caches full of
    the data of the call before it, and a fast call after a slow one would look several times slower than it is.

    clock: by default the wall clock. `time.thread_time` counts only this thread's processor time, for work on one
    thread on a machine that others use too. Where a clock is coarse, as this one is on Windows, runs are timed together
    in groups long enough for it to measure, and their mean is taken.

    Raises:
        TypeError: one of `calls` cannot be called, or a count is not a whole number.
        ValueError: `calls` is empty, `repeats` is below 1 or `warmup` below 0.

    >>> times = compare_latency({"short": lambda: sum(range(10)), "long": lambda: sum(range(20))}, repeats=5)
    >>> {name: len(latency.times_s) for name, latency in times.items()}
    {'short': 5, 'long': 5}
    """
    clock = perf_counter if clock is None else callable_("clock", clock, fix="time.thread_time, say")
    [times] = compare_by_clocks(calls, (clock,), repeats=repeats, warmup=warmup)
    return times


def compare_by_clocks(
    calls: dict[str, Callable[[], object]], clocks: Sequence[Callable[[], float]], *, repeats: int = 30, warmup: int = 3
) -> list[dict[str, Latency]]:
    """Time calls as `compare_latency` does, and read several clocks at each run. Return the times by each clock.

    Raises:
        TypeError, ValueError: as `compare_latency`.

    >>> from time import thread_time
    >>> wall, processor = compare_by_clocks({"sum": lambda: sum(range(10))}, (perf_counter, thread_time), repeats=5)
    >>> len(wall["sum"].times_s), len(processor["sum"].times_s)
    (5, 5)
    """
    if not of_type("calls", calls, Mapping, fix="pass a dict such as {'model': lambda: model(x)}"):
        raise ValueError("calls must name at least one call, got none; pass a dict such as {'model': lambda: model(x)}")
    for name, call in calls.items():
        callable_(f"calls[{name!r}]", call, fix="wrap the work: lambda: model(x)")
    fix = "pass a tuple such as (time.perf_counter,)"
    clocks = tuple(
        callable_("each of clocks", clock, fix=fix) for clock in of_type("clocks", clocks, Iterable, fix=fix)
    )
    if not clocks:
        raise ValueError(f"clocks must be at least one, got none; {fix}")
    repeats = whole("repeats", repeats, low=1, fix="use 30 for a stable median")
    warmup = whole("warmup", warmup, low=0, fix="use 3 to let caches warm up")
    # the wall clock has fine ticks on every system
    tick_s = max((clock_tick_s(clock) for clock in clocks if clock is not perf_counter), default=0.0)
    runs = {name: _runs_per_reading(call, clocks, tick_s) for name, call in calls.items()}
    read_s: dict[str, list[tuple[float, ...]]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            if turn and len(calls) > 1 and max(read_s[name][-1]) < _CACHES_MATTER_BELOW_S:
                call()
            read_s[name].append(_read(call, clocks, runs[name]))
    by_call = {name: zip(*readings[warmup:]) for name, readings in read_s.items()}
    each = {name: [Latency(times) for times in by_clock] for name, by_clock in by_call.items()}
    return [{name: latencies[place] for name, latencies in each.items()} for place in range(len(clocks))]


def _read(call: Callable[[], object], clocks: Sequence[Callable[[], float]], runs: int) -> tuple[float, ...]:
    """The seconds of one run by each clock, as the mean of this many runs."""
    starts_s = [clock() for clock in clocks]
    for _ in range(runs):
        call()
    return tuple((clock() - start_s) / runs for clock, start_s in zip(clocks, starts_s))


def _runs_per_reading(call: Callable[[], object], clocks: Sequence[Callable[[], float]], tick_s: float) -> int:
    """How many runs to time together so that the clocks' ticks do not decide the time: one where they are fine."""
    runs, seen_s = 1, [0.0]
    while tick_s > _FINE_TICK_S and seen_s[-1] < _TICKS * tick_s:
        seen_s.append(min(_read(call, clocks, runs)) * runs)
        if seen_s[-1] > 0 and seen_s[-3:] == 3 * seen_s[-1:]:
            return 1  # it moves with each look at it, not with time
        runs *= 2
    return max(1, runs // 2)


def clock_tick_s(clock: Callable[[], float]) -> float:
    """Return the step in which a clock moves, in seconds, as seen by reading it; 0 for one that stands still.

    What the system reports about its clocks is no help: processor time on Windows moves in steps of 15.6 ms, but is
    reported to be accurate to a tenth of a microsecond.

    >>> clock_tick_s(perf_counter) < 1e-3
    True
    """
    steps_s: list[float] = []
    fix = "time.thread_time, say"
    last_s = finite("what clock gives", callable_("clock", clock, fix=fix)(), fix=fix)
    for _ in range(_MOST_LOOKS):
        now_s = clock()
        if now_s > last_s:
            steps_s.append(now_s - last_s)
            last_s = now_s
            if len(steps_s) == 5:  # the smallest of a few: we may be interrupted between two looks
                break
    return min(steps_s, default=0.0)


def milliseconds(median_s: float, low_s: float, high_s: float) -> str:
    """Return a median and its spread in milliseconds, all to the decimals that show three digits of the median.

    >>> milliseconds(0.0125, 0.012, 0.0151)
    '12.5 (12.0-15.1)'
    """
    median_s, low_s, high_s = (finite("each time", time_s, fix="give seconds") for time_s in (median_s, low_s, high_s))
    decimals = three_digits(1000 * median_s)
    median, low, high = (f"{1000 * time_s:,.{decimals}f}" for time_s in (median_s, low_s, high_s))
    return f"{median} ({low}-{high})"


def three_digits(value: float) -> int:
    """Return how many decimals show three digits of `value`; a large value keeps all its whole digits.

    >>> [three_digits(value) for value in (0.0125, 1.25, 1250.0)]
    [4, 2, 0]
    """
    return max(0, 2 - floor(log10(value))) if finite("value", value, fix="give a number") > 0 else 0
