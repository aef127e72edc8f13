"""A quantized tensor: its codes, the scales or tables that give them values, and the bytes that it occupies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from torch import Tensor

from mini_lib.quantize.formats import Format, Observer, require_format
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.validate import finite_float32
from mini_lib.require import callable_, of_type, whole
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True, eq=False)
class QTensor:
    """A tensor in a quantized format.

    fields: the tensors that the format computes with, by name. The format chooses the names; four of them are
    properties too.

    Source: Jacob 2018, section 2.1 (the data structure QuantizedBuffer).
    """

    fmt: Format
    shape: tuple[int, ...]
    fields: dict[str, Tensor]

    @property
    def codes(self) -> Tensor | None:
        """int32 of the tensor's shape, in the format's own range: -7 to 7 for a symmetric int4."""
        return self.fields.get("codes")

    @property
    def scale(self) -> Tensor | None:
        """Shape () per tensor, [channels], [outputs, groups] or [blocks]; None where the format has none."""
        return self.fields.get("scale")

    @property
    def zero_point(self) -> Tensor | None:
        """int32 of the shape of the scale; None where 0 is always code 0."""
        return self.fields.get("zero_point")

    @property
    def codebook(self) -> Tensor | None:
        """The values of the codes, ascending; None where the format has no table."""
        return self.fields.get("codebook")

    def dequantize(self) -> Tensor:
        """Return the values that the codes stand for: float32 of the tensor's shape.

        >>> import torch
        >>> from mini_lib.quantize import IntFormat
        >>> quantize(torch.tensor([3.5, -1.2]), IntFormat(4)).dequantize()     # step 0.5: codes 7, -2
        tensor([ 3.5000, -1.0000])
        """
        return self.fmt.decode(self.fields, self.shape)

    def parts(self) -> dict[str, Tensor]:
        """Return the tensors that would be stored, by name: packed codes, scales, zero points, codebook.

        Nothing else is needed to rebuild the tensor, except its format and its shape.

        >>> import torch
        >>> from mini_lib.quantize import IntFormat
        >>> q = quantize(torch.tensor([3.5, -1.0]), IntFormat(4))              # 7 + 7 = 14, -2 + 7 = 5
        >>> q.parts()                                                          # 14 + 16 * 5
        {'codes': tensor([94], dtype=torch.uint8), 'scale': tensor(0.5000)}
        """
        return self.fmt.pack(self.fields)

    @property
    def stored_bytes(self) -> int:
        """The bytes of all parts, as they would lie on disk.

        >>> import torch
        >>> from mini_lib.quantize import IntFormat
        >>> quantize(torch.randn(4, 128), IntFormat(4)).stored_bytes           # 512 / 2 + 4
        260
        """
        return sum(part.nbytes for part in self.parts().values())

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per weight, scales and all.

        >>> import torch
        >>> from mini_lib.quantize import IntFormat, PerGroup
        >>> fmt = IntFormat(4, granularity=PerGroup(128), scale_dtype=torch.float16)
        >>> quantize(torch.randn(4, 128), fmt).bits_per_weight                 # 4 + 16 / 128
        4.125
        """
        return 8 * self.stored_bytes / prod(self.shape)

    def __repr__(self) -> str:
        return f"QTensor({self.fmt.label}, shape={self.shape}, bits_per_weight={self.bits_per_weight:.4g})"


def quantize(weight: Tensor, fmt: Format, observer: Observer = min_max) -> QTensor:
    """Write `weight` in the format `fmt`.

    observer: chooses the range of each integer grid: `min_max`, `percentile(99.9)`, `mse` or `entropy`. A format
        without a range to choose does not use it.

    Raises:
        TypeError: `weight` does not hold floats, or `fmt` is not a format.
        ValueError: `weight` is empty, holds NaN or infinity, does not fit the granularity (axis, group size), or is too
            large for the dtype.

    >>> import torch
    >>> from mini_lib.quantize import IntFormat, PerChannel
    >>> q = quantize(torch.tensor([[3.5, -1.2], [0.0, 0.0]]), IntFormat(4, granularity=PerChannel(0)))
    >>> q.codes
    tensor([[ 7, -2],
            [ 0,  0]], dtype=torch.int32)
    >>> q.scale
    tensor([0.5000, 1.0000])

    Source: Nagel 2021, section 2.2.
    """
    weight = finite_float32("weight", weight)
    callable_("observer", observer, fix="min_max, mse and percentile(99.9) are some")
    return QTensor(fmt, tuple(weight.shape), require_format(fmt).encode(weight, observer))


def from_parts(parts: dict[str, Tensor], fmt: Format, shape: tuple[int, ...]) -> QTensor:
    """Rebuild a quantized tensor from its stored parts; the inverse of `QTensor.parts`, to the last bit.

    Raises:
        TypeError: `fmt` is not a format.
        ValueError: a part is missing, unknown, or does not have the dtype and shape that `fmt.layout(shape)` names.

    >>> import torch
    >>> from mini_lib.quantize import IntFormat
    >>> q = quantize(torch.tensor([3.5, -1.0]), IntFormat(4))
    >>> from_parts(q.parts(), q.fmt, q.shape).codes
    tensor([ 7, -2], dtype=torch.int32)
    """
    of_type("parts", parts, dict, fix="give {name: tensor}, as QTensor.parts does")
    of_type("shape", shape, Iterable, fix="give the shape of the weight, (4, 3) say")
    shape = tuple(whole("a side of the shape", side, low=0, fix="give whole numbers") for side in shape)
    parts = _checked(parts, require_format(fmt), shape)
    return QTensor(fmt, shape, fmt.unpack(parts, shape))


def _checked(parts: dict[str, Tensor], fmt: Format, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Return the parts in the order of the layout, if a tensor of this `shape` in `fmt` is made of exactly these."""
    expected = fmt.layout(shape)
    if parts.keys() != expected.keys():
        raise ValueError(
            f"{fmt.label} of shape {shape} needs the parts {', '.join(expected)}; "
            f"got {', '.join(map(str, parts)) or 'none'}"
        )
    for name, (dtype, part_shape) in expected.items():
        part = need_tensor(f"part {name!r}", parts[name], floating=False, empty=True, fix="give what was stored")
        if (part.dtype, tuple(part.shape)) != (dtype, part_shape):
            raise ValueError(
                f"part {name!r} of {fmt.label} of shape {shape} is {dtype} of shape {part_shape}; "
                f"got {part.dtype} of shape {tuple(part.shape)}"
            )
    return {name: parts[name] for name in expected}
