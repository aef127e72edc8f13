"""Block CSR: whole blocks of weights that are not all zero, one column index per block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib.kernels import need_layout
from mini_lib.prune.sparse.matrix import (
    VALUE_DTYPES,
    compressed_rows,
    need_compressed_rows,
    need_matrix,
    need_shape,
    places_of,
    tensor_bytes,
)
from mini_lib.require import whole


@dataclass(frozen=True, eq=False)
class BlockCSR:
    """A matrix as blocks of r x c weights: CSR whose values are blocks.

    shape: rows and columns of the matrix. Where r or c does not divide them, the last blocks hang over the edge, and
        the zeros there are stored (and counted) like all others in a block.
    row_pointers: int32 [block rows + 1], block_columns: uint16 or int32 [blocks], values: float [blocks, r, c].

    Raises:
        TypeError: a tensor is of another dtype.
        ValueError: the parts do not fit together.
    """

    shape: tuple[int, int]
    row_pointers: Tensor
    block_columns: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor) or self.values.dim() != 3 or 0 in self.values.shape[1:]:
            raise ValueError("values must be a tensor [blocks, rows of a block, columns of a block]")
        object.__setattr__(self, "shape", need_shape(self.shape))
        if not isinstance(self.block_columns, Tensor):
            raise TypeError(f"columns must be a tensor, got {type(self.block_columns).__name__}; use to_blocks(weight)")
        need_layout("values", self.values, VALUE_DTYPES, (self.block_columns.numel(), *self.block))
        need_compressed_rows(self.row_pointers, self.block_columns, *self.block_counts)

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of one block."""
        return tuple(self.values.shape[1:])

    @property
    def block_counts(self) -> tuple[int, int]:
        """The height and width of the matrix in blocks, including those that hang over the edge."""
        return _block_counts(self.shape, self.block)

    @property
    def stored_bytes(self) -> int:
        return tensor_bytes(self.row_pointers, self.block_columns, self.values)

    def dense(self) -> Tensor:
        """Return the matrix with its zeros."""
        (rows, columns), (high, wide), (r, c) = self.shape, self.block_counts, self.block
        blocks = torch.zeros(high, wide, r, c, dtype=self.values.dtype)
        blocks[places_of(self.row_pointers, self.block_columns)] = self.values
        return blocks.transpose(1, 2).reshape(high * r, wide * c)[:rows, :columns].contiguous()


def to_blocks(weight: Tensor, block: tuple[int, int] = (4, 4)) -> BlockCSR:
    """Store the blocks of a matrix that hold at least one nonzero.

    One index serves r * c weights, so blocks of 4 x 4 take 2 bytes of index per 64 bytes of values. But a block with a
    single nonzero is stored whole: with scattered zeros at density 0.1, 1 - 0.9**16 = 81% of these blocks remain.

    Raises:
        TypeError: `weight` is not a tensor of fp32, fp16 or bf16, or `block` is not two whole numbers.
        ValueError: `weight` is not a matrix or is empty, or a side of the block is below 1.

    >>> stored = to_blocks(torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 2.0]]), block=(2, 2))
    >>> stored.row_pointers, stored.block_columns.tolist(), stored.values
    (tensor([0, 1], dtype=torch.int32), [1], tensor([[[1., 0.],
             [0., 2.]]]))
    >>> stored.stored_bytes                                              # 2 * 4 + 1 * 2 + 4 * 4
    26

    Source: E. Im, K. Yelick, R. Vuduc, "Sparsity: Optimization Framework for Sparse Matrix Kernels", 2004, section 3.
    """
    weight = need_matrix(weight)
    r, c = _need_block(block)
    high, wide = _block_counts(weight.shape, (r, c))
    padded = F.pad(weight, (0, wide * c - weight.shape[1], 0, high * r - weight.shape[0]))
    blocks = padded.view(high, r, wide, c).transpose(1, 2)
    places = (blocks != 0).flatten(2).any(-1).nonzero(as_tuple=True)
    return BlockCSR(tuple(weight.shape), *compressed_rows(places, (high, wide)), blocks[places].contiguous())


def _block_counts(shape: tuple[int, int], block: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // block[0]), -(-shape[1] // block[1])


def _need_block(block: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(block, tuple | list) or len(block) != 2:
        raise TypeError(f"block must be two whole numbers, got {block!r}; use (4, 4)")
    return tuple(whole("a side of block", side, low=1, fix="use (4, 4)") for side in block)
