"""How far two ways of computing the same thing in floats may lie apart: bounds that are derived, not chosen.

A legal rewrite keeps, for each element, the order of its reads and writes. So every statement reads the same
values and rounds them in the same way: under `run` the results are equal to the last bit. Compiled code differs in
two ways only: `a*b + c` may be rounded once instead of twice, and `exp` comes from another library.
`float_tolerance` bounds that. Where the order of a sum differs too, as in a library's matrix product,
`summation_tolerance` does.
"""

from dataclasses import dataclass
from math import expm1, inf

import numpy as np

from mini_lib.loops.interpret import Memory, check_arrays, execute
from mini_lib.loops.ir import Program
from mini_lib.loops.numbers import DTYPES, Arithmetic, is_float

EXP_ULPS = 2                                     # libraries of C keep to 1; twice that for safety


def unit_roundoff(dtype: str) -> float:
    """The largest relative error of one rounding to nearest: 2**-24 for f32, 2**-53 for f64.

    >>> unit_roundoff("f32") == 2**-24
    True
    """
    return float(np.finfo(DTYPES[dtype]).eps) / 2


def summation_tolerance(terms: int, magnitude: np.ndarray | float, dtype: str) -> np.ndarray | float:
    """How far two sums of the same products may lie apart, whatever the order of each.

    A sum of n products in floats is the sum of the products, each times 1 + t with |t| <= gamma_n = n*u / (1 - n*u),
    in any order, with or without fused operations. Two of them differ by 2 * gamma_n * magnitude at most.

    Args:
        terms: n, the number of products in the sum (a value that is added to counts as one).
        magnitude: the sum of the absolute values of the products.
        dtype: "f32" or "f64".

    Raises:
        ValueError: n*u is not below 1.

    >>> summation_tolerance(4, 1.0, "f32") == 2 * (4 * 2**-24) / (1 - 4 * 2**-24)
    True

    Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", lemma 3.1 and section 4.2.
    """
    share = terms * unit_roundoff(dtype)
    if not 0 <= share < 1:
        raise ValueError(f"terms must be from 0 to {1 / unit_roundoff(dtype):.0f}, got {terms}")
    return 2 * share / (1 - share) * magnitude


def float_tolerance(program: Program, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """For each element of each output, how far `run` and compiled code may lie apart at most (f64 arrays).

    A running error analysis: each value carries a bound of how far it is from the exact one, given that each
    operation rounds once (u) or, inside a fused one, not at all. Two computed values lie twice that apart at most.
    An f32 program that overflows, or divides by what may be zero, has the bound infinity.

    Raises:
        ValueError: as `run`; a buffer holds integers, whose results are exact.

    >>> from mini_lib.loops import matmul
    >>> one = {name: np.ones((1, 1), np.float32) for name in "ABC"}
    >>> u = 2.0**-24                                  # 1*1 errs by u; 1 + that sum of 2 by u * (2 + u) more
    >>> bool(abs(float_tolerance(matmul(1, 1, 1), **one)["C"][0, 0] - 2 * (3 * u + u * u)) < 2**-74)
    True

    Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.3.
    """
    check_arrays(program, arrays)
    for buffer in program.buffers:
        if not is_float(buffer.dtype):
            raise ValueError(
                f"float_tolerance takes floats only, and {buffer.name} is {buffer.dtype}; integers are exact"
            )
    memory: Memory = {buffer.name: {} for buffer in program.buffers}
    for name, array in arrays.items():
        memory[name] = {at: Bounded(float(value)) for at, value in np.ndenumerate(array)}
    arithmetics = {buffer.name: _bounded(unit_roundoff(buffer.dtype)) for buffer in program.buffers}
    with np.errstate(all="ignore"):
        execute(program, memory, arithmetics)
    results = {}
    for name in program.outputs:
        results[name] = np.zeros(program.buffer(name).shape)
        for at, value in memory[name].items():
            results[name][at] = 2 * value.error
    return results


@dataclass(frozen=True)
class Bounded:
    """A value, and how far a computed one may lie from it."""

    value: float
    error: float = 0.0


def _bounded(u: float) -> Arithmetic:
    def rounded(value: float, error: float) -> Bounded:
        error += u * (abs(value) + error)
        return Bounded(value, error if np.isfinite(value) else inf)

    def times(a: Bounded, b: Bounded) -> Bounded:
        error = abs(a.value) * b.error + abs(b.value) * a.error + a.error * b.error
        return rounded(a.value * b.value, error)

    def divide(a: Bounded, b: Bounded) -> Bounded:
        # |x/y - a/b| = |(x - a)*b - (y - b)*a| / |y*b|, and |y| >= |b| - b.error
        if abs(b.value) <= b.error:
            return Bounded(a.value, inf)
        error = (a.error * abs(b.value) + b.error * abs(a.value)) / (abs(b.value) - b.error)
        return rounded(a.value / b.value, error / abs(b.value))

    def exponential(a: Bounded) -> Bounded:
        value = float(np.exp(a.value))
        error = value * (expm1(a.error) if a.error < 700 else inf)
        return Bounded(value, error + 2 * EXP_ULPS * u * (value + error))

    def larger(a: Bounded, b: Bounded) -> Bounded:
        return Bounded(max(a.value, b.value), max(a.error, b.error))

    def smaller(a: Bounded, b: Bounded) -> Bounded:
        return Bounded(min(a.value, b.value), max(a.error, b.error))

    return Arithmetic(
        lambda value: value if isinstance(value, Bounded) else Bounded(value, u * abs(value)),
        {
            "+": lambda a, b: rounded(a.value + b.value, a.error + b.error),
            "-": lambda a, b: rounded(a.value - b.value, a.error + b.error),
            "*": times,
            "/": divide,
            "exp": exponential,
            "max": larger,
            "min": smaller,
        },
    )
