"""The snapshot behind a name on a price list on a given day: providers move a name to a newer snapshot.

`gpt-3.5-turbo` was the snapshot 0301, then 0613, then 0125, at three prices. A score belongs to the snapshot, so a
name has the score of the snapshot that it pointed to on that day. A name that is not in the table never moved: it is
its own snapshot. Where a snapshot of GPT-3.5 or GPT-4 has no score of its own, its row names the snapshot of the
technical report.

Source: the change logs and model pages that the rows name.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from mini_lib import _assets
from mini_lib.llm.prices import checks
from mini_lib.llm.prices.rows import rows_of, text_field
from mini_lib.llm.prices.table import day
from mini_lib.require import checked

_PATH = _assets.ASSETS / "llm" / "aliases.csv"
_SHA256 = "85490f1339d14a650b78f986f4299c4d69e07f369302e4377f1f04423bba5add"
ALIAS_COLUMNS = ("provider", "name", "from", "snapshot", "source")


@dataclass(frozen=True)
class Alias:
    """From `since` on, `provider` answers requests for `name` with `snapshot`.

    Raises:
        TypeError: `since` is not a `datetime.date`, or a text is not a string.
        ValueError: a text is empty.

    >>> Alias("OpenAI", "gpt-4o", dt.date(2024, 10, 2), "gpt-4o-2024-08-06", "models page").snapshot
    'gpt-4o-2024-08-06'
    """

    provider: str
    name: str
    since: dt.date
    snapshot: str
    source: str

    def __post_init__(self) -> None:
        checked(self, "since", checks.date, fix="use day('2024-10-02')")
        for field in ("provider", "name", "snapshot", "source"):
            checked(self, field, checks.text, fix="every alias has a provider, a name and a source")


def name_moves() -> tuple[Alias, ...]:
    """Return every move of the table, ordered by date.

    Raises:
        ValueError: the file is missing or damaged.

    >>> [alias.snapshot for alias in name_moves() if alias.name == "gpt-4o"]
    ['gpt-4o-2024-05-13', 'gpt-4o-2024-08-06']
    """
    content = _assets.read_verified(_PATH, _SHA256, "run `git restore mini_lib/assets`")
    return parse_aliases(content.decode("utf-8"))


def parse_aliases(text: str) -> tuple[Alias, ...]:
    r"""Return the moves in a table of comma-separated values, ordered by date.

    Raises:
        TypeError: it is not a string.
        ValueError: a column is missing, a field is wrong (the message names its line), or a name moves twice on a day.

    >>> [alias.since.isoformat() for alias in parse_aliases(",".join(ALIAS_COLUMNS) + "\nP,m,2024-01,m-1,a log\n")]
    ['2024-01-15']
    """
    found: dict[tuple, Alias] = {}
    for line, fields in rows_of(text, ALIAS_COLUMNS):
        texts = {name: text_field(fields, name, line) for name in ("provider", "name", "snapshot", "source")}
        try:
            alias = Alias(since=day(fields["from"]), **texts)
        except ValueError as wrong:
            raise ValueError(f"line {line}, column from: {wrong}") from None
        key = (alias.provider, alias.name, alias.since)
        if key in found:
            raise ValueError(f"line {line}: {alias.name} moves twice on {alias.since}; delete one of the two")
        found[key] = alias
    return tuple(sorted(found.values(), key=lambda alias: alias.since))


def snapshot_on(moves: Iterable[Alias], provider: str, name: str, on: str | dt.date) -> str:
    """Return the snapshot behind a name on a day; a name without moves is its own snapshot.

    Raises:
        TypeError: something other than an `Alias`, or a name is not a string.
        ValueError: the name is empty, or there is no such day.

    >>> snapshot_on(name_moves(), "OpenAI", "gpt-3.5-turbo", "2024-02-15")
    'gpt-3.5'
    >>> snapshot_on(name_moves(), "OpenAI", "gpt-3.5-turbo", "2024-02-16")
    'gpt-3.5-turbo-0125'
    """
    on, moves = day(on), check_moves(moves)
    provider = checks.text("provider", provider, fix="name who sells it, such as 'OpenAI'")
    name = checks.text("name", name, fix="give the name on the price list, such as 'gpt-4o'")
    moved = [move for move in moves if (move.provider, move.name) == (provider, name) and move.since <= on]
    return max(moved, key=lambda move: move.since).snapshot if moved else name


def check_moves(moves: object) -> tuple[Alias, ...]:
    """Return the moves as a tuple.

    Raises:
        TypeError: something other than an `Alias`.
    """
    return checks.all_of("moves", moves, Alias, fix="use name_moves()")
