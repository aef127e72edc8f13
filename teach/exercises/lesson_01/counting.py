"""Lesson 01, exercises 1.1 and 1.2: parameters and MACs."""

import math

import numpy as np
import torch
from torch import nn

from mini_lib import costs
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 1.1 ------------------------------------------------------------------------------------------------


def conv_parameters(inputs: int, outputs: int, kernel: int, groups: int = 1, bias: bool = True) -> int:
    """The parameters of a convolution with a square kernel."""
    return outputs * (inputs // groups) * kernel**2 + (outputs if bias else 0)


def _conv_parameters_by_building(inputs: int, outputs: int, kernel: int, groups: int = 1, bias: bool = True) -> int:
    layer = nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=bias)
    return sum(parameter.numel() for parameter in layer.parameters())


def _parameters(pairs=lambda i, o, g: o * (i // g), numbers=lambda k: k**2, biases=lambda i, o, g: o):
    """A count with slips: of the pairs of channels, the numbers in a kernel, the biases."""

    def wrong(inputs, outputs, kernel, groups=1, bias=True):
        return pairs(inputs, outputs, groups) * numbers(kernel) + (biases(inputs, outputs, groups) if bias else 0)

    return wrong


def _conv_case(generator: torch.Generator) -> Case:
    groups = random_whole(generator, 1, 3)
    return Case(
        groups * random_whole(generator, 1, 4),
        groups * random_whole(generator, 1, 4),
        random_whole(generator, 2, 5),
        groups=groups,
        bias=bool(random_whole(generator, 0, 1)),
    )


CONV_PARAMETERS = Exercise(
    id="1.1",
    title="Parameters of a convolution",
    reference=conv_parameters,
    cases=(
        Case(1, 1, 3, bias=False),
        Case(1, 2, 3),
        Case(3, 4, 1),
        Case(4, 4, 3, groups=4),
        *random_cases(8, seed=11, make=_conv_case),
    ),
    mistakes=(
        Mistake(
            _parameters(biases=lambda i, o, g: 0),
            "There is also a bias, unless it is turned off: one number per output channel.",
        ),
        Mistake(
            _parameters(pairs=lambda i, o, g: o * i),
            "With groups, each output channel sees only inputs // groups of the input channels.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, groups=1, bias=True: outputs * ((inputs // groups) * kernel**2 + 1),
            "With bias=False there is no bias to count.",
        ),
    ),
    symptoms=(
        variants(
            "The kernel is a square: kernel * kernel numbers.",
            _parameters(numbers=lambda k: k),
            _parameters(numbers=lambda k: 2 * k),
            _parameters(pairs=lambda i, o, g: o * i, numbers=lambda k: k),
            _parameters(biases=lambda i, o, g: 0, numbers=lambda k: k),
        ),
        variants(
            "With groups, an output channel has no weights for the input channels of other bundles: divide `inputs` by "
            "`groups`.",
            _parameters(pairs=lambda i, o, g: o * i, biases=lambda i, o, g: 0),
            _parameters(pairs=lambda i, o, g: o * i, biases=lambda i, o, g: 1),
            _parameters(pairs=lambda i, o, g: o * i * g),
            lambda inputs, outputs, kernel, groups=1, bias=True: outputs * (inputs * kernel**2 + 1),
        ),
        variants(
            "Groups split the input channels that an output channel reads. The number of output channels stays the "
            "same: divide only `inputs`.",
            _parameters(pairs=lambda i, o, g: (o // g) * (i // g)),
            _parameters(pairs=lambda i, o, g: (o // g) * (i // g), biases=lambda i, o, g: o // g),
            _parameters(biases=lambda i, o, g: o // g),
        ),
        variants(
            "The bias is one number per output channel, added to its sum: count it once for each output channel.",
            _parameters(biases=lambda i, o, g: i),
            _parameters(biases=lambda i, o, g: 1),
            _parameters(biases=lambda i, o, g: o * (i // g)),
            lambda inputs, outputs, kernel, groups=1, bias=True: (
                outputs * (inputs // groups) * kernel**2 * (outputs if bias else 1)
            ),
        ),
        variants(
            "There is one kernel for each *pair* of an output channel and an input channel that it reads.",
            _parameters(pairs=lambda i, o, g: o),
            _parameters(pairs=lambda i, o, g: i // g),
            _parameters(pairs=lambda i, o, g: i // g + o),
            _parameters(pairs=lambda i, o, g: i + o),
        ),
    ),
    also_correct=(
        _conv_parameters_by_building,
        lambda inputs, outputs, kernel, groups=1, bias=True: np.int64(
            groups * (inputs / groups) * (outputs / groups) * kernel * kernel + outputs * bias
        ),
    ),
)

# 1.2 ------------------------------------------------------------------------------------------------


def _side(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def conv_macs(inputs: int, outputs: int, kernel: int, size: int, stride: int = 1, padding: int = 0) -> int:
    """The multiply-accumulates of a convolution on one square picture."""
    return outputs * inputs * kernel**2 * _side(size, kernel, stride, padding) ** 2


def _macs(positions=lambda n, k, s, p: _side(n, k, s, p) ** 2, channels=lambda i, o: i * o, numbers=lambda k: k**2):
    """A count with slips: of the positions, the pairs of channels, the numbers in a kernel."""

    def wrong(inputs, outputs, kernel, size, stride=1, padding=0):
        return channels(inputs, outputs) * numbers(kernel) * positions(size, kernel, stride, padding)

    return wrong


def _conv_macs_by_sliding(inputs: int, outputs: int, kernel: int, size: int, stride: int = 1, padding: int = 0) -> int:
    macs = 0
    for _row in range(0, size + 2 * padding - kernel + 1, stride):
        for _column in range(0, size + 2 * padding - kernel + 1, stride):
            macs += inputs * outputs * kernel * kernel
    return macs


def _picture_case(generator: torch.Generator) -> Case:
    kernel = random_whole(generator, 2, 4)
    return Case(
        random_whole(generator, 2, 4),
        random_whole(generator, 2, 4),
        kernel,
        random_whole(generator, 6, 12),
        stride=random_whole(generator, 1, 3),
        padding=random_whole(generator, 0, 2),
    )


CONV_MACS = Exercise(
    id="1.2",
    title="MACs of a convolution",
    reference=conv_macs,
    cases=(
        Case(1, 1, 3, 3),
        Case(1, 1, 3, 4),
        Case(1, 2, 3, 4, padding=1),
        Case(1, 1, 2, 5, stride=2),
        *random_cases(8, seed=12, make=_picture_case),
    ),
    mistakes=(
        Mistake(
            _macs(channels=lambda i, o: 2 * i * o), "Those are FLOPs. A multiply and the add after it are one MAC."
        ),
        Mistake(_macs(positions=_side), "The output has rows and columns: square its side."),
        Mistake(_macs(positions=lambda *a: 1), "Those are the weights. Each is used once at every output position."),
    ),
    symptoms=(
        variants(
            "The kernel is applied once at each position of the *output*, whose size may differ from that of the "
            "input.",
            _macs(lambda n, k, s, p: n**2),
            _macs(lambda n, k, s, p: (n // s) ** 2),
            _macs(lambda n, k, s, p: math.ceil(n / s) ** 2),
            _macs(lambda n, k, s, p: (n // s + 1) ** 2),
            _macs(lambda n, k, s, p: (n + 2 * p) ** 2),
        ),
        variants(
            "Padding makes the picture larger, on both sides: size + 2 * padding.",
            _macs(lambda n, k, s, p: _side(n, k, s, 0) ** 2),
            _macs(lambda n, k, s, p: _side(n + p, k, s, 0) ** 2),
            _macs(lambda n, k, s, p: _side(n, k, s, -p) ** 2),
        ),
        variants(
            "A larger stride visits fewer positions, in both directions: divide by the stride, add 1, then square.",
            _macs(lambda n, k, s, p: _side(n, k, 1, p) ** 2),
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                inputs * outputs * kernel**2 * _side(size, kernel, 1, padding) ** 2 // stride
            ),
        ),
        variants(
            "One position is missing: the kernel starts at 0, so there are (...) // stride + 1 of them.",
            _macs(lambda n, k, s, p: ((n + 2 * p - k) // s) ** 2),
            _macs(lambda n, k, s, p: ((n + 2 * p - k + 1) // s) ** 2),
            _macs(lambda n, k, s, p: (n + 2 * p - k) ** 2),
            _macs(lambda n, k, s, p: ((n - k) // s) ** 2),
        ),
        variants(
            "Only whole steps fit into the picture: the division rounds *down*, before 1 is added.",
            _macs(lambda n, k, s, p: (math.ceil((n + 2 * p - k) / s) + 1) ** 2),
            _macs(lambda n, k, s, p: ((n + 2 * p - k) / s + 1) ** 2),
            _macs(lambda n, k, s, p: (round((n + 2 * p - k) / s) + 1) ** 2),
            _macs(lambda n, k, s, p: int(((n + 2 * p - k) / s + 1) ** 2)),
        ),
        variants(
            "Each output channel sums over all input channels: multiply by both `inputs` and `outputs`.",
            _macs(channels=lambda i, o: o),
            _macs(channels=lambda i, o: i),
            _macs(channels=lambda i, o: 1),
            _macs(channels=lambda i, o: i + o),
        ),
        variants(
            "The kernel is a square: kernel * kernel numbers at each position.",
            _macs(numbers=lambda k: k),
            _macs(numbers=lambda k: 2 * k),
            _macs(numbers=lambda k: 1),
        ),
        variants(
            "A bias is added and multiplies nothing: it is not a MAC.",
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                outputs * (inputs * kernel**2 + 1) * _side(size, kernel, stride, padding) ** 2
            ),
        ),
        variants(
            "Two factors are wrong: a multiply and the add after it are one MAC, and the output has rows and columns.",
            _macs(positions=_side, channels=lambda i, o: 2 * i * o),
        ),
    ),
    also_correct=(_conv_macs_by_sliding,),
    forbidden=(costs.macs, costs.layer_costs),
)
