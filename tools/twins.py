"""Change a right answer in one small way at a time, and print which wrong answers no case of the exercise tells apart.

    python -m tools.twins                # every exercise
    python -m tools.twins 2.5 10         # one exercise, and all of a lesson

Tried are the answer of the solution and the answers that the exercise lists as `also_correct`. A change is one of
`tools.slips`, or the answer as it is with one argument *frozen*: it always reads that of one case. A changed answer
that agrees with the reference in every case is a *twin*: a learner may write it and pass. It needs a case, unless it is
*equivalent*: right in another way, or wrong only for arguments that the exercise rules out. Whether it is, a person
decides and says why in tools/twins_judged.toml.

The changed answers of one answer run in a process of their own, forked from this one: one without an end is stopped,
and counts as refused. It needs a system that can fork: Linux or macOS.
"""

import argparse
import ast
import contextlib
import copy
import hashlib
import inspect
import os
import re
import resource
import select
import signal
import textwrap
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from teach.build.source import read_source
from teach.exercise import Exercise
from teach.exercises import exercises_of, find_exercise, lessons
from teach.judge import agrees
from teach.outcome import Outcome
from teach.run import run
from tools.mutants import mutants
from tools.slips import slips

ROOT = Path(__file__).resolve().parent.parent

JUDGED = Path(__file__).with_name("twins_judged.toml")
# An answer of `also_correct` often holds one value under two names: these kinds of changes then change nothing.
LESS_TELLING = ("another name", "another call", "operands swapped")
MEMORY_BYTES = 4 * 2**30  # more of address space than there is now: a loop without an end may fill a list
SILENT_S = 60  # a changed answer that does not return from a call of torch is given up after this


@dataclass(frozen=True)
class Answer:
    """A right answer as text: who wrote it, its function, and the names that its function needs."""

    exercise: Exercise
    who: str
    source: str
    names: dict[str, Any]

    def function(self, source: str) -> Callable[..., Any]:
        """The function of a source like that of this answer."""
        names = dict(self.names)
        exec(compile(source, f"<{self.exercise.id} {self.who}>", "exec"), names)
        return names[_defined(source)]


@dataclass(frozen=True)
class Twin:
    """A changed answer: the kind of change, the line before, the lines as they were and are, and its whole source."""

    kind: str
    after: str
    was: str
    now: str
    source: str
    frozen: tuple[str, int] | None = None  # an argument, and the case whose argument it always reads


@dataclass(frozen=True)
class Tried:
    """A changed answer and what became of it: `refused`, `too slow` (refused as well), `equivalent` or `survived`."""

    twin: Twin
    outcome: str
    why: str = ""


# --- the answers ---------------------------------------------------------------------------------------------------


def answers(exercise: Exercise) -> list[Answer]:
    """The solution's answer, and those of `also_correct` that have a source of their own."""
    found = [_of_solution(exercise)]
    for function in exercise.also_correct:
        text = _source_of(function)
        if text is not None:
            closure = inspect.getclosurevars(function).nonlocals
            who = (
                function.__name__
                if function.__name__ != "<lambda>"
                else f"also_correct {exercise.also_correct.index(function) + 1}"
            )
            found.append(Answer(exercise, who, text, dict(function.__globals__) | dict(closure)))
    return found


def _of_solution(exercise: Exercise) -> Answer:
    source, names = _lesson(exercise.lesson)
    [cell] = [cell for cell in source.cells if cell.name == "ex-" + exercise.id.replace(".", "-")]
    text = "\n".join(line for line in cell.text.splitlines() if "### BEGIN" not in line and "### END" not in line)
    return Answer(exercise, "solution", _without_docstring(text), names)


@cache
def _lesson(number: int) -> tuple[Any, dict[str, Any]]:
    """A lesson's source, and what the imports of its first code cell bind."""
    [path] = (ROOT / "solutions").glob(f"{number:02d}_*.py")
    source = read_source(path)
    read = " ".join(cell.text for cell in source.cells if cell.is_exercise)
    names: dict[str, Any] = {"__name__": "answer"}
    for node in ast.parse(next(cell.text for cell in source.cells if cell.kind == "code")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [one for one in node.names if re.search(rf"\b{one.asname or one.name.split('.')[0]}\b", read)]
            if node.names:
                exec(ast.unparse(node), names)
    return source, names


def _source_of(function: Callable[..., Any]) -> str | None:
    """The text of a function of an exercise's file, a lambda as a function; None where it has none of its own."""
    code = getattr(function, "__code__", None)
    if code is None or Path(code.co_filename).parent.parent.name != "exercises":
        return None
    tree = _tree(code.co_filename)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__ and node.lineno == code.co_firstlineno:
            return _without_docstring(ast.get_source_segment(Path(code.co_filename).read_text(encoding="utf-8"), node))
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and _same_code(node, code):
            return f"def answer({ast.unparse(node.args)}):\n    return {ast.unparse(node.body)}\n"
    return None


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def _same_code(node: ast.Lambda, code: Any) -> bool:
    own = compile(ast.Expression(node), "x", "eval").co_consts
    own = [one for one in own if hasattr(one, "co_code")]
    return any(list(one.co_positions()) == list(code.co_positions()) for one in own)


def _without_docstring(text: str) -> str:
    """A function's text, without decorators, docstring and indentation."""
    text = textwrap.dedent(text)
    [node] = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    lines = text.splitlines()
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines).strip() + "\n"


def _defined(source: str) -> str:
    return next(node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))


# --- the changed answers -------------------------------------------------------------------------------------------


def twins(answer: Answer) -> list[Twin]:
    """Every changed answer: the slips in its source, and each argument frozen to that of the first or the last case."""
    found = [Twin(one.kind, one.after, one.was, one.now, one.source) for one in mutants(answer.source, slips)]
    if answer.who == "solution":
        return [*found, *_frozen(answer)]
    return [one for one in found if one.kind not in LESS_TELLING]


def _frozen(answer: Answer) -> Iterator[Twin]:
    cases = answer.exercise.cases
    read = {node.id for node in ast.walk(ast.parse(answer.source)) if isinstance(node, ast.Name)}
    for name in answer.exercise.parameters:
        if name not in read:  # an argument that is there to be left alone
            continue
        for which, at in (("first", 0), ("last", len(cases) - 1)):
            if name in answer.exercise.arguments(cases[at]):
                now = f"{name} is always that of the {which} case"
                yield Twin("argument frozen", "", name, now, answer.source, (name, at))


def function_of(answer: Answer, twin: Twin) -> Callable[..., Any]:
    """A changed answer as a function."""
    function = answer.function(twin.source)
    if twin.frozen is None:
        return function
    name, at = twin.frozen
    exercise = answer.exercise
    frozen = exercise.arguments(exercise.cases[at])[name]
    place = exercise.parameters.index(name)

    def reads_one_value(*args: Any, **kwargs: Any) -> Any:
        value = copy.deepcopy(frozen)
        if name in kwargs:
            return function(*args, **kwargs | {name: value})
        if place >= len(args):
            return function(*args, **kwargs, **{name: value})
        return function(*args[:place], value, *args[place + 1 :], **kwargs)

    return reads_one_value


class TooSlow(BaseException):
    """The time of a changed answer is up."""


class Cases:
    """The exercise's cases one by one, with what the reference gives in each."""

    def __init__(self, exercise: Exercise) -> None:
        self.each = [replace(exercise, cases=(case,), mistakes=(), also_correct=()) for case in exercise.cases]
        self.right: dict[int, tuple[Outcome, float]] = {}

    def refused(self, function: Callable[..., Any]) -> int | None:
        """The first case that refuses a function; None where there is none."""
        for at, exercise in enumerate(self.each):
            if at not in self.right:
                start = time.process_time()
                self.right[at] = run(exercise, exercise.reference, watch=False)[0], time.process_time() - start
            right, seconds = self.right[at]
            signal.setitimer(signal.ITIMER_PROF, 0.3 + 20 * seconds)
            try:
                [outcome] = run(exercise, function, watch=False)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if not agrees(exercise, outcome, right) or set(outcome.changed) - set(right.changed):
                return at
        return None


def try_all(answer: Answer, taken: Sequence[Twin]) -> Iterator[tuple[Twin, str]]:
    """Each changed answer, and `refused`, `too slow` or `passed`, found in a process of its own.

    Raises:
        ValueError: the answer as it is does not pass, or nothing runs.
    """
    as_it_is = Twin("none", "", "", "", answer.source)
    waiting = [as_it_is, *taken]
    while waiting:
        said = list(_in_a_child(answer, waiting))
        if len(said) < len(waiting):
            said.append("too slow")
        for one, outcome in zip(waiting, said):
            if one is as_it_is and outcome != "passed":
                raise ValueError(
                    f"exercise {answer.exercise.id}: {answer.who} as it is: {outcome}; expected it to pass"
                )
            if one is not as_it_is:
                yield one, outcome
        waiting = waiting[len(said) :]


def _in_a_child(answer: Answer, waiting: Sequence[Twin]) -> Iterator[str]:
    """What became of the first ones; fewer than there are where the process had to be ended, or ended by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setsid()
            _work(answer, waiting, writing)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        while select.select([reading], [], [], SILENT_S)[0]:
            letters = os.read(reading, 65536)
            if not letters:
                return
            yield from ({"p": "passed", "r": "refused", "t": "too slow"}[chr(one)] for one in letters)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work(answer: Answer, waiting: Sequence[Twin], channel: int) -> None:
    torch.set_num_threads(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))

    def stop(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGPROF, stop)
    cases = Cases(answer.exercise)
    for one in waiting:
        try:
            letter = b"p" if cases.refused(function_of(answer, one)) is None else b"r"
        except TooSlow:
            letter = b"t"
        except BaseException:
            letter = b"r"
        os.write(channel, letter)


def try_answer(answer: Answer, share: float = 1.0) -> list[Tried]:
    """Every changed answer, or that share of them which the hash of their text picks, and what became of it."""
    found, reasons = [], judged(answer.exercise.id, answer.who)
    taken = [one for one in twins(answer) if picked(one, share)]
    for one, outcome in try_all(answer, taken):
        why = reasons.get((one.after, one.was, one.now)) or reasons.get(("", one.was, one.now), "")
        if outcome == "passed":
            outcome = "equivalent" if why else "survived"
        found.append(Tried(one, outcome, why if outcome == "equivalent" else ""))
    return found


def picked(twin: Twin, share: float) -> bool:
    """Whether a changed answer is among the share that is tried: always the same ones."""
    digest = hashlib.sha256(f"{twin.after}\n{twin.was}\n{twin.now}".encode()).digest()
    return int.from_bytes(digest[:4]) < share * 2**32


@cache
def rows(path: Path) -> list[dict[str, str]]:
    """The judgements of a file: each a change of an answer, and why the answer stays right."""
    return tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", []) if path.exists() else []


def judged(id: str, who: str, path: Path = JUDGED) -> dict[tuple[str, str, str], str]:
    """The changes of an answer that leave it right, each with the reason.

    A change is the line before it, "" where the lines themselves are enough, the lines as they were, and as they are.
    """
    own = [row for row in rows(path) if row["exercise"] == id and row.get("answer", "solution") == who]
    return {(row.get("after", ""), row["was"].strip(), row["now"].strip()): row["why"] for row in own}


# --- the table -----------------------------------------------------------------------------------------------------


def row_of(name: str, tried: Sequence[Tried]) -> tuple[str, ...]:
    """A line of the table: changed answers, refused (too slow counts), equivalent, survived."""
    count = Counter(one.outcome for one in tried)
    return name, *map(str, (len(tried), count["refused"] + count["too slow"], count["equivalent"], count["survived"]))


def table(tried: dict[str, list[Tried]]) -> str:
    """All exercises, and a line for all together."""
    from mini_lib.columns import aligned

    head = ("exercise", "changed answers", "refused", "equivalent", "survived")
    together = [one for found in tried.values() for one in found]
    return aligned([head, *(row_of(*item) for item in tried.items()), row_of(f"{len(tried)} exercises", together)])


def shown(answer: Answer, one: Tried) -> str:
    """A changed answer: whose, what kind, the lines before and after, and why it is equivalent if it is."""
    lines = [f"{answer.exercise.id} {answer.who}  {one.outcome}, {one.twin.kind}"]
    lines += [f"    after: {one.twin.after}"]
    lines += [f"  - {line}" for line in one.twin.was.splitlines()]
    lines += [f"  + {line}" for line in one.twin.now.splitlines()]
    return "\n".join(lines + [f"  {one.why}"] * bool(one.why))


def main() -> None:
    """Print the survivors and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "which", nargs="*", default=[str(lesson) for lesson in lessons()], help="2.5, or 2 for all of it"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the changed answers that are tried")
    parser.add_argument("--equivalent", action="store_true", help="print the equivalent ones too")
    asked = parser.parse_args()
    tried: dict[str, list[Tried]] = {}
    for which in asked.which:
        for exercise in [find_exercise(which)] if "." in which else exercises_of(int(which)):
            tried[exercise.id] = []
            start = time.monotonic()
            for answer in answers(exercise):
                found = try_answer(answer, asked.share)
                tried[exercise.id] += found
                for one in found:
                    if one.outcome == "survived" or (asked.equivalent and one.outcome == "equivalent"):
                        print(shown(answer, one), flush=True)
            slow = sum(one.outcome == "too slow" for one in tried[exercise.id])
            print(
                "#", *row_of(*list(tried.items())[-1]), f"too slow {slow}, {time.monotonic() - start:.1f} s", flush=True
            )
    print(f"\n{table(tried)}")


if __name__ == "__main__":
    main()
