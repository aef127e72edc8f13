"""What numbers and operations mean for each element type: floats that round, integers that wrap."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Number = int | float | np.float32

NUMPY_DTYPES = {"f32": np.float32, "f64": np.float64, "i8": np.int8, "i32": np.int32, "i64": np.int64, "u64": np.uint64}


@dataclass(frozen=True)
class Arithmetic:
    """How values of one element type are made and calculated with.

    `convert` takes a constant or a value of another type; `operations` are keyed by their IR names.
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


def integer_constant(value: float, dtype: str) -> int:
    """The whole number that stands for a constant in an integer program.

    Whole numbers are themselves. An infinity is the end of the type's range. A fraction such as
    0.25 has no meaning among integers; since the legality of a rewrite does not depend on it, any
    fixed number serves, and an odd one loses no bit of what it is multiplied with.

    Raises:
        ValueError: it is not a number (nan).

    >>> [integer_constant(value, "i8") for value in (3.0, -math.inf, 0.25)]
    [3, -128, 65]
    """
    if math.isnan(value):
        raise ValueError(f"a constant of an integer program ({dtype}) is nan; use a number")
    if math.isinf(value):
        unsigned = dtype.startswith("u")
        half = 1 << (integer_bits(dtype) - 1)
        low, high = (0, 2 * half - 1) if unsigned else (-half, half - 1)
        return high if value > 0 else low
    if value == int(value):
        return wrap(int(value), dtype)
    return wrap(math.floor(value * 256) | 1, dtype)


def _larger(a: Number, b: Number) -> Number:
    return a if a > b else b


def _smaller(a: Number, b: Number) -> Number:
    return a if a < b else b


def _wrapping(dtype: str) -> Arithmetic:
    """Integers modulo 2**bits; `/` and `exp` are fixed functions that mix bits, no division."""
    return Arithmetic(
        lambda value: integer_constant(value, dtype) if isinstance(value, float) else wrap(value, dtype),
        {
            "+": lambda a, b: wrap(a + b, dtype),
            "-": lambda a, b: wrap(a - b, dtype),
            "*": lambda a, b: wrap(a * b, dtype),
            "/": lambda a, b: wrap(a * (2 * b + 1) + b, dtype),
            "exp": lambda a: wrap(a * a * 31 + a * 7 + 3, dtype),
            "max": _larger,
            "min": _smaller,
        },
    )


def _rounding(dtype: type[np.floating]) -> Arithmetic:
    """Floats that are rounded to their type after each operation; what overflows is an infinity."""
    return Arithmetic(
        dtype,
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
