"""The caches of `cache`, in C: the same counts, a hundred times as fast.

A generated C program can include `SOURCE` and call `cachesim_touch` at each of its accesses, with no
trace in between: make a state with `new_state`, pass its address, and read it with `level_stats`.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from mini_lib import native
from mini_lib.loops.caches.accesses import need_trace
from mini_lib.loops.caches.cache import MOST_LEVELS, Cache, LevelStats, Simulation, Trace, check_levels, simulate_plain
from mini_lib.require import of_type

SOURCE = (files("mini_lib.loops.caches") / "cachesim.h").read_text(encoding="utf-8")
MOST_LINES = 2**27  # a gigabyte of entries
FLAGS = ("-O2",)

# sizes, in words, of the structs in cachesim.h
_HEAD = ("levels", "line_bits")
_SHAPE = ("sets_less_1", "ways", "start")
_COUNTS = ("reads", "writes", "read_misses", "write_misses", "fills", "write_backs")
_LEVEL_WORDS = len(_SHAPE) + len(_COUNTS)
_ENTRIES_AT = len(_HEAD) + MOST_LEVELS * _LEVEL_WORDS

_REPLAY = """
void replay(cachesim *s, int64_t n, const int64_t *addresses, const int32_t *sizes,
            const uint8_t *writes, int8_t *served_by) {
    if (served_by)
        for (int64_t i = 0; i < n; i++)
            served_by[i] = (int8_t)cachesim_touch(s, addresses[i], sizes[i], writes[i]);
    else
        for (int64_t i = 0; i < n; i++) cachesim_touch(s, addresses[i], sizes[i], writes[i]);
}
"""


def has_compiler() -> bool:
    """Whether this machine can compile C; if not, simulations run in Python."""
    try:
        native.find_compiler()
    except native.NoCompiler:
        return False
    return True


def new_state(levels: Cache | Sequence[Cache]) -> np.ndarray:
    """Lay out empty caches in the form of cachesim.h's `cachesim *`: int64 [words].

    Raises:
        TypeError, ValueError: as `check_levels`.

    >>> state = new_state(Cache(1024, 2))        # then, in C: cachesim_touch(state, address, 8, 0)
    >>> level_stats(state, Cache(1024, 2))[0].references
    0
    """
    caches = check_levels(levels)
    lines = sum(level.lines for level in caches)
    if lines > MOST_LINES:
        raise ValueError(f"the caches have {lines:,} lines, and {MOST_LINES:,} can be simulated; make them smaller")
    starts = np.cumsum([0] + [level.lines for level in caches])
    state = np.zeros(_ENTRIES_AT + starts[-1], dtype=np.int64)
    state[:2] = len(caches), caches[0].line_bytes.bit_length() - 1
    for number, level in enumerate(caches):
        at = len(_HEAD) + number * _LEVEL_WORDS
        state[at : at + len(_SHAPE)] = level.sets - 1, level.ways, starts[number]
    state[_ENTRIES_AT:] = -1
    return state


def level_stats(state: np.ndarray, levels: Cache | Sequence[Cache]) -> tuple[LevelStats, ...]:
    """Read the counts of each level from a state that `new_state` made for these levels."""
    stats = []
    end = _ENTRIES_AT
    for number, level in enumerate(check_levels(levels)):
        at = len(_HEAD) + number * _LEVEL_WORDS + len(_SHAPE)
        start, end = end, end + level.lines
        entries = state[start:end]
        dirty = int(np.count_nonzero((entries & 1) & (entries != -1)))
        counts = dict(zip(_COUNTS, state[at : at + len(_COUNTS)].tolist(), strict=True))
        stats.append(LevelStats(level, **counts, dirty_lines=dirty))
    return tuple(stats)


def simulate_compiled(trace: Trace, levels: Cache | Sequence[Cache], *, record: bool = False) -> Simulation:
    """Run a trace through caches that are empty at first, in C.

    Raises:
        NoCompiler: there is no C compiler.
        ValueError: as `check_levels`.

    >>> cycle = Trace.of_reads([0, 128, 256] * 3)         # three lines of one set with two ways
    >>> simulate_compiled(cycle, Cache(256, ways=2)).levels[0].misses
    9
    """
    need_trace(trace)
    caches = check_levels(levels)
    state = new_state(caches)
    served_by = np.empty(len(trace), dtype=np.int8) if record else None
    arrays = (trace.addresses, trace.sizes, trace.writes)
    _replay()(
        state.ctypes.data,
        len(trace),
        *(array.ctypes.data for array in arrays),
        None if served_by is None else served_by.ctypes.data,
    )
    return Simulation(level_stats(state, caches), served_by)


@cache
def _replay() -> Callable[..., None]:
    replay = native.load(SOURCE + _REPLAY, flags=FLAGS).replay
    pointer = ctypes.c_void_p
    replay.argtypes = [pointer, ctypes.c_int64, pointer, pointer, pointer, pointer]
    replay.restype = None
    return replay


def simulate_caches(trace: Trace, levels: Cache | Sequence[Cache], *, record: bool = False) -> Simulation:
    """Run a trace through one to three caches that are empty at first.

    It runs in C where there is a compiler, else in plain Python: the result is the same, but Python takes longer.

    Raises:
        ValueError: as `check_levels`; or there is no compiler and there are more accesses than `simulate_plain` takes.

    A direct-mapped cache of two lines: lines 0 and 2 evict each other, and line 1 stays.

    >>> trace = Trace.of_reads([0, 64, 128, 64, 0, 64])
    >>> first, second = simulate_caches(trace, [Cache(128, ways=1), Cache(512, ways=4)]).levels
    >>> (first.references, first.misses), (second.references, second.misses)
    ((6, 4), (4, 3))
    """
    of_type("record", record, (bool, int, np.bool_), fix="pass True or False")
    return (simulate_compiled if has_compiler() else simulate_plain)(trace, levels, record=record)
