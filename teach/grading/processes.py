"""Ends every process that descends from this one, however it tried to get away (Linux).

A process that starts its own session, or whose parent ends, is still found: `linux.adopt_orphans` makes this process
its parent.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def sweep() -> None:
    """End every process that descends from this one (Linux; elsewhere there is no telling).

    First stop them all, so that none can start another, then kill. /proc is not read in one instant: a process
    whose parent ends meanwhile can be missing from a listing. So a listing is never taken for the last word: all is
    done again until the kernel says that no child is left.
    """
    if sys.platform != "linux":
        return
    while _children_left():
        stopped: set[int] = set()
        while new := [pid for pid in descendants(os.getpid()) if pid not in stopped]:
            for pid in new:
                _signal(pid, signal.SIGSTOP)
            stopped.update(new)
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.005)


def descendants(ancestor: int) -> list[int]:
    """The processes that descend from one, as /proc tells now; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                about = Path("/proc", name, "stat").read_text(errors="replace")
                children.setdefault(int(about.rpartition(")")[2].split()[1]), []).append(int(name))
    found, fresh = [], [ancestor]
    while fresh:
        fresh = [pid for parent in fresh for pid in children.get(parent, ())]
        found += fresh
    return found


def _children_left() -> bool:
    """Whether this process has children still, once those that have ended are taken off the list."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
