"""Argument checks, worded alike in every topic: what was given, what is expected, and what to do about it.

Each check returns its value, so that it can stand where the value is used. `True` is an int to Python, but it is not a
count: every check of a number refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from numbers import Real


def whole(name: str, value: object, *, low: int | None = None, high: int | None = None, fix: str) -> int:
    """Return `value` if it is a whole number from `low` to `high`, both included.

    Raises:
        TypeError: it is not a Python int (True is refused too).
        ValueError: it lies outside.

    >>> whole("rounds", 0, low=1, fix="1 prunes once")
    Traceback (most recent call last):
    ValueError: rounds must be a whole number of 1 or more, got 0; 1 prunes once
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be {_whole_number(low, high)}, got {value!r}; {fix}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} must be {_whole_number(low, high)}, got {value}; {fix}")
    return value


def finite(name: str, value: object, *, fix: str) -> float:
    """Return `value` if it is a finite number, of either sign.

    Raises:
        TypeError: it is not a number.
        ValueError: it is infinite, or NaN.

    >>> finite("arrival_s", float("inf"), fix="leave out what never arrives")
    Traceback (most recent call last):
    ValueError: arrival_s must be a finite number, got inf; leave out what never arrives
    """
    number = _number(name, value, "a finite number", fix)
    if not abs(number) < inf:
        raise ValueError(f"{name} must be a finite number, got {value}; {fix}")
    return number


def positive(name: str, value: object, *, fix: str) -> float:
    """Return `value` if it is a finite number above 0.

    Raises:
        TypeError: it is not a number.
        ValueError: it is 0 or less, infinite, or NaN.

    >>> positive("rate_per_s", 0, fix="give the requests per second")
    Traceback (most recent call last):
    ValueError: rate_per_s must be a finite number above 0, got 0; give the requests per second
    """
    number = _number(name, value, "a finite number above 0", fix)
    if not (number > 0 and abs(number) < inf):
        raise ValueError(f"{name} must be a finite number above 0, got {value}; {fix}")
    return number


def not_negative(name: str, value: object, *, fix: str) -> float:
    """Return `value` if it is a finite number of 0 or more.

    Raises:
        TypeError: it is not a number.
        ValueError: it is below 0, infinite, or NaN.

    >>> not_negative("wait_s", -1.0, fix="time runs forward")
    Traceback (most recent call last):
    ValueError: wait_s must be a finite number of 0 or more, got -1.0; time runs forward
    """
    number = _number(name, value, "a finite number of 0 or more", fix)
    if not (number >= 0 and abs(number) < inf):
        raise ValueError(f"{name} must be a finite number of 0 or more, got {value}; {fix}")
    return number


def share(name: str, value: object, *, zero: bool = False, one: bool = True, fix: str) -> float:
    """Return `value` if it is a share of a whole, between 0 and 1: `zero` and `one` say which ends are allowed.

    Raises:
        TypeError: it is not a number.
        ValueError: it lies outside, or is NaN.

    >>> share("density", 20, fix="0.2 keeps a fifth of the weights")
    Traceback (most recent call last):
    ValueError: density must lie in (0, 1], got 20; 0.2 keeps a fifth of the weights
    """
    ends = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
    number = _number(name, value, f"a number in {ends}", fix)
    if not (0 < number < 1 or (zero and number == 0) or (one and number == 1)):
        raise ValueError(f"{name} must lie in {ends}, got {value}; {fix}")
    return number


def one_of(name: str, value: object, choices: Sequence[object], *, fix: str) -> object:
    """Return `value` if it is one of the choices.

    Raises:
        ValueError: it is not one of them.

    >>> one_of("scope", "model", ("global", "layer", "row"), fix="'global' ranks all weights together")
    Traceback (most recent call last):
    ValueError: scope must be 'global', 'layer' or 'row', got 'model'; 'global' ranks all weights together
    """
    if value not in choices:
        *others, last = map(repr, choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must be {listed}, got {value!r}; {fix}")
    return value


def _number(name: str, value: object, wanted: str, fix: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {wanted}, got {value!r}; {fix}")
    return value


def _whole_number(low: int | None, high: int | None) -> str:
    ends = {(True, True): "", (False, True): f" of {low} or more", (True, False): f" of {high} or less"}
    return "a whole number" + ends.get((low is None, high is None), f" from {low} to {high}")
