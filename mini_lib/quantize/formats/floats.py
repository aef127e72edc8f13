"""Floating point: the weights themselves, in 32 or 16 bits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.formats.base import SCALE_DTYPES, SHORT_NAMES, Format, Observer
from mini_lib.quantize.validate import cast_finite


@dataclass(frozen=True)
class FloatFormat(Format):
    """Plain floating point: 32 or 16 bits per weight and no scale.

    Raises:
        ValueError: `dtype` is not float32, float16 or bfloat16.

    >>> FloatFormat(torch.bfloat16).bits
    16
    """

    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        require.checked(self, "dtype", require.one_of, choices=SCALE_DTYPES, fix="others have their own formats")

    @property
    def bits(self) -> int:
        return torch.finfo(self.dtype).bits

    @property
    def label(self) -> str:
        return SHORT_NAMES[self.dtype]

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Cast the weight; a weight is its own code."""
        return {"codes": cast_finite("the weight", weight, self.dtype).clone()}

    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Cast back to float32, which changes no value."""
        return fields["codes"].to(torch.float32, copy=True)

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return one part: the values, in the shape of the tensor."""
        return {"values": (self.dtype, tuple(shape))}

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Store the codes as they are, under the name "values"."""
        return {"values": fields["codes"]}

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Take the values as codes."""
        return {"codes": parts["values"]}
