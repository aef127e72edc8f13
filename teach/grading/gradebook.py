"""A class's submissions, graded: the rows that the table and the report are made from."""

import collections
import dataclasses
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from teach.grading.evidence import Evidence, gather, look
from teach.grading.folder import Submission, find_submissions
from teach.grading.lesson import Lesson, lesson_of
from teach.grading.limits import Limits
from teach.grading.marks import Mark, cell_notes, marks_of
from teach.grading.notebook import read_notebook
from teach.grading.orders import Keeper, protections
from teach.grading.steps import Step, steps_of
from teach.grading.text import shown


@dataclass(frozen=True)
class Row:
    """One submission: its marks, or the note that says why there are none."""

    student: str
    file: str
    lesson: Lesson | None = None
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """The points reached."""
        return sum(mark.points for mark in self.marks)


@dataclass(frozen=True)
class Gradebook:
    """A graded class: its rows by student and file, its lessons, and the limits that were kept."""

    rows: tuple[Row, ...]
    lessons: tuple[Lesson, ...]
    limits: Limits
    protections: frozenset[str]


@dataclass(frozen=True)
class _Run:
    """What a worker brings back for one submission, still to be judged."""

    lesson: Lesson | None = None
    steps: tuple[Step, ...] = ()
    evidence: Evidence | None = None
    note: str = ""


def grade_class(
    folder: Path,
    lessons: Sequence[Lesson],
    *,
    limits: Limits = Limits(),
    jobs: int = 2,
    besides: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Gradebook:
    """Every submission in `folder`, graded; `progress(done, all)` is called after each. Nothing is written.

    `lessons` are those that count: a notebook of another lesson gets a note and no points.

    Raises:
        ValueError: there is no such folder, no lesson, or no process can be started to run submissions.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; expected at least 1")
    if not lessons:
        raise ValueError("no lessons to grade; expected at least one")
    lessons = tuple(lessons)
    submissions = find_submissions(folder, tuple(lesson.notebook.stem for lesson in lessons), besides)
    closed = [place for place in (folder, besides) if place is not None]
    at_once = max(1, min(jobs, len(submissions)))
    keepers = [Keeper(lessons, limits, closed, (which, at_once)) for which in range(at_once)]
    try:
        held = protections(keepers[0])
        rows = []
        # Judging changes the random state and standard output of its process for a moment: hence here, in one thread.
        for submission, run in zip(submissions, _run_all(submissions, lessons, keepers), strict=True):
            rows.append(_row(submission, run))
            if progress is not None:
                progress(len(rows), len(submissions))
    finally:
        for keeper in keepers:
            keeper.close()
    return Gradebook(_same_student_twice(rows), lessons, limits, held)


def _run_all(submissions: Sequence[Submission], lessons: tuple[Lesson, ...], keepers: Sequence[Keeper]):
    """What each submission does, in order; as many at once as there are keepers."""
    free: queue.SimpleQueue[Keeper] = queue.SimpleQueue()
    for keeper in keepers:
        free.put(keeper)

    def work(submission: Submission) -> _Run:
        keeper = free.get()
        try:
            return _run(submission, lessons, keeper)
        except Exception as error:  # one submission that nobody thought of must not stop the class
            return _Run(note=f"could not be graded: {type(error).__name__}: {error}")
        finally:
            free.put(keeper)

    pool = ThreadPoolExecutor(len(keepers))
    try:
        waiting: list[Future[_Run]] = [pool.submit(work, submission) for submission in submissions]
        for future in waiting:
            yield future.result()
    finally:
        for keeper in keepers:
            keeper.close()
        pool.shutdown(cancel_futures=True)


def _run(submission: Submission, lessons: tuple[Lesson, ...], keeper: Keeper) -> _Run:
    if submission.path is None:
        return _Run(note=submission.note)
    try:
        cells = read_notebook(submission.path)
    except ValueError as error:
        return _Run(note=f"the file {error}")
    except OSError as error:
        return _Run(note=f"the file cannot be read: {error.strerror}")
    seen = look(keeper, cells)
    lesson = lesson_of(seen, lessons)
    if lesson is None:
        asked = " or ".join(lesson.notebook.stem for lesson in lessons)
        return _Run(note=f"holds no exercise of {asked}")
    steps = steps_of(seen, lesson)
    return _Run(lesson, steps, gather(keeper, steps))


def _row(submission: Submission, run: _Run) -> Row:
    if run.lesson is None:
        return Row(submission.student, submission.file, notes=(shown(run.note),))
    marks = marks_of(run.lesson, run.steps, run.evidence)
    return Row(submission.student, submission.file, run.lesson, marks, cell_notes(run.steps, run.evidence))


def _same_student_twice(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows, with a note where a student has handed in a lesson more than once: the teacher chooses which counts."""
    count = collections.Counter((row.student, row.lesson) for row in rows if row.lesson)
    return tuple(_with_note(row, count[row.student, row.lesson]) for row in rows)


def _with_note(row: Row, count: int) -> Row:
    if count <= 1:
        return row
    return dataclasses.replace(row, notes=(f"one of {count} notebooks of this student for this lesson", *row.notes))
