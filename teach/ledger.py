"""ledger(row, lesson=2): the one table that grows from lesson to lesson, so that techniques can be compared."""

from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

from mini_lib.columns import aligned, as_html
from mini_lib.measure import Report, Row
from mini_lib.require import whole
from teach import store

KIND = "ledger"

#: A time can be compared with another of the same run alone.
RATIO = "time in its own run"


@dataclass(frozen=True)
class Ledger:
    """The rows of all lessons so far, each under the number of its lesson; `beside` has what was timed with each."""

    rows: tuple[tuple[int, Row], ...]
    beside: tuple[Row | None, ...] = ()
    note: str = ""

    def lines(self) -> list[tuple[str, ...]]:
        """Return the table as cells of text, the lesson before each name; its headers come first.

        Raises:
            ValueError: there is no row yet.
        """
        head, *cells = Report(tuple(replace(row, name=f"{lesson:02d} {row.name}") for lesson, row in self.rows)).lines()
        ratios = [_ratio(row, other) for (_, row), other in zip(self.rows, self.beside or [None] * len(self.rows))]
        return [(*head, RATIO), *((*line, ratio) for line, ratio in zip(cells, ratios))]

    def __repr__(self) -> str:
        text = aligned(self.lines()) if self.rows else "The ledger is empty: each lesson adds a row at its end."
        return "\n".join([text] + ([self.note] if self.note else []))

    def _repr_html_(self) -> str:
        table = as_html(self.lines(), "What each model costs") if self.rows else f"<p>{escape(repr(self))}</p>"
        return table + (f"<p>{escape(self.note)}</p>" if self.note and self.rows else "")


def ledger(row: Row | None = None, *, lesson: int | None = None, beside: Row | None = None) -> Ledger:
    """Add one row to the ledger, in the place of this lesson's older row of the same name, and return all rows.

    Without a row, only return the table. `beside` is the row of the model that it is to be compared with, timed in the
    same run: milliseconds of different runs cannot be compared, but these two can, and the table shows their ratio.

    Raises:
        TypeError: `row` or `beside` is not a `measure.Row`.
        ValueError: `lesson` is missing.
    """
    note = ""
    for name, given in (("row", row), ("beside", beside)):
        if given is not None and not isinstance(given, Row):
            kind = type(given).__name__
            raise TypeError(f"{name} must be a measure.Row, got {kind}; take one from measure.report(...).rows")
    if row is not None:
        if lesson is None:
            raise ValueError(f"lesson is missing for the row {row.name!r}; give its number, such as lesson=2")
        lesson = whole("lesson", lesson, low=1, high=99, fix="give its number, such as lesson=2")
        entry = {"lesson": lesson, "row": asdict(row)} | ({"beside": asdict(beside)} if beside else {})
        try:
            store.save(KIND, f"{lesson:02d} {row.name}", entry)
        except OSError as error:
            note = f"The row could not be saved: {error}."
    found = [read for entry in store.load_all(KIND) if (read := _read(entry))]
    if note:
        found = [entry for entry in found if (entry[0], entry[1].name) != (lesson, row.name)] + [(lesson, row, beside)]
    found.sort(key=lambda entry: entry[0])
    return Ledger(tuple(entry[:2] for entry in found), tuple(entry[2] for entry in found), note)


def _ratio(row: Row, other: Row | None) -> str:
    if other is None or not other.median_s:
        return "-"
    return "1" if other.name == row.name else f"{row.median_s / other.median_s:.2f} x {other.name}"


def _read(entry: dict[str, Any]) -> tuple[int, Row, Row | None] | None:
    try:
        lesson, row = whole("lesson", entry["lesson"], low=1, high=99, fix="run its lesson again"), Row(**entry["row"])
        row.cells()
    except (KeyError, TypeError, ValueError, OverflowError):  # damaged, or written by another version of the course
        return None
    try:
        return lesson, row, Row(**entry["beside"])
    except (KeyError, TypeError, ValueError):
        return lesson, row, None
