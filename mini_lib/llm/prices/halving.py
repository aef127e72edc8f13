"""The years in which a price halves, by a straight line through its logarithm, and how certain that is.

The interval says how well a line fits the chosen points, and no more. The choice of points decides the answer: list
prices do not hold quality constant, sellers choose when to change them, and a set of record lows can only fall. State
the set whenever you state the number.
"""

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mini_lib.llm.prices.choose import blended_usd
from mini_lib.llm.prices.table import Price, check_prices, day
from mini_lib.require import checked, finite, of_type, positive, share, shown, whole

DAYS_PER_YEAR = 365.25
_Point = tuple[dt.date | str, float]


@dataclass(frozen=True)
class HalvingTime:
    """The slope of log2(price) in doublings per year, its interval, and the years in which the price halves.

    A falling price has a negative slope. `confidence` is the share of intervals that contain the true slope if the
    points scatter independently about a line. Successive prices seldom do, so take the interval as a lower bound of the
    uncertainty.

    Raises:
        TypeError: a slope is not a number, or `points` is not a whole number.
        ValueError: the slope is outside its interval, there are fewer than 3 points, or the confidence is outside 0 to
            1.

    A price that halves twice a year, give or take one halving:

    >>> print(HalvingTime(slope_per_year=-2, low_slope=-3, high_slope=-1, points=9, confidence=0.95))
    halves every 0.50 years (95% interval 0.33 to 1.00, 9 points)
    >>> print(HalvingTime(slope_per_year=-2, low_slope=-5, high_slope=1, points=4, confidence=0.95))
    no halving time can be stated: at 95% the price may have fallen or risen (4 points)
    """

    slope_per_year: float
    low_slope: float
    high_slope: float
    points: int
    confidence: float

    def __post_init__(self) -> None:
        for name in ("slope_per_year", "low_slope", "high_slope"):
            checked(self, name, finite, fix="use halving_time()")
        checked(self, "points", whole, low=3, fix="a line through 2 leaves no doubt to measure")
        checked(self, "confidence", share, one=False, fix="use 0.95")
        if not self.low_slope <= self.slope_per_year <= self.high_slope:
            raise ValueError(
                f"the slope must lie in its interval, got {self.slope_per_year} and {self.low_slope} to "
                f"{self.high_slope}; use halving_time()"
            )

    @property
    def can_be_stated(self) -> bool:
        """Whether the price falls in the whole interval."""
        return self.high_slope < 0

    @property
    def halving_years(self) -> float:
        """The best fit, infinite if it does not fall. Do not quote it unless `can_be_stated`."""
        return _years(self.slope_per_year)

    @property
    def low_years(self) -> float:
        """The shortest halving time in the interval."""
        return _years(self.low_slope)

    @property
    def high_years(self) -> float:
        """The longest halving time in the interval, infinite unless `can_be_stated`."""
        return _years(self.high_slope)

    @property
    def times_per_year(self) -> float:
        """How many times cheaper it becomes per year by the best fit; below 1 the price rose."""
        return _times(self.slope_per_year)

    @property
    def low_times(self) -> float:
        """The smallest fall per year in the interval; below 1 the price may have risen."""
        return _times(self.high_slope)

    @property
    def high_times(self) -> float:
        """The largest fall per year in the interval."""
        return _times(self.low_slope)

    def __str__(self) -> str:
        percent = f"{100 * self.confidence:g}%"
        if self.can_be_stated:
            return (
                f"halves every {self.halving_years:.2f} years "
                f"({percent} interval {self.low_years:.2f} to {self.high_years:.2f}, {self.points} points)"
            )
        rose = "it rose" if self.low_slope > 0 else f"at {percent} the price may have fallen or risen"
        return f"no halving time can be stated: {rose} ({self.points} points)"


def blended_points(prices: Iterable[Price], output_share: float) -> tuple[tuple[dt.date, float], ...]:
    """Return each price's date and its USD per million tokens of the mix.

    Raises:
        TypeError: something other than a `Price`.
        ValueError: `output_share` is not from 0 to 1.

    >>> blended_points([Price(dt.date(2024, 7, 18), False, "P", "m", 1.0, 3.0, "by hand")], output_share=0.5)
    ((datetime.date(2024, 7, 18), 2.0),)
    """
    return tuple((price.date, blended_usd(price, output_share)) for price in check_prices(prices))


def halving_time(points: Iterable[_Point], confidence: float = 0.95) -> HalvingTime:
    """Fit log2(price) = a + b * years by least squares, with Student's t-interval of b for n - 2 degrees of freedom.

    A point is a date and a price in USD, in any order.

    Raises:
        TypeError: a price or the confidence is not a number, or a point is not a pair.
        ValueError: there are fewer than 3 points, all are on one day, a price is not above 0, or the confidence is
            outside 0 to 1.

    A price that is 8, 4, 2, 1 on the first days of four years in a row halves every year; 2024 had one day more:

    >>> print(halving_time([("2022-01-01", 8), ("2023-01-01", 4), ("2024-01-01", 2), ("2025-01-01", 1)]))
    halves every 1.00 years (95% interval 1.00 to 1.00, 4 points)

    Source: Draper, Smith, "Applied Regression Analysis", 3rd edition, 1998, section 1.4.
    """
    confidence = share("confidence", confidence, one=False, fix="use 0.95")
    years, logs = _axes(points)
    slope = float(_slopes(years, logs))
    moves = logs - logs[0]
    residuals = moves - moves.mean() - slope * (years - years.mean())
    spread = float(np.sum((years - years.mean()) ** 2))
    error = math.sqrt(float(residuals @ residuals) / (len(years) - 2) / spread)
    reach = float(stats.t.isf((1 - confidence) / 2, len(years) - 2)) * error
    return HalvingTime(slope, slope - reach, slope + reach, len(years), confidence)


def bootstrap_halving_time(
    points: Iterable[_Point], seed: int, draws: int = 2000, confidence: float = 0.95
) -> HalvingTime:
    """Fit the same line, with the interval that contains the share `confidence` of the slopes of resampled points.

    Each draw takes as many points as there are, with replacement, so it assumes no shape of the scatter; draws whose
    points all fall on one day have no slope and are left out. With few points the interval is too narrow.

    Raises:
        TypeError, ValueError: as `halving_time()`, `seed` is not a whole number of 0 or more, or `draws` is not one
            from 1 to 100,000.

    >>> print(bootstrap_halving_time([("2022-01-01", 8), ("2023-01-01", 4), ("2024-01-01", 2)], seed=0))
    halves every 1.00 years (95% interval 1.00 to 1.00, 3 points)

    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, sections 9.5 and 13.3.
    """
    confidence = share("confidence", confidence, one=False, fix="use 0.95")
    draws = whole("draws", draws, low=1, high=100_000, fix="2000 settle the interval to about a percent")
    seed = whole("seed", seed, low=0, fix="the same seed gives the same interval")
    years, logs = _axes(points)
    chosen = np.random.default_rng(seed).integers(0, len(years), (draws, len(years)))
    chosen = chosen[np.ptp(years[chosen], axis=1) > 0]
    slope = float(_slopes(years, logs))
    if not len(chosen):
        raise ValueError(f"each of {draws} draws fell on one day; raise draws, or pass points on more days")
    tail = (1 - confidence) / 2
    low, high = (float(edge) for edge in np.quantile(_slopes(years[chosen], logs[chosen]), (tail, 1 - tail)))
    return HalvingTime(slope, min(low, slope), max(high, slope), len(years), confidence)


def _point(point: object) -> tuple[dt.date, float]:
    """Return the day and the price of a point."""
    if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
        raise TypeError(f"each of points must be a pair, got {shown(point)}; use ('2024-07-18', 0.24)")
    return day(point[0]), positive("a price", point[1], fix="leave out what is given away: it has no logarithm")


def _times(slope: float) -> float:
    """Return the number that divides a price with this slope in a year; infinite where a float cannot hold it."""
    return 2.0**-slope if slope > -1024 else math.inf


def _years(slope_per_year: float) -> float:
    return -1 / slope_per_year if slope_per_year < 0 else math.inf


def _slopes(years: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return the least-squares slopes along the last axis; exactly 0 where all logarithms are the same."""
    centred = years - years.mean(axis=-1, keepdims=True)
    return np.sum(centred * (logs - logs[..., :1]), axis=-1) / np.sum(centred**2, axis=-1)


def _axes(points: Iterable[_Point]) -> tuple[np.ndarray, np.ndarray]:
    """Return the years since the first day, and the binary logarithms of the prices."""
    points = sorted(map(_point, of_type("points", points, Iterable, fix="use blended_points()")))
    if len(points) < 3:
        raise ValueError(
            f"at least 3 points are needed, got {len(points)}; a line through 2 leaves no doubt to measure"
        )
    dates, usd = zip(*points, strict=True)
    if dates[0] == dates[-1]:
        raise ValueError(f"the points must span more than one day, got {len(points)} on {dates[0]}; add other dates")
    years = np.array([(date - dates[0]).days / DAYS_PER_YEAR for date in dates])
    return years, np.log2(np.array(usd, dtype=float))
