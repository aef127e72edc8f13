"""Run a program in plain Python, statement by statement: its meaning, on any hardware."""

from collections.abc import Mapping

import numpy as np

from mini_lib.loops.ir import Constant, Expression, Load, Loop, Program, Statement, need_program
from mini_lib.loops.meaning.numbers import ARITHMETIC, NUMPY_DTYPES, Arithmetic, Number, is_float
from mini_lib.loops.meaning.types import require_types
from mini_lib.loops.meaning.walk import LoopValues, walk
from mini_lib.require import whole

Cells = dict[str, dict[tuple[int, ...], Number]]  # buffer -> subscripts -> value


def run(program: Program, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Run a program on arrays, one for each argument, and return its outputs as new arrays.

    A value is calculated in the type of the buffer that it is stored in: floats round after each operation, integers
    wrap. A local buffer is empty at the start of each iteration of its home loop. An argument marked as temporary may
    be left out. It runs about 100,000 statements per second; use `compile_nest` for large programs.

    Raises:
        ValueError: an array is missing, unknown, or of the wrong shape or dtype; a subscript is out of bounds; an
            element is read before it was written; an integer type is to hold a quotient, a fraction or a float.

    >>> from mini_lib.loops import matmul
    >>> a, b = np.float32([[1, 2]]), np.float32([[3], [4]])
    >>> run(matmul(m=1, n=1, k=2), A=a, B=b, C=np.zeros((1, 1), np.float32))
    {'C': array([[11.]], dtype=float32)}
    """
    check_arrays(need_program("program", program), arrays)
    memory: Cells = {
        buffer.name: _cells(arrays[buffer.name]) if buffer.name in arrays else {} for buffer in program.buffers
    }
    arithmetics = {buffer.name: ARITHMETIC[buffer.dtype] for buffer in program.buffers}
    with np.errstate(all="ignore"):  # an infinity is a value like any other
        execute(program, memory, arithmetics)
    results = {}
    for name in program.outputs:
        result = np.array(arrays[name])
        for index, value in memory[name].items():
            result[index] = value
        results[name] = result
    return results


def execute(program: Program, memory: Cells, arithmetics: Mapping[str, Arithmetic]) -> None:
    """Execute every statement on `memory`, each in the arithmetic of the buffer that it stores to."""
    for instance in walk(program, lambda loop: _make_anew(loop, program, memory)):
        statement = instance.statement
        arithmetic = arithmetics[statement.buffer]
        values = [evaluate(statement.value, point, program, memory, arithmetic, statement) for point in instance.points]
        for point, value in zip(instance.points, values, strict=True):
            index = _subscripts(statement.store, point, program, statement)
            memory[statement.buffer][index] = value


def _make_anew(loop: Loop, program: Program, memory: Cells) -> None:
    """Empty the local buffers that belong to the iteration that begins."""
    for buffer in program.buffers:
        if buffer.home == loop.name and buffer.scope != "memory":
            memory[buffer.name].clear()


def evaluate(
    expression: Expression,
    point: LoopValues,
    program: Program,
    memory: Cells,
    arithmetic: Arithmetic,
    statement: Statement,
) -> Number:
    """The value of an expression at one point; `statement` is only for messages."""
    if isinstance(expression, Constant):
        return arithmetic.convert(expression.value)
    if isinstance(expression, Load):
        index = _subscripts(expression, point, program, statement)
        try:
            return arithmetic.convert(memory[expression.buffer][index])
        except KeyError:
            raise ValueError(
                f"{statement.name} reads {expression.buffer}[{_join(index)}] at {_text(point)}, "
                "before anything was written there; write it first, or pass it as an argument"
            ) from None
    values = [evaluate(argument, point, program, memory, arithmetic, statement) for argument in expression.arguments]
    return arithmetic.operations[expression.name](*values)


def random_arguments(program: Program, seed: int) -> dict[str, np.ndarray]:
    """An array for each argument: integers from the whole range, floats uniform in [-1, 1).

    >>> from mini_lib.loops import matmul
    >>> arrays = random_arguments(matmul(m=2, n=3, k=4), seed=0)
    >>> {name: array.shape for name, array in arrays.items()}
    {'C': (2, 3), 'A': (2, 4), 'B': (4, 3)}
    """
    generator = np.random.default_rng(whole("seed", seed, low=0, fix="pass any seed such as 0"))
    arrays = {}
    for buffer in need_program("program", program).arguments:
        dtype = np.dtype(NUMPY_DTYPES[buffer.dtype])
        if is_float(buffer.dtype):
            arrays[buffer.name] = generator.uniform(-1, 1, buffer.shape).astype(dtype)
        else:
            ends = np.iinfo(dtype)
            arrays[buffer.name] = generator.integers(ends.min, ends.max, buffer.shape, dtype, endpoint=True)
    return arrays


def check_arrays(program: Program, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise a ValueError unless each argument has an array of the right shape and dtype."""
    names = [buffer.name for buffer in program.arguments]
    for name in arrays:
        if name not in names:
            raise ValueError(f"{program.name} has no argument {name!r}; it takes {', '.join(names)}")
    for buffer in program.arguments:
        if buffer.name not in arrays:
            if buffer.temporary:
                continue
            raise ValueError(
                f"{program.name} needs an array for {buffer.name}; pass {buffer.name}= an array of "
                f"shape {buffer.shape} and dtype {np.dtype(NUMPY_DTYPES[buffer.dtype])}"
            )
        dtype = np.dtype(NUMPY_DTYPES[buffer.dtype])
        try:
            array = np.asarray(arrays[buffer.name])
        except (TypeError, ValueError):
            array = np.asarray(None)
        if array.shape != buffer.shape or array.dtype != dtype:
            raise ValueError(
                f"{buffer.name} must have shape {buffer.shape} and dtype {dtype}, got "
                f"{array.shape} and {array.dtype}; reshape it, or convert it with .astype(np.{dtype})"
            )
    require_types(program)


def _cells(array: np.ndarray) -> dict[tuple[int, ...], Number]:
    """Every element by its subscripts; integers become Python's, which do not overflow."""
    array = np.asarray(array)
    floats = array.dtype.kind == "f"
    return {index: value if floats else int(value) for index, value in np.ndenumerate(array)}


def _subscripts(access: Load, point: LoopValues, program: Program, statement: Statement) -> tuple[int, ...]:
    index = tuple(subscript.value(point) for subscript in access.index)
    shape = program.buffer(access.buffer).shape
    if len(index) != len(shape) or not all(0 <= at < size for at, size in zip(index, shape, strict=True)):
        raise ValueError(
            f"{statement.name} touches {access.buffer}[{_join(index)}] at {_text(point)}, "
            f"but {access.buffer} has shape {shape}; change the subscript or the loop's range"
        )
    return index


def _join(index: tuple[int, ...]) -> str:
    return ", ".join(map(str, index))


def _text(point: LoopValues) -> str:
    return ", ".join(f"{name}={value}" for name, value in point.items()) or "the top"
