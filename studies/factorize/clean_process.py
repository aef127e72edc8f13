"""Time contests in a process of their own, in which the allocator keeps the memory that it has.

The trap. glibc gives a large block of memory back to the system as soon as it is freed, and the system hands it over
again page by page, each filled with zeros first. Every layer makes a new tensor for its output, so a call may spend
more time on getting memory than on computing. Layers that do little work on much memory suffer most: a depthwise layer
looked three times slower than it is. In addition, glibc adapts: after a block of some MiB was freed, it keeps blocks up
to that size, so the same call is slow in one process and fast in another. Three environment variables make it keep the
memory from the start. It reads them when a process starts, so a running process, such as a notebook's, cannot set them
for itself. That is why the timing has a process of its own.

With another C library the variables have no effect, and the process is like any other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from studies.factorize.contests import CONTESTS
from studies.factorize.speed import LAYOUTS, Timed, clock_contest, machine_settings, measure_peak, reckon

# Blocks up to 1 GiB come from the heap, up to 2 GiB of it stay when free, and it grows by 256 MiB at a time.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**28),
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def in_clean_process(
    contests: Sequence[str],
    *,
    batches: Sequence[int] = (1, 32),
    layouts: Sequence[str] = tuple(LAYOUTS),
    repeats: int = 30,
    keep_memory: bool = True,
    timeout_s: float = 600,
) -> tuple[list[Timed], dict[str, object]]:
    """Time these contests on one thread in a new process, and return the rows and a description of the machine.

    `keep_memory=False` leaves the allocator as it is, to see the trap.

    Raises:
        ValueError: there is no such contest or layout, or `repeats` or a batch is below 1.
        RuntimeError: the process failed (the message has its output), or took longer than `timeout_s`.
    """
    for what, names, known in (("contest", contests, CONTESTS), ("layout", layouts, LAYOUTS)):
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"there is no {what} {(unknown or [''])[0]!r}; there are {', '.join(known)}")
    if repeats < 1 or not batches or min(batches) < 1:
        raise ValueError(f"repeats and batches must be 1 or more, got {repeats} and {list(batches)}")
    request = {"contests": list(contests), "batches": list(batches), "layouts": list(layouts), "repeats": repeats}
    environment = {name: value for name, value in os.environ.items() if name not in KEEP_MEMORY}
    environment |= ONE_THREAD | (KEEP_MEMORY if keep_memory else {})
    here = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name if __spec__ else __name__, json.dumps(request)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(
            f"timing took longer than {timeout_s:g} s; time fewer contests, or with fewer repeats"
        ) from error
    if done.returncode:
        raise RuntimeError(f"the process that times ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return [Timed(**row) for row in answer["rows"]], answer["machine"]


def _main() -> None:
    from dataclasses import asdict

    import torch

    torch.set_num_threads(1)
    request = json.loads(sys.argv[1])
    clocked = [one for contest in request.pop("contests") for one in clock_contest(contest, **request)]
    peak = measure_peak()
    rows = [asdict(row) for row in reckon(clocked, peak)]
    print(json.dumps({"rows": rows, "machine": machine_settings() | {"peak_flops_per_s": peak}}))


if __name__ == "__main__":
    _main()
