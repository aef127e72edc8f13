"""Lesson 07, exercises 7.1 and 7.2: what a convolution costs, and what the pair costs."""

import numpy as np
import torch
from torch import nn

from mini_lib import costs
from mini_lib.factorize import cost
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 7.1 ------------------------------------------------------------------------------------------------


def macs_of_convolution(inputs: int, outputs: int, kernel: int, size: int, stride: int, groups: int) -> int:
    """MACs of a convolution on one square image of `size` pixels a side, with half of the odd kernel as padding."""
    side = (size - 1) // stride + 1
    return side**2 * outputs * (inputs // groups) * kernel**2


def _macs_by_running(inputs, outputs, kernel, size, stride, groups):
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
    places = layer(torch.zeros(1, inputs, size, size))[0, 0].numel()
    return places * layer.weight.numel()


def _macs_by_visiting(inputs, outputs, kernel, size, stride, groups):
    macs = 0
    for _ in range(0, size, stride):
        for _ in range(0, size, stride):
            macs += groups * (inputs // groups) * (outputs // groups) * kernel * kernel
    return np.float64(macs)


def _convolution(
    side=lambda size, stride, kernel: (size - 1) // stride + 1,
    seen=lambda inputs, groups: inputs // groups,
    made=lambda outputs, groups: outputs,
    power=2,
    axes=2,
):
    """A wrong answer: the product with one factor replaced."""
    return lambda inputs, outputs, kernel, size, stride, groups: (
        side(size, stride, kernel) ** axes * made(outputs, groups) * seen(inputs, groups) * kernel**power
    )


def _convolution_case(generator: torch.Generator) -> Case:
    groups = random_whole(generator, 1, 3)
    inputs, outputs = groups * random_whole(generator, 2, 4), groups * random_whole(generator, 2, 4)
    kernel, size = 2 * random_whole(generator, 1, 2) + 1, random_whole(generator, 6, 11)
    return Case(inputs, outputs, kernel, size, stride=random_whole(generator, 1, 3), groups=groups)


MACS_OF_CONVOLUTION = Exercise(
    id="7.1",
    title="What a convolution costs",
    reference=macs_of_convolution,
    cases=(
        Case(1, 1, 3, 4, stride=1, groups=1),
        Case(3, 8, 3, 8, stride=1, groups=1),
        Case(3, 8, 3, 8, stride=2, groups=1),
        Case(2, 4, 3, 5, stride=2, groups=1),
        Case(4, 4, 3, 8, stride=1, groups=4),
        Case(4, 8, 5, 7, stride=2, groups=2),
        *random_cases(8, seed=71, make=_convolution_case),
    ),
    mistakes=(
        Mistake(
            _convolution(side=lambda size, stride, kernel: size),
            "Those are the places of the input. The kernel is computed once "
            "for each place of the *output*, and a stride makes that smaller.",
        ),
        Mistake(
            _convolution(seen=lambda inputs, groups: inputs),
            "With groups, an output channel sees only inputs // groups of the input channels.",
        ),
        Mistake(
            _convolution(power=1), "The kernel is a square: kernel * kernel products for each channel that it sees."
        ),
        Mistake(
            _convolution(made=lambda outputs, groups: outputs / groups),
            "The groups are taken off twice. They limit what each output channel sees, but all output channels are "
            "still computed.",
        ),
        Mistake(
            _convolution(side=lambda size, stride, kernel: size // stride),
            "That rounds down. With half a kernel of padding the first place is the first pixel, then every stride-th: "
            "5 pixels at stride 2 are 3 places.",
        ),
        Mistake(
            _convolution(side=lambda size, stride, kernel: (size - kernel) // stride + 1),
            "That leaves out the padding. With half a kernel on either side, stride 1 keeps the size.",
        ),
        Mistake(_convolution(axes=1), "That is one row of places. The image is a square: side * side."),
        Mistake(
            lambda inputs, outputs, kernel, size, stride, groups: (
                2 * macs_of_convolution(inputs, outputs, kernel, size, stride, groups)
            ),
            "Those are FLOPs. A multiplication and the addition behind it are one MAC.",
        ),
        Mistake(
            _convolution(axes=0), "Those are the weights. Each of them is used once for every place of the output."
        ),
    ),
    also_correct=(_macs_by_running, _macs_by_visiting),
    forbidden=(cost.convolution_macs, cost.convolution_cost, costs.layer_costs),
)

# 7.2 ------------------------------------------------------------------------------------------------


def macs_of_pair(inputs: int, outputs: int, kernel: int, places: int, multiplier: int) -> int:
    """MACs of a depthwise convolution with `multiplier` kernels a channel, and of the 1x1 convolution behind it."""
    middle = inputs * multiplier
    return places * (middle * kernel**2 + middle * outputs)


def _pair_by_weights(inputs, outputs, kernel, places, multiplier):
    depthwise = nn.Conv2d(inputs, inputs * multiplier, kernel, groups=inputs, bias=False)
    pointwise = nn.Conv2d(inputs * multiplier, outputs, 1, bias=False)
    return sum(places * layer.weight.numel() for layer in (depthwise, pointwise))


def _pair_in_numpy(inputs, outputs, kernel, places, multiplier):
    return np.prod([places, inputs, multiplier, kernel * kernel + outputs], dtype=np.int64)


def _pair(spatial, mixing):
    """A wrong answer: places times what `spatial` and `mixing` take for the two parts, of (M, N, K, r)."""
    return lambda inputs, outputs, kernel, places, multiplier: (
        places * (spatial(inputs, outputs, kernel, multiplier) + mixing(inputs, outputs, kernel, multiplier))
    )


def _spatial(m, n, k, r):
    return m * r * k * k


def _mixing(m, n, k, r):
    return m * r * n


def _nothing(m, n, k, r):
    return 0


def _pair_case(generator: torch.Generator) -> Case:
    inputs, outputs = random_whole(generator, 2, 9), random_whole(generator, 2, 20)
    kernel, places = random_whole(generator, 2, 5), random_whole(generator, 4, 100)
    return Case(inputs, outputs, kernel, places, multiplier=random_whole(generator, 1, 4))


MACS_OF_PAIR = Exercise(
    id="7.2",
    title="What the pair costs",
    reference=macs_of_pair,
    cases=(
        Case(1, 4, 3, 1, multiplier=1),
        Case(3, 8, 3, 64, multiplier=1),
        Case(3, 8, 3, 64, multiplier=2),
        *random_cases(8, seed=72, make=_pair_case),
    ),
    mistakes=(
        Mistake(
            _pair(_spatial, _nothing),
            "That is the depthwise part alone. It leaves the channels apart: the 1x1 convolution that mixes them is "
            "the other part, and often the dearer one.",
        ),
        Mistake(
            _pair(_nothing, _mixing),
            "That is the pointwise part alone. Before it each channel goes through its own kernels.",
        ),
        Mistake(
            _pair(_spatial, lambda m, n, k, r: m * n),
            "The depthwise part gives inputs * multiplier channels, and the pointwise part has to read all of them.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * k * k, _mixing),
            "With a multiplier each channel goes through that many kernels, and each of them has its products.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * k * k, lambda m, n, k, r: m * n),
            "The multiplier is forgotten: it multiplies the channels between the two parts.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * r * k, _mixing),
            "The kernel is a square: kernel * kernel products for each channel.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * m * r * k * k, _mixing),
            "That first part looks at all channels. A depthwise kernel sees one: inputs // groups is 1.",
        ),
        Mistake(
            _pair(_spatial, lambda m, n, k, r: m * r * n * k * k),
            "That second part has a window. A pointwise kernel is 1x1: one product for each channel that it reads.",
        ),
        Mistake(
            _pair(_nothing, lambda m, n, k, r: m * r * k * k * n),
            "Each output reads what the depthwise part has made ready. The kernels are not done again for every "
            "output: add the two parts, do not multiply them.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: 2 * m * r * k * k, lambda m, n, k, r: 2 * m * r * n),
            "Those are FLOPs: a MAC is two of them.",
        ),
    ),
    also_correct=(_pair_by_weights, _pair_in_numpy),
    forbidden=(cost.depthwise_separable_macs, cost.depthwise_separable_cost, cost.convolution_macs, costs.layer_costs),
)
