"""Cheaper, faster, better: the data of one figure with three axes over time.

"Cheaper" fixes the score and follows the price, "faster" fixes the score and follows the speed, and "better" follows
the best score on sale. It ends where the makers of the best models no longer report this score. Each is a tuple of
plain points, ready to draw.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from mini_lib.llm.prices.choose import blended_usd
from mini_lib.llm.prices.quality import Scored, check_scored, lows_at_least
from mini_lib.llm.prices.speed import SoldSpeed, check_speeds
from mini_lib.llm.prices.table import Price, day
from mini_lib.require import of_type


@dataclass(frozen=True)
class SpeedAtScore:
    """A speed as sold, the score of the model, and the seller's price nearest in time (None if none is known).

    >>> from mini_lib.llm.prices.quality import scored_history
    >>> from mini_lib.llm.prices.speed import sold_speeds
    >>> [point] = [at for at in speeds_at_scores(scored_history(), sold_speeds()) if at.speed.model == "claude-3-opus"]
    >>> point.percent, point.price.usd_per_million_output_tokens
    (86.8, 75.0)
    """

    speed: SoldSpeed
    percent: float
    price: Price | None


@dataclass(frozen=True)
class ThreeAxes:
    """Points for a figure: (day, USD per million tokens) by score, speeds at scores, and (day, percent, model).

    `cheaper` has one series per requested score; its last point repeats the lowest price on the last day, so that a
    standstill shows as a flat line.
    """

    cheaper: tuple[tuple[float, tuple[tuple[dt.date, float], ...]], ...]
    faster: tuple[SpeedAtScore, ...]
    better: tuple[tuple[dt.date, float, str], ...]


def three_axes(
    rows: Iterable[Scored],
    speeds: Iterable[SoldSpeed],
    percents: Iterable[float],
    output_share: float,
    until: str | dt.date,
) -> ThreeAxes:
    """Return the data of a figure of price, speed and score over time, up to a day.

    Raises:
        TypeError: something other than a `Scored` or a `SoldSpeed`, or a score is not a number.
        ValueError: no model reached one of `percents` by `until`, or `output_share` is not from 0 to 1.

    >>> from mini_lib.llm.prices.quality import scored_history
    >>> from mini_lib.llm.prices.speed import sold_speeds
    >>> figure = three_axes(scored_history(), sold_speeds(), [69.0, 85.4], output_share=0.2, until="2026-11-29")
    >>> percent, steps = figure.cheaper[1]
    >>> percent, steps[0][1], round(steps[-1][1], 3)
    (85.4, 36.0, 0.156)
    >>> [(on.year, percent) for on, percent, _ in figure.better]
    [(2023, 70.0), (2023, 86.4), (2024, 86.8), (2024, 87.2), (2024, 88.7), (2025, 90.8), (2025, 92.9)]
    """
    until = day(until)
    rows = tuple(row for row in check_scored(rows) if row.since <= until)
    speeds = tuple(speed for speed in check_speeds(speeds) if speed.date <= until)
    cheaper = []
    for percent in of_type("percents", percents, Iterable, fix="give scores such as (69.0, 85.4)"):
        lows = lows_at_least(rows, percent, output_share)
        if not lows:
            raise ValueError(f"no model scored {percent} or more by {until}; ask for a lower score or a later day")
        steps = [(low.since, blended_usd(low.price, output_share)) for low in lows]
        cheaper.append((percent, (*steps, (until, steps[-1][1]))))
    return ThreeAxes(tuple(cheaper), speeds_at_scores(rows, speeds), best_scores(rows))


def speeds_at_scores(rows: Iterable[Scored], speeds: Iterable[SoldSpeed]) -> tuple[SpeedAtScore, ...]:
    """Join each speed to the score of its model on that day; speeds of models without a score are left out.

    Raises:
        TypeError: something other than a `Scored` or a `SoldSpeed`.

    >>> from mini_lib.llm.prices.quality import scored_history
    >>> from mini_lib.llm.prices.speed import sold_speeds
    >>> fast = max(speeds_at_scores(scored_history(), sold_speeds()), key=lambda at: at.speed.output_tokens_per_s)
    >>> fast.speed.model, fast.percent
    ('gpt-oss-120b', 88.0)
    """
    rows, found = check_scored(rows), []
    for speed in check_speeds(speeds):
        named = [row for row in rows if row.price.model == speed.model]
        sold = [row for row in named if row.price.provider == speed.provider]
        if known := sold or named:
            nearest = min(known, key=lambda row: (row.since > speed.date, abs(row.since - speed.date)))
            if nearest.score is not None:
                price = min((row.price for row in sold), key=lambda price: abs(price.date - speed.date), default=None)
                found.append(SpeedAtScore(speed, nearest.score.percent, price))
    return tuple(found)


def best_scores(rows: Iterable[Scored]) -> tuple[tuple[dt.date, float, str], ...]:
    """Return each day on which a score better than all before came on sale, with that score and its (cheapest) model.

    Raises:
        TypeError: something other than a `Scored`.

    >>> from mini_lib.llm.prices.quality import scored_history
    >>> best_scores(scored_history())[1][1:]
    (86.4, 'gpt-4 (8k)')
    """
    best: list[tuple[dt.date, float, str]] = []
    known = [row for row in check_scored(rows) if row.score is not None]
    for row in sorted(known, key=lambda row: (row.since, -row.score.percent, blended_usd(row.price, 0.5))):
        if not best or row.score.percent > best[-1][1]:
            best.append((row.since, row.score.percent, row.price.model))
    return tuple(best)
