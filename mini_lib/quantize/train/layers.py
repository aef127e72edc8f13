"""Fake-quant layers: they compute with rounded weights and inputs, and train the underlying floats."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from mini_lib.quantize.formats import IntFormat
from mini_lib.quantize.layers import Conv2dShape, LinearShape, Shown, refuse_cast
from mini_lib.quantize.train.lsq import lsq, lsq_gradient_scale
from mini_lib.quantize.train.step import LearnedStep
from mini_lib.quantize.train.weights import FakeQuantWeight


class InputGrid(nn.Module):
    """Rounds a layer's input to one grid, whose step is learned or fixed; its zero point is fixed. See `lsq`."""

    def __init__(self, fmt: IntFormat, scale: Tensor, zero_point: Tensor, learned: bool) -> None:
        super().__init__()
        self.fmt = fmt
        self.step = LearnedStep(scale, fmt.scale_dtype, learned)
        self.register_buffer("zero_point", zero_point)

    def forward(self, x: Tensor) -> Tensor:
        zero_point = int(self.zero_point)
        gradient_scale = lsq_gradient_scale(x[0].numel(), self.fmt.qmax)
        return lsq(x, self.step(), self.fmt.qmin - zero_point, self.fmt.qmax - zero_point, gradient_scale)

    def grid(self) -> tuple[IntFormat, Tensor, Tensor]:
        """Return the format, the scale and the zero point, as they are stored."""
        return self.fmt, self.step.settled(), self.zero_point.clone()

    def extra_repr(self) -> str:
        return self.fmt.label


class FakeQuantLayer(nn.Module):
    """The common part of both fake-quant layers: a `fake_weight`, a bias in float, and perhaps an `input_grid`."""

    def __init__(self, layer: nn.Module, fake_weight: FakeQuantWeight, input_grid: nn.Module | None = None) -> None:
        super().__init__()
        self.fake_weight, self.input_grid = fake_weight, input_grid
        self.bias = None
        if layer.bias is not None:
            self.bias = nn.Parameter(layer.bias.detach().clone(), layer.bias.requires_grad)
        self.train(layer.training)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        return self.fake_weight.shape

    @property
    def weight(self) -> Tensor:
        """The weight that the layer computes with, float32, on its grid."""
        weight = self.fake_weight()
        return weight if self.input_grid is None else weight.as_subclass(Shown)

    def rounded_input(self, x: Tensor) -> Tensor:
        """Return `x` on the input grid, or `x` itself if there is none."""
        return x if self.input_grid is None else self.input_grid(x)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FakeQuantLayer:
        refuse_cast(type(self).__name__, fn)
        return super()._apply(fn, recurse)


class FakeQuantLinear(LinearShape, FakeQuantLayer):
    """A linear layer in training at few bits; takes [..., in], gives [..., out]."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(self.rounded_input(input), self.fake_weight(), self.bias)


class FakeQuantConv2d(Conv2dShape, FakeQuantLayer):
    """A 2-D convolution in training at few bits, zero padding."""

    def __init__(self, layer: nn.Conv2d, fake_weight: FakeQuantWeight, input_grid: nn.Module | None = None) -> None:
        super().__init__(layer, fake_weight, input_grid)
        self.stride, self.padding = layer.stride, layer.padding
        self.dilation, self.groups = layer.dilation, layer.groups
        if layer.padding_mode != "zeros":
            raise ValueError(
                f"a fake-quant convolution pads with zeros, not '{layer.padding_mode}'; use padding_mode='zeros'"
            )

    def forward(self, input: Tensor) -> Tensor:
        places = self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(self.rounded_input(input), self.fake_weight(), self.bias, *places)
