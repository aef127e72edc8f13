"""The speed of bought tokens: output tokens per second of one request, as sold, with source and date.

A speed is that of one stream after its first token, as a customer sees it, and not the throughput of a machine. Speeds
by "Artificial Analysis" were measured from outside; speeds by "provider" are the seller's own statements.
"""

import datetime as dt
from dataclasses import dataclass

from mini_lib import _assets
from mini_lib.llm.prices import checks
from mini_lib.llm.prices.rows import number_field, rows_of, text_field
from mini_lib.llm.prices.table import day
from mini_lib.require import checked, positive

_PATH = _assets.ASSETS / "llm" / "sold_speed.csv"
_SHA256 = "e7de0a52c49a5e7de1d43d17b4a72418aace97da566a5c450a3cb91e746de807"
SPEED_COLUMNS = ("provider", "model", "output_tokens_per_s", "date", "measured_by", "source")


@dataclass(frozen=True)
class SoldSpeed:
    """How many tokens per second one request of a model received on a day, and who measured it.

    Raises:
        TypeError: the speed is not a number, `date` is not a `datetime.date`, or a text is not a string.
        ValueError: the speed is not above 0, or a text is empty.

    >>> SoldSpeed("Groq", "llama-3.1-70b", 250, dt.date(2024, 9, 10), "Artificial Analysis", "table 1").model
    'llama-3.1-70b'
    """

    provider: str
    model: str
    output_tokens_per_s: float
    date: dt.date
    measured_by: str
    source: str

    def __post_init__(self) -> None:
        checked(self, "output_tokens_per_s", positive, fix="give tokens per second of one request")
        checked(self, "date", checks.date, fix="use day('2024-09-10')")
        for name in ("provider", "model", "measured_by", "source"):
            checked(self, name, checks.text, fix="every speed has a provider, a model and a source")


def sold_speeds() -> tuple[SoldSpeed, ...]:
    """Return every speed of the table, ordered by date.

    Raises:
        ValueError: the file is missing or damaged.

    >>> max(sold_speeds(), key=lambda speed: speed.output_tokens_per_s).provider
    'Cerebras'
    """
    content = _assets.read_verified(_PATH, _SHA256, "run `git restore mini_lib/assets`")
    return parse_speeds(content.decode("utf-8"))


def parse_speeds(text: str) -> tuple[SoldSpeed, ...]:
    r"""Return the speeds in a table of comma-separated values, ordered by date.

    Raises:
        TypeError: it is not a string.
        ValueError: a column is missing, or a field is wrong (the message names its line).

    >>> speed, = parse_speeds(",".join(SPEED_COLUMNS) + "\nP,m,100,2024-07,provider,a page\n")
    >>> speed.output_tokens_per_s, speed.date.isoformat()
    (100.0, '2024-07-15')
    """
    found = []
    for line, fields in rows_of(text, SPEED_COLUMNS):
        per_s = number_field(fields, "output_tokens_per_s", line, "give tokens per second such as 250")
        texts = {name: text_field(fields, name, line) for name in ("provider", "model", "measured_by", "source")}
        try:
            found.append(SoldSpeed(output_tokens_per_s=per_s, date=day(fields["date"]), **texts))
        except ValueError as wrong:
            raise ValueError(f"line {line}: {wrong}") from None
    return tuple(sorted(found, key=lambda speed: speed.date))


def check_speeds(speeds: object) -> tuple[SoldSpeed, ...]:
    """Return the speeds as a tuple.

    Raises:
        TypeError: something other than a `SoldSpeed`.
    """
    return checks.all_of("speeds", speeds, SoldSpeed, fix="use sold_speeds()")
