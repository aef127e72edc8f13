"""How prices moved: each fall and each rise, of one name or along a line of products.

A line is a tuple of names in which each model succeeds the one before it in the seller's range. You choose which models
form a line, and a successor may be larger, smaller or better: a rise along a line does not mean a higher price for the
same thing.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from mini_lib.llm.prices.choose import blended_usd, of_models
from mini_lib.llm.prices.table import Price, check_prices
from mini_lib.require import checked, not_negative, of_type

OPENAI_LARGE = (
    "gpt-4 (8k)", "gpt-4-turbo", "gpt-4o", "gpt-4.1", "gpt-5", "gpt-5.1", "gpt-5.2", "gpt-5.4", "gpt-5.5",
    "gpt-5.6-sol", "gpt-6-sol",
)  # fmt: skip
OPENAI_SMALL = (
    "gpt-3.5-turbo", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-0125", "gpt-4o-mini", "gpt-4.1-mini",
    "gpt-5-mini", "gpt-5.4-mini",
)  # fmt: skip
GEMINI_FLASH = (
    "gemini-1.5-flash",
    "gemini-2.0-flash",
    "gemini-2.5-flash",
    "gemini-3-flash-preview",
    "gemini-3.6-flash",
)
CLAUDE_HAIKU = ("claude-3-haiku", "claude-3.5-haiku", "claude-haiku-4.5", "claude-haiku-5.5")
OPEN_8B = ("llama-3-8b", "llama-3.1-8b")
OPEN_70B = ("llama-2-70b", "llama-3-70b", "llama-3.1-70b", "llama-3.3-70b")


@dataclass(frozen=True)
class Change:
    """One change of a price: the old price, the new one, and their ratio for a mix of tokens.

    Raises:
        TypeError: not two `Price`s and a number.
        ValueError: `ratio` is negative or not a number, or `after` is older than `before`.

    >>> from mini_lib.llm.prices.table import day
    >>> old = Price(day("2025-01-01"), False, "P", "m", 1.0, 1.0, "by hand")
    >>> new = Price(day("2025-02-01"), False, "P", "m", 0.5, 0.5, "by hand")
    >>> print(Change(old, new, 0.5))
    2025-02-01 m: 1 / 1 -> 0.5 / 0.5 USD, 0.50 times
    """

    before: Price
    after: Price
    ratio: float

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            of_type(name, getattr(self, name), Price, fix="use changes()")
        if not (isinstance(self.ratio, float) and self.ratio == math.inf):  # from nothing to something
            checked(self, "ratio", not_negative, fix="use changes()")
        if self.after.date < self.before.date:
            raise ValueError(f"after ({self.after.date}) must not be older than before ({self.before.date}); swap them")

    @property
    def rose(self) -> bool:
        """Whether the mix became more expensive."""
        return self.ratio > 1

    def __str__(self) -> str:
        old, new = self.before, self.after
        name = new.model if new.model == old.model else f"{old.model} -> {new.model}"
        return (
            f"{new.date} {name}: {old.usd_per_million_input_tokens:g} / {old.usd_per_million_output_tokens:g} -> "
            f"{new.usd_per_million_input_tokens:g} / {new.usd_per_million_output_tokens:g} USD, {self.ratio:.2f} times"
        )


def changes(
    prices: Iterable[Price], output_share: float = 0.2, line: Iterable[str] | None = None
) -> tuple[Change, ...]:
    """Return every fall and rise, in order of date: of each provider's models, or along one `line` of models.

    Without `line` only prices under the same name are compared. With it, each price of the named models is compared
    with the one before it, whatever its name. A row that repeats both prices is not a change.

    Raises:
        TypeError: something other than a `Price`, or a name is not a string.
        ValueError: a name in `line` is unknown or sold by several providers, or `output_share` is not from 0 to 1.

    At 80 tokens read and 20 written, deepseek-chat went from 0.168 to 0.436 in February 2025:

    >>> from mini_lib.llm.prices.table import history
    >>> step = next(step for step in changes(history()) if step.after.model == "deepseek-chat")
    >>> step.after.date.isoformat(), step.rose, round(step.ratio, 2)
    ('2025-02-08', True, 2.6)
    """
    shelves: dict[tuple, list[Price]] = {}
    for price in check_prices(prices) if line is None else _one_seller(of_models(prices, line)):
        shelves.setdefault((price.provider, price.model) if line is None else (), []).append(price)
    found = []
    for shelf in shelves.values():
        shelf.sort(key=lambda price: price.date)
        found += [
            Change(old, new, _ratio(blended_usd(old, output_share), blended_usd(new, output_share)))
            for old, new in itertools.pairwise(shelf)
            if _both(old) != _both(new)
        ]
    return tuple(sorted(found, key=lambda change: change.after.date))


def _both(price: Price) -> tuple[float, float]:
    return price.usd_per_million_input_tokens, price.usd_per_million_output_tokens


def _ratio(old_usd: float, new_usd: float) -> float:
    """Return new over old; a rise from 0 is infinite, and 0 over 0 counts as 1."""
    if old_usd == 0:
        return 1.0 if new_usd == 0 else math.inf
    return new_usd / old_usd


def _one_seller(prices: tuple[Price, ...]) -> tuple[Price, ...]:
    sellers = sorted({price.provider for price in prices})
    if len(sellers) > 1:
        raise ValueError(
            f"a line must have one provider, got {', '.join(sellers)}; "
            f"pass the prices of one, as in [price for price in prices if price.provider == {sellers[0]!r}]"
        )
    return prices
