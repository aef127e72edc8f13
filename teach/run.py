"""Call a learner's function on the cases of an exercise, and note what happens.

Nothing is judged here. The grader runs this next to the submission, in its own process, and
judges the outcomes elsewhere.
"""

import contextlib
import copy
import dis
import io
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

import torch

from teach.compare import identical
from teach.deadline import counted
from teach.exercise import Case, Exercise
from teach.outcome import LONGEST, Outcome, Raised
from teach.plain import Opaque, plain
from teach.slips.code import slips_of
from teach.written import (
    another_name,
    can_be_called,
    code_of,
    ends_in_raise,
    innermost,
    is_stub,
    parameters_of,
    returns,
)


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
                with _watched(forbidden, borrowed, answer):
                    value = answer(*args, **kwargs)
                value = _as_plain(exercise, value)
        except (Exception, SystemExit) as error:  # a KeyboardInterrupt is the learner's own: let it through
            of_stub = _is_of_stub(error, answer)
            kind, value = ("unwritten" if of_stub and is_stub(answer) else "raised"), None
            raised = _describe(error, answer, Case(*args, **kwargs)) if kind == "raised" else None
    return Outcome(
        kind=kind,
        value=value,
        raised=raised,
        changed=_changed(exercise, case, Case(*args, **kwargs)),
        borrowed=borrowed[0] if borrowed else None,
        printed=printed.getvalue()[:LONGEST],
        returns=returns(answer),
        wrote=another_name(answer, exercise.function)[:LONGEST],
        slips=slips_of(answer),
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
def _watched(
    forbidden: Sequence[Callable[..., Any]], borrowed: list[str], answer: Callable[..., Any]
) -> Iterator[None]:
    """Notes in `borrowed` each call that reaches a forbidden function, under the name that `answer` called."""
    if not forbidden:
        yield
        return
    functions = [innermost(function) for function in forbidden]
    # By identity: two functions that are written alike, on the same line of two files, have equal code.
    known = {id(code_of(function)): function for function in functions if code_of(function)}
    builtins = [function for function in functions if not code_of(function)]

    def watch(frame: Any, event: str, builtin: Any) -> None:
        if event == "call" and id(frame.f_code) in known:
            borrowed.append(_called(frame, known[id(frame.f_code)], answer))
        elif event == "c_call" and any(builtin is function for function in builtins):
            borrowed.append(builtin.__name__)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def _called(frame: FrameType, forbidden: Callable[..., Any], answer: Callable[..., Any]) -> str:
    """The function that the learner's own code called, of the package that the forbidden one is in."""
    package, own = (forbidden.__module__ or "").split(".")[0], code_of(answer)
    name = forbidden.__name__
    while (frame := frame.f_back) and frame.f_code is not _run_case.__code__:
        if own is not None and frame.f_code.co_filename == own.co_filename:
            return name
        called = frame.f_code.co_qualname.removesuffix(".__init__").removesuffix(".__call__")
        if frame.f_globals.get("__name__", "").split(".")[0] == package and "<" not in called:
            name = called
    return forbidden.__name__


def _is_of_stub(error: BaseException, answer: Callable[..., Any]) -> bool:
    """Whether it is the learner's own function that says `raise NotImplementedError`.

    Torch raises the same type for what it cannot compute, hence the look at the instruction.
    """
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return False
    last = _frames(error.__traceback__)[-1]
    if last.tb_frame.f_code is not code_of(answer):
        return False
    steps = dis.get_instructions(last.tb_frame.f_code)
    return any(step.offset == last.tb_lasti and step.opname == "RAISE_VARARGS" for step in steps)


def _describe(error: BaseException, answer: Callable[..., Any], case: Case) -> Raised:
    message = " ".join(traceback.format_exception_only(error)[-1].split())
    message = message.removeprefix(type(error).__name__).removeprefix(":").strip()[:LONGEST]
    code = code_of(answer)
    file = code.co_filename if code else None
    own = [step for step in _frames(error.__traceback__) if step.tb_frame.f_code.co_filename == file]
    if not own:
        taken = can_be_called(answer, case.args, case.kwargs)
        return Raised(type(error).__name__, message, parameters=None if taken else parameters_of(answer))
    line = linecache.getline(file, own[-1].tb_lineno).strip()[:LONGEST]
    leftover = ("last" if ends_in_raise(answer) else "above") if _is_of_stub(error, answer) else ""
    return Raised(type(error).__name__, message, own[-1].tb_lineno, line, leftover)


def _frames(step: TracebackType | None) -> list[TracebackType]:
    steps = []
    while step is not None:
        steps.append(step)
        step = step.tb_next
    return steps
