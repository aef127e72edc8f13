"""Lesson 05, exercise 5.6: what zeros save in bytes."""

import math

import numpy as np
import torch

from mini_lib.prune import sparse
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole

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


def _of_two_bytes(rows: int, columns: int, kept: int) -> dict[str, int]:
    """A wrong answer: 2 bytes for each value, everything else right."""
    right = sparse_bytes(rows, columns, kept)
    values = {"bitmap": kept, "CSR": kept, "2:4": rows * columns // 2}
    return {name: right[name] - 2 * values[name] for name in right}


def _matrix_case(generator: torch.Generator) -> Case:
    rows, columns = random_whole(generator, 1, 40), 4 * random_whole(generator, 1, 40)
    return Case(rows, columns, random_whole(generator, 1, rows * columns // 2))


def _entry(name: str, says: str, *wrong) -> Symptom:
    """The symptom that one of the three numbers is what one of `wrong` gives."""

    def shows(got, expected, given):
        return got[name] != expected[name] and got[name] in [one(**given) for one in wrong]

    return Symptom(
        shows,
        says,
        [
            lambda rows, columns, kept, one=one: sparse_bytes(rows, columns, kept) | {name: one(rows, columns, kept)}
            for one in wrong
        ],
    )


SPARSE_BYTES = Exercise(
    id="5.6",
    title="Bytes, with the places",
    reference=sparse_bytes,
    cases=(Case(2, 8, 3), Case(1, 4, 1), Case(300, 784, 47_040), *random_cases(8, seed=56, make=_matrix_case)),
    mistakes=(
        Mistake(_of_two_bytes, "A value in fp32 takes 4 bytes, in all three formats."),
        Mistake(
            lambda rows, columns, kept: {"bitmap": 4 * kept, "CSR": 4 * kept, "2:4": 2 * rows * columns},
            "Those are the values alone. Only their places tell which weights they are: indexes are stored too.",
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
            "There is one more row pointer than there are rows: each row begins at one and ends at the next.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, csr=4 * (rows + 1) + 8 * kept),
            "A column below 65,536 fits in 2 bytes; four would store zeros.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, bitmap=rows * columns + 4 * kept),
            "A bool tensor takes a whole byte for each weight. A bitmap takes one bit: eight weights per byte.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, bitmap=math.ceil(kept / 8) + 4 * kept),
            "The bitmap has a bit for every weight of the matrix, including those that are gone: that is how the two "
            "are told apart.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, bitmap=rows * columns // 8 + 4 * kept),
            "A file has whole bytes: bits that do not fill the last byte take it all the same. Round up.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, two_of_four=2 * rows * columns),
            "2:4 takes a little more than half: 2 bits next to each value say which of the four it is.",
        ),
        Mistake(
            lambda rows, columns, kept: _with(rows, columns, kept, two_of_four=4 * kept + math.ceil(2 * kept / 8)),
            "2:4 stores two values of every four, zeros too where fewer are left: its bytes do not depend on `kept`.",
        ),
    ),
    symptoms=(
        _entry(
            "CSR",
            "CSR has a row pointer of 4 bytes for each row and one more, then for each value a column of 2 bytes and "
            "the value itself, 4 bytes.",
            lambda rows, columns, kept: 2 * (rows + 1) + 6 * kept,
            lambda rows, columns, kept: 2 * (rows + 1) + 8 * kept,
            lambda rows, columns, kept: 2 * rows + 6 * kept,
            lambda rows, columns, kept: 4 * rows + 8 * kept,
            lambda rows, columns, kept: 4 * rows + 4 * kept,
            lambda rows, columns, kept: 8 * (rows + 1) + 6 * kept,
            lambda rows, columns, kept: 8 * (rows + 1) + 12 * kept,
            lambda rows, columns, kept: 4 * (rows + 1) + 5 * kept,
            lambda rows, columns, kept: 4 * (rows + 1) + 2 * kept,
            lambda rows, columns, kept: 4 * (rows + 1),
            lambda rows, columns, kept: 4 * (columns + 1) + 6 * kept,
            lambda rows, columns, kept: 4 * (rows + 1) + 2 * columns + 4 * kept,
            lambda rows, columns, kept: 4 * (rows + 2) + 6 * kept,
            lambda rows, columns, kept: 4 * rows + 5 * kept,
        ),
        _entry(
            "CSR",
            "That stores a row and a column with each value. CSR stores the columns and, once per row, where the row "
            "begins.",
            lambda rows, columns, kept: 8 * kept,
            lambda rows, columns, kept: 12 * kept,
            lambda rows, columns, kept: 10 * kept,
        ),
        _entry(
            "bitmap",
            "A bitmap is two things: one bit for every weight of the matrix, and the `kept` values of 4 bytes each.",
            lambda rows, columns, kept: math.ceil(rows * columns / 8),
            lambda rows, columns, kept: math.ceil(rows * columns / 8) + 4 * rows * columns,
            lambda rows, columns, kept: math.ceil(rows * columns / 8) + kept,
            lambda rows, columns, kept: rows * columns + kept,
            lambda rows, columns, kept: 4 * rows * columns + 4 * kept,
            lambda rows, columns, kept: math.ceil(4 * kept / 8) + 4 * kept,
            lambda rows, columns, kept: 8 * rows * columns + 4 * kept,
        ),
        _entry(
            "bitmap",
            "The bits of all rows are stored one after the other, and rounded up to whole bytes once, at the end.",
            lambda rows, columns, kept: rows * math.ceil(columns / 8) + 4 * kept,
            lambda rows, columns, kept: rows * columns // 8 + 1 + 4 * kept,
            lambda rows, columns, kept: rows * (columns // 8) + 4 * kept,
            lambda rows, columns, kept: round(rows * columns / 8) + 4 * kept,
        ),
        _entry(
            "2:4",
            "2:4 stores half of the values, 4 bytes each, and 2 bits for each of these: its place among the four.",
            lambda rows, columns, kept: 2 * rows * columns + math.ceil(2 * rows * columns / 8),
            lambda rows, columns, kept: 2 * rows * columns + rows * columns // 2,
            lambda rows, columns, kept: 2 * rows * columns + rows * columns,
            lambda rows, columns, kept: 2 * rows * columns + math.ceil(rows * columns / 2 / 8),
            lambda rows, columns, kept: 2 * rows * columns + math.ceil(4 * rows * columns / 2 / 8),
            lambda rows, columns, kept: 2 * rows * columns + math.ceil(rows * columns / 4 / 8),
            lambda rows, columns, kept: 2 * rows * columns + 2 * (rows * columns // 4),
            lambda rows, columns, kept: 4 * rows * columns + math.ceil(rows * columns / 8),
            lambda rows, columns, kept: math.ceil(rows * columns / 2) + math.ceil(rows * columns / 8),
        ),
        _entry(
            "2:4",
            "2:4 stores two values of every four, and that is half of them, whatever `kept` is.",
            lambda rows, columns, kept: rows * columns + math.ceil(rows * columns / 2 / 8),
            lambda rows, columns, kept: 4 * kept,
            lambda rows, columns, kept: 2 * kept + math.ceil(kept / 8),
            lambda rows, columns, kept: 4 * kept + math.ceil(rows * columns / 8),
            lambda rows, columns, kept: 4 * kept + math.ceil(kept / 8),
        ),
        _entry(
            "2:4",
            "The places of 2:4 may not fill their last byte, and a file has whole bytes: round up.",
            lambda rows, columns, kept: 2 * rows * columns + rows * columns // 8,
            lambda rows, columns, kept: 2 * rows * columns + rows * columns / 8,
        ),
    ),
    also_correct=(_sparse_bytes_by_storing,),
    forbidden=(sparse.to_bitmap, sparse.to_csr, sparse.to_n_of_m),
)
