"""The net of a child: small enough to be trained a hundred times, and quick to learn enough to compare policies."""

import torch
from torch import nn

from mini_lib.require import one_of, whole


def child_cnn(seed: int = 0, channels: int = 1) -> nn.Sequential:
    """Return an untrained net of three 3x3 convolutions (8, 16 and 32 channels) of stride 2 and one linear layer.

    Each convolution has batch norm and ReLU. Takes images [N, channels, 28, 28] or 32 x 32, gives logits [N, 10]. With
    stride 2 from the first layer on, a step takes about a sixth of the time of a net whose first layer keeps the 28 x
    28 places. `seed` decides the initial weights; the global random state is left as it was found.

    By hand: convolutions 9 * (1*8 + 8*16 + 16*32) = 5,832, batch norms 2 * (8 + 16 + 32) = 112, linear 32*4*4 * 10 + 10
    = 5,130:

    >>> sum(weight.numel() for weight in child_cnn().parameters())
    11074
    """
    seed = whole("seed", seed, fix="any whole number will do")
    one_of("channels", whole("channels", channels, fix="1 is grey, 3 is colour"), (1, 3), fix="1 is grey, 3 is colour")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, 8), (8, 16), (16, 32)):
            conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 4 * 4, 10))
