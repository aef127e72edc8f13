"""The grader's side of a keeper process: sends orders, reads what comes back, starts another one where it was lost."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teach.grading.folders import own_folder
from teach.grading.lesson import Lesson
from teach.grading.limits import Limits
from teach.grading.places import COURSE
from teach.grading.wire import MOST_LINE_BYTES, Report, decode

GRACE_S = 150.0  # beyond a submission's own time, before a keeper is given up; starting a child takes a part of it
END_S = 5.0  # for a keeper to end its child
# What a learner's process may know of the teacher's environment: enough to run Python, and nothing secret.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "CONDA_PREFIX", "VIRTUAL_ENV")


@dataclass(frozen=True)
class End:
    """How a child ended.

    why      "exit", "step time", "time", "flood", "silent" where it closed its channel, "lost" with its keeper, or what
             it used too much of (`teach.grading.watch`)
    status   exit status; for a signal, minus its number
    used_s   seconds since it began, clearing up included
    """

    why: str
    status: int = 0
    used_s: float = 0.0


class Keeper:
    """A separate keeper process for each worker of the grader."""

    def __init__(
        self, lessons: Sequence[Lesson], limits: Limits, closed: Sequence[Path] = (), share: tuple[int, int] = (0, 1)
    ) -> None:
        """`closed`: folders that no submission may read. `share`: (0, 2) takes half of the cores."""
        self.limits = limits
        self._share = list(share)
        self._unreadable = [str(folder.resolve()) for folder in closed]
        self._setting = {
            "modules": [lesson.module for lesson in lessons],
            "imports": list(dict.fromkeys(name for lesson in lessons for name in lesson.imports)),
            "use_kernel": limits.use_kernel,
        }
        self._process: subprocess.Popen | None = None
        self._greeted: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._closed = False

    def carry_out(self, order: dict[str, Any], folder: Path, time_s: float) -> Iterator[Report | End]:
        """The reports of one child as they come, then its End. Lines that are no report are left out."""
        limits = self.limits
        order = order | {"folder": str(folder), "memory_bytes": limits.memory_bytes, "use_kernel": limits.use_kernel}
        order |= {"time_s": time_s, "step_time_s": min(time_s, limits.step_time_s), "closed": self._unreadable}
        order["share"] = self._share
        process = self._ready()
        watchdog = threading.Timer(time_s + GRACE_S, process.kill)
        watchdog.start()
        ended = None
        try:
            _send(process, order)
            while ended is None:
                line = process.stdout.readline(MOST_LINE_BYTES + 2)
                if line.startswith(b"+"):
                    with contextlib.suppress(ValueError):
                        yield decode(line[1:])
                else:
                    ended = _end(line)
        finally:
            watchdog.cancel()
            if ended is None or ended.why == "lost":  # what is still on its way must not be taken for the next answer
                self._stop()
        yield ended

    def _ready(self) -> subprocess.Popen:
        """The keeper process; a new one where there is none.

        Raises:
            ValueError: it cannot start; the message is what the process said.
        """
        with self._lock:
            if self._closed:
                raise ValueError("grading was stopped")
            if self._process is None:
                self._process = _start()
            process = self._process
        if process is not self._greeted:
            _greet(process, self._setting)
            self._greeted = process
        return process

    def _stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.terminate()  # so that it clears up
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            with contextlib.suppress(OSError):
                process.stdin.close()

    def close(self) -> None:
        """End the keeper and with it any child that is running."""
        self._closed = True
        self._stop()


def _greet(process: subprocess.Popen, setting: dict[str, Any]) -> None:
    _send(process, setting)
    line = process.stdout.readline()
    answer = json.loads(line[1:]) if line else {"end": "broken", "why": "it ended at once"}
    if answer["end"] != "ready":
        what = "the process that runs submissions could not start; expected the lessons to load"
        raise ValueError(f"{what}:\n{answer['why']}")


def _end(line: bytes) -> End:
    if not line.startswith(b"="):
        return End("lost", used_s=float("inf"))
    content = json.loads(line[1:])
    return End(content["end"], content["status"], content["used_s"])


def _start() -> subprocess.Popen:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment |= {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(_search()), "PYTHONUTF8": "1"}
    # Every process that grading starts carries this, so that a left-over could be found.
    environment["COURSE_GRADER"] = str(os.getpid())
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "teach.grading.keeper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=tempfile.gettempdir(),
        start_new_session=True,
    )


def _search() -> list[str]:
    """Where a keeper looks for modules: as this process, but not in the folder that the teacher happens to be in."""
    here = Path.cwd()
    found = [place for place in sys.path if place and Path(place).resolve() != here]
    return [*found, str(COURSE)]


def _send(process: subprocess.Popen, content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # a lost keeper shows when its answer is read
        process.stdin.write(json.dumps(content).encode("ascii") + b"\n")
        process.stdin.flush()


def protections(keeper: Keeper) -> frozenset[str]:
    """Which rules the system holds here: of "memory", "files", "processes and network".

    Raises:
        ValueError: a process that runs submissions does not even come to its first line; the message says how it ended.
    """
    with own_folder() as folder:
        *reports, ended = keeper.carry_out({"do": "probe"}, folder, time_s=60.0)
    if not reports:
        how = f"{ended.why}, status {ended.status}"
        raise ValueError(f"a process that runs submissions ended at once ({how}); expected it to start: grade again")
    return frozenset(held for report in reports for held in json.loads(report.text))
