"""Rules that the Linux kernel keeps for a process: no new processes, no sockets, no writing outside one folder.

They cannot be taken back, neither by Python code nor by C code called from it. They need no privileges.
Source: the kernel's documentation, userspace-api/seccomp_filter and userspace-api/landlock; linux/filter.h.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from pathlib import Path

SUBREAPER, DEATH_SIGNAL, NO_NEW_PRIVILEGES, SET_SECCOMP = 36, 1, 38, 22  # prctl

# System calls by architecture: (x86_64, aarch64); None where it does not exist.
REFUSED = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "unshare": (272, 97),
    "setns": (308, 268), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "io_uring_setup": (425, 425),
    # what these make outlives the process
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "add_key": (248, 217),
}  # fmt: skip
ON_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}  # allowed on the process itself
CLONE, CLONE3 = (56, 220), (435, 435)
CLONE_THREAD = 0x10000
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of linux/audit.h

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of linux/bpf_common.h
KILL, ALLOW, FAIL = 0x80000000, 0x7FFF0000, 0x00050000  # FAIL + errno
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # struct seccomp_data

# Landlock's rights that change something on disk, and the version of its interface that brought each.
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
CHANGES = {1: WRITE_FILE | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: TRUNCATE}
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all architectures

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant whose own parent ends; False where the system cannot."""
    return _prctl(SUBREAPER, 1) == 0


def die_with_parent() -> bool:
    """Have the kernel kill this process when its parent ends; False where the system cannot."""
    return _prctl(DEATH_SIGNAL, signal.SIGKILL if _libc else 0) == 0


def drop_privileges() -> bool:
    """Give up root's capabilities, and any way to regain them; False where the system cannot."""
    if _prctl(NO_NEW_PRIVILEGES, 1) != 0:
        return False
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)  # _LINUX_CAPABILITY_VERSION_3
    return _libc.capset(header, nothing) == 0


def refuse_processes_and_sockets() -> bool:
    """From now on: threads, but no new process or program; no socket; no signal to another process.

    Call `drop_privileges` before. False where the system cannot.
    """
    program = seccomp_program(platform.machine(), os.getpid())
    if _libc is None or program is None:
        return False
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    return _prctl(SET_SECCOMP, 2, ctypes.c_char_p(header)) == 0


def seccomp_program(machine: str, pid: int) -> bytes | None:
    """The filter as BPF instructions of 8 bytes each, or None for an architecture that is not listed here."""
    if machine not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[machine]
    steps = [
        _step(LOAD, ARCHITECTURE_AT),
        _step(EQUAL, architecture, 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER_AT),
    ]
    if machine == "x86_64":  # the x32 calls have numbers of their own
        steps += [_step(AT_LEAST, 0x40000000, 0, 1), _step(RETURN, FAIL | errno.EPERM)]
    for numbers in REFUSED.values():
        if numbers[column] is not None:
            steps += [_step(EQUAL, numbers[column], 0, 1), _step(RETURN, FAIL | errno.EPERM)]
    # clone3 keeps its flags where a filter cannot look. "No such call" makes the C library fall back to clone.
    steps += [_step(EQUAL, CLONE3[column], 0, 1), _step(RETURN, FAIL | errno.ENOSYS)]
    steps += [_step(EQUAL, CLONE[column], 0, 4), _step(LOAD, FIRST_ARGUMENT_AT), _step(ANY_BIT, CLONE_THREAD, 1, 0)]
    steps += [_step(RETURN, FAIL | errno.EPERM), _step(RETURN, ALLOW)]
    for numbers in ON_ITSELF.values():
        steps += [_step(EQUAL, numbers[column], 0, 5), _step(LOAD, FIRST_ARGUMENT_AT), _step(EQUAL, 0, 2, 0)]
        steps += [_step(EQUAL, pid, 1, 0), _step(RETURN, FAIL | errno.EPERM), _step(RETURN, ALLOW)]
    return b"".join([*steps, _step(RETURN, ALLOW)])


def write_only_in(folder: Path) -> bool:
    """From now on nothing outside `folder` can be written, made, renamed or removed; False where the system cannot.

    Call `drop_privileges` before.
    """
    if _libc is None:
        return False
    version = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    changes = sum(rights for since, rights in CHANGES.items() if since <= version)
    ruleset = _libc.syscall(CREATE_RULESET, struct.pack("Q", changes), ctypes.c_size_t(8), 0)
    if ruleset < 0:
        return False
    try:
        allowed = [(folder, changes), (Path(os.devnull), changes & (WRITE_FILE | TRUNCATE))]
        return (
            all(_allow(ruleset, path, rights) for path, rights in allowed)
            and _libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
        )
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> bool:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return _libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0) == 0
    finally:
        os.close(place)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; a comparison skips `if_true` or `if_false` instructions."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def _prctl(option: int, value: int, pointer: ctypes.c_char_p | None = None) -> int:
    """Nonzero where it failed, or where there is no prctl at all."""
    if _libc is None:
        return -1
    zero = ctypes.c_ulong(0)
    return _libc.prctl(option, ctypes.c_ulong(value), pointer or zero, zero, zero)
