"""The fall of the price at constant score, from all prices at once: a hedonic regression.

It fits log2(price) = a + b * years + c * score to every scored price, record or not. b says how the price of the same
score moves per year, and c how much a point adds to the price. Since prices that are not records are kept, a standstill
counts.

A model is sold by several providers and at several times, and its prices share everything that the score does not
explain. So the errors are clustered: the sum of x * residual is taken for each snapshot, then squared. An independent
error for each price would claim more than is known.

Source: Griliches, "Hedonic Price Indexes for Automobiles", 1961; Cameron, Miller, "A Practitioner's Guide to
Cluster-Robust Inference", 2015, equations 10 to 12.
"""

import datetime as dt
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mini_lib.llm.prices.choose import blended_usd
from mini_lib.llm.prices.halving import DAYS_PER_YEAR, HalvingTime
from mini_lib.llm.prices.quality import Scored, check_scored
from mini_lib.require import callable_, checked, finite, of_type, positive, share, whole


@dataclass(frozen=True)
class Hedonic:
    """The fall at constant score, and by how many doublings a point of score raises the price, with its interval.

    `explained` is the share of the variance of log2(price) that date and score explain, from 0 to 1.

    Raises:
        TypeError: the trend is not a `HalvingTime`, or a figure is not a number.
        ValueError: the price of a point is outside its interval, or there are fewer than 3 clusters.
    """

    trend: HalvingTime
    doublings_per_point: float
    low_per_point: float
    high_per_point: float
    explained: float
    clusters: int

    def __post_init__(self) -> None:
        of_type("trend", self.trend, HalvingTime, fix="use hedonic_fit()")
        for name in ("doublings_per_point", "low_per_point", "high_per_point", "explained"):
            checked(self, name, finite, fix="use hedonic_fit()")
        checked(self, "clusters", whole, low=3, fix="two leave no doubt to measure")
        if not self.low_per_point <= self.doublings_per_point <= self.high_per_point:
            raise ValueError(
                f"the price of a point must lie in its interval, got {self.doublings_per_point} and "
                f"{self.low_per_point} to {self.high_per_point}; use hedonic_fit()"
            )


def by_model(row: Scored) -> str:
    """Name the cluster of a row: the snapshot that it buys, no matter who sells it.

    Raises:
        TypeError: not a `Scored`.
        ValueError: it has no score.
    """
    if of_type("row", row, Scored, fix="use one of scored_history()").score is None:
        raise ValueError(f"row must have a score, got none for {row.price.model}; leave it out")
    return row.score.snapshot


def by_provider(row: Scored) -> str:
    """Name the cluster of a row: the provider that sells it.

    Raises:
        TypeError: not a `Scored`.
    """
    return of_type("row", row, Scored, fix="use one of scored_history()").price.provider


def hedonic_fit(
    rows: Iterable[Scored], output_share: float, cluster: Callable[[Scored], str] = by_model, confidence: float = 0.95
) -> Hedonic:
    """Fit log2(price) = a + b * years + c * score by least squares, with errors clustered by `cluster`.

    Rows without a score are left out. The intervals are Student's t with one degree of freedom fewer than clusters, and
    with the usual small-sample factor G / (G - 1) * (n - 1) / (n - 3).

    Raises:
        TypeError: something other than a `Scored`, or `cluster` cannot be called or does not name a cluster.
        ValueError: there are fewer than 4 scored rows or 3 clusters, date and score do not vary independently, a price
            is 0, or all prices are the same.

    Prices of exactly 2 ** (score / 10 - years): they halve every year and double with every ten points.

    >>> from mini_lib.llm.prices.quality import scored
    >>> from mini_lib.llm.prices.scores import Score
    >>> from mini_lib.llm.prices.table import Price, day
    >>> cells = {"a": ("2020-01-01", 70), "b": ("2024-01-01", 70), "c": ("2020-01-01", 80), "d": ("2024-01-01", 90)}
    >>> marks = [Score(m, float(p), 5, "answer", "instruct", "by hand", day(on)) for m, (on, p) in cells.items()]
    >>> usd = {m: 2.0 ** (p / 10 - (int(on[:4]) - 2020)) for m, (on, p) in cells.items()}
    >>> prices = [Price(day(on), False, "P", m, usd[m], usd[m], "by hand") for m, (on, _) in cells.items()]
    >>> fit = hedonic_fit(scored(prices, marks), output_share=0.5)
    >>> round(fit.trend.slope_per_year, 9), round(fit.doublings_per_point, 9)
    (-1.0, 0.1)
    """
    confidence = share("confidence", confidence, one=False, fix="use 0.95")
    rows = tuple(row for row in check_scored(rows) if row.score is not None)
    cluster = callable_("cluster", cluster, fix="use by_model or by_provider")
    names = [of_type("cluster(row)", cluster(row), Hashable, fix="name the cluster, as by_model does") for row in rows]
    _check(len(rows), len(set(names)))
    x = np.array([[1.0, _years(row.since), row.score.percent] for row in rows])
    usd = [
        positive("a price", blended_usd(row.price, output_share), fix="leave out what is given away") for row in rows
    ]
    y = np.log2(usd)
    if not _independent(x[:, 1], x[:, 2]):
        raise ValueError("date and score must vary independently; pass rows of several days and scores")
    if np.ptp(y) == 0:
        raise ValueError(f"prices must differ, got {usd[0]:g} USD for all; there is nothing to explain")
    fit = np.linalg.lstsq(x, y, rcond=None)[0]
    residuals = y - x @ fit
    errors = np.sqrt(np.diag(_clustered(x, residuals, names)))
    reach = float(stats.t.isf((1 - confidence) / 2, len(set(names)) - 1)) * errors
    (_, slope, point), (_, below, beside) = fit.tolist(), reach.tolist()
    explained = 1 - float(residuals @ residuals) / float(np.sum((y - y.mean()) ** 2))
    trend = HalvingTime(slope, slope - below, slope + below, len(rows), confidence)
    return Hedonic(trend, point, point - beside, point + beside, explained, len(set(names)))


def _independent(years: np.ndarray, percents: np.ndarray) -> bool:
    """Whether neither is a linear function of the other: their correlation is at least slightly below 1.

    The days are rounded to 1e-16 years, so a line that is exact on paper is off by no more than that.
    """
    a, b = (column - column.mean() for column in (years, percents))
    spread = float(a @ a) * float(b @ b)
    return spread > 0 and float(a @ b) ** 2 < (1 - 1e-9) * spread


def _clustered(x: np.ndarray, residuals: np.ndarray, names: list[Hashable]) -> np.ndarray:
    """Return the covariance of the coefficients: bread * sum of each cluster's outer square * bread."""
    n, k = x.shape
    bread = np.linalg.inv(x.T @ x)
    order = {name: place for place, name in enumerate(dict.fromkeys(names))}
    sums = np.zeros((len(order), k))
    np.add.at(sums, [order[name] for name in names], x * residuals[:, None])
    groups = len(order)
    return groups / (groups - 1) * (n - 1) / (n - k) * bread @ (sums.T @ sums) @ bread


def _years(on: dt.date) -> float:
    return (on - dt.date(2023, 1, 1)).days / DAYS_PER_YEAR


def _check(rows: int, clusters: int) -> None:
    if rows < 4 or clusters < 3:
        raise ValueError(
            f"at least 4 scored rows in 3 clusters are needed, got {rows} in {clusters}; three coefficients leave "
            f"no doubt to measure otherwise"
        )
