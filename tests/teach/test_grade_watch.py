"""What the keeper counts of a child, where the child hides it."""

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from teach.grading import watch
from teach.grading.watch import Watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is /proc on Linux only")


@pytest.fixture
def another_thread():
    """A thread besides the main one."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\rThreads: 0"])
def test_threads_are_counted_whatever_the_process_calls_itself(another_thread, name, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "MOST_THREADS", 1)
    libc, before = ctypes.CDLL(None), ctypes.create_string_buffer(16)
    libc.prctl(16, before, 0, 0, 0)
    libc.prctl(15, name, 0, 0, 0)
    try:
        assert Watch(os.getpid(), str(tmp_path)).over() == "threads"
    finally:
        libc.prctl(15, before, 0, 0, 0)


def test_a_removed_file_is_counted_while_a_map_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "MOST_THREADS", 10**6)
    monkeypatch.setattr(watch, "MOST_DISK_BYTES", 300 * 2**20)  # four files of 64 MiB, and not five
    (tmp_path / "other").mkdir()
    here, other = Watch(os.getpid(), str(tmp_path)), Watch(os.getpid(), str(tmp_path / "other"))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    held, found = [], []
    with mmap.mmap(-1, 4096):  # shared memory without a file, which the kernel lists as a removed one, too
        for _ in range(5):
            number = os.open(tmp_path / "a name", os.O_RDWR | os.O_CREAT)
            os.ftruncate(number, 4096)
            held.append(libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, number, 0))
            found.append(here.over())
            os.unlink(tmp_path / "a name")
            found.append(here.over())
            os.close(number)
            found.append(here.over())
        assert found == [""] * 14 + ["mapped"]
        assert other.over() == ""
    for place in held:
        libc.munmap(place, 4096)
    assert here.over() == ""


# Its first thread ends; another one goes on, and holds a removed file.
WITHOUT_ITS_FIRST_THREAD = """
import ctypes, os, threading, time
file = open("f", "wb")
file.write(bytes(2**20))
file.flush()
os.unlink("f")
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""


def test_a_removed_file_is_counted_when_the_first_thread_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "MOST_DISK_BYTES", 2**19)
    command = [sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            while b"Z" not in Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[0]:
                time.sleep(0.001)
            assert Watch(process.pid, str(tmp_path)).over() == "disk"
        finally:
            process.kill()
