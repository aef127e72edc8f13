"""A quantized tensor: its codes, what they stand for, and the bytes that it occupies."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from mini_lib.quantize import affine
from mini_lib.quantize.binary import binarize
from mini_lib.quantize.codebook import k_means
from mini_lib.quantize.double_quantize import DoubleQuantized
from mini_lib.quantize.formats import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    Format,
    IntFormat,
    NF4Format,
    TernaryFormat,
)
from mini_lib.quantize.layout import require_layout
from mini_lib.quantize.nf4 import from_nf4_codes, nf4_codes
from mini_lib.quantize.observers import Observer, min_max
from mini_lib.quantize.pack import pack, pack_trits, unpack, unpack_trits
from mini_lib.quantize.ternary import ternarize
from mini_lib.quantize.validate import cast_finite, finite_float32


@dataclass(frozen=True, eq=False)
class QTensor:
    """A tensor in a quantized format.

    codes: int32 of the tensor's shape, in the format's own range (-7 to 7 for a symmetric int4);
        for a FloatFormat, the values themselves in that dtype.
    scale: in the format's scale_dtype, shape () per tensor, [channels], [outputs, groups] or [blocks];
        None where the format has none.
    zero_point: int32 of the shape of the scale; None where 0 is always code 0.
    codebook: the values of the codes of a CodebookFormat, ascending.
    nested: an NF4 scale that is itself quantized, as it is stored.

    Source: Jacob 2018, section 2.1 (the data structure QuantizedBuffer).
    """

    fmt: Format
    shape: tuple[int, ...]
    codes: Tensor
    scale: Tensor | None = None
    zero_point: Tensor | None = None
    codebook: Tensor | None = None
    nested: DoubleQuantized | None = None

    def dequantize(self) -> Tensor:
        """The values that the codes stand for: float32 of the tensor's shape.

        >>> quantize(torch.tensor([3.5, -1.2]), IntFormat(4)).dequantize()     # step 0.5: codes 7, -2
        tensor([ 3.5000, -1.0000])
        """
        match self.fmt:
            case FloatFormat():
                return self.codes.float()
            case IntFormat() | TernaryFormat() | BinaryFormat():
                granularity = self.fmt.granularity
                scale = self.scale.reshape(-1, 1)
                zero_point = 0 if self.zero_point is None else self.zero_point.reshape(-1, 1)
                rows = affine.from_codes(granularity.rows(self.codes), scale, zero_point)
                return granularity.unrows(rows, self.shape)
            case CodebookFormat():
                return self.codebook.float()[self.codes]
            case NF4Format():
                return from_nf4_codes(self.codes, self.scale, self.fmt.block_size)

    def parts(self) -> dict[str, Tensor]:
        """The tensors that would be stored, by name: packed codes, scales, zero points, codebook.

        Nothing else is needed to rebuild the tensor, but its format and its shape.

        >>> q = quantize(torch.tensor([3.5, -1.0]), IntFormat(4))              # 7 + 7 = 14, -2 + 7 = 5
        >>> q.parts()                                                          # 14 + 16 * 5
        {'codes': tensor([94], dtype=torch.uint8), 'scale': tensor(0.5000)}
        """
        match self.fmt:
            case FloatFormat():
                return {"values": self.codes}
            case IntFormat():
                parts = {"codes": pack(self.codes - self.fmt.qmin, self.fmt.bits), "scale": self.scale}
                if self.zero_point is not None:
                    parts["zero_point"] = self.zero_point.to(torch.int16 if self.fmt.signed else torch.uint16)
                return parts
            case CodebookFormat():
                return {"codes": pack(self.codes, self.fmt.bits), "codebook": self.codebook}
            case NF4Format():
                scale = self.nested.parts() if self.nested else {"scale": self.scale}
                return {"codes": pack(self.codes, 4), **scale}
            case TernaryFormat():
                return {"codes": pack_trits(self.codes + 1), "scale": self.scale}
            case BinaryFormat():
                return {"codes": pack((self.codes + 1) // 2, 1), "scale": self.scale}

    @property
    def stored_bytes(self) -> int:
        """The bytes of all parts, as they would lie on disk.

        >>> quantize(torch.randn(4, 128), IntFormat(4)).stored_bytes           # 512 / 2 + 4
        260
        """
        return sum(part.nbytes for part in self.parts().values())

    @property
    def bits_per_weight(self) -> float:
        """Stored bits for each weight, scales and all.

        >>> from mini_lib.quantize import PerGroup
        >>> fmt = IntFormat(4, granularity=PerGroup(128), scale_dtype=torch.float16)
        >>> quantize(torch.randn(4, 128), fmt).bits_per_weight                 # 4 + 16 / 128
        4.125
        """
        return 8 * self.stored_bytes / prod(self.shape)

    def __repr__(self) -> str:
        return f"QTensor({self.fmt.label}, shape={self.shape}, bits_per_weight={self.bits_per_weight:.4g})"


def quantize(weight: Tensor, fmt: Format, observer: Observer = min_max) -> QTensor:
    """Write `weight` in the format `fmt`.

    observer: chooses the range of each integer grid: `min_max`, `percentile(99.9)`, `mse` or `entropy`.
        The other formats have no range to choose and do not ask it.

    >>> from mini_lib.quantize import PerChannel
    >>> q = quantize(torch.tensor([[3.5, -1.2], [0.0, 0.0]]), IntFormat(4, granularity=PerChannel(0)))
    >>> q.codes
    tensor([[ 7, -2],
            [ 0,  0]], dtype=torch.int32)
    >>> q.scale
    tensor([0.5000, 1.0000])

    Raises: TypeError if `weight` is no tensor of floats; ValueError if it is empty, holds NaN or
    infinity, does not fit the granularity (axis, group size), or is too large for the dtype.

    Source: Nagel 2021, section 2.2.
    """
    weight = finite_float32("weight", weight)
    shape = tuple(weight.shape)
    match fmt:
        case FloatFormat():
            return QTensor(fmt, shape, cast_finite("the weight", weight, fmt.dtype).clone())
        case IntFormat():
            rows = fmt.granularity.rows(weight)
            scale, zero_point = affine.choose_qparams(*observer(rows, fmt), fmt)
            codes = affine.to_codes(rows, scale[:, None], zero_point[:, None], fmt.qmin, fmt.qmax)
            scale_shape = fmt.granularity.scale_shape(shape)
            return QTensor(
                fmt,
                shape,
                fmt.granularity.unrows(codes, shape),
                scale=scale.to(fmt.scale_dtype).reshape(scale_shape),
                zero_point=None if fmt.symmetric else zero_point.reshape(scale_shape),
            )
        case CodebookFormat():
            codes, codebook = k_means(weight, fmt)
            return QTensor(fmt, shape, codes, codebook=codebook)
        case NF4Format():
            codes, absmax = nf4_codes(weight, fmt.block_size)
            nested = DoubleQuantized.of(absmax) if fmt.double_quantize else None
            return QTensor(fmt, shape, codes, scale=nested.dequantize() if nested else absmax, nested=nested)
        case TernaryFormat() | BinaryFormat():
            to_signs = ternarize if isinstance(fmt, TernaryFormat) else binarize
            codes, scale = to_signs(fmt.granularity.rows(weight))
            scale = cast_finite("a scale", scale, fmt.scale_dtype).reshape(fmt.granularity.scale_shape(shape))
            return QTensor(fmt, shape, fmt.granularity.unrows(codes, shape), scale=scale)
    raise TypeError(f"fmt must be a format such as IntFormat(4) or NF4Format(), got {fmt!r}")


def from_parts(parts: dict[str, Tensor], fmt: Format, shape: tuple[int, ...]) -> QTensor:
    """Rebuild a quantized tensor from its stored parts; the inverse of `QTensor.parts`, to the last bit.

    >>> q = quantize(torch.tensor([3.5, -1.0]), IntFormat(4))
    >>> from_parts(q.parts(), q.fmt, q.shape).codes
    tensor([ 7, -2], dtype=torch.int32)

    Raises: TypeError if `fmt` is not a format; ValueError if a part is missing, unknown, or has not the
    dtype and shape that `layout(fmt, shape)` names.
    """
    require_layout(parts, fmt, shape)
    shape = tuple(shape)
    count = prod(shape)
    scale = parts.get("scale")
    match fmt:
        case FloatFormat():
            return QTensor(fmt, shape, parts["values"])
        case IntFormat():
            codes = unpack(parts["codes"], fmt.bits, count).view(shape) + fmt.qmin
            zero_point = None if fmt.symmetric else parts["zero_point"].to(torch.int32)
            return QTensor(fmt, shape, codes, scale, zero_point)
        case CodebookFormat():
            codes = unpack(parts["codes"], fmt.bits, count).view(shape)
            return QTensor(fmt, shape, codes, codebook=parts["codebook"])
        case NF4Format():
            codes = unpack(parts["codes"], 4, count).view(shape)
            nested = DoubleQuantized.from_parts(parts) if fmt.double_quantize else None
            return QTensor(fmt, shape, codes, scale=nested.dequantize() if nested else scale, nested=nested)
        case TernaryFormat():
            return QTensor(fmt, shape, unpack_trits(parts["codes"], count).view(shape) - 1, scale)
        case BinaryFormat():
            return QTensor(fmt, shape, unpack(parts["codes"], 1, count).view(shape) * 2 - 1, scale)
