"""Read a shipped table of comma-separated values: the columns that it must have, and where a bad field stands."""

import csv
from collections.abc import Iterator


def rows_of(text: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    r"""Yield each row's line number and its fields by column; the first line must name the columns.

    Raises:
        ValueError: the columns differ, or a row has too few fields or too many (the message names its line).

    >>> list(rows_of("model,usd\nm,1\n", ("model", "usd")))
    [(2, {'model': 'm', 'usd': '1'})]
    """
    rows = csv.reader(text.splitlines())
    header = tuple(next(rows, ()))
    if header != columns:
        raise ValueError(f"line 1 must name the columns {', '.join(columns)}; got {', '.join(header) or 'nothing'}")
    for row in rows:
        line = rows.line_num
        if len(row) != len(columns):
            raise ValueError(
                f"line {line} must have {len(columns)} fields, got {len(row)}; put a field that holds a comma in quotes"
            )
        yield line, dict(zip(columns, row, strict=True))


def text_field(fields: dict[str, str], name: str, line: int) -> str:
    """Return a field that must not be empty.

    Raises:
        ValueError: it is empty.

    >>> text_field({"model": "m"}, "model", line=2)
    'm'
    """
    if not fields[name].strip():
        raise ValueError(f"line {line}, column {name}: it is empty; a row without it cannot be checked")
    return fields[name]


def number_field(fields: dict[str, str], name: str, line: int, fix: str) -> float:
    """Return a field as a number.

    Raises:
        ValueError: it is not a number.

    >>> number_field({"usd": "0.15"}, "usd", line=2, fix="give USD such as 0.15")
    0.15
    """
    try:
        return float(fields[name])
    except ValueError:
        raise ValueError(f"line {line}, column {name}: {fields[name]!r} is not a number; {fix}") from None
