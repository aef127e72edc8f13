"""Lesson 08, exercises 8.1 and 8.2: up to which rank two thin matrices pay, and how they are made."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank
from mini_lib.factorize.rank import break_even_rank
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 8.1 ------------------------------------------------------------------------------------------------


def paying_rank(rows: int, columns: int) -> int:
    """The largest rank at which two factors have fewer weights than the matrix; 0 if there is none."""
    return (rows * columns - 1) // (rows + columns)


def _paying_by_trying(rows, columns):
    return max(rank for rank in range(rows + columns) if rank * (rows + columns) < rows * columns or rank == 0)


def _paying_by_fraction(rows, columns):
    return math.ceil(Fraction(rows * columns, rows + columns)) - 1


def _shape_case(generator: torch.Generator) -> Case:
    return Case(random_whole(generator, 3, 90), random_whole(generator, 3, 90))


PAYING_RANK = Exercise(
    id="8.1",
    title="The rank at which it stops paying",
    reference=paying_rank,
    cases=(
        Case(4, 5),
        Case(2, 2),
        Case(64, 64),
        Case(1, 7),
        Case(300, 100),
        *random_cases(10, seed=81, make=_shape_case),
    ),
    mistakes=(
        Mistake(
            lambda rows, columns: min(rows, columns),
            "That is full rank, where the two factors are larger than the matrix. Ask at which rank "
            "rank * (rows + columns) is still below rows * columns.",
        ),
        Mistake(
            lambda rows, columns: min(rows, columns) - 1,
            "One below full rank saves nothing yet: there are two factors, and both have to be stored. A square matrix "
            "pays below half of full rank.",
        ),
        Mistake(
            lambda rows, columns: min(rows, columns) // 2,
            "Half of full rank is the limit of a square matrix, and there it costs the same. For other shapes it is "
            "rows * columns / (rows + columns).",
        ),
        Mistake(
            lambda rows, columns: rows * columns // (rows + columns),
            "Where the division comes out even, the factors have exactly as many weights as the matrix. Paying means "
            "fewer: one rank lower.",
        ),
        Mistake(
            lambda rows, columns: math.ceil(rows * columns / (rows + columns)),
            "Rounded up, the factors have at least as many weights as the matrix. The last rank that pays is strictly "
            "below rows * columns / (rows + columns).",
        ),
        Mistake(
            lambda rows, columns: round(rows * columns / (rows + columns)),
            "Rounding to the nearest may go up, to a rank that costs more than the matrix. Go down.",
        ),
        Mistake(
            lambda rows, columns: rows * columns / (rows + columns),
            "A rank is a whole number: the largest one below this.",
        ),
        Mistake(
            lambda rows, columns: (rows * columns - 1) // columns,
            "That counts one factor, rank * columns. The other one has rank * rows weights.",
        ),
        Mistake(
            lambda rows, columns: (rows * columns - 1) // rows,
            "That counts one factor, rank * rows. The other one has rank * columns weights.",
        ),
    ),
    also_correct=(_paying_by_trying, _paying_by_fraction),
    forbidden=(break_even_rank, low_rank.svd_linear_bound),
)

# 8.2 ------------------------------------------------------------------------------------------------


def thin_factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two factors [m, rank] and [rank, n] whose product is as near to the matrix [m, n] as can be."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _factors_in_numpy(matrix, rank):
    left, values, right = np.linalg.svd(matrix.double().numpy())
    return left[:, :rank] @ np.diag(values[:rank]), right[:rank]


def _factors_by_projection(matrix, rank):
    kept = torch.linalg.eigh(matrix.double() @ matrix.double().T).eigenvectors[:, -rank:]
    return [kept, kept.T @ matrix.double()]


def _product(returned: Any) -> dict[str, Any]:
    """What is compared: the shapes, and the product, since there are many right ways to share the values out."""
    left, right = (torch.as_tensor(np.asarray(factor)).double() for factor in returned)
    return {
        "the shape of left": list(left.shape),
        "the shape of right": list(right.shape),
        "left @ right": left @ right if left.shape[-1:] == right.shape[:1] else "impossible",
    }


def _factors(make):
    """A wrong answer: `make(U, S, V^T, rank)`, with as many directions as singular values."""
    return lambda matrix, rank: make(*torch.linalg.svd(matrix, full_matrices=False), rank)


def _transposed_once_more(matrix, rank):
    left, values, right = torch.linalg.svd(matrix)
    return left[:, :rank] * values[:rank], right[:, :rank].T


def _matrix_case(generator: torch.Generator) -> Case:
    """A square or tall matrix, of which V^T is the same square whether or not torch is asked for full matrices."""
    columns = random_whole(generator, 4, 5)
    rows = columns + random_whole(generator, 0, 2)
    return Case(spread_matrix(generator, rows, columns), random_whole(generator, 1, 3))


def spread_matrix(generator: torch.Generator, rows: int, columns: int) -> Tensor:
    """A float32 matrix with the singular values 8, 4, 2, ...: far apart, so rounding does not turn its directions."""
    full = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, full, generator=generator).double()).Q
    right = torch.linalg.qr(torch.randn(columns, full, generator=generator).double()).Q.T
    return (left * 8 * 0.5 ** torch.arange(full) @ right).float()


THIN_FACTORS = Exercise(
    id="8.2",
    title="Two thin matrices",
    reference=thin_factors,
    view=_product,
    cases=(
        Case(tensor([[4.0, 0.0], [0.0, 3.0]]), 1),
        Case(tensor([[0.0, 9.0], [4.0, 0.0]]), 1),
        Case(tensor([[0.0, 9.0, 0.0], [4.0, 0.0, 0.0]]), 2),
        *random_cases(8, seed=82, make=_matrix_case),
    ),
    mistakes=(
        Mistake(
            _transposed_once_more,
            "`torch.linalg.svd` returns V already transposed: its first rows are the directions. Transposed once more, "
            "they are mixed up.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r], vt[:r])),
            "The singular values are missing. U and V have directions of length 1, and S says how much of each there "
            "is.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r] * s[:r], s[:r, None] * vt[:r])),
            "The singular values are in both factors, so the product has their squares. Put them into one of the two, "
            "or their root into each.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r] * s[:r].sqrt(), vt[:r])),
            "That is the root of the singular values once. Two roots make the whole: one in each factor.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, -r:] * s[-r:], vt[-r:])),
            "Those are the smallest singular values. They come largest first: keep the first ones.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:r].T * s[:r], vt[:r])),
            "The directions of U are its columns: U[:, :rank] and not U[:rank].",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u * s, vt)),
            "Nothing is cut off: those factors are larger than the matrix. Keep `rank` columns of U and `rank` rows of "
            "V^T.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (vt[:r].T * s[:r], u[:, :r].T)),
            "Left and right are exchanged: U belongs to the rows of the matrix, V^T to its columns.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r], s[:r], vt[:r])),
            "Those are three parts. Two layers are to be made of them: let the singular values go into one of the "
            "factors, or their root into both.",
        ),
        Mistake(
            lambda matrix, rank: (matrix[:, :rank], torch.eye(rank, matrix.shape[1])),
            "That keeps the first columns of the matrix. The best directions lie across all of them: the singular "
            "value decomposition finds them.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: u[:, :r] * s[:r] @ vt[:r]),
            "That is the product, as large as the matrix was. Return the two factors: they are what is stored.",
        ),
    ),
    also_correct=(_factors_in_numpy, _factors_by_projection),
    forbidden=(low_rank.truncated_svd, low_rank.svd_linear),
    # Float32 rounds a matrix of size 8 by 8 * 2**-24 a value, and its directions by that over the distance between the
    # singular values at the cut: 8 / 1 = 8 times more at rank 3. With some ten roundings a value that is 4e-5.
    atol=4e-4,
)
