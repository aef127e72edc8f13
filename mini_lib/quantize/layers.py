"""Layers that hold their weight as packed codes.

They save bytes, not time: every forward pass unpacks the codes, computes a float weight from them and multiplies with
that, which is slower than a float layer. What they are for is to be exactly what is stored, and to compute exactly
what a machine with such weights would.
"""

from __future__ import annotations

from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from mini_lib.quantize.affine import fake_quantize
from mini_lib.quantize.formats import Format, IntFormat
from mini_lib.quantize.qtensor import QTensor, from_parts


class QuantizedLayer(nn.Module):
    """What a quantized convolution and a quantized linear layer have in common: the weight, the bias, the input grid.

    Buffers `weight_codes`, `weight_scale` and so on are the parts of a `QTensor`, named as in `QTensor.parts()`; so
    the state dict of the layer is what is stored of it. The bias stays as it was, in fp32 whatever the weight's format:
    it is one number a channel against hundreds of weights, and integer machines keep it in 32 bits too.
    """

    def __init__(self, weight: QTensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight_fmt: Format = weight.fmt
        self.weight_shape = weight.shape
        for name, part in weight.parts().items():
            self.register_buffer(f"weight_{name}", part)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.input_fmt: IntFormat | None = None

    @property
    def qweight(self) -> QTensor:
        """The weight as it is held: codes, scale and all."""
        parts = {name: part for name, part in self.named_buffers() if name.startswith("weight_")}
        parts = {name.removeprefix("weight_"): part for name, part in parts.items()}
        return from_parts(parts, self.weight_fmt, self.weight_shape)

    @property
    def weight(self) -> Tensor:
        """The weight as it is computed with, float32."""
        return self.qweight.dequantize()

    @property
    def encoded_parameters(self) -> int:
        """How many weights the packed codes stand for."""
        return prod(self.weight_shape)

    def set_input_grid(self, fmt: IntFormat, scale: Tensor, zero_point: Tensor) -> None:
        """Round every input to this grid from now on; scale and zero point are single numbers."""
        self.input_fmt = fmt
        self.register_buffer("input_scale", scale)
        self.register_buffer("input_zero_point", zero_point)

    def quantized_input(self, x: Tensor) -> Tensor:
        """Return `x` on the input grid, or `x` itself where there is none."""
        if self.input_fmt is None:
            return x
        return fake_quantize(x, self.input_scale, self.input_zero_point, self.input_fmt.qmin, self.input_fmt.qmax)

    def extra_repr(self) -> str:
        inputs = "" if self.input_fmt is None else f", input={self.input_fmt.label}"
        return f"{list(self.weight_shape)}, weight={self.weight_fmt.label}{inputs}, bias={self.bias is not None}"


class QuantizedLinear(QuantizedLayer):
    """A linear layer with a quantized weight [out, in]; takes [..., in], gives [..., out].

    >>> import torch
    >>> from mini_lib.quantize.qtensor import quantize
    >>> layer = QuantizedLinear(quantize(torch.tensor([[7.0, -2.2]]), IntFormat(4)), torch.tensor([0.5]))
    >>> layer(torch.tensor([[1.0, 10.0]]))                       # codes 7 and -2: 7 - 20 + 0.5
    tensor([[-12.5000]], grad_fn=<AddmmBackward0>)
    """

    @classmethod
    def of(cls, layer: nn.Linear, weight: QTensor) -> QuantizedLinear:
        """Return a quantized layer in the place of `layer`."""
        return cls(weight, layer.bias).train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.quantized_input(x), self.weight.to(x.dtype), self.bias)


class QuantizedConv2d(QuantizedLayer):
    """A 2-D convolution with a quantized weight [out, in / groups, height, width], zero padding.

    >>> import torch
    >>> from mini_lib.quantize.qtensor import quantize
    >>> layer = QuantizedConv2d(quantize(torch.full((1, 1, 2, 2), -3.0), IntFormat(4)), None, stride=2)
    >>> layer(torch.ones(1, 1, 4, 2)).flatten()                  # 4 * -3, twice
    tensor([-12., -12.])
    """

    def __init__(self, weight: QTensor, bias: Tensor | None, stride=1, padding=0, dilation=1, groups: int = 1) -> None:
        super().__init__(weight, bias)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    @classmethod
    def of(cls, layer: nn.Conv2d, weight: QTensor) -> QuantizedConv2d:
        """Return a quantized layer in the place of `layer`.

        Raises:
            ValueError: `layer` pads with something other than zeros.
        """
        if layer.padding_mode != "zeros":
            raise ValueError(
                f"a quantized convolution pads with zeros, not '{layer.padding_mode}'; use padding_mode='zeros'"
            )
        new = cls(weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return new.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        return F.conv2d(
            self.quantized_input(x), weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def is_weight_layer(name: str, module: nn.Module) -> bool:
    """Whether `module` is a layer whose weight can be quantized: nn.Conv2d or nn.Linear, of exactly that class.

    A subclass may do something else with its weight (the output layer of nn.MultiheadAttention is never called).

    >>> is_weight_layer("fc", nn.Linear(2, 2)), is_weight_layer("relu", nn.ReLU())
    (True, False)
    """
    return type(module) in (nn.Conv2d, nn.Linear)


def need_plain_weight(name: str, layer: nn.Module) -> None:
    """Refuse a layer whose weight is computed from others whenever it is read, as a mask does.

    Raises:
        ValueError: it is; what is written to such a weight is lost.
    """
    # torch.nn.utils.prune and weight_norm leave no parametrization: they take the parameter away and set a tensor
    if "weight" not in layer._parameters:
        raise ValueError(
            f"the weight of layer '{name}' is masked, or parametrized in another way; make it plain first, with "
            "baked(model), torch's remove_parametrizations or prune.remove(layer, 'weight')"
        )


def quantized_layer(layer: nn.Module, weight: QTensor) -> QuantizedLayer:
    """Return the quantized form of an nn.Conv2d or nn.Linear."""
    return QuantizedConv2d.of(layer, weight) if isinstance(layer, nn.Conv2d) else QuantizedLinear.of(layer, weight)
