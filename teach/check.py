"""check("2.1"): judge the learner's function in the cell above, and remember what was passed."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from teach.exercises import find_exercise
from teach.judge import judge, undefined
from teach.progress import record
from teach.run import code_of
from teach.verdict import Verdict


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
        answer = sys._getframe(1).f_globals.get(exercise.function)
        if answer is not None and code_of(answer) is not None and code_of(answer) is code_of(exercise.reference):
            answer = None  # imported from mini_lib under the same name: the learner has not written one
    found = undefined(exercise) if answer is None else judge(exercise, answer)
    try:
        record(found)
    except OSError as error:
        found = replace(found, example=f"{found.example} Your progress could not be saved: {error}.".strip())
    if os.environ.get("COURSE_STRICT") == "1" and found.state != "passed":
        raise NotPassed(found.text)
    return found
