"""Layers that multiply on packed codes, in C: the codes of a `QuantizedLayer`, in the layout of the kernels.

A `QuantizedLayer` unpacks its codes to floats in every pass. These layers do not: they read only 1 to 8 bits per
weight. They differ from it in one thing: the inputs are rounded to int8, with one scale per row of the input (per image
for a convolution) that is taken from the input itself. An output moves by at most max |x| / 254 * sum |w|.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn

from mini_lib.kernels import (
    TORCH,
    PackedMatrix,
    Places,
    instruction_sets,
    most_columns,
    pack_matrix,
    packed_convolution,
    packed_linear,
)
from mini_lib.quantize.formats import BinaryFormat, Format, IntFormat, TernaryFormat
from mini_lib.quantize.granularity import PerChannel, PerGroup, PerTensor
from mini_lib.quantize.layers import (
    Conv2dShape,
    LinearShape,
    QuantizedConv2d,
    QuantizedLayer,
    QuantizedLinear,
    Shown,
    Stored,
    refuse_cast,
)
from mini_lib.surgery import hook_of

_PARTS = ("codes", "scales", "zeros", "bias")


class PackedLayer(Stored):
    """The common part of the two packed layers: they store only the buffers `codes`, `scales`, `zeros` and `bias`.

    They compute only in eval mode, on float32 on the CPU, without gradients, and refuse to be cast. `instructions`
    names the instruction set (one of `kernels.instruction_sets()`; None is the best of this machine).

    Raises:
        ValueError: the layer cannot be packed; the message says why.
    """

    def __init__(self, layer: QuantizedLayer) -> None:
        super().__init__()
        if reason := why_not_packable(layer):
            raise ValueError(f"{reason}; leave the layer as it is")
        weight = layer.qweight
        self.weight_fmt, self.weight_shape = weight.fmt, weight.shape
        self.instructions: str | None = None
        self.tied = False
        self._matrix = _packed(layer)
        for name in _PARTS:
            self.register_buffer(name, getattr(self._matrix, name))
        self.train(layer.training)

    @property
    def matrix(self) -> PackedMatrix:
        """The weight in the form that the kernels take, one row per output."""
        kept, own = self._matrix, self._buffers
        if any(own[name] is not getattr(kept, name) for name in _PARTS):  # after .to(...), or assigned
            self._matrix = replace(kept, **{name: own[name] for name in _PARTS})
        return self._matrix

    @property
    def weight(self) -> Tensor:
        """The weight that the codes stand for, float32."""
        return self.matrix.dense().view(self.weight_shape).as_subclass(Shown)

    @property
    def encoded_parameters(self) -> int:
        """How many weights the packed codes stand for, and the bias; of tied codes, only the bias."""
        return (0 if self.tied else prod(self.weight_shape)) + (0 if self.bias is None else self.bias.numel())

    def tie_to(self, other: PackedLayer) -> None:
        """Hold the codes and scales of `other` instead of the layer's own, as tied layers hold one weight."""
        for name in ("codes", "scales", "zeros"):
            self._buffers[name] = other._buffers[name]
        self.tied = True

    def own_macs(self, output: Tensor) -> int:
        """Return the MACs behind this output that torch does not see."""
        in_torch = (self.instructions or instruction_sets()[0]) == TORCH
        return 0 if in_torch else output.numel() * prod(self.weight_shape[1:])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedLayer:
        refuse_cast(type(self).__name__, fn)
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        return f"{list(self.weight_shape)}, weight={self.weight_fmt.label}, bias={self.bias is not None}"

    def _checked(self, x: Tensor, sides: int) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"{type(self).__name__} takes a tensor, got {type(x).__name__}; use torch.tensor(x)")
        if torch.jit.is_tracing():
            raise ValueError(
                f"a trace does not see what {type(self).__name__} computes; trace the model before packing"
            )
        if self.training:
            raise ValueError(
                f"{type(self).__name__} computes only in eval mode; call .eval(), and train the model that was packed"
            )
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{type(self).__name__} has no gradient; run it under torch.no_grad()")
        if x.dtype != torch.float32 or x.device.type != "cpu" or x.layout != torch.strided:
            raise TypeError(
                f"{type(self).__name__} takes float32 on the CPU, got {x.dtype} on {x.device.type}; call .float().cpu()"
            )
        if x.dim() != sides if sides else not x.dim():
            raise ValueError(
                f"{type(self).__name__} takes {sides or '1 or more'} dimensions, got shape {list(x.shape)}"
            )
        return x


class PackedLinear(LinearShape, PackedLayer):
    """A linear layer on packed codes [out, in]; takes float32 [..., in], gives [..., out].

    >>> from mini_lib.quantize.qtensor import quantize
    >>> layer = QuantizedLinear(quantize(torch.tensor([[7.0, -2.2]]), IntFormat(4)), torch.tensor([0.5])).eval()
    >>> PackedLinear(layer)(torch.tensor([[1.27, 0.0]]))                    # code 7 times input 127 * 0.01, and 0.5
    tensor([[9.3900]])
    """

    def forward(self, input: Tensor) -> Tensor:
        rows = self._checked(input, 0).reshape(input.shape[:-1].numel(), input.shape[-1]).contiguous()
        y = packed_linear(self.matrix, rows, self.instructions)
        return y if input.dim() == 2 else y.view(*input.shape[:-1], len(y.T))


class PackedConv2d(Conv2dShape, PackedLayer):
    """A 2-D convolution on packed codes, with zero padding and without channel groups; [N, in, H, W] to [N, out, H, W].

    >>> from mini_lib.quantize.qtensor import quantize
    >>> layer = QuantizedConv2d(quantize(torch.full((1, 1, 2, 2), -3.0), IntFormat(4)), None, stride=2).eval()
    >>> PackedConv2d(layer)(torch.ones(1, 1, 4, 2)).flatten()               # 4 * -3, twice
    tensor([-12., -12.])
    """

    def __init__(self, layer: QuantizedConv2d) -> None:
        super().__init__(layer)
        self.stride, self.padding = layer.stride, layer.padding
        self.dilation, self.groups = layer.dilation, layer.groups
        kernel = layer.weight_shape[2:]
        stride, dilation = _two(layer.stride), _two(layer.dilation)
        if layer.padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, kernel)]
            border = tuple((one // 2, one - one // 2) for one in total)
        else:
            border = tuple((side, side) for side in _two(0 if layer.padding == "valid" else layer.padding))
        self.places = Places(kernel, stride, dilation, border)

    def forward(self, input: Tensor) -> Tensor:
        return packed_convolution(self.matrix, self._checked(input, 4).contiguous(), self.places, self.instructions)


def why_not_packable(layer: nn.Module) -> str | None:
    """Say why a layer has no packed form, or None if it has one.

    >>> why_not_packable(nn.ReLU())
    'ReLU is not a QuantizedLinear or QuantizedConv2d; quantize_weights makes them'
    """
    if type(layer) not in (QuantizedLinear, QuantizedConv2d):
        return f"{type(layer).__name__} is not a QuantizedLinear or QuantizedConv2d; quantize_weights makes them"
    if own := "forward of its own" if "forward" in vars(layer) else hook_of(layer):
        return f"it has a {own}, which no packed layer would run; remove it first"
    fmt = layer.weight_fmt
    if getattr(layer, "groups", 1) != 1:
        return f"a convolution with {layer.groups} channel groups has no packed kernel"
    if layer.input_fmt is not None:
        return "its inputs are rounded to a fixed grid, and packed layers choose the scale of each input themselves"
    if not isinstance(fmt, IntFormat | BinaryFormat | TernaryFormat):
        return f"there is no packed kernel for {fmt.label}, which is not an integer grid"
    if isinstance(fmt, IntFormat) and fmt.bits not in (8, 4, 3, 2):
        return f"there is no packed kernel for {fmt.bits} bits; there are 8, 4, 3, 2, and 1 (BinaryFormat)"
    if fmt.granularity not in (PerTensor(), PerChannel(0)) and not isinstance(fmt.granularity, PerGroup):
        return f"packed kernels take one scale per tensor, output channel or group, not {fmt.granularity.label}"
    size = fmt.granularity.size if isinstance(fmt.granularity, PerGroup) else prod(layer.weight_shape[1:])
    if size > (most := most_columns(_bits(fmt))):
        return f"sums over {size:,} weights with one scale may not fit 32 bits; use groups of at most {most:,}"
    if layer.bias is not None and layer.bias.dtype != torch.float32:
        return f"its bias is {layer.bias.dtype}, and packed layers compute in float32"
    return None


def _packed(layer: QuantizedLayer) -> PackedMatrix:
    """The weight as a matrix with one row per output, its scales [rows, groups]."""
    weight = layer.qweight
    rows, fmt = weight.shape[0], weight.fmt
    scales = weight.scale.reshape(1, 1) if weight.scale.dim() == 0 else weight.scale.reshape(rows, -1)
    scales = scales.expand(rows, -1).contiguous()
    codes, bias = weight.codes.reshape(rows, -1), None if layer.bias is None else layer.bias.detach().clone()
    if isinstance(fmt, BinaryFormat):
        return pack_matrix((codes > 0).int(), scales, 0, 1, bias)
    bits = _bits(fmt)
    if weight.zero_point is None:
        return pack_matrix(codes - fmt.qmin, scales, -fmt.qmin, bits, bias)
    zeros = weight.zero_point.reshape(-1, scales.shape[1]).expand(rows, -1)
    return pack_matrix(codes - fmt.qmin, scales, zeros.contiguous() - fmt.qmin, bits, bias)


def _bits(fmt: Format) -> int:
    return {BinaryFormat: 1, TernaryFormat: 2}.get(type(fmt)) or fmt.bits


def _two(sides: int | tuple[int, int]) -> tuple[int, int]:
    return tuple(sides) if isinstance(sides, tuple | list) else (sides, sides)
