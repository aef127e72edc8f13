"""Lesson 07, exercise 7.1: what a convolution costs."""

import numpy as np
import torch
from torch import nn

from mini_lib import costs
from mini_lib.factorize import cost
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 7.1 ------------------------------------------------------------------------------------------------


def macs_of_convolution(inputs: int, outputs: int, kernel: int, size: int, stride: int, groups: int) -> int:
    """MACs of a convolution on one square image of `size` pixels per side, with half of the odd kernel as padding."""
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


_SIDES = (  # what is taken for the side of the output
    lambda size, stride, kernel: size / stride,
    lambda size, stride, kernel: round(size / stride),
    lambda size, stride, kernel: size // stride + 1,
    lambda size, stride, kernel: (size - 1) // stride,
    lambda size, stride, kernel: (size - 1) / stride + 1,
    lambda size, stride, kernel: size * stride,
    lambda size, stride, kernel: (size - kernel) // stride,
    lambda size, stride, kernel: (size - kernel + 1) // stride,
    lambda size, stride, kernel: size - kernel + 1,
    lambda size, stride, kernel: (size + kernel // 2 * 2 - kernel) // stride,
    lambda size, stride, kernel: (size + 2 * kernel - kernel) // stride + 1,
)
_LISTED_SIDES = (  # and those that a mistake names where nothing else is wrong
    lambda size, stride, kernel: size,
    lambda size, stride, kernel: size // stride,
    lambda size, stride, kernel: (size - kernel) // stride + 1,
    lambda size, stride, kernel: (size + kernel // 2 - kernel) // stride + 1,
)


def _with_places(places, inputs, outputs, kernel, groups):
    return places * outputs * (inputs // groups) * kernel**2


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
            "The groups are divided out twice. They limit what each output channel sees, but all output channels are "
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
            "Those are FLOPs. A multiplication and the addition after it are one MAC.",
        ),
        Mistake(
            _convolution(axes=0), "Those are the weights. Each of them is used once for every place of the output."
        ),
    ),
    symptoms=(
        variants(
            "Count the places on one side of the output: with half a kernel of padding the first lies on the first "
            "pixel, and there is one on every stride-th pixel after it.",
            *(_convolution(side=side) for side in _SIDES),
        ),
        variants(
            "The stride makes both sides of the output shorter, the height and the width.",
            lambda inputs, outputs, kernel, size, stride, groups: _with_places(
                size * ((size - 1) // stride + 1), inputs, outputs, kernel, groups
            ),
            lambda inputs, outputs, kernel, size, stride, groups: _with_places(
                size * (size // stride), inputs, outputs, kernel, groups
            ),
            lambda inputs, outputs, kernel, size, stride, groups: _with_places(
                size * size // stride, inputs, outputs, kernel, groups
            ),
            lambda inputs, outputs, kernel, size, stride, groups: _with_places(
                size * size / stride, inputs, outputs, kernel, groups
            ),
            lambda inputs, outputs, kernel, size, stride, groups: _with_places(
                size * size // stride, inputs * groups, outputs, kernel, groups
            ),
        ),
        variants(
            "With groups, each output channel sees inputs // groups of the input channels, and all output channels "
            "are computed. The number of places is not right either.",
            *(_convolution(side=side, seen=lambda i, g: i) for side in (*_SIDES, *_LISTED_SIDES)),
        ),
        variants(
            "Each output channel sees inputs // groups of the input channels: divide by the groups once.",
            _convolution(seen=lambda i, g: i * g),
            _convolution(seen=lambda i, g: g),
        ),
        variants(
            "The kernel is a square, with kernel * kernel weights for each channel that it sees.",
            *(_convolution(side=side, power=1) for side in (*_SIDES, *_LISTED_SIDES)),
            _convolution(power=0),
            _convolution(power=3),
            _convolution(power=1, seen=lambda i, g: i),
        ),
        variants(
            "At each place, each of the `outputs` channels takes kernel * kernel products from each channel that it "
            "sees.",
            _convolution(seen=lambda i, g: 1),
            _convolution(made=lambda o, g: 1),
            _convolution(seen=lambda i, g: 1, made=lambda o, g: 1),
            lambda inputs, outputs, kernel, size, stride, groups: ((size - 1) // stride + 1) ** 2 * inputs * kernel**2,
            lambda inputs, outputs, kernel, size, stride, groups: (
                ((size - 1) // stride + 1) ** 2 * (inputs + outputs) * kernel**2
            ),
        ),
        variants(
            "A bias is an addition, not a multiplication: leave it out.",
            lambda inputs, outputs, kernel, size, stride, groups: (
                ((size - 1) // stride + 1) ** 2 * outputs * (inputs // groups * kernel**2 + 1)
            ),
            lambda inputs, outputs, kernel, size, stride, groups: (
                macs_of_convolution(inputs, outputs, kernel, size, stride, groups) + outputs
            ),
        ),
    ),
    also_correct=(_macs_by_running, _macs_by_visiting),
    forbidden=(cost.convolution_macs, cost.convolution_cost, costs.layer_costs),
)
