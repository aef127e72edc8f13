"""The common part of MX and NVFP4: small floats in short blocks, with an 8-bit scale per block.

A block is a run of weights in row-major order, whatever the shape; the last may be shorter. Where the block size
divides the number of weights that feed one output, no block spans two outputs, as a matrix unit requires.
"""

from __future__ import annotations

from abc import abstractmethod
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import pad

from mini_lib.quantize.formats.base import Format
from mini_lib.quantize.formats.minifloat import ELEMENTS, MiniFloat


class BlockFormat(Format):
    """value = scale of the block * small float.

    Fields: "codes" int32, the bit patterns of the floats; "scale_codes" uint8 [blocks], those of the scales; and
    "scale" float32 [blocks], which follows from the stored tensors and is not stored itself.
    """

    element: str
    block_size: int

    @property
    def bits(self) -> int:
        return self.minifloat.bits

    @property
    def minifloat(self) -> MiniFloat:
        """The type of the elements."""
        return ELEMENTS[self.element]

    @abstractmethod
    def scale(self, parts: dict[str, Tensor]) -> Tensor:
        """Return the scale of each block (float32 [blocks]) from the stored parts."""

    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Return scale * float, block by block."""
        values = self.minifloat.values[fields["codes"].reshape(-1)]
        return (values * fields["scale"].repeat_interleave(self.block_size)[: values.numel()]).view(shape)

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: packed codes, and a byte per block."""
        blocks = -(-prod(shape) // self.block_size)
        return {"codes": self.packed_codes(shape), "scale_codes": (torch.uint8, (blocks,))}

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pack the codes; of the scales, only their codes are stored."""
        parts = super().pack(fields)
        del parts["scale"]
        return parts

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Read the codes, and work out the scales."""
        return super().unpack(parts, shape) | {"scale": self.scale(parts)}

    def in_blocks(self, weight: Tensor) -> Tensor:
        """Lay `weight` out with one row per block; the last is filled up with zeros."""
        flat = weight.reshape(-1)
        return pad(flat, (0, -flat.numel() % self.block_size)).view(-1, self.block_size)

    def fields(self, scaled: Tensor, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Return the fields of a tensor of this `shape`: its blocks, divided by their scales, and the other parts."""
        codes = self.minifloat.encode(scaled).reshape(-1)[: prod(shape)].view(shape)
        return {"codes": codes} | parts | {"scale": self.scale(parts)}
