"""The simulator against queueing theory: Little's law always, and waits that have a closed form."""

import re
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from mini_lib.llm.serving import (
    LinearTiming,
    Request,
    lognormal_lengths,
    md1_knee,
    md1_wait_s,
    mg1_wait_s,
    poisson_arrivals,
    simulate,
)

ONE_SECOND = LinearTiming(decode_fixed_s=1.0, prefill_fixed_s=1.0)


def lindley(gaps, services):
    """Waits in a queue with one server: wait[n + 1] = max(0, wait[n] + service[n] - gap[n]), all at once."""
    walk = np.concatenate([[0.0], np.cumsum(services[:-1] - gaps)])
    return walk - np.minimum.accumulate(walk)


def test_one_server_waits_as_in_lindleys_recursion():
    """Any arrivals, services that differ: 1 ms per prompt token and per step. Clocks of 1e4 s round by 1e-12 a step."""
    requests = poisson_arrivals(2.2, 20_000, lognormal_lengths(150, 2, 2000), lognormal_lengths(150, 2, 2000), seed=1)
    served = simulate(requests, LinearTiming(0.001, prefill_token_s=0.001), kv_tokens=4000, max_batch=1)
    services = (served.prompt + served.output - 1) * 0.001
    np.testing.assert_allclose(served.wait_s, lindley(np.diff(served.arrival_s), services), rtol=0, atol=1e-6)
    assert served.wait_s.mean() > 0.5  # else there is nothing to see


def spread_of_the_mean(load, *, runs=200, count=50_000):
    """The relative standard deviation of a mean wait of M/D/1, times the root of the number of requests.

    It is measured with Lindley's recursion on other random numbers. Each run is compared with the closed form at the
    load that came: that takes away what is due to the drawn rate.
    """
    errors = []
    for run in range(runs):
        gaps = np.random.default_rng([run, 7]).standard_exponential(count - 1) / load
        waits = lindley(gaps, np.ones(count))[count // 20 :]
        errors.append(waits.mean() / md1_wait_s(1.0, 1 / gaps.mean()) - 1)
    return float(np.std(errors)) * sqrt(count)


@pytest.mark.parametrize("load, seeds", [(0.3, 1), (0.6, 1), (0.9, 4)])
def test_the_mean_wait_with_equal_services_is_that_of_m_d_1(load, seeds):
    """Batch 1, a prefill of 1 s and nothing else. 300,000 requests a seed, of which the first 15,000 warm up.

    Three standard errors have to fit into the 3%: the spread is about 3.0, 3.5 and 10.5 over the root of the number of
    requests, so 90,000, 123,000 and 1,100,000 requests do. From an empty start, the mean is reached within a few times
    1 / (1 - load)^2 = 100 services at load .9.
    """
    count, skipped = 300_000, 15_000
    assert 3 * spread_of_the_mean(load) / sqrt(seeds * (count - skipped)) < 0.03
    waits, span_s = [], 0.0
    for seed in range(seeds):
        served = simulate(
            poisson_arrivals(load, count, prompt=16, output=1, seed=seed), ONE_SECOND, kv_tokens=16, max_batch=1
        )
        waits.append(served.wait_s[skipped:].mean())
        span_s += served.arrival_s[-1]
        assert served.little_error < 0.01
        assert served.utilization == pytest.approx(load, abs=4 * load / sqrt(count))  # as far off as the drawn rate
    came = seeds * count / span_s
    assert came == pytest.approx(load, rel=4 / sqrt(seeds * count))
    assert np.mean(waits) == pytest.approx(md1_wait_s(1.0, came), rel=0.03)


def test_decode_steps_are_a_service_as_well():
    """M/D/1 once more, with the same second made of a prefill of .1 s and 9 steps of .1 s, in either policy.

    The same arrivals have to wait exactly as long as with a prefill of 1 s: what a second is made of does not matter.
    """
    requests = poisson_arrivals(0.8, 20_000, prompt=16, output=10, seed=5)
    short = [Request(one.arrival_s, one.prompt, 1) for one in requests]
    expected = simulate(short, ONE_SECOND, kv_tokens=16, max_batch=1).wait_s
    for prefill in ("first", "chunked"):
        served = simulate(requests, LinearTiming(0.1, prefill_fixed_s=0.1), kv_tokens=32, max_batch=1, prefill=prefill)
        # 20,000 sums of ten rounded tenths: below 1e-7
        np.testing.assert_allclose(served.wait_s, expected, rtol=0, atol=1e-7)


def test_the_mean_wait_with_services_that_differ_is_that_of_pollaczek_and_khinchine():
    """Outputs of 1 or 19 tokens with equal chance, 10 ms each: mean .1 s, standard deviation .09 s, load .6.

    The relative spread of the mean is at most that of M/M/1, sqrt((2 + 5r - 4r^2 + r^3) / (r (1-r)^2)) = 6.3 at load
    r = .6 (Daley 1968): .012 for 300,000 requests, of which 3 are allowed.
    """

    def one_or_nineteen(generator, count):
        return 1 + 18 * generator.integers(0, 2, count)

    served = simulate(
        poisson_arrivals(6.0, 300_000, prompt=16, output=one_or_nineteen, seed=2),
        LinearTiming(0.01, prefill_fixed_s=0.01),
        kv_tokens=64,
        max_batch=1,
    )
    assert served.wait_s.mean() == pytest.approx(mg1_wait_s(0.1, 0.09, 0.6), rel=3 * 0.012)


@pytest.mark.parametrize("prefill", ["first", "chunked"])
@pytest.mark.parametrize("rate", [2, 12, 60])
def test_littles_law_holds_below_and_above_capacity(prefill, rate):
    """L is counted head by head over time, W from each request's time stamps. The bar is 1%; they agree to rounding."""
    requests = poisson_arrivals(rate, 3000, lognormal_lengths(100, 2, 500), lognormal_lengths(50, 2, 300), seed=4)
    served = simulate(
        requests, LinearTiming(0.01, 0.0005, 1e-6, 0.005, 0.0001), kv_tokens=4000, max_batch=32, prefill=prefill
    )
    assert served.little_error < 1e-9
    if rate == 60:
        assert served.preemptions.sum() > 0


def test_little_s_error_sees_a_wrong_count():
    """Two requests of 1 s, one after the other: L = 3 heads * 1 s / 2 s. A loop that had counted 4 would be 1/3 off."""
    served = simulate([Request(0.0, 1, 1)] * 2, ONE_SECOND, kv_tokens=16, max_batch=1)
    assert (served.mean_in_system, served.little_error) == (1.5, 0.0)
    wrong = replace(served, totals=replace(served.totals, request_s=4.0))
    assert wrong.little_error == pytest.approx(1 / 3, rel=1e-12)


def test_the_formulas_by_hand():
    assert mg1_wait_s(2.0, 0.0, 0.5) == md1_wait_s(2.0, 0.5) == 1.0
    assert mg1_wait_s(2.0, 2.0, 0.5) == 2.0
    assert md1_wait_s(1.0, 0.0) == 0.0
    loads = np.linspace(0.01, 0.99, 9801)
    power = loads / (1 + np.array([md1_wait_s(1.0, load) for load in loads]))
    assert loads[power.argmax()] == pytest.approx(md1_knee(), abs=1e-4)  # the distance of the grid


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: md1_wait_s(0.0, 0.5),
            "service_s must be a finite number above 0, got 0.0; give the seconds of one service",
        ),
        (lambda: md1_wait_s(1.0, 1.0), "load must lie in [0, 1), got 1.0; from 1 on the queue grows without end"),
        (lambda: md1_wait_s(1.0, -0.1), "load must lie in [0, 1), got -0.1"),
        (
            lambda: mg1_wait_s(1.0, -1.0, 0.5),
            "deviation_s must be a finite number of 0 or more, got -1.0; 0 means that all services are equal",
        ),
    ],
)
def test_what_the_formulas_refuse(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
