"""N:M: of every m weights in a row at most n are nonzero, so the format stores n values and their positions.

2:4 is the pattern that NVIDIA's tensor cores multiply from the Ampere generation on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.kernels import need_layout
from mini_lib.packing import pack, packed_bytes, unpack
from mini_lib.prune.sparse.matrix import VALUE_DTYPES, DoesNotFit, need_matrix, need_shape, tensor_bytes
from mini_lib.require import whole

WIDEST_GROUP = 256  # a position takes at most one byte


@dataclass(frozen=True, eq=False)
class NofM:
    """A matrix as n values per group of m columns, and the position of each value within its group.

    values: float [rows, columns / m, n]. positions: ceil(log2 m) bits for each value, packed back to back into
    uint8 [ceil(bits / 8)]. In a group they rise; a group with fewer than n nonzeros stores zeros as well.

    Raises:
        TypeError: a tensor is of another dtype, or n and m are not whole numbers.
        ValueError: the parts do not fit together, or n is not from 1 to m - 1.
    """

    shape: tuple[int, int]
    n: int
    m: int
    positions: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        n, m = _n_of_m(self.n, self.m)
        for name, value in (("shape", need_shape(self.shape)), ("n", n), ("m", m)):
            object.__setattr__(self, name, value)
        rows, columns = self.shape
        _need_whole_groups(columns, self.m)
        need_layout("values", self.values, VALUE_DTYPES, (rows, columns // self.m, self.n))
        need_layout("positions", self.positions, (torch.uint8,), (packed_bytes(self.values.numel(), self.bits),))
        places = self._places()
        if int(places.max()) >= self.m or (places.to(torch.int16).diff(dim=-1) <= 0).any():
            raise ValueError(f"positions must rise within each group and lie in 0 to {self.m - 1}")

    @property
    def bits(self) -> int:
        """How many bits name a position in a group: ceil(log2 m)."""
        return (self.m - 1).bit_length()

    @property
    def stored_bytes(self) -> int:
        return tensor_bytes(self.positions, self.values)

    def dense(self) -> Tensor:
        """Return the matrix with its zeros."""
        groups = torch.zeros(*self.values.shape[:2], self.m, dtype=self.values.dtype)
        return groups.scatter_(-1, self._places().to(torch.int64), self.values).view(self.shape)

    def _places(self) -> Tensor:
        return unpack(self.positions, self.bits, self.values.numel()).view(self.values.shape)


def to_n_of_m(weight: Tensor, n: int = 2, m: int = 4) -> NofM:
    """Store a matrix in which at most n of every m neighbours in a row are nonzero.

    2:4 takes half of the values and 2 bits per value. In fp32 that is 0.5 * (1 + 2/32) = 0.53125 of dense, in fp16 0.5
    * (1 + 2/16) = 0.5625, not half.

    Raises:
        TypeError: `weight` is not a tensor of fp32, fp16 or bf16, or n and m are not whole numbers.
        ValueError: `weight` is not a matrix or is empty, or n is not from 1 to m - 1; DoesNotFit (a ValueError) if m
            does not divide the columns or a group has more than n nonzeros.

    >>> stored = to_n_of_m(torch.tensor([[0.0, 5.0, 0.0, 6.0, 7.0, 0.0, 0.0, 0.0]]))
    >>> stored.values                                                    # the second group stores a zero
    tensor([[[5., 6.],
             [7., 0.]]])
    >>> stored.positions                                                 # 1, 3, 0, 1: 1 + 3*4 + 0*16 + 1*64
    tensor([77], dtype=torch.uint8)
    >>> stored.stored_bytes, stored.stored_bytes / (8 * 4)               # 4 * 4 + 1, of 32
    (17, 0.53125)

    Source: A. Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3.
    """
    weight = need_matrix(weight)
    n, m = _n_of_m(n, m)
    rows, columns = weight.shape
    _need_whole_groups(columns, m)
    groups = weight.view(rows, columns // m, m)
    zero = groups == 0
    crowded = (m - zero.sum(-1) > n).nonzero()
    if len(crowded):
        row, group = crowded[0].tolist()
        count = int((~zero[row, group]).sum())
        raise DoesNotFit(
            f"row {row}, group {group} (columns {group * m} to {group * m + m - 1}) has {count} nonzeros, and {n}:{m} "
            f"stores at most {n}; prune with an {n}:{m} mask first, or use to_csr"
        )
    # The nonzeros first, in order, then the first of the zeros; of these the first n, in order again.
    places = torch.sort(zero.to(torch.uint8), dim=-1, stable=True).indices[..., :n].sort(-1).values
    bits = (m - 1).bit_length()
    return NofM((rows, columns), n, m, pack(places, bits), groups.gather(-1, places))


def _n_of_m(n: int, m: int) -> tuple[int, int]:
    m = whole("m", m, low=2, high=WIDEST_GROUP, fix="use 2:4")
    return whole("n", n, low=1, high=m - 1, fix="use 2:4"), m


def _need_whole_groups(columns: int, m: int) -> None:
    if columns % m:
        raise DoesNotFit(
            f"m = {m} does not divide the {columns} columns; use a divisor, or leave this layer in another format"
        )
