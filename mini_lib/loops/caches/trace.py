"""The memory accesses of a program, in order, and their hits and misses in caches."""

import ctypes
from collections.abc import Iterator, Mapping

import numpy as np

from mini_lib import native
from mini_lib.loops.buffer import ALIGNMENT_BYTES
from mini_lib.loops.caches.accesses import HIGHEST_ADDRESS
from mini_lib.loops.caches.cache import Cache, LevelStats, Trace, check_levels, simulate_plain
from mini_lib.loops.caches.count import count_accesses
from mini_lib.loops.caches.fast_cache import SOURCE, has_compiler, level_stats, new_state
from mini_lib.loops.codegen.touch import touch_source
from mini_lib.loops.ir import Load, Program, need_program
from mini_lib.loops.meaning.walk import Instance, accesses, lane_step, walk
from mini_lib.require import of_type, whole

LONGEST_TRACE = 20_000_000  # a quarter of a gigabyte
LONGEST_PLAIN_TRACE = 20_000  # longer traces are worth the wait for the compiler
MemoryAccess = tuple[int, int, bool]  # address, bytes, is it a write?

# it replaces cachesim when the accesses are to be kept
_RECORDER = """
#include <stdint.h>
typedef struct { int64_t *address; int32_t *size; uint8_t *write; } cachesim;
static inline void cachesim_touch(cachesim *s, int64_t address, int32_t size, uint8_t write) {
    *s->address++ = address;
    *s->size++ = size;
    *s->write++ = write;
}
"""


def trace(program: Program, bases: Mapping[str, int] | None = None, *, limit: int = LONGEST_TRACE) -> Trace:
    """Every memory access of a program, in order: addresses in bytes, sizes, writes.

    A statement loads from left to right, then stores. In a vector loop, lanes that touch one element make one access,
    lanes that are next to each other make one wide access, and other lanes make an access each. Registers have no
    address. `bases` says where each buffer starts; the default is `default_bases`.

    Raises:
        ValueError: the program makes more than `limit` accesses, or a buffer has no base.

    >>> from mini_lib.loops import matmul
    >>> small = trace(matmul(m=1, n=1, k=1))           # load C, A and B, store C
    >>> small.addresses, small.writes
    (array([  0,  64, 128,   0]), array([False, False, False,  True]))
    """
    limit = whole("limit", limit, low=0, fix="20_000_000 accesses take a quarter of a gigabyte")
    count = count_accesses(program)
    if count > limit:
        raise ValueError(
            f"{program.name} makes {count:,} accesses, and a trace holds {limit:,} at most; "
            "trace it at smaller sizes, or count with misses(), which keeps no trace"
        )
    places = check_bases(program, bases)
    if count > LONGEST_PLAIN_TRACE and has_compiler():
        return _record(program, places, count)
    return Trace.of(trace_plain(program, places))


def _record(program: Program, bases: Mapping[str, int], count: int) -> Trace:
    """The trace, written by compiled C: the loops, with a recording call at each access."""
    columns = [np.zeros(count, dtype) for dtype in (np.int64, np.int32, np.uint8)]
    state = np.array([column.ctypes.data for column in columns], np.uintp)
    _touch_all(program, _RECORDER, state, bases)
    return Trace(columns[0], columns[1], columns[2].view(np.bool_))


def _touch_all(program: Program, simulator: str, state: np.ndarray, bases: Mapping[str, int]) -> None:
    library = native.load(touch_source(program, simulator), flags=("-O2",))
    library.touch_all.restype = None
    places = [ctypes.c_int64(bases[name]) for name in default_bases(program)]
    library.touch_all(ctypes.c_void_p(state.ctypes.data), *places)


def trace_plain(program: Program, bases: Mapping[str, int]) -> Iterator[MemoryAccess]:
    """The accesses one by one: (address, bytes, is it a write?)."""
    for instance in walk(program):
        yield from instance_accesses(instance, program, bases)


def instance_accesses(instance: Instance, program: Program, bases: Mapping[str, int]) -> Iterator[MemoryAccess]:
    """The accesses of one statement, done once: (address, bytes, is it a write?)."""
    kinds = accesses(instance.statement)
    for wanted in (False, True):  # all lanes load before any lane stores
        for access, is_write in kinds:
            if is_write == wanted and instance.lanes is not None:
                yield from _touch_lanes(access, is_write, instance, program, bases)
        if instance.lanes is None:
            for point in instance.points:
                for access, is_write in kinds:
                    if is_write == wanted:
                        yield from _touch(access, is_write, point, 1, program, bases)


def _touch(
    access: Load, is_write: bool, point: Mapping[str, int], elements: int, program: Program, bases: Mapping[str, int]
) -> Iterator[MemoryAccess]:
    buffer = program.buffer(access.buffer)
    if buffer.scope != "register":
        offset = buffer.offset(access.index).value(point)
        size_bytes = buffer.element_bytes
        yield bases[buffer.name] + offset * size_bytes, elements * size_bytes, is_write


def _touch_lanes(
    access: Load, is_write: bool, instance: Instance, program: Program, bases: Mapping[str, int]
) -> Iterator[MemoryAccess]:
    step = lane_step(instance.lanes, program.buffer(access.buffer).offset(access.index))
    elements = len(instance.points) if step == 1 else 1
    for point in instance.points[:1] if step in (0, 1) else instance.points:
        yield from _touch(access, is_write, point, elements, program, bases)


def default_bases(program: Program) -> dict[str, int]:
    """The byte address where each buffer starts: in their order from 0, at multiples of 64.

    Registers are left out.

    >>> from mini_lib.loops import matmul
    >>> default_bases(matmul(m=2, n=8, k=3))           # C takes 64 bytes, A 24 of its own 64, B 96
    {'C': 0, 'A': 64, 'B': 128}
    """
    bases, free = {}, 0
    for buffer in program.buffers:
        if buffer.scope != "register":
            bases[buffer.name] = free
            free += -(-buffer.stored_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return bases


def check_bases(program: Program, bases: Mapping[str, int] | None) -> dict[str, int]:
    """The base of every buffer in memory: those given, or the default ones where none are given.

    Raises:
        ValueError: a buffer has no base.
    """
    if bases is None:
        return default_bases(program)
    of_type("bases", bases, Mapping, fix="pass such as {'A': 0, 'B': 4096}, or leave it out")
    missing = [name for name in default_bases(program) if name not in bases]
    if missing:
        raise ValueError(
            f"bases has no address for {', '.join(missing)}; give one for each buffer in memory, or leave bases out"
        )
    return {
        name: whole(f"bases[{name!r}]", bases[name], low=0, high=HIGHEST_ADDRESS, fix="pass a byte address")
        for name in default_bases(program)
    }


def misses(program: Program, *caches: Cache, bases: Mapping[str, int] | None = None) -> tuple[LevelStats, ...]:
    """The hits, misses and traffic of a program in one to three levels of cache, empty at first.

    The loops are written in C with a cache simulator in place of the accesses, so no trace is kept, and 30 million
    accesses per second and more are possible. Without a compiler it runs in Python, for small programs.

    Raises:
        ValueError: there is no cache, or the caches cannot work together; a buffer has no base; or there is no compiler
            and the program makes more accesses than Python takes.

    >>> from mini_lib.loops import matmul
    >>> level, = misses(matmul(m=4, n=4, k=4), Cache(1024, ways=2))
    >>> level.references, level.misses                 # 64 * 4 accesses; a line each
    (256, 3)
    """
    need_program("program", program)
    levels = check_levels(caches)
    places = check_bases(program, bases)
    if not has_compiler():
        return simulate_plain(trace(program, places), levels).levels
    state = new_state(levels)
    _touch_all(program, SOURCE, state, places)
    return level_stats(state, levels)
