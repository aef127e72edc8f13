"""The nets of the study that are not in the zoo: plain convolutions in a row, of any widths."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from mini_lib.require import whole

# The first convolution sees one channel, so its weight is already a thin matrix: 16 x 9.
INNER_LAYERS = ("conv2", "conv3", "conv4")
# As many MACs as `zoo.depthwise_cnn`, to within a quarter of a percent.
NARROW = (8, 16, 24, 38)
WIDE = (16, 64, 128, 128)


def plain_cnn(widths: tuple[int, int, int, int], seed: int = 0) -> nn.Sequential:
    """Return an untrained CNN like `zoo.small_cnn`, but with these numbers of channels; its own are (16, 32, 64, 64).

    Four 3x3 convolutions with batch norm and ReLU, strides 1, 2, 1 and 2, then a mean over all places and one linear
    layer. Takes images [N, 1, 28, 28], gives logits [N, 10]. `seed` decides the initial weights; the global random
    state is left as it was found.

    Raises:
        TypeError, ValueError: a width is not a whole number of at least 1, or there are not four.

    By hand: 9 * (1*2 + 2*2 + 2*3 + 3*3) weights, batch norms 2 * (2 + 2 + 3 + 3), linear 3*10 + 10:

    >>> sum(weight.numel() for weight in plain_cnn((2, 2, 3, 3)).parameters())
    249
    """
    if len(widths) != 4:
        raise ValueError(f"widths must be four numbers of channels, got {widths}; small_cnn has (16, 32, 64, 64)")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = 1
        for number, (outputs, stride) in enumerate(zip(widths, (1, 2, 1, 2)), start=1):
            outputs = whole("a width", outputs, low=1, fix="small_cnn has (16, 32, 64, 64)")
            conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            layers |= {f"conv{number}": conv, f"conv{number}_bn": nn.BatchNorm2d(outputs)}
            layers[f"conv{number}_relu"] = nn.ReLU()
            inputs = outputs
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(inputs, 10)}
    return nn.Sequential(layers)
