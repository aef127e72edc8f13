"""The filter that lets a process make the calls of `teach.grading.calls` and no others, for good.

Source: the kernel's documentation, userspace-api/seccomp_filter; linux/filter.h, linux/seccomp.h, linux/audit.h.
"""

import errno
import struct

from teach.grading import calls

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column in `calls`, AUDIT_ARCH
X32 = 0x40000000  # added to the numbers of x86_64's second interface

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of linux/bpf_common.h
KILL, ALLOW, FAIL = 0x80000000, 0x7FFF0000, 0x00050000  # FAIL + errno; FAIL + 0 is a success that did nothing
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data

CLONE_FILES, CLONE_THREAD, ASYNC, TRUNCATE, WRITING = 0x400, 0x10000, 0o20000, 0o1000, 0o3  # flags of clone and of open


def filter_program(machine: str, pid: int) -> bytes | None:
    """The filter as BPF instructions of 8 bytes each, or None for an architecture that is not listed here."""
    if machine not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[machine]
    refuse, allow = _step(RETURN, FAIL | errno.EPERM), _step(RETURN, ALLOW)
    # A call by the processor's 32-bit interface ends the process; those of x32 are refused at the end.
    steps = [_step(LOAD, ARCHITECTURE_AT), _step(EQUAL, architecture, 1, 0), _step(RETURN, KILL)]
    steps += [_step(LOAD, NUMBER_AT)]

    def on(numbers: tuple[int | None, int | None], *then: bytes) -> None:
        if numbers[column] is not None:
            steps.extend([_step(EQUAL, numbers[column], 0, len(then)), *then])

    for numbers in calls.ALLOWED.values():
        on(numbers, allow)
    for numbers in calls.WITHOUT_EFFECT.values():
        on(numbers, _step(RETURN, FAIL))
    for numbers in calls.ON_ITSELF.values():
        on(numbers, *_only(0, (0, pid)))
    for name, numbers in calls.OPEN.items():  # Landlock before version 3 lets a file be emptied that is opened to read
        flags = _argument(1 if name == "open" else 2)
        emptied = [_step(ANY_BIT, TRUNCATE, 0, 2), _step(ANY_BIT, WRITING, 1, 0), refuse]
        on(numbers, flags, *emptied, allow)
    set_flags = [_step(EQUAL, calls.SET_FLAGS, 0, 4), _argument(2), _step(ANY_BIT, ASYNC, 0, 1), refuse, allow]
    for name, (numbers, argument, values) in calls.SELECTED.items():
        extra = [_argument(argument), *set_flags] if name == "fcntl" else []
        on(numbers, *extra, *_only(argument, values))
    on(calls.SENDTO, _argument(4), _step(EQUAL, 0, 1, 0), refuse, *_only(4, (0,), half=1))  # to its partner, no address
    # clone3 keeps its flags where a filter cannot look. "No such call" makes the C library fall back to clone.
    on(calls.CLONE3, _step(RETURN, FAIL | errno.ENOSYS))
    on(calls.FALLOCATE, _step(RETURN, FAIL | errno.EOPNOTSUPP))
    thread = [_step(ANY_BIT, flag, 1, 0) for flag in (CLONE_THREAD, CLONE_FILES)]
    on(calls.CLONE, _argument(0), thread[0], refuse, thread[1], refuse, allow)
    steps += [_step(AT_LEAST, X32, 2, 0), _step(AT_LEAST, calls.LAST_KNOWN + 1, 0, 1)]
    return b"".join([*steps, _step(RETURN, FAIL | errno.ENOSYS), refuse])


def header_of(program: bytes, address: int) -> bytes:
    """The struct sock_fprog of a program that lies at `address`."""
    return struct.pack("HxxxxxxP", len(program) // 8, address)


def _only(argument: int, values: tuple[int, ...], half: int = 0) -> list[bytes]:
    """Allow the call where an argument (its low or high 32 bits) has one of these values, refuse it elsewhere."""
    tests = [step for value in values for step in (_step(EQUAL, value, 0, 1), _step(RETURN, ALLOW))]
    return [_argument(argument, half), *tests, _step(RETURN, FAIL | errno.EPERM)]


def _argument(position: int, half: int = 0) -> bytes:
    return _step(LOAD, ARGUMENTS_AT + 8 * position + 4 * half)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; a comparison skips `if_true` or `if_false` instructions."""
    return struct.pack("HBBI", code, if_true, if_false, value)
