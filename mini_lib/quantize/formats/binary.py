"""Binary weights: each weight becomes -scale or +scale."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from mini_lib.packing import pack_mask, unpack_mask
from mini_lib.quantize.formats.base import Observer
from mini_lib.quantize.formats.scaled import ScaledFormat
from mini_lib.quantize.granularity import PER_CHANNEL, Granularity
from mini_lib.quantize.validate import finite_rows


@dataclass(frozen=True)
class BinaryFormat(ScaledFormat):
    """Two values, -scale and +scale: one bit per weight.

    Raises:
        TypeError: `granularity` is not a Granularity.
        ValueError: `scale_dtype` is not float32, float16 or bfloat16.

    >>> BinaryFormat().label
    'binary per channel'

    Source: Rastegari 2016, "XNOR-Net", section 3.1.
    """

    granularity: Granularity = PER_CHANNEL
    scale_dtype: torch.dtype = torch.float32
    qmin = -1

    @property
    def bits(self) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"binary {self.granularity.label}"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Return the codes -1 and 1, and a scale per row, both by `binarize`."""
        return self.from_rows(*binarize(self.granularity.rows(weight)), weight.shape)

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: one bit per weight, and the scales."""
        return {"codes": self.packed_codes(shape), "scale": (self.scale_dtype, self.granularity.scale_shape(shape))}

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Write a 1 for each weight that is +scale."""
        return {"codes": pack_mask(fields["codes"] > 0), "scale": fields["scale"]}

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Read 0 and 1 as -1 and 1."""
        positive = unpack_mask(parts["codes"], prod(shape)).view(shape)
        return {"codes": 2 * positive.to(torch.int32) - 1, "scale": parts["scale"]}


def binarize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the signs and the scale of each row: (int32 [rows, n] of -1 and 1; float32 [rows]).

    The scale is the row's mean magnitude, which has the least squared error. There is no code for 0, so a zero becomes
    +1. An all-zero row gets scale 0, so that it stays zero (nothing is ever divided by it).

    Raises:
        TypeError: `rows` does not hold floats.
        ValueError: `rows` is not a matrix, is empty, or holds NaN or infinity.

    >>> codes, scale = binarize(torch.tensor([[1.0, -3.0, 0.0, 4.0]]))
    >>> codes, scale                                             # (1 + 3 + 0 + 4) / 4
    (tensor([[ 1, -1,  1,  1]], dtype=torch.int32), tensor([2.]))

    Source: Rastegari 2016, "XNOR-Net", section 3.1.
    """
    rows = finite_rows(rows)
    codes = torch.where(rows < 0, -1, 1).to(torch.int32)
    return codes, rows.abs().double().mean(dim=1).float()  # a sum of float32 may overflow float32
