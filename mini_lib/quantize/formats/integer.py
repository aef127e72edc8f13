"""Integer grids: value = scale * (code - zero_point). The range of the values decides the scale and the zero point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.affine import nearest_codes
from mini_lib.quantize.formats.base import Observer
from mini_lib.quantize.formats.scaled import ScaledFormat
from mini_lib.quantize.granularity import PER_TENSOR, Granularity
from mini_lib.quantize.validate import finite_float32, need_range
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class IntFormat(ScaledFormat):
    """A uniform grid: value = scale * (code - zero_point), with the codes from `qmin` to `qmax`.

    symmetric: zero_point is 0 and is not stored. A signed symmetric grid gives up its lowest code so that it reaches as
        far up as down: 4 bits are -7 to 7. An unsigned symmetric grid starts at zero, which suffices for the output of
        a ReLU.
    symmetric=False (affine): the grid is shifted so that it covers the lowest and the highest value; zero_point is the
        code that stands for exactly 0.
    scale_dtype: the dtype in which scales are stored. A zero point is stored in 16 bits.

    Raises:
        TypeError: `bits` is not a whole number, or `granularity` is not a Granularity.
        ValueError: `bits` is not from 1 to 16, or is 1 for a symmetric signed grid, which has only the code 0;
            `scale_dtype` is not float32, float16 or bfloat16.

    >>> fmt = IntFormat(4)
    >>> fmt.qmin, fmt.qmax
    (-7, 7)
    >>> fmt = IntFormat(4, symmetric=False, signed=False)
    >>> fmt.qmin, fmt.qmax
    (0, 15)
    >>> from mini_lib.quantize import PerGroup
    >>> IntFormat(4, granularity=PerGroup(128)).label
    'int4 per group of 128'

    Source: Jacob 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    section 2.1; Nagel 2021, "A White Paper on Neural Network Quantization", section 2.2.
    """

    bits: int
    symmetric: bool = True
    signed: bool = True
    granularity: Granularity = PER_TENSOR
    scale_dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        require.checked(self, "bits", require.whole, low=1, high=16, fix="4 bits are 16 codes")
        super().__post_init__()
        if self.bits == 1 and self.symmetric and self.signed:
            raise ValueError(
                "a symmetric signed grid of 1 bit has only the code 0; "
                "use BinaryFormat() for -1 and +1, or symmetric=False for two levels, one of them 0"
            )

    @property
    def qmin(self) -> int:
        """The lowest code."""
        if not self.signed:
            return 0
        return -(2 ** (self.bits - 1)) + (1 if self.symmetric else 0)

    @property
    def qmax(self) -> int:
        """The highest code."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def label(self) -> str:
        kind = "int" if self.signed else "uint"
        return f"{kind}{self.bits} {'' if self.symmetric else 'affine '}{self.granularity.label}"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Let the observer choose each row's range, put a grid over it, and round to the nearest codes."""
        rows = self.granularity.rows(weight)
        scale, zero_point = choose_qparams(*need_range(observer(rows, self)), self)
        codes = nearest_codes(rows, scale[:, None], zero_point[:, None], self.qmin, self.qmax)
        fields = self.from_rows(codes, scale, weight.shape)
        return fields if self.symmetric else fields | {"zero_point": zero_point.reshape(fields["scale"].shape)}

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: packed codes, scales, and 16-bit zero points where the grid is not symmetric.

        Four bits in groups of 128 with fp16 scales and zero points are therefore 4 + 16/128 + 16/128 = 4.25 bits per
        weight.

        >>> IntFormat(4, symmetric=False).layout((3, 3))                       # 36 bits are 5 bytes
        {'codes': (torch.uint8, (5,)), 'scale': (torch.float32, ()), 'zero_point': (torch.int16, ())}
        """
        scale_shape = self.granularity.scale_shape(shape)
        parts = {"codes": self.packed_codes(shape), "scale": (self.scale_dtype, scale_shape)}
        return parts if self.symmetric else parts | {"zero_point": (self._zero_point_dtype, scale_shape)}

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pack the codes, and store a zero point, which is a code, in 16 bits."""
        parts = super().pack(fields)
        return parts if self.symmetric else parts | {"zero_point": fields["zero_point"].to(self._zero_point_dtype)}

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Read the codes and the zero point, both as int32."""
        fields = super().unpack(parts, shape)
        return fields if self.symmetric else fields | {"zero_point": parts["zero_point"].to(torch.int32)}

    @property
    def _zero_point_dtype(self) -> torch.dtype:
        return torch.int16 if self.signed else torch.uint16


def symmetric_scale(weight: Tensor, bits: int) -> Tensor:
    """Return the step of the symmetric signed grid that just reaches the largest magnitude of `weight`.

    Raises:
        TypeError: `bits` is not a whole number, or `weight` does not hold floats.
        ValueError: `bits` is not from 2 to 16, or `weight` is empty or holds NaN or infinity.

    >>> symmetric_scale(torch.tensor([-1.0, 0.5]), bits=2)     # codes -1, 0, 1: the step is 1
    tensor(1.)
    >>> symmetric_scale(torch.tensor([3.5, -1.0]), bits=4)     # codes -7 to 7: 3.5 / 7
    tensor(0.5000)

    Source: Nagel 2021, section 2.2.1.
    """
    bits = require.whole("bits", bits, low=2, high=16, fix="2 bits are the codes -1, 0 and 1")
    weight = finite_float32("weight", weight)
    scale, _ = choose_qparams(weight.min(), weight.max(), IntFormat(bits))
    return scale


def affine_scale(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return the step and the zero point of the unsigned affine grid that covers `weight` and 0.

    Raises:
        TypeError: `bits` is not a whole number, or `weight` does not hold floats.
        ValueError: `bits` is not from 1 to 16, or `weight` is empty or holds NaN or infinity.

    >>> scale, zero_point = affine_scale(torch.tensor([-1.0, 0.0, 2.0]), bits=2)  # 4 codes, 3 steps
    >>> scale, zero_point                          # -1 is code 0, 0 is code 1, 2 is code 3
    (tensor(1.), tensor(1, dtype=torch.int32))

    Source: Jacob 2018, section 2.1.
    """
    weight = finite_float32("weight", weight)
    return choose_qparams(weight.min(), weight.max(), IntFormat(bits, symmetric=False, signed=False))


def choose_qparams(low: Tensor, high: Tensor, fmt: IntFormat) -> tuple[Tensor, Tensor]:
    """Return the scale (float32) and zero point (int32) of the grids that cover `low` to `high`, one grid per element.

    The range is first widened to hold 0, so that 0 is exactly a code. An all-zero range gets scale 1. A scale is never
    zero: a range too small for a normal number gets the smallest one. With a 16-bit scale_dtype, this dtype holds the
    scale exactly.

    Raises:
        ValueError: a range is not finite or its low end lies above its high end, the grid is unsigned and symmetric but
            `low` is negative, or a scale does not fit the scale_dtype.

    >>> low, high = torch.tensor([-1.0, 0.5]), torch.tensor([2.0, 1.5])
    >>> choose_qparams(low, high, IntFormat(2, symmetric=False, signed=False))   # 3 / 3; 1.5 / 3
    (tensor([1.0000, 0.5000]), tensor([1, 0], dtype=torch.int32))
    >>> choose_qparams(low, high, IntFormat(3))                                  # 2 / 3; 1.5 / 3
    (tensor([0.6667, 0.5000]), tensor([0, 0], dtype=torch.int32))

    Source: Jacob 2018, sections 2.1 and 3.1; Krishnamoorthi 2018, section 2.1.
    """
    for name, end in (("low", low), ("high", high)):
        need_tensor(name, end, fix="observers give tensors")
    require.of_type("fmt", fmt, IntFormat, fix="use IntFormat(8)")
    if low.shape != high.shape:
        raise ValueError(f"low {list(low.shape)} and high {list(high.shape)} must have one shape; give both ends")
    low, high = low.detach().float(), high.detach().float()
    if not bool((low.isfinite() & high.isfinite() & (low <= high)).all()):
        raise ValueError("every range must be finite with its low end first; got NaN, infinity, or low above high")
    low, high = low.clamp(max=0), high.clamp(min=0)
    if fmt.symmetric:
        if not fmt.signed and bool((low < 0).any()):
            raise ValueError(
                f"an unsigned symmetric grid has no negative code, but the values go down to {low.min():.4g}; "
                "use signed=True or symmetric=False"
            )
        largest = torch.maximum(-low, high)
        scale = _storable(largest / fmt.qmax, largest, fmt.scale_dtype)
        return scale, torch.zeros_like(scale, dtype=torch.int32)
    steps = fmt.qmax - fmt.qmin
    scale = (high - low) / steps
    scale = torch.where(scale.isfinite(), scale, high / steps - low / steps)  # high - low may overflow
    scale = _storable(scale, torch.maximum(-low, high), fmt.scale_dtype)
    zero_point = fmt.qmin - torch.round(low / scale)
    return scale, zero_point.clamp(fmt.qmin, fmt.qmax).to(torch.int32)


def _storable(scale: Tensor, largest: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the nearest scale that `dtype` holds: positive, finite, and with a finite reciprocal."""
    # fp16 scales may be subnormal (their reciprocal, taken in fp32, is finite); fp32 and bf16 ones may not.
    smallest = 2.0**-24 if dtype == torch.float16 else torch.finfo(torch.float32).tiny
    stored = scale.clamp(min=smallest).to(dtype).float()
    if not bool(stored.isfinite().all()):
        raise ValueError(
            f"a scale of {scale.max():.4g} does not fit {dtype} (at most {torch.finfo(dtype).max:.4g}); "
            "use scale_dtype=torch.float32"
        )
    return torch.where(largest == 0, torch.ones_like(stored), stored)
