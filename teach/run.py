"""Call a learner's function on the cases of an exercise, and note what happens.

Nothing is judged here. The grader runs this beside the submission, in a process of its own, and
judges the outcomes elsewhere.
"""

import contextlib
import copy
import dis
import functools
import inspect
import io
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import torch

from teach.compare import identical
from teach.deadline import counted
from teach.exercise import Case, Exercise
from teach.outcome import LONGEST, Outcome, Raised
from teach.plain import Opaque, plain


def run(exercise: Exercise, answer: Callable[..., Any], *, watch: bool = True) -> list[Outcome]:
    """Call `answer` on every case and return one outcome for each, in order.

    What the answer raises is noted, not raised. Each call gets its own deep copy of the arguments and the same
    random state, and its printing is kept aside.
    With `watch`, calls of the reference and of the exercise's forbidden functions are noted as `borrowed`.

    >>> from teach.exercise import Exercise, Case
    >>> double = Exercise("1.1", "Double", lambda x: 2 * x, [Case(3)], [], function="double")
    >>> run(double, lambda x: x + x)[0].value
    6
    """
    return [_run_case(exercise, answer, case, watch) for case in exercise.cases]


def _run_case(exercise: Exercise, answer: Callable[..., Any], case: Case, watch: bool) -> Outcome:
    args, kwargs = copy.deepcopy((case.args, case.kwargs))
    forbidden = (exercise.reference, *exercise.forbidden) if watch else ()
    printed, borrowed = io.StringIO(), []
    kind, value, raised = "returned", None, None
    with _repeatable_random_state(), contextlib.redirect_stdout(printed):
        try:
            with counted(case) if watch else contextlib.nullcontext():
                with _watched(forbidden, borrowed):
                    value = answer(*args, **kwargs)
                value = _as_plain(exercise, value)
        except (Exception, SystemExit) as error:  # a KeyboardInterrupt is the learner's own: let it through
            kind, value = ("unwritten" if _is_stub(error, answer) else "raised"), None
            raised = _describe(error, answer) if kind == "raised" else None
    return Outcome(
        kind=kind,
        value=value,
        raised=raised,
        changed=_changed(exercise, case, Case(*args, **kwargs)),
        borrowed=borrowed[0] if borrowed else None,
        printed=printed.getvalue()[:LONGEST],
    )


def _as_plain(exercise: Exercise, value: Any) -> Any:
    try:
        return plain(value if exercise.view is None or value is None else exercise.view(value))
    except Exception as error:  # a view expects a right answer; a wrong one may break it in any way
        return Opaque(type(value).__name__, f"{type(error).__name__}: {error}"[:LONGEST])


def _changed(exercise: Exercise, before: Case, after: Case) -> tuple[str, ...]:
    was, now = exercise.arguments(before), exercise.arguments(after)
    return tuple(name for name in was if not identical(was[name], now[name]))


@contextlib.contextmanager
def _repeatable_random_state() -> Iterator[None]:
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(0)
    try:
        yield
    finally:
        torch.set_rng_state(before)


@contextlib.contextmanager
def _watched(forbidden: Sequence[Callable[..., Any]], borrowed: list[str]) -> Iterator[None]:
    """Notes in `borrowed` the name of each forbidden function that is called inside."""
    if not forbidden:
        yield
        return
    functions = [innermost(function) for function in forbidden]
    # By identity: two functions that are written alike, on the same line of two files, have equal code.
    names = {id(code_of(function)): function.__name__ for function in functions if code_of(function)}
    builtins = [function for function in functions if not code_of(function)]

    def watch(frame: Any, event: str, builtin: Any) -> None:
        if event == "call" and id(frame.f_code) in names:
            borrowed.append(names[id(frame.f_code)])
        elif event == "c_call" and any(builtin is function for function in builtins):
            borrowed.append(builtin.__name__)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def innermost(function: Any) -> Any:
    """Return the function under its decorators and partial applications."""
    function = inspect.unwrap(function)
    return innermost(function.func) if isinstance(function, functools.partial) else function


def code_of(function: Any) -> Any:
    """Return the code of a function, or of a class's `__init__`; None if it is built in."""
    function = innermost(function)
    if isinstance(function, type):
        function = function.__init__
    return getattr(getattr(function, "__func__", function), "__code__", None)


def _is_stub(error: BaseException, answer: Callable[..., Any]) -> bool:
    """Whether the learner's own function says `raise NotImplementedError`.

    Torch raises the same type for what it cannot compute, hence the look at the instruction.
    """
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return False
    last = _frames(error.__traceback__)[-1]
    if last.tb_frame.f_code is not code_of(answer):
        return False
    steps = dis.get_instructions(last.tb_frame.f_code)
    return any(step.offset == last.tb_lasti and step.opname == "RAISE_VARARGS" for step in steps)


def _describe(error: BaseException, answer: Callable[..., Any]) -> Raised:
    message = " ".join(traceback.format_exception_only(error)[-1].split())
    message = message.removeprefix(type(error).__name__).removeprefix(":").strip()[:LONGEST]
    code = code_of(answer)
    file = code.co_filename if code else None
    own = [step for step in _frames(error.__traceback__) if step.tb_frame.f_code.co_filename == file]
    if not own:
        return Raised(type(error).__name__, message)
    line = linecache.getline(file, own[-1].tb_lineno).strip()[:LONGEST]
    return Raised(type(error).__name__, message, own[-1].tb_lineno, line)


def _frames(step: TracebackType | None) -> list[TracebackType]:
    steps = []
    while step is not None:
        steps.append(step)
        step = step.tb_next
    return steps
