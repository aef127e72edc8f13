"""The filter of system calls, decision by decision, for machines that this one is not."""

import re
import struct
from pathlib import Path

import pytest

from teach.grading import calls, seccomp

HEADERS = {
    "x86_64": ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"],
    "aarch64": ["/usr/include/asm-generic/unistd.h", "/usr/include/aarch64-linux-gnu/asm/unistd_64.h"],
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_of_system_calls_are_those_of_the_kernels_headers(machine):
    headers = [Path(path) for path in HEADERS[machine] if Path(path).exists()]
    if not headers:
        pytest.skip("the C library's headers are not installed (Debian: linux-libc-dev)")
    text = headers[0].read_text()
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    column = seccomp.ARCHITECTURES[machine][0]
    numbers.setdefault("newfstatat", numbers.get("fstatat"))
    known = calls.ALLOWED | calls.WITHOUT_EFFECT | calls.ON_ITSELF | calls.OPEN
    known |= {name: pair for name, (pair, _, _) in calls.SELECTED.items()}
    known |= {"clone": calls.CLONE, "clone3": calls.CLONE3, "sendto": calls.SENDTO}
    known |= {"fallocate": calls.FALLOCATE}
    older = {name for name in known if name == "fchmodat2" and name not in numbers}  # of Linux 6.6
    assert {name: both[column] for name, both in known.items() if name not in older} == {
        name: numbers.get(name) for name in known if name not in older
    }


def test_an_unknown_machine_has_no_filter():
    assert seccomp.filter_program("riscv64", 1) is None


def decide(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter says of a call: an interpreter of its own for the few instructions that it has."""
    program = seccomp.filter_program(machine, pid=77)
    words = [number, seccomp.ARCHITECTURES[machine][1] if architecture is None else architecture, 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        words += [argument & 0xFFFFFFFF, argument >> 32]
    value, at = 0, 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            value = words[operand // 4]
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            at += if_true if holds else if_false


ALLOW, NOTHING, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50000, 0x50001, 0x50000 + 38, 0x80000000
NOT_THIS_DISK = 0x50000 + 95
THREAD = 0x3D0F00  # what pthread_create passes to clone
# (x86_64's number, aarch64's number, arguments) -> the decision; None where the call does not exist
DECISIONS = [
    ((0, 63), (), ALLOW), ((41, 198), (), EPERM), ((57, None), (), EPERM), ((59, 221), (), EPERM),
    ((90, None), (), NOTHING), ((268, 53), (), NOTHING), ((188, 5), (), EPERM), ((319, 279), (), EPERM),
    ((425, 425), (), EPERM), ((435, 435), (), ENOSYS), ((463, 463), (), ENOSYS), ((335, 335), (), EPERM),
    ((62, 129), (77, 9), ALLOW), ((62, 129), (0, 9), ALLOW), ((62, 129), (76, 9), EPERM),
    ((62, 129), (0xFFFFFFFF, 9), EPERM), ((302, 261), (1, 0), EPERM), ((234, 131), (77, 80, 9), ALLOW),
    ((257, 56), (0, 0, 0o1000), EPERM), ((257, 56), (0, 0, 0o1001), ALLOW), ((257, 56), (0, 0, 0), ALLOW),
    ((2, None), (0, 0o1000), EPERM), ((2, None), (0, 0o1002), ALLOW),
    ((72, 25), (3, 8, 77), EPERM), ((72, 25), (3, 10, 9), EPERM), ((72, 25), (3, 15), EPERM), ((72, 25), (3, 1), ALLOW),
    ((72, 25), (3, 4, 0o4000), ALLOW), ((72, 25), (3, 4, 0o24000), EPERM), ((72, 25), (3, 1024), EPERM),
    ((72, 25), (3, 4 << 32), ALLOW), ((16, 29), (0, 0x5401), ALLOW), ((16, 29), (0, 0x5412), EPERM),
    ((16, 29), (0, 0x8901), EPERM), ((157, 167), (15,), ALLOW), ((157, 167), (1,), EPERM), ((157, 167), (4,), EPERM),
    ((56, 220), (THREAD,), ALLOW), ((56, 220), (17,), EPERM), ((56, 220), (THREAD & ~0x400,), EPERM),
    ((56, 220), (0x10000000,), EPERM), ((53, 199), (1, 1), ALLOW), ((53, 199), (2, 1), EPERM),
    ((44, 206), (3, 5, 5, 0, 0, 0), ALLOW), ((44, 206), (3, 5, 5, 0, 1, 0), EPERM),
    ((44, 206), (3, 5, 5, 0, 1 << 32, 0), EPERM), ((285, 47), (3, 0, 0, 1 << 20), NOT_THIS_DISK),
    ((436, 436), (4, 9, 0), ALLOW), ((436, 436), (4, 9, 4), ALLOW), ((436, 436), (4, 9, 2), EPERM),
    ((436, 436), (4, 9, 6), EPERM),
]  # fmt: skip


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_the_filter_decides_by_the_call_and_its_arguments(machine):
    column = seccomp.ARCHITECTURES[machine][0]
    for numbers, arguments, decision in DECISIONS:
        if numbers[column] is not None:
            assert decide(machine, numbers[column], *arguments) == decision, (numbers, arguments)


def test_calls_by_another_interface_of_the_processor():
    assert decide("x86_64", 20, architecture=0x40000003) == KILL  # 32-bit numbers: 20 is its getpid
    assert decide("x86_64", 0x40000000 | 39) == decide("x86_64", 0x40000000 | 520) == EPERM  # x32
    assert decide("aarch64", 20, architecture=0x40000028) == KILL  # 32-bit ARM
