"""Programs of floats run on whole numbers that wrap, for proofs: any change of the order of operations shows.

Integers have no quotient, no exponential and no fractions. Since the legality of a rewrite does not depend on what an
operation computes, any fixed function serves in their place. These mix bits, so that no change cancels out.
"""

from dataclasses import replace
from math import floor

import numpy as np

from mini_lib.loops.ir import Program
from mini_lib.loops.meaning.interpret import execute
from mini_lib.loops.meaning.numbers import ARITHMETIC, NUMPY_DTYPES, Arithmetic, wrap


def as_integers(program, dtype="i64"):
    """The same program with arrays of whole numbers; no public function would run it if it divides."""
    return replace(program, buffers=tuple(replace(buffer, dtype=dtype) for buffer in program.buffers))


def mixing(dtype: str) -> Arithmetic:
    """The arithmetic of an integer type, with stand-ins for what it lacks; a fraction becomes a fixed odd number."""
    operations = {
        "/": lambda a, b: wrap(a * (2 * b + 1) + b, dtype),
        "exp": lambda a: wrap(a * a * 31 + a * 7 + 3, dtype),
    }
    return Arithmetic(
        lambda value: wrap(int(value) if value == int(value) else floor(value * 256) | 1, dtype),
        {**ARITHMETIC[dtype].operations, **operations},
    )


def run_mixed(program: Program, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """What `run` would return, if integers had these operations."""
    memory = {buffer.name: {} for buffer in program.buffers}
    for name, array in arrays.items():
        memory[name] = {index: int(value) for index, value in np.ndenumerate(array)}
    execute(program, memory, {buffer.name: mixing(buffer.dtype) for buffer in program.buffers})
    results = {}
    for name in program.outputs:
        buffer = program.buffer(name)
        results[name] = np.zeros(buffer.shape, NUMPY_DTYPES[buffer.dtype])
        for index, value in memory[name].items():
            results[name][index] = value
    return results
