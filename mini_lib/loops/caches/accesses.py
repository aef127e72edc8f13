"""The memory accesses of a program, in three columns: the input of the cache simulators."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mini_lib.require import of_type, shown, whole

HIGHEST_ADDRESS = 2**61


@dataclass(frozen=True, eq=False)
class Trace:
    """The memory accesses of a program in order: three arrays of equal length.

    `addresses` (int64 [accesses]) is where each access begins in bytes, `sizes` (int32 [accesses]) how many bytes it
    spans, and `writes` (bool [accesses]) whether it is a store.

    Raises:
        TypeError: addresses or sizes are not integers, or writes are not booleans.
        ValueError: the arrays differ in length, an address is below 0 or above 2**61, or a size is below 1.

    >>> trace = Trace.of([(0, 8, False), (64, 8, True)])
    >>> trace.addresses, trace.writes, len(trace)
    (array([ 0, 64]), array([False,  True]), 2)
    """

    addresses: np.ndarray
    sizes: np.ndarray
    writes: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in (("addresses", np.int64), ("sizes", np.int32), ("writes", np.bool_)):
            given = _column(name, getattr(self, name))
            kinds = "b" if name == "writes" else "iu"
            if given.size and given.dtype.kind not in kinds:
                kind = "booleans" if name == "writes" else "integers"
                raise TypeError(f"{name} must be {kind}, got {given.dtype}; convert them first")
            if given.ndim != 1 or given.shape != np.shape(self.addresses):
                raise ValueError(
                    f"{name} has shape {given.shape}, and addresses {np.shape(self.addresses)}; "
                    "give one value for each access"
                )
            if given.size and name != "writes":
                low, high = int(given.min()), int(given.max())
                least, most = (0, HIGHEST_ADDRESS) if name == "addresses" else (1, 2**31 - 1)
                if low < least or high > most:
                    wrong = low if low < least else high
                    raise ValueError(f"{name} must lie from {least} to {most}, got {wrong}; correct it")
            object.__setattr__(self, name, np.ascontiguousarray(given, dtype=dtype))

    def __len__(self) -> int:
        return len(self.addresses)

    @classmethod
    def of(cls, accesses: Iterable[tuple[int, int, bool]]) -> "Trace":
        """Make a trace of (address, bytes, is it a write?) for each access."""
        fix = "pass (address, bytes, is it a write?) for each"
        rows = [
            tuple(of_type("an access", one, (tuple, list), fix=fix))
            for one in of_type("accesses", accesses, Iterable, fix=fix)
        ]
        if any(len(row) != 3 for row in rows):
            raise ValueError(f"an access must be a triple, got {shown(next(r for r in rows if len(r) != 3))}; {fix}")
        return cls(*([row[place] for row in rows] for place in range(3)))

    @classmethod
    def of_reads(cls, addresses: Sequence[int], size_bytes: int = 1) -> "Trace":
        """Make a trace that reads `size_bytes` at each address."""
        size_bytes = whole("size_bytes", size_bytes, low=1, high=2**31 - 1, fix="use 4 for a float")
        addresses = _column("addresses", addresses)
        return cls(addresses, np.full(addresses.shape, size_bytes), np.zeros(addresses.shape, dtype=bool))


def need_trace(value: object) -> Trace:
    """Return `value` if it is a trace.

    Raises:
        TypeError: it is something else.
    """
    return of_type("trace", value, Trace, fix="make one with trace(nest), or with Trace.of")


def _column(name: str, values: object) -> np.ndarray:
    """Numbers as an array; anything else becomes an array of objects."""
    try:
        return np.asarray(of_type(name, values, (Sequence, np.ndarray), fix="pass a list or an array"))
    except (ValueError, OverflowError):  # ragged, or too large for 64 bits
        return np.asarray(values, dtype=object)
