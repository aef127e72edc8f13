"""Shared by the factorizations: which layers they accept, and how a factor becomes a layer like the original."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.plain import why_not_plain


def need_linear(layer: object) -> nn.Linear:
    """Return `layer` if it is an nn.Linear that computes nothing but what its weight says.

    Raises:
        TypeError: it is of another kind.
        ValueError: it is not plain (`mini_lib.plain`).
    """
    return _plain("a linear layer", layer, nn.Linear)


def need_convolution(conv: object, two_sides: bool = False) -> nn.Conv2d:
    """Return `conv` if it is an nn.Conv2d in which every output reads every input, with a kernel of two sides if asked.

    Raises:
        TypeError: it is something else, such as a transposed convolution.
        ValueError: it is not plain (`mini_lib.plain`), it is grouped, or `two_sides` is set and a side of the kernel is
            1.
    """
    conv = _plain("a convolution", conv, nn.Conv2d)
    if conv.groups != 1:
        raise ValueError(
            f"cannot factorize a convolution with groups={conv.groups}: its weight holds "
            f"{conv.weight.shape[1]} of {conv.in_channels} inputs per output, and missing weights have no "
            "rank to lower; leave the layer out with where"
        )
    height, width = conv.kernel_size
    if two_sides and min(height, width) == 1:
        raise ValueError(
            f"cannot take a {height} x {width} kernel apart into its sides: one of them is 1 already; use channel_svd"
        )
    return conv


def _plain(what: str, layer: object, kind: type[nn.Module]) -> nn.Module:
    if not isinstance(layer, kind):
        raise TypeError(f"cannot factorize {type(layer).__name__} as {what}; pass an nn.{kind.__name__}")
    reason = why_not_plain(layer, (kind,))
    if reason is not None:
        raise ValueError(f"cannot factorize this {type(layer).__name__}: {reason}")
    return layer


def linear(weight: Tensor, like: nn.Module, bias: Tensor | None = None) -> nn.Linear:
    """Return a linear layer with this weight [outputs, inputs], in the type and on the device of the layer `like`."""
    outputs, inputs = weight.shape
    with torch.device("meta"):  # no random start: the values are given
        layer = nn.Linear(inputs, outputs, bias=bias is not None)
    return _filled(layer, weight, like, bias)


def convolution(
    weight: Tensor, like: nn.Conv2d, axes: tuple[int, ...] = (), bias: Tensor | None = None, groups: int = 1
) -> nn.Conv2d:
    """Return a convolution with this weight [outputs, inputs, height, width], in the type and on the device of `like`.

    It has the stride, padding, dilation and padding mode of `like` along the given `axes` (0: height, 1: width), and
    none of them along the others. So in a chain each axis is strided and padded only by the factor that extends along
    it.
    """

    def along(setting: tuple[int, int], plain: int) -> tuple[int, int]:
        return tuple(setting[axis] if axis in axes else plain for axis in (0, 1))

    outputs, inputs, *kernel = weight.shape
    # "same" pads nothing along an axis where the kernel is 1
    padding = like.padding if axes and isinstance(like.padding, str) else along(like.padding, 0)
    with torch.device("meta"):
        layer = nn.Conv2d(
            inputs * groups,
            outputs,
            tuple(kernel),
            stride=along(like.stride, 1),
            padding=padding,
            dilation=along(like.dilation, 1),
            groups=groups,
            bias=bias is not None,
            padding_mode=like.padding_mode if axes else "zeros",
        )
    return _filled(layer, weight, like, bias)


def _filled(layer: nn.Module, weight: Tensor, like: nn.Module, bias: Tensor | None) -> nn.Module:
    layer.weight = parameter(weight, like)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return layer


def parameter(values: Tensor, like: nn.Module) -> nn.Parameter:
    """Return values as a parameter, with the type and device of the weight of `like`, and trainable if that is."""
    old = like.weight
    return nn.Parameter(values.to(old.device, old.dtype).contiguous(), requires_grad=old.requires_grad)
