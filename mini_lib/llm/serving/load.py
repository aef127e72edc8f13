"""Throughput and latency against load, and where the curve bends."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mini_lib.llm.serving.arrivals import Request
from mini_lib.llm.serving.simulate import simulate
from mini_lib.llm.serving.timing import Timing
from mini_lib.require import callable_, of_type, positive


@dataclass(frozen=True)
class LoadRow:
    """Throughput and latencies at one offered rate, after the warm-up."""

    rate_per_s: float
    tokens_per_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    tpot_p50_s: float
    tpot_p99_s: float
    latency_mean_s: float
    utilization: float
    mean_batch: float
    kv_occupancy: float
    preemptions: int

    @property
    def power(self) -> float:
        """Throughput over mean latency: how much you get for the time that you wait.

        Raises:
            ValueError: nobody waited at all.
        """
        return self.tokens_per_s / positive("latency_mean_s", self.latency_mean_s, fix="give the timing a prefill")


def load_curve(
    make_requests: Callable[[float], Sequence[Request]],
    timing: Timing,
    rates: Sequence[float],
    *,
    kv_tokens: int,
    block_tokens: int = 16,
    max_batch: int = 256,
    prefill: str = "first",
    chunk_tokens: int = 512,
    warm_up: float = 0.1,
) -> tuple[LoadRow, ...]:
    """Return a row for each of the offered `rates`, in requests per second and rising.

    `make_requests(rate)` gives the requests, of which the first share `warm_up` is not counted. The throughput is
    measured from the end of the warm-up to the last arrival: after that the service only empties. Above its capacity a
    service has no steady state, and its waiting times grow with the number of requests.

    Raises:
        TypeError, ValueError: there are no rates, or they do not rise from above 0; or as `simulate()`.

    >>> from mini_lib.llm.serving import LinearTiming, poisson_arrivals
    >>> rows = load_curve(
    ...     lambda rate: poisson_arrivals(rate, 2000, prompt=1, output=1, seed=0),
    ...     LinearTiming(1.0, prefill_fixed_s=1.0), (0.1, 0.5, 2.0), kv_tokens=16, max_batch=1,
    ... )
    >>> [round(row.tokens_per_s, 1) for row in rows]
    [0.1, 0.5, 1.0]
    """
    callable_("make_requests", make_requests, fix="use lambda rate: poisson_arrivals(rate, 1000, 512, 256, seed=0)")
    rates = of_type("rates", rates, Iterable, fix="use (1, 2, 4)")
    rates = tuple(positive("each of rates", rate, fix="give requests per second") for rate in rates)
    if not rates or any(high <= low for low, high in pairwise(rates)):
        raise ValueError(f"rates must be one or more rising numbers, got {list(rates)}; use sorted(set(rates))")
    rows = []
    for rate in rates:
        served = simulate(
            make_requests(rate),
            timing,
            kv_tokens=kv_tokens,
            block_tokens=block_tokens,
            max_batch=max_batch,
            prefill=prefill,
            chunk_tokens=chunk_tokens,
        )
        skipped = served.skipped(warm_up)
        rows.append(
            LoadRow(
                rate,
                served.tokens_per_s_between(served.arrival_s[skipped], served.arrival_s[-1]),
                *(served.percentile(times, percent, warm_up) for times in ("ttft_s", "tpot_s") for percent in (50, 99)),
                float(served.latency_s[skipped:].mean()),
                served.utilization,
                served.mean_batch,
                served.kv_occupancy,
                int(served.preemptions.sum()),
            )
        )
    return tuple(rows)


def knee(rows: Sequence[LoadRow]) -> LoadRow:
    """Return the row at the bend of the curve: the one with the highest throughput over mean latency.

    Before the bend, more load costs little time; after it, more load gives little throughput. There is no threshold to
    choose.

    Raises:
        TypeError: something other than a `LoadRow`.
        ValueError: there are fewer than three rows, or the best is the first or the last, so that the bend may lie
            outside.

    Throughput over latency is 10 / 1 = 10, then 18 / 1.2 = 15, then 20 / 4 = 5: the bend is at the second rate.

    >>> other = dict.fromkeys(("ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s"), 0.0)
    >>> other |= {"utilization": 1.0, "mean_batch": 1.0, "kv_occupancy": 1.0, "preemptions": 0}
    >>> measured = (1, 10, 1.0), (2, 18, 1.2), (3, 20, 4.0)
    >>> rows = [LoadRow(rate, tokens, latency_mean_s=mean_s, **other) for rate, tokens, mean_s in measured]
    >>> knee(rows).rate_per_s
    2

    Source: Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in computer
    communications", ICC 1979.
    """
    rows = tuple(of_type("rows", rows, Iterable, fix="use load_curve()"))
    for row in rows:
        of_type("each of rows", row, LoadRow, fix="use load_curve()")
    if len(rows) < 3:
        raise ValueError(f"rows must be at least 3, got {len(rows)}; a bend has something on both sides")
    best = max(range(len(rows)), key=lambda place: rows[place].power)
    if best in (0, len(rows) - 1):
        side, end = ("lower", "first") if best == 0 else ("higher", "last")
        raise ValueError(
            f"rows must reach to both sides of the knee, got the best at the {end} rate ({rows[best].rate_per_s}); "
            f"add {side} rates"
        )
    return rows[best]
