"""FP8: an 8-bit float per weight, and one scale that brings the largest weight to the largest float."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.formats.base import Observer
from mini_lib.quantize.formats.minifloat import ELEMENTS, MiniFloat
from mini_lib.quantize.formats.scaled import ScaledFormat
from mini_lib.quantize.granularity import PER_TENSOR, Granularity


@dataclass(frozen=True)
class FP8Format(ScaledFormat):
    """value = scale * float: 8-bit floats, and one fp32 scale per row of the granularity.

    element: "e4m3" has 3 bits of mantissa and ends at 448; "e5m2" has 2, ends at 57,344 and is for gradients.

    A code is the bit pattern of the float, so the packed codes are the bytes of torch.float8_e4m3fn or float8_e5m2. A
    step is a share of the weight itself, not of the largest weight: with 3 bits of mantissa, a rounding error is at
    most 1/16 of the weight itself, from the largest weight down to 2**-14 of it.

    Raises:
        TypeError: `granularity` is not a Granularity.
        ValueError: `element` is unknown.

    >>> FP8Format().label
    'fp8 e4m3 per tensor'

    Source: Micikevicius 2022, "FP8 Formats for Deep Learning", section 3.
    """

    element: str = "e4m3"
    granularity: Granularity = PER_TENSOR
    scale_dtype = torch.float32

    def __post_init__(self) -> None:
        require.checked(self, "element", require.one_of, choices=("e4m3", "e5m2"), fix="e4m3 is for weights")
        super().__post_init__()

    @property
    def bits(self) -> int:
        return 8

    @property
    def label(self) -> str:
        return f"fp8 {self.element} {self.granularity.label}"

    @property
    def _float(self) -> MiniFloat:
        return ELEMENTS[self.element]

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Divide each row by its scale, largest magnitude / largest float, and round; a row of zeros has scale 1."""
        rows = self.granularity.rows(weight)
        largest = rows.abs().amax(dim=1)
        scale = (largest / self._float.largest).clamp(min=torch.finfo(torch.float32).tiny)
        scale = torch.where(largest == 0, 1.0, scale)
        return self.from_rows(self._float.encode(rows / scale[:, None]), scale, weight.shape)

    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Return scale * float, row by row."""
        values = self._float.values[self.granularity.rows(fields["codes"])]
        return self.granularity.unrows(values * fields["scale"].reshape(-1, 1), shape)

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: one byte per weight, and the scales."""
        return {"codes": self.packed_codes(shape), "scale": (torch.float32, self.granularity.scale_shape(shape))}
