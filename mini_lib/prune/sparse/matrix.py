"""Common parts of the storage formats: a matrix of weights, its zeros left out, as tensors as they would lie on disk.

A weight counts as zero if it equals 0, so -0.0 is left out and comes back as 0.0. Data that describe a file rather than
the weights (shape, dtype, the names of the tensors) do not count; a file's header holds them once.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from mini_lib.kernels import need_layout
from mini_lib.require import of_type, shown, whole
from mini_lib.tensor_checks import need_tensor

VALUE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
NARROW_COLUMNS = 2**16  # 16 bits can number this many columns
MOST_VALUES = 2**31 - 1  # the row pointers are int32


class SparseMatrix(Protocol):
    """A matrix without its zeros. Each format in this folder is one."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def stored_bytes(self) -> int: ...

    @property
    def values(self) -> Tensor: ...

    def dense(self) -> Tensor:
        """Return the matrix with its zeros."""
        ...


class DoesNotFit(ValueError):
    """These weights cannot be stored in this format without changing them."""


def as_matrix(weight: Tensor) -> Tensor:
    """Return a weight as a matrix with one row per output: a convolution's [out, in, kh, kw] as [out, in * kh * kw].

    Raises:
        TypeError: `weight` is not a tensor.
        ValueError: it has fewer than two axes.

    >>> as_matrix(torch.zeros(16, 3, 5, 5)).shape
    torch.Size([16, 75])
    """
    weight = need_tensor("weight", weight, empty=True, fix="pass layer.weight")
    if weight.dim() < 2:
        raise ValueError(f"weight must have at least 2 axes, [out, in, ...], got shape {list(weight.shape)}")
    return weight.detach().flatten(1)


def need_matrix(weight: Tensor) -> Tensor:
    """Return `weight` without its gradient, contiguous on the CPU, if it is a matrix that the formats can store.

    Raises:
        TypeError: it is not a tensor, or not of fp32, fp16 or bf16.
        ValueError: it does not have two axes, is empty or sparse, or holds NaN or infinity.
    """
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight must be a tensor, got {shown(weight)}; pass layer.weight")
    if weight.dtype not in VALUE_DTYPES:
        raise TypeError(f"weight must be float32, float16 or bfloat16, got {weight.dtype}; convert it with .to()")
    if weight.dim() != 2:
        raise ValueError(
            f"weight must be a matrix [rows, columns], got shape {list(weight.shape)}; as_matrix(weight) flattens a "
            "convolution's"
        )
    if weight.numel() == 0:
        raise ValueError(f"weight must have at least one row and one column, got shape {list(weight.shape)}")
    need_tensor("weight", weight, finite=True, fix="look at the training that made it")
    return weight.detach().cpu().contiguous()


def index_dtype(columns: int) -> torch.dtype:
    """Return the narrowest type that numbers `columns` columns: uint16 for up to 65,536, else int32.

    >>> index_dtype(65536), index_dtype(65537)
    (torch.uint16, torch.int32)
    """
    return torch.uint16 if columns <= NARROW_COLUMNS else torch.int32


def tensor_bytes(*tensors: Tensor) -> int:
    """Return the bytes of the elements of all tensors.

    >>> tensor_bytes(torch.zeros(3), torch.zeros(2, dtype=torch.uint16))          # 3 * 4 + 2 * 2
    16
    """
    return sum(tensor.nbytes for tensor in tensors)


def compressed_rows(places: tuple[Tensor, Tensor], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return where each row starts in the list of values, with the end of the list (int32 [rows + 1]), and the columns.

    places: the row and the column of each value, in row-major order, as `nonzero(as_tuple=True)` returns them.

    >>> compressed_rows((torch.tensor([0, 0, 2]), torch.tensor([1, 2, 0])), (3, 70_000))
    (tensor([0, 2, 2, 3], dtype=torch.int32), tensor([1, 2, 0], dtype=torch.int32))
    """
    rows, columns = places
    counts = torch.bincount(rows, minlength=shape[0])
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32), columns.to(index_dtype(shape[1]))


def places_of(row_pointers: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each value (int64 [values]): the inverse of `compressed_rows`.

    >>> places_of(torch.tensor([0, 2, 2, 3]), torch.tensor([1, 2, 0]))
    (tensor([0, 0, 2]), tensor([1, 2, 0]))
    """
    rows = torch.repeat_interleave(torch.arange(len(row_pointers) - 1), row_pointers.diff().to(torch.int64))
    return rows, columns.to(torch.int64)


def need_shape(shape: object) -> tuple[int, int]:
    """Return the rows and columns of a matrix.

    Raises:
        TypeError, ValueError: they are not two whole numbers of 1 or more.

    >>> need_shape((2, 3))
    (2, 3)
    """
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"shape must be two whole numbers (rows, columns), got {shown(shape)}; pass weight.shape")
    rows, columns = (whole("each of shape", side, low=1, fix="pass weight.shape") for side in shape)
    return rows, columns


def need_compressed_rows(pointers: Tensor, columns: Tensor, rows: int, width: int) -> None:
    """Make sure that compressed rows are consistent: C follows these numbers without checking.

    Raises:
        TypeError: another dtype than int32 pointers and the narrowest column indexes.
        ValueError: pointers that do not rise from 0 to the number of values, or columns outside the matrix or out of
            order within a row.
    """
    need_layout("row_pointers", pointers, (torch.int32,), (rows + 1,))
    of_type("columns", columns, Tensor, fix="pass those that were packed")
    need_layout("columns", columns, (index_dtype(width),), (columns.numel(),))
    steps = pointers.to(torch.int64).diff()  # in int32 the difference of two wild numbers could wrap around
    if pointers[0] != 0 or pointers[-1] != columns.numel() or (steps < 0).any():
        raise ValueError(
            f"row_pointers must rise from 0 to the number of values ({columns.numel()}), got {pointers.tolist()[:8]}..."
        )
    value_rows, places = places_of(pointers, columns)
    if columns.numel() and (places.min() < 0 or places.max() >= width):
        raise ValueError(f"columns must lie in 0 to {width - 1}, got {int(places.min())} to {int(places.max())}")
    # Counted through all rows, each place must come after the one before it; else it is out of order or there twice.
    if ((places + width * value_rows).diff() <= 0).any():
        raise ValueError("columns must rise within each row, each at most once; sort them")
