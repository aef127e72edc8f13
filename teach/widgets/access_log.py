"""AccessLog: what a loop nest reads and writes, in order, as the cache animation shows it."""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

MOST_ACCESSES = 4096  # more are neither watched to the end nor told apart in the strip
MOST_ELEMENTS = 16_384  # of all arrays together


class LoggedArray(NamedTuple):
    """An array of the log: where its first element is, and how many elements lie from index to index."""

    name: str
    shape: tuple[int, ...]
    element_bytes: int
    base_address: int
    strides: tuple[int, ...]

    def addresses(self) -> np.ndarray:
        """Return the address in bytes of each element, in the row-major order of the indices."""
        index = np.indices(self.shape).reshape(len(self.shape), -1)
        return self.base_address + self.element_bytes * (np.array(self.strides) @ index)


@dataclass(frozen=True, eq=False)
class AccessLog:
    """What a loop nest read and wrote, in order, and who served it.

    For each access: `array` is a position in `arrays`; `index` the element in row-major order of the indices;
    `address` its byte; `is_write`; `served_by` is 0 for a hit in the first level, 1 in the second, ..., n for memory;
    `step` the statement instance it belongs to; `elements` how many elements side by side in memory it takes (1 unless
    it is a vector access). For each step, `loops` holds the values of `loop_names`, None for a loop not around it.

    Raises:
        ValueError: no access, more than 4096, too many elements to draw, arrays that do not fit together, or an
            address that is not the element's.

    >>> arrays, loops = (("A", (4,), 8, 0, (1,)),), [(0,), (3,)]
    >>> log = AccessLog(arrays, [0, 0], [0, 3], [0, 24], [False, True], [1, 0], [0, 1], loops, ("i",))
    >>> log.arrays[0].name, len(log)
    ('A', 2)
    """

    arrays: tuple[LoggedArray, ...]
    array: np.ndarray
    index: np.ndarray
    address: np.ndarray
    is_write: np.ndarray
    served_by: np.ndarray
    step: np.ndarray
    loops: tuple[tuple[int | None, ...], ...]
    loop_names: tuple[str, ...]
    elements: np.ndarray | None = None

    def __post_init__(self) -> None:
        fixed = {"arrays": tuple(LoggedArray(*item) for item in self.arrays), "loop_names": tuple(self.loop_names)}
        fixed["loops"] = tuple(tuple(None if at is None else int(at) for at in values) for values in self.loops)
        for name in ("array", "index", "address", "served_by", "step"):
            fixed[name] = np.asarray(getattr(self, name), np.int64)
        fixed["is_write"] = np.asarray(self.is_write, bool)
        ones = np.ones(len(fixed["array"]), np.int64)
        fixed["elements"] = ones if self.elements is None else np.asarray(self.elements, np.int64)
        for name, value in fixed.items():
            object.__setattr__(self, name, value)
        self._check()

    def __len__(self) -> int:
        return len(self.array)

    def _check(self) -> None:
        count, drawn = len(self), sum(prod(array.shape) for array in self.arrays)
        if not 0 < count <= MOST_ACCESSES:
            raise ValueError(f"the log has {count:,} accesses, expected 1 to {MOST_ACCESSES:,}; {_resize(count)}")
        if drawn > MOST_ELEMENTS:
            raise ValueError(
                f"the arrays have {drawn:,} elements, expected at most {MOST_ELEMENTS:,}; {_resize(drawn)}"
            )
        names = ("index", "address", "is_write", "served_by", "step", "elements")
        lengths = {name: len(getattr(self, name)) for name in names}
        if set(lengths.values()) != {count}:
            raise ValueError(f"array has {count} accesses, but the others {lengths}; give one value for each access")
        if self.step.min() < 0 or self.step.max() >= len(self.loops):
            raise ValueError(
                f"step goes to {self.step.max()}, but loops has {len(self.loops)} steps; give one for each"
            )
        if any(len(values) != len(self.loop_names) for values in self.loops):
            raise ValueError(
                f"each step needs one value for each loop of {self.loop_names}; use None for a loop not around it"
            )
        if self.array.min() < 0 or self.array.max() >= len(self.arrays):
            raise ValueError(
                f"array goes to {self.array.max()}, but there are {len(self.arrays)} arrays; list them all"
            )
        if self.elements.min() < 1 or self.served_by.min() < 0:
            raise ValueError("elements must be 1 or more and served_by 0 or more; 0 is a hit in the first level")
        for position, array in enumerate(self.arrays):
            mine = np.flatnonzero(self.array == position)
            addresses, index = array.addresses(), self.index[mine]
            if index.size and not 0 <= index.min() <= index.max() < addresses.size:
                raise ValueError(
                    f"index goes from {index.min()} to {index.max()}, but {array.name} has {addresses.size} "
                    "elements; count them in row-major order from 0"
                )
            wrong = np.flatnonzero(addresses[index] != self.address[mine])
            if wrong.size:
                at = mine[wrong[0]]
                raise ValueError(
                    f"access {at} has address {self.address[at]}, but {array.name} has element {self.index[at]} "
                    f"at {addresses[self.index[at]]}; base_address and strides must be those of the addresses"
                )


def _resize(count: int) -> str:
    return "make the sizes smaller" if count else "log a nest that reads or writes an array"
