"""MX, the microscaling formats of OCP: blocks of 32 small floats, and a power of two per block."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.formats.base import Observer
from mini_lib.quantize.formats.blocks import BlockFormat

BIAS = 127  # a scale is stored as E8M0, 8 bits of exponent only: code c is 2**(c - 127), and 255 is NaN


@dataclass(frozen=True)
class MXFormat(BlockFormat):
    """value = 2**exponent of the block * small float, for blocks of 32.

    element: "e4m3" or "e5m2" for MXFP8, "e2m1" for MXFP4.
    scale_rounding: how the exponent follows from the largest magnitude m of a block.
        "floor", as in the specification: floor(log2(m)) - floor(log2(largest float)). The largest weight of an
        MXFP4 block then lies between 4 and 8, but the floats end at 6: larger weights saturate.
        "even": the same, once m is rounded to the mantissa of the element. A weight that would round up to 8 gets
        the next exponent.
        "rceil": ceil(log2(m / largest float)), the least exponent with which nothing saturates.

    Raises:
        TypeError: `block_size` is not a whole number.
        ValueError: `element` or `scale_rounding` is unknown, or `block_size` is below 1.

    >>> MXFP4.label, MXFormat("e4m3").label
    ('mxfp4', 'mxfp8 e4m3')

    Source: Open Compute Project 2023, "OCP Microscaling Formats (MX) Specification" 1.0, sections 5 and 6.3; Rouhani
    2023, "Microscaling Data Formats for Deep Learning", algorithm 1.
    """

    element: str = "e4m3"
    block_size: int = 32
    scale_rounding: str = "floor"

    def __post_init__(self) -> None:
        require.checked(self, "element", require.one_of, choices=("e4m3", "e5m2", "e2m1"), fix="e2m1 is that of MXFP4")
        require.checked(self, "block_size", require.whole, low=1, fix="the specification has 32")
        require.checked(
            self, "scale_rounding", require.one_of, choices=("floor", "even", "rceil"), fix="OCP has 'floor'"
        )

    @property
    def label(self) -> str:
        name = "mxfp4" if self.bits == 4 else f"mxfp8 {self.element}"
        blocks = "" if self.block_size == 32 else f" per block of {self.block_size}"
        return f"{name}{blocks}{'' if self.scale_rounding == 'floor' else f', {self.scale_rounding}'}"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Divide each block by its power of two, and round; a block of zeros has the smallest power, 2**-127."""
        blocks = self.in_blocks(weight)
        exponents = self._exponents(blocks.abs().amax(dim=1)).clamp(-BIAS, BIAS - self._top)  # values are float32
        scaled = torch.ldexp(blocks, -exponents[:, None])
        return self.fields(scaled, {"scale_codes": (exponents + BIAS).to(torch.uint8)}, weight.shape)

    def scale(self, parts: dict[str, Tensor]) -> Tensor:
        """Return 2**(code - 127)."""
        exponents = parts["scale_codes"].int() - BIAS
        return torch.ldexp(torch.ones(exponents.shape), exponents)

    def _exponents(self, largest: Tensor) -> Tensor:
        if self.scale_rounding == "rceil":
            mantissa, exponent = torch.frexp(largest / self.minifloat.largest)  # mantissa * 2**exponent, from 0.5 to 1
            exponent = exponent - (mantissa == 0.5).int()
        else:
            mantissa, exponent = torch.frexp(largest)
            half_step = 2.0 ** -(self.minifloat.mantissa_bits + 2)
            rounds_up = (mantissa >= 1 - half_step) & (self.scale_rounding == "even")
            exponent = exponent - 1 + rounds_up.int() - self._top
        return torch.where(largest == 0, -BIAS, exponent)

    @property
    def _top(self) -> int:
        """The exponent of the largest float: 8 for E4M3, 15 for E5M2, 2 for E2M1."""
        return int(log2(self.minifloat.largest))


MXFP8 = MXFormat("e4m3")
MXFP4 = MXFormat("e2m1")
