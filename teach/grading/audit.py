"""Rules that Python itself keeps: an audit hook, which no Python code can remove.

It names what it refuses, so that a learner is told more than "operation not permitted". Where the kernel keeps no rules
(macOS, Windows) it is all there is: there it refuses ctypes too, and a determined learner still gets around it.
Source: Python's documentation, "Audit events table"; PEP 578.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STARTS_A_PROCESS = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.startfile/2",
    "subprocess.Popen", "pty.spawn", "_winapi.CreateProcess",
)  # fmt: skip
USES_A_NETWORK = (
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr", "socket.getnameinfo",
)  # fmt: skip
SIGNALS = ("os.kill", "os.killpg", "resource.prlimit", "_winapi.OpenProcess", "_winapi.TerminateProcess")
# What an event changes: of each path its position, and the position of the open folder that it starts from.
CHANGES = {
    "os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.mkdir": ((0, 2),), "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),), "os.chown": ((0, 3),), "os.utime": ((0, 3),), "os.lchown": ((0, None),),
    "os.rename": ((0, 2), (1, 3)), "os.link": ((0, 2), (1, 3)), "os.truncate": ((0, None),),
    "os.chflags": ((0, None),), "os.setxattr": ((0, None),), "os.removexattr": ((0, None),),
    "shutil.rmtree": ((0, 1),), "shutil.move": ((0, None), (1, None)),
}  # fmt: skip
C_LIBRARIES = ("ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.call_function", "ctypes.cdata")
READS = ("os.listdir", "os.scandir")
# What tells the kernel to signal a process whenever a file is ready, or types into a terminal: names as this system
# has them, and Linux's FIOSETOWN, SIOCSPGRP and TIOCSTI.
TELLS = {
    "fcntl.fcntl": ("F_SETOWN", "F_SETOWN_EX", "F_SETSIG", "F_SETLEASE", "F_NOTIFY"),
    "fcntl.ioctl": ("TIOCSTI", "TIOCSCTTY", "TIOCSPGRP"),
}
TELLS_ON_LINUX = (0x8901, 0x8902, 0x5412)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def keep_rules(folder: Path, closed: Sequence[Path] = (), *, alone: bool) -> None:
    """From now on PermissionError for: a network, a new process, a signal to another, a change outside `folder`.

    Also for reading anything in a folder of `closed`. `alone`, where no kernel keeps the rules: also for ctypes, which
    could go around all of them.
    """
    sys.addaudithook(rules(folder, closed, alone=alone))


def rules(folder: Path, closed: Sequence[Path] = (), *, alone: bool = False) -> Callable[[str, tuple[Any, ...]], None]:
    """The hook itself: `hook(event, args)` raises PermissionError for what is refused.

    >>> rules(Path("/home/ada"))("os.system", ("true",))
    Traceback (most recent call last):
      ...
    PermissionError: grading starts no other process (os.system)
    """
    # All that the hook needs is bound here, out of reach of a notebook that replaces os.path or the tables above.
    realpath, fspath, join, exists = os.path.realpath, os.fspath, os.path.join, os.path.exists
    root, separator, devices = realpath(folder), os.sep, (os.devnull, realpath(os.devnull))
    starts, network, signals = frozenset(STARTS_A_PROCESS), frozenset(USES_A_NETWORK), frozenset(SIGNALS)
    libraries = frozenset(C_LIBRARIES if alone else ())
    changes, writing, error, own, reads = dict(CHANGES), WRITING, PermissionError, os.getpid(), frozenset(READS)
    told = _numbers_of_calls_that_tell()

    shut = tuple(map(realpath, closed))

    def place_of(path: Any, start: Any = None) -> str | None:
        if isinstance(path, int):  # an open file: it was judged when it was opened
            return None
        path = fspath(path)
        path = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
        if isinstance(start, int) and start >= 0:
            if not exists("/proc/self/fd"):  # no way to tell; shutil.rmtree was judged by the folder it began with
                return None
            path = join(realpath(f"/proc/self/fd/{start}"), path)
        return realpath(path)

    def below(place: str, folder: str) -> bool:
        return place == folder or place.startswith(folder.rstrip(separator) + separator)

    def inside(path: Any, start: Any = None) -> bool:
        place = place_of(path, start)
        return place is None or below(place, root) or place in devices

    def is_shut(path: Any) -> bool:
        place = place_of("." if path is None else path) if shut else None
        return place is not None and not below(place, root) and any(below(place, folder) for folder in shut)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(args[2], int) and args[2] & writing and not inside(args[0]):
                raise error(f"grading lets a notebook write in its own folder only, not {args[0]}")
            if is_shut(args[0]):
                raise error(f"grading lets a notebook read no other hand-in ({args[0]})")
        elif event in changes:
            if not all(inside(args[path], None if start is None else args[start]) for path, start in changes[event]):
                raise error(f"grading lets a notebook change its own folder only, not {args[0]} ({event})")
        elif event in reads:
            if is_shut(args[0]):
                raise error(f"grading lets a notebook read no other hand-in ({args[0]})")
        elif event in starts:
            raise error(f"grading starts no other process ({event})")
        elif event in network:
            raise error(f"grading has no network ({event})")
        elif (event in signals and args[0] not in (0, own)) or (event in told and args[1] in told[event]):
            raise error(f"grading lets a notebook signal only itself ({event})")
        elif event in libraries:
            raise error(f"grading has no ctypes on this system ({event})")

    return hook


def _numbers_of_calls_that_tell() -> dict[str, frozenset[int]]:
    try:
        import fcntl
        import termios
    except ImportError:  # Windows
        return {}
    numbers = {
        event: {getattr(module, name) for name in TELLS[event] for module in (fcntl, termios) if hasattr(module, name)}
        for event in TELLS
    }
    if sys.platform == "linux":
        numbers["fcntl.ioctl"] |= set(TELLS_ON_LINUX)
    return {event: frozenset(known) for event, known in numbers.items()}
