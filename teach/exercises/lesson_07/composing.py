"""Lesson 07, exercise 7.4: the one kernel that a depthwise and a pointwise convolution in turn are."""

import numpy as np
import torch
from torch import Tensor, tensor
from torch.nn import functional as F

from mini_lib.factorize import low_rank, separable
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def composed_kernel(spatial: Tensor, mixing: Tensor, multiplier: int) -> Tensor:
    """The kernel [N, M, h, w] of the one convolution that does what the pair does."""
    by_channel = mixing.flatten(1).unflatten(1, (-1, multiplier))  # [N, M, r]
    kernels = spatial.squeeze(1).unflatten(0, (-1, multiplier))  # [M, r, h, w]
    return torch.einsum("nmr,mrhw->nmhw", by_channel, kernels)


def _composed_with_loops(spatial, mixing, multiplier):
    outputs, inputs = mixing.shape[0], mixing.shape[1] // multiplier
    kernel = torch.zeros(outputs, inputs, *spatial.shape[2:])
    for n in range(outputs):
        for channel in range(inputs * multiplier):
            kernel[n, channel // multiplier] += mixing[n, channel, 0, 0] * spatial[channel, 0]
    return kernel


def _composed_in_numpy(spatial, mixing, multiplier):
    products = mixing.numpy().astype(np.float64) * spatial.numpy()[:, 0]  # [N, M * r, h, w]
    return sum(products[:, j::multiplier] for j in range(multiplier))


def _composed_by_asking(spatial, mixing, multiplier):
    """The pair's answer to an image with a single 1 is its kernel, seen from the other end."""
    inputs, (height, width) = len(spatial) // multiplier, spatial.shape[2:]
    images = torch.zeros(inputs, inputs, 2 * height - 1, 2 * width - 1)
    images[range(inputs), range(inputs), height - 1, width - 1] = 1.0
    answer = F.conv2d(F.conv2d(images, spatial, groups=inputs), mixing)
    return answer.flip(2, 3).transpose(0, 1)


def _by_multiplier_first(spatial, mixing, multiplier):
    by_channel = mixing.flatten(1).unflatten(1, (multiplier, -1))
    return torch.einsum("nrm,rmhw->nmhw", by_channel, spatial.squeeze(1).unflatten(0, (multiplier, -1)))


def _first_only(spatial, mixing, multiplier):
    return mixing[:, ::multiplier] * spatial[::multiplier, 0]


def _all_products(spatial, mixing, multiplier):
    return mixing * spatial[:, 0]


def _added(spatial, mixing, multiplier):
    total = mixing + spatial[:, 0]
    return total.unflatten(1, (-1, multiplier)).sum(dim=2)


def _summed_over_channels(spatial, mixing, multiplier):
    return (mixing * spatial[:, 0]).sum(dim=1, keepdim=True).expand(-1, len(spatial) // multiplier, -1, -1)


def _sum_times_sum(spatial, mixing, multiplier):
    weights = mixing.unflatten(1, (-1, multiplier)).sum(dim=2)
    return weights * spatial[:, 0].unflatten(0, (-1, multiplier)).sum(dim=1)


def _pair_of(generator: torch.Generator, inputs: int, outputs: int, multiplier: int, window: tuple[int, int]) -> Case:
    # Small whole numbers: every order of adding them gives the same.
    numbers = torch.randint(1, 6, (inputs * multiplier, 1, *window), generator=generator).float()
    mixing = torch.randint(-3, 4, (outputs, inputs * multiplier, 1, 1), generator=generator).float()
    return Case(numbers, mixing, multiplier)


def _pair_case(generator: torch.Generator) -> Case:
    inputs, outputs = random_whole(generator, 2, 4), random_whole(generator, 2, 4)
    return _pair_of(generator, inputs, outputs, random_whole(generator, 2, 3), (3, 3))


def _weighted(spatial: Tensor, mixing: Tensor, multiplier: int) -> Tensor:
    """The kernels with their weights, not yet added up: [N, M, r, h, w]."""
    return (mixing * spatial[:, 0]).unflatten(1, (-1, multiplier))


_TWO_KERNELS = tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]])

COMPOSED_KERNEL = Exercise(
    id="7.4",
    title="The convolution that a pair is",
    reference=composed_kernel,
    cases=(
        Case(tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), tensor([[[[10.0]]]]), 1),
        Case(_TWO_KERNELS, tensor([[[[10.0]], [[1.0]]]]), 1),
        Case(_TWO_KERNELS, tensor([[[[10.0]], [[1.0]]]]), 2),
        *random_cases(1, seed=740, make=lambda g: _pair_of(g, 2, 3, 1, (3, 3))),
        *random_cases(1, seed=741, make=lambda g: _pair_of(g, 2, 2, 2, (2, 2))),
        *random_cases(6, seed=74, make=_pair_case),
    ),
    mistakes=(
        Mistake(
            _by_multiplier_first,
            "The channels in between are read in the wrong order. The results of one input channel lie side by side: "
            "kernel j of channel i is number i * multiplier + j.",
        ),
        Mistake(
            _first_only,
            "Only the first kernel of each channel is used. There are `multiplier` of them, and their results are "
            "added up.",
        ),
        Mistake(
            lambda spatial, mixing, multiplier: composed_kernel(spatial, mixing, multiplier) / multiplier,
            "That is the mean over the kernels of a channel. The pointwise part only adds, and does not divide.",
        ),
        Mistake(
            _all_products,
            "Those are the products, one for each channel in between. The "
            "kernels of one input channel have to be added up: [N, M, h, w].",
        ),
        Mistake(
            _summed_over_channels,
            "That adds up over the input channels as well. A kernel treats each input channel differently: one plane "
            "for each.",
        ),
        Mistake(
            _sum_times_sum,
            "That is a sum times a sum. Each kernel has its own weight in the mixture: multiply first, then add.",
        ),
        Mistake(_added, "The weight of the pointwise part is multiplied with the kernel, not added to it."),
        Mistake(
            lambda spatial, mixing, multiplier: composed_kernel(spatial, mixing, multiplier).flip(2, 3),
            "The kernel is flipped. The convolution of a network does not flip it, so nothing has to be flipped back.",
        ),
        Mistake(
            lambda spatial, mixing, multiplier: composed_kernel(spatial, mixing, multiplier).transpose(0, 1),
            "Inputs and outputs are swapped. A weight is [outputs, inputs, h, w].",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: got.ndim == 5,
            "That has five axes. The kernels of one input channel, weighted, are added up: [N, M, K, K].",
            [lambda spatial, mixing, multiplier: _weighted(spatial, mixing, multiplier)],
        ),
        Symptom(
            lambda got, expected, given: got.ndim == 3 or (got.shape[1] == 1 and expected.shape[1] > 1),
            "The input channels are added up. Each of them needs its own plane: [N, M, K, K].",
            [
                lambda spatial, mixing, multiplier: (mixing * spatial[:, 0]).sum(dim=1),
                lambda spatial, mixing, multiplier: (mixing * spatial[:, 0]).sum(dim=1, keepdim=True),
            ],
        ),
        variants(
            "The weights and the kernels are read in different orders: in both, number i * multiplier + j belongs to "
            "input channel i.",
            lambda spatial, mixing, multiplier: torch.einsum(
                "nmr,rmhw->nmhw",
                mixing.flatten(1).unflatten(1, (-1, multiplier)),
                spatial.squeeze(1).unflatten(0, (multiplier, -1)),
            ),
            lambda spatial, mixing, multiplier: torch.einsum(
                "nrm,mrhw->nmhw",
                mixing.flatten(1).unflatten(1, (multiplier, -1)),
                spatial.squeeze(1).unflatten(0, (-1, multiplier)),
            ),
            lambda spatial, mixing, multiplier: (mixing * spatial[:, 0])[:, : len(spatial) // multiplier],
        ),
        variants(
            "Only one kernel of each input channel is left. Add up all `multiplier` of them, each with its own weight.",
            lambda spatial, mixing, multiplier: _weighted(spatial, mixing, multiplier)[:, :, -1],
            lambda spatial, mixing, multiplier: _weighted(spatial, mixing, multiplier).amax(2),
            lambda spatial, mixing, multiplier: _weighted(spatial, mixing, multiplier).prod(2),
        ),
        variants(
            "Each kernel has its own weight in the mixture: multiply by it before you add the kernels up.",
            lambda spatial, mixing, multiplier: (
                mixing[:, ::multiplier] * spatial[:, 0].unflatten(0, (-1, multiplier)).sum(1)
            ),
            lambda spatial, mixing, multiplier: (
                spatial[:, 0].unflatten(0, (-1, multiplier)).sum(1).expand(len(mixing), -1, -1, -1)
            ),
            lambda spatial, mixing, multiplier: mixing.unflatten(1, (-1, multiplier)).sum(2) * spatial[::multiplier, 0],
            lambda spatial, mixing, multiplier: (
                mixing.unflatten(1, (-1, multiplier)).mean(2) * spatial[:, 0].unflatten(0, (-1, multiplier)).sum(1)
            ),
        ),
        variants(
            "Height and width are swapped: the pair leaves the two axes of a kernel as they are.",
            lambda spatial, mixing, multiplier: composed_kernel(spatial, mixing, multiplier).transpose(2, 3),
        ),
        variants(
            "The kernel is flipped along one axis. Nothing has to be flipped.",
            lambda spatial, mixing, multiplier: composed_kernel(spatial, mixing, multiplier).flip(2),
            lambda spatial, mixing, multiplier: composed_kernel(spatial, mixing, multiplier).flip(3),
        ),
    ),
    also_correct=(_composed_with_loops, _composed_in_numpy, _composed_by_asking),
    forbidden=(separable.as_convolution, low_rank.rebuild),
)
