"""Argument checks, worded alike in every topic: what was given, what is expected, and what to do about it.

Each check returns its value as a plain Python number, so that it can stand where the value is used. A numpy number
passes, but computing with it may wrap around at 64 bits, or round to 32: use the value that the check returns. `True`
is an int to Python, but it is not a count: every check of a number refuses it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any

# The largest count that torch, numpy and C can hold.
_MOST = 2**63 - 1


def whole(name: str, value: object, *, low: int | None = None, high: int | None = None, fix: str) -> int:
    """Return `value` as an int if it is a whole number from `low` to `high`, both included, that fits into 64 bits.

    Raises:
        TypeError: it is not a whole number of Python or numpy (True and 2.0 are refused too).
        ValueError: it lies outside.

    >>> whole("rounds", 0, low=1, fix="1 prunes once")
    Traceback (most recent call last):
    ValueError: rounds must be a whole number of 1 or more, got 0; 1 prunes once
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {_whole_number(low, high)}, got {shown(value)}; {fix}")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"{name} must be {_whole_number(low, high)}, got {shown(number)}; {fix}")
    if abs(number) > _MOST:
        raise ValueError(f"{name} must fit into 64 bits, got {shown(number)}; {fix}")
    return number


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
        raise ValueError(f"{name} must be a finite number, got {shown(number)}; {fix}")
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
        raise ValueError(f"{name} must be a finite number above 0, got {shown(number)}; {fix}")
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
        raise ValueError(f"{name} must be a finite number of 0 or more, got {shown(number)}; {fix}")
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
        raise ValueError(f"{name} must lie in {ends}, got {shown(number)}; {fix}")
    return number


def one_of(name: str, value: object, choices: Sequence[object], *, fix: str) -> object:
    """Return `value` if it is one of the choices.

    Raises:
        ValueError: it is not one of them.

    >>> one_of("scope", "model", ("global", "layer", "row"), fix="'global' ranks all weights together")
    Traceback (most recent call last):
    ValueError: scope must be 'global', 'layer' or 'row', got 'model'; 'global' ranks all weights together
    """
    try:
        known = value in choices
    except (TypeError, ValueError, RuntimeError):  # comparing an array with a choice gives more than one truth value
        known = False
    if not known:
        *others, last = map(repr, choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must be {listed}, got {shown(value)}; {fix}")
    return value


def of_type(name: str, value: object, kinds: type | tuple[type, ...], *, fix: str) -> Any:
    """Return `value` if it is an instance of one of the `kinds`.

    Raises:
        TypeError: it is something else.

    >>> of_type("device", "H100", dict, fix="look it up with find_device('H100')")
    Traceback (most recent call last):
    TypeError: device must be of type dict, got 'H100'; look it up with find_device('H100')
    """
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise TypeError(f"{name} must be of type {names}, got {shown(value)}; {fix}")
    return value


def callable_(name: str, value: object, *, fix: str) -> Any:
    """Return `value` if it can be called.

    Raises:
        TypeError: it cannot.

    >>> callable_("where", "fc", fix="pass a function (name, module) -> bool")
    Traceback (most recent call last):
    TypeError: where must be callable, got 'fc'; pass a function (name, module) -> bool
    """
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {shown(value)}; {fix}")
    return value


def checked(record: object, name: str, check: Callable[..., object], **how: Any) -> None:
    """Check the field `name` of a frozen dataclass, and keep what the check returns: the plain number.

    It is for `__post_init__`.

    Raises:
        TypeError, ValueError: as the check.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Rounds:
    ...     count: int
    ...     def __post_init__(self) -> None:
    ...         checked(self, "count", whole, low=1, fix="1 prunes once")
    >>> Rounds(0)
    Traceback (most recent call last):
    ValueError: count must be a whole number of 1 or more, got 0; 1 prunes once
    """
    object.__setattr__(record, name, check(name, getattr(record, name), **how))


def shown(value: object) -> str:
    """Return a value as an error message shows it: short, whatever it is.

    >>> shown("fc"), shown(10**400)
    ("'fc'", 'a number of 401 digits')
    """
    if isinstance(value, int) and abs(value) >= 10**40:
        # log10(2) digits per bit, at most one too few; str() itself refuses very long numbers
        digits = int(abs(value).bit_length() * 0.30102999566398120) + 1
        return f"a number of {digits - (abs(value) < 10 ** (digits - 1))} digits"
    if type(value).__module__.split(".")[0] in ("torch", "numpy") and getattr(value, "ndim", 0):
        return f"a {type(value).__name__} of shape {list(value.shape)}"
    try:
        return _SHORT.repr(value)
    except Exception:  # a stranger's __repr__ may do anything
        return f"a {type(value).__name__}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def _number(name: str, value: object, wanted: str, fix: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}; {fix}")
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}; {fix}") from None
    return value.item() if hasattr(value, "item") else value  # a numpy number


def _whole_number(low: int | None, high: int | None) -> str:
    ends = {(True, True): "", (False, True): f" of {low} or more", (True, False): f" of {high} or less"}
    return "a whole number" + ends.get((low is None, high is None), f" from {low} to {high}")
