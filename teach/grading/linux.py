"""Rules that the Linux kernel keeps for a process: which calls it may make, which files it may read and change.

They cannot be taken back, neither by Python code nor by C code called from it. They need no privileges.
Source: the kernel's documentation, userspace-api/seccomp_filter and userspace-api/landlock.
"""

import contextlib
import ctypes
import os
import platform
import signal
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from teach.grading.seccomp import filter_program, header_of

SUBREAPER, DEATH_SIGNAL, NO_NEW_PRIVILEGES, SET_SECCOMP = 36, 1, 38, 22  # prctl

# Landlock's rights, and the version of its interface that brought each.
WRITE_FILE, READ_FILE, READ_FOLDER, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
READS = READ_FILE | READ_FOLDER
CHANGES = {1: WRITE_FILE | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: TRUNCATE}
SCOPES_SINCE, SOCKETS_AND_SIGNALS = 6, 0b11  # no abstract socket of others, no signal to them, not even a delayed one
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all architectures

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant whose own parent ends; False where the system cannot."""
    return _prctl(SUBREAPER, 1) == 0


def die_with_parent(parent: int | None = None) -> bool:
    """Have the kernel kill this process when its parent ends; False where the system cannot.

    `parent` is the parent that is meant: where it has ended already, so does this process.
    """
    held = _prctl(DEATH_SIGNAL, signal.SIGKILL if _libc else 0) == 0
    if held and parent is not None and os.getppid() != parent:
        os._exit(1)
    return held


def die_first() -> bool:
    """Have the kernel take this process, not one that watches it, where memory runs out; False where it cannot."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
        return True
    return False


def take_share(which: int, of: int) -> None:
    """Keep this process to its share of the cores, so that one which takes all it can slows down no other.

    `which` counts from 0; where there are more shares than cores, some share a core.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[which::of] or [cores[which % len(cores)]])


def drop_privileges() -> bool:
    """Give up root's capabilities, and any way to regain them; False where the system cannot."""
    if _prctl(NO_NEW_PRIVILEGES, 1) != 0:
        return False
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)  # _LINUX_CAPABILITY_VERSION_3
    return _libc.capset(header, nothing) == 0


def refuse_processes_and_sockets() -> bool:
    """From now on the calls of `teach.grading.calls` alone: threads, but no process, socket or signal to another.

    Call `drop_privileges` before. False where the system cannot.
    """
    program = filter_program(platform.machine(), os.getpid())
    if _libc is None or program is None:
        return False
    instructions = ctypes.create_string_buffer(program, len(program))
    header = header_of(program, ctypes.addressof(instructions))
    return _prctl(SET_SECCOMP, 2, ctypes.c_char_p(header)) == 0


def write_only_in(folder: Path, readable: Iterable[Path] | None = None) -> bool:
    """From now on nothing outside `folder` can be written, made, renamed or removed; False where the system cannot.

    Nothing but `folder` and `readable`, files or folders, can be read, where they are given. Call `drop_privileges`
    before.
    """
    if _libc is None:
        return False
    version = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    reads = 0 if readable is None else READS
    handled = reads | sum(rights for since, rights in CHANGES.items() if since <= version)
    scopes = SOCKETS_AND_SIGNALS if version >= SCOPES_SINCE else 0
    about = struct.pack("QQQ", handled, 0, scopes) if scopes else struct.pack("Q", handled)
    ruleset = _libc.syscall(CREATE_RULESET, about, ctypes.c_size_t(len(about)), 0)
    if ruleset < 0:
        return False
    try:
        allowed = [(folder, handled), (Path(os.devnull), handled & (WRITE_FILE | READ_FILE | TRUNCATE))]
        allowed += [(path, reads) for path in readable or () if path.exists()]
        return (
            all(_allow(ruleset, path, rights) for path, rights in allowed)
            and _libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
        )
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> bool:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= READ_FILE | WRITE_FILE | TRUNCATE
        return _libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0) == 0
    finally:
        os.close(place)


def _prctl(option: int, value: int, pointer: ctypes.c_char_p | None = None) -> int:
    """Nonzero where it failed, or where there is no prctl at all."""
    if _libc is None:
        return -1
    zero = ctypes.c_ulong(0)
    return _libc.prctl(option, ctypes.c_ulong(value), pointer or zero, zero, zero)
