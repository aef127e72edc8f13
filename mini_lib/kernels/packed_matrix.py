"""Matrices of few bits in a layout made for multiplying: the same codes as in `mini_lib.packing`, 16 rows interleaved.

packed.c describes the layout and says why. It is a rearrangement: `unpacked` gives back exactly what was packed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib.kernels.binding import need_layout
from mini_lib.require import checked, of_type, one_of, whole
from mini_lib.tensor_checks import need_tensor

PACKED_WIDTHS = (8, 4, 3, 2, 1)
TILE = 16  # rows that lie interleaved
SCALE_KINDS = (torch.float32, torch.float16, torch.bfloat16)
UNIT = {8: 4, 4: 8, 3: 32, 2: 16, 1: 32}  # columns of a row in one unit of the layout


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A matrix [rows, groups * size] of codes of `bits` bits, interleaved; value = scale * (code - zero).

    codes: int32 [tiles, groups, units, words, 16], the layout that packed.c describes. Rows are filled up to tiles of
        16 and groups to whole units with codes 0, which are counted in `stored_bytes`.
    scales: float32, float16 or bfloat16 [tiles, groups, 16]; zeros: uint8 of that shape, or None where all are
        `constant_zero`.
    bias: float32 [rows], added to each product, or None.
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
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        checked(self, "bits", _packed_bits)
        for name, low in {"rows": 0, "groups": 1, "size": 1, "constant_zero": 0}.items():
            checked(self, name, whole, low=low, fix="pack_matrix fills it in")
        if self.size > most_columns(self.bits):
            raise ValueError(
                f"a group of {self.size:,} columns of {self.bits} bits may not fit a sum of 32 bits; "
                f"use groups of at most {most_columns(self.bits):,}"
            )
        if self.bits == 1 and (self.zeros is not None or self.constant_zero):
            raise ValueError("codes of 1 bit stand for -1 and 1 and have no zero; pass zeros=0")
        if self.constant_zero >= 2**self.bits:
            raise ValueError(
                f"constant_zero must be a code, 0 to {2**self.bits - 1}, got {self.constant_zero}; pack again"
            )
        self._check_parts()

    def _check_parts(self) -> None:
        """Check what the kernels read, and remember where it lies."""
        tiles, words = -(-self.rows // TILE), 3 if self.bits == 3 else 1
        need_layout(
            "codes", self.codes, (torch.int32,), (tiles, self.groups, self.padded // UNIT[self.bits], words, TILE)
        )
        need_layout("scales", self.scales, SCALE_KINDS, (tiles, self.groups, TILE))
        if self.zeros is not None:
            need_layout("zeros", self.zeros, (torch.uint8,), (tiles, self.groups, TILE))
            if self.zeros.numel() and int(self.zeros.max()) >= 2**self.bits:
                raise ValueError(
                    f"zeros must be codes, 0 to {2**self.bits - 1}, got {int(self.zeros.max())}; pack again"
                )
        if self.bias is not None:
            need_layout("bias", self.bias, (torch.float32,), (self.rows,))
        object.__setattr__(self, "_checked", self._addresses())

    def _addresses(self) -> tuple[int | None, ...]:
        parts = (self.codes, self.scales, self.zeros, self.bias)
        return tuple(None if part is None else part.data_ptr() for part in parts)

    def addresses(self) -> tuple[int | None, ...]:
        """Return where codes, scales, zeros and bias lie; if a tensor has moved (`scales.data = ...`), check it again.

        Raises:
            TypeError, ValueError: as the class.
        """
        if self._addresses() != self._checked:
            self._check_parts()
        return self._checked

    @cached_property
    def padded(self) -> int:
        """Columns of a group, filled up to whole units."""
        return -(-self.size // UNIT[self.bits]) * UNIT[self.bits]

    @cached_property
    def columns(self) -> int:
        return self.groups * self.size

    @property
    def stored_bytes(self) -> int:
        return sum(part.nbytes for part in (self.codes, self.scales, self.zeros, self.bias) if part is not None)

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

    def steps(self) -> Tensor:
        """Return how many steps each weight is from 0, int32 [rows, groups, size]: code - zero, or -1 and 1."""
        codes, _, zeros = self.unpacked()
        return 2 * codes - 1 if self.bits == 1 else codes - zeros[..., None]

    def dense_rows(self, index: Tensor) -> Tensor:
        """Return some rows of `dense`, float32 [n, columns]; only the tiles that hold them are unpacked.

        index: whole numbers [n].

        Raises:
            TypeError, ValueError: the index is of another dtype or shape, or there is no such row.
        """
        need_layout("index", index, (torch.int64, torch.int32), (None,))
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self.rows:
            raise ValueError(f"rows are numbered 0 to {self.rows - 1}, got {int(index.min())} to {int(index.max())}")
        part = replace(
            self,
            rows=TILE * len(index),
            codes=self.codes[index // TILE],
            scales=self.scales[index // TILE],
            zeros=None if self.zeros is None else self.zeros[index // TILE],
            bias=None,
        )
        return part.dense().view(len(index), TILE, self.columns)[torch.arange(len(index)), index % TILE]

    def dense(self) -> Tensor:
        """Return the values, float32 [rows, columns]."""
        return (self.steps() * _from_tiles(self.scales, self.rows)[..., None].float()).flatten(1)


def most_columns(bits: int) -> int:
    """Return how long a group may be, so that no sum on the way leaves 32 bits.

    A code is at most 2**bits - 1 and an activation at most 128 from 0, so `columns` products sum to less than
    columns * 2**(bits + 7); the zero point times the sum of the activations, from which they start, to less than that
    again.

    Raises:
        TypeError, ValueError: there is no kernel for so many bits.

    >>> most_columns(8), most_columns(4)                                   # (2**31 - 1) // 2**(bits + 8)
    (32767, 524287)
    """
    return (2**31 - 1) // 2 ** (_packed_bits("bits", bits) + 8)


def need_packed(matrix: object) -> None:
    """Refuse what is not a packed matrix.

    Raises:
        TypeError: it is something else.
    """
    of_type("matrix", matrix, PackedMatrix, fix="pack_matrix makes one")


def _packed_bits(name: str, bits: object) -> int:
    fix = "other widths have no packed kernel"
    return one_of(name, whole(name, bits, fix=fix), PACKED_WIDTHS, fix=fix)


def pack_matrix(
    codes: Tensor, scales: Tensor, zeros: Tensor | int, bits: int, bias: Tensor | None = None
) -> PackedMatrix:
    """Interleave a matrix of codes for the kernels.

    codes: whole numbers from 0 to 2**bits - 1 [rows, columns].
    scales: float32, float16 or bfloat16 [rows, groups], each for columns / groups columns next to each other.
    zeros: codes [rows, groups], or one code for all.
    bias: float32 [rows], or None.

    Raises:
        TypeError, ValueError: as `PackedMatrix`, or a code, a zero or the shape of the scales does not fit.

    >>> packed = pack_matrix(torch.tensor([[1, 2, 15]]), torch.tensor([[0.5]]), 8, bits=4)
    >>> packed.dense()                                                     # (1 - 8) / 2, (2 - 8) / 2, (15 - 8) / 2
    tensor([[-3.5000, -3.0000,  3.5000]])
    >>> packed.stored_bytes                                                # 16 rows * (8 columns / 2 + 4)
    128
    """
    bits = _packed_bits("bits", bits)
    need_tensor("codes", codes, dims=2, floating=False, empty=True, fix="give whole numbers [rows, columns]")
    if not codes.shape[1]:
        raise ValueError(f"codes must be a tensor [rows, 1 column or more], got {list(codes.shape)}; reshape it")
    rows, columns = codes.shape
    need_tensor("scales", scales, dims=2, empty=True, fix=f"give [{rows}, a divisor of {columns}]")
    if len(scales) != rows or columns % (scales.shape[1] or inf):
        raise ValueError(f"scales must be [{rows}, a divisor of {columns}], got {list(scales.shape)}; reshape them")
    groups = scales.shape[1]
    if isinstance(zeros, Tensor):
        need_tensor("zeros", zeros, dims=2, floating=False, empty=True, fix="give codes as the scales")
    else:
        zeros = whole("zeros", zeros, low=0, high=2**bits - 1, fix="it is the code that stands for 0, or one per scale")
    if isinstance(zeros, Tensor) and zeros.shape != scales.shape:
        raise ValueError(
            f"zeros must be one int, or {list(scales.shape)} as the scales, got {list(zeros.shape)}; expand"
        )
    for name, values in {"codes": codes, "zeros": torch.as_tensor(zeros)}.items():
        if values.is_floating_point() or (values.numel() and not 0 <= int(values.min()) <= int(values.max()) < 2**bits):
            raise ValueError(f"{name} must be whole numbers from 0 to {2**bits - 1}; subtract the lowest code first")
    size, unit = columns // groups, UNIT[bits]
    filled = F.pad(codes.view(rows, groups, size), (0, -size % unit, 0, 0, 0, -rows % TILE)).to(torch.int32)
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
        _to_tiles(scales),
        None if constant else _to_tiles(zeros.to(torch.uint8)),
        zeros if constant else 0,
        bias,
    )


def _to_words(codes: Tensor, bits: int) -> Tensor:
    """Codes [..., 32 / bits] as one int32: code 4 s + j lies at bit 8 j + bits s."""
    word = torch.zeros(codes.shape[:-1], dtype=torch.int32)
    for at in range(codes.shape[-1]):
        step, place = divmod(at, 4)
        word |= codes[..., at] << (8 * place + bits * step)
    return word


def _from_words(words: Tensor, bits: int) -> Tensor:
    """The inverse: words [..., 1] to codes [..., 32 / bits]."""
    places = (8 * torch.arange(4) + bits * torch.arange(8 // bits)[:, None]).flatten()
    return (words.long() >> places) & (2**bits - 1)


def _to_tiles(values: Tensor) -> Tensor:
    """[rows, groups] to [tiles, groups, 16], filled up with 0."""
    return F.pad(values, (0, 0, 0, -len(values) % TILE)).unflatten(0, (-1, TILE)).transpose(1, 2).contiguous()


def _from_tiles(values: Tensor, rows: int) -> Tensor:
    return values.transpose(1, 2).flatten(0, 1)[:rows]
