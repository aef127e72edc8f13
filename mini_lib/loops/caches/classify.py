"""Why an access misses: the line is new, the cache is too small, or too many lines share a set."""

from dataclasses import dataclass

import numpy as np

from mini_lib.loops.caches.cache import Cache, Trace
from mini_lib.loops.caches.fast_cache import simulate_caches
from mini_lib.loops.caches.reuse import COLD, reuse_distances
from mini_lib.require import of_type

_KINDS = ("hit", "cold", "capacity", "conflict")


@dataclass(frozen=True)
class MissKinds:
    """The misses of a cache by reason, and the hits that a fully associative cache would not have.

    `spared` counts those hits: evicting the least recently used line is not optimal, and a set may keep a line that a
    fully associative cache would have evicted. So `net_conflict`, the misses above those of the fully associative
    cache, may be negative, while `conflict` is a count of accesses.

    >>> kinds = MissKinds(cold=3, capacity=1, conflict=2, spared=4)
    >>> kinds.misses, kinds.net_conflict
    (6, -2)
    """

    cold: int
    capacity: int
    conflict: int
    spared: int

    @property
    def misses(self) -> int:
        """All misses of the cache."""
        return self.cold + self.capacity + self.conflict

    @property
    def net_conflict(self) -> int:
        """Misses minus the misses of a fully associative cache of the same size."""
        return self.conflict - self.spared


def classify(trace: Trace, cache: Cache) -> MissKinds:
    """Count the cold, capacity and conflict misses of a trace in one cache, empty at first.

    Raises:
        ValueError: as `simulate_caches` and `reuse_distances`.

    Lines 0, 1, 2, 0, 1, 2 in a cache of two lines: each set of a direct-mapped cache sees the even
    lines 0, 2, 0, 2 or only the odd line 1, which it keeps; in a fully associative cache all three evict each other.

    >>> classify(Trace.of_reads([0, 64, 128, 0, 64, 128]), Cache(128, ways=1))
    MissKinds(cold=3, capacity=2, conflict=0, spared=1)

    Source: Hill & Smith 1989, "Evaluating associativity in CPU caches".
    """
    kinds, spared = _compare(trace, cache)
    counts = np.bincount(kinds, minlength=len(_KINDS)).tolist()
    return MissKinds(*counts[1:], spared=spared)


def _compare(trace: Trace, cache: Cache) -> tuple[np.ndarray, int]:
    """The kind of each access, as its index in _KINDS (int8), and how many hits a fully associative cache would miss.

    A miss is *cold* if the access touches a line for the first time; otherwise *capacity* if a fully associative cache
    of the same size misses it too; otherwise *conflict*.

    >>> kinds, _ = _compare(Trace.of_reads([0, 128, 0, 4]), Cache(128, ways=1))      # lines 0 and 2 share a set
    >>> [_KINDS[kind] for kind in kinds]
    ['cold', 'cold', 'conflict', 'hit']
    """
    of_type("cache", cache, Cache, fix="write Cache(32 * 1024, 8)")
    hit = simulate_caches(trace, cache, record=True).served_by == 1
    distances = reuse_distances(trace, cache.line_bytes)
    fully_misses = distances >= cache.lines
    kinds = np.select([hit, distances == COLD, fully_misses], [0, 1, 2], default=3)
    return kinds.astype(np.int8), int(np.count_nonzero(hit & fully_misses))
