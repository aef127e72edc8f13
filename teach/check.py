"""check("2.1"): judge the learner's function in the cell above, and remember what was passed."""

import difflib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from teach.exercise import Exercise
from teach.exercises import exercises_of, find_exercise
from teach.judge import judge, undefined
from teach.progress import record
from teach.verdict import Verdict
from teach.written import code_of


class NotPassed(AssertionError):
    """Raised by `check` under COURSE_STRICT=1 where an exercise is not passed."""


def check(id: str, answer: Callable[..., Any] | None = None) -> Verdict:
    """Return the verdict on exercise `id`, shown as a panel when it ends a cell.

    The function is looked up by its name where `check` is called, or given as `answer`.
    A pending or wrong answer raises nothing, except under COURSE_STRICT=1.

    Raises:
        ValueError: there is no such exercise.
        NotPassed: COURSE_STRICT=1 and the exercise is not passed.
    """
    exercise = find_exercise(id)
    if answer is None:
        names = sys._getframe(1).f_globals
        answer = names.get(exercise.function)
        if answer is not None and code_of(answer) is not None and code_of(answer) is code_of(exercise.reference):
            answer = None  # imported from mini_lib under the same name: the learner has not written one
    found = undefined(exercise, _nearest(exercise, names)) if answer is None else judge(exercise, answer)
    try:
        record(found)
    except OSError as error:
        found = replace(found, example=f"{found.example} Your progress could not be saved: {error}.".strip())
    if os.environ.get("COURSE_STRICT") == "1" and found.state != "passed":
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
