"""Singular value decomposition: a weight as the product of two thin matrices, with a layer for each.

    W [m, n]  ~  (U sqrt(S)) [m, r]  (sqrt(S) V^T) [r, n]

No other pair of that inner size comes closer, and the error follows at once from the singular values that were left
out. A convolution's weight has four modes, and becomes a matrix in more than one way. The choice of modes for the rows
decides what the two layers are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.factorize.low_rank.factorized import Factorized
from mini_lib.factorize.low_rank.parts import convolution, linear, need_convolution, need_linear
from mini_lib.factorize.low_rank.tensors import check_rank, double, relative_norm
from mini_lib.tensor_checks import need_tensor


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Return the best factors [m, rank] and [rank, n] of a matrix, and their relative Frobenius error, in float64.

    Each factor gets the root of the singular values. Both are then of similar size, which suits rounding and training.

    Raises:
        TypeError: `matrix` is not a tensor of real numbers, or the rank not a whole number.
        ValueError: it does not have 2 axes, the rank is below 1 or above min(m, n), or a value is not finite.

    >>> left, right, error = truncated_svd(torch.diag(torch.tensor([4.0, 3.0])), rank=1)
    >>> (left @ right).abs(), round(error, 12)                       # 3 of sqrt(16 + 9) = 5 is lost
    (tensor([[4., 0.],
            [0., 0.]], dtype=torch.float64), 0.6)

    Source: C. Eckart, G. Young, "The approximation of one matrix by another of lower rank", 1936.
    """
    values = double(need_tensor("matrix", matrix, dims=2, floating=False, fix="use weight.flatten(1)"))
    rows, columns = values.shape
    rank = check_rank(rank, min(rows, columns), f"a {rows} x {columns} weight")
    left, singular, right = torch.linalg.svd(values, full_matrices=False)
    root = singular[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank], relative_norm(singular[rank:].norm(), values)


def rank_errors(matrix: Tensor) -> Tensor:
    """Return the relative Frobenius error of the best approximation of every rank, from 0 to full: [min(m, n) + 1].

    >>> rank_errors(torch.diag(torch.tensor([4.0, 3.0])))
    tensor([1.0000, 0.6000, 0.0000], dtype=torch.float64)

    Source: Eckart and Young 1936.
    """
    values = double(need_tensor("matrix", matrix, dims=2, floating=False, fix="use weight.flatten(1)"))
    return tail_errors(torch.linalg.svdvals(values).square())


def tail_energy(energy: Tensor) -> Tensor:
    """Return the sum that is lost when the first 0, 1, ..., n of these squares [n], largest first, are kept: [n + 1].

    >>> tail_energy(torch.tensor([16.0, 9.0]))
    tensor([25.,  9.,  0.])
    """
    energy = need_tensor("energy", energy, dims=1, finite=True, fix="pass squares of singular values")
    # summed from the smallest up, so that the last ones keep their digits
    return torch.cat([energy.flip(0).cumsum(0).flip(0), energy.new_zeros(1)])


def tail_errors(energy: Tensor) -> Tensor:
    """Return the roots of `tail_energy`, relative to the root of the sum of all squares; if that is 0, nothing is lost.

    >>> tail_errors(torch.tensor([16.0, 9.0]))
    tensor([1.0000, 0.6000, 0.0000])
    """
    lost = tail_energy(energy)
    return (lost / lost[0]).sqrt() if lost[0] > 0 else lost


def svd_linear(layer: nn.Linear, rank: int) -> Factorized:
    """Factorize a linear layer into two: from the inputs to `rank` features, and from these to the outputs.

    The m x n weights become r * (m + n), which is fewer where r < m * n / (m + n).

    Raises:
        TypeError: `layer` is not an nn.Linear.
        ValueError: the rank is below 1 or above min(m, n).

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[4.0, 0.0], [0.0, 3.0]]))
    >>> found = svd_linear(layer, rank=1)
    >>> round(found.predicted_error, 12), found.saves                # 1 * (2 + 2) weights are not fewer than 2 * 2
    (0.6, False)

    Source: J. Xue, J. Li, Y. Gong, "Restructuring of Deep Neural Network Acoustic Models with Singular Value
    Decomposition", 2013, section 2.
    """
    left, right, error = truncated_svd(need_linear(layer).weight, rank)
    pair = nn.Sequential(linear(right, layer), linear(left, layer, bias=layer.bias)).train(layer.training)
    return Factorized(pair, layer, (int(rank),), error)


def channel_matrix(conv: nn.Conv2d) -> Tensor:
    """Return a convolution's weight as the matrix that `channel_svd` factorizes: [N, C * height * width].

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped.

    >>> channel_matrix(nn.Conv2d(3, 8, (3, 5))).shape
    torch.Size([8, 45])
    """
    return need_convolution(conv).weight.detach().flatten(1)


def channel_svd(conv: nn.Conv2d, rank: int) -> Factorized:
    """Factorize a convolution into one of the same kernel to `rank` channels, and a 1 x 1 from these to all N.

    The filters become mixtures of `rank` filters. The N * C * K^2 weights become r * (C * K^2 + N). MACs fall in the
    same proportion, whatever the stride, since both layers run at the places of the output.

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped, or the rank is below 1 or above min(N, C * height * width).

    >>> channel_svd(nn.Conv2d(8, 16, 3, stride=2, padding=1), rank=4).layer
    Sequential(
      (0): Conv2d(8, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)
      (1): Conv2d(4, 16, kernel_size=(1, 1), stride=(1, 1))
    )

    Source: X. Zhang, J. Zou, K. He, J. Sun, "Accelerating Very Deep Convolutional Networks for Classification and
    Detection", 2015, section 3.1 (there fitted to the responses).
    """
    left, right, error = truncated_svd(channel_matrix(conv), rank)
    few = convolution(right.reshape(-1, *conv.weight.shape[1:]), conv, axes=(0, 1))
    mix = convolution(left[:, :, None, None], conv, bias=conv.bias)
    return Factorized(nn.Sequential(few, mix).train(conv.training), conv, (int(rank),), error)


def spatial_matrix(conv: nn.Conv2d) -> Tensor:
    """Return a convolution's weight as the matrix that `spatial_svd` factorizes: [C * height, N * width].

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped, or a side of its kernel is 1.

    >>> spatial_matrix(nn.Conv2d(3, 8, (3, 5))).shape
    torch.Size([9, 40])
    """
    weight = need_convolution(conv, two_sides=True).weight.detach()
    return weight.permute(1, 2, 0, 3).reshape(weight.shape[1] * weight.shape[2], -1)


def spatial_svd(conv: nn.Conv2d, rank: int) -> Factorized:
    """Factorize a convolution into a K x 1 to `rank` channels and a 1 x K from these to all N.

    The first is strided and padded along the height, the second along the width. The N * C * K^2 weights become r * K *
    (C + N).

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped, a side of its kernel is 1, or the rank is below 1 or above
            min(C * height, N * width).

    >>> spatial_svd(nn.Conv2d(8, 16, 3, stride=2, padding=1), rank=4).layer
    Sequential(
      (0): Conv2d(8, 4, kernel_size=(3, 1), stride=(2, 1), padding=(1, 0), bias=False)
      (1): Conv2d(4, 16, kernel_size=(1, 3), stride=(1, 2), padding=(0, 1))
    )

    Source: M. Jaderberg, A. Vedaldi, A. Zisserman, "Speeding up Convolutional Neural Networks with Low Rank
    Expansions", 2014, section 2.1 (scheme 2); C. Tai et al., "Convolutional neural networks with low-rank
    regularization", 2016, section 2 (that the singular value decomposition solves it).
    """
    left, right, error = truncated_svd(spatial_matrix(conv), rank)
    outputs, inputs, height, width = conv.weight.shape
    down = convolution(left.reshape(inputs, height, -1).permute(2, 0, 1)[..., None], conv, axes=(0,))
    across = right.reshape(-1, outputs, width).permute(1, 0, 2)[:, :, None, :]
    across = convolution(across, conv, axes=(1,), bias=conv.bias)
    return Factorized(nn.Sequential(down, across).train(conv.training), conv, (int(rank),), error)
