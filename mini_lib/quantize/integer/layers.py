"""The layers of an integer network: they hold and pass on only codes (8 bits) and accumulators (int32)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mini_lib.calibration import run_model
from mini_lib.quantize.affine import to_codes
from mini_lib.quantize.formats import IntFormat
from mini_lib.quantize.integer.matmul import accumulate
from mini_lib.quantize.integer.requantize import multiplier_and_shift, requantize
from mini_lib.quantize.layers import QuantizedLayer, Stored
from mini_lib.tensor_checks import need_tensor

_IMAGES_AT_ONCE = 64


class IntegerLinear(nn.Module):
    """From codes [N, in] to accumulators int32 [N, out].

    Buffers: `weight`, codes of 8 bits; `constants` int32 [out], the bias with the constant cross terms;
    `weight_zero_point` int32 [out], absent where all are 0.

    >>> layer = IntegerLinear(torch.tensor([[3, -5]], dtype=torch.int8), torch.tensor([10]), None)
    >>> layer(torch.tensor([[4, 1]], dtype=torch.uint8))                     # 4 * 3 - 1 * 5 + 10
    tensor([[17]], dtype=torch.int32)
    """

    def __init__(self, weight: Tensor, constants: Tensor, weight_zero_point: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("constants", constants)
        self.register_buffer("weight_zero_point", weight_zero_point)

    def forward(self, codes: Tensor) -> Tensor:
        return self.accumulate(codes[None], groups=1)[0]

    def accumulate(self, inputs: Tensor, groups: int) -> Tensor:
        """Return int32 [groups, n, out / groups] from codes [groups, n, k]."""
        weight, constants = self.weight.reshape(groups, -1, inputs.shape[-1]), self.constants.view(groups, -1)
        zero_point = 0 if self.weight_zero_point is None else self.weight_zero_point.view(groups, -1)
        return accumulate(inputs, weight, constants, zero_point)


class IntegerConv2d(IntegerLinear):
    """From codes [N, in, H, W] to accumulators int32 [N, out, H', W']: a matrix product over the windows.

    The padding is the code of zero, which is the zero point. padding: left, right, top, bottom, as F.pad takes it.
    """

    def __init__(
        self,
        weight: Tensor,
        constants: Tensor,
        weight_zero_point: Tensor | None,
        input_zero_point: int,
        stride: tuple[int, int],
        padding: tuple[int, int, int, int],
        dilation: tuple[int, int],
        groups: int,
    ) -> None:
        super().__init__(weight, constants, weight_zero_point)
        self.input_zero_point = input_zero_point
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, codes: Tensor) -> Tensor:
        seen = F.pad(codes, self.padding, value=self.input_zero_point)
        for axis, (size, stride, dilation) in enumerate(zip(self.weight.shape[2:], self.stride, self.dilation)):
            seen = seen.unfold(2 + axis, (size - 1) * dilation + 1, stride)[..., ::dilation]
        places = seen.shape[2:4]  # seen is [N, in, H', W', height, width]
        seen = seen.unflatten(1, (self.groups, -1)).permute(1, 0, 3, 4, 2, 5, 6)
        sums = self.accumulate(seen.reshape(self.groups, -1, prod(self.weight.shape[1:])), self.groups)
        return sums.movedim(0, 1).reshape(len(codes), *places, len(self.weight)).permute(0, 3, 1, 2)


class Requantize(nn.Module):
    """From accumulators int32 [N, channels, ...] to the codes of a grid; its ReLU is the clamp.

    units: the value of one step of the accumulator of each channel (float64 [channels]).

    >>> layer = Requantize(torch.tensor([0.5]), 1.0, 10, IntFormat(8, signed=False), relu=True)
    >>> layer(torch.tensor([[8], [-8]], dtype=torch.int32)).flatten()                        # 4, and -4 clamped to 0
    tensor([14, 10], dtype=torch.uint8)
    """

    def __init__(self, units: Tensor, scale: float, zero_point: int, fmt: IntFormat, relu: bool) -> None:
        super().__init__()
        multiplier, shift = multiplier_and_shift(units / scale)
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("shift", shift)
        self.zero_point, self.dtype = zero_point, code_dtype(fmt)
        self.qmin, self.qmax = zero_point if relu else fmt.qmin, fmt.qmax

    def forward(self, accumulator: Tensor) -> Tensor:
        channels = (-1, *[1] * (accumulator.dim() - 2))
        multiplier, shift = self.multiplier.view(channels), self.shift.view(channels)
        return requantize(accumulator, multiplier, shift, self.zero_point, self.qmin, self.qmax).to(self.dtype)


class IntegerReLU(nn.Module):
    """max(accumulator, 0), for a ReLU that no clamp of a grid follows directly."""

    def forward(self, accumulator: Tensor) -> Tensor:
        return accumulator.clamp(min=0)


class IntegerSum(nn.Module):
    """Average pooling over all places: the sum (int32 [N, channels, 1, 1]). The next scale divides by their number.

    places: the height and width that give this number.
    """

    def __init__(self, places: tuple[int, int]) -> None:
        super().__init__()
        self.places = places

    def forward(self, accumulator: Tensor) -> Tensor:
        if tuple(accumulator.shape[2:]) != self.places:
            raise ValueError(
                f"the average was made for {self.places} places, got {tuple(accumulator.shape[2:])}; "
                "pass inputs of the size of the example, or call to_integers with one of this size"
            )
        return accumulator.sum(dim=(2, 3), keepdim=True, dtype=torch.int32)


class IntegerNet(Stored):
    """A network that computes in integers between the rounding of its input and the scaling of its output.

    Takes the float inputs of the model that it was made from, and gives its float outputs, in float32 whatever it is
    cast to. `steps` is the integer part. It is a reference to read and to compare with: it is slower than floats.

    first: the layer whose input grid rounds the inputs, and its name.
    units: the value of a step of the last accumulators, per channel (float64).
    """

    def __init__(self, first: tuple[str, QuantizedLayer], steps: Mapping[str, nn.Module], units: Tensor) -> None:
        super().__init__()
        name, layer = first
        self.input_name, self.input_fmt = f"{name}_input", layer.input_fmt
        self.register_buffer("input_scale", layer.input_scale.clone())
        self.register_buffer("input_zero_point", layer.input_zero_point.clone())
        self.steps = nn.ModuleDict(steps)
        self.register_buffer("output_units", units)
        self.eval()

    def quantize_input(self, x: Tensor) -> Tensor:
        """Return the codes of the input.

        Raises:
            TypeError: it is not a tensor of floats.
            ValueError: it holds NaN.
        """
        need_tensor("x", x, empty=True, fix="pass pictures as floats")
        if bool(x.isnan().any()):
            raise ValueError("the input holds NaN, for which there is no code; check how the images were made")
        codes = to_codes(x, self.input_scale, self.input_zero_point, self.input_fmt.qmin, self.input_fmt.qmax)
        return codes.to(code_dtype(self.input_fmt))

    def integers(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the integers passed on: the codes of the input, then the result of every step, each with its name."""
        passed = self.quantize_input(x)
        yield self.input_name, passed
        for name, step in self.steps.items():
            passed = run_model(step, passed)
            yield name, passed

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for part in x.split(_IMAGES_AT_ONCE):
            *_, (_, accumulator) = self.integers(part)
            units = self.output_units.view(-1, *[1] * (accumulator.dim() - 2))
            outputs.append((accumulator * units).float())
        return torch.cat(outputs)


def code_dtype(fmt: IntFormat) -> torch.dtype:
    """Return the byte that holds the codes of a grid of up to 8 bits.

    >>> code_dtype(IntFormat(4)), code_dtype(IntFormat(8, signed=False))
    (torch.int8, torch.uint8)
    """
    return torch.int8 if fmt.signed else torch.uint8
