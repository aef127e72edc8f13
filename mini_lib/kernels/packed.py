"""packed.c bound: matrices of few bits in a layout made for multiplying, and their products with float vectors.

Activations are rounded to int8 (one scale per vector, or per image of a convolution): that is part of the result, and
the one way in which it differs from a product with the dequantized weights. With a largest magnitude of m in x, each
input moves by at most m / 254, and an output by at most m / 254 * sum |w| of its row.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib import native
from mini_lib.kernels.binding import compiled_function, need_tensor
from mini_lib.require import one_of

PACKED_WIDTHS = (8, 4, 3, 2, 1)
TILE = 16  # rows that lie interleaved
TORCH = "torch"  # the path that needs no compiler
UNIT = {8: 4, 4: 8, 3: 32, 2: 16, 1: 32}  # columns of a row in one unit of the layout

# Best first: the name, its file, and what the compiler defines where the processor has it (one of them is enough).
_SETS = (
    ("vnni", "packed_vnni.c", ("__AVX512VNNI__", "__AVXVNNI__")),
    ("avx2", "packed_avx2.c", ("__AVX2__",)),
    ("neon", "packed_neon.c", ("__ARM_FEATURE_DOTPROD",)),
)
_SMALLEST = 2.0**-100  # as in packed.c


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A matrix [rows, groups * size] of codes of `bits` bits, interleaved for the kernels; value = scale * (code - zero).

    codes: int32 [tiles, groups, units, words, 16], the layout that packed.c describes. Rows are filled up to tiles of 16
        and groups to whole units with codes 0, which are counted in `stored_bytes`.
    scales: float32 [tiles, groups, 16]; zeros: uint8 of that shape, or None where all are `constant_zero`.
    One bit is -1 or 1, without a zero.

    Raises:
        TypeError: a tensor is of another dtype.
        ValueError: there is no kernel for so many bits, the parts do not fit together, or a group has so many columns
            that its sum may not fit 32 bits.
    """

    bits: int
    rows: int
    groups: int
    size: int
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None
    constant_zero: int = 0

    def __post_init__(self) -> None:
        one_of("bits", self.bits, PACKED_WIDTHS, fix="other widths have no packed kernel")
        if self.size > most_columns(self.bits):
            raise ValueError(
                f"a group of {self.size:,} columns of {self.bits} bits may not fit a sum of 32 bits; "
                f"use groups of at most {most_columns(self.bits):,}"
            )
        if self.bits == 1 and (self.zeros is not None or self.constant_zero):
            raise ValueError("codes of 1 bit stand for -1 and 1 and have no zero; pass zeros=0")
        if not 0 <= self.constant_zero < 2**self.bits:
            raise ValueError(f"constant_zero must be a code, 0 to {2**self.bits - 1}, got {self.constant_zero}")
        tiles, words = -(-self.rows // TILE), 3 if self.bits == 3 else 1
        need_tensor(
            "codes", self.codes, (torch.int32,), (tiles, self.groups, self.padded // UNIT[self.bits], words, TILE)
        )
        need_tensor("scales", self.scales, (torch.float32,), (tiles, self.groups, TILE))
        if self.zeros is not None:
            need_tensor("zeros", self.zeros, (torch.uint8,), (tiles, self.groups, TILE))

    @property
    def padded(self) -> int:
        """Columns of a group, filled up to whole units."""
        return -(-self.size // UNIT[self.bits]) * UNIT[self.bits]

    @property
    def columns(self) -> int:
        return self.groups * self.size

    @property
    def stored_bytes(self) -> int:
        return sum(part.nbytes for part in (self.codes, self.scales, self.zeros) if part is not None)

    def unpacked(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes int32 [rows, groups, size], scales and zeros [rows, groups]: the inverse of `pack_matrix`."""
        words = self.codes.permute(0, 4, 1, 2, 3).flatten(0, 1)  # [rows, groups, units, words]
        if self.bits == 3:
            codes = torch.cat([_from_words(words[..., :1], 2), _from_words(words[..., 1:2], 2)], dim=-1)
            codes = codes + 4 * _from_words(words[..., 2:], 1)
        else:
            codes = _from_words(words, self.bits)
        codes = codes.flatten(2)[: self.rows, :, : self.size]
        scales = _from_tiles(self.scales, self.rows)
        zeros = (
            torch.full(scales.shape, self.constant_zero) if self.zeros is None else _from_tiles(self.zeros, self.rows)
        )
        return codes.int(), scales, zeros.int()

    def dense(self) -> Tensor:
        """Return the values, float32 [rows, columns]."""
        codes, scales, zeros = self.unpacked()
        steps = 2 * codes - 1 if self.bits == 1 else codes - zeros[..., None]
        return (steps * scales[..., None]).flatten(1)


def most_columns(bits: int) -> int:
    """Return how long a group may be, so that no sum of (code - zero) * activation leaves 32 bits.

    A code differs from its zero by at most 2**bits - 1, and an activation is at most 128 from 0.

    >>> most_columns(8), most_columns(4)                     # (2**31 - 1) // (255 * 128)
    (65793, 1118481)
    """
    return (2**31 - 1) // (128 * (2**bits - 1))


def pack_matrix(codes: Tensor, scales: Tensor, zeros: Tensor | int, bits: int) -> PackedMatrix:
    """Interleave a matrix of codes for the kernels.

    codes: whole numbers from 0 to 2**bits - 1 [rows, columns]; scales float [rows, groups], each for columns / groups
    columns next to each other; zeros: codes [rows, groups], or one for all.

    Raises:
        TypeError, ValueError: as `PackedMatrix`, or a code, a zero or the shape of the scales does not fit.

    >>> packed = pack_matrix(torch.tensor([[1, 2, 15]]), torch.tensor([[0.5]]), 8, bits=4)
    >>> packed.dense()                                                     # (1 - 8) / 2, (2 - 8) / 2, (15 - 8) / 2
    tensor([[-3.5000, -3.0000,  3.5000]])
    >>> packed.stored_bytes                                                # 16 rows * (8 columns / 2 + 4)
    128
    """
    one_of("bits", bits, PACKED_WIDTHS, fix="other widths have no packed kernel")
    rows, columns = codes.shape
    groups = scales.shape[-1]
    if scales.shape != (rows, groups) or not groups or columns % groups:
        raise ValueError(f"scales must be [{rows}, a divisor of {columns}], got {list(scales.shape)}")
    for name, values in {"codes": codes, "zeros": torch.as_tensor(zeros)}.items():
        if values.is_floating_point() or (values.numel() and not 0 <= int(values.min()) <= int(values.max()) < 2**bits):
            raise ValueError(f"{name} must be whole numbers from 0 to {2**bits - 1}; subtract the lowest code first")
    size, unit = columns // groups, UNIT[bits]
    filled = F.pad(codes.view(rows, groups, size), (0, -size % unit, 0, 0, 0, -rows % TILE)).to(torch.int64)
    filled = filled.view(-1, TILE, groups, filled.shape[-1] // unit, unit)
    if bits == 3:
        words = [_to_words(filled[..., :16] & 3, 2), _to_words(filled[..., 16:] & 3, 2), _to_words(filled >> 2, 1)]
    else:
        words = [_to_words(filled, bits)]
    interleaved = torch.stack(words, dim=-1).permute(0, 2, 3, 4, 1).contiguous()
    constant = isinstance(zeros, int)
    return PackedMatrix(
        bits,
        rows,
        groups,
        size,
        interleaved,
        _to_tiles(scales.float()),
        None if constant else _to_tiles(zeros.to(torch.uint8)),
        zeros if constant else 0,
    )


@cache
def _instruction_sets(_compiler: native.Compiler) -> tuple[str, ...]:
    here = [name for name, _, macros in _SETS if any(map(native.has_instructions, macros))]
    return (*here, "portable", TORCH)


def instruction_sets() -> tuple[str, ...]:
    """Return the ways in which this machine can multiply packed matrices, best first.

    "vnni", "avx2" and "neon" are there where the processor has them; "portable" is C without intrinsics; "torch" needs
    no compiler, and multiplies the unpacked codes.
    """
    try:
        return _instruction_sets(native.find_compiler())
    except native.NoCompiler:
        return (TORCH,)


def packed_linear(
    matrix: PackedMatrix, x: Tensor, bias: Tensor | None = None, instructions: str | None = None
) -> Tensor:
    """Return x Wᵀ + bias, float32 [n, rows], for x float32 [n, columns] rounded to int8, one scale per row of x.

    A row of x with NaN or infinity gives NaN. instructions: one of `instruction_sets()`, by default the best.

    Raises:
        TypeError, ValueError: x or the bias does not fit the matrix.
        ValueError: this machine does not have these instructions.

    >>> packed = pack_matrix(torch.tensor([[1, 2, 15]]), torch.tensor([[0.5]]), 8, bits=4)
    >>> packed_linear(packed, torch.tensor([[1.0, -127.0, 4.0]]))          # -3.5 * 1 + -3 * -127 + 3.5 * 4
    tensor([[391.5000]])
    """
    (count, _) = need_tensor("x", x, (torch.float32,), (None, matrix.columns))
    if bias is not None:
        need_tensor("bias", bias, (torch.float32,), (matrix.rows,))
    chosen = _chosen(instructions)
    if chosen == TORCH:
        return _in_torch(matrix, *_rounded(x), bias)
    y = torch.empty(count, matrix.rows)
    columns = matrix.groups * matrix.padded
    scratch = torch.empty(
        _pieces(2 * count * columns, 4 * count * matrix.groups, 4 * count, matrix.columns), dtype=_BYTE
    )
    _function("linear", matrix.bits, chosen)(
        *_arguments(matrix, bias), count, x.data_ptr(), y.data_ptr(), scratch.data_ptr()
    )
    return y


@dataclass(frozen=True)
class Places:
    """Where a convolution reads: sides as (height, width), of the kernel and the rest.

    border: zeros (above, below), (left, right).
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    border: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides of the output for an image of these sides."""
        sides = zip((height, width), self.kernel, self.stride, self.dilation, self.border)
        return tuple((n + sum(b) - d * (k - 1) - 1) // s + 1 for n, k, s, d, b in sides)


def packed_convolution(
    matrix: PackedMatrix, x: Tensor, places: Places, bias: Tensor | None = None, instructions: str | None = None
) -> Tensor:
    """Return the convolution of images x, float32 [n, channels, height, width], rounded to int8, one scale per image.

    matrix: one row per output channel, its columns in the order channel, row, column of the kernel.

    Raises:
        TypeError, ValueError: as `packed_linear`, or the image is smaller than the kernel.

    >>> packed = pack_matrix(torch.tensor([[1, 2, 0, 0]]), torch.tensor([[1.0]]), 0, bits=2)
    >>> packed_convolution(packed, torch.tensor([[[[0.0, 127.0, 3.0], [0.0, 0.0, 0.0]]]]), Places((2, 2)))
    tensor([[[[254., 133.]]]])
    """
    count, channels, height, width = need_tensor("x", x, (torch.float32,), (None,) * 4)
    kh, kw = places.kernel
    if channels * kh * kw != matrix.columns:
        raise ValueError(f"x must have {matrix.columns / (kh * kw):g} channels, got {channels}")
    if bias is not None:
        need_tensor("bias", bias, (torch.float32,), (matrix.rows,))
    high, wide = places.output(height, width)
    if min(high, wide) < 1:
        raise ValueError(f"the kernel {kh} x {kw} does not fit an image of {height} x {width} with its border")
    (top, bottom), (left, right) = places.border
    chosen = _chosen(instructions)
    if chosen == TORCH:
        codes, steps = _rounded(x.flatten(1))
        codes = F.pad(codes.view(x.shape), (left, right, top, bottom))
        seen = F.unfold(codes, places.kernel, places.dilation, stride=places.stride).transpose(1, 2)
        y = _in_torch(matrix, seen.reshape(-1, matrix.columns), steps.repeat_interleave(high * wide, 0), bias)
        return y.view(count, high * wide, matrix.rows).transpose(1, 2).reshape(count, matrix.rows, high, wide)
    y = torch.empty(count, matrix.rows, high, wide)
    bordered = (top + height + bottom, left + width + right)
    n, pixels = high * wide, channels * bordered[0] * bordered[1]
    scratch = torch.empty(
        _pieces(
            2 * n * matrix.groups * matrix.padded,
            4 * n * matrix.groups,
            4 * n,
            matrix.columns + 8,
            channels * height * width,
            pixels + 8,
        ),
        dtype=_BYTE,
    )
    what = (ctypes.c_int64 * 15)(
        channels, height, width, kh, kw, *places.stride, *places.dilation, top, left, high, wide, *bordered
    )
    _function("convolution", matrix.bits, chosen)(
        *_arguments(matrix, bias), count, x.data_ptr(), y.data_ptr(), scratch.data_ptr(), ctypes.addressof(what)
    )
    return y


# --- between Python and C ------------------------------------------------------------------------------------------

_BYTE = torch.uint8


def _chosen(instructions: str | None) -> str:
    here = instruction_sets()
    if instructions is None:
        return here[0]
    return one_of("instructions", instructions, here, fix="the others are not in this processor, or need a compiler")


@cache
def _function(name: str, bits: int, instructions: str) -> Callable[..., None]:
    own = [file for known, file, _ in _SETS if known == instructions]
    function = compiled_function((*own, "packed.c"), name, BITS=bits)
    number, address = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [*[number] * 5, *[address] * 4, number, *[address] * (4 if name == "convolution" else 3)]
    return function


def _arguments(matrix: PackedMatrix, bias: Tensor | None) -> tuple[int | None, ...]:
    zeros = None if matrix.zeros is None else matrix.zeros.data_ptr()
    tensors = (matrix.codes.data_ptr(), matrix.scales.data_ptr(), zeros, None if bias is None else bias.data_ptr())
    return (
        matrix.rows,
        matrix.groups,
        matrix.size,
        matrix.padded,
        1 if matrix.bits == 1 else matrix.constant_zero,
        *tensors,
    )


def _pieces(*sizes: int) -> int:
    """Bytes of scratch memory that C cuts into pieces of these sizes, each on 64 bytes."""
    return sum(-(-size // 64) * 64 for size in sizes)


# --- the path without a compiler -----------------------------------------------------------------------------------


def _rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each row rounded to int8 (float64 [n, columns]), and its step [n, 1]."""
    top = x.abs().amax(dim=1, keepdim=True)
    steps = torch.where(top.isfinite(), top.clamp(min=_SMALLEST) / 127, torch.nan)
    codes = torch.round(x * (127 / top.clamp(min=_SMALLEST)))
    return torch.where(top.isfinite(), codes, 0).double(), steps


def _in_torch(matrix: PackedMatrix, x: Tensor, steps: Tensor, bias: Tensor | None) -> Tensor:
    """The same product from unpacked codes. The sums are whole numbers below 2**53, so float64 has them exactly."""
    codes, scales, zeros = matrix.unpacked()
    codes = 2 * codes - 1 if matrix.bits == 1 else codes - zeros[..., None]
    sums = torch.einsum("ngs,rgs->nrg", x.view(len(x), matrix.groups, matrix.size), codes.double())
    y = (sums * scales).sum(dim=-1).float() * steps
    return y if bias is None else y + bias


# --- the layout ----------------------------------------------------------------------------------------------------


def _to_words(codes: Tensor, bits: int) -> Tensor:
    """Codes [..., 32 / bits] as one int32: code 4 s + j lies at bit 8 j + bits s."""
    steps = 8 // bits
    places = 8 * torch.arange(4) + bits * torch.arange(steps)[:, None]
    word = (codes.unflatten(-1, (steps, 4)) << places).sum(dim=(-1, -2))
    return torch.where(word < 2**31, word, word - 2**32).to(torch.int32)


def _from_words(words: Tensor, bits: int) -> Tensor:
    """The inverse: words [..., 1] to codes [..., 32 / bits]."""
    places = (8 * torch.arange(4) + bits * torch.arange(8 // bits)[:, None]).flatten()
    return (words.long() >> places) & (2**bits - 1)


def _to_tiles(values: Tensor) -> Tensor:
    """[rows, groups] to [tiles, groups, 16], filled up with 0."""
    return F.pad(values, (0, 0, 0, -len(values) % TILE)).unflatten(0, (-1, TILE)).transpose(1, 2).contiguous()


def _from_tiles(values: Tensor, rows: int) -> Tensor:
    return values.transpose(1, 2).flatten(0, 1)[:rows]
