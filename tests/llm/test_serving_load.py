"""The load curve, and its knee."""

import re
from itertools import pairwise

import pytest

from mini_lib.llm.serving import LinearTiming, knee, load_curve, md1_knee, md1_wait_s, poisson_arrivals
from mini_lib.llm.serving.load import LoadRow


def one_second_each(rate):
    return poisson_arrivals(rate, 20_000, prompt=16, output=1, seed=2)


ONE_SECOND = LinearTiming(1.0, prefill_fixed_s=1.0)
LOADS = tuple(round(0.1 * i, 1) for i in range(1, 10))


def test_the_curve_of_one_server_is_that_of_m_d_1():
    """Throughput is the load, and latency 1 + its wait. 18,000 counted requests: 3 standard errors are 6.6% of the wait
    at load .3 and 7.8% at .6, since the spread is 2.95 and 3.5 over their root (test_serving_queueing.py)."""
    rows = load_curve(one_second_each, ONE_SECOND, (0.3, 0.6), kv_tokens=16, max_batch=1)
    for row, allowed in zip(rows, (0.066, 0.078)):
        came = 20_000 / one_second_each(row.rate_per_s)[-1].arrival_s
        assert row.tokens_per_s == pytest.approx(row.rate_per_s, rel=4 / 18_000**0.5)
        assert row.latency_mean_s - 1 == pytest.approx(md1_wait_s(1.0, came), rel=allowed)
        assert row.utilization == pytest.approx(came, rel=1e-3)  # the last services end after the last arrival
        assert row.power == row.tokens_per_s / row.latency_mean_s


def test_the_knee_of_one_server_lies_where_the_formula_puts_it():
    """2 - sqrt(2) = .586: of loads .1 apart, .6 is the nearest. Power there and at .5 differ by 2.9% in the formula."""
    found = knee(load_curve(one_second_each, ONE_SECOND, LOADS, kv_tokens=16, max_batch=1))
    assert abs(found.rate_per_s - md1_knee()) <= 0.05


def test_above_capacity_the_throughput_stays_and_the_latency_runs_away():
    """Batches of 8, a prefill and 9 steps of 10 ms each: 8 requests take 8 * .01 + .09 s, at most 47 per second."""
    rows = load_curve(
        lambda rate: poisson_arrivals(rate, 3000, prompt=16, output=10, seed=1),
        LinearTiming(0.01, prefill_fixed_s=0.01),
        (5, 10, 20, 30, 60, 120),
        kv_tokens=10**6,
        max_batch=8,
    )
    for low, high in pairwise(rows):
        assert high.tokens_per_s > 0.98 * low.tokens_per_s
        assert high.latency_mean_s > low.latency_mean_s
        assert high.ttft_p50_s <= high.ttft_p99_s and high.tpot_p50_s <= high.tpot_p99_s
    for row in rows[:3]:
        assert row.tokens_per_s == pytest.approx(10 * row.rate_per_s, rel=4 / 2700**0.5)
    for row in rows[4:]:
        assert row.tokens_per_s <= 80 / 0.17 * 1.01
        assert row.utilization > 0.99
    assert rows[5].ttft_p50_s > 20 * rows[2].ttft_p50_s
    assert 5 < knee(rows).rate_per_s < 60


def test_prefills_in_chunks_shorten_the_wait_between_tokens():
    """With long prompts, a prefill of .5 s stalls everyone who decodes; in chunks of a tenth nobody waits so long."""

    def requests(rate):
        return poisson_arrivals(rate, 500, prompt=1000, output=100, seed=3)

    timing = LinearTiming(0.01, 0.0001, 1e-7, 0.005, 0.0005)
    [whole], [chunked] = (
        load_curve(requests, timing, (0.9,), kv_tokens=10**6, max_batch=64, prefill=prefill, chunk_tokens=100)
        for prefill in ("first", "chunked")
    )
    assert chunked.tpot_p99_s < whole.tpot_p99_s
    assert chunked.ttft_p50_s > whole.ttft_p50_s  # and that is its price


def row(rate, tokens_per_s, latency_s):
    return LoadRow(rate, tokens_per_s, 0, 0, 0, 0, latency_s, 0, 0, 0, 0)


def test_the_knee_by_hand():
    """Powers 10 / 1, 20 / 1.25 and 22 / 4."""
    assert knee([row(1, 10, 1.0), row(2, 20, 1.25), row(4, 22, 4.0)]).rate_per_s == 2


KNEE = "rows must reach to both sides of the knee"


@pytest.mark.parametrize(
    "rows, message",
    [
        ([row(1, 10, 1.0), row(2, 20, 1.25)], "rows must be at least 3, got 2; a bend has something on both sides"),
        (
            [row(1, 10, 1.0), row(2, 20, 1.0), row(3, 30, 1.0)],
            f"{KNEE}, got the best at the last rate (3); add higher rates",
        ),
        (
            [row(1, 10, 1.0), row(2, 10, 2.0), row(3, 10, 3.0)],
            f"{KNEE}, got the best at the first rate (1); add lower rates",
        ),
    ],
)
def test_a_curve_without_a_knee_is_refused(rows, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        knee(rows)


@pytest.mark.parametrize(
    "rates, message",
    [
        ((), "rates must be one or more rising numbers, got []; use sorted(set(rates))"),
        ((2.0, 1.0), "rates must be one or more rising numbers, got [2.0, 1.0]"),
        ((0.0, 1.0), "each of rates must be a finite number above 0, got 0.0; give requests per second"),
    ],
)
def test_bad_rates_are_refused(rates, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_curve(one_second_each, ONE_SECOND, rates, kv_tokens=16)
