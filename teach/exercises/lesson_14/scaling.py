"""Lesson 14, exercise 14.4: a factor of each channel moves from a norm into the matrix after it."""

import numpy as np
import torch
from torch import Tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 14.4 -----------------------------------------------------------------------------------------------


def move_into_weights(norm_weight: Tensor, matrix: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The norm's weight [in] divided by the scale [in], and the matrix [out, in] that makes up for it."""
    return norm_weight / scale, matrix * scale


def _by_loops(norm_weight, matrix, scale):
    norm_weight, matrix, scale = norm_weight.tolist(), matrix.tolist(), scale.tolist()
    new_norm = [weight / factor for weight, factor in zip(norm_weight, scale)]
    return [new_norm, [[weight * factor for weight, factor in zip(row, scale)] for row in matrix]]


def _column_by_column(norm_weight, matrix, scale):
    norm_weight, matrix = norm_weight.clone(), matrix.clone()
    for channel in range(len(scale)):
        norm_weight[channel] /= scale[channel]
        matrix[:, channel] *= scale[channel]
    return norm_weight, matrix


def _in_numpy(norm_weight, matrix, scale):
    diagonal = np.diag(scale.double().numpy())
    return norm_weight.double().numpy() @ np.linalg.inv(diagonal), matrix.double().numpy() @ diagonal


def _transposed(norm_weight, matrix, scale):
    return norm_weight * (1 / scale), (matrix.T * scale.unsqueeze(1)).T


def _seam_case(generator: torch.Generator) -> Case:
    outputs, inputs = random_whole(generator, 3, 5), random_whole(generator, 3, 5)
    norm_weight, matrix = (
        torch.rand(inputs, generator=generator) + 0.5,
        torch.randn(outputs, inputs, generator=generator),
    )
    return Case(norm_weight, matrix, 2 ** torch.randn(inputs, generator=generator))


def _by_hand(*parts: list) -> Case:
    return Case(*(torch.tensor(part, dtype=torch.float32) for part in parts))


MOVE_INTO_WEIGHTS = Exercise(
    id="14.4",
    title="From the norm into the matrix",
    reference=move_into_weights,
    cases=(
        _by_hand([2, 3], [[5, 7]], [2, 1]),
        _by_hand([1, 3], [[1, 2], [3, 4]], [2, 4]),
        _by_hand([4, 2], [[1, 0], [3, 5]], [0.5, 8]),
        _by_hand([8, 1, 3], [[1, 2, 3], [4, 5, 6]], [4, 0.5, 1]),
        _by_hand([6, 9], [[1, 2], [3, 4], [5, 6]], [2, 3]),
        *random_cases(6, seed=144, make=_seam_case),
    ),
    mistakes=(
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight * scale, matrix / scale),
            "It goes the other way: the channels grow and the matrix shrinks. Divide the norm's weight, so that large "
            "channels become small, and multiply the matrix.",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix * scale[:, None]),
            "The rows of the matrix are scaled. A row is an output; input channel j is read by column j of [out, in].",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight, matrix * scale),
            "The matrix is scaled, but the norm still gives the old channels, and the product changes. Divide the "
            "norm's weight by the scale.",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix),
            "The norm gives smaller channels, but nothing makes up for it, and the product changes. Multiply the "
            "columns of the matrix by the scale.",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight * scale, matrix * scale),
            "Both are multiplied, so the product grows by the square of the scale. What one gains the other must lose: "
            "divide the norm's weight.",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix / scale),
            "Both are divided, so the product shrinks by the square of the scale. What one loses the other must gain: "
            "multiply the matrix.",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (norm_weight / (scale / scale.max()), matrix * (scale / scale.max())),
            "The scale is divided by its largest factor first. The product stays, but these are not the channels that "
            "were asked for: use the scale as it is given.",
        ),
        Mistake(
            lambda norm_weight, matrix, scale: (matrix * scale, norm_weight / scale),
            "Both are right, but in the wrong order: the norm's weight comes first, then the matrix.",
        ),
    ),
    symptoms=(
        variants(
            "The norm's part is right. The columns of the matrix are multiplied by the scale itself, and by nothing "
            "else.",
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix * scale**2),
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix * norm_weight * scale),
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix * scale / norm_weight),
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix * norm_weight),
            lambda norm_weight, matrix, scale: (norm_weight / scale, matrix + scale),
        ),
        variants(
            "The norm's own weight is lost: it is divided by the scale, and not replaced.",
            lambda norm_weight, matrix, scale: (1 / scale, matrix * scale),
            lambda norm_weight, matrix, scale: (torch.ones_like(norm_weight), matrix * norm_weight),
            lambda norm_weight, matrix, scale: (scale, matrix * scale),
            lambda norm_weight, matrix, scale: (torch.ones_like(norm_weight), matrix * norm_weight * scale),
        ),
        variants(
            "A scale is a factor: divide and multiply by it, do not subtract and add it.",
            lambda norm_weight, matrix, scale: (norm_weight - scale, matrix + scale),
        ),
        variants(
            "One number for all channels. Each channel has a scale of its own: use `scale` as it is, not its mean or "
            "its largest.",
            lambda norm_weight, matrix, scale: (norm_weight / scale.mean(), matrix * scale.mean()),
            lambda norm_weight, matrix, scale: (norm_weight / scale.max(), matrix * scale.max()),
        ),
        variants(
            "That is the root of the scale on each side. Both change by the scale itself: one is divided by it, the "
            "other multiplied.",
            lambda norm_weight, matrix, scale: (norm_weight / scale.sqrt(), matrix * scale.sqrt()),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[1].ndim == 1,
            "That adds up each row of the matrix: `@` is a product with a vector. Multiply each column: matrix * "
            "scale.",
            (lambda norm_weight, matrix, scale: (norm_weight / scale, matrix @ scale),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got[1].shape == expected[1].T.shape
                and torch.allclose(got[1].double().T, expected[1].double(), rtol=1e-4)
                and not torch.equal(got[1].T, got[1])
            ),
            "The matrix comes back transposed. It stays [out, in].",
            (lambda norm_weight, matrix, scale: (norm_weight / scale, (matrix * scale).T),),
        ),
    ),
    also_correct=(_by_loops, _column_by_column, _in_numpy, _transposed),
)
