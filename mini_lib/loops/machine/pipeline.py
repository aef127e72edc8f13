"""Memory fetching: how much of the time for loading a tile is hidden by computing another one.

A loader fetches the tiles in order, an engine computes them in order, and each tile waits in a
buffer from the start of its load to the end of its computation. With one buffer they take turns;
with two, the next tile is loaded while this one is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mini_lib.require import not_negative, of_type, whole


@dataclass(frozen=True)
class Span:
    """The time in which one tile is loaded or computed: a bar of a Gantt chart.

    `kind` is "load" or "compute"; `buffer` is the number of the tile's buffer.
    """

    tile: int
    kind: str
    buffer: int
    start_s: float
    end_s: float


def timeline(load_s: Sequence[float], compute_s: Sequence[float], buffers: int = 2) -> tuple[Span, ...]:
    """Return the times at which each tile is loaded and computed: two spans per tile, tile by tile.

    Tile t is loaded as soon as the loader is free and tile t - buffers has left its buffer. It is computed as soon as
    it is loaded and the engine is free.

    Raises:
        TypeError: a time or `buffers` is not a number of its kind.
        ValueError: there is no tile, the lists differ in length, a time is negative or not finite,
            or `buffers` is below 1.

    Two buffers: the load of tile 2 has to wait until tile 0 is computed, at 5 s:

    >>> for span in timeline([1, 1, 1], [4, 4, 4]):
    ...     print(span.tile, span.kind, span.start_s, span.end_s)
    0 load 0.0 1.0
    0 compute 1.0 5.0
    1 load 1.0 2.0
    1 compute 5.0 9.0
    2 load 5.0 6.0
    2 compute 9.0 13.0
    """
    load_s, compute_s = _checked(load_s, compute_s)
    buffers = whole("buffers", buffers, low=1, fix="use 2, or 1 for no overlap")
    loader_free = engine_free = 0.0
    computed: list[float] = []
    spans = []
    for tile, (load, compute) in enumerate(zip(load_s, compute_s, strict=True)):
        buffer_free = computed[tile - buffers] if tile >= buffers else 0.0
        start = max(loader_free, buffer_free)
        loader_free = start + load
        spans.append(Span(tile, "load", tile % buffers, start, loader_free))
        start = max(loader_free, engine_free)
        engine_free = start + compute
        spans.append(Span(tile, "compute", tile % buffers, start, engine_free))
        computed.append(engine_free)
    return tuple(spans)


def pipelined_s(load_s: Sequence[float], compute_s: Sequence[float], buffers: int = 2) -> float:
    """Return the time for all tiles, when loads and computation overlap as `buffers` allow.

    Raises:
        TypeError, ValueError: as `timeline`.

    >>> pipelined_s([1, 1, 1], [4, 4, 4]), pipelined_s([1, 1, 1], [4, 4, 4], buffers=1)
    (13.0, 15.0)

    Uneven tiles profit from a third buffer. With two, the load of tile 2 waits for tile 0 and lasts from 5 to 9 s,
    while the engine is idle from 6 to 9 s. With three it lasts from 2 to 6 s:

    >>> pipelined_s([1, 1, 4], [4, 1, 1], buffers=2), pipelined_s([1, 1, 4], [4, 1, 1], buffers=3)
    (10.0, 7.0)
    """
    return timeline(load_s, compute_s, buffers)[-1].end_s


def double_buffered_s(load_s: Sequence[float], compute_s: Sequence[float]) -> float:
    """Return the time for all tiles with two buffers: one is filled while the other is used.

    Raises:
        TypeError, ValueError: as `timeline`.

    Load 0 is not hidden; then 4 s of computing hide the load of 3 s; then come 2 s of computing:

    >>> double_buffered_s([3, 3], [4, 2])
    9.0
    """
    return pipelined_s(load_s, compute_s, buffers=2)


def serial_s(load_s: Sequence[float], compute_s: Sequence[float]) -> float:
    """Return the time for all tiles when nothing overlaps: the sum of all loads and computations.

    Raises:
        TypeError, ValueError: as `timeline`.

    >>> serial_s([3, 3], [4, 2])
    12.0
    """
    load_s, compute_s = _checked(load_s, compute_s)
    return sum(load + compute for load, compute in zip(load_s, compute_s, strict=True))


def _checked(load_s: Sequence[float], compute_s: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    load_s, compute_s = _times("load_s", load_s), _times("compute_s", compute_s)
    if len(load_s) != len(compute_s):
        raise ValueError(
            f"load_s and compute_s must hold one time for each tile, got {len(load_s)} and "
            f"{len(compute_s)}; make them equally long"
        )
    if len(load_s) == 0:
        raise ValueError("load_s must hold at least one tile, got none; pass the seconds of each")
    return load_s, compute_s


def _times(name: str, times_s: Sequence[float]) -> tuple[float, ...]:
    of_type(name, times_s, (Sequence, np.ndarray), fix="for n equal tiles pass [1.0] * n")
    fix = "pass the seconds of each tile"
    return tuple(float(not_negative(f"{name}[{tile}]", time_s, fix=fix)) for tile, time_s in enumerate(times_s))
