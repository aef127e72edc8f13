"""When a depthwise-separable layer equals a given convolution, and the best one when it does not.

A convolution W [N, M, K, K] applies its slice W[:, i], a matrix of N x K^2, to input channel i. A depthwise kernel d
and a column p of the pointwise weights make the matrix p d^T, of rank 1, and a multiplier of r gives r of them for each
channel. So a depthwise-separable layer equals the convolution exactly where every slice has rank r or less. Where a
slice has a higher rank, the best layer is the slice's SVD cut at r, and the loss is the part that was cut off:

    || W - W' ||^2 = sum over channels i of ( s_{r+1}(W[:, i])^2 + s_{r+2}(W[:, i])^2 + ... )

Slices share no weights of the layer, so the best choice for each is the best for all. A random kernel has slices of
full rank, and at full rank the layer costs more than the convolution.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from mini_lib.columns import aligned
from mini_lib.factorize.cost import cost_ratio
from mini_lib.factorize.layers import check_multiplier
from mini_lib.factorize.low_rank.parts import convolution, parameter
from mini_lib.factorize.low_rank.svd import tail_errors
from mini_lib.factorize.low_rank.tensors import double
from mini_lib.plain import why_not_plain


@dataclass(frozen=True)
class SeparableFit:
    """The best depthwise-separable layer for a convolution, with its error and cost.

    `relative_error` is || W - W' || / || W || (Frobenius), from the discarded singular values alone, before `layer`
    is rounded to its float type. `cost_ratio` is the layer's share of the convolution's cost, in MACs and in weights.
    `ranks` are those of the convolution's slices, one for each input channel.
    """

    layer: nn.Sequential
    multiplier: int
    relative_error: float
    cost_ratio: Fraction
    ranks: tuple[int, ...]

    @property
    def is_exact(self) -> bool:
        return self.multiplier >= max(self.ranks)

    @property
    def saves_macs(self) -> bool:
        return self.cost_ratio < 1

    @property
    def summary(self) -> str:
        error = "exact" if self.is_exact else f"relative error {self.relative_error:.3f}"
        verdict = "" if self.saves_macs else ": nothing is saved, keep the convolution"
        return f"multiplier {self.multiplier}: {error}; {float(self.cost_ratio):.0%} of the MACs and weights{verdict}"


def slice_ranks(conv: nn.Conv2d) -> tuple[int, ...]:
    """Return the rank of each input channel's slice W[:, i]: the multiplier that makes this channel exact.

    A singular value counts if it is above max(N, K^2) * eps * the largest one of its slice, with the eps of the
    weight's float type: below that it is rounding error of the weights. The threshold is `numpy.linalg.matrix_rank`'s.

    Raises:
        TypeError: `conv` is not a plain nn.Conv2d.
        ValueError: its weight holds NaN or infinity.

    Channel 0 has a kernel and its double, so rank 1; channel 1 has two that differ:

    >>> conv = nn.Conv2d(2, 2, (1, 2))
    >>> conv.weight.data = torch.tensor([[[[1.0, 3.0]], [[1.0, 0.0]]], [[[2.0, 6.0]], [[0.0, 1.0]]]])
    >>> slice_ranks(conv)
    (1, 2)
    """
    slices = _slices(conv)
    threshold = max(slices.shape[1:]) * torch.finfo(conv.weight.dtype).eps
    values = torch.linalg.svdvals(slices)
    return tuple((values > threshold * values[:, :1]).sum(dim=1).tolist())


def separable_errors(conv: nn.Conv2d) -> tuple[float, ...]:
    """Return the relative error of the best depthwise-separable layer at multiplier 1, 2, ..., min(N, K^2).

    Raises:
        TypeError: `conv` is not a plain nn.Conv2d.
        ValueError: its weight holds NaN or infinity.

    One slice with singular values 4 and 3: multiplier 1 loses 3 of sqrt(16 + 9) = 5.

    >>> conv = nn.Conv2d(1, 2, (1, 2))
    >>> conv.weight.data = torch.tensor([[[[4.0, 0.0]]], [[[0.0, 3.0]]]])
    >>> [round(error, 6) for error in separable_errors(conv)]
    [0.6, 0.0]

    Source: C. Eckart, G. Young, "The approximation of one matrix by another of lower rank", 1936.
    """
    return _errors(torch.linalg.svdvals(_slices(conv)))


@torch.no_grad()
def separate(conv: nn.Conv2d, multiplier: int) -> SeparableFit:
    """Return the best depthwise-separable layer for a trained convolution: SVD of each input channel's slice.

    The layer is nn.Sequential(depthwise, pointwise); it keeps stride, padding, dilation, padding mode, groups and bias.
    A convolution in g groups gets a pointwise part in g groups, and its N counts the outputs of one group. A layer that
    costs more is not refused: ask `saves_macs`. The argument is left unchanged.

    Raises:
        TypeError: `conv` is not a plain nn.Conv2d, or `multiplier` not a whole number.
        ValueError: `multiplier` is not from 1 to min(N, K^2), the weight holds NaN or infinity, or the layer is not
            plain (`mini_lib.plain`).

    The singular values of the only slice are 4 and 3, and with a 1 x 2 kernel for 2 outputs nothing is ever saved: 1/2
    + 1/2.

    >>> conv = nn.Conv2d(1, 2, (1, 2))
    >>> conv.weight.data = torch.tensor([[[[4.0, 0.0]]], [[[0.0, 3.0]]]])
    >>> separate(conv, 1).summary
    'multiplier 1: relative error 0.600; 100% of the MACs and weights: nothing is saved, keep the convolution'

    Source: J. Guo et al., "Network Decoupling: From Regular to Depthwise Separable Convolutions", 2018, section 3.
    """
    slices = _slices(conv)
    outputs = slices.shape[1]
    multiplier = check_multiplier(multiplier, outputs, conv.kernel_size)
    left, values, right = torch.linalg.svd(slices, full_matrices=False)
    # Each side gets the root of the singular value: two factors of equal size train better than one large and one
    # small.
    root = values[:, :multiplier].sqrt()
    mixing, spatial = left[:, :, :multiplier] * root[:, None, :], right[:, :multiplier] * root[:, :, None]
    return SeparableFit(
        _layer(conv, mixing, spatial),
        multiplier,
        _errors(values)[multiplier - 1],
        cost_ratio(outputs, conv.kernel_size, multiplier),
        slice_ranks(conv),
    )


def separable_table(conv: nn.Conv2d) -> str:
    """Return a table with, for each multiplier, the relative error, the weights, and their share of the convolution's.

    Raises:
        TypeError: `conv` is not a plain nn.Conv2d.
        ValueError: its weight holds NaN or infinity.

    >>> conv = nn.Conv2d(1, 4, (1, 2))
    >>> conv.weight.data = torch.tensor([[4.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]]).reshape(4, 1, 1, 2)
    >>> print(separable_table(conv))
    multiplier  relative error  weights  of 8 in the convolution
             1           0.600        6                    0.750
             2           0.000       12           1.500, no gain
    """
    errors = separable_errors(conv)
    rows = [("multiplier", "relative error", "weights", f"of {conv.weight.numel():,} in the convolution")]
    for multiplier, error in enumerate(errors, start=1):
        ratio = cost_ratio(conv.out_channels // conv.groups, conv.kernel_size, multiplier)
        weights = int(ratio * conv.weight.numel())
        rows.append(
            (str(multiplier), f"{error:.3f}", f"{weights:,}", f"{float(ratio):.3f}" + ", no gain" * (ratio >= 1))
        )
    return aligned(rows, left=())


@torch.no_grad()
def as_convolution(layer: nn.Sequential) -> nn.Conv2d:
    """Return the one convolution that equals a depthwise and a pointwise one in turn: the way back, always exact.

    The kernel of output n and input i is the sum over j of pointwise[n, i * r + j] times depthwise[i * r + j]. Stride,
    padding, dilation, padding mode, groups and biases are kept. The argument is left unchanged.

    Raises:
        TypeError: `layer` is not two plain nn.Conv2d in an nn.Sequential.
        ValueError: the first is not depthwise, or the second not 1x1 with stride 1 and no padding.

    >>> layer = nn.Sequential(nn.Conv2d(1, 2, (1, 2), bias=False), nn.Conv2d(2, 1, 1, bias=False))
    >>> layer[0].weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 1, 1, 2)
    >>> layer[1].weight.data = torch.tensor([10.0, 1.0]).reshape(1, 2, 1, 1)
    >>> as_convolution(layer).weight.flatten().tolist()      # 10 * (1, 2) + 1 * (3, 4)
    [13.0, 24.0]
    """
    depthwise, pointwise = _parts(layer)
    groups, multiplier = pointwise.groups, depthwise.out_channels // depthwise.in_channels
    channels = depthwise.in_channels // groups
    mixing = pointwise.weight.double().reshape(groups, -1, channels, multiplier)
    spatial = depthwise.weight.double().reshape(groups, channels, multiplier, *depthwise.kernel_size)
    weight = torch.einsum("gncr,gcrhw->gnchw", mixing, spatial).flatten(0, 1)
    bias = None if pointwise.bias is None else pointwise.bias.double()
    if depthwise.bias is not None:
        # The pointwise part pads nothing, so a constant before it is one constant everywhere after it.
        constant = torch.einsum("gncr,gcr->gn", mixing, depthwise.bias.double().reshape(groups, channels, multiplier))
        bias = constant.flatten() + (0 if bias is None else bias)
    return convolution(weight, depthwise, (0, 1), _bias(bias, depthwise), groups).train(depthwise.training)


def _layer(conv: nn.Conv2d, mixing: Tensor, spatial: Tensor) -> nn.Sequential:
    """Arrange mixing [M, N, r] and spatial [M, r, K^2] as the weights of the two convolutions; N is of one group."""
    channels, outputs, multiplier = mixing.shape
    grouped = mixing.reshape(conv.groups, channels // conv.groups, outputs, multiplier)
    weight = grouped.permute(0, 2, 1, 3).reshape(conv.out_channels, -1, 1, 1)
    kernels = spatial.reshape(channels * multiplier, 1, *conv.kernel_size)
    depthwise = convolution(kernels, conv, (0, 1), groups=channels)
    pointwise = convolution(weight, conv, bias=_bias(conv.bias, conv), groups=conv.groups)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=pointwise)).train(conv.training)


def _bias(values: Tensor | None, like: nn.Conv2d) -> nn.Parameter | None:
    return None if values is None else parameter(values, like)


def _slices(conv: nn.Conv2d) -> Tensor:
    """Return each input channel's slice in float64, [M, N, K^2]; with groups, N counts the outputs of its group."""
    need_plain_convolution("conv", conv)
    weight = double(conv.weight)
    by_group = weight.reshape(conv.groups, conv.out_channels // conv.groups, -1, weight[0, 0].numel())
    return by_group.transpose(1, 2).flatten(0, 1)


def need_plain_convolution(name: str, conv: object) -> None:
    """Refuse anything but an nn.Conv2d that computes only what its weight says.

    Raises:
        TypeError: it is of another kind, a subclass or a masked layer included.
        ValueError: it is not plain (`mini_lib.plain`).
    """
    if type(conv) is not nn.Conv2d:
        raise TypeError(
            f"{name} must be a plain nn.Conv2d, got {type(conv).__name__}; "
            "a layer of another kind has no kernel slices, and one that computes its weight must be baked first"
        )
    reason = why_not_plain(conv, (nn.Conv2d,))
    if reason is not None:
        raise ValueError(f"{name} must be a plain nn.Conv2d: {reason}")


def _errors(values: Tensor) -> tuple[float, ...]:
    """Return the relative error when the first 1, 2, ... singular values [M, full] of each slice are kept."""
    return tuple(tail_errors(values.square().sum(dim=0))[1:].tolist())


def _parts(layer: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Return the depthwise and the pointwise part of a layer, after a check that they are that."""
    parts = list(layer) if isinstance(layer, nn.Sequential) else [layer]
    if [type(part) for part in parts] != [nn.Conv2d, nn.Conv2d]:
        names = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(
            f"layer must be an nn.Sequential of two nn.Conv2d, got {names}; pass what depthwise_separable returns"
        )
    depthwise, pointwise = parts
    need_plain_convolution("the first convolution", depthwise)
    need_plain_convolution("the second convolution", pointwise)
    if depthwise.groups != depthwise.in_channels:
        raise ValueError(
            f"the first convolution must be depthwise, groups = in_channels = {depthwise.in_channels}, "
            f"got groups {depthwise.groups}; such a pair is not a depthwise-separable layer"
        )
    shape = (pointwise.kernel_size, pointwise.stride, pointwise.padding)
    if shape not in (((1, 1), (1, 1), (0, 0)), ((1, 1), (1, 1), "valid"), ((1, 1), (1, 1), "same")):
        raise ValueError(
            "the second convolution must be pointwise, 1x1 with stride 1 and no padding, "
            f"got kernel {shape[0]}, stride {shape[1]}, padding {shape[2]}; use layers.pointwise"
        )
    if pointwise.in_channels != depthwise.out_channels:
        raise ValueError(
            f"the second convolution must take the {depthwise.out_channels} channels of the first, "
            f"got {pointwise.in_channels}; make the two numbers equal"
        )
    return depthwise, pointwise
