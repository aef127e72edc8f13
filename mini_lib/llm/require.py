"""The checks of numbers that the parts of this folder share: each says what, got, expected and a fix."""

from math import isfinite


def whole(name: str, value: object, at_least: int, fix: str) -> None:
    """Raise unless `value` is a whole number of `at_least` or more.

    Raises:
        TypeError: not a whole number.
        ValueError: too small.

    >>> whole("max_batch", 0, 1, "use 1 to serve one after the other")
    Traceback (most recent call last):
    ValueError: max_batch must be a whole number of 1 or more, got 0; use 1 to serve one after the other
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number of {at_least} or more, got {value!r}; {fix}")
    if value < at_least:
        raise ValueError(f"{name} must be a whole number of {at_least} or more, got {value}; {fix}")


def positive(name: str, value: object, fix: str) -> None:
    """Raise unless `value` is a finite number above 0.

    Raises:
        TypeError: not a number.
        ValueError: not above 0, or not finite.

    >>> positive("rate_per_s", 0, "give the requests of a second")
    Traceback (most recent call last):
    ValueError: rate_per_s must be a finite number above 0, got 0; give the requests of a second
    """
    _number(name, value, "above 0", fix)
    if not (value > 0 and isfinite(value)):
        raise ValueError(f"{name} must be a finite number above 0, got {value}; {fix}")


def not_negative(name: str, value: object, fix: str) -> None:
    """Raise unless `value` is a finite number of 0 or more.

    Raises:
        TypeError: not a number.
        ValueError: below 0, or not finite.

    >>> not_negative("wait_s", -1.0, "time runs forward")
    Traceback (most recent call last):
    ValueError: wait_s must be a finite number of 0 or more, got -1.0; time runs forward
    """
    _number(name, value, "of 0 or more", fix)
    if not (value >= 0 and isfinite(value)):
        raise ValueError(f"{name} must be a finite number of 0 or more, got {value}; {fix}")


def _number(name: str, value: object, which: str, fix: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a finite number {which}, got {value!r}; {fix}")
