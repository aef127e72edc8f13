"""What a pipeline is judged by: the least time that any number of buffers needs, and the formula for equal tiles."""

from collections.abc import Sequence

from mini_lib.loops.machine.pipeline import _checked
from mini_lib.require import not_negative, whole


def bound_s(load_s: Sequence[float], compute_s: Sequence[float]) -> float:
    """Return a time that no number of buffers can beat.

    The first load and the last computation have nothing to hide behind: all loads and the last
    computation follow each other, and so do the first load and all computations.

    Raises:
        TypeError, ValueError: as `timeline`.

    >>> bound_s([1, 1, 4], [4, 1, 1])         # loads 6 + 1, or 1 + computations 6
    7.0
    """
    load_s, compute_s = _checked(load_s, compute_s)
    return max(sum(load_s) + compute_s[-1], load_s[0] + sum(compute_s))


def steady_state_s(load_s: float, compute_s: float, tiles: int) -> float:
    """Return the time for `tiles` equal tiles with two buffers or more, by formula.

    The first load stands alone (prologue), then the slower of the two sets the pace, and the last
    computation stands alone (epilogue): load + (tiles - 1) * max(load, compute) + compute.

    Raises:
        TypeError: a time or `tiles` is not a number of its kind.
        ValueError: a time is negative or not finite, or `tiles` is below 1.

    >>> steady_state_s(load_s=1, compute_s=4, tiles=3)           # 1 + 2 * 4 + 4
    13.0
    """
    not_negative("load_s", load_s, fix="pass the seconds that one tile takes to load")
    not_negative("compute_s", compute_s, fix="pass the seconds that one tile takes to compute")
    whole("tiles", tiles, low=1, fix="pass how many tiles there are")
    return float(load_s + (tiles - 1) * max(load_s, compute_s) + compute_s)
