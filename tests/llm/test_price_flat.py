"""Prices that neither fall nor rise, and falls too steep for a float: the edges of a halving time."""

import math

import pytest

from mini_lib.llm.prices import HalvingTime, bootstrap_halving_time, halving_time

DATES = ("2020-01-01", "2024-01-01", "2028-01-01")
FITS = [halving_time, lambda points: bootstrap_halving_time(points, seed=0, draws=50)]


@pytest.mark.parametrize("fit", FITS)
def test_a_price_that_stays_halves_never(fit):
    found = fit([(date, 1.0) for date in DATES])  # whose logarithm is 0
    assert (found.slope_per_year, found.low_slope, found.high_slope) == (0, 0, 0)
    assert (found.halving_years, found.low_years, found.high_years) == (math.inf, math.inf, math.inf)
    assert (found.times_per_year, found.low_times, found.high_times) == (1, 1, 1)
    assert not found.can_be_stated
    assert str(found) == "no halving time can be stated: at 95% the price may have fallen or risen (3 points)"


def test_an_end_of_the_interval_at_zero_states_nothing():
    touching = HalvingTime(-1, -2, 0, points=5, confidence=0.9)  # it may have stayed
    assert not touching.can_be_stated and touching.high_years == math.inf and touching.low_times == 1
    assert str(touching) == "no halving time can be stated: at 90% the price may have fallen or risen (5 points)"
    rising = HalvingTime(1, 0, 2, points=5, confidence=0.9)
    assert str(rising) == "no halving time can be stated: at 90% the price may have fallen or risen (5 points)"
    assert str(HalvingTime(1, 0.1, 2, points=5, confidence=0.9)) == "no halving time can be stated: it rose (5 points)"


def test_the_slope_may_be_an_end_of_its_interval():
    assert HalvingTime(-1, -1, 3, 4, 0.9).low_years == HalvingTime(-1, -3, -1, 4, 0.9).high_years == 1


def test_times_per_year_by_hand():
    """Slopes of -3, -2, -1 doublings a year divide a price by 8, 4 and 2."""
    found = HalvingTime(-2, -3, -1, points=9, confidence=0.95)
    assert (found.times_per_year, found.low_times, found.high_times) == (4, 2, 8)
    assert HalvingTime(1, 1, 1, points=9, confidence=0.95).times_per_year == 0.5


def test_a_fall_that_no_float_holds_is_infinite():
    """The largest power of 2 in a float is 2^1023."""
    assert HalvingTime(-1023, -1024, -1, points=3, confidence=0.95).times_per_year == 2.0**1023
    assert HalvingTime(-1023, -1024, -1, points=3, confidence=0.95).high_times == math.inf
    # from 1e300 to 1e-300 in a day: 365.25 * 600 / log10(2) doublings a year
    found = halving_time([("2024-01-01", 1e300), ("2024-01-02", 1.0), ("2024-01-03", 1e-300)])
    assert found.slope_per_year == pytest.approx(-365.25 * 300 / math.log10(2), rel=1e-12)
    assert found.times_per_year == math.inf


def test_two_days_are_enough_and_one_is_not():
    two_days = [("2024-01-01", 2.0), ("2024-01-01", 2.0), ("2025-01-01", 1.0)]
    assert halving_time(two_days).slope_per_year == pytest.approx(-365.25 / 366, rel=1e-12)  # 2024 has 366 days
    with pytest.raises(ValueError, match="must span more than one day, got 3 on 2024-01-01"):
        halving_time([("2024-01-01", 2.0), ("2024-01-01", 2.0), ("2024-01-01", 1.0)])


@pytest.mark.parametrize("price", [True, math.inf, -math.inf, -1.0, "4", None])
def test_what_is_no_price_is_refused(price):
    for fit in FITS:
        with pytest.raises((TypeError, ValueError), match="a price must be a (finite )?number"):
            fit([("2020-01-01", 1.0), ("2024-01-01", price), ("2028-01-01", 1.0)])
