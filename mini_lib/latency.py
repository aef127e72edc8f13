"""How long a call takes: a median with its spread, never one number. Import through `mini_lib.measure`."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from math import floor, log10
from time import perf_counter

import numpy as np

from mini_lib.require import whole


@dataclass(frozen=True)
class Latency:
    """The seconds that repeated runs of one call took, in the order in which they ran.

    Raises:
        ValueError: there is no time, or a negative one.

    >>> latency = Latency((0.003, 0.001, 0.002))
    >>> latency.median_s
    0.002
    >>> print(latency)
    2.00 (1.20-2.80) ms
    """

    times_s: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", tuple(self.times_s))
        if not self.times_s or min(self.times_s) < 0:
            raise ValueError(
                f"times_s must be one or more times of 0 s or more, got {self.times_s}; time the call again"
            )

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

    clock: by default the clock on the wall. `time.thread_time` counts this thread's processor time alone, for work on
    one thread on a machine that others use too; it is coarse on Windows.

    Raises:
        TypeError: one of `calls` cannot be called, or a count is not a whole number.
        ValueError: `calls` is empty, `repeats` is below 1 or `warmup` below 0.

    >>> times = compare_latency({"short": lambda: sum(range(10)), "long": lambda: sum(range(20))}, repeats=5)
    >>> {name: len(latency.times_s) for name, latency in times.items()}
    {'short': 5, 'long': 5}
    """
    if not calls:
        raise ValueError("calls must name at least one call, got none; pass a dict such as {'model': lambda: model(x)}")
    for name, call in calls.items():
        if not callable(call):
            raise TypeError(
                f"calls[{name!r}] must be callable, got {type(call).__name__}; wrap the work: lambda: model(x)"
            )
    whole("repeats", repeats, low=1, fix="use 30 for a stable median")
    whole("warmup", warmup, low=0, fix="use 3 to let caches warm up")
    clock = perf_counter if clock is None else clock
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            start_s = clock()
            call()
            elapsed_s = clock() - start_s
            if turn >= warmup:
                times_s[name].append(elapsed_s)
    return {name: Latency(tuple(times)) for name, times in times_s.items()}


def milliseconds(median_s: float, low_s: float, high_s: float) -> str:
    """Return a median and its spread in milliseconds, as fine as three digits of the median.

    >>> milliseconds(0.0125, 0.012, 0.0151)
    '12.5 (12.0-15.1)'
    """
    decimals = three_digits(1000 * median_s)
    median, low, high = (f"{1000 * time_s:,.{decimals}f}" for time_s in (median_s, low_s, high_s))
    return f"{median} ({low}-{high})"


def three_digits(value: float) -> int:
    """Return how many decimals show three digits of `value`; a large value keeps all its whole digits.

    >>> [three_digits(value) for value in (0.0125, 1.25, 1250.0)]
    [4, 2, 0]
    """
    return max(0, 2 - floor(log10(value))) if value > 0 else 0
