"""Lesson 07, exercises 7.5 and 7.6: the nearest kernel that a pair can have, and how near it is."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import low_rank, separable
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

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


NEAREST_KERNEL = Exercise(
    id="7.5",
    title="The nearest kernel that a pair can have",
    reference=nearest_kernel,
    cases=(
        Case(tensor([[[[4.0, 0.0]]], [[[0.0, 3.0]]]]), 1),
        Case(tensor([[[[0.0, 0.0]]], [[[3.0, 4.0]]]]), 1),
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
            "The singular values are missing: U and V have the directions, all of length 1.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, -r:] * s[:, None, -r:] @ vt[:, -r:]),
            "Those are the smallest singular values. They come largest first: keep the first ones.",
        ),
        Mistake(
            _with_parts(lambda u, s, vt, r: u[:, :, r:] * s[:, None, r:] @ vt[:, r:]),
            "That is what gets lost. Keep the first `multiplier` singular values, not the others.",
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
    also_correct=(_nearest_slice_by_slice, _nearest_by_projection),
    forbidden=(separable.separate, low_rank.truncated_svd),
    # Float32 rounds a slice of size 4 by 4 * 2**-24 a value, and its directions by that over the distance between the
    # singular values at the cut: 4 / .5 = 8 times more at rank 3. With some ten roundings a value that is 2e-5.
    atol=2e-4,
)

# 7.6 ------------------------------------------------------------------------------------------------


def error_beforehand(values: Tensor, multiplier: int) -> Tensor:
    """The relative error of the whole kernel; `values` [M, n] are the singular values of its slices, largest first."""
    return (values[:, multiplier:].square().sum() / values.square().sum()).sqrt()


def _error_with_loops(values, multiplier):
    lost = sum(value**2 for row in values.tolist() for value in row[multiplier:])
    return math.sqrt(lost / sum(value**2 for row in values.tolist() for value in row))


def _error_by_norms(values, multiplier):
    return np.linalg.norm(values.numpy()[:, multiplier:]) / np.linalg.norm(values.numpy())


def _error_by_what_is_kept(values, multiplier):
    squares = values.double() ** 2
    return torch.sqrt(1 - squares[:, :multiplier].sum() / squares.sum())


def _each(values: Tensor, multiplier: int) -> Tensor:
    return values[:, multiplier:].norm(dim=1) / values.norm(dim=1)


def _pooled_error(values, multiplier):
    ranked = values.flatten().sort(descending=True).values
    return ranked[multiplier * len(values) :].norm() / ranked.norm()


def _values_case(generator: torch.Generator) -> Case:
    """Whole numbers, so that sums of squares are exact; the channels differ in size."""
    rows = []
    for _ in range(random_whole(generator, 2, 4)):
        size = random_whole(generator, 1, 4)
        rows.append(torch.randint(1, 12, (4,), generator=generator).sort(descending=True).values * size)
    return Case(torch.stack(rows).float(), random_whole(generator, 1, 3))


ERROR_BEFOREHAND = Exercise(
    id="7.6",
    title="The error, known beforehand",
    reference=error_beforehand,
    cases=(
        Case(tensor([[4.0, 3.0]]), 1),
        Case(tensor([[6.0, 3.0, 2.0]]), 2),
        Case(tensor([[12.0, 0.0], [4.0, 3.0]]), 1),
        Case(tensor([[4.0, 3.0], [4.0, 3.0]]), 2),
        *random_cases(8, seed=76, make=_values_case),
    ),
    mistakes=(
        Mistake(
            lambda values, multiplier: _each(values, multiplier).mean(),
            "That is the mean of the slices' errors, and a faint slice counts as much as a strong one. Errors do not "
            "average: add up their squares, then take the root.",
        ),
        Mistake(
            lambda values, multiplier: _each(values, multiplier).square().mean().sqrt(),
            "Each slice was made relative to itself. The error is relative to the whole kernel: add up all that is "
            "lost, and divide by all that there was.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier:].sum() / values.sum(),
            "Singular values add up like the sides of a right triangle: by their squares, with a root at the end.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier:].square().sum() / values.square().sum(),
            "That is the share of the squares that is lost. The error is its root.",
        ),
        Mistake(
            lambda values, multiplier: values[:, :multiplier].norm() / values.norm(),
            "That is what is kept. Lost are the singular values behind the first `multiplier`.",
        ),
        Mistake(
            lambda values, multiplier: 1 - values[:, :multiplier].norm() / values.norm(),
            "The kept and the lost part are at right angles: their squares add up to 1, they themselves do not.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier - 1 :].norm() / values.norm(),
            "That begins one too early: Python counts from 0, and values[:, multiplier] is the first that is lost.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier : multiplier + 1].norm() / values.norm(),
            "That is the first of those that are lost. All of them are lost, from there to the end.",
        ),
        Mistake(
            lambda values, multiplier: values[:, multiplier:].norm(),
            "That is how much is lost, in the unit of the weights. Relative means: divided by the size of the kernel.",
        ),
        Mistake(
            _pooled_error,
            "That keeps the largest values of all channels together. Each channel has `multiplier` kernels of its own, "
            "and cannot lend them.",
        ),
    ),
    also_correct=(_error_with_loops, _error_by_norms, _error_by_what_is_kept),
    forbidden=(separable.separable_errors, low_rank.rank_errors),
)
