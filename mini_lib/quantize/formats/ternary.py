"""Ternary weights: each weight becomes -scale, 0 or +scale."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from mini_lib.packing import pack_trits, packed_trit_bytes, unpack_trits
from mini_lib.quantize.formats.base import Observer
from mini_lib.quantize.formats.scaled import ScaledFormat
from mini_lib.quantize.granularity import PER_TENSOR, Granularity
from mini_lib.quantize.validate import finite_rows

THRESHOLD = 0.7  # of the mean magnitude: near the optimum for normal (0.75) and uniform (0.667) weights


@dataclass(frozen=True)
class TernaryFormat(ScaledFormat):
    """Three values, -scale, 0 and +scale, five of them to a byte.

    Raises:
        TypeError: `granularity` is not a Granularity.
        ValueError: `scale_dtype` is not float32, float16 or bfloat16.

    >>> TernaryFormat().bits                # 8 bits / 5
    1.6

    Source: Li 2016, "Ternary Weight Networks", section 2.
    """

    granularity: Granularity = PER_TENSOR
    scale_dtype: torch.dtype = torch.float32
    qmin = -1

    @property
    def bits(self) -> float:
        return 8 / 5

    @property
    def label(self) -> str:
        return f"ternary {self.granularity.label}"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Return the codes -1, 0 and 1, and a scale per row, both by `ternarize`."""
        return self.from_rows(*ternarize(self.granularity.rows(weight)), weight.shape)

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: a fifth of a byte per weight, and the scales."""
        codes = torch.uint8, (packed_trit_bytes(prod(shape)),)
        return {"codes": codes, "scale": (self.scale_dtype, self.granularity.scale_shape(shape))}

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Write -1, 0 and 1 as the trits 0, 1 and 2."""
        return {"codes": pack_trits(fields["codes"] - self.qmin), "scale": fields["scale"]}

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Read the trits 0, 1 and 2 as -1, 0 and 1."""
        return {"codes": unpack_trits(parts["codes"], prod(shape)).view(shape) + self.qmin, "scale": parts["scale"]}


def ternarize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ternary codes and the scale of each row: (int32 [rows, n] of -1, 0, 1; float32 [rows]).

    A weight is kept if its magnitude exceeds 0.7 times the row's mean magnitude. The scale is the mean magnitude of the
    weights kept, which has the least squared error for these codes. An all-zero row gets codes 0 and scale 1.

    Raises:
        TypeError: `rows` does not hold floats.
        ValueError: `rows` is not a matrix, is empty, or holds NaN or infinity.

    >>> codes, scale = ternarize(torch.tensor([[1.0, -3.0, 0.5, 3.5]]))   # mean 2, threshold 1.4
    >>> codes, scale                                                      # (3 + 3.5) / 2
    (tensor([[ 0, -1,  0,  1]], dtype=torch.int32), tensor([3.2500]))

    Source: Li 2016, "Ternary Weight Networks", section 2.
    """
    rows = finite_rows(rows)
    size = rows.abs().double()  # a sum of float32 may overflow float32
    keep = size > THRESHOLD * size.mean(dim=1, keepdim=True)
    kept = keep.sum(dim=1)
    scale = ((size * keep).sum(dim=1) / kept.clamp(min=1)).float()
    return rows.sign().to(torch.int32) * keep, torch.where(kept == 0, torch.ones_like(scale), scale)
