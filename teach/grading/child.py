"""The process that runs one submission: its cells, then its functions on the exercises' cases.

It gives up what it does not need, then runs the learner's code, and reports as it goes. What it reports is plain text.
"""

import builtins
import dataclasses
import json
import linecache
import os
import re
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from teach.exercise import Exercise
from teach.grading import audit, linux
from teach.grading.cells import note_empty_names, tree_of
from teach.grading.facts import facts_of
from teach.grading.limits import limit_files_and_processes, limit_memory
from teach.grading.places import readable
from teach.grading.shell import Runner
from teach.grading.wire import MOST_TEXT, OUT_OF_MEMORY, Report, encode, fits
from teach.outcome import Outcome, to_json
from teach.run import run
from teach.written import code_of

MOST_NAME = 50  # characters of a name in a message


def serve(order: int, exercises: dict[str, Exercise], channel: int, parent: int | None = None) -> None:
    """Carries out the order that the open file `order` holds, reporting to the open file `channel`. Ends the process.

    `parent` is the process that forked this one; None where it is a new Python, and the kernel holds no rules.
    """
    status = 70
    try:
        with os.fdopen(order, "rb") as text:
            order = json.loads(text.read())
        channel = _move(channel)
        closed = [Path(place) for place in order["closed"]]
        if parent is not None:
            linux.take_share(*order["share"])
        held = keep_to(Path(order["folder"]), order["memory_bytes"], closed, parent)
        send = _sender(channel)
        if order["do"] == "probe":
            send("facts", 0, json.dumps(held))
        elif order["do"] == "look":
            _look(order["cells"], send)
        else:
            _run(order["steps"], exercises, send)
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)  # no learner's atexit, no __del__, no waiting for threads


def keep_to(folder: Path, memory_bytes: int, closed: Sequence[Path], parent: int | None) -> list[str]:
    """Puts this process under its limits, for good; the names of those that the system holds.

    It can read no folder of `closed`. With `parent`, the process that forked it, the kernel holds the rules.
    """
    os.chdir(folder)
    _environment(folder)
    held = []
    if parent is not None:
        linux.die_with_parent(parent)
        linux.die_first()
        os.setsid()
        alone = linux.drop_privileges()
        held += ["files"] if alone and linux.write_only_in(folder, readable(closed)) else []
        held += ["processes and network"] if alone and linux.refuse_processes_and_sockets() else []
    limit_files_and_processes(threads_too="processes and network" not in held)
    held += ["memory"] if limit_memory(memory_bytes) else []
    if "files" in held and any(map(_can_list, closed)):  # it lies where Python's own files do
        held.remove("files")
    audit.keep_rules(folder, closed, alone=not {"files", "processes and network"} <= set(held))
    return held


def _can_list(folder: Path) -> bool:
    try:
        os.listdir(folder)
    except OSError:
        return False
    return True


def _environment(folder: Path) -> None:
    """The learner's code sees its own folder as its home, and speaks to nobody."""
    for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
        os.environ[name] = str(folder)
    os.environ["COURSE_HOME"] = str(folder / ".course")
    tempfile.tempdir = str(folder)
    sys.dont_write_bytecode = True
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(n, mode, encoding="utf-8", errors="replace") for n, mode in enumerate("rww")
    )
    sys.argv = ["notebook"]


def _move(channel: int) -> int:
    """The channel as file 3, and every other open file but the standard ones closed."""
    if channel != 3:
        os.dup2(channel, 3)
    os.closerange(4, 4096)
    return 3


def _look(cells: list[list[Any]], send: Callable[..., None]) -> None:
    for at, text in cells:
        send("begin", at)
        send("facts", at, facts_of(text).to_json())


def _run(steps: list[list[Any]], exercises: dict[str, Exercise], send: Callable[..., None]) -> None:
    notebook = types.ModuleType("__main__")  # a module of its own: dataclasses and pickle look it up by name
    notebook.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = notebook
    sys.path.insert(0, os.getcwd())  # as in Jupyter: what `%%writefile helper.py` wrote can be imported
    runner, empty = Runner(notebook.__dict__), set()
    for step, kind, *content in steps:
        send("begin", step)
        if kind == "cell":
            _run_cell(runner, step, *content, empty, send)
        else:
            _try(exercises[content[0]], notebook.__dict__, step, send)
        send("end", step)


def _run_cell(runner: Runner, step: int, title: str, text: str, empty: set[str], send: Callable[..., None]) -> None:
    """`empty`: names that hold nothing here, since no command runs; those of this cell are added."""
    file = f"<{title}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        tree = tree_of(text)
        note_empty_names(empty, tree)
        program = runner.compile(tree, file)
    except (MemoryError, RecursionError):  # the parser's own: it has not run yet
        send("failed", step, "SyntaxError: too deeply nested for Python")
        return
    except (SyntaxError, ValueError) as error:
        send("failed", step, _words(error, file))
        return
    try:
        runner.run(program)
    except MemoryError:
        _out_of_memory(step, send)
    except BaseException as error:  # a notebook may raise anything, SystemExit and KeyboardInterrupt too
        send("failed", step, _words(error, file) + because(empty, error, file))


def because(empty: set[str], error: BaseException, file: str) -> str:
    """Which names in the line of an error hold nothing, since grading runs no commands."""
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    names = sorted(empty & set(re.findall(r"\w+", lines[-1]))) if lines else []
    if not names:
        return ""
    what = " and ".join(f"`{name[:MOST_NAME]}`" for name in names[:3])
    why = "Grading runs no shell commands and few magics"
    return f". {why}, so nothing was given to {what}: the function's cell must not depend on it"


def _try(exercise: Exercise, names: dict[str, Any], step: int, send: Callable[..., None]) -> None:
    answer = names.get(exercise.function)
    if answer is None or not callable(answer):
        send("missing", step, "nothing" if answer is None else type(answer).__name__)
        return
    if code_of(answer) is not None and code_of(answer) is code_of(exercise.reference):
        send("missing", step, "mini_lib's own")
        return
    for case in exercise.cases:
        send("case", step)
        try:
            (outcome,) = run(dataclasses.replace(exercise, cases=(case,)), answer)
        except MemoryError:
            _out_of_memory(step, send)
        except BaseException as error:  # what `run` lets through: KeyboardInterrupt and its like
            send("failed", step, _words(error, ""))
            return
        if _is_out_of_memory(outcome):
            _out_of_memory(step, send)
        _send_outcome(outcome, step, send)


def _send_outcome(outcome: Outcome, step: int, send: Callable[..., None]) -> None:
    if not fits(outcome.value):
        send("too big", step)
        return
    try:
        send("outcome", step, to_json([outcome]))
    except (ValueError, MemoryError):
        send("too big", step)


def _is_out_of_memory(outcome: Outcome) -> bool:
    raised = outcome.raised
    return raised is not None and (raised.type.endswith("MemoryError") or "can't allocate memory" in raised.message)


def _out_of_memory(step: int, send: Callable[..., None]) -> None:
    send("memory", step)
    os._exit(OUT_OF_MEMORY)  # whatever fills the memory may still be held by the notebook's names


def _words(error: BaseException, file: str) -> str:
    """An error in one line: its type, its message, and its line in the cell."""
    text = " ".join(traceback.format_exception_only(error)[-1].split())
    if isinstance(error, SyntaxError):
        text, lines = f"{type(error).__name__}: {error.msg}", [error.lineno or 0]
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    source = linecache.getline(file, lines[-1]).strip() if lines else ""
    return f"{text[:MOST_TEXT]} (line {lines[-1]}: `{source[:MOST_TEXT]}`)" if lines else text[:MOST_TEXT]


def _sender(channel: int) -> Callable[..., None]:
    """`send(what, step, text)` writes a report to the channel."""

    def send(what: str, step: int, text: str = "") -> None:
        line = encode(Report(what, step, text))
        while line:
            line = line[os.write(channel, line) :]

    return send
