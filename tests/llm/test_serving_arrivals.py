"""Requests and random arrivals: what they promise, and what they refuse."""

import re
from math import inf, nan

import numpy as np
import pytest
from scipy import stats

from mini_lib.llm.serving import Request, lognormal_lengths, poisson_arrivals


def test_gaps_are_exponential_with_the_rate_asked_for():
    """Kolmogorov-Smirnov against scipy's exponential distribution; fixed seed, p > 1e-3."""
    times = np.array([request.arrival_s for request in poisson_arrivals(4.0, 20_000, prompt=1, output=1, seed=11)])
    gaps = np.diff(times, prepend=0.0)
    assert stats.kstest(gaps, stats.expon(scale=0.25).cdf).pvalue > 1e-3
    # independent: neighbours are not correlated, within 4 standard errors
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4 / 20_000**0.5


def test_the_seed_decides_all():
    first, again, other = (
        poisson_arrivals(3, 50, lognormal_lengths(100, 2, 999), lognormal_lengths(50, 2, 999), seed)
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_another_rate_only_stretches_the_time():
    slow, fast = (poisson_arrivals(rate, 50, lognormal_lengths(100, 2, 999), 7, seed=1) for rate in (1, 4))
    assert [(a.arrival_s, a.prompt, a.output) for a in slow] == [(4 * b.arrival_s, b.prompt, b.output) for b in fast]


def test_lognormal_lengths_have_the_median_and_the_spread_asked_for():
    """Of 40,000: half below the median (4 standard errors: .01), 68.27% within one spread (.0093), none above 1000."""
    drawn = lognormal_lengths(200, 2, 1000)(np.random.default_rng(0), 40_000)
    assert (drawn <= 200).mean() == pytest.approx(0.5, abs=0.01)
    assert ((drawn > 100) & (drawn <= 400)).mean() == pytest.approx(0.6827, abs=0.0093)
    assert drawn.min() >= 1 and drawn.max() == 1000


def lengths_of(*values, dtype=np.int64):
    return lambda generator, count: np.array(values, dtype=dtype)


COUNT = "must be a whole number of 1 or more"
POSITIVE = "must be a finite number above 0"

GOOD = {"rate_per_s": 1.0, "count": 2, "prompt": 8, "output": 4, "seed": 0}
DRAWN = "output(generator, 2) must give 2 whole numbers"


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"rate_per_s": 0.0},
            ValueError,
            f"rate_per_s {POSITIVE}, got 0.0; give the requests of a second, such as 2.5",
        ),
        ({"rate_per_s": -2}, ValueError, f"rate_per_s {POSITIVE}, got -2"),
        ({"rate_per_s": inf}, ValueError, f"rate_per_s {POSITIVE}, got inf"),
        ({"rate_per_s": "fast"}, TypeError, f"rate_per_s {POSITIVE}, got 'fast'"),
        (
            {"count": 0},
            ValueError,
            "count must be a whole number from 1 to 10000000, got 0; simulate at least one request",
        ),
        ({"prompt": 0}, ValueError, f"prompt {COUNT}, got 0; or give a function that draws lengths"),
        ({"output": 2.5}, TypeError, f"output {COUNT}, got 2.5"),
        (
            {"prompt": lengths_of(5, 0)},
            ValueError,
            "prompt(generator, 2) gave a length of 0; use np.maximum(lengths, 1)",
        ),
        ({"output": lengths_of(5)}, ValueError, f"{DRAWN}, got int64 of shape [1]; end it with .astype(int)"),
        ({"output": lengths_of(5.0, 6.0, dtype=float)}, ValueError, f"{DRAWN}, got float64 of shape [2]"),
    ],
)
def test_bad_arrivals_are_refused(change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        poisson_arrivals(**(GOOD | change))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((0.0, 0, 1), ValueError, f"prompt {COUNT}, got 0; a prompt has at least its start token"),
        ((0.0, 1, -3), ValueError, f"output {COUNT}, got -3; the prefill itself gives the first token"),
        ((0.0, 1.5, 1), TypeError, f"prompt {COUNT}, got 1.5"),
        ((nan, 1, 1), ValueError, "arrival_s must be a finite number, got nan; use 0.0 for the first"),
        ((inf, 1, 1), ValueError, "got inf; use 0.0 for the first, and leave out what never arrives"),
        (("now", 1, 1), TypeError, "arrival_s must be a finite number, got 'now'; use 0.0 for the first"),
        ((True, 1, 1), TypeError, "arrival_s must be a finite number, got True; use 0.0 for the first"),
    ],
)
def test_bad_requests_are_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Request(*arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 2, 100), f"median {POSITIVE}, got 0; half of all are longer"),
        ((101, 2, 100), "median must lie above 0 and not above most (100), got 101"),
        ((50, 0.5, 100), "spread must be 1 or more and finite, got 0.5; 1 makes all lengths equal, 2 is usual"),
        ((50, 2, 0), "most must be a whole number from 1 to 1000000000, got 0; give the longest length"),
    ],
)
def test_bad_lengths_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        lognormal_lengths(*arguments)
