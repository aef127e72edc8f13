"""progress(): how many exercises are passed, lesson by lesson. What was passed once stays passed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from teach import store
from teach.exercises import exercises_of, lessons
from teach.verdict import Verdict

PASSED, TRIED = "exercises-passed", "exercises-tried"


@dataclass(frozen=True)
class LessonProgress:
    """One lesson: the ids of its exercises that are passed, and of those still open."""

    lesson: int
    passed: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many exercises the lesson has."""
        return len(self.passed) + len(self.open)


@dataclass(frozen=True)
class Progress:
    """All lessons: "7 of 12 exercises", as text and as a table.

    >>> Progress((LessonProgress(1, ("1.1", "1.2"), ()), LessonProgress(2, ("2.1",), ("2.2", "2.3"))))
    3 of 5 exercises
    Lesson 1: 2 of 2
    Lesson 2: 1 of 3, still open: 2.2, 2.3
    """

    lessons: tuple[LessonProgress, ...]
    note: str = ""

    def __repr__(self) -> str:
        lines = [_of(self.lessons)]
        for lesson in self.lessons:
            still_open = f", still open: {', '.join(lesson.open)}" if lesson.open else ""
            lines.append(f"Lesson {lesson.lesson}: {len(lesson.passed)} of {lesson.count}{still_open}")
        return "\n".join(lines + ([self.note] if self.note else []))

    def _repr_html_(self) -> str:
        rows = "".join(map(_row, self.lessons))
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return (
            f"<div role='status' style='max-width:48em;line-height:1.5'><strong>{_of(self.lessons)}</strong>"
            f"<table style='margin:0.4em 0'><tbody>{rows}</tbody></table>{note}</div>"
        )


def progress() -> Progress:
    """Return how far the learner has come, over all lessons that have exercises."""
    passed = {entry["key"] for entry in store.load_all(PASSED)}
    found = tuple(_lesson(number, [exercise.id for exercise in exercises_of(number)], passed) for number in lessons())
    aside = store.set_aside(PASSED)
    note = f"{len(aside)} damaged file(s) set aside in {aside[0].parent}: run those checks again." if aside else ""
    return Progress(found, note)


def record(verdict: Verdict) -> None:
    """Remember that an exercise was tried or passed.

    Tries and passes are kept apart, so that a later wrong try cannot undo a pass, not even from another kernel.

    Raises:
        OSError: the folder cannot be written.
    """
    if verdict.state not in ("passed", "not yet"):
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    store.save(PASSED if verdict.state == "passed" else TRIED, verdict.id, {"when": when})


def _lesson(number: int, ids: Iterable[str], passed: set[str]) -> LessonProgress:
    ids = tuple(ids)
    return LessonProgress(number, tuple(i for i in ids if i in passed), tuple(i for i in ids if i not in passed))


def _of(lessons: Iterable[LessonProgress]) -> str:
    lessons = tuple(lessons)
    return f"{sum(len(lesson.passed) for lesson in lessons)} of {sum(lesson.count for lesson in lessons)} exercises"


def _row(lesson: LessonProgress) -> str:
    share = 100 * len(lesson.passed) // lesson.count if lesson.count else 0
    bar = (
        "<div style='width:12em;height:0.8em;border:1px solid #00694b;background:#ffffff'>"
        f"<div style='width:{share}%;height:100%;background:#00694b'></div></div>"
    )
    still_open = f"still open: {', '.join(lesson.open)}" if lesson.open else "complete"
    cells = (f"Lesson {lesson.lesson}", bar, f"{len(lesson.passed)} of {lesson.count}", escape(still_open))
    return "<tr>" + "".join(f"<td style='text-align:left;padding:0.2em 0.8em'>{cell}</td>" for cell in cells) + "</tr>"
