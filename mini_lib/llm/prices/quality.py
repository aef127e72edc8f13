"""The price of a given quality: prices joined to scores, the cheapest at or above a score, and its record lows.

Only models whose maker reports a score are included, so the cheapest one here may cost more than the cheapest that was
sold. A price counts from its day until the same provider lists another price for that name, or moves the name to
another snapshot; the table does not say when a model was withdrawn. A price per token is not a price per answer: a
model that reasons writes more tokens for its score.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from mini_lib.llm.prices.aliases import Alias, check_moves, name_moves, snapshot_on
from mini_lib.llm.prices.checks import all_of
from mini_lib.llm.prices.checks import date as is_date
from mini_lib.llm.prices.choose import blended_usd, written_share
from mini_lib.llm.prices.scores import Preference, Score, by_snapshot, five_shot_first, mmlu_scores
from mini_lib.llm.prices.table import Price, check_prices, day, history
from mini_lib.require import checked, of_type, positive


@dataclass(frozen=True)
class Scored:
    """A price, the day from which it buys this quality, and the score of the snapshot that it buys (None if unknown).

    Raises:
        TypeError: not a `Price`, a `datetime.date`, and a `Score` or None.
        ValueError: `since` is before the price's own day.

    >>> row = scored_history()[0]
    >>> row.price.model, row.since.isoformat(), row.score.percent
    ('gpt-3.5-turbo', '2023-03-01', 70.0)
    """

    price: Price
    since: dt.date
    score: Score | None

    def __post_init__(self) -> None:
        of_type("price", self.price, Price, fix="use one of history()")
        checked(self, "since", is_date, fix="use day('2024-10-02')")
        of_type("score", self.score, (Score, type(None)), fix="use one of mmlu_scores(), or None")
        if self.since < self.price.date:
            raise ValueError(f"since ({self.since}) must not be before the price ({self.price.date}); use scored()")


def scored_history(prefer: Preference = five_shot_first) -> tuple[Scored, ...]:
    """Return the shipped prices joined to the shipped scores, ordered by day.

    Raises:
        TypeError: `prefer` cannot be called.
        ValueError: a file is missing or damaged.

    >>> sum(row.score is not None for row in scored_history()) > 50
    True
    """
    return scored(history(), mmlu_scores(), name_moves(), prefer)


def scored(
    prices: Iterable[Price], scores: Iterable[Score], moves: Iterable[Alias] = (), prefer: Preference = five_shot_first
) -> tuple[Scored, ...]:
    """Join each price to the score of its snapshot, with a further row where a name moves to another score.

    Raises:
        TypeError: something other than a `Price`, a `Score` or an `Alias`, or `prefer` cannot be called.

    >>> from mini_lib.llm.prices.table import day
    >>> price = Price(day("2024-01-01"), False, "P", "m", 1.0, 1.0, "by hand")
    >>> old = Score("m-1", 70.0, 5, "answer", "instruct", "by hand", day("2024-01-01"))
    >>> moves = [Alias("P", "m", day("2024-01-01"), "m-1", "log"), Alias("P", "m", day("2024-06-01"), "m-2", "log")]
    >>> [(row.since.isoformat(), row.score and row.score.percent) for row in scored([price], [old], moves)]
    [('2024-01-01', 70.0), ('2024-06-01', None)]
    """
    moves, best = check_moves(moves), by_snapshot(scores, prefer)
    shelves: dict[tuple[str, str], list[Price]] = {}
    for price in check_prices(prices):
        shelves.setdefault((price.provider, price.model), []).append(price)
    rows = []
    for (provider, model), shelf in shelves.items():
        shelf.sort(key=lambda price: price.date)
        moved = {move.since for move in moves if (move.provider, move.name) == (provider, model)}
        before = None
        for since in sorted({price.date for price in shelf} | {on for on in moved if on > shelf[0].date}):
            price = max((price for price in shelf if price.date <= since), key=lambda price: price.date)
            score = best.get(snapshot_on(moves, provider, model, since))
            if (price, score) != before:
                rows.append(Scored(price, since, score))
            before = (price, score)
    return tuple(sorted(rows, key=lambda row: row.since))


def cheapest_at_least(
    rows: Iterable[Scored], on: str | dt.date, percent: float, output_share: float, unscored: bool = False
) -> Scored | None:
    """Return the cheapest row in force on a day whose score is `percent` or more, or None if there is none.

    With `unscored`, a model without a score counts as good enough, so that the true price lies between the two.

    Raises:
        TypeError: something other than a `Scored`.
        ValueError: `output_share` is not from 0 to 1, or `percent` is not above 0.

    >>> cheapest_at_least(scored_history(), "2024-01-01", 86.4, output_share=0.2).price.model
    'gpt-4 (8k)'
    """
    of_type("unscored", unscored, bool, fix="True counts a model without a score")
    percent, output_share, on = _percent(percent), written_share(output_share), day(on)
    in_force: dict[tuple[str, str], Scored] = {}
    for row in sorted((row for row in check_scored(rows) if row.since <= on), key=lambda row: row.since):
        in_force[row.price.provider, row.price.model] = row
    good = [row for row in in_force.values() if _good(row, percent, unscored)]
    return min(good, key=lambda row: blended_usd(row.price, output_share), default=None)


def lows_at_least(
    rows: Iterable[Scored], percent: float, output_share: float, unscored: bool = False
) -> tuple[Scored, ...]:
    """Return the rows at `percent` or more that were cheaper than all such rows before them: the record lows.

    They begin with the first model that was good enough, and they only fall. A price that stays the same or rises is
    not a record: two years without a low are not in this list.

    Raises:
        TypeError: something other than a `Scored`.
        ValueError: `output_share` is not from 0 to 1, or `percent` is not above 0.

    >>> [low.price.model for low in lows_at_least(scored_history(), 86.4, output_share=0.2)][:2]
    ['gpt-4 (8k)', 'claude-3-opus']
    """
    of_type("unscored", unscored, bool, fix="True counts a model without a score")
    percent, output_share = _percent(percent), written_share(output_share)
    lows: list[Scored] = []
    good = (row for row in check_scored(rows) if _good(row, percent, unscored))
    for row in sorted(good, key=lambda row: (row.since, blended_usd(row.price, output_share))):
        if not lows or blended_usd(row.price, output_share) < blended_usd(lows[-1].price, output_share):
            lows.append(row)
    return tuple(lows)


def _good(row: Scored, percent: float, unscored: bool) -> bool:
    return unscored if row.score is None else row.score.percent >= percent


def _percent(percent: object) -> float:
    return positive("percent", percent, fix="give a score such as 70.0")


def check_scored(rows: object) -> tuple[Scored, ...]:
    """Return the rows as a tuple.

    Raises:
        TypeError: something other than a `Scored`.
    """
    return all_of("rows", rows, Scored, fix="use scored_history()")
