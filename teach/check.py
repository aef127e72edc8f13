"""check("2.1"): judge the learner's function in the cell above, and remember what was passed."""

import difflib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from teach import words
from teach.deadline import OutOfTime, within
from teach.exercise import Exercise
from teach.exercises import exercises_of, find_exercise
from teach.grading.limits import Limits
from teach.history import stopped_with
from teach.judge import judge, undefined
from teach.live import has_kernel, is_strict
from teach.progress import record
from teach.verdict import Verdict
from teach.written import code_of

LIMIT_S = Limits.step_time_s  # of the learner's function, all cases together; the slowest reference takes about 2 s


class NotPassed(AssertionError):
    """Raised by `check` where an exercise is not passed, under COURSE_STRICT=1 or nbgrader."""


def check(id: str, answer: Callable[..., Any] | None = None) -> Verdict:
    """Return the verdict on exercise `id`, shown as a panel when it ends a cell.

    The function is looked up by its name where `check` is called, or given as `answer`.
    A pending or wrong answer raises nothing, except under COURSE_STRICT=1 and when nbgrader runs the notebook.

    Raises:
        ValueError: there is no such exercise.
        NotPassed: the exercise is not passed, under COURSE_STRICT=1 or nbgrader.
    """
    exercise = find_exercise(id)
    found = None
    if answer is None:
        names = sys._getframe(1).f_globals
        answer = names.get(exercise.function)
        if answer is not None and code_of(answer) is not None and code_of(answer) is code_of(exercise.reference):
            answer = None  # imported from mini_lib under the same name: the learner has not written one
        found = _did_not_run(exercise, answer)
    found = found or (undefined(exercise, _nearest(exercise, names)) if answer is None else _judged(exercise, answer))
    try:
        record(found)
    except OSError as error:
        found = replace(found, example=f"{found.example} Your progress could not be saved: {error}.".strip())
    if is_strict() and found.state != "passed":
        raise NotPassed(found.text)
    return found


def _nearest(exercise: Exercise, names: dict[str, Any]) -> str:
    """The notebook's own function that was probably meant: it has nearly the same name, or the same parameters."""
    asked = {one.function for one in exercises_of(exercise.lesson)}
    own = {
        name: thing
        for name, thing in names.items()
        if inspect.isfunction(thing) and thing.__globals__ is names and name not in asked and name[:1] != "_"
    }
    near = difflib.get_close_matches(exercise.function, own, n=1, cutoff=0.8)
    alike = [name for name, thing in own.items() if tuple(inspect.signature(thing).parameters) == exercise.parameters]
    return near[0] if near else alike[0] if len(alike) == 1 else ""


def _did_not_run(exercise: Exercise, answer: Callable[..., Any] | None) -> Verdict | None:
    """The verdict where the cell that defines the function failed, so that an older function would be judged."""
    stopped = stopped_with(exercise.function, answer)
    if stopped is None:
        return None
    says = f"The cell of `{exercise.function}` did not run: it stopped with {words.sentence(stopped)}"
    return Verdict(exercise.id, exercise.title, "not judged", f"{says} Fix it, run it, then run this one.")


def _judged(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    try:
        with within(LIMIT_S):
            found = judge(exercise, answer)
    except OutOfTime as error:
        says = words.sentence(f"At {words.call(exercise, error.at)}: it did not finish within {LIMIT_S:g} s")
        where = _where(error, answer)
        found = Verdict(
            exercise.id, exercise.title, "not yet", says, f"{where} Is there a loop that never ends?".strip()
        )
    except KeyboardInterrupt as error:
        says = f"Stopped before `{exercise.function}` was judged."
        found = Verdict(exercise.id, exercise.title, "not judged", says, _where(error, answer))
    return replace(found, watched=exercise.function if has_kernel() else "")


def _where(error: BaseException, answer: Callable[..., Any]) -> str:
    """The line of the learner's cell that was running; "" where it was none of it."""
    code = code_of(answer)
    own = (
        [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == code.co_filename]
        if code
        else []
    )
    if not own:
        return ""
    text = linecache.getline(code.co_filename, own[-1]).strip()
    return (
        f"It stopped in line {own[-1]} of your cell: `{text}`."
        if text
        else f"It stopped in line {own[-1]} of your cell."
    )
