"""NVFP4: blocks of 16 small floats, an 8-bit float as the scale per block, and one fp32 scale per tensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.quantize.formats.base import Observer
from mini_lib.quantize.formats.blocks import BlockFormat
from mini_lib.quantize.formats.minifloat import E2M1, E4M3

SMALLEST = 2.0**-120  # of a tensor scale: its reciprocal, divided by the smallest block scale, is still a float32


@dataclass(frozen=True)
class NVFP4Format(BlockFormat):
    """value = tensor scale * block scale * float: E2M1 floats, E4M3 block scales, an fp32 tensor scale.

    A block scale has a mantissa, so the largest weight of a block lands near 6, where a power of two would put it
    anywhere from 3 to 6. In return it has few exponents; the tensor scale gives the largest block the largest scale,
    448. A block whose largest weight is below 2**-6 / 448 of the tensor's has the block scale 2**-6: as in torchao,
    subnormal block scales are not used.

    >>> fmt = NVFP4Format()
    >>> fmt.label, fmt.layout((64, 64))["tensor_scale"]
    ('nvfp4', (torch.float32, ()))

    Source: NVIDIA 2025, "Pretraining Large Language Models with NVFP4" (arXiv:2509.25149).
    """

    element = "e2m1"
    block_size = 16

    @property
    def label(self) -> str:
        return "nvfp4"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Choose the tensor scale, then the block scales in units of it, then round the weights in units of both."""
        blocks = self.in_blocks(weight)
        largest = blocks.abs().amax(dim=1)
        tensor_scale = (largest.amax() / (E4M3.largest * E2M1.largest)).clamp(min=SMALLEST)
        wanted = largest / E2M1.largest / tensor_scale
        scale_codes = E4M3.encode(wanted.clamp(min=2.0**E4M3.lowest_exponent))
        scaled = blocks * (1.0 / tensor_scale / E4M3.values[scale_codes])[:, None]
        parts = {"scale_codes": scale_codes.to(torch.uint8), "tensor_scale": tensor_scale}
        return self.fields(scaled, parts, weight.shape)

    def scale(self, parts: dict[str, Tensor]) -> Tensor:
        """Return tensor scale * block scale."""
        return parts["tensor_scale"] * E4M3.values[parts["scale_codes"].int()]

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: packed codes, a byte per block of 16, and one fp32: 4.5 bits per weight and 4 bytes."""
        return super().layout(shape) | {"tensor_scale": (torch.float32, ())}
