"""The rules that hold a submission: those of the kernel, those of Python, and the clearing up afterwards."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from grading_class.notebooks import lesson, solved

from teach.grading import linux, orders
from teach.grading.audit import rules
from teach.grading.gradebook import grade_class
from teach.grading.limits import GIB, Limits
from teach.grading.places import COURSE, readable

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel keeps these rules on Linux only")

# Runs in a process of its own: its limits cannot be taken back.
UNDER_RULES = """
import ctypes, os, resource, shutil, signal, socket, sys, threading
from pathlib import Path
from teach.grading import linux

def refused(call):
    try:
        return call() == -1 and ctypes.get_errno() in (1, 13)
    except (PermissionError, OSError) as error:
        return error.errno in (1, 13)  # EPERM, EACCES

c = ctypes.CDLL(None, use_errno=True)
outside, folder = Path(sys.argv[1], "outside"), Path(sys.argv[1], "own")
assert linux.drop_privileges() and linux.write_only_in(folder, [Path("/usr")]) and linux.refuse_processes_and_sockets()

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
    "read": lambda: (outside / "kept").read_text(), "list": lambda: os.listdir(outside),
    "owner of a pipe": lambda: c.fcntl(os.pipe()[0], 8, os.getppid()),
    "outlive the parent": lambda: c.prctl(1, 0, 0, 0, 0), "memory without a limit": lambda: c.memfd_create(b"x", 0),
    "x32": lambda: c.syscall(0x40000000 | 39) if os.uname().machine == "x86_64" else c.socket(2, 1, 0),
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
one, other = socket.socketpair()
one.send(b"x")
assert other.recv(1) == b"x"
shutil.copy2(folder / "still mine", folder / "copy")
(folder / "copy").chmod(0)
assert (folder / "copy").stat().st_mode & 0o777 == 0o644 and os.listdir("/usr")
"""

# Processes that try to get away: daemons with a session of their own, and a family that keeps growing.
GET_AWAY = """
import os, time
from teach.grading import linux
from teach.grading.processes import descendants, sweep

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


# These files need nothing of the course's but each other: so they start without torch.
ALONE = """
import sys, types
for name, place in (("teach", {teach!r}), ("teach.grading", {grading!r})):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [place]
"""


def python(program: str, *arguments: str) -> str:
    """What a program prints, run with the grader's files."""
    grading = Path(linux.__file__).parent
    program = ALONE.format(teach=str(grading.parent), grading=str(grading)) + program
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, umask=0o022)
    assert done.returncode == 0, done.stderr
    return done.stdout


@on_linux
def test_the_kernel_refuses_what_it_should_and_nothing_else(tmp_path):
    for name in ("outside", "own"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "kept").write_text("as it was")
    *answers, thread = python(UNDER_RULES, str(tmp_path)).splitlines()
    assert len(answers) == 24 and [answer for answer in answers if not answer.endswith(" refused")] == []
    assert (thread, (tmp_path / "outside" / "kept").read_text()) == ("a thread runs", "as it was")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["kept"]


@on_linux
def test_nothing_gets_away():
    assert python(GET_AWAY) == "left: []\n"


def refusals(folder: Path, **how: object):
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


def test_python_refuses_to_read_other_submissions(tmp_path):
    for name in ("own", "class", "classical"):
        (tmp_path / name).mkdir()
    (tmp_path / "own" / "way in").symlink_to(tmp_path / "class")
    refused = refusals(tmp_path / "own", closed=[tmp_path / "class"])
    for place in (
        tmp_path / "class",
        tmp_path / "class" / "a",
        str(tmp_path / "class"),
        tmp_path / "own" / "way in" / "a",
    ):
        assert (
            refused("open", place, "r", os.O_RDONLY) and refused("os.listdir", place) and refused("os.scandir", place)
        )
    for place in (tmp_path / "own", tmp_path / "classical", tmp_path):
        assert not refused("open", place, "r", os.O_RDONLY) and not refused("os.listdir", place)
    all = refusals(tmp_path / "class" / "own", closed=[tmp_path / "class"])  # somebody grades the temporary folder
    assert not all("open", tmp_path / "class" / "own" / "a", "r", os.O_RDONLY)


@on_linux
def test_python_refuses_signals_that_the_kernel_sends(tmp_path):
    import fcntl
    import termios

    refused = refusals(tmp_path)
    for told in (fcntl.F_SETOWN, fcntl.F_SETSIG):
        assert refused("fcntl.fcntl", 3, told, os.getpid())
    for told in (termios.TIOCSTI, 0x8901, 0x8902):
        assert refused("fcntl.ioctl", 0, told, 0)
    assert not refused("fcntl.fcntl", 3, fcntl.F_GETFL, 0) and not refused("fcntl.ioctl", 0, termios.TIOCGWINSZ, 0)


@on_linux
def test_python_follows_paths_that_start_in_an_open_folder(tmp_path):
    (tmp_path / "own").mkdir()
    refused = refusals(tmp_path / "own")
    for folder, answer in ((tmp_path, True), (tmp_path / "own", False)):
        number = os.open(folder, os.O_RDONLY)
        assert refused("os.remove", "a", number) is answer
        os.close(number)


def test_no_readable_place_holds_the_class_or_the_whole_course(tmp_path, monkeypatch):
    for name in ("here", "tiny-0.1.dist-info"):  # packages were installed into it
        (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(COURSE)
    assert tmp_path in readable([]) and tmp_path not in readable([tmp_path]) + readable([tmp_path / "here"])
    places = readable([tmp_path])
    assert COURSE / "mini_lib" in places and Path(sys.base_prefix).resolve() in places
    assert not any((COURSE / "solutions").is_relative_to(place) for place in places)


def test_the_teachers_own_folder_is_not_readable(tmp_path, monkeypatch):
    installed, own, inside = (tmp_path / name for name in ("installed", "own", "class/ada"))
    for place in (installed / "tiny-0.1.dist-info", own, inside / "tiny-0.1.dist-info"):
        place.mkdir(parents=True)
    (own / "helper_of_the_teacher.py").touch()
    for place in (installed, own, inside):
        monkeypatch.syspath_prepend(place)
    places = readable([tmp_path / "class"])
    assert installed in places and own not in places and inside not in places
    importlib.import_module("helper_of_the_teacher")
    assert own / "helper_of_the_teacher.py" in readable([]) and own not in readable([])


def test_a_keeper_does_not_look_for_modules_where_the_teacher_is(tmp_path, monkeypatch):
    for place in (tmp_path, tmp_path / "packages"):
        monkeypatch.syspath_prepend(place)
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "packages") in orders._search() and str(tmp_path) not in orders._search()
    assert orders._search()[-1] == str(COURSE)


def test_ctypes_is_refused_only_where_no_kernel_keeps_the_rules(tmp_path):
    assert refusals(tmp_path, alone=True)("ctypes.dlopen", None)
    assert not refusals(tmp_path, alone=False)("ctypes.dlopen", None)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"time_s": 0}, "time_s is 0; expected a positive number, such as 120"),
        ({"step_time_s": float("nan")}, "step_time_s is nan; expected a positive number, such as 20"),
        ({"time_s": float("inf")}, "time_s is inf; expected a positive number, such as 120"),
        ({"time_s": "9"}, "time_s is '9'; expected a positive number, such as 120"),
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
