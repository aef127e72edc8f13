"""What hostile notebooks try beyond Python's own ways: through the C library, against the grader and the class.

Each is a cell that goes on where it is refused, and raises an error that names what it was allowed. CANARY and CLASS
stand for two folders that belong to others, GRADER for the process that grades.
"""

import os
import textwrap
from pathlib import Path

BEFORE = """
import ctypes, fcntl, os, signal, socket, struct
c, got = ctypes.CDLL(None, use_errno=True), []
def attempt(name, call):
    try:
        if call() != -1:
            got.append(name)
    except OSError:
        pass
"""
AFTER = "\nif got:\n    raise RuntimeError(' '.join(got))\n"

# The kernel sends a signal of one's choice to an owner of one's choice whenever a pipe or a socket is ready. Here the
# signal and all else would do the owner no harm: that it is allowed is bad enough.
SIGNALS = """
for owner in (os.getppid(), GRADER):
    reading, writing = os.pipe()
    attempt("F_SETOWN", lambda: c.fcntl(reading, 8, owner))
    attempt("F_SETOWN_EX", lambda: c.fcntl(reading, 15, struct.pack("ii", 1, owner)))
    attempt("F_SETSIG", lambda: c.fcntl(reading, 10, signal.SIGURG))
    attempt("O_ASYNC", lambda: c.fcntl(reading, 4, os.O_ASYNC | os.O_NONBLOCK))
    os.write(writing, b"x")
    one, other = socket.socketpair()
    attempt("FIOSETOWN", lambda: c.ioctl(one.fileno(), 0x8901, struct.pack("i", owner)))
    attempt("SIOCSPGRP", lambda: c.ioctl(one.fileno(), 0x8902, struct.pack("i", owner)))
    attempt("F_SETSIG of a socket", lambda: c.fcntl(one.fileno(), 10, signal.SIGURG))
    attempt("FIOASYNC", lambda: c.ioctl(one.fileno(), 0x5452, struct.pack("i", 1)))
    other.send(b"x")
    attempt("kill", lambda: c.kill(owner, 0))
    attempt("setpriority", lambda: c.setpriority(0, owner, 0))
    attempt("prlimit", lambda: c.prlimit(owner, 0, None, bytes(16)))
    attempt("sched_setaffinity", lambda: c.sched_setaffinity(owner, 8, b"\\xff" * 8))
    attempt("process_vm_writev", lambda: c.process_vm_writev(owner, None, 0, None, 0, 0))
    attempt("ptrace", lambda: c.ptrace(16, owner, 0, 0))
    attempt("environment", lambda: len(open(f"/proc/{owner}/environ").read()))
for option in (1, 4, 36, 62, 0x59616D61):  # outlive the parent, hide, adopt, share a core's rules, be traced
    attempt(f"prctl {option}", lambda: c.prctl(option, 0, 0, 0, 0))
attempt("timer_create", lambda: c.timer_create(0, bytes(64), bytes(8)))
attempt("TIOCSTI", lambda: c.ioctl(0, 0x5412, b"x"))
attempt("setsid", lambda: c.setsid())
"""
# These say that they did it, and did nothing: the canary shows it.
MODES = """
path = b"CANARY/keep.txt"
for call in (lambda: c.chmod(path, 0o777), lambda: c.fchmodat(-100, path, 0o777, 0), lambda: c.utimes(path, None),
             lambda: c.utimensat(-100, path, None, 0), lambda: c.chmod(b"CANARY", 0o777)):
    call()
attempt("chown", lambda: c.chown(path, 1, 1))
attempt("setxattr", lambda: c.setxattr(path, b"user.x", b"1", 1, 0))
attempt("truncate", lambda: c.truncate(path, 1))
attempt("open to empty", lambda: c.open(path, os.O_RDONLY | os.O_TRUNC))
attempt("link", lambda: c.link(path, b"mine"))
attempt("symlink", lambda: c.symlink(path, b"CANARY/new"))
"""
READS = """
attempt("list", lambda: len(os.listdir("CLASS")))
attempt("read", lambda: len(open("CLASS/ada.ipynb").read()))
attempt("open", lambda: c.open(b"CLASS/ada.ipynb", 0))
attempt("open by another way", lambda: c.open(b"/proc/self/root/CLASS/ada.ipynb", 0))
attempt("shadow", lambda: len(open("/etc/shadow").read()))
attempt("solutions", lambda: len(os.listdir("COURSE/solutions")))
import re
word, found = bytes(letter ^ 1 for letter in b"NOMX^@E@^JONVR"), 0
memory = open("/proc/self/mem", "rb", buffering=0)
for line in open("/proc/self/maps"):
    start, end = (int(place, 16) for place in line.split()[0].split("-"))
    try:
        memory.seek(start)
        found += memory.read(end - start).count(word) if " rw" in line else 0
    except (OSError, ValueError, OverflowError):
        pass
if found > 3:  # its own copies
    got.append(f"memory {found}")
"""
MEMORY = """
import threading
attempt("memfd_create", lambda: c.memfd_create(b"x", 0))
attempt("shm_open", lambda: c.shm_open(b"/grading-class", 0o102, 0o600))
attempt("shmget", lambda: c.shmget(0, 100, 0o1600))
threading.stack_size(65536)
c.prctl(15, b"\\rThreads: 0", 0, 0, 0)  # its name
stop = threading.Event()
for _ in range(1000):
    try:
        threading.Thread(target=stop.wait, daemon=True).start()
    except RuntimeError:  # the memory may end before the grader looks
        pass
signal.pause()
"""
FOLDERS = """
os.mkdir("shut", 0)
os.symlink("CANARY", "way out")
for _ in range(1100):
    os.mkdir("d")
    os.chdir("d")
signal.pause()
"""
DISK = """
kept = []
for _ in range(5):
    kept.append(open("f", "wb"))
    os.unlink("f")
    for _ in range(60):
        kept[-1].write(bytes(2**20))
signal.pause()
"""
SOCKETS = """
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
address = b"\\1\\0CANARY/s\\0"
attempt("sendto", lambda: c.sendto(one.fileno(), b"x", 1, 0, address, len(address)))
attempt("connect", lambda: c.connect(one.fileno(), address, len(address)))
attempt("bind", lambda: c.bind(one.fileno(), b"\\1\\0\\0x", 4))
for name, number in (("io_uring_setup", 425), ("userfaultfd", 323), ("inotify_init1", 294), ("keyctl", 250),
                     ("personality", 135), ("unshare", 272), ("clone3", 435), ("bpf", 321), ("mq_open", 240)):
    attempt(name, lambda: c.syscall(number, 0, 0, 0, 0))
"""
TEXT = """
class Long(Exception): pass
Long.__name__ = Long.__qualname__ = "x;=1+1\\u202e" + "Q" * 10**6
for _ in range(5):
    line = b'["failed", 0, "' + b";=2+2" * 500_000 + b'"]\\n'
    while line:
        line = line[os.write(3, line):]
raise Long("\\x1b[31m\\t=3+3\\n=4+4")
"""


def attack(code: str, canary: Path) -> str:
    """A cell that tries something, against these folders; the class lies beside the canary."""
    names = {"CANARY": canary, "CLASS": canary.parent / "class", "COURSE": Path(__file__).parents[2]}
    for name, thing in (names | {"GRADER": os.getpid()}).items():
        code = code.replace(name, str(thing))
    return BEFORE + textwrap.dedent(code) + AFTER
