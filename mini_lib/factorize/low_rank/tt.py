"""Tensor train: a tensor as a row of small cores, each connected only to its neighbours.

    T[i1, i2, ..., id]  ~  G1[i1] G2[i2] ... Gd[id]               G_k[i]: a matrix [r_(k-1), r_k], r_0 = r_d = 1

Cut the row anywhere, and the parts left and right of the cut are two matrices whose product has the inner size r_k: the
rank of the tensor unfolded there. So d - 1 singular value decompositions, one after the other, find all the cores, and
the loss of each is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.factorize.low_rank.tensors import check_rank, double, relative_norm, whole_numbers


@dataclass(frozen=True)
class TensorTrain:
    """The cores of a tensor train.

    Attributes:
        cores: float64, [r_before, size, r_after] for each mode; the outermost ranks are 1.
        error: Frobenius norm of what is lost, relative to the tensor, from the discarded singular values.
    """

    cores: tuple[Tensor, ...]
    error: float

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks between neighbours, one fewer than there are cores."""
        return tuple(core.shape[2] for core in self.cores[:-1])

    def rebuild(self) -> Tensor:
        """Return the tensor that the cores represent, in float64."""
        tensor = self.cores[0]
        for core in self.cores[1:]:
            tensor = torch.tensordot(tensor, core, dims=1)
        return tensor.squeeze(0).squeeze(-1)


def tt_svd(tensor: Tensor, ranks: Sequence[int]) -> TensorTrain:
    """Return the tensor train of these ranks, found by cutting one singular value decomposition after the other.

    All cores but the last are orthonormal, so the losses of the cuts are orthogonal to each other, and their squares
    add up to the square of the error. The error is at most sqrt(d - 1) times the best possible at these ranks.

    Args:
        tensor: of d modes, at least 2.
        ranks: d - 1 of them. Rank k is at most r_(k-1) times the size of mode k, and at most the product of the sizes
            after it.

    Raises:
        TypeError: `tensor` is not a tensor, or `ranks` are not whole numbers.
        ValueError: fewer than 2 modes, another number of ranks, a rank that is too small or too large, or values
            that are not finite.

    A matrix is a train of two cores, and its singular values give the loss: of 4 and 3 the 3 is lost, 3 of 5.

    >>> found = tt_svd(torch.diag(torch.tensor([4.0, 3.0])), ranks=[1])
    >>> [tuple(core.shape) for core in found.cores], round(found.error, 12)
    ([(1, 2, 1), (1, 2, 1)], 0.6)

    Source: I. Oseledets, "Tensor-train decomposition", 2011, theorem 2.2 and algorithm 1.
    """
    values, ranks = double(tensor), whole_numbers("ranks", ranks, low=0, fix="one for each pair of neighbours")
    if values.dim() < 2 or len(ranks) != values.dim() - 1:
        raise ValueError(
            f"a tensor train of {values.dim()} modes has {max(values.dim() - 1, 0)} ranks, got {len(ranks)}; pass one "
            "rank for each pair of neighbours, of at least 2 modes"
        )
    cores, lost, before, rest = [], values.new_zeros(()), 1, values
    for place, (size, rank) in enumerate(zip(values.shape, ranks, strict=False)):
        matrix = rest.reshape(before * size, -1)
        rows, columns = matrix.shape
        check_rank(rank, min(rows, columns), f"a cut into {rows} x {columns}", f"rank {place + 1} of the train")
        left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
        cores.append(left[:, :rank].reshape(before, size, rank))
        lost = lost + singular[rank:].square().sum()
        rest = singular[:rank, None] * right[:rank]
        before = rank
    cores.append(rest.reshape(before, values.shape[-1], 1))
    return TensorTrain(tuple(cores), relative_norm(lost.sqrt(), values))
