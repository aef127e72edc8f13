"""Convolutions taken apart mode by mode: Tucker-2 and CP.

A convolution's weight is a tensor [N, C, height, width]. Matrices along its modes N and C are 1 x 1 convolutions, which
mix channels, before and after a part that is smaller than the convolution was.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from mini_lib.factorize.low_rank.canonical import cp_als
from mini_lib.factorize.low_rank.factorized import Factorized
from mini_lib.factorize.low_rank.parts import convolution, need_convolution
from mini_lib.factorize.low_rank.tucker import hooi, hosvd
from mini_lib.require import one_of


def tucker2(conv: nn.Conv2d, rank_in: int, rank_out: int, method: Literal["hosvd", "hooi"] = "hooi") -> Factorized:
    """Factorize a convolution: 1 x 1 to `rank_in` channels, the kernel from these to `rank_out`, 1 x 1 to all N.

    The N * C * K^2 weights become C * r_in + r_in * r_out * K^2 + r_out * N. The first layer runs at the places of
    the input, the others at those of the output.

    Args:
        conv: nn.Conv2d with a weight [N, C, height, width].
        rank_in: at most min(C, N * height * width).
        rank_out: at most min(N, C * height * width).
        method: "hosvd" is one singular value decomposition for each of the two modes; "hooi" improves on that.

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped, a rank is out of its range, or the method is unknown.

    >>> tucker2(nn.Conv2d(8, 16, 3, stride=2, padding=1), rank_in=4, rank_out=6).layer
    Sequential(
      (0): Conv2d(8, 4, kernel_size=(1, 1), stride=(1, 1), bias=False)
      (1): Conv2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)
      (2): Conv2d(6, 16, kernel_size=(1, 1), stride=(1, 1))
    )

    Source: Y.-D. Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile
    Applications", 2016, section 3.1.
    """
    need_convolution(conv)
    one_of("method", method, ("hosvd", "hooi"), fix="'hooi' has the smaller error")
    found = (hooi if method == "hooi" else hosvd)(conv.weight, {0: rank_out, 1: rank_in})
    chain = nn.Sequential(
        convolution(found.factors[1].T[:, :, None, None], conv),
        convolution(found.core, conv, axes=(0, 1)),
        convolution(found.factors[0][:, :, None, None], conv, bias=conv.bias),
    )
    return Factorized(chain.train(conv.training), conv, (rank_in, rank_out), found.error)


def cp(conv: nn.Conv2d, rank: int, *, starts: int = 3, seed: int = 0, sweeps: int = 200) -> Factorized:
    """Factorize a convolution into 1 x 1 to `rank` channels, K x 1 and 1 x K on each channel alone, and 1 x 1 to all N.

    The N * C * K^2 weights become r * (C + 2 * K + N). The first layer runs at the places of the input, the last at
    those of the output.

    Args:
        conv: nn.Conv2d with a weight [N, C, height, width].
        rank: at most the product of the smallest three of these four sizes.
        starts, seed, sweeps: of the search; see `cp_als`.

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped, a side of its kernel is 1, or the rank is out of its range.

    >>> cp(nn.Conv2d(8, 16, 3, stride=2, padding=1), rank=4).layer
    Sequential(
      (0): Conv2d(8, 4, kernel_size=(1, 1), stride=(1, 1), bias=False)
      (1): Conv2d(4, 4, kernel_size=(3, 1), stride=(2, 1), padding=(1, 0), groups=4, bias=False)
      (2): Conv2d(4, 4, kernel_size=(1, 3), stride=(1, 2), padding=(0, 1), groups=4, bias=False)
      (3): Conv2d(4, 16, kernel_size=(1, 1), stride=(1, 1))
    )

    Source: V. Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", 2015,
    section 3.
    """
    need_convolution(conv, two_sides=True)
    found = cp_als(conv.weight, rank, starts=starts, seed=seed, sweeps=sweeps)
    scale = found.weights**0.25  # spread over the four factors, so that none is tiny or huge
    outputs, inputs, down, across = (factor * scale for factor in found.factors)
    chain = nn.Sequential(
        convolution(inputs.T[:, :, None, None], conv),
        convolution(down.T[:, None, :, None], conv, axes=(0,), groups=rank),
        convolution(across.T[:, None, None, :], conv, axes=(1,), groups=rank),
        convolution(outputs[:, :, None, None], conv, bias=conv.bias),
    )
    return Factorized(chain.train(conv.training), conv, (rank,), found.error)
