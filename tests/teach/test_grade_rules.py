"""The rules that hold a submission: those of the kernel, those of Python, and the clearing up afterwards."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grading_class.notebooks import lesson, solved

from teach.grading import linux
from teach.grading.audit import rules
from teach.grading.gradebook import grade_class
from teach.grading.limits import GIB, Limits

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel keeps these rules on Linux only")

HEADERS = {
    "x86_64": ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"],
    "aarch64": ["/usr/include/asm-generic/unistd.h", "/usr/include/aarch64-linux-gnu/asm/unistd_64.h"],
}

# Runs in a process of its own: its limits cannot be taken back.
UNDER_RULES = """
import ctypes, os, resource, socket, sys, threading
from pathlib import Path
import linux

def refused(call):
    try:
        return call() == -1 and ctypes.get_errno() in (1, 13)
    except (PermissionError, OSError) as error:
        return error.errno in (1, 13)  # EPERM, EACCES

c = ctypes.CDLL(None, use_errno=True)
outside, folder = Path(sys.argv[1], "outside"), Path(sys.argv[1], "own")
assert linux.drop_privileges() and linux.write_only_in(folder) and linux.refuse_processes_and_sockets()

for name, call in {
    "fork": os.fork, "fork from C": c.fork, "execute": lambda: os.execv("/bin/true", ["true"]),
    "vfork from C": lambda: c.syscall(58 if os.uname().machine == "x86_64" else 220, 0),
    "socket": socket.socket, "socket from C": lambda: c.socket(2, 1, 0),
    "kill the parent": lambda: os.kill(os.getppid(), 0), "kill all": lambda: os.kill(-1, 0),
    "limit the parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU),
    "write": lambda: open(outside / "new", "w"), "overwrite": lambda: open(outside / "kept", "w"),
    "remove": lambda: os.remove(outside / "kept"),
    "remove from C": lambda: c.unlink(str(outside / "kept").encode()),
    "move away": lambda: os.rename(outside / "kept", folder / "kept"),
    "make a folder": lambda: os.mkdir(outside / "sub"),
    "new namespace": lambda: c.unshare(0x10000000), "shared memory": lambda: c.shmget(0, 100, 0o1600),
    "mount": lambda: c.mount(b"x", str(folder).encode(), b"tmpfs", 0, None),
}.items():
    print(name, "refused" if refused(call) else "ALLOWED")

(folder / "mine").write_text("x")
(folder / "mine").rename(folder / "still mine")
open(os.devnull, "w").write("x")
thread = threading.Thread(target=lambda: print("a thread runs"))
thread.start()
thread.join()
os.kill(os.getpid(), 0)
resource.getrlimit(resource.RLIMIT_CPU)
socket.socketpair()
print((outside / "kept").read_text())
"""

# Processes that try to get away: daemons with a session of their own, and a family that keeps growing.
GET_AWAY = """
import os, time
import linux
from processes import descendants, sweep

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)

def family(generations):
    while generations:
        generations -= 1
        if os.fork() == 0:
            time.sleep(0.01)
        else:
            time.sleep(0.02)
    time.sleep(1000)

assert linux.adopt_orphans()
child = os.fork()
if child == 0:
    for _ in range(3):
        daemon()
    if os.fork() == 0:
        family(6)
    time.sleep(0.05)
    os._exit(0)
os.waitpid(child, 0)
assert len(descendants(os.getpid())) > 3
sweep()
print("left:", descendants(os.getpid()))
"""


def python(program: str, *arguments: str) -> str:
    """What a program prints, run with the grader's files as top-level modules: these two need nothing else."""
    environment = os.environ | {"PYTHONPATH": str(Path(linux.__file__).parent)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@on_linux
def test_the_kernel_refuses_what_it_should_and_nothing_else(tmp_path):
    for name in ("outside", "own"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "kept").write_text("as it was")
    *answers, thread, kept = python(UNDER_RULES, str(tmp_path)).splitlines()
    assert len(answers) == 18 and [answer for answer in answers if not answer.endswith(" refused")] == []
    assert (thread, kept) == ("a thread runs", "as it was")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["kept"]


@on_linux
@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_of_system_calls_are_those_of_the_kernels_headers(machine):
    headers = [Path(path) for path in HEADERS[machine] if Path(path).exists()]
    if not headers:
        pytest.skip("the C library's headers are not installed (Debian: linux-libc-dev)")
    text = headers[0].read_text()
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    column = linux.ARCHITECTURES[machine][0]
    calls = linux.REFUSED | linux.ON_ITSELF | {"clone": linux.CLONE, "clone3": linux.CLONE3}
    assert {name: both[column] for name, both in calls.items()} == {name: numbers.get(name) for name in calls}


def test_an_unknown_machine_has_no_filter():
    assert linux.seccomp_program("riscv64", 1) is None


@on_linux
def test_nothing_gets_away():
    assert python(GET_AWAY) == "left: []\n"


def refusals(folder: Path, **how: bool):
    hook = rules(folder, **how)

    def refused(event: str, *args: object) -> bool:
        try:
            hook(event, args)
        except PermissionError as error:
            assert str(error).startswith("grading ")
            return True
        return False

    return refused


def test_python_refuses_processes_and_the_network(tmp_path):
    refused = refusals(tmp_path)
    assert all(refused(event) for event in ("os.fork", "os.system", "subprocess.Popen", "os.posix_spawn", "os.exec"))
    assert refused("socket.connect", None, ("127.0.0.1", 80)) and refused("socket.getaddrinfo", "example.org", 80)
    assert refused("os.kill", os.getppid(), 9) and not refused("os.kill", os.getpid(), 0)
    assert not refused("import", "os") and not refused("socket.__new__", None, 1, 1, 0)


def test_python_refuses_changes_outside_the_folder(tmp_path):
    refused = refusals(tmp_path / "own")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "way out").symlink_to(tmp_path)
    inside, outside, sly = tmp_path / "own" / "a", tmp_path / "a", tmp_path / "own" / "way out" / "a"
    writes, reads = os.O_WRONLY | os.O_CREAT, os.O_RDONLY
    for place in (outside, str(outside), os.fsencode(outside), sly, tmp_path / "own" / ".." / "a", tmp_path / "owner"):
        assert refused("open", place, "w", writes) and not refused("open", place, "r", reads)
        assert (
            refused("os.remove", place, -1)
            and refused("os.rename", inside, place, -1, -1)
            and refused("shutil.rmtree", place, None)
        )
    for event in ("os.remove", "os.rmdir"):
        assert not refused(event, inside, -1)
    assert (
        not refused("open", inside, "w", writes)
        and not refused("open", os.devnull, "w", writes)
        and not refused("open", 3, "w", writes)
    )
    assert not refused("os.rename", inside, tmp_path / "own" / "b", -1, -1) and refused("os.symlink", "x", outside, -1)


@on_linux
def test_python_follows_paths_that_start_in_an_open_folder(tmp_path):
    (tmp_path / "own").mkdir()
    refused = refusals(tmp_path / "own")
    for folder, answer in ((tmp_path, True), (tmp_path / "own", False)):
        number = os.open(folder, os.O_RDONLY)
        assert refused("os.remove", "a", number) is answer
        os.close(number)


def test_ctypes_is_refused_only_where_no_kernel_keeps_the_rules(tmp_path):
    assert refusals(tmp_path, alone=True)("ctypes.dlopen", None)
    assert not refusals(tmp_path, alone=False)("ctypes.dlopen", None)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"time_s": 0}, "time_s is 0; expected a positive number, such as 120"),
        ({"step_time_s": float("nan")}, "step_time_s is nan; expected a positive number, such as 20"),
        ({"memory_bytes": -1}, "memory_bytes is -1; expected a positive number, such as 4294967296"),
    ],
)
def test_limits_are_positive(limits, message):
    with pytest.raises(ValueError) as caught:
        Limits(**limits)
    assert str(caught.value) == message


def test_without_a_kernel_that_helps(tmp_path):
    """What macOS and Windows have: a new Python for each child, and the audit hook alone."""
    (tmp_path / "class").mkdir()
    notebook = solved(
        _1="import os\nos._exit(3)",
        _2="import os\nos.fork() if hasattr(os, 'fork') else os.system('true')",
        before="import ctypes\nctypes.CDLL(None)",
    )
    (tmp_path / "class" / "ada.ipynb").write_text(notebook)
    limits = Limits(time_s=300, step_time_s=100, memory_bytes=GIB, use_kernel=False)
    book = grade_class(tmp_path / "class", [lesson(tmp_path)], limits=limits, jobs=1)
    (row,) = book.rows
    assert [mark.state for mark in row.marks] == ["stopped", "not yet", "passed"]
    assert row.marks[0].message == "At `largest([1.0, 0.5])`: it ended the process (exit status 3)."
    assert "raised PermissionError: grading starts no other process" in row.marks[1].message
    assert row.notes[0].startswith("Code cell 4: PermissionError: grading has no ctypes on this system (ctypes.dlopen)")
    assert "processes and network" not in book.protections
