"""One at a time: a lock on a file, which the system takes back when its holder ends, however it ends."""

import os
import time
from contextlib import contextmanager

PAUSE_S = 0.5  # between two looks at a lock that another holds


@contextmanager
def alone(path):
    """Hold the lock `path` during the block. Where another process holds it, say so once and wait until it ends.

    Where no lock can be had, as in a folder that cannot be written, the block runs without one.
    """
    try:
        file = open(path, "a+b")  # noqa: SIM115  # closed below, which gives the lock back
    except OSError:
        yield
        return
    with file:
        if not take(file):
            print(
                "Another set-up of the course is running here: waiting for it to end (Ctrl-C stops waiting).",
                flush=True,
            )
            while not take(file):
                time.sleep(PAUSE_S)
        yield


@contextmanager
def held(path):
    """Hold the lock `path` during the block, and tell it whether it is held: False where another process has it.

    Where no lock can be had, it counts as held.
    """
    try:
        file = open(path, "a+b")  # noqa: SIM115  # closed below, which gives the lock back
    except OSError:
        yield True
        return
    with file:
        yield take(file)


def take(file):
    """Try to lock an open file, and return False where another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True
