"""The cost model's description of a machine, and a measurement of it that takes a second."""

import ctypes
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import numpy as np

from mini_lib import native
from mini_lib.loops.caches.cache import Cache, check_levels
from mini_lib.require import checked, of_type, positive, whole

SCHEDULE_FLAGS = ("-O1", "-march=native")
MOST_MEASURED_BYTES = 64 << 20  # this counts as "far away", where nothing is cached
JUMP_BYTES = 1024  # the step down a column of 256 floats
COSTS = ("stream_cycles", "jump_cycles", "back_cycles")
COUNTS = ("vector_bytes", "vector_registers", "window", "cores")
REPEATS = 5
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class MachineModel:
    """One core of a machine, in a few numbers, and how many cores there are.

    `loads`, `stores` and `arithmetic` are the most instructions of a kind that can begin in one cycle, and `issue` is
    the most of all kinds together. `latency_cycles` pass from an operation's operands to its result
    (`vector_latency_cycles` for a vector), `forward_cycles` from a store to a load of the same place, `entry_cycles` on
    each entry into a loop. `window` is how many instructions can wait for their operands at the same time.

    `caches` are ordered from the first level down. `stream_cycles`, `jump_cycles` and `back_cycles` have an entry for
    each. The first two are the cycles to fetch a line that this level misses: where lines follow each other (a
    prefetcher has already asked for it), and where they do not. The third is the cycles to send down a changed line
    that jumped. (A changed line of a stream costs as much as fetching it.)

    Raises:
        ValueError: a number is not positive, or there is not one cost per cache.

    >>> machine = MachineModel()
    >>> machine.lanes(4), machine.peak_flops_per_s / 1e9        # 2 instructions * 8 lanes * 3 GHz
    (8, 48.0)
    """

    caches: tuple[Cache, ...] = (Cache(32 * 1024, 8), Cache(1024 * 1024, 16))
    stream_cycles: tuple[float, ...] = (2.0, 6.0)
    jump_cycles: tuple[float, ...] = (4.0, 20.0)
    back_cycles: tuple[float, ...] = (6.0, 20.0)
    frequency_hz: float = 3e9
    vector_bytes: int = 32
    vector_registers: int = 16
    issue: float = 6.0
    loads: float = 2.0
    stores: float = 1.0
    arithmetic: float = 2.0
    latency_cycles: float = 4.0
    vector_latency_cycles: float = 4.0
    forward_cycles: float = 5.0
    entry_cycles: float = 5.0
    window: int = 512
    cores: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "caches", check_levels(self.caches))
        fix = "use measure_machine_model()"
        for name in COSTS:
            checked(self, name, of_type, kinds=Sequence, fix=fix)
            costs = tuple(positive(f"each of {name}", cost, fix=fix) for cost in getattr(self, name))
            object.__setattr__(self, name, costs)
            if len(costs) != len(self.caches):
                raise ValueError(
                    f"{name} must have a cost for each of the {len(self.caches)} caches, got {costs}; {fix}"
                )
        for name in (one.name for one in fields(self) if one.name not in ("caches", *COSTS)):
            if name in COUNTS:
                checked(self, name, whole, low=1, fix=fix)
            else:
                checked(self, name, positive, fix=fix)

    def lanes(self, element_bytes: int) -> int:
        """How many elements one vector register holds."""
        return max(1, self.vector_bytes // whole("element_bytes", element_bytes, low=1, fix="4 for a float"))

    @property
    def peak_flops_per_s(self) -> float:
        """The peak of one core in operations on 4-byte floats per second."""
        return self.frequency_hz * self.arithmetic * self.lanes(4)

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """The most bytes per second that one core gets from below the last cache."""
        return self.frequency_hz * self.caches[-1].line_bytes / self.stream_cycles[-1]


def this_machine() -> MachineModel:
    """This machine as far as the operating system describes it, and otherwise a common one; nothing is timed."""
    caches = _caches() or MachineModel().caches
    costs = {name: tuple(getattr(MachineModel(), name)[: len(caches)]) for name in COSTS}
    vector_bytes, registers = _vectors()
    return MachineModel(
        caches=caches,
        vector_bytes=vector_bytes,
        vector_registers=registers,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        **costs,
    )


@cache
def measure_machine_model() -> MachineModel:
    """This machine, with clock, latencies and the cost of a line measured by small loops, in about a second.

    None of the loops is a kernel of the lessons: they add, go round one variable, or walk over memory.

    Raises:
        NoCompiler: there is no C compiler.
    """
    machine = this_machine()
    flags = SCHEDULE_FLAGS if native.has_flag("-march=native") else ("-O1",)
    source = (files("mini_lib.loops.machine") / "model.c").read_text(encoding="utf-8")
    library = native.load(source, flags=(*flags, f"-DVECTOR_BYTES={machine.vector_bytes}"))
    room = np.ones(MOST_MEASURED_BYTES + 4096, np.uint8)
    start = room.ctypes.data + -room.ctypes.data % 4096
    ones = np.zeros(16, np.float32)
    single, eight = ones.ctypes.data, ones.ctypes.data + 32
    count = 500_000
    frequency_hz = 4 * count / _fastest_s(library.adds, count)
    chain = _fastest_s(library.chain, count, single, eight) * frequency_hz / count
    wide_chain = _fastest_s(library.wide_chain, count, single, eight) * frequency_hz / count
    around = _fastest_s(library.forward, count, single, eight) * frequency_hz / count
    costs: dict[str, list[float]] = {name: [] for name in COSTS}
    for level, level_cache in enumerate(machine.caches):
        lower = machine.caches[level + 1].size_bytes // 2 if level + 1 < len(machine.caches) else None
        size = min(lower or 8 * level_cache.size_bytes, MOST_MEASURED_BYTES)
        passes = max(1, (2 << 20) // size)
        here = []
        for kernel, step in ((library.fetch, 64), (library.fetch, JUMP_BYTES), (library.change, JUMP_BYTES)):
            elapsed_s = _fastest_s(kernel, passes, start, size, step)
            here.append(elapsed_s * frequency_hz / (passes * size / 64))
        stream, jump, change = here  # changing a line costs a fetch, and later the write-back
        for name, cycles in zip(COSTS, (stream, max(jump, stream), change - jump), strict=True):
            costs[name].append(max(0.5, cycles - sum(costs[name])))
    return replace(
        machine,
        frequency_hz=frequency_hz,
        latency_cycles=max(1.0, chain),
        vector_latency_cycles=max(1.0, wide_chain),
        forward_cycles=max(1.0, around - chain),
        **{name: tuple(values) for name, values in costs.items()},
    )


def _fastest_s(function: ctypes._CFuncPtr, *arguments: int) -> float:
    """The shortest of a few runs, since disturbances can only make such a short loop longer."""
    words = [ctypes.c_int64(argument) for argument in arguments]
    times_s = []
    for _ in range(REPEATS):
        start_s = perf_counter()
        function(*words)
        times_s.append(perf_counter() - start_s)
    return min(times_s)


def _caches() -> tuple[Cache, ...]:
    """The first two levels for data, as Linux describes them; everything below them counts as memory."""
    found: dict[int, Cache] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size, ways, line = (
                (folder / name).read_text().strip()
                for name in ("level", "type", "size", "ways_of_associativity", "coherency_line_size")
            )
            if kind != "Instruction" and int(level) <= 2:
                found[int(level)] = Cache(int(size.removesuffix("K")) * 1024, int(ways), int(line))
        except (OSError, ValueError):
            continue
    return tuple(found[level] for level in sorted(found))


def _vectors() -> tuple[int, int]:
    """The bytes of a vector register, and how many of them there are."""
    flags = _x86_flags()
    if flags is None:
        return 16, 32  # ARM
    if "avx512f" in flags:
        return 64, 32
    return (32, 16) if "avx" in flags else (16, 16)


def _x86_flags() -> set[str] | None:
    """The features of an x86 processor, from Linux or else from the compiler's macros; None for another processor."""
    try:
        return set(_CPUINFO.read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    except (OSError, IndexError):
        pass
    if platform.machine().lower() not in ("x86_64", "amd64", "x86", "i386", "i486", "i586", "i686"):
        return None
    try:
        return {name for name in ("avx512f", "avx") if native.has_instructions(f"__{name.upper()}__")}
    except native.NoCompiler:
        return set()
