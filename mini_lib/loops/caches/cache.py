"""Caches: which level serves which access of a trace, and how many bytes that moves.

The machine: one to three levels of set-associative caches that evict the least recently used line.
A miss fetches the line, even for a write (write-allocate), and a changed line is written to the level below when it is
evicted (write-back). A level sees only the misses of the level above. There is no prefetching, and at the start the
caches are empty. References and misses are counted as valgrind's cachegrind counts them. This file is the one to read;
`fast_cache` is the same in C.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mini_lib.loops.caches.accesses import Trace, need_trace
from mini_lib.require import checked, of_type, shown, whole

MOST_LEVELS = 3
MOST_PLAIN_ACCESSES = 5_000_000


@dataclass(frozen=True)
class Cache:
    """One level: `size_bytes` in lines of `line_bytes`, each set with room for `ways` lines.

    The bytes of a line and the number of sets are powers of two, since bits of the address choose the set. The number
    of ways is free: 48 KiB in 12 ways are 64 sets. A cache with one way is direct-mapped; one with as many ways as
    lines is fully associative.

    Raises:
        TypeError: a number is not an integer.
        ValueError: one of these conditions does not hold.

    >>> Cache(32 * 1024, ways=8).sets
    64

    Source: Hennessy & Patterson 2019, "Computer Architecture", appendix B.1.
    """

    size_bytes: int
    ways: int
    line_bytes: int = 64

    def __post_init__(self) -> None:
        for name in ("size_bytes", "ways", "line_bytes"):
            checked(self, name, whole, low=1, fix="32 KiB are 32 * 1024")
        if self.line_bytes & (self.line_bytes - 1):
            raise ValueError(f"line_bytes must be a power of two, got {self.line_bytes}; use 64")
        if self.size_bytes % (self.ways * self.line_bytes) or self.sets & (self.sets - 1):
            one_set = self.ways * self.line_bytes
            sets = 1 << max(self.size_bytes // one_set, 1).bit_length() - 1
            raise ValueError(
                f"size_bytes must be ways * line_bytes * a power of two, got {self.size_bytes} = "
                f"{one_set} * {self.size_bytes / one_set:g}; use {one_set * sets} or another ways"
            )

    @property
    def lines(self) -> int:
        """How many lines it holds."""
        return self.size_bytes // self.line_bytes

    @property
    def sets(self) -> int:
        """How many groups the lines form; an address belongs to one of them."""
        return self.lines // self.ways


@dataclass(frozen=True)
class LevelStats:
    """The accesses and the traffic of one level.

    An access that straddles lines is one reference and at most one miss, but may fetch all of its lines. `write_backs`
    counts the changed lines that this level sent down: its own evicted lines, and lines from above that it did not
    hold. `dirty_lines` are still to be sent at the end.

    >>> stats = LevelStats(Cache(1024, 2), reads=90, writes=10, read_misses=5, fills=5)
    >>> stats.references, stats.misses, stats.miss_ratio, stats.moved_bytes
    (100, 5, 0.05, 320)
    """

    cache: Cache
    reads: int = 0
    writes: int = 0
    read_misses: int = 0
    write_misses: int = 0
    fills: int = 0
    write_backs: int = 0
    dirty_lines: int = 0

    @property
    def references(self) -> int:
        """Accesses that reached this level."""
        return self.reads + self.writes

    @property
    def misses(self) -> int:
        """Accesses that this level could not serve."""
        return self.read_misses + self.write_misses

    @property
    def miss_ratio(self) -> float:
        """Misses of this level per reference of this level; 0 without references."""
        return self.misses / self.references if self.references else 0.0

    @property
    def filled_bytes(self) -> int:
        """Bytes fetched from below."""
        return self.fills * self.cache.line_bytes

    @property
    def written_back_bytes(self) -> int:
        """Bytes sent down so far."""
        return self.write_backs * self.cache.line_bytes

    @property
    def moved_bytes(self) -> int:
        """Bytes between this level and the one below it, in both directions."""
        return self.filled_bytes + self.written_back_bytes


@dataclass(frozen=True, eq=False)
class Simulation:
    """The counts of each level, first level first, and on request the level that served each access.

    `served_by` (int8 [accesses]) is 1 for the first level, 2 for the second, ..., and the number of levels plus 1 for
    memory; None if it was not recorded.
    """

    levels: tuple[LevelStats, ...]
    served_by: np.ndarray | None = None


def check_levels(levels: Cache | Sequence[Cache]) -> tuple[Cache, ...]:
    """Return the levels, first level first, if they can work together.

    Raises:
        TypeError: one is not a Cache.
        ValueError: there is none, there are more than three, or their lines differ in size.
    """
    fix = "write Cache(32 * 1024, 8), or a list of such"
    levels = (levels,) if isinstance(levels, Cache) else tuple(of_type("levels", levels, Iterable, fix=fix))
    for level in levels:
        if not isinstance(level, Cache):
            raise TypeError(f"a level must be a Cache, got {shown(level)}; write Cache(32 * 1024, 8)")
    if not 1 <= len(levels) <= MOST_LEVELS:
        raise ValueError(f"levels must be 1 to {MOST_LEVELS} caches, got {len(levels)}; take the nearest ones")
    if len({level.line_bytes for level in levels}) > 1:
        sizes = ", ".join(str(level.line_bytes) for level in levels)
        raise ValueError(f"the levels must share one line_bytes, got {sizes}; use 64 for all")
    return levels


class _Level:
    """The lines that a level holds. A set is a dict from line to dirty, the oldest line first."""

    def __init__(self, cache: Cache, below: "_Level | None") -> None:
        self.cache = cache
        self.below = below
        self.sets: defaultdict[int, dict[int, bool]] = defaultdict(dict)
        self.count: Counter[str] = Counter()

    def serves(self, lines: range, is_write: bool, dirties: bool) -> bool:
        """Reference lines, and say whether all of them were here; afterwards all of them are."""
        self.count["writes" if is_write else "reads"] += 1
        here = [self.touch(line, dirties) for line in lines]  # a list, so that all are touched
        if not all(here):
            self.count["write_misses" if is_write else "read_misses"] += 1
        return all(here)

    def touch(self, line: int, dirties: bool) -> bool:
        """Make a line the most recent of its set; if necessary, fetch it and evict the oldest."""
        one_set = self.sets[line % self.cache.sets]
        if line in one_set:
            one_set[line] = one_set.pop(line) or dirties
            return True
        if len(one_set) == self.cache.ways:
            oldest = next(iter(one_set))
            if one_set.pop(oldest):
                self.write_back(oldest)
        one_set[line] = dirties
        self.count["fills"] += 1
        return False

    def write_back(self, line: int) -> None:
        """Send a changed line down: to the next level that holds it, or else to memory.

        That is not a reference: it makes no line recent.
        """
        self.count["write_backs"] += 1
        if self.below is not None:
            one_set = self.below.sets[line % self.below.cache.sets]
            if line in one_set:
                one_set[line] = True
            else:
                self.below.write_back(line)

    def stats(self) -> LevelStats:
        dirty = sum(sum(one_set.values()) for one_set in self.sets.values())
        return LevelStats(self.cache, **self.count, dirty_lines=dirty)


def simulate_plain(trace: Trace, levels: Cache | Sequence[Cache], *, record: bool = False) -> Simulation:
    """Run a trace through caches that are empty at first, one access after the other, in Python.

    Raises:
        ValueError: as `check_levels`; or there are more than 5,000,000 accesses (in C there is no limit).

    Three lines take turns in a set of two ways: each evicts the one that is needed next.

    >>> cache = Cache(256, ways=2)                         # 2 sets: even lines and odd lines
    >>> cycle = Trace.of_reads([0, 128, 256] * 3)          # lines 0, 2, 4
    >>> simulate_plain(cycle, cache).levels[0].misses
    9
    >>> simulate_plain(Trace.of_reads([0, 128] * 3), cache, record=True).served_by
    array([2, 2, 1, 1, 1, 1], dtype=int8)
    """
    of_type("record", record, (bool, int, np.bool_), fix="pass True or False")
    caches = check_levels(levels)
    if len(need_trace(trace)) > MOST_PLAIN_ACCESSES:
        raise ValueError(
            f"the trace has {len(trace):,} accesses, and plain Python takes {MOST_PLAIN_ACCESSES:,}"
            " at most; install a C compiler (`pip install ziglang`), or trace a smaller problem"
        )
    stack: list[_Level] = []
    for cache in reversed(caches):
        stack.insert(0, _Level(cache, below=stack[0] if stack else None))
    line_bytes = caches[0].line_bytes
    served = []
    accesses = (trace.addresses.tolist(), trace.sizes.tolist(), trace.writes.tolist())
    for address, size, is_write in zip(*accesses, strict=True):
        lines = range(address // line_bytes, (address + size - 1) // line_bytes + 1)
        # below the first level a line turns dirty when it is written back, not when it is fetched
        for number, level in enumerate(stack, start=1):
            if level.serves(lines, is_write, dirties=is_write and number == 1):
                break
        else:
            number = len(stack) + 1
        served.append(number)
    return Simulation(tuple(level.stats() for level in stack), np.array(served, np.int8) if record else None)
