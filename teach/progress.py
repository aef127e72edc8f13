"""progress(): how many exercises are passed, lesson by lesson. What was passed once stays passed.

The lesson whose exercises this kernel checked last comes first: a notebook has its own kernel.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from teach import store
from teach.exercises import exercises_of, lessons
from teach.panel import tone
from teach.verdict import Verdict

PASSED, TRIED = "exercises-passed", "exercises-tried"
NAMES = {
    1: "measuring",
    2: "few bits",
    3: "training few bits",
    4: "mixed precision",
    5: "pruning",
    6: "lottery tickets",
    7: "depthwise",
    8: "low rank",
    9: "loops",
    10: "hardware",
    11: "augmentation",
    12: "AutoAugment",
    13: "cost of tokens",
    14: "small LLMs",
    15: "capstone",
}
GREEN, _ = tone("green")
CELL = "text-align:left;padding:0.15em 0.6em;white-space:nowrap;font-weight:normal"
LAST = CELL.replace("nowrap", "normal")  # the exercises that are open: rather on two lines than beyond the page
_checked: list[int] = []  # the lesson of each verdict in this kernel, in order


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

    @property
    def name(self) -> str:
        """The lesson in a few words: "5 pruning"."""
        return f"{self.lesson} {NAMES.get(self.lesson, '')}".strip()

    @property
    def still_open(self) -> str:
        """Which exercises are left, in a few words."""
        if not self.open:
            return "none"
        return "all" if not self.passed and self.count > 1 else ", ".join(self.open)


@dataclass(frozen=True)
class Progress:
    """All lessons: "7 of 12 exercises", as text and as a table.

    >>> Progress((LessonProgress(1, ("1.1", "1.2"), ()), LessonProgress(2, ("2.1",), ("2.2", "2.3"))))
    3 of 5 exercises
    Lesson 1 measuring: 2 of 2, still open: none
    Lesson 2 few bits: 1 of 3, still open: 2.2, 2.3
    """

    lessons: tuple[LessonProgress, ...]
    note: str = ""

    def __repr__(self) -> str:
        lines = [_of(self.lessons)]
        for lesson in self.lessons:
            lines.append(
                f"Lesson {lesson.name}: {len(lesson.passed)} of {lesson.count}, still open: {lesson.still_open}"
            )
        return "\n".join(lines + ([self.note] if self.note else []))

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col' style='{CELL}'>{title}</th>" for title in ("Lesson", "Passed", "Still open"))
        rows = "".join(map(_row, self.lessons))
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return (
            f"<div role='status' style='line-height:1.4'><strong>{_of(self.lessons)}</strong>"
            f"<table style='margin:0.4em 0;width:auto'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"{note}</div>"
        )


def progress() -> Progress:
    """Return how far the learner has come, over all lessons that have exercises; this notebook's lesson comes first."""
    passed = {entry["key"] for entry in store.load_all(PASSED)}
    numbers = sorted(lessons(), key=lambda number: (number not in _checked[-1:], number))
    found = tuple(_lesson(number, [exercise.id for exercise in exercises_of(number)], passed) for number in numbers)
    aside = store.set_aside(PASSED)
    note = f"{len(aside)} damaged file(s) set aside in {aside[0].parent}: run those checks again." if aside else ""
    return Progress(found, note)


def record(verdict: Verdict) -> None:
    """Remember that an exercise was tried or passed.

    Tries and passes are kept apart, so that a later wrong try cannot undo a pass, not even from another kernel.

    Raises:
        OSError: the folder cannot be written.
    """
    _checked.append(int(verdict.id.partition(".")[0]))
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
    bar = (  # for the eye alone: its number is next to it
        f"<span style='display:inline-block;width:3.5em;height:0.7em;border:1px solid {GREEN};margin-right:0.6em'>"
        f"<span style='display:block;width:{share}%;height:100%;background:{GREEN}'></span></span>"
    )
    passed = f"<td style='{CELL}'>{bar}{len(lesson.passed)} of {lesson.count}</td>"
    still_open = f"<td style='{LAST}'>{escape(lesson.still_open)}</td>"
    return f"<tr><th scope='row' style='{CELL}'>{escape(lesson.name)}</th>{passed}{still_open}</tr>"
