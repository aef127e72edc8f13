"""The common part of integer, ternary and binary formats: rows of codes, and one scale per row."""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.affine import values_of
from mini_lib.quantize.formats.base import SCALE_DTYPES, Format
from mini_lib.quantize.granularity import Granularity
from mini_lib.quantize.validate import cast_finite


class ScaledFormat(Format):
    """value = scale * (code - zero_point), where the granularity says which weights share a scale and a zero point.

    Fields: "codes" int32, "scale" in the scale_dtype, and "zero_point" int32 where 0 is not always code 0.
    """

    granularity: Granularity
    scale_dtype: torch.dtype

    def __post_init__(self) -> None:
        if not isinstance(self.granularity, Granularity):
            raise TypeError(
                f"granularity must be PerTensor(), PerChannel(axis) or PerGroup(size), got {self.granularity!r}"
            )
        require.checked(self, "scale_dtype", require.one_of, choices=SCALE_DTYPES, fix="torch.float16 is smaller")

    def from_rows(self, codes: Tensor, scale: Tensor, shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Return the fields of a tensor of this `shape`, from its rows of codes [rows, n] and their scales [rows].

        Raises:
            ValueError: a scale does not fit the scale_dtype.
        """
        scale = cast_finite("a scale", scale, self.scale_dtype).reshape(self.granularity.scale_shape(shape))
        return {"codes": self.granularity.unrows(codes, shape), "scale": scale}

    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Return scale * (code - zero_point), row by row."""
        scale = fields["scale"].reshape(-1, 1)
        zero_point = fields["zero_point"].reshape(-1, 1) if "zero_point" in fields else 0
        return self.granularity.unrows(values_of(self.granularity.rows(fields["codes"]), scale, zero_point), shape)
