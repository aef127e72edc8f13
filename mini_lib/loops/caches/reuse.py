"""Reuse distances: how many other lines a program touches before it comes back to one.

That number alone decides whether a fully associative cache that evicts the least recently used line hits: it still
holds the line if it has room for more lines than that. So one pass over a trace gives the answer for all sizes.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from mini_lib import native
from mini_lib.loops.caches.accesses import need_trace
from mini_lib.loops.caches.cache import MOST_PLAIN_ACCESSES, Trace
from mini_lib.loops.caches.fast_cache import has_compiler
from mini_lib.require import of_type, whole

COLD = np.iinfo(np.int64).max  # the distance of a first touch: no cache is large enough

_SOURCE = """
#include <stdint.h>
/* lines: numbers from 0; last: where each was touched last, -1 at first; tree: n + 1 zeros. */
void distances(int64_t n, const int64_t *lines, int64_t *last, int32_t *tree, int64_t *out) {
    int64_t now = 0, marks = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t line = lines[i], then = last[line];
        if (then >= 0 && then == now - 1) {  /* the line that was touched just before */
            out[i] = 0;
            continue;
        }
        if (then >= 0) {
            int64_t until_then = 0;
            for (int64_t at = then + 1; at > 0; at -= at & -at) until_then += tree[at];
            out[i] = marks - until_then;
            for (int64_t at = then + 1; at <= n; at += at & -at) tree[at]--;
        } else {
            out[i] = INT64_MAX;
            marks++;
        }
        for (int64_t at = now + 1; at <= n; at += at & -at) tree[at]++;
        last[line] = now++;
    }
}
"""


def reuse_distances(trace: Trace, line_bytes: int = 64) -> np.ndarray:
    """How many other lines were touched since each access's line was last touched: int64 [accesses].

    COLD marks a line that was never touched before. An access that straddles lines touches one after the other and gets
    the greatest of their distances. A fully associative cache of c lines misses exactly where the distance is c or
    more. This runs in C where there is a compiler.

    Raises:
        ValueError: line_bytes is not a power of two; or there is no compiler and there are more than 5,000,000
            accesses.

    Lines 0, 1, 2, then 1 again (only line 2 in between), 1 once more, and 0 (lines 1 and 2):

    >>> reuse_distances(Trace.of_reads([0, 64, 128, 64, 72, 0]))[3:]
    array([1, 0, 2])

    Source: Mattson 1970, "Evaluation techniques for storage hierarchies"; the tree is
    Fenwick 1994, "A new data structure for cumulative frequency tables".
    """
    lines, starts = _lines_of(trace, line_bytes)
    if not len(trace):
        return np.zeros(0, dtype=np.int64)
    distances = _distances_compiled(lines) if has_compiler() else distances_plain(lines)
    return np.maximum.reduceat(distances, starts)


def distances_plain(lines: Sequence[int]) -> np.ndarray:
    """How many other lines were touched since each line was last touched, in plain Python: int64 [touches].

    The last touch of each line is marked on a time axis. The lines touched since are the marks after the line's own. A
    Fenwick tree counts marks and moves one in O(log touches).

    Raises:
        ValueError: there are more than 5,000,000 touches.

    >>> distances_plain([7, 8, 9, 8, 8, 7])[3:]
    array([1, 0, 2])
    """
    n = len(lines)
    if n > MOST_PLAIN_ACCESSES:
        raise ValueError(
            f"the trace touches {n:,} lines, and plain Python takes {MOST_PLAIN_ACCESSES:,} at most;"
            " install a C compiler (`pip install ziglang`), or trace a smaller problem"
        )
    tree = [0] * (n + 1)  # tree[at] counts the marks of the (at & -at) times up to the at-th

    def move(time: int, by: int) -> None:
        at = time + 1
        while at <= n:
            tree[at] += by
            at += at & -at

    def marks_until(time: int) -> int:
        at, count = time + 1, 0
        while at > 0:
            count += tree[at]
            at -= at & -at
        return count

    last: dict[int, int] = {}
    distances = np.empty(n, dtype=np.int64)
    for now, line in enumerate(np.asarray(lines).tolist()):
        then = last.get(line)
        if then is None:
            distances[now] = COLD
        else:
            distances[now] = len(last) - marks_until(then)
            move(then, -1)
        move(now, +1)
        last[line] = now
    return distances


def miss_ratio_curve(distances: np.ndarray, line_counts: Sequence[int]) -> np.ndarray:
    """The share of accesses that a fully associative cache misses, for each size: float64 [sizes].

    Raises:
        ValueError: a size is below 0.

    Distances cold, cold, 1, 0: one line misses three of four, two lines miss the cold ones.

    >>> miss_ratio_curve(np.array([COLD, COLD, 1, 0]), [1, 2, 3])
    array([0.75, 0.5 , 0.5 ])
    """
    fix = "a cache has lines"
    of_type("line_counts", line_counts, (Sequence, np.ndarray), fix="pass a list of numbers of lines")
    counts = np.array([whole("line_counts", count, low=0, fix=fix) for count in line_counts], dtype=np.int64)
    of_type("distances", distances, np.ndarray, fix="pass what reuse_distances returns")
    if distances.ndim != 1 or distances.dtype.kind not in "iu":
        raise ValueError(
            f"distances must be whole numbers in one dimension, got {distances.dtype} of shape {distances.shape}; "
            "pass what reuse_distances returns"
        )
    near_first = np.sort(distances)
    misses = len(near_first) - np.searchsorted(near_first, counts, side="left")
    return misses / max(len(near_first), 1)


def _lines_of(trace: Trace, line_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """The lines that a trace touches, in order, and where each access begins among them."""
    need_trace(trace)
    line_bytes = whole("line_bytes", line_bytes, low=1, fix="use 64")
    if line_bytes & (line_bytes - 1):
        raise ValueError(f"line_bytes must be a power of two, got {line_bytes}; use 64")
    first = trace.addresses // line_bytes
    spans = (trace.addresses + trace.sizes - 1) // line_bytes - first + 1
    starts = np.cumsum(spans) - spans
    within = np.arange(int(spans.sum())) - np.repeat(starts, spans)
    return np.repeat(first, spans) + within, starts


def _distances_compiled(lines: np.ndarray) -> np.ndarray:
    numbers = lines - lines.min()
    if numbers.max() > 4 * len(lines) + 1_000_000:  # too far apart for a table of all lines in between
        numbers = np.unique(lines, return_inverse=True)[1].astype(np.int64)
    last = np.full(int(numbers.max()) + 1, -1, dtype=np.int64)
    tree = np.zeros(len(lines) + 1, dtype=np.int32)
    distances = np.empty(len(lines), dtype=np.int64)
    arrays = (numbers, last, tree, distances)
    _compiled()(len(lines), *(array.ctypes.data for array in arrays))
    return distances


@cache
def _compiled() -> Callable[..., None]:
    distances = native.load(_SOURCE).distances
    distances.argtypes = [ctypes.c_int64, *[ctypes.c_void_p] * 4]
    distances.restype = None
    return distances
