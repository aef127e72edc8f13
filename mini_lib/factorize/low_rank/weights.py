"""How many weights a factorization holds, and the rank below which it saves weights: exact, from shapes alone.

A `shape` is that of a convolution's weight, (N, C, height, width). Biases do not change and are not counted. The bounds
are exact fractions: a rank pays off if it is below the bound, and at the bound both cost the same. Sizes and ranks are
whole numbers of 1 or more; anything else is a TypeError or ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from mini_lib.factorize.low_rank.tensors import whole_numbers
from mini_lib.require import whole

KernelShape = tuple[int, int, int, int]


def svd_linear_weights(outputs: int, inputs: int, rank: int) -> int:
    """Return r * (m + n): the weights of `svd_linear`.

    >>> svd_linear_weights(64, 128, rank=8), 64 * 128
    (1536, 8192)
    """
    outputs, inputs = _sizes((outputs, inputs), 2)
    return _rank(rank) * (outputs + inputs)


def svd_linear_bound(outputs: int, inputs: int) -> Fraction:
    """Return m * n / (m + n): ranks below it hold fewer weights than an m x n matrix.

    >>> svd_linear_bound(64, 64)                     # for a square matrix: half of full rank, and not full rank
    Fraction(32, 1)
    """
    outputs, inputs = _sizes((outputs, inputs), 2)
    return Fraction(outputs * inputs, outputs + inputs)


def channel_svd_weights(shape: KernelShape, rank: int) -> int:
    """Return r * (C * K^2 + N): the weights of `channel_svd`.

    >>> channel_svd_weights((16, 8, 3, 3), rank=4), 16 * 8 * 9
    (352, 1152)
    """
    outputs, *patch = _sizes(shape)
    return svd_linear_weights(outputs, prod(patch), rank)


def channel_svd_bound(shape: KernelShape) -> Fraction:
    """Return N * C * K^2 / (C * K^2 + N): ranks below it hold fewer weights, and do fewer MACs.

    >>> channel_svd_bound((16, 8, 3, 3))             # 1152 / 88
    Fraction(144, 11)
    """
    outputs, *patch = _sizes(shape)
    return svd_linear_bound(outputs, prod(patch))


def spatial_svd_weights(shape: KernelShape, rank: int) -> int:
    """Return r * (C * height + N * width): the weights of `spatial_svd`.

    >>> spatial_svd_weights((16, 8, 3, 3), rank=4)   # 4 * (8 * 3 + 16 * 3)
    288
    """
    outputs, inputs, height, width = _sizes(shape)
    return svd_linear_weights(outputs * width, inputs * height, rank)


def spatial_svd_bound(shape: KernelShape) -> Fraction:
    """Return N * C * K^2 / (K * (C + N)), K times the bound of a 1 x 1: ranks below it hold fewer weights.

    >>> spatial_svd_bound((16, 8, 3, 3))
    Fraction(16, 1)
    """
    outputs, inputs, height, width = _sizes(shape)
    return svd_linear_bound(outputs * width, inputs * height)


def tucker2_weights(shape: KernelShape, rank_in: int, rank_out: int) -> int:
    """Return C * r_in + r_in * r_out * K^2 + r_out * N: the weights of `tucker2`.

    >>> tucker2_weights((16, 8, 3, 3), rank_in=4, rank_out=6)        # 32 + 216 + 96
    344
    """
    outputs, inputs, height, width = _sizes(shape)
    rank_in, rank_out = _rank(rank_in, "rank_in"), _rank(rank_out, "rank_out")
    return inputs * rank_in + rank_in * rank_out * height * width + rank_out * outputs


def tucker2_bound(shape: KernelShape, rank_in: int) -> Fraction:
    """Return the bound for `rank_out` at a given `rank_in`: (N * C * K^2 - C * r_in) / (K^2 * r_in + N).

    >>> tucker2_bound((16, 8, 3, 3), rank_in=8)      # all inputs: (1152 - 64) / 88, as channel_svd with its 8 * 8 more
    Fraction(136, 11)
    """
    outputs, inputs, height, width = shape = _sizes(shape)
    rank_in = _rank(rank_in, "rank_in")
    return Fraction(prod(shape) - inputs * rank_in, height * width * rank_in + outputs)


def cp_weights(shape: KernelShape, rank: int) -> int:
    """Return r * (N + C + height + width): the weights of `cp`.

    >>> cp_weights((16, 8, 3, 3), rank=10)
    300
    """
    return _rank(rank) * sum(_sizes(shape))


def cp_bound(shape: KernelShape) -> Fraction:
    """Return N * C * K^2 / (N + C + 2 * K): ranks below it hold fewer weights.

    >>> cp_bound((16, 8, 3, 3))                      # 1152 / 30
    Fraction(192, 5)
    """
    shape = _sizes(shape)
    return Fraction(prod(shape), sum(shape))


def tensor_train_weights(sizes: Sequence[int], ranks: Sequence[int]) -> int:
    """Return the sum of r_(k-1) * size_k * r_k: the weights of a tensor train.

    For `tensor_train` the sizes are m_k * n_k; for `tensor_train_conv` they are (C, height, width, N).

    Raises:
        TypeError, ValueError: a size or a rank is not a whole number of 1 or more, or the ranks are not one fewer than
            the sizes.

    >>> tensor_train_weights((6, 12), ranks=(2,))    # 6 * 2 + 2 * 12
    36
    """
    sizes, ranks = (
        whole_numbers(name, values, fix=f"{name} are 1 or more")
        for name, values in (("sizes", sizes), ("ranks", ranks))
    )
    if not sizes or len(ranks) != len(sizes) - 1:
        raise ValueError(
            f"a tensor train of {len(sizes)} modes has {max(len(sizes) - 1, 0)} ranks, got {len(ranks)}; give one for "
            "each pair of neighbours"
        )
    around = (1, *ranks, 1)
    return sum(before * size * after for before, size, after in zip(around, sizes, around[1:], strict=False))


def _sizes(shape: Sequence[int], axes: int = 4) -> tuple[int, ...]:
    sizes = whole_numbers("shape", shape, fix="pass weight.shape")
    if len(sizes) != axes:
        raise ValueError(f"shape must have {axes} sizes, got {len(sizes)}; pass weight.shape, (N, C, height, width)")
    return sizes


def _rank(rank: int, name: str = "rank") -> int:
    return whole(name, rank, low=1, fix="a rank is 1 or more")
