"""How far two ways of computing the same in floats may lie apart: derived, not chosen.

A legal rewrite keeps, for each element, the order of its reads and writes. So every statement reads the same values and
rounds them in the same way: under `run` the results are equal to the last bit. Compiled code differs in two ways only:
`a*b + c` may be rounded once instead of twice, and `exp` comes from another library. `float_tolerance` bounds that.
Where the order of a sum differs too, as in a library's matrix product, `summation_tolerance` does.
"""

from dataclasses import dataclass
from math import exp, expm1, inf

import numpy as np

from mini_lib.loops.ir import Program
from mini_lib.loops.meaning.interpret import Cells, check_arrays, execute
from mini_lib.loops.meaning.numbers import NUMPY_DTYPES, Arithmetic, is_float

EXP_ULPS = 2  # libraries of C keep to 1; twice that for safety
OWN_ROUNDING = 1 + 2**-30  # the bound is itself computed in floats


def unit_roundoff(dtype: str) -> float:
    """The largest relative error of one rounding to nearest: 2**-24 for f32, 2**-53 for f64.

    >>> unit_roundoff("f32") == 2**-24
    True
    """
    return float(np.finfo(NUMPY_DTYPES[dtype]).eps) / 2


def summation_tolerance(terms: int, magnitude: np.ndarray | float, dtype: str) -> np.ndarray | float:
    """How far two sums of the same products may lie apart, whatever the order of each.

    A sum of n products in floats is the sum of the products, each times 1 + t with |t| <= gamma_n = n*u / (1 - n*u), in
    any order, with or without fused operations. Two of them differ by 2 * gamma_n * magnitude at most.

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
    """For each element of each output, how far `run` and compiled code may lie apart (f64).

    A running error analysis: each value carries a bound of how far it is from the exact one, given that each operation
    rounds once (u) or, inside a fused one, not at all. Two computed values lie twice that apart at most. An f32 program
    that overflows, or divides by what may be zero, has the bound infinity.

    Raises:
        ValueError: as `run`; the buffers are not of one float type.

    >>> from mini_lib.loops import matmul
    >>> one = {name: np.ones((1, 1), np.float32) for name in "ABC"}
    >>> bound = float_tolerance(matmul(1, 1, 1), **one)["C"][0, 0]
    >>> round(float(bound) * 2**24, 3)   # 1*1 errs by u, 1 + 1 by 2u more: 3u each way
    6.0

    Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.3.
    """
    check_arrays(program, arrays)
    dtypes = sorted({buffer.dtype for buffer in program.buffers})
    if len(dtypes) > 1 or not is_float(dtypes[0]):
        raise ValueError(
            f"float_tolerance takes programs of one float type, got {', '.join(dtypes)}; "
            "integers are exact, and need no tolerance"
        )
    memory: Cells = {buffer.name: {} for buffer in program.buffers}
    for name, array in arrays.items():
        memory[name] = {at: Bounded(float(value)) for at, value in np.ndenumerate(array)}
    arithmetics = dict.fromkeys(memory, _bounded(dtypes[0]))
    with np.errstate(all="ignore"):
        execute(program, memory, arithmetics)
    results = {}
    for name in program.outputs:
        results[name] = np.zeros(program.buffer(name).shape)
        for at, value in memory[name].items():
            results[name][at] = 2 * value.error * OWN_ROUNDING
    return results


@dataclass(frozen=True)
class Bounded:
    """A value, and how far the exact value and every computed one may lie from each other."""

    value: float
    error: float = 0.0


def _bounded(dtype: str) -> Arithmetic:
    """Arithmetic on bounds: an exact value lies within the error of the computed one."""
    u, smallest = unit_roundoff(dtype), float(np.finfo(NUMPY_DTYPES[dtype]).smallest_subnormal)

    def rounded(value: float, error: float) -> Bounded:
        # what is rounded is at most |value| + 2 * error; near zero an error is absolute
        error += u * (abs(value) + 2 * error) + smallest
        return Bounded(value, error if np.isfinite(value) else inf)

    def times(a: Bounded, b: Bounded) -> Bounded:
        # x*y - a*b = (x - a)*b + (y - b)*a + (x - a)*(y - b), with |exact| <= |value| + error
        error = abs(a.value) * b.error + abs(b.value) * a.error + 3 * a.error * b.error
        return rounded(a.value * b.value, error)

    def divide(a: Bounded, b: Bounded) -> Bounded:
        # x/y - a/b = (x - a)/y + (b - y) * a/b / y
        exact, computed = abs(b.value) - b.error, abs(b.value) - 2 * b.error
        if computed <= 0:
            return Bounded(a.value, inf)
        error = (a.error + b.error * (abs(a.value) + a.error) / exact) / computed
        return rounded(a.value / b.value, error)

    def exponential(a: Bounded) -> Bounded:
        if not a.error < 1:
            return Bounded(1.0, inf)
        value = float(np.exp(a.value))
        error = value * exp(a.error) * expm1(a.error)
        return rounded(value, error + 2 * EXP_ULPS * u * (value + 2 * error))

    return Arithmetic(
        lambda value: value if isinstance(value, Bounded) else Bounded(value, u * abs(value)),
        {
            "+": lambda a, b: rounded(a.value + b.value, a.error + b.error),
            "-": lambda a, b: rounded(a.value - b.value, a.error + b.error),
            "*": times,
            "/": divide,
            "exp": exponential,
            "max": lambda a, b: Bounded(max(a.value, b.value), max(a.error, b.error)),
            "min": lambda a, b: Bounded(min(a.value, b.value), max(a.error, b.error)),
        },
    )
