"""The list prices of language models since 2023, read from a table that is shipped with the library and checked.

A list price is the price without a contract: there is no discount for batches, cached prompts or large customers. Where
it depends on the prompt's length it is the price for short prompts, and DeepSeek's V4 rows are for the cheap hours. The
table does not say how good a model is, or for how long it was sold.

A row of a collection ("tokencost", "genai-prices" and the name there) was in force on its day, and may have been so for
weeks or months before, unless it says "dated there" or "date from the model id". Some names stay while the model that
they name changes; those rows say "another model under the same name", and `aliases` has the snapshots.

Source: tokencost 0.1.2 to 0.1.26 and genai-prices 0.2.3 (collections of list prices, both MIT), and the announcements
that the rows name. `tools/price_history.py` compares the rows with the collections.
"""

import datetime as dt
from dataclasses import dataclass

from mini_lib import _assets
from mini_lib.llm.prices import checks
from mini_lib.llm.prices.rows import number_field, rows_of, text_field
from mini_lib.require import checked, not_negative, of_type, shown

_PATH = _assets.ASSETS / "llm" / "price_history.csv"
_SHA256 = "2bc63080b2096547c9a886033bc37eb62a24814806bc1f2d7b1d4fc4b62a0226"
_PRICES = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
COLUMNS = ("date", "provider", "model", *_PRICES, "source")


@dataclass(frozen=True)
class Price:
    """A provider's prices from `date` on, for a million tokens that a model reads and for a million that it writes.

    If `approximate`, only the month is known and `date` is its 15th day, which is off by at most 16 days.

    Raises:
        TypeError: `date` is not a `datetime.date`, a price is not a number, or a text is not a string.
        ValueError: a price is negative or not finite, or a text is empty.

    >>> Price(dt.date(2024, 7, 18), False, "OpenAI", "gpt-4o-mini", 0.15, 0.60, "announcement").model
    'gpt-4o-mini'
    """

    date: dt.date
    approximate: bool
    provider: str
    model: str
    usd_per_million_input_tokens: float
    usd_per_million_output_tokens: float
    source: str

    def __post_init__(self) -> None:
        checked(self, "date", checks.date, fix="use day('2024-07-18')")
        of_type("approximate", self.approximate, bool, fix="it is True where only the month is known")
        for name in _PRICES:
            checked(self, name, not_negative, fix="give USD for a million tokens")
        for name in ("provider", "model", "source"):
            checked(self, name, checks.text, fix="every price has a provider, a model and a source")


def history() -> tuple[Price, ...]:
    """Return every price of the table, ordered by date.

    Raises:
        ValueError: the file is missing or damaged.

    >>> prices = history()
    >>> prices[0].model, prices[0].usd_per_million_output_tokens
    ('gpt-3.5-turbo', 2.0)
    """
    content = _assets.read_verified(_PATH, _SHA256, "run `git restore mini_lib/assets`")
    return parse_prices(content.decode("utf-8"))


def parse_prices(text: str) -> tuple[Price, ...]:
    r"""Return the prices in a table of comma-separated values, ordered by date.

    The first line names the columns: date (2024-07-18, or 2024-07 where the day is not known), provider, model, the two
    prices in USD for a million tokens, and source.

    Raises:
        TypeError: it is not a string.
        ValueError: a column is missing, a field is wrong (the message names its line and column), or there are two
            prices for the same day.

    >>> table = ",".join(COLUMNS) + "\n2024-07,OpenAI,gpt-4o-mini,0.15,0.60,announcement\n"
    >>> price, = parse_prices(table)
    >>> price.date.isoformat(), price.approximate
    ('2024-07-15', True)
    """
    prices: dict[tuple, Price] = {}
    for line, fields in rows_of(text, COLUMNS):
        price = _price(fields, line)
        key = (price.date, price.provider, price.model)
        if key in prices:
            raise ValueError(
                f"line {line}, column date: {price.provider} {price.model} has a price for {price.date} already; "
                f"delete one of the two"
            )
        prices[key] = price
    return tuple(sorted(prices.values(), key=lambda price: price.date))


def day(text: str | dt.date) -> dt.date:
    """Return the day named by a text such as "2024-07-18"; for "2024-07" the 15th. A date is returned as it is.

    Raises:
        TypeError: neither a text nor a date.
        ValueError: there is no such day.

    >>> day("2024-07-18"), day("2024-07")
    (datetime.date(2024, 7, 18), datetime.date(2024, 7, 15))
    """
    if isinstance(text, dt.datetime):
        return text.date()
    if isinstance(text, dt.date):
        return text
    if not isinstance(text, str):
        raise TypeError(f"a day must be a text or a datetime.date, got {shown(text)}; write it as '2024-07-18'")
    try:
        return dt.datetime.strptime(text if len(text) > 7 else text + "-15", "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"no such day: {shown(text)}; write a day as 2024-07-18, or a month as 2024-07") from None


def _price(fields: dict[str, str], line: int) -> Price:
    """Build the price from the fields of one line, or raise an error that names the wrong column."""
    fix = "give USD such as 0.15"
    numbers = [
        not_negative(f"line {line}, column {name}: it", number_field(fields, name, line, fix), fix=fix)
        for name in _PRICES
    ]
    texts = [text_field(fields, name, line) for name in ("provider", "model", "source")]
    try:
        date = day(fields["date"])
    except ValueError as wrong:
        raise ValueError(f"line {line}, column date: {wrong}") from None
    approximate = len(fields["date"]) <= len("2024-07")
    return Price(date, approximate, *texts[:2], *numbers, texts[2])


def check_prices(prices: object) -> tuple[Price, ...]:
    """Return the prices as a tuple.

    Raises:
        TypeError: something other than a `Price`.
    """
    return checks.all_of("prices", prices, Price, fix="use history()")
