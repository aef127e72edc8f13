"""What a submission may read besides its own folder: Python, its packages, the course's library, the system's own.

Not the rest of the teacher's disk: other submissions, solutions, letters.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

COURSE = Path(__file__).resolve().parents[2]
PACKAGES = ("mini_lib", "studies", "teach")
# Programs and libraries; what Python, torch and matplotlib ask of a machine. Of /proc, the process's own part.
SYSTEM = (
    "/usr", "/lib", "/lib64", "/opt", "/nix/store", "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache",
    "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/passwd", "/etc/timezone", "/proc/self",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/sys/vm", "/sys/devices/system",
    "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/random", "/dev/urandom", "/dev/zero",
)  # fmt: skip


def readable(closed: Iterable[Path]) -> list[Path]:
    """The files and folders that a submission may read; none that holds a folder of `closed`, or the whole course."""
    found = [Path(place) for place in (*SYSTEM, sys.prefix, sys.base_prefix, *sys.path) if place]
    found = [place.resolve() for place in found if place.exists()]
    kept = [COURSE, *(place.resolve() for place in closed)]
    found = [place for place in dict.fromkeys(found) if not any(one.is_relative_to(place) for one in kept)]
    return [*(COURSE / name for name in PACKAGES), *found]
