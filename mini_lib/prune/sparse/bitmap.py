"""Bitmap: one bit per weight says whether it is nonzero, and the nonzero values follow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.kernels import need_layout
from mini_lib.packing import pack_mask, packed_bytes, unpack_mask
from mini_lib.prune.sparse.matrix import VALUE_DTYPES, need_matrix, need_shape, tensor_bytes


@dataclass(frozen=True, eq=False)
class Bitmap:
    """A matrix as a bit for each weight (uint8 [ceil(rows * columns / 8)], row-major) and its values (float [kept]).

    Raises:
        TypeError: a tensor is of another dtype.
        ValueError: the parts do not fit together.
    """

    shape: tuple[int, int]
    bits: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", need_shape(self.shape))
        count = self.shape[0] * self.shape[1]
        need_layout("bits", self.bits, (torch.uint8,), (packed_bytes(count, 1),))
        kept = int(unpack_mask(self.bits, count).sum())
        need_layout("values", self.values, VALUE_DTYPES, (kept,))

    @property
    def stored_bytes(self) -> int:
        return tensor_bytes(self.bits, self.values)

    def dense(self) -> Tensor:
        """Return the matrix with its zeros."""
        weight = torch.zeros(self.shape, dtype=self.values.dtype)
        weight[unpack_mask(self.bits, weight.numel()).view(self.shape)] = self.values
        return weight


def to_bitmap(weight: Tensor) -> Bitmap:
    """Store a matrix as a bitmap and its nonzero values, in row-major order.

    In fp32 it takes 4 * density + 1/8 bytes per weight, so it pays below a density of 1 - 1/32.

    Raises:
        TypeError: `weight` is not a tensor of fp32, fp16 or bf16.
        ValueError: it is not a matrix, or is empty.

    >>> stored = to_bitmap(torch.tensor([[0.0, 3.0, 0.0, 4.0]]))
    >>> stored.bits, stored.values                                       # 2 + 8; the nonzeros
    (tensor([10], dtype=torch.uint8), tensor([3., 4.]))
    >>> stored.stored_bytes                                              # 1 + 2 * 4
    9
    """
    weight = need_matrix(weight)
    there = weight != 0
    return Bitmap(tuple(weight.shape), pack_mask(there), weight[there])
