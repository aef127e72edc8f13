"""The cost of tokens to a buyer: one price for a mix of tokens, and the cheapest model on a day.

Quality is not held constant: the cheapest model is seldom the best. Pass `among` to compare like with like.
"""

import datetime as dt
import difflib
from collections.abc import Iterable

from mini_lib.llm.prices.checks import text
from mini_lib.llm.prices.table import Price, check_prices, day
from mini_lib.require import not_negative, of_type, share, shown


def blended_usd(price: Price, output_share: float) -> float:
    """Return USD per million tokens of which `output_share`, from 0 to 1, are written and the others read.

    Raises:
        TypeError: not a `Price`, or `output_share` is not a number.
        ValueError: `output_share` is not from 0 to 1.

    Of five tokens four are read at 0.15 and one is written at 0.60, so (4 * 0.15 + 0.60) / 5; three to one gives
    (3 * 0.15 + 0.60) / 4:

    >>> mini = Price(dt.date(2024, 7, 18), False, "OpenAI", "gpt-4o-mini", 0.15, 0.60, "announcement")
    >>> round(blended_usd(mini, 0.2), 4), round(blended_usd(mini, 0.25), 4)
    (0.24, 0.2625)
    """
    price, output_share = of_type("price", price, Price, fix="use one of history()"), written_share(output_share)
    return _mix(price.usd_per_million_input_tokens, price.usd_per_million_output_tokens, output_share)


def sold_over_made(
    price: Price,
    made_usd_per_million_input_tokens: float,
    made_usd_per_million_output_tokens: float,
    output_share: float,
) -> float:
    """Return the price of tokens divided by their cost to make.

    The cost is a model of the machines alone, so the rest is not all profit: it also pays for staff, idle machines and
    the training of the model. Below 1, tokens are sold for less than this cost.

    Raises:
        TypeError: not a `Price`, or something is not a number.
        ValueError: a cost is negative, they are both 0, or `output_share` is not from 0 to 1.

    Sold at 0.24 for the mix, made at (4 * 0.05 + 0.20) / 5 = 0.08:

    >>> mini = Price(dt.date(2024, 7, 18), False, "OpenAI", "gpt-4o-mini", 0.15, 0.60, "announcement")
    >>> round(sold_over_made(mini, 0.05, 0.20, output_share=0.2), 9)
    3.0
    """
    made = tuple(
        not_negative("what tokens cost to make", cost, fix="give USD for a million")
        for cost in (made_usd_per_million_input_tokens, made_usd_per_million_output_tokens)
    )
    sold, cost = blended_usd(price, output_share), _mix(*made, written_share(output_share))
    if cost == 0:
        raise ValueError(f"tokens that cost 0 to make have no ratio, got {made}; give USD for a million of each kind")
    return sold / cost


def price_on(prices: Iterable[Price], model: str, on: str | dt.date, provider: str | None = None) -> Price:
    """Return the price of `model` in force on a day: its latest row up to that day.

    Raises:
        TypeError: something other than a `Price`, or a name is not a string.
        ValueError: there is no such model (the message has the nearest names), several providers sell it and none is
            named, or the day is before its first price.

    >>> from mini_lib.llm.prices.table import history
    >>> price_on(history(), "deepseek-chat", "2025-03-01").usd_per_million_output_tokens
    1.1
    """
    prices, on = check_prices(prices), day(on)
    rows = of_models(prices, (model,))
    sellers = sorted({price.provider for price in rows})
    if provider is not None:
        text("provider", provider, fix=f"name one, such as {sellers[0]!r}")
    if provider is None and len(sellers) > 1:
        raise ValueError(f"{model} is sold by {', '.join(sellers)}; name one, such as provider={sellers[0]!r}")
    if provider is not None and provider not in sellers:
        raise ValueError(f"{model} is sold by {', '.join(sellers)}, got provider={shown(provider)}; name one of them")
    rows = [price for price in rows if provider in (None, price.provider)]
    return max(_not_after(rows, on), key=lambda price: price.date)


def cheapest(
    prices: Iterable[Price], on: str | dt.date, output_share: float, among: Iterable[str] | None = None
) -> Price:
    """Return the cheapest price in force on a day, of all models or of those that `among` names.

    A later row replaces an earlier one of the same provider and model. A successor with another name does not: its
    predecessor counts as still sold at its last price, since the table does not say when a model was withdrawn.

    Raises:
        TypeError: something other than a `Price`, or a name is not a string.
        ValueError: a name in `among` is unknown, `among` is empty, `output_share` is not from 0 to 1, or the day is
            before the first price.

    >>> from mini_lib.llm.prices.table import history
    >>> cheapest(history(), "2023-05-01", output_share=0.2).model
    'gpt-3.5-turbo'
    """
    prices, on, output_share = check_prices(prices), day(on), written_share(output_share)
    rows = prices if among is None else of_models(prices, among)
    in_force = {}
    for price in sorted(_not_after(rows, on), key=lambda price: price.date):
        in_force[price.provider, price.model] = price
    return min(in_force.values(), key=lambda price: blended_usd(price, output_share))


def running_minimum(
    prices: Iterable[Price], output_share: float, among: Iterable[str] | None = None
) -> tuple[Price, ...]:
    """Return the prices that were lower than all before them, in order of date: the record lows.

    They only fall, by definition; the price on a day, `cheapest`, may also rise.

    Raises:
        TypeError: something other than a `Price`, or a name is not a string.
        ValueError: a name in `among` is unknown, there is no price, or `output_share` is not from 0 to 1.

    At 3, 2, 2.5 and 1 the first, second and fourth are records:

    >>> def at(number, usd):
    ...     return Price(dt.date(2024, number, 1), False, "P", "m", usd, usd, "by hand")
    >>> [low.usd_per_million_input_tokens for low in running_minimum([at(1, 3), at(2, 2), at(3, 2.5), at(4, 1)], 0.5)]
    [3, 2, 1]
    """
    prices, output_share = check_prices(prices), written_share(output_share)
    rows = prices if among is None else of_models(prices, among)
    if not rows:
        raise ValueError("there must be at least one price, got none; use history()")
    lows: list[Price] = []
    for price in sorted(rows, key=lambda price: (price.date, blended_usd(price, output_share))):
        if not lows or blended_usd(price, output_share) < blended_usd(lows[-1], output_share):
            lows.append(price)
    return tuple(lows)


def of_models(prices: Iterable[Price], models: Iterable[str]) -> tuple[Price, ...]:
    """Return the prices of the named models, in their original order.

    Raises:
        TypeError: something other than a `Price`, or a name is not a string.
        ValueError: a name is unknown (the message has the nearest), or no name is given.

    >>> from mini_lib.llm.prices.table import history
    >>> {price.provider for price in of_models(history(), ["gpt-4o", "gpt-4o-mini"])}
    {'OpenAI'}
    """
    prices, fix = check_prices(prices), "pass names such as ('gpt-4o', 'gpt-4o-mini')"
    names = (models,) if isinstance(models, str) else of_type("models", models, Iterable, fix=fix)
    models = tuple(text("each of models", model, fix=fix) for model in names)
    if not models:
        raise ValueError("at least one model must be named, got none; pass names such as ('gpt-4o', 'gpt-4o-mini')")
    known = {price.model for price in prices}
    for model in models:
        if model not in known:
            near = difflib.get_close_matches(model[:100], sorted(known), n=3, cutoff=0.5)
            fix = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
            raise ValueError(f"no price of a model named {shown(model)}; {fix}")
    return tuple(price for price in prices if price.model in models)


def written_share(output_share: object) -> float:
    """Return the share of the tokens that are written.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not from 0 to 1.
    """
    return share("output_share", output_share, zero=True, fix="0.2 means that one token in five is written")


def _mix(read_usd: float, written_usd: float, output_share: float) -> float:
    """Return the weighted mean, clipped to the range between the two."""
    mixed = read_usd * (1 - output_share) + written_usd * output_share
    return min(max(mixed, min(read_usd, written_usd)), max(read_usd, written_usd))  # rounding might exceed an end


def _not_after(rows: Iterable[Price], on: dt.date) -> list[Price]:
    """Return the rows dated `on` or earlier; if there is none, the error gives the date of the first."""
    rows = list(rows)
    if not rows:
        raise ValueError("there must be at least one price, got none; use history()")
    early = [price for price in rows if price.date <= on]
    if not early:
        first = min(price.date for price in rows)
        raise ValueError(f"no price is known on {on}; the first here is from {first}, ask for that day or a later one")
    return early
