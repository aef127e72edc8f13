"""Lesson 01, exercises 1.1 to 1.3: parameters, MACs and bytes."""

import numpy as np
import torch
from torch import nn

from mini_lib import costs
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 1.1 ------------------------------------------------------------------------------------------------


def conv_parameters(inputs: int, outputs: int, kernel: int, groups: int = 1, bias: bool = True) -> int:
    """The parameters of a convolution with a square kernel."""
    return outputs * (inputs // groups) * kernel**2 + (outputs if bias else 0)


def _conv_parameters_by_building(inputs: int, outputs: int, kernel: int, groups: int = 1, bias: bool = True) -> int:
    layer = nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=bias)
    return sum(parameter.numel() for parameter in layer.parameters())


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
            lambda inputs, outputs, kernel, groups=1, bias=True: outputs * (inputs // groups) * kernel**2,
            "There is also a bias, unless it is turned off: one number for each output channel.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, groups=1, bias=True: (
                outputs * (inputs // groups) * kernel + (outputs if bias else 0)
            ),
            "The kernel is a square: kernel * kernel numbers.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, groups=1, bias=True: (
                outputs * inputs * kernel**2 + (outputs if bias else 0)
            ),
            "With groups, each output channel sees only inputs // groups of the input channels.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, groups=1, bias=True: (
                outputs * (inputs // groups) * kernel**2 + (inputs if bias else 0)
            ),
            "The bias is added to the output: one number for each output channel, not for each input channel.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, groups=1, bias=True: outputs * ((inputs // groups) * kernel**2 + 1),
            "With bias=False there is no bias to count.",
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
            lambda inputs, outputs, kernel, size, stride=1, padding=0: outputs * inputs * kernel**2 * size**2,
            "The kernel is applied once for each position of the *output*, which has another size than the input.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                2 * outputs * inputs * kernel**2 * _side(size, kernel, stride, padding) ** 2
            ),
            "Those are FLOPs. A multiply and the add behind it are one MAC.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                outputs * inputs * kernel**2 * _side(size, kernel, stride, 0) ** 2
            ),
            "Padding makes the picture larger, on both sides: size + 2 * padding.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                outputs * inputs * kernel**2 * ((size + 2 * padding - kernel) // stride) ** 2
            ),
            "One position is missing: the kernel starts at 0, so there are (...) // stride + 1 of them.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                outputs * inputs * kernel**2 * _side(size, kernel, stride, padding)
            ),
            "The output has rows and columns: square its side.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride=1, padding=0: (
                outputs * kernel**2 * _side(size, kernel, stride, padding) ** 2
            ),
            "Each output number sums over all input channels.",
        ),
    ),
    also_correct=(_conv_macs_by_sliding,),
    forbidden=(costs.macs, costs.layer_costs),
)

# 1.3 ------------------------------------------------------------------------------------------------


def _networks() -> tuple[Case, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        return (
            Case(nn.Linear(2, 3)).called("nn.Linear(2, 3)"),
            Case(nn.BatchNorm2d(4)).called("nn.BatchNorm2d(4)"),
            Case(nn.Linear(8, 8).half()).called("nn.Linear(8, 8).half()"),
            Case(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).bfloat16())).called(
                "nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).bfloat16())"
            ),
        )


STORED_BYTES = Exercise(
    id="1.3",
    title="Bytes of a model",
    function="stored_bytes",
    reference=costs.stored_bytes,
    cases=_networks(),
    mistakes=(
        Mistake(
            lambda model: sum(p.numel() * p.element_size() for p in model.parameters()),
            "Batch norm also stores its running mean and variance and a "
            "counter. They are buffers, not parameters: state_dict() has both.",
        ),
        Mistake(
            lambda model: sum(t.numel() for t in model.state_dict().values()),
            "That counts numbers. How many bytes one of them takes says element_size().",
        ),
        Mistake(
            lambda model: 4 * sum(p.numel() for p in model.parameters()),
            "Not every number takes 4 bytes, and parameters are not all "
            "that is stored: look at state_dict() and element_size().",
        ),
        Mistake(
            lambda model: 4 * sum(t.numel() for t in model.state_dict().values()),
            "Not every number takes 4 bytes: half precision takes 2, and batch norm's counter takes 8.",
        ),
        Mistake(
            lambda model: 8 * sum(t.numel() * t.element_size() for t in model.state_dict().values()),
            "Those are bits. element_size() is in bytes already.",
        ),
    ),
    also_correct=(
        lambda model: sum(t.nbytes for t in [*model.parameters(), *model.buffers()]),
        lambda model: float(np.sum([t.numel() * t.element_size() for t in model.state_dict().values()])),
    ),
)
