"""The halving time: by hand with the Cauchy distribution, beside scipy, by counting all draws, and as properties."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mini_lib.llm.prices import (
    HalvingTime,
    blended_points,
    bootstrap_halving_time,
    halving_time,
    history,
    of_models,
    running_minimum,
)

# four years are 1461 days, exactly 4 of 365.25; the binary logarithms of the prices are 0, -1, -1
THREE = [("2020-01-01", 1.0), ("2024-01-01", 0.5), ("2028-01-01", 0.5)]
START = dt.date(2023, 1, 1)
points = st.lists(st.tuples(st.integers(0, 1500), st.floats(1e-3, 1e3)), min_size=3, max_size=15).map(
    lambda rows: [(START + dt.timedelta(days), usd) for days, usd in rows]
)
fits = [halving_time, lambda rows: bootstrap_halving_time(rows, seed=3, draws=50)]


def test_three_points_by_hand():
    """x = -4, 0, 4 about its mean, y = 2/3, -1/3, -1/3: slope -4 / 32; residuals 1/6, -1/3, 1/6, whose squares sum to
    1/6; the slope's error is sqrt(1/6 / 1 / 32). Student's t with 1 degree of freedom is Cauchy's distribution, whose
    quantile is tan(pi (q - 1/2)): 1 at 3/4, so the interval of confidence 1/2 is one error wide on each side.
    """
    fit, error = halving_time(THREE, confidence=0.5), math.sqrt(1 / 192)
    # some ten operations on numbers of size 1 and below, and a quantile good to 1e-12
    assert [fit.slope_per_year, fit.low_slope, fit.high_slope] == pytest.approx(
        [-1 / 8, -1 / 8 - error, -1 / 8 + error], rel=1e-11
    )
    assert [fit.halving_years, fit.low_years, fit.high_years] == pytest.approx(
        [8, 1 / (1 / 8 + error), 1 / (1 / 8 - error)], rel=1e-11
    )
    assert fit.can_be_stated and fit.points == 3

    doubtful = halving_time(THREE)  # at 95% the reach is tan(0.475 pi) = 12.7 errors, more than the slope
    assert doubtful.high_slope == pytest.approx(-1 / 8 + math.tan(0.475 * math.pi) * error, rel=1e-9)
    assert (
        not doubtful.can_be_stated and doubtful.high_years == math.inf and doubtful.low_years < 1 / doubtful.high_slope
    )
    assert str(doubtful) == "no halving time can be stated: at 95% the price may have fallen or risen (3 points)"


def test_all_draws_of_three_points_counted_by_hand():
    """Of 27 draws 3 are one point thrice. Of the other 24 a quarter holds only the first two points (slope -1/4),
    a quarter only the last two (0), and half the first and last, with or without the middle (-1/8). So the interval of
    confidence 0.4, between the quantiles 0.3 and 0.7, is -1/8 alone; that of 0.6, between 0.2 and 0.8, is -1/4 to 0.
    With 2000 draws a quarter comes out 0.25 +- 0.01, far from 0.3 and from 0.2.
    """
    narrow, wide = (bootstrap_halving_time(THREE, seed=0, confidence=confidence) for confidence in (0.4, 0.6))
    assert [narrow.low_slope, narrow.high_slope] == pytest.approx([-1 / 8, -1 / 8], rel=1e-14)
    assert [wide.low_slope, wide.high_slope] == pytest.approx([-1 / 4, 0], abs=1e-15)
    assert wide.halving_years == 8 and not (wide.high_slope < -1e-15)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_slope_and_error_agree_with_scipy(confidence):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        days, usd = rng.integers(0, 1000, 9), 2.0 ** rng.normal(0, 3, 9)
        ours = halving_time([(START + dt.timedelta(int(n)), x) for n, x in zip(days, usd, strict=True)], confidence)
        theirs = stats.linregress(days / 365.25, np.log2(usd))
        reach = stats.t.ppf((1 + confidence) / 2, 7) * theirs.stderr
        # sums of 9 terms of size 10, whose differences are of size 0.1 or more: 9 * 100 * 2**-53 < 1e-12
        assert [ours.slope_per_year, ours.low_slope, ours.high_slope] == pytest.approx(
            [theirs.slope, theirs.slope - reach, theirs.slope + reach], rel=1e-9, abs=1e-11
        )


def test_the_interval_holds_the_true_slope_as_often_as_it_says():
    """600 sets of points about a line that halves every year: 90% +- 1.2%, and four times that is allowed."""
    rng, days = np.random.default_rng(5), np.arange(0, 1200, 150)
    held = 0
    for _ in range(600):
        usd = 2.0 ** (-days / 365.25 + rng.normal(0, 0.5, len(days)))
        fit = halving_time([(START + dt.timedelta(int(n)), x) for n, x in zip(days, usd, strict=True)], 0.9)
        held += fit.low_slope <= -1 <= fit.high_slope
    assert abs(held / 600 - 0.9) <= 4 * math.sqrt(0.9 * 0.1 / 600)


@given(points, st.floats(1e-3, 1e3))
def test_scaling_all_prices_leaves_the_halving_time_alone(rows, factor):
    assume(len({date for date, _ in rows}) > 1)
    for fit in fits:
        plain, scaled = fit(rows), fit([(date, usd * factor) for date, usd in rows])
        # logarithms of size 20 are off by 20 * 2**-53; points a day apart divide that by 1 / 365 of a year, and the
        # quantile for three points multiplies it by 13: 1e-11, and a thousand times that is allowed
        for name in ("slope_per_year", "low_slope", "high_slope"):
            assert getattr(plain, name) == pytest.approx(getattr(scaled, name), rel=1e-9, abs=1e-8)


@given(points)
def test_turning_prices_over_turns_the_slope_over(rows):
    assume(len({date for date, _ in rows}) > 1)
    plain, turned = halving_time(rows), halving_time([(date, 1 / usd) for date, usd in rows])
    assert [plain.slope_per_year, plain.low_slope] == pytest.approx(
        [-turned.slope_per_year, -turned.high_slope], rel=1e-9, abs=1e-8
    )  # as above
    assert not (plain.can_be_stated and turned.can_be_stated)


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(rows, random):
    assume(len({date for date, _ in rows}) > 1)
    shuffled = random.sample(rows, len(rows))
    for fit in fits:
        assert fit(rows) == fit(shuffled)


def test_a_rising_price_has_no_halving_time():
    rising = halving_time([("2020-01-01", 1), ("2024-01-01", 2), ("2028-01-01", 4)])
    assert (rising.halving_years, rising.low_years, rising.high_years) == (math.inf, math.inf, math.inf)
    assert str(rising) == "no halving time can be stated: it rose (3 points)"


def test_a_seed_gives_the_same_interval_again_and_another_seed_another():
    rows = blended_points(
        of_models(history(), ["gpt-3.5-turbo", "gpt-3.5-turbo-1106", "gpt-4o-mini", "gpt-4.1-mini"]), 0.2
    )
    assert bootstrap_halving_time(rows, seed=1) == bootstrap_halving_time(rows, seed=1)
    assert bootstrap_halving_time(rows, seed=1, draws=30) != bootstrap_halving_time(rows, seed=2, draws=30)


def test_which_points_are_chosen_decides_the_answer():
    """Record lows can only fall; all the prices of the table together show no fall that can be told from scatter."""
    prices = history()
    assert halving_time(blended_points(running_minimum(prices, 0.2), 0.2)).can_be_stated
    assert not halving_time(blended_points(prices, 0.2)).can_be_stated


@pytest.mark.parametrize(
    "rows, message",
    [
        (THREE[:2], "at least 3 points are needed, got 2; a line through 2 leaves no doubt to measure"),
        ([("2024-01-01", usd) for usd in (1, 2, 3)], "the points must span more than one day, got 3 on 2024-01-01"),
        ([*THREE, ("2025-01-01", 0)], "a price must be a finite number above 0, got 0; leave out what is given away"),
        ([*THREE, ("2025-01-01", math.nan)], "a price must be a finite number above 0, got nan"),
        ([*THREE, ("soon", 1)], "no such day: 'soon'; write a day as 2024-07-18"),
    ],
)
def test_points_without_a_line_are_refused(rows, message):
    for fit in fits:
        with pytest.raises(ValueError, match=message):
            fit(rows)


def test_bad_settings_are_refused():
    for confidence in (0, 1, 95):
        for fit in (halving_time, lambda rows, confidence: bootstrap_halving_time(rows, 0, confidence=confidence)):
            with pytest.raises(ValueError, match=rf"confidence must lie in \(0, 1\), got {confidence}; use 0.95"):
                fit(THREE, confidence=confidence)
    with pytest.raises(
        ValueError, match="draws must be a whole number from 1 to 100000, got 0; 2000 settle the interval"
    ):
        bootstrap_halving_time(THREE, seed=0, draws=0)
    alone = next(seed for seed in range(100) if len(set(np.random.default_rng(seed).integers(0, 3, 3).tolist())) == 1)
    with pytest.raises(ValueError, match="each of 1 draws fell on one day; raise draws, or pass points on more days"):
        bootstrap_halving_time(THREE, seed=alone, draws=1)
    with pytest.raises(ValueError, match=r"the slope must lie in its interval, got 1 and 2 to 3; use halving_time\(\)"):
        HalvingTime(1, 2, 3, points=3, confidence=0.9)
