"""Layers that hold their weight as packed codes.

They save bytes, not time: every forward pass unpacks the codes, computes a float weight from them and multiplies by it,
which is slower than a float layer. Their purpose is to hold exactly what is stored, and to compute exactly what a
machine with these weights would.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from mini_lib.plain import is_called
from mini_lib.quantize.affine import fake_quantize
from mini_lib.quantize.formats import Format, IntFormat
from mini_lib.quantize.qtensor import QTensor, from_parts


class LinearShape:
    """The size attributes of nn.Linear, for a layer that takes its place, from its `weight_shape`."""

    weight_shape: tuple[int, ...]

    @property
    def in_features(self) -> int:
        return self.weight_shape[1]

    @property
    def out_features(self) -> int:
        return self.weight_shape[0]


class Conv2dShape:
    """The size attributes of nn.Conv2d, for a layer that takes its place, from its `weight_shape` and `groups`."""

    weight_shape: tuple[int, ...]
    groups: int
    padding_mode = "zeros"

    @property
    def in_channels(self) -> int:
        return self.weight_shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        return self.weight_shape[0]

    @property
    def kernel_size(self) -> tuple[int, ...]:
        return tuple(self.weight_shape[2:])


class Stored(nn.Module):
    """A module whose buffers are the stored tensors: a cast, such as model.half(), leaves them as they are."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Stored:
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            if buffer is not None and self._buffers[name].dtype != buffer.dtype:
                self._buffers[name] = buffer.to(self._buffers[name].device)
        return self


class Shown(Tensor):
    """The weight of a layer that rounds its input, for inspection: computing with it gives a plain tensor.

    The fused kernel of nn.TransformerEncoderLayer reads the weights of its layers without calling them, so no input
    would be rounded. But it is not used for a model whose weights have a class of their own.
    """

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            args, kwargs = tree_map_only(cls, lambda shown: shown.as_subclass(Tensor), (args, kwargs or {}))
        return func(*args, **kwargs)


def refuse_cast(what: str, fn: Callable[[Tensor], Tensor]) -> None:
    """Refuse to cast a module that computes only in float32; `fn` is the function that a module applies to its tensors.

    Raises:
        TypeError: it casts float32 to another dtype.
    """
    dtype = fn(torch.zeros(1)).dtype
    if dtype != torch.float32:
        raise TypeError(f"{what} computes in float32, and cannot be cast to {dtype}; cast the model it was made from")


class QuantizedLayer(Stored):
    """The common part of a quantized convolution and a quantized linear layer: the weight, the bias, the input grid.

    Buffers `weight_codes`, `weight_scale` and so on are the parts of a `QTensor`, named as in `QTensor.parts()`; so a
    file stores the state dict of the layer. The bias stays as it was, in fp32 whatever the weight's format: it is one
    number per channel next to hundreds of weights, and integer machines keep it in 32 bits too.

    A cast of the model, such as model.half(), casts the bias and the `dtype` that the weight has once it is unpacked.
    The codes and scales stay as they are stored.
    """

    def __init__(self, weight: QTensor, bias: Tensor | None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.tied = False
        self.weight_fmt: Format = weight.fmt
        self.weight_shape = weight.shape
        for name, part in weight.parts().items():
            self.register_buffer(f"weight_{name}", part)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.input_fmt: IntFormat | None = None

    @property
    def qweight(self) -> QTensor:
        """The weight in its stored form: codes, scale and all."""
        parts = {name: part for name, part in self.named_buffers() if name.startswith("weight_")}
        parts = {name.removeprefix("weight_"): part for name, part in parts.items()}
        return from_parts(parts, self.weight_fmt, self.weight_shape)

    @property
    def weight(self) -> Tensor:
        """The weight as the layer computes with it, in the layer's `dtype`."""
        weight = self._dequantized(self.dtype)
        return weight if self.input_fmt is None else weight.as_subclass(Shown)

    @property
    def encoded_parameters(self) -> int:
        """How many weights the packed codes stand for; 0 if they belong to another layer, which counts them."""
        return 0 if self.tied else prod(self.weight_shape)

    def tie_to(self, other: QuantizedLayer) -> None:
        """Hold the codes and scales of `other` instead of the layer's own, as tied layers hold one weight."""
        for name in [name for name in self._buffers if name.startswith("weight_")]:
            self._buffers[name] = other._buffers[name]
        self.tied = True

    def set_input_grid(self, fmt: IntFormat, scale: Tensor, zero_point: Tensor) -> None:
        """Round every input to this grid from now on; scale and zero point are single numbers."""
        self.input_fmt = fmt
        self.register_buffer("input_scale", scale)
        self.register_buffer("input_zero_point", zero_point)

    def quantized_input(self, x: Tensor) -> Tensor:
        """Return `x` on the input grid, or `x` itself if there is none."""
        if self.input_fmt is None:
            return x
        return fake_quantize(x, self.input_scale, self.input_zero_point, self.input_fmt.qmin, self.input_fmt.qmax)

    def _dequantized(self, dtype: torch.dtype) -> Tensor:
        return self.qweight.dequantize().to(self.dtype).to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedLayer:
        self.dtype = fn(torch.zeros(0, dtype=self.dtype)).dtype
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        inputs = "" if self.input_fmt is None else f", input={self.input_fmt.label}"
        return f"{list(self.weight_shape)}, weight={self.weight_fmt.label}{inputs}, bias={self.bias is not None}"


class QuantizedLinear(LinearShape, QuantizedLayer):
    """A linear layer with a quantized weight [out, in]; takes [..., in], gives [..., out].

    >>> import torch
    >>> from mini_lib.quantize.qtensor import quantize
    >>> layer = QuantizedLinear(quantize(torch.tensor([[7.0, -2.2]]), IntFormat(4)), torch.tensor([0.5]))
    >>> layer(torch.tensor([[1.0, 10.0]]))                       # codes 7 and -2: 7 - 20 + 0.5
    tensor([[-12.5000]], grad_fn=<AddmmBackward0>)
    """

    @classmethod
    def of(cls, layer: nn.Linear, weight: QTensor) -> QuantizedLinear:
        """Return a quantized layer to replace `layer`."""
        return cls(weight, layer.bias, layer.weight.dtype).train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(self.quantized_input(input), self._dequantized(input.dtype), self.bias)


class QuantizedConv2d(Conv2dShape, QuantizedLayer):
    """A 2-D convolution with a quantized weight [out, in / groups, height, width], zero padding.

    >>> import torch
    >>> from mini_lib.quantize.qtensor import quantize
    >>> layer = QuantizedConv2d(quantize(torch.full((1, 1, 2, 2), -3.0), IntFormat(4)), None, stride=2)
    >>> layer(torch.ones(1, 1, 4, 2)).flatten()                  # 4 * -3, twice
    tensor([-12., -12.])
    """

    def __init__(
        self,
        weight: QTensor,
        bias: Tensor | None,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(weight, bias, dtype)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    @classmethod
    def of(cls, layer: nn.Conv2d, weight: QTensor) -> QuantizedConv2d:
        """Return a quantized layer to replace `layer`.

        Raises:
            ValueError: `layer` pads with something other than zeros.
        """
        if layer.padding_mode != "zeros":
            raise ValueError(
                f"a quantized convolution pads with zeros, not '{layer.padding_mode}'; use padding_mode='zeros'"
            )
        places = layer.stride, layer.padding, layer.dilation, layer.groups
        return cls(weight, layer.bias, *places, layer.weight.dtype).train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        places = self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(self.quantized_input(input), self._dequantized(input.dtype), self.bias, *places)


def is_weight_layer(name: str, module: nn.Module) -> bool:
    """Whether `module` is a layer whose weight can be quantized: an nn.Conv2d or nn.Linear.

    The output layer of nn.MultiheadAttention is not: it is never called.

    >>> is_weight_layer("fc", nn.Linear(2, 2)), is_weight_layer("relu", nn.ReLU())
    (True, False)
    """
    return is_called(module)


def quantized_layer(layer: nn.Module, weight: QTensor) -> QuantizedLayer:
    """Return the quantized form of an nn.Conv2d or nn.Linear."""
    return QuantizedConv2d.of(layer, weight) if isinstance(layer, nn.Conv2d) else QuantizedLinear.of(layer, weight)
