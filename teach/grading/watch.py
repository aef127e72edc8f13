"""What no limit of the system counts: the threads of a child, the files in its folder, those open without a name."""

import contextlib
import os
import re
import stat
import time
from pathlib import Path

from teach.grading.folders import used

MOST_THREADS = 256
MOST_FILES = 2000
MOST_DISK_BYTES = 256 * 2**20
LOOK_AGAIN_S = 0.1
WORDS = {
    "threads": f"it started more than {MOST_THREADS} threads",
    "files": f"it made more than {MOST_FILES} files, or folders nested too deeply",
    "disk": f"it wrote more than {MOST_DISK_BYTES // 2**20} MiB",
}


class Watch:
    """Looks after one child from time to time."""

    def __init__(self, pid: int, folder: str) -> None:
        self._pid, self._folder = pid, folder
        self.next_s = time.monotonic() + LOOK_AGAIN_S

    def over(self) -> str:
        """What there is too much of: "threads", "files" or "disk"; "" where nothing is."""
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
        return "disk" if size + _nameless_bytes(self._pid) > MOST_DISK_BYTES else ""


def _threads(pid: int) -> int:
    """The threads of a process; 0 where there is no /proc."""
    with contextlib.suppress(OSError, AttributeError):
        return int(re.search(r"^Threads:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])
    return 0


def _nameless_bytes(pid: int) -> int:
    """The bytes on disk of files that a process has open and has removed."""
    size, place = 0, f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            with contextlib.suppress(OSError):
                about = os.stat(f"{place}/{name}")
                size += about.st_blocks * 512 if stat.S_ISREG(about.st_mode) and about.st_nlink == 0 else 0
    return size
