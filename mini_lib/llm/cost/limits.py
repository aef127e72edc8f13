"""Checks that several files of the calculator share: widths in bits, and places in a context."""

from mini_lib.require import not_negative, positive, shown

MOST_BITS = 64
MOST_TOKENS = 10**9


def bits(name: str, value: object, *, fix: str) -> float:
    """Return `value` if numbers of so many bits can be stored: above 0, and `MOST_BITS` or fewer. 4.5 is one, too.

    Raises:
        TypeError: it is not a number.
        ValueError: it lies outside.

    >>> bits("weight_bits", 800, fix="use 16, 8 or 4.5")
    Traceback (most recent call last):
    ValueError: weight_bits must be 64 or fewer, got 800; use 16, 8 or 4.5
    """
    number = positive(name, value, fix=fix)
    if number > MOST_BITS:
        raise ValueError(f"{name} must be {MOST_BITS} or fewer, got {shown(number)}; {fix}")
    return number


def context(name: str, value: object, *, fix: str) -> float:
    """Return `value` if so many tokens can precede another: 0 or more. A mean over sequences is seldom a whole number.

    Raises:
        TypeError: it is not a number.
        ValueError: it lies outside.

    >>> context("context", 1e300, fix="use 0 for an empty cache")
    Traceback (most recent call last):
    ValueError: context must be 1000000000 or fewer, got 1e+300; use 0 for an empty cache
    """
    number = not_negative(name, value, fix=fix)
    if number > MOST_TOKENS:
        raise ValueError(f"{name} must be {MOST_TOKENS} or fewer, got {shown(number)}; {fix}")
    return number
