"""The questions that plans, pipelines, energies and mappings ask of a number."""

from __future__ import annotations

import math


def require_whole(name: str, value: object, least: int, fix: str) -> None:
    """Refuse what is not an int of at least `least`; True is an int to Python, but no count.

    >>> require_whole("tiles", 0, least=1, fix="pass how many tiles there are")
    Traceback (most recent call last):
    ValueError: tiles must be 1 or more, got 0; pass how many tiles there are
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}; {fix}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, got {value}; {fix}")


def require_real(name: str, value: object, fix: str, *, above_zero: bool = False) -> None:
    """Refuse what is not a finite number of 0 or more, or, with `above_zero`, of more than 0.

    >>> require_real("load_s", -1.0, fix="pass seconds")
    Traceback (most recent call last):
    ValueError: load_s must be 0 or more and finite, got -1.0; pass seconds
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}; {fix}")
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        wanted = "more than 0" if above_zero else "0 or more"
        raise ValueError(f"{name} must be {wanted} and finite, got {value}; {fix}")
