"""How fast the price of a given score falls per year: along the record lows, and up to a day.

The two answer different questions. A line through the record lows says how steep the falls were while there were any:
it has no point for a year in which nothing became cheaper. The price on the last day, divided by the first price, says
what a buyer gained on average, standstill included; two prices have no scatter, so there is no interval.

The interval of the line is a lower bound of the uncertainty. Record lows are not independent points: each lies below
all before it. In 2000 simulated markets of 60 prices that halve twice a year and scatter by two doublings, the line
through the lows fell too steeply (2.6 halvings per year in the median), and its 95% interval contained the true 2 in 71
of 100 markets. The interval of the regression in `hedonic`, on all prices, contained it in 95. The influence of a
single model is measured by leaving out each model in turn (`without_one`). Three lows mostly give an interval so wide
that no halving time can be stated.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from mini_lib.llm.prices.checks import text
from mini_lib.llm.prices.choose import blended_usd
from mini_lib.llm.prices.halving import DAYS_PER_YEAR, HalvingTime, halving_time
from mini_lib.llm.prices.quality import Scored, cheapest_at_least, check_scored, lows_at_least
from mini_lib.llm.prices.scores import Score, by_snapshot
from mini_lib.llm.prices.table import day
from mini_lib.require import not_negative, shown

LEVELS = ("gpt-3.5", "claude-2", "gpt-4", "claude-3.5-sonnet")
SAME_POINTS = 1.0


@dataclass(frozen=True)
class Fall:
    """The record lows at a score, the line through them, and the price up to a day.

    `trend` is None where there are fewer than three lows, too few for a line. `without_one` has the smallest and the
    largest fall per year after leaving out one model, or None where that leaves no line.

    >>> from mini_lib.llm.prices.quality import scored_history
    >>> fall = fall_at_least(scored_history(), 85.4, output_share=0.2, until="2026-11-29")
    >>> fall.lows[0].price.model, len(fall.lows), fall.last.price.model
    ('gpt-4 (8k)', 9, 'llama-3.3-70b')
    """

    percent: float
    output_share: float
    lows: tuple[Scored, ...]
    trend: HalvingTime | None
    without_one: tuple[float, float] | None
    until: dt.date
    last: Scored

    @property
    def points(self) -> tuple[tuple[dt.date, float], ...]:
        """The lows as dates and USD per million tokens of the mix."""
        return _points(self.lows, self.output_share)

    @property
    def times_per_year(self) -> float:
        """How many times cheaper it became per year on average, from the first price to the cheapest on `until`."""
        years = (self.until - self.lows[0].since).days / DAYS_PER_YEAR
        return (self.points[0][1] / blended_usd(self.last.price, self.output_share)) ** (1 / years)


def level_percent(scores: Iterable[Score], snapshot: str, same_points: float = SAME_POINTS) -> float:
    """Return the least score that counts as good as `snapshot`: its own, minus the points that the test cannot resolve.

    Two models that would both answer 70% of all such questions correctly differ by at most 1.1 points in 19 of 20 tests
    with 14,042 questions, by chance alone: 1.96 * sqrt(2 * 0.7 * 0.3 / 14042). The levels are named after models:
    GPT-3.5 and GPT-4 as in the study of Epoch AI, Claude 2 between them, and Claude 3.5 Sonnet, the best of mid-2024.

    Raises:
        TypeError: something other than a `Score`, the snapshot is not a string, or `same_points` is not a number.
        ValueError: the snapshot has no score, `same_points` is negative, or the score is not larger than it.

    >>> from mini_lib.llm.prices.scores import mmlu_scores
    >>> level_percent(mmlu_scores(), "gpt-4"), level_percent(mmlu_scores(), "gpt-4", same_points=0)
    (85.4, 86.4)
    """
    same_points = not_negative("same_points", same_points, fix="0 asks for at least the same score")
    best, fix = by_snapshot(scores), f"name a snapshot such as {', '.join(LEVELS)}"
    if text("snapshot", snapshot, fix=fix) not in best:
        raise ValueError(f"{shown(snapshot)} has no score; {fix}")
    if same_points >= (percent := best[snapshot].percent):
        raise ValueError(
            f"same_points must be below the score of {snapshot} ({percent}), got {same_points}; 1 is usual"
        )
    return round(percent - same_points, 9)


def fall_at_least(rows: Iterable[Scored], percent: float, output_share: float, until: str | dt.date) -> Fall:
    """Return how the price of a score of `percent` or more fell until a day.

    Raises:
        TypeError: something other than a `Scored`.
        ValueError: no model was that good before that day, a model that good was free, or `lows_at_least()` refuses the
            settings.

    A fall from 8 to 2 in two years is one half per year; the low of 2 then lasts for two more years, (8 / 2) ** (1 /
    4):

    >>> from mini_lib.llm.prices.quality import scored
    >>> from mini_lib.llm.prices.table import Price
    >>> usd = {"2022-01-01": 8.0, "2023-01-01": 4.0, "2024-01-01": 2.0}
    >>> prices = [Price(day(on), False, "P", f"m{value:g}", value, value, "by hand") for on, value in usd.items()]
    >>> marks = [Score(price.model, 70.0, 5, "answer", "instruct", "by hand", price.date) for price in prices]
    >>> fall = fall_at_least(scored(prices, marks), 70, output_share=0.5, until="2026-01-01")
    >>> print(fall.trend)
    halves every 1.00 years (95% interval 1.00 to 1.00, 3 points)
    >>> round(fall.times_per_year, 3)
    1.414
    """
    until = day(until)
    rows = tuple(row for row in check_scored(rows) if row.since <= until)
    lows = lows_at_least(rows, percent, output_share)
    if not lows or lows[0].since == until:
        raise ValueError(f"no model scored {percent} or more before {until}; ask for a lower score or a later day")
    last = cheapest_at_least(rows, until, percent, output_share)
    if last is None:
        raise ValueError(f"no model that scored {percent} or more is on sale on {until}; ask for an earlier day")
    for row in (*lows, last):
        if blended_usd(row.price, output_share) == 0:
            raise ValueError(
                f"prices must be above 0, got 0 for {row.price.model} from {row.since} on; leave out what is given away"
            )
    trends = [_trend(_without(rows, low, percent, output_share), output_share) for low in lows]
    times = [trend.times_per_year for trend in trends if trend is not None]
    spread = (min(times), max(times)) if len(times) == len(lows) else None
    return Fall(percent, output_share, lows, _trend(lows, output_share), spread, until, last)


def _without(rows: tuple[Scored, ...], low: Scored, percent: float, output_share: float) -> tuple[Scored, ...]:
    """Return the record lows as if the model of `low` had never been sold, by anyone."""
    return lows_at_least([row for row in rows if row.score != low.score], percent, output_share)


def _trend(lows: tuple[Scored, ...], output_share: float) -> HalvingTime | None:
    return halving_time(_points(lows, output_share)) if len(lows) >= 3 else None


def _points(lows: tuple[Scored, ...], output_share: float) -> tuple[tuple[dt.date, float], ...]:
    return tuple((low.since, blended_usd(low.price, output_share)) for low in lows)
