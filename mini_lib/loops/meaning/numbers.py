"""Numbers and operations for each element type: floats that round, integers that wrap."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Number = int | float | np.float32

NUMPY_DTYPES = {"f32": np.float32, "f64": np.float64, "i8": np.int8, "i32": np.int32, "i64": np.int64, "u64": np.uint64}


@dataclass(frozen=True)
class Arithmetic:
    """The conversion and the arithmetic of one element type.

    `convert` takes a constant or a value of another type; `operations` are keyed by their IR names. Integers have
    neither `/` nor `exp`, whose results are not whole numbers.
    """

    convert: Callable[[float], Number]
    operations: dict[str, Callable[..., Number]]


def is_float(dtype: str) -> bool:
    """Whether elements are floating-point numbers."""
    return dtype.startswith("f")


def integer_bits(dtype: str) -> int:
    """The bits of an integer type.

    >>> integer_bits("i8"), integer_bits("u64")
    (8, 64)
    """
    return int(dtype[1:])


def wrap(value: int, dtype: str) -> int:
    """A whole number as an integer type keeps it: modulo 2**bits, signed where the type is.

    >>> wrap(200, "i8"), wrap(-1, "u64") == 2**64 - 1
    (-56, True)
    """
    bits = integer_bits(dtype)
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.startswith("i") and value >> (bits - 1) else value


def integer_range(dtype: str) -> tuple[int, int]:
    """The lowest and the highest number of an integer type.

    >>> integer_range("i8")
    (-128, 127)
    """
    half = 1 << (integer_bits(dtype) - 1)
    return (-half, half - 1) if dtype.startswith("i") else (0, 2 * half - 1)


def _larger(a: Number, b: Number) -> Number:
    return b if b > a else a  # of equal values, and where one is NaN, the first stays, as with Python's max


def _smaller(a: Number, b: Number) -> Number:
    return b if b < a else a


def _wrapping(dtype: str) -> Arithmetic:
    """Integers modulo 2**bits."""
    return Arithmetic(
        lambda value: wrap(int(value), dtype),
        {
            "+": lambda a, b: wrap(a + b, dtype),
            "-": lambda a, b: wrap(a - b, dtype),
            "*": lambda a, b: wrap(a * b, dtype),
            "max": _larger,
            "min": _smaller,
        },
    )


def rounded(value: Number, dtype: type[np.floating]) -> np.floating:
    """A number in a float type, rounded once; a number that is too large becomes an infinity.

    2**60 + 2**36 + 1 is just above the middle of two f32. If it were rounded to f64 first, it would then round down:

    >>> int(rounded(2**60 + 2**36 + 1, np.float32)) == 2**60 + 2**37
    True
    """
    if isinstance(value, int) and abs(value) < 2**63:
        value = np.int64(value)
    elif isinstance(value, int) and 0 <= value < 2**64:
        value = np.uint64(value)
    return dtype(value)


def _rounding(dtype: type[np.floating]) -> Arithmetic:
    """Floats that are rounded to their type after each operation; on overflow they become an infinity."""
    return Arithmetic(
        lambda value: rounded(value, dtype),
        {
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
            "/": lambda a, b: a / b,
            "exp": lambda a: dtype(np.exp(np.float64(a))),
            "max": _larger,
            "min": _smaller,
        },
    )


ARITHMETIC = {
    dtype: _rounding(numpy_type) if is_float(dtype) else _wrapping(dtype) for dtype, numpy_type in NUMPY_DTYPES.items()
}
