"""Ends every process that descends from this one, however it tried to get away (Linux).

A process that starts its own session, or whose parent ends, is still found: `linux.adopt_orphans` makes this process
its parent.
"""

import contextlib
import os
import signal
from pathlib import Path


def sweep() -> None:
    """End every process that descends from this one (Linux; elsewhere there is no telling).

    First stop them all, so that none can start another, then kill.
    """
    stopped: set[int] = set()
    while new := [pid for pid in descendants(os.getpid()) if pid not in stopped]:
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        stopped.update(new)
    for pid in stopped:
        _signal(pid, signal.SIGKILL)
    while stopped and descendants(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def descendants(ancestor: int) -> list[int]:
    """The processes that descend from one, as /proc tells now; empty where there is no /proc."""
    parents = {}
    for about in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(about.parent.name)] = int(about.read_text(errors="replace").rpartition(")")[2].split()[1])
    found, fresh = [], [ancestor]
    while fresh:
        fresh = [pid for pid, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
