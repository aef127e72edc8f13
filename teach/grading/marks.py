"""From evidence to marks: the grader judges, by its own reference, what a submission's functions returned elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from teach import words
from teach.exercise import Exercise
from teach.grading.evidence import Evidence, Trial
from teach.grading.lesson import Lesson
from teach.grading.steps import Step
from teach.grading.text import shown
from teach.judge import undefined, verdict

MOST_NOTES = 20  # cells of one submission that are told of

State = Literal["passed", "not yet", "not attempted", "stopped"]


@dataclass(frozen=True)
class Mark:
    """One exercise of one submission. "stopped": it did not come to an end, so that there is nothing to judge."""

    id: str
    state: State
    points: int
    out_of: int
    message: str
    misconception: str | None = None


def marks_of(lesson: Lesson, steps: Sequence[Step], evidence: Evidence) -> tuple[Mark, ...]:
    """A mark for each exercise of the lesson, in order."""
    marks = (_mark(exercise, steps, evidence) for exercise in lesson.exercises)
    return tuple(replace(mark, message=shown(mark.message)) for mark in marks)


def cell_notes(steps: Sequence[Step], evidence: Evidence) -> tuple[str, ...]:
    """What went wrong in the cells of a submission, one sentence per cell."""
    notes = [shown(_about_cell(steps[at], why)) for at, why in sorted(evidence.cells.items())[:MOST_NOTES]]
    more = len(evidence.cells) - len(notes)
    return (*notes, *([f"and the same for {more} more cells"] if more else []))


def _mark(exercise: Exercise, steps: Sequence[Step], evidence: Evidence) -> Mark:
    trial = evidence.trials[exercise.id]
    if trial.why:
        return Mark(exercise.id, "stopped", 0, exercise.points, words.sentence(_where(exercise, trial) + trial.why))
    if trial.missing:
        return _missing(exercise, trial, steps, evidence)
    try:
        found = verdict(exercise, trial.outcomes)
    except Exception as error:  # outcomes that no function could have had: a notebook that writes its own
        message = f"What it returned cannot be judged ({type(error).__name__})."
        return Mark(exercise.id, "not yet", 0, exercise.points, message)
    misconception = found.mistake.says if found.mistake else None
    return Mark(exercise.id, found.state, found.points, exercise.points, found.message, misconception)


def _where(exercise: Exercise, trial: Trial) -> str:
    if not 1 <= trial.cases <= len(exercise.cases):
        return ""
    return f"at {words.call(exercise, exercise.cases[trial.cases - 1])}: "


def _missing(exercise: Exercise, trial: Trial, steps: Sequence[Step], evidence: Evidence) -> Mark:
    """There is no function: its cell failed, or was not written."""
    for at, why in sorted(evidence.cells.items()):
        if exercise.id in steps[at].writes:
            state = "stopped" if at in evidence.stopped else "not yet"
            message = f"Its cell did not define `{exercise.function}`. {_about_cell(steps[at], why)}"
            return Mark(exercise.id, state, 0, exercise.points, message)
    if trial.missing in ("nothing", "mini_lib's own"):
        return Mark(exercise.id, "not attempted", 0, exercise.points, undefined(exercise).message)
    message = f"`{exercise.function}` is a {trial.missing}, expected a function."
    return Mark(exercise.id, "not yet", 0, exercise.points, message)


def _about_cell(step: Step, why: str) -> str:
    return words.sentence(f"code cell {step.cell.number}: {why}")
