"""What a submission may read outside its own folder: Python, its packages, the course's library, the system's own.

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
    """The files and folders that a submission may read.

    None holds a folder of `closed`, or the whole course. Where Python looks for modules, only what packages were
    installed into counts, and of anything else what is imported already: it may be the teacher's own folder.
    """
    closed = [place.resolve() for place in closed]
    python = _there([*SYSTEM, sys.prefix, sys.base_prefix])
    besides = _there([*filter(_is_installed, map(Path, filter(None, sys.path))), *_imported()])
    besides = [place for place in besides if not any(place.is_relative_to(one) for one in (*closed, *python))]
    found = [place for place in [*python, *besides] if not any(one.is_relative_to(place) for one in (COURSE, *closed))]
    return list(dict.fromkeys([*(COURSE / name for name in PACKAGES), *found]))


def _there(places: Iterable[str | Path]) -> list[Path]:
    return [place.resolve() for place in map(Path, places) if place.exists()]


def _is_installed(place: Path) -> bool:
    """Whether it is a folder that packages were installed into, or Python's own modules in an archive."""
    return place.is_file() or any(place.glob("*.dist-info"))


def _imported() -> list[Path]:
    """The packages and modules that are imported from elsewhere than Python's own folders, as folders and files."""
    known, found = (sys.prefix, sys.base_prefix, *SYSTEM[:5], str(COURSE)), []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." not in name and name != "__main__" and isinstance(file, str) and not file.startswith(known):
            found.append(Path(file).parent if hasattr(module, "__path__") else Path(file))
    return found
