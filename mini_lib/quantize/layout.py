"""What a file holds for one tensor: the name, dtype and shape of each part, known before any weight is."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from mini_lib.quantize.double_quantize import NESTED_BLOCK
from mini_lib.quantize.formats import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    Format,
    IntFormat,
    NF4Format,
    TernaryFormat,
)
from mini_lib.quantize.pack import packed_bytes, packed_trit_bytes

Shape = tuple[int, ...]


def layout(fmt: Format, shape: Shape) -> dict[str, tuple[torch.dtype, Shape]]:
    """The dtype and shape of each stored part of a tensor of this `shape` in the format `fmt`.

    codes: packed, uint8. scale: in the scale_dtype. zero_point: a code, so that 16 bits always hold it,
    and only where the grid is not symmetric. Four bits in groups of 128 with fp16 scales and zero points
    are therefore 4 + 16/128 + 16/128 = 4.25 bits a weight.

    >>> layout(IntFormat(4, symmetric=False), (3, 3))                      # 36 bits are 5 bytes
    {'codes': (torch.uint8, (5,)), 'scale': (torch.float32, ()), 'zero_point': (torch.int16, ())}

    Raises: TypeError if `fmt` is not a format; ValueError if its granularity does not fit the shape.
    """
    count = prod(shape)
    match fmt:
        case FloatFormat():
            return {"values": (fmt.dtype, tuple(shape))}
        case IntFormat():
            scale_shape = fmt.granularity.scale_shape(shape)
            parts = {"codes": _bytes(packed_bytes(count, fmt.bits)), "scale": (fmt.scale_dtype, scale_shape)}
            if not fmt.symmetric:
                parts["zero_point"] = (torch.int16 if fmt.signed else torch.uint16, scale_shape)
            return parts
        case CodebookFormat():
            return {"codes": _bytes(packed_bytes(count, fmt.bits)), "codebook": (fmt.codebook_dtype, (2**fmt.bits,))}
        case NF4Format():
            blocks = -(-count // fmt.block_size)
            codes = {"codes": _bytes(packed_bytes(count, 4))}
            if not fmt.double_quantize:
                return codes | {"scale": (torch.float32, (blocks,))}
            return codes | {
                "scale_codes": (torch.uint8, (blocks,)),
                "scale_absmax": (torch.float32, (-(-blocks // NESTED_BLOCK),)),
                "scale_offset": (torch.float32, ()),
            }
        case TernaryFormat() | BinaryFormat():
            size = packed_bytes(count, 1) if isinstance(fmt, BinaryFormat) else packed_trit_bytes(count)
            return {"codes": _bytes(size), "scale": (fmt.scale_dtype, fmt.granularity.scale_shape(shape))}
    raise TypeError(f"fmt must be a format such as IntFormat(4) or NF4Format(), got {fmt!r}")


def require_layout(parts: dict[str, Tensor], fmt: Format, shape: Shape) -> None:
    """Refuse parts that are not what a tensor of this `shape` in the format `fmt` is made of.

    >>> require_layout({}, IntFormat(4), (3, 3))
    Traceback (most recent call last):
    ValueError: int4 per tensor of shape (3, 3) needs the parts codes, scale; got none

    Raises: TypeError if `fmt` is not a format; ValueError if a part is missing, unknown, or has another
    dtype or shape.
    """
    expected = layout(fmt, shape)
    if parts.keys() != expected.keys():
        raise ValueError(
            f"{fmt.label} of shape {tuple(shape)} needs the parts {', '.join(expected)}; "
            f"got {', '.join(parts) or 'none'}"
        )
    for name, (dtype, part_shape) in expected.items():
        part = parts[name]
        if (part.dtype, tuple(part.shape)) != (dtype, part_shape):
            raise ValueError(
                f"part {name!r} of {fmt.label} of shape {tuple(shape)} is {dtype} of shape {part_shape}; "
                f"got {part.dtype} of shape {tuple(part.shape)}"
            )


def _bytes(count: int) -> tuple[torch.dtype, Shape]:
    return torch.uint8, (count,)
