"""ledger(row, lesson=2): the one table that grows from lesson to lesson, so that techniques can be compared."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from mini_lib.measure import Report, Row
from teach import store

KIND = "ledger"


@dataclass(frozen=True)
class Ledger:
    """The rows of all lessons so far, each under the number of its lesson."""

    rows: tuple[tuple[int, Row], ...]
    note: str = ""

    def report(self) -> Report:
        """Return the table, with the lesson before each name.

        Raises:
            ValueError: there is no row yet.
        """
        return Report(tuple(replace(row, name=f"{lesson:02d} {row.name}") for lesson, row in self.rows))

    def __repr__(self) -> str:
        text = str(self.report()) if self.rows else "The ledger is empty: each lesson adds its row at its end."
        return "\n".join([text] + ([self.note] if self.note else []))

    def _repr_html_(self) -> str:
        return self.report()._repr_html_() if self.rows else f"<p>{self!r}</p>"


def ledger(row: Row | None = None, *, lesson: int | None = None) -> Ledger:
    """Add one row to the ledger, in the place of this lesson's older row of the same name, and return all rows.

    Without a row, only return the table. Times were measured on this machine in different
    sessions: compare them with their spread in mind.

    Raises:
        TypeError: `row` is not a `measure.Row`.
        ValueError: `lesson` is missing.
    """
    note = ""
    if row is not None:
        if not isinstance(row, Row):
            kind = type(row).__name__
            raise TypeError(f"row must be a measure.Row, got {kind}; take one from measure.report(...).rows")
        if lesson is None:
            raise ValueError(f"lesson is missing for the row {row.name!r}; give its number, such as lesson=2")
        try:
            store.save(KIND, f"{lesson:02d} {row.name}", {"lesson": lesson, "row": asdict(row)})
        except OSError as error:
            note = f"The row could not be saved: {error}."
    rows = [found for entry in store.load_all(KIND) if (found := _read(entry))]
    if note:
        rows.append((lesson, row))
    return Ledger(tuple(sorted(rows, key=lambda item: item[0])), note)


def _read(entry: dict[str, Any]) -> tuple[int, Row] | None:
    try:
        return int(entry["lesson"]), Row(**entry["row"])
    except (KeyError, TypeError, ValueError):  # written by another version of the course
        return None
