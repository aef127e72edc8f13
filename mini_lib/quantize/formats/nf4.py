"""NF4, the 4-bit NormalFloat of QLoRA: equal to bitsandbytes' quantize_4bit to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.formats.base import Format, Observer
from mini_lib.quantize.formats.double_quantize import NESTED_BLOCK, SMALLEST_ABSMAX, DoubleQuantized
from mini_lib.quantize.validate import finite_float32, need_codes
from mini_lib.tensor_checks import need_tensor

# The quantiles of a standard normal, scaled to [-1, 1], with an exact 0 (Dettmers 2023, appendix E).
NF4_VALUES = torch.tensor(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ]
)


@dataclass(frozen=True)
class NF4Format(Format):
    """4-bit NormalFloat: sixteen fixed values, dense where a normal distribution is, times a scale per block.

    block_size: this many consecutive weights share a scale, their largest magnitude (absmax).
    double_quantize: store the blocks' absmax in 8 bits too, which cuts them from 0.5 bits per weight to 0.127.

    Raises:
        TypeError: `block_size` is not a whole number.
        ValueError: `block_size` is below 1.

    >>> NF4Format().label
    'nf4 per block of 64'

    Source: Dettmers 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", section 3 and appendix E.
    """

    block_size: int = 64
    double_quantize: bool = False

    def __post_init__(self) -> None:
        require.checked(self, "block_size", require.whole, low=1, fix="use 64")

    @property
    def bits(self) -> int:
        return 4

    @property
    def label(self) -> str:
        return f"nf4 per block of {self.block_size}{', double' if self.double_quantize else ''}"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Return the codes and the absmax of each block as its scale; with double quantization, its parts as well."""
        codes, absmax = nf4_codes(weight, self.block_size)
        scale = self._nested(DoubleQuantized.of(absmax)) if self.double_quantize else {"scale": absmax}
        return {"codes": codes} | scale

    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Return absmax * NF4_VALUES[code]."""
        return from_nf4_codes(fields["codes"], fields["scale"], self.block_size)

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: packed codes, and the scales in fp32, or as `DoubleQuantized` stores them."""
        blocks = -(-prod(shape) // self.block_size)
        if not self.double_quantize:
            return {"codes": self.packed_codes(shape), "scale": (torch.float32, (blocks,))}
        return {
            "codes": self.packed_codes(shape),
            "scale_codes": (torch.uint8, (blocks,)),
            "scale_absmax": (torch.float32, (-(-blocks // NESTED_BLOCK),)),
            "scale_offset": (torch.float32, ()),
        }

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pack the codes; scales that are quantized are not also stored in fp32."""
        parts = super().pack(fields)
        if self.double_quantize:
            del parts["scale"]
        return parts

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Read the codes, and compute the scales where these are quantized themselves."""
        fields = super().unpack(parts, shape)
        return fields | self._nested(DoubleQuantized.from_parts(parts)) if self.double_quantize else fields

    @staticmethod
    def _nested(scales: DoubleQuantized) -> dict[str, Tensor]:
        return scales.parts() | {"scale": scales.dequantize()}


def nf4_codes(weight: Tensor, block_size: int = 64) -> tuple[Tensor, Tensor]:
    """Return the codes (int32, 0 to 15, shape of `weight`) and the largest magnitude of each block (float32 [blocks]).

    Blocks are runs of `block_size` weights in row-major order, whatever the shape; the last may be shorter.

    Raises:
        TypeError: `weight` does not hold floats.
        ValueError: `weight` is empty, or holds NaN or infinity.

    >>> codes, absmax = nf4_codes(torch.tensor([4.0, -4.0, 0.0, 0.3]))     # 0.3 / 4 = 0.075, near 0.0796
    >>> codes, absmax
    (tensor([15,  0,  7,  8], dtype=torch.int32), tensor([4.]))

    Source: Dettmers 2023, section 3.
    """
    weight = finite_float32("weight", weight)
    block_size = require.whole("block_size", block_size, low=1, fix="use 64")
    flat = weight.reshape(-1)
    full = flat.numel() - flat.numel() % block_size
    blocks, tail = flat[:full].view(-1, block_size), flat[full:]
    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks * (1.0 / absmax.clamp(min=SMALLEST_ABSMAX)).unsqueeze(1)).reshape(-1)
    if tail.numel():  # bitsandbytes divides here and multiplies above
        last = tail.abs().amax().clamp(min=SMALLEST_ABSMAX)
        absmax, scaled = torch.cat([absmax, last[None]]), torch.cat([scaled, tail / last])
    midpoints = (NF4_VALUES[:-1] + NF4_VALUES[1:]) / 2
    codes = torch.bucketize(scaled.clamp(-1, 1), midpoints, out_int32=True)
    return codes.view(weight.shape), absmax


def from_nf4_codes(codes: Tensor, absmax: Tensor, block_size: int = 64) -> Tensor:
    """Return the values that codes stand for, their block's absmax * NF4_VALUES[code] (float32, shape of `codes`).

    Raises:
        TypeError: the codes are not whole numbers, or `absmax` does not hold floats.
        ValueError: a code is not from 0 to 15, there is not one absmax per block, or `block_size` is below 1.

    >>> from_nf4_codes(torch.tensor([15, 0, 7, 8]), torch.tensor([4.0]))     # 4 * 0.0796
    tensor([ 4.0000, -4.0000,  0.0000,  0.3183])

    Source: Dettmers 2023, section 3.
    """
    need_codes("codes", codes)
    need_tensor("absmax", absmax, dims=1, empty=True, fix="nf4_codes gives one per block")
    block_size = require.whole("block_size", block_size, low=1, fix="use 64")
    blocks = -(-codes.numel() // block_size)
    if len(absmax) != blocks or (codes.numel() and not 0 <= codes.min() <= codes.max() < len(NF4_VALUES)):
        raise ValueError(
            f"{codes.numel()} codes in blocks of {block_size} go from 0 to 15 and need {blocks} absmax, got "
            f"{len(absmax)} and the codes {sorted({*codes.flatten().tolist()})[:20]}; pass what nf4_codes gave"
        )
    values = NF4_VALUES[codes.reshape(-1).int()]
    return (values * absmax.repeat_interleave(block_size)[: values.numel()]).view(codes.shape)
