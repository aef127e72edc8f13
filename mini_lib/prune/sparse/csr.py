"""CSR, compressed sparse rows: the values, the column of each, and where each row starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.kernels import need_layout
from mini_lib.prune.sparse.matrix import (
    MOST_VALUES,
    VALUE_DTYPES,
    DoesNotFit,
    compressed_rows,
    need_compressed_rows,
    need_matrix,
    need_shape,
    places_of,
    tensor_bytes,
)


@dataclass(frozen=True, eq=False)
class CSR:
    """A matrix as row_pointers (int32 [rows + 1]), columns (uint16 or int32 [kept]) and values (float [kept]).

    Row i holds the values from row_pointers[i] up to row_pointers[i + 1]; their columns rise. The columns are uint16
    where 16 bits can number them all (up to 65,536 columns).

    Raises:
        TypeError: a tensor is of another dtype.
        ValueError: the parts do not fit together.
    """

    shape: tuple[int, int]
    row_pointers: Tensor
    columns: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", need_shape(self.shape))
        need_compressed_rows(self.row_pointers, self.columns, *self.shape)
        need_layout("values", self.values, VALUE_DTYPES, (self.columns.numel(),))

    @property
    def stored_bytes(self) -> int:
        return tensor_bytes(self.row_pointers, self.columns, self.values)

    def dense(self) -> Tensor:
        """Return the matrix with its zeros."""
        weight = torch.zeros(self.shape, dtype=self.values.dtype)
        weight[places_of(self.row_pointers, self.columns)] = self.values
        return weight


def to_csr(weight: Tensor) -> CSR:
    """Store a matrix as compressed sparse rows.

    In fp32 a value takes 4 + 2 bytes where a dense weight takes 4, so it pays below a density of about 2/3; in fp16
    below about 1/2.

    Raises:
        TypeError: `weight` is not a tensor of fp32, fp16 or bf16.
        ValueError: it is not a matrix, is empty, or has more than 2**31 - 1 nonzeros.

    >>> stored = to_csr(torch.tensor([[0.0, 3.0, 4.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))
    >>> stored.row_pointers, stored.columns.tolist(), stored.values
    (tensor([0, 2, 2, 3], dtype=torch.int32), [1, 2, 0], tensor([3., 4., 5.]))
    >>> stored.stored_bytes                                              # 4 * 4 + 3 * 2 + 3 * 4
    34

    Source: Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd edition, 2003, section 3.4.
    """
    weight = need_matrix(weight)
    places = weight.nonzero(as_tuple=True)
    if (kept := len(places[0])) > MOST_VALUES:
        raise DoesNotFit(f"CSR counts its values in int32, up to {MOST_VALUES:,}, got {kept:,}; split the matrix")
    return CSR(tuple(weight.shape), *compressed_rows(places, weight.shape), weight[places])
