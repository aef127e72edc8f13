"""grades.csv: one line a submission, for a spreadsheet or a learning platform."""

import csv
import io

from teach.grading.gradebook import Gradebook, Row
from teach.grading.text import harmless

MOST_NOTE = 300  # characters; the report has the rest


def table(book: Gradebook) -> str:
    """The table as CSV text: student, file, lesson, each exercise's state and points, points, out_of, note.

    Only exercises of lessons that somebody handed in have columns; all of the lesson's where nobody did.
    """
    used = [lesson for lesson in book.lessons if any(row.lesson == lesson for row in book.rows)] or list(book.lessons)
    ids = [exercise.id for lesson in used for exercise in lesson.exercises]
    head = [
        "student",
        "file",
        "lesson",
        *(name for id in ids for name in (id, f"{id} points")),
        "points",
        "out_of",
        "note",
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in book.rows:
        writer.writerow(_line(row, ids, used[0].points if len(used) == 1 else ""))
    return text.getvalue()


def _line(row: Row, ids: list[str], usual_points: int | str) -> list[str | int]:
    marks = {mark.id: mark for mark in row.marks}
    columns = [value for id in ids for value in ((marks[id].state, marks[id].points) if id in marks else ("", ""))]
    number = row.lesson.number if row.lesson else ""
    out_of = row.lesson.points if row.lesson else usual_points
    note = harmless("; ".join(row.notes), MOST_NOTE)
    return [harmless(row.student), harmless(row.file), number, *columns, row.points, out_of, note]
