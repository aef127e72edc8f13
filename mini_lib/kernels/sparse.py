"""sparse.c bound: y = W x in fp32 on one thread, for a dense matrix and for four ways to leave out its zeros.

x has one number per column of W, and y one per row: their lengths are the size of the matrix. Each function returns a
call that reads x and writes y, both fp32. What the tensors hold is checked here too, once: starts that rise to the
number of values, columns inside the matrix, as many values as bits that are 1. C trusts this, so do not change the
tensors afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mini_lib.kernels.binding import bound, need_layout
from mini_lib.require import whole

Kernel = Callable[[], None]  # its arguments are bound: calling it computes y
Flags = Sequence[str] | None

LARGEST_BLOCK = 2**15  # the kernel keeps two blocks of sums on the stack

_FLOAT, _START, _BYTE = (torch.float32,), (torch.int32,), (torch.uint8,)
_INDEX = {torch.uint16: "uint16_t", torch.int32: "int32_t"}  # and their names in C


def bind_dense(weight: Tensor, x: Tensor, y: Tensor, *, flags: Flags = None) -> Kernel:
    """Multiply by a matrix with all its zeros (fp32 [rows, columns]).

    Raises:
        TypeError, ValueError, NoCompiler: as `need_layout` and `bound`.

    >>> x, y = torch.tensor([1.0, 10.0, 100.0]), torch.empty(1)
    >>> bind_dense(torch.tensor([[3.0, 0.0, 4.0]]), x, y)()
    >>> y                                                                # 3 * 1 + 4 * 100
    tensor([403.])
    """
    rows, columns = _size(x, y)
    need_layout("weight", weight, _FLOAT, (rows, columns))
    return bound("sparse.c", "dense", (rows, columns, weight, x, y), flags=flags)


def bind_csr(starts: Tensor, columns: Tensor, values: Tensor, x: Tensor, y: Tensor, *, flags: Flags = None) -> Kernel:
    """Multiply by compressed rows: starts int32 [rows + 1], columns uint16 or int32 [kept], values fp32 [kept].

    Raises:
        TypeError, ValueError, NoCompiler: as `need_layout` and `bound`.

    >>> x, y = torch.tensor([1.0, 10.0, 100.0]), torch.empty(2)
    >>> starts, columns = torch.tensor([0, 2, 2], dtype=torch.int32), torch.tensor([0, 2], dtype=torch.int32)
    >>> bind_csr(starts, columns, torch.tensor([3.0, 4.0]), x, y)()
    >>> y                                                                # 3 * 1 + 4 * 100; nothing
    tensor([403.,   0.])
    """
    rows, width = _size(x, y)
    kept = need_layout("values", values, _FLOAT, (None,))
    need_layout("starts", starts, _START, (rows + 1,))
    need_layout("columns", columns, _INDEX, kept)
    _check_places(starts, columns, width)
    arguments = (rows, starts, columns, values, x, y)
    return bound("sparse.c", "csr", arguments, flags=flags, INDEX=_INDEX[columns.dtype])


def bind_blocks(
    starts: Tensor, columns: Tensor, values: Tensor, x: Tensor, y: Tensor, *, flags: Flags = None
) -> Kernel:
    """Multiply by compressed rows of blocks (values fp32 [blocks, r, c]): starts and columns are those of `bind_csr`.

    r divides the length of y, and c that of x: where blocks hang over the edge of a matrix, let x end in zeros.

    Raises:
        TypeError, ValueError, NoCompiler: as `need_layout` and `bound`.

    >>> x, y = torch.tensor([1.0, 2.0, 10.0, 100.0]), torch.empty(2)
    >>> starts, columns = torch.tensor([0, 1], dtype=torch.int32), torch.tensor([1], dtype=torch.int32)
    >>> bind_blocks(starts, columns, torch.tensor([[[3.0, 4.0], [0.0, 5.0]]]), x, y)()
    >>> y                                                                # 3 * 10 + 4 * 100; 5 * 100
    tensor([430., 500.])
    """
    high, wide = _size(x, y)
    kept, r, c = need_layout("values", values, _FLOAT, (None, None, None))
    if r * c > LARGEST_BLOCK:
        raise ValueError(f"blocks of {r} x {c} do not fit the stack; use blocks of {LARGEST_BLOCK:,} values at most")
    if 0 in (r, c) or high % r or wide % c:
        raise ValueError(f"blocks of {r} x {c} must divide the lengths of y and x, got {high} and {wide}; pad them")
    need_layout("starts", starts, _START, (high // r + 1,))
    need_layout("columns", columns, _INDEX, (kept,))
    _check_places(starts, columns, wide // c)
    arguments = (high // r, starts, columns, values, x, y)
    return bound("sparse.c", "blocks", arguments, flags=flags, INDEX=_INDEX[columns.dtype], R=r, C=c)


def bind_bitmap(bits: Tensor, values: Tensor, x: Tensor, y: Tensor, *, flags: Flags = None) -> Kernel:
    """Multiply by the values (fp32 [kept]) at the ones of a bitmap, row by row, lowest bit first.

    bits: uint8 [ceil(rows * columns / 8)].

    Raises:
        TypeError, ValueError, NoCompiler: as `need_layout` and `bound`.

    >>> x, y = torch.tensor([1.0, 10.0, 100.0]), torch.empty(1)
    >>> bind_bitmap(torch.tensor([0b101], dtype=torch.uint8), torch.tensor([3.0, 4.0]), x, y)()
    >>> y                                                                # 3 * 1 + 4 * 100
    tensor([403.])
    """
    rows, columns = _size(x, y)
    need_layout("bits", bits, _BYTE, (-(-rows * columns // 8),))
    (kept,) = need_layout("values", values, _FLOAT, (None,))
    ones = int(np.unpackbits(bits.numpy(), count=rows * columns, bitorder="little").sum())
    if ones != kept:
        raise ValueError(f"bits must have a one for each of {kept} values, got {ones}; leave out none")
    return bound("sparse.c", "bitmap", (rows, columns, bits, values, x, y), flags=flags)


def bind_n_of_m(positions: Tensor, values: Tensor, m: int, x: Tensor, y: Tensor, *, flags: Flags = None) -> Kernel:
    """Multiply by n values of each m columns (fp32 [rows, columns / m, n]), which lie at `positions` in their group.

    positions: ceil(log2 m) bits each, packed back to back into uint8. 2:4 with rows of whole bytes has a faster
    kernel of its own.

    Raises:
        TypeError, ValueError, NoCompiler: as `need_layout` and `bound`.

    >>> x, y = torch.tensor([1.0, 10.0, 100.0, 1000.0]), torch.empty(1)
    >>> positions = torch.tensor([0b1000], dtype=torch.uint8)            # 0, then 2
    >>> bind_n_of_m(positions, torch.tensor([[[3.0, 4.0]]]), 4, x, y)()
    >>> y                                                                # 3 * 1 + 4 * 100
    tensor([403.])
    """
    rows, columns = _size(x, y)
    m = whole("m", m, low=2, high=256, fix="2:4 has m = 4")
    if columns % m:
        raise ValueError(f"m must divide the length of x ({columns}), got {m}; use a divisor")
    _, groups, n = need_layout("values", values, _FLOAT, (rows, columns // m, None))
    n = whole("n, the last side of values,", n, low=1, high=m, fix="2:4 has n = 2")
    bits = (m - 1).bit_length()
    need_layout("positions", positions, _BYTE, (-(-rows * groups * n * bits // 8),))
    if m != 2**bits and rows * groups * n:
        each = np.unpackbits(positions.numpy(), count=rows * groups * n * bits, bitorder="little").reshape(-1, bits)
        if (highest := int((each @ 2 ** np.arange(bits)).max())) >= m:
            raise ValueError(f"positions must lie in a group of {m}, 0 to {m - 1}, got {highest}; pack them again")
    arguments = (rows, columns, positions, values, x, y)
    if (n, m) == (2, 4) and columns % 8 == 0:
        return bound("sparse.c", "two_of_four", arguments, flags=flags)
    return bound("sparse.c", "n_of_m", arguments, flags=flags, N=n, M=m, BITS=bits)


def _check_places(starts: Tensor, columns: Tensor, width: int) -> None:
    """Refuse starts and columns that would make C read elsewhere than in `values` and x."""
    kept = len(columns)
    if (int(starts[0]), int(starts[-1])) != (0, kept) or bool((starts.diff() < 0).any()):
        raise ValueError(f"starts must rise from 0 to the number of values, {kept}; count the values of each row")
    low, high = map(int, columns.to(torch.int64).aminmax()) if kept else (0, width - 1)
    if not 0 <= low <= high < width:
        raise ValueError(f"columns must lie from 0 to {width - 1}, got {low} to {high}; they are counted from 0")


def _size(x: Tensor, y: Tensor) -> tuple[int, int]:
    """Rows and columns of the matrix that takes x to y."""
    return *need_layout("y", y, _FLOAT, (None,)), *need_layout("x", x, _FLOAT, (None,))
