"""Read a shipped table of comma-separated values, check its columns, and say where a bad field is."""

import csv
import io
import unicodedata
from collections.abc import Iterator

from mini_lib.require import of_type, shown


def rows_of(text: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    r"""Yield each row's line number and its fields by column; the first line must name the columns.

    A byte order mark at the beginning, as spreadsheets write it, and empty lines are skipped.

    Raises:
        TypeError: it is not a string.
        ValueError: the columns differ, a row has too few or too many fields, or a field is too long or continues after
            its quotes (the message names its line).

    >>> list(rows_of("model,usd\nm,1\n", ("model", "usd")))
    [(2, {'model': 'm', 'usd': '1'})]
    """
    text = of_type("the table", text, str, fix="read the file as text")
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = tuple(next(rows, ()))
        if header != columns:
            got = ", ".join(header)[:200] or "nothing"
            raise ValueError(f"line 1 must name the columns {', '.join(columns)}; got {got}")
        for row in rows:
            if row and len(row) != len(columns):
                raise ValueError(
                    f"line {rows.line_num} must have {len(columns)} fields, got {len(row)}; "
                    "put a field that holds a comma in quotes"
                )
            if row:
                yield rows.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as wrong:  # a field beyond the reader's limit
        raise ValueError(f"line {rows.line_num}: {wrong}; close the quotes of each field") from None


def text_field(fields: dict[str, str], name: str, line: int) -> str:
    """Return a field that must not be empty, without the spaces around it: "m " and "m" are one name.

    Raises:
        ValueError: it is empty, or holds an invisible character.

    >>> text_field({"model": "m "}, "model", line=2)
    'm'
    """
    text = fields[name].strip()
    if not text:
        raise ValueError(f"line {line}, column {name}: it is empty; a row without it cannot be checked")
    if any(unicodedata.category(letter) in ("Cc", "Cf") and letter not in "\r\n\t" for letter in text):
        raise ValueError(f"line {line}, column {name}: {shown(text)} holds a character that is not seen; take it out")
    return text


def number_field(fields: dict[str, str], name: str, line: int, fix: str) -> float:
    """Return a field as a number.

    Raises:
        ValueError: it is not a number.

    >>> number_field({"usd": "0.15"}, "usd", line=2, fix="give USD such as 0.15")
    0.15
    """
    try:
        return float(_plain(fields[name]))
    except ValueError:
        raise ValueError(f"line {line}, column {name}: {shown(fields[name])} is not a number; {fix}") from None


def whole_field(fields: dict[str, str], name: str, line: int, fix: str) -> int:
    """Return a field as a whole number.

    Raises:
        ValueError: it is not a whole number.

    >>> whole_field({"shots": "5"}, "shots", line=2, fix="give a whole number such as 5")
    5
    """
    try:
        return int(_plain(fields[name]))
    except ValueError:
        raise ValueError(f"line {line}, column {name}: {shown(fields[name])} is not a whole number; {fix}") from None


def _plain(digits: str) -> str:
    """Python accepts 0_15 as 15, and the digits of every script; in a table these are typing errors."""
    if "_" in digits or not digits.isascii():
        raise ValueError
    return digits
