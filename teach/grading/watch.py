"""What no limit of the system counts: the threads of a child, the files in its folder, those open without a name."""

import contextlib
import os
import stat
import time

from teach.grading.folders import used
from teach.grading.limits import MOST_FILE_BYTES

MOST_THREADS = 256
MOST_FILES = 2000
MOST_DISK_BYTES = 256 * 2**20
LOOK_AGAIN_S = 0.1
WORDS = {
    "threads": f"it started more than {MOST_THREADS} threads",
    "files": f"it made more than {MOST_FILES} files, or folders nested too deeply",
    "disk": f"it wrote more than {MOST_DISK_BYTES // 2**20} MiB",
    "mapped": f"it wrote more than {MOST_DISK_BYTES // 2**20} MiB, counting each file that it removed and keeps mapped "
    f"as {MOST_FILE_BYTES // 2**20} MiB, the most that a file may hold",
}


class Watch:
    """Looks after one child from time to time."""

    def __init__(self, pid: int, folder: str) -> None:
        self._pid, self._folder = pid, folder
        self.next_s = time.monotonic() + LOOK_AGAIN_S

    def over(self) -> str:
        """What there is too much of: a word of WORDS; "" where nothing is."""
        start_s = time.monotonic()
        found = self._over()
        now_s = time.monotonic()
        self.next_s = now_s + max(LOOK_AGAIN_S, 10 * (now_s - start_s))  # a tenth of the time at most
        return found

    def _over(self) -> str:
        if _threads(self._pid) > MOST_THREADS:
            return "threads"
        files, size = used(self._folder, MOST_FILES)
        if files > MOST_FILES:
            return "files"
        about = _living_thread(self._pid)
        open_now = _nameless_open(about)
        size += sum(open_now.values())
        if size > MOST_DISK_BYTES:
            return "disk"
        # How much a file holds that is mapped and no longer open, nobody tells: a page of it may be all that is mapped.
        unknown = len(_nameless_mapped(about, self._folder) - open_now.keys())
        return "mapped" if unknown and size + unknown * MOST_FILE_BYTES > MOST_DISK_BYTES else ""


def _threads(pid: int) -> int:
    """The threads of a process; 0 where there is no /proc. Counted: what a process says of itself may be a name."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def _living_thread(pid: int) -> str:
    """Where /proc tells of a process: of a thread that still runs, since where the first one has ended it is silent."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            about = f"/proc/{pid}/task/{thread}"
            with contextlib.suppress(OSError), open(f"{about}/maps", "rb", buffering=0) as lines:
                if lines.read(1):
                    return about
    return f"/proc/{pid}"


def _nameless_open(about: str) -> dict[int, int]:
    """The bytes on disk of each file that a process has open and has removed, by the file's number."""
    sizes, place = {}, f"{about}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            with contextlib.suppress(OSError):
                about = os.stat(f"{place}/{name}")
                if stat.S_ISREG(about.st_mode) and about.st_nlink == 0:
                    sizes[about.st_ino] = about.st_blocks * 512
    return sizes


def _nameless_mapped(about: str, folder: str) -> set[int]:
    """The numbers of the files in a folder that a process has mapped and has removed."""
    start, numbers = os.fsencode(os.path.realpath(folder)) + b"/", set()
    with contextlib.suppress(OSError), open(f"{about}/maps", "rb") as lines:
        for line in lines:  # addresses, rights, offset, device, number, path
            words = line.rstrip(b"\n").split(None, 5)
            if len(words) == 6 and words[5].startswith(start) and words[5].endswith(b" (deleted)"):
                numbers.add(int(words[4]))
    return numbers
