"""Lesson 08, exercise 8.2: two thin matrices for one."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole


def thin_factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two factors [m, rank] and [rank, n] whose product is as close to the matrix [m, n] as possible."""
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


def _sides(seen: dict[str, Any]) -> list[list[int]]:
    return [seen["the shape of left"], seen["the shape of right"]]


def _keeps_another_part(got: dict[str, Any], expected: dict[str, Any], arguments: dict[str, Any]) -> bool:
    """Whether the product is at right angles to the rest of the matrix, as a part is, and smaller than it could be."""
    if _sides(got) != _sides(expected):
        return False
    kept, matrix = got["left @ right"], arguments["matrix"].double()
    across = float((kept * (matrix - kept)).sum().abs() / matrix.square().sum())
    return across < 1e-5 and float(kept.norm()) < 0.999 * float(expected["left @ right"].norm())


def _has_other_sizes(got: dict[str, Any], expected: dict[str, Any], rank: int) -> bool:
    """Whether the product has the right directions, each with any size."""
    if _sides(got) != _sides(expected) or torch.allclose(got["left @ right"], expected["left @ right"], atol=1e-3):
        return False
    left, _, right = torch.linalg.svd(expected["left @ right"], full_matrices=False)
    left, right, mine = left[:, :rank], right[:rank], got["left @ right"]
    sizes = (left.T @ mine @ right.T).diag()
    return float((left * sizes @ right - mine).norm()) < 1e-4 * float(mine.norm())


def _least_by_eigh(matrix, rank):
    kept = torch.linalg.eigh(matrix.double() @ matrix.double().T).eigenvectors[:, :rank]
    return kept, kept.T @ matrix.double()


def _in_any_order(matrix, rank):
    kept = torch.linalg.svd(matrix.double()).U.flip(1)[:, :rank]
    return kept, kept.T @ matrix.double()


def _first_by_qr(matrix, rank):
    left, right = torch.linalg.qr(matrix)
    return left[:, :rank], right[:rank]


def _factors(make):
    """A wrong answer: `make(U, S, V^T, rank)`, with as many directions as singular values."""
    return lambda matrix, rank: make(*torch.linalg.svd(matrix, full_matrices=False), rank)


def _transposed_once_more(matrix, rank):
    left, values, right = torch.linalg.svd(matrix)
    return left[:, :rank] * values[:rank], right[:, :rank].T


def _rows_of_u(matrix, rank):
    left, values, right = torch.linalg.svd(matrix)
    return left[:rank].T * values[:rank], right[:rank]


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
        Case(tensor([[0.0, 4.0], [9.0, 0.0]]), 1),
        Case(tensor([[3.0, 0.0], [0.0, 4.0]]), 1),
        Case(tensor([[0.0, 9.0, 0.0], [4.0, 0.0, 0.0]]), 2),
        *random_cases(8, seed=82, make=_matrix_case),
    ),
    mistakes=(
        Mistake(
            _transposed_once_more,
            "`torch.linalg.svd` returns V already transposed: its first rows are the directions. (`torch.svd` returns "
            "V itself: there they are the first columns.)",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r], vt[:r])),
            "The singular values are missing. The directions in U and V have length 1; S says how much each of them "
            "counts.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r] * s[:r], s[:r, None] * vt[:r])),
            "The singular values are in both factors, so the product has their squares. Put them into one of the two, "
            "or their square roots into both.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r] * s[:r].sqrt(), vt[:r])),
            "The root of the singular values is in one factor only. The product needs it in both.",
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
            _rows_of_u,
            "`U[:rank]` has rows of U. The directions are the columns, U[:, :rank], and need no transposing.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u * s, vt)),
            "Nothing is cut off: those factors are larger than the matrix. Keep `rank` columns of U and `rank` rows of "
            "V^T.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (vt[:r].T * s[:r], u[:, :r].T)),
            "Left and right are swapped: U belongs to the rows of the matrix, V^T to its columns.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: (u[:, :r], s[:r], vt[:r])),
            "Those are three parts, and two are asked for. Put the singular values into one of the factors, or their "
            "square roots into both.",
        ),
        Mistake(
            lambda matrix, rank: (matrix[:, :rank], torch.eye(rank, matrix.shape[1])),
            "That keeps the first columns of the matrix. The best directions combine all columns: the singular value "
            "decomposition finds them.",
        ),
        Mistake(
            _factors(lambda u, s, vt, r: u[:, :r] * s[:r] @ vt[:r]),
            "That is the product, which is as large as the matrix. Return the two factors: only they are stored.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: _sides(got) == _sides(expected)[::-1] != _sides(expected),
            "Left and right are swapped: left is [m, rank], right is [rank, n].",
            examples=(_factors(lambda u, s, vt, r: (vt[:r], u[:, :r] * s[:r])),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                _sides(got)[0] == _sides(expected)[0]
                and _sides(got)[1] != _sides(expected)[1]
                and _sides(got)[1][1] == arguments["rank"]
            ),
            "The right factor has the directions as its columns. `torch.linalg.svd` returns V^T, whose first *rows* "
            "are the directions.",
            examples=(
                _factors(lambda u, s, vt, r: (u[:, :r] * s[:r], vt[:, :r])),
                _factors(lambda u, s, vt, r: (u[:, :r] * s[:r], vt[:r].T)),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                _sides(got)[0] != _sides(expected)[0]
                and _sides(got)[1] == _sides(expected)[1]
                and _sides(got)[0][0] == arguments["rank"]
            ),
            "The left factor has the directions as its rows: the directions of U are its *columns*, U[:, :rank].",
            examples=(_factors(lambda u, s, vt, r: (u[:r] * s, vt[:r])),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                _sides(got)[0][0] == _sides(expected)[0][0]
                and _sides(got)[1][1] == _sides(expected)[1][1]
                and _sides(got)[0][1] == _sides(got)[1][0] != arguments["rank"]
            ),
            "The inner size of the two factors is not `rank`: keep the first `rank` columns of U and rows of V^T.",
            examples=(
                _factors(lambda u, s, vt, r: (u[:, : r + 1] * s[: r + 1], vt[: r + 1])),
                _factors(lambda u, s, vt, r: (u[:, : r - 1] * s[: r - 1], vt[: r - 1])),
            ),
        ),
        Symptom(
            _keeps_another_part,
            "That keeps a part of the matrix, but not the largest part. The best directions have the largest singular "
            "values: `svd` returns these first, `eigh` last, `eig` in any order.",
            examples=(_least_by_eigh, _in_any_order, _first_by_qr),
        ),
        Symptom(
            lambda got, expected, arguments: _has_other_sizes(got, expected, arguments["rank"]),
            "The directions are right, but their sizes are not. Each term counts with its own singular value, once.",
            examples=(
                _factors(lambda u, s, vt, r: (u[:, :r] * s[:r].sqrt(), s[:r, None] * vt[:r])),
                _factors(lambda u, s, vt, r: (u[:, :r] / s[:r], vt[:r])),
            ),
        ),
    ),
    also_correct=(_factors_in_numpy, _factors_by_projection),
    forbidden=(low_rank.truncated_svd, low_rank.svd_linear),
    # Float32 rounds a matrix of size 8 by 8 * 2**-24 a value, and its directions by that over the distance between the
    # singular values at the cut: 8 / 1 = 8 times more at rank 3. With some ten roundings a value that is 4e-5.
    atol=4e-4,
)
