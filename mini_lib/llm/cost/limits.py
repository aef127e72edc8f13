"""Checks shared by several files of the calculator: widths in bits, and places in a context."""

from mini_lib.require import not_negative, positive, shown

LEAST_BITS = 0.01
MOST_BITS = 64
MOST_TOKENS = 10**9


def bits(name: str, value: object, *, fix: str) -> float:
    """Return `value` if numbers can have this many bits: `LEAST_BITS` to `MOST_BITS`; 4.5 is allowed.

    Raises:
        TypeError: it is not a number.
        ValueError: it is out of range.

    >>> bits("weight_bits", 800, fix="use 16, 8 or 4.5")
    Traceback (most recent call last):
    ValueError: weight_bits must be 64 or fewer, got 800; use 16, 8 or 4.5
    """
    number = positive(name, value, fix=fix)
    if number < LEAST_BITS:
        raise ValueError(f"{name} must be {LEAST_BITS} or more, got {shown(number)}; {fix}")
    if number > MOST_BITS:
        raise ValueError(f"{name} must be {MOST_BITS} or fewer, got {shown(number)}; {fix}")
    return number


def check_widths(weight_bits: float, compute_bits: int) -> None:
    """Make sure that the matrix units can take these weights: narrow units have no room for wider weights.

    Weights of 16 bits would have to be rounded in each step, which is not counted here. With a scale per group, a
    weight takes a little more than the bits that are multiplied: 4.5 bits are fine in units of 4.

    Raises:
        ValueError: the units have fewer than 16 bits, and the weights at least twice as many.

    >>> check_widths(16, compute_bits=8)
    Traceback (most recent call last):
    ValueError: weight_bits 16 is too wide for compute_bits 8; use weight_bits=8, or compute_bits=16
    """
    if compute_bits < 16 and weight_bits >= 2 * compute_bits:
        raise ValueError(
            f"weight_bits {weight_bits:g} is too wide for compute_bits {compute_bits}; use weight_bits={compute_bits}, "
            "or compute_bits=16"
        )


def context(name: str, value: object, *, fix: str) -> float:
    """Return `value` if it is a possible context in tokens, 0 or more; a mean over sequences is seldom whole.

    Raises:
        TypeError: it is not a number.
        ValueError: it is out of range.

    >>> context("context", 1e300, fix="use 0 for an empty cache")
    Traceback (most recent call last):
    ValueError: context must be 1000000000 or fewer, got 1e+300; use 0 for an empty cache
    """
    number = not_negative(name, value, fix=fix)
    if number > MOST_TOKENS:
        raise ValueError(f"{name} must be {MOST_TOKENS} or fewer, got {shown(number)}; {fix}")
    return number
