"""Which statements an element type can calculate: values that an integer cannot hold are refused, not approximated."""

from collections.abc import Iterator, Mapping

from mini_lib.loops.ir import Constant, Expression, Load, Op, Program, Statement
from mini_lib.loops.meaning.numbers import integer_range, is_float
from mini_lib.require import shown


def require_types(program: Program) -> None:
    """Accept a program only if every statement can be calculated in the type of the array that it stores to.

    Raises:
        ValueError: a statement cannot; the message says why, and what to do.
    """
    dtypes = {buffer.name: buffer.dtype for buffer in program.buffers}
    for leaf in program.leaves:
        why = why_untyped(leaf.statement, dtypes)
        if why:
            raise ValueError(f"{leaf.statement.name} {why}")


def why_untyped(statement: Statement, dtypes: Mapping[str, str]) -> str | None:
    """Why a statement cannot be calculated in the type of the array that it stores to; None if it can.

    >>> from mini_lib.loops.affine import affine
    >>> half = Statement("S0", "y", (affine(0),), Op("/", (Load("x", (affine(0),)), Constant(2))))
    >>> why_untyped(half, {"x": "f32", "y": "f32"})
    >>> why_untyped(half, {"x": "i8", "y": "i8"})
    'divides in y, which is i8, and whole numbers have no quotient here; give y a float dtype'
    """
    return next(_faults(statement.value, statement.buffer, dtypes), None)


def _faults(value: Expression, target: str, dtypes: Mapping[str, str]) -> Iterator[str]:
    dtype = dtypes[target]
    if isinstance(value, Constant):
        yield from _constant_faults(value.value, target, dtype)
    elif is_float(dtype):
        pass
    elif isinstance(value, Load) and is_float(dtypes[value.buffer]):
        yield f"stores the floats of {value.buffer} in {target}, which is {dtype}; give {target} a float dtype"
    elif isinstance(value, Op) and value.name in ("/", "exp"):
        does, what = ("divides", "quotient") if value.name == "/" else ("takes exp", "exponential")
        yield (
            f"{does} in {target}, which is {dtype}, and whole numbers have no {what} here; give {target} a float dtype"
        )
    elif isinstance(value, Op) and value.name in ("max", "min"):
        # sums and products may wrap on the way; a comparison must not
        for load in (one for one in value.arguments if isinstance(one, Load)):
            if not _holds(dtype, dtypes[load.buffer]):
                yield (
                    f"compares elements of {load.buffer} ({dtypes[load.buffer]}) in {target}, which is {dtype} and "
                    f"cannot hold them all; give {target} the dtype {dtypes[load.buffer]!r}"
                )
    for part in value.arguments if isinstance(value, Op) else ():
        yield from _faults(part, target, dtypes)


def _constant_faults(number: float, target: str, dtype: str) -> Iterator[str]:
    if is_float(dtype):
        try:
            float(number)
        except OverflowError:
            yield f"has {_number(number)}, which no float can hold; use a smaller one"
        return
    low, high = integer_range(dtype)
    if not low <= number <= high:
        yield (
            f"has {_number(number)} in {target}, which is {dtype} and holds {low} to {high}; "
            "use another number, or another dtype"
        )
    elif number != int(number):
        yield f"has {_number(number)} in {target}, which is {dtype}, for whole numbers; give {target} a float dtype"


def _number(number: float) -> str:
    return f"the number {number}" if isinstance(number, float) or abs(number) < 10**40 else shown(number)


def _holds(dtype: str, other: str) -> bool:
    """Whether an integer type has every number of another."""
    (low, high), (least, most) = integer_range(dtype), integer_range(other)
    return low <= least and most <= high
