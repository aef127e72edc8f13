"""Lesson 05, exercises 5.6 and 5.7: what zeros save in bytes, and from which density on they save time."""

import math

import numpy as np
import torch

from mini_lib.prune import sparse
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 5.6 ------------------------------------------------------------------------------------------------


def sparse_bytes(rows: int, columns: int, kept: int) -> dict[str, int]:
    """Bytes of a matrix of fp32 with `kept` weights that are not zero, in three formats."""
    size = rows * columns
    return {
        "bitmap": math.ceil(size / 8) + 4 * kept,
        "CSR": 4 * (rows + 1) + 2 * kept + 4 * kept,
        "2:4": 4 * size // 2 + math.ceil(2 * (size // 2) / 8),
    }


def _sparse_bytes_by_storing(rows: int, columns: int, kept: int) -> dict[str, np.int64]:
    bits = np.packbits(np.zeros(rows * columns, dtype=np.uint8))
    values, half = np.zeros(kept, np.float32), np.zeros(rows * columns // 2, np.float32)
    pointers, places = np.zeros(rows + 1, np.int32), np.zeros(kept, np.uint16)
    positions = np.packbits(np.zeros(2 * len(half), dtype=np.uint8))
    return {
        "2:4": np.int64(half.nbytes + positions.nbytes),
        "CSR": np.int64(pointers.nbytes + places.nbytes + values.nbytes),
        "bitmap": np.int64(bits.nbytes + values.nbytes),
    }


def _with(rows: int, columns: int, kept: int, **changed: float) -> dict[str, float]:
    right = sparse_bytes(rows, columns, kept)
    names = {"bitmap": "bitmap", "csr": "CSR", "two_of_four": "2:4"}
    return right | {names[name]: value for name, value in changed.items()}


def _matrix_case(generator: torch.Generator) -> Case:
    rows, columns = random_whole(generator, 1, 40), 4 * random_whole(generator, 1, 40)
    return Case(rows, columns, random_whole(generator, 1, rows * columns // 2))


SPARSE_BYTES = Exercise(
    id="5.6",
    title="Bytes, with the places",
    reference=sparse_bytes,
    cases=(Case(2, 8, 3), Case(1, 4, 1), Case(300, 784, 47_040), *random_cases(8, seed=56, make=_matrix_case)),
    mistakes=(
        Mistake(
            lambda rows, columns, kept: {"bitmap": 4 * kept, "CSR": 4 * kept, "2:4": 2 * rows * columns},
            "Those are the values alone. Without their places nobody can tell which weights they are: indexes are "
            "stored too.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, csr=4 * (rows + 1) + 4 * kept),
            "CSR needs a column for each value: the row pointers say only where a row begins.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, csr=6 * kept),
            "CSR needs the row pointers: the columns alone do not say where a row ends.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, csr=4 * rows + 6 * kept),
            "There is one row pointer more than rows: each row begins at one and ends at the next.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, csr=4 * (rows + 1) + 8 * kept),
            "A column below 65,536 fits in 2 bytes; four would store zeros.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, bitmap=rows * columns + 4 * kept),
            "A bool tensor takes a whole byte for each weight. A bitmap takes a bit: eight weights a byte.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, bitmap=math.ceil(kept / 8) + 4 * kept),
            "The bitmap has a bit for every weight of the matrix, also for those that are gone: that is how they "
            "are told apart.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, bitmap=rows * columns // 8 + 4 * kept),
            "A file has whole bytes: bits that do not fill the last byte take it all the same. Round up.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, two_of_four=2 * rows * columns),
            "2:4 is a little more than half: beside each value stands in 2 bits which of the four it is.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, two_of_four=4 * kept + math.ceil(2 * kept / 8)),
            "2:4 stores two values of every four, zeros too where fewer are left: its bytes do not depend on `kept`.",
        ),
    ),
    also_correct=(_sparse_bytes_by_storing,),
    forbidden=(sparse.to_bitmap, sparse.to_csr, sparse.to_n_of_m),
)

# 5.7 ------------------------------------------------------------------------------------------------

Times = list[tuple[float, float]]  # at each density, the low and the high end of the measured times


def crossover(densities: list[float], dense: Times, sparse: Times) -> float | None:
    """The highest density at which, and at all below which, the sparse kernel is faster beyond the spread."""
    found = None
    for density, (dense_low, _), (_, sparse_high) in sorted(zip(densities, dense, sparse)):
        if sparse_high >= dense_low:
            break
        found = density
    return found


def _crossover_in_numpy(densities: list[float], dense: Times, sparse: Times) -> np.float64 | None:
    order = np.argsort(densities)
    faster = np.array(sparse)[order, 1] < np.array(dense)[order, 0]
    count = int(np.logical_and.accumulate(faster).sum())
    return np.array(densities)[order][count - 1] if count else None


def _crossover_from_above(densities: list[float], dense: Times, sparse: Times) -> float | None:
    slower = [d for d, (low, _), (_, high) in zip(densities, dense, sparse) if not high < low]
    left = [d for d in densities if all(d < other for other in slower)]
    return max(left) if left else None


def _swept(densities: list[float], dense: Times, sparse: Times, wins) -> float | None:
    """The crossover where `wins((low, high) of dense, (low, high) of sparse)` says who is faster."""
    found = None
    for density, one, other in sorted(zip(densities, dense, sparse)):
        if not wins(one, other):
            break
        found = density
    return found


def _race_case(generator: torch.Generator) -> Case:
    densities = [0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05]
    cost = random_whole(generator, 12, 40) / 10  # of a weight in the sparse kernel, in those of the dense one
    dense, sparse_times = [], []
    for density in densities:
        one, other = (0.7 + 0.6 * torch.rand(2, generator=generator)).tolist()  # a noisy machine
        middle = cost * density * other + 0.1
        dense.append((round(0.9 * one, 2), round(1.1 * one, 2)))
        sparse_times.append((round(0.85 * middle, 2), round(1.25 * middle, 2)))
    return Case(densities, dense, sparse_times)


CROSSOVER = Exercise(
    id="5.7",
    title="From which density on is it faster?",
    reference=crossover,
    cases=(
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(1.4, 1.5), (0.4, 0.5)]),
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(0.7, 1.3), (0.4, 0.5)]),
        Case([0.5, 0.2, 0.1], [(1.0, 1.1), (1.0, 1.1), (1.0, 1.1)], [(0.8, 0.9), (1.2, 1.3), (0.4, 0.5)]),
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(1.4, 1.5), (1.0, 1.2)]),
        *random_cases(10, seed=57, make=_race_case),
    ),
    mistakes=(
        Mistake(
            lambda densities, dense, sparse: max(densities),
            "Fewer multiplications are not yet less time. Look at the times.",
        ),
        Mistake(
            lambda densities, dense, sparse: _swept(densities, dense, sparse, lambda d, s: sum(s) < sum(d)),
            "The two ranges overlap there, so the difference may be chance. Faster means: the high end lies below "
            "the other's low end.",
        ),
        Mistake(
            lambda densities, dense, sparse: _swept(densities, dense, sparse, lambda d, s: s[0] < d[1]),
            "That compares the best run of one with the worst of the other. Ask for the reverse: high end below "
            "low end.",
        ),
        Mistake(
            lambda densities, dense, sparse: max(
                (d for d, one, other in zip(densities, dense, sparse) if other[1] < one[0]), default=None
            ),
            "Further down it is slower again, so that one win was luck. It must be faster at every density below "
            "as well.",
        ),
        Mistake(
            lambda densities, dense, sparse: min(
                (d for d, one, other in zip(densities, dense, sparse) if other[1] < one[0]), default=None
            ),
            "That is the lowest density. Asked for is the highest from which on, downwards, it is always faster.",
        ),
        Mistake(
            lambda densities, dense, sparse: crossover(densities, dense, sparse) or 0.0,
            "Where it is never faster there is no such density: return None. Zero would be a density.",
        ),
    ),
    also_correct=(_crossover_in_numpy, _crossover_from_above),
)
