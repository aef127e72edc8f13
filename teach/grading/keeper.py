"""The process between the grader and the submissions: it starts each child, stops it in time, clears up after it.

It never runs a learner's code. On Linux it imports the lessons' modules once, and a child is forked for every order, so
that a submission starts at once; elsewhere every child is a new Python. One order a line comes on standard input. For
each, the child's reports go to standard output, each after a "+", and then a line of "=" and how it ended.
"""

import contextlib
import gc
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO

from teach.exercise import Exercise
from teach.grading import child, linux
from teach.grading.nursery import Nursery
from teach.grading.processes import sweep
from teach.grading.watch import LOOK_AGAIN_S, Watch
from teach.grading.wire import decode, read_line

MOST_BYTES = 64 * 2**20  # that one child may report
GRACE_S = 1.0  # for a child to end after it has closed its channel
MODULES = "COURSE_GRADER_MODULES"  # tells a new Python what to import
START_S = 120.0  # for a new Python to import what the lessons need; not counted as the submission's own time


class NewPython(subprocess.Popen):
    """A child where nothing can be forked: it has to import all by itself."""

    def __init__(self, order: dict[str, Any]) -> None:
        command = [sys.executable, "-P", "-m", "teach.grading.keeper", "child"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        environment = os.environ | {MODULES: json.dumps(order["modules"])}
        super().__init__(command, **pipes, env=environment, start_new_session=True)
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(json.dumps(order).encode())
            self.stdin.close()

    def finish(self) -> int:
        """End it and all that came from it; its exit status."""
        self.kill()
        with contextlib.suppress(OSError, AttributeError):  # there is no such group any more, or no groups at all
            os.killpg(self.pid, signal.SIGKILL)
        status = self.wait()
        sweep()
        return status


def main() -> None:
    """Serve the grader until it closes standard input, or asks for an end with SIGTERM."""
    orders, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    setting = json.loads(orders.readline())
    linux.die_with_parent()
    linux.adopt_orphans()
    nursery = None
    try:
        exercises = load(setting["modules"])
        if setting["use_kernel"]:
            _warm([*setting["imports"], "IPython.core.inputtransformer2", "asyncio"])
            nursery = Nursery(exercises)
        _reply(replies, b"=", {"end": "ready"})
    except BaseException:
        _reply(replies, b"=", {"end": "broken", "why": traceback.format_exc()})
        return
    with contextlib.suppress(ValueError):  # from now on SIGTERM clears up
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        for line in orders:
            order = json.loads(line) | {"modules": setting["modules"]}
            for report in _supervise(order, nursery, replies):
                replies.write(b"+" + report)
                replies.flush()
    finally:
        if nursery is not None:
            nursery.close()


def load(modules: list[str]) -> dict[str, Exercise]:
    """The exercises of some modules, by id."""
    return {exercise.id: exercise for module in modules for exercise in importlib.import_module(module).EXERCISES}


def _warm(imports: list[str]) -> None:
    for name in imports:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is here now is never collected, and its pages stay shared with the children


def _supervise(order: dict[str, Any], nursery: Nursery | None, replies: BinaryIO) -> Iterator[bytes]:
    """The reports of one child, as they come; replies at last how it ended."""
    process = NewPython(order) if nursery is None else nursery.fork(order)
    lines: queue.Queue[bytes | None] = queue.Queue(maxsize=16)
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        why, start = yield from _until_it_ends(order, process, lines)
    finally:
        status = process.finish()
    used_s = 0.0 if start is None else time.monotonic() - start
    while reader.is_alive() or not lines.empty():  # the reader stops once nobody holds the channel open
        with contextlib.suppress(queue.Empty):
            if lines.get(timeout=GRACE_S) is None:
                break
    reader.join(GRACE_S)
    process.stdout.close()
    _reply(replies, b"=", {"end": why, "status": status, "used_s": used_s})


def _until_it_ends(order: dict[str, Any], process: Any, lines: "queue.Queue[bytes | None]") -> Iterator[bytes]:
    """Yields whole lines; returns why it came to an end and when it began, None where it did not.

    Why: "exit", "step time", "time", "flood", "silent" where it closed its channel and lives on, or what `Watch` says.
    A new Python begins with its first line: its imports are not the submission's.
    """
    now = time.monotonic()
    start, end = (now, now + order["time_s"]) if order["use_kernel"] else (None, now + START_S)
    step, step_end, total_bytes, watch = -1, float("inf"), 0, Watch(process.pid, order["folder"])
    while True:
        why, line = _next(process, lines, min(end, step_end, watch.next_s))
        now = time.monotonic()
        if now >= watch.next_s and (over := watch.over()):
            return over, start
        if why == "late" and now < min(end, step_end):
            continue
        if why == "late":
            why = "time" if now >= end else "step time"
        total_bytes += len(line)
        if total_bytes > MOST_BYTES:
            why = "flood"
        if why:
            return why, start
        if start is None:
            start, end = now, now + order["time_s"]
        begun = _begun(line)
        if begun is not None and begun > step:
            step, step_end = begun, now + order["step_time_s"]
        yield line


def _next(process: Any, lines: "queue.Queue[bytes | None]", end: float) -> tuple[str, bytes]:
    """("", the next line), or why there is none: "late", "exit" or "silent"."""
    ended = False
    while (left := end - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=min(LOOK_AGAIN_S, left))
        except queue.Empty:
            if ended:  # and a process that it left behind holds the channel open
                return "exit", b""
            ended = process.poll() is not None
            continue
        if line is not None and line.endswith(b"\n"):
            return "", line
        return "exit" if _ends_within(process, GRACE_S) else "silent", b""
    return "late", b""


def _begun(line: bytes) -> int | None:
    """The step that a report says has begun."""
    if len(line) > 100:
        return None
    try:
        report = decode(line)
    except ValueError:
        return None
    return report.step if report.what == "begin" else None


def _read(stream: BinaryIO, lines: "queue.Queue[bytes | None]") -> None:
    try:
        while line := read_line(stream):
            lines.put(line)
    except (ValueError, OSError):
        lines.put(b"too long")
    finally:
        lines.put(None)


def _ends_within(process: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    return process.poll() is not None


def _reply(replies: BinaryIO, mark: bytes, content: dict[str, Any]) -> None:
    replies.write(mark + json.dumps(content).encode("ascii") + b"\n")
    replies.flush()


def _child_main() -> None:
    """A new Python as a child: the order on standard input, the reports on standard output."""
    order = os.dup(0)
    child.serve(order, load(json.loads(os.environ[MODULES])), os.dup(1))


if __name__ == "__main__":
    _child_main() if sys.argv[1:] == ["child"] else main()
