"""How much a submission may use, and the part of it that `setrlimit` holds on Linux and macOS."""

import os
import sys
from dataclasses import dataclass

GIB = 2**30
MOST_FILE_BYTES = 64 * 2**20  # a file that a submission writes
MOST_OPEN_FILES = 256


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    time_s         seconds for the whole submission, restarts included
    step_time_s    seconds for one cell or one exercise
    memory_bytes   memory on top of what the lesson's own imports take
    use_kernel     hold the rules through the Linux kernel; False is what other systems have, for tests

    Raises:
        ValueError: a limit is no positive number, or infinite.

    >>> Limits(step_time_s=0)
    Traceback (most recent call last):
      ...
    ValueError: step_time_s is 0; expected a positive number, such as 20
    """

    time_s: float = 120.0
    step_time_s: float = 20.0
    memory_bytes: int = 4 * GIB
    use_kernel: bool = sys.platform == "linux"

    def __post_init__(self) -> None:
        for name, example in (("time_s", 120), ("step_time_s", 20), ("memory_bytes", 4 * GIB)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value!r}; expected a positive number, such as {example}")


def limit_memory(limit_bytes: int) -> bool:
    """From now on this process gets no more than `limit_bytes` beyond what it has; False where the system cannot."""
    try:
        import resource

        with open("/proc/self/statm") as sizes:
            now_bytes = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now_bytes + int(limit_bytes),) * 2)
    except (ImportError, OSError, ValueError):
        return False
    return True


def limit_files_and_processes(threads_too: bool) -> bool:
    """No core dumps, no huge files, few open files; with `threads_too` no new threads or processes either.

    The last is for systems without seccomp, and does not hold for root. False where the system cannot.
    """
    try:
        import resource

        wanted = [
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, MOST_FILE_BYTES),
            (resource.RLIMIT_NOFILE, MOST_OPEN_FILES),
        ]
        if threads_too and os.getuid() != 0:
            wanted.append((resource.RLIMIT_NPROC, 0))
        for what, most in wanted:
            resource.setrlimit(what, (most, most))
    except (ImportError, OSError, ValueError):
        return False
    return True
