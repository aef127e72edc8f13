"""Lesson 07, exercise 7.5: the nearest kernel that a pair can have."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank, separable
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 7.5 ------------------------------------------------------------------------------------------------


def nearest_kernel(weight: Tensor, multiplier: int) -> Tensor:
    """Of all kernels that a depthwise-separable pair can have, the nearest to `weight` [N, M, h, w]."""
    slices = weight.transpose(0, 1).flatten(2)  # [M, N, h * w]
    left, values, right = torch.linalg.svd(slices, full_matrices=False)
    cut = left[:, :, :multiplier] * values[:, None, :multiplier] @ right[:, :multiplier]
    return cut.unflatten(2, weight.shape[2:]).transpose(0, 1)


def _nearest_slice_by_slice(weight, multiplier):
    nearest = np.zeros(weight.shape)
    for channel in range(weight.shape[1]):
        matrix = weight[:, channel].flatten(1).double().numpy()
        left, values, right = np.linalg.svd(matrix)
        values[multiplier:] = 0
        count = len(values)
        nearest[:, channel] = ((left[:, :count] * values) @ right[:count]).reshape(nearest[:, channel].shape)
    return nearest


def _nearest_by_projection(weight, multiplier):
    """The best kernels of a channel are the leading eigenvectors of its slice's Gram matrix."""
    slices = weight.double().transpose(0, 1).flatten(2)
    kernels = torch.linalg.eigh(slices.mT @ slices).eigenvectors[:, :, -multiplier:]
    return (slices @ kernels @ kernels.mT).transpose(0, 1).reshape(weight.shape)


def _cut(matrix: Tensor, rank: int) -> Tensor:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[..., :rank] * values[..., None, :rank] @ right[..., :rank, :]


def _whole_matrix(weight, multiplier):
    return _cut(weight.flatten(1), multiplier).reshape(weight.shape)


def _by_output(weight, multiplier):
    return _cut(weight.flatten(2), multiplier).reshape(weight.shape)


def _pooled(weight, multiplier):
    slices = weight.transpose(0, 1).flatten(2)
    left, values, right = torch.linalg.svd(slices, full_matrices=False)
    threshold = values.flatten().sort(descending=True).values[multiplier * len(slices) - 1]
    cut = left * (values * (values >= threshold))[:, None] @ right
    return cut.unflatten(2, weight.shape[2:]).transpose(0, 1)


def _with_parts(product):
    """A wrong answer: `product(U, S, V^T, multiplier)` instead of what the first of them give."""

    def wrong(weight, multiplier):
        parts = torch.linalg.svd(weight.transpose(0, 1).flatten(2), full_matrices=False)
        return product(*parts, multiplier).unflatten(2, weight.shape[2:]).transpose(0, 1)

    return wrong


def _kernel(generator: torch.Generator, inputs: int, outputs: int, window: tuple[int, int]) -> Tensor:
    """A kernel whose slices have the singular values 4, 2, 1, ... or a half or a quarter of these.

    So they are far apart, and what float32 rounds does not turn the directions: see atol below.
    """
    full = min(outputs, window[0] * window[1])
    slices = []
    for channel in range(inputs):
        left = torch.linalg.qr(torch.randn(outputs, outputs, generator=generator).double()).Q[:, :full]
        right = torch.linalg.qr(torch.randn(full, window[0] * window[1], generator=generator).double().T).Q.T
        slices.append(left * 0.5 ** (torch.arange(full) + channel % 3 - 2) @ right)
    return torch.stack(slices, dim=1).float().unflatten(2, window)


def _kernel_case(generator: torch.Generator) -> Case:
    inputs, window = random_whole(generator, 2, 4), ((2, 2), (3, 3))[random_whole(generator, 0, 1)]
    outputs = window[0] * window[1] + random_whole(generator, 1, 3)
    return Case(_kernel(generator, inputs, outputs, window), random_whole(generator, 1, 3))


def _to_rank(weight: Tensor, rank: int) -> Tensor:
    """Every slice cut to a rank."""
    return _cut(weight.transpose(0, 1).flatten(2), rank).unflatten(2, weight.shape[2:]).transpose(0, 1)


def _strongest_outputs(weight, multiplier):
    cut = torch.zeros_like(weight)
    for i in range(weight.shape[1]):
        top = weight[:, i].flatten(1).norm(dim=1).argsort(descending=True)[:multiplier]
        cut[top, i] = weight[top, i]
    return cut


def _strongest_outputs_of_all(weight, multiplier):
    top = weight.flatten(1).norm(dim=1).argsort(descending=True)[:multiplier]
    cut = torch.zeros_like(weight)
    cut[top] = weight[top]
    return cut


NEAREST_KERNEL = Exercise(
    id="7.5",
    title="The nearest kernel that a pair can have",
    reference=nearest_kernel,
    cases=(
        Case(tensor([[[[4.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 3.0]]]]), 1),
        Case(tensor([[[[0.0, 0.0], [0.0, 0.0]]], [[[3.0, 0.0], [0.0, 4.0]]]]), 1),
        Case(
            tensor([[[[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], [[[0.0] * 3, [0.0, 5.0, 0.0], [0.0] * 3]]]),
            1,
        ),
        *random_cases(1, seed=750, make=lambda g: Case(_kernel(g, 1, 4, (2, 2)), 2)),
        *random_cases(1, seed=751, make=lambda g: Case(_kernel(g, 3, 4, (2, 2)), 1)),
        *random_cases(8, seed=75, make=_kernel_case),
    ),
    mistakes=(
        Mistake(
            _whole_matrix,
            "That cuts the kernel as one matrix, with all input channels in it. In a pair each channel has its own "
            "kernels: cut slice by slice, weight[:, i].",
        ),
        Mistake(
            _by_output,
            "Those are the slices of the output channels, weight[n]. A depthwise kernel belongs to an *input* channel: "
            "its slice is weight[:, i].",
        ),
        Mistake(
            lambda weight, multiplier: _cut(weight, multiplier),
            "That cuts each small window by itself, which makes kernels of K "
            "x 1 and 1 x K. Flatten the window: a slice is outputs x (h * w).",
        ),
        Mistake(
            _pooled,
            "The channels share what is kept, and a strong one takes it from a weak one. Each channel has `multiplier` "
            "kernels of its own.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, :r] * s[:, None, :r] @ vt.mT[:, :r]),
            "`torch.linalg.svd` returns V already transposed. Its rows are the kernels: take the first rows as they "
            "are.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, :r] @ vt[:, :r]),
            "The singular values are missing: U and V have only directions, all of length 1.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, -r:] * s[:, None, -r:] @ vt[:, -r:]),
            "Those are the smallest singular values. They come largest first: keep the first ones.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, r:] * s[:, None, r:] @ vt[:, r:]),
            "That is the part that is lost. Keep the first `multiplier` singular values, not the others.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, r - 1 : r] * s[:, None, r - 1 : r] @ vt[:, r - 1 : r]),
            "That is the last of the kernels alone. A multiplier of r adds up the first r of them.",
        ),
        Mistake(
            lambda weight, multiplier: _cut(weight.transpose(0, 1).flatten(2), multiplier),
            "The values may be right, but they are still in slices: [M, N, h * w]. Bring them back to [N, M, h, w].",
        ),
    ),
    symptoms=(
        variants(
            "Each slice keeps `multiplier` of its singular values, the largest ones, no more and no fewer.",
            *(
                lambda weight, multiplier, kept=kept: _to_rank(weight, kept(multiplier))
                for kept in (lambda r: r + 1, lambda r: r - 1, lambda r: 1, lambda r: 2 * r)
            ),
        ),
        Symptom(
            lambda got, expected, given: isinstance(got, tuple) and len(got) in (2, 3),
            "Those are the parts of the kernel. Multiply them together, and bring the slices back to [N, M, h, w].",
            [
                lambda weight, multiplier: tuple(
                    torch.linalg.svd(weight.transpose(0, 1).flatten(2), full_matrices=False)
                )
            ],
        ),
        variants(
            "That keeps the windows of a few outputs and drops the others. The kernels that fit best are mixtures of "
            "the windows of all outputs: decompose each slice.",
            _strongest_outputs,
            _strongest_outputs_of_all,
        ),
        variants(
            "Nothing is cut off. A pair with this multiplier cannot have every kernel: each slice keeps only its first "
            "`multiplier` singular values.",
            lambda weight, multiplier: weight.clone(),
        ),
        variants(
            "Each direction is multiplied by its own singular value, once.",
            _with_parts(lambda u, s, vt, r: u[:, :, :r] * s[:, None, :r] ** 2 @ vt[:, :r]),
            _with_parts(lambda u, s, vt, r: u[:, :, :r] * s[:, None, :r].sqrt() @ vt[:, :r]),
            _with_parts(lambda u, s, vt, r: u[:, :, :r] @ vt[:, :r] * s[:, :1, None]),
            _with_parts(lambda u, s, vt, r: u[:, :, :r] @ vt[:, :r] * s[:, :r].sum(1)[:, None, None]),
            _with_parts(lambda u, s, vt, r: u[:, :, :r] @ vt[:, :r] / s[:, :1, None]),
        ),
        variants(
            "The mean over the outputs is not the shared kernel: each output takes its own amount of it. Take the "
            "strongest terms of the SVD of each slice.",
            lambda weight, multiplier: weight.mean(0, keepdim=True).expand_as(weight),
        ),
        variants(
            "A kernel of the pair is cut channel by channel: the slice of input channel i is weight[:, i], one row "
            "for each output.",
            lambda weight, multiplier: _cut(weight.flatten(1), multiplier * weight.shape[1]).reshape(weight.shape),
            lambda weight, multiplier: _cut(weight.reshape(weight.shape[1], len(weight), -1), multiplier).reshape(
                weight.shape
            ),
            lambda weight, multiplier: (
                _cut(weight.transpose(0, 1).flatten(1), multiplier)
                .reshape(weight.transpose(0, 1).shape)
                .transpose(0, 1)
            ),
            lambda weight, multiplier: _cut(weight.flatten(0, 1).flatten(1), multiplier).reshape(weight.shape),
        ),
        variants(
            "The slices are right, but they come back in the wrong order. Swap the two axes again, [M, N] to [N, M], "
            "and do not reshape them.",
            lambda weight, multiplier: _to_rank(weight, multiplier).transpose(0, 1).reshape(weight.shape),
            lambda weight, multiplier: _to_rank(weight, multiplier).transpose(0, 1),
        ),
    ),
    also_correct=(_nearest_slice_by_slice, _nearest_by_projection),
    forbidden=(separable.separate, low_rank.truncated_svd),
    # Float32 rounds a slice of size 4 by 4 * 2**-24 a value, and its directions by that over the distance between the
    # singular values at the cut: 4 / .5 = 8 times more at rank 3. With some ten roundings a value that is 2e-5.
    atol=2e-4,
)
