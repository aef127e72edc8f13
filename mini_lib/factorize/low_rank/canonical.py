"""CP decomposition (canonical polyadic, PARAFAC): a tensor as a sum of few outer products of vectors.

    T  ~  sum over j of  weight_j * a_j (x) b_j (x) c_j ...          the j-th columns of one factor per mode

It is the smallest of the decompositions, and the only one for which no method always finds the best. With all factors
but one fixed, the last is an ordinary least squares problem. So alternating least squares solves for one after the
other, from several starts, and keeps the best result. It may be a local optimum.

Two columns may grow without bound in opposite directions and cancel: the error keeps falling slowly, and there is no
best decomposition (V. de Silva, L.-H. Lim, "Tensor rank and the ill-posedness of the best low-rank approximation
problem", 2008). Since columns have length 1, this shows in the weights: `CP.cancellation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.factorize.low_rank.tensors import (
    check_rank,
    double,
    leading_vectors,
    relative_error,
    unfold,
    whole_numbers,
)
from mini_lib.factorize.low_rank.tucker import check_stopping
from mini_lib.require import whole


@dataclass(frozen=True)
class CP:
    """The components of a CP decomposition.

    Attributes:
        weights: [rank], not negative, float64.
        factors: [size, rank] for each mode, float64, with columns of length 1.
        error: Frobenius norm of what is lost, relative to the tensor.
        sweeps: how often all modes were solved for.
    """

    weights: Tensor
    factors: tuple[Tensor, ...]
    error: float
    sweeps: int = 0

    def rebuild(self) -> Tensor:
        """Return the tensor that the components add up to, in float64."""
        return _add_up(self.weights, self.factors)

    @property
    def cancellation(self) -> float:
        """The sum of the components' sizes over the size of their sum: where it is far above 1, they cancel each other.

        A rounding error in a factor counts this many times in the sum.
        """
        total = self.rebuild().norm().item()
        return self.weights.sum().item() / total if total else 1.0


def khatri_rao(factors: Sequence[Tensor]) -> Tensor:
    """Return the columns' outer products, flattened: [product of the sizes, rank]; the last factor runs fastest.

    >>> khatri_rao([torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]])]).T
    tensor([[ 3.,  5.,  6., 10.]])

    Source: Kolda and Bader 2009, section 2.6.
    """
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, None, :] * factor[None, :, :]).flatten(0, 1)
    return product


def svd_start(tensor: Tensor, rank: int, seed: int = 0) -> list[Tensor]:
    """Return the leading singular vectors of each unfolding, [size, rank]; random columns fill up a small mode.

    >>> [tuple(factor.shape) for factor in svd_start(torch.eye(2, 3), rank=3)]   # of 2 rows, so one column is random
    [(2, 3), (3, 3)]

    Source: Kolda and Bader 2009, section 3.4.
    """
    values = double(tensor)
    start = []
    for mode, filling in enumerate(random_start(values, rank, seed)):
        size = values.shape[mode]
        found = leading_vectors(unfold(values, mode), min(size, rank))
        start.append(torch.cat([found, filling[:, size:]], dim=1))
    return start


def random_start(tensor: Tensor, rank: int, seed: int) -> list[Tensor]:
    """Return normal random columns of length 1 for each mode, [size, rank], the same for the same seed.

    >>> [tuple(factor.shape) for factor in random_start(torch.zeros(4, 5), rank=2, seed=0)]
    [(4, 2), (5, 2)]
    """
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in tensor.shape]
    return [column / column.norm(dim=0) for column in columns]


def cp_als(
    tensor: Tensor, rank: int, *, starts: int = 3, seed: int = 0, sweeps: int = 200, tolerance: float = 1e-6
) -> CP:
    """Return the best CP decomposition of `rank` components that alternating least squares finds.

    Args:
        tensor: of d modes, at least 2.
        rank: at most the product of all sizes but the largest. At that rank every tensor has an exact decomposition,
            which needs no search: each fibre along the largest mode is a component.
        starts: how many; the first start is the singular vectors, the others are random.
        seed: of the random numbers.
        sweeps, tolerance: a start ends when a sweep lowers the relative error by no more than `tolerance`, or after
            `sweeps` of them.

    Raises:
        TypeError: `tensor` is not a tensor, or `starts`, `seed` or `sweeps` is not a whole number.
        ValueError: fewer than 2 modes, a rank that is too small or too large, values that are not finite, or
            `starts`, `sweeps` or `tolerance` out of range.

    One outer product is found by the first start:

    >>> found = cp_als(torch.tensor([[3.0, 6.0], [4.0, 8.0]]), rank=1)    # (3, 4) and (1, 2): 5 * sqrt(5) = 11.18
    >>> round(found.weights.item(), 2), found.error < 1e-12
    (11.18, True)

    Source: Kolda and Bader 2009, section 3.4 and figure 3.3; R. Harshman, "Foundations of the PARAFAC procedure",
    1970.
    """
    values = double(tensor)
    if values.dim() < 2:
        raise ValueError(f"a CP decomposition needs a tensor of at least 2 modes, got {values.dim()}")
    full = full_cp_rank(values.shape)
    rank = check_rank(rank, full, f"a {' x '.join(map(str, values.shape))} tensor")
    starts = whole("starts", starts, low=1, fix="3 is usual")
    seed = whole("seed", seed, fix="the same seed draws the same starts")
    sweeps, tolerance = check_stopping(sweeps, tolerance)
    if rank == full:
        return _fibres(values)
    begins = [svd_start(values, rank, seed), *(random_start(values, rank, seed + more) for more in range(1, starts))]
    return min((alternate(values, begin, sweeps, tolerance) for begin in begins), key=lambda found: found.error)


def alternate(tensor: Tensor, start: Sequence[Tensor], sweeps: int, tolerance: float) -> CP:
    """Return the CP decomposition that alternating least squares reaches from these factors, one [size, rank] per mode.

    >>> tensor = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> alternate(tensor, random_start(tensor, 2, seed=0), sweeps=10, tolerance=0.0).error < 1e-12
    True
    """
    values, factors = double(tensor), list(start)
    found, error = None, math.inf
    for sweep in range(1, sweeps + 1):
        for mode in range(values.dim()):
            solved = _least_squares(values, factors, mode)
            weights = solved.norm(dim=0)
            factors[mode] = solved / weights.where(weights > 0, torch.ones_like(weights))
        reached = relative_error(values, _add_up(weights, factors))
        if found is None or reached < found.error:
            found = CP(weights, tuple(factors), reached, sweep)
        if error - reached <= tolerance:
            break
        error = reached
    return found


def full_cp_rank(shape: Sequence[int]) -> int:
    """Return how many components are enough for every tensor of this shape: one for each fibre along the largest mode.

    Raises:
        TypeError, ValueError: the shape is not one or more whole numbers of 1 or more.

    >>> full_cp_rank((16, 8, 3, 3))
    72
    """
    shape = whole_numbers("shape", shape, fix="pass weight.shape")
    if not shape:
        raise ValueError("shape must hold at least one size, got none; pass weight.shape")
    return math.prod(shape) // max(shape)


def _least_squares(tensor: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    """The best factor for one mode when the others are fixed: factor @ (K^T K) = unfolding @ K, K their Khatri-Rao.

    K^T K is the element-wise product of the factors' own F^T F, so it is only rank x rank and cheap. It is singular
    where two columns are the same; of all solutions gelsd takes the smallest.
    """
    held = [place for place in range(tensor.dim()) if place != mode]
    gram = torch.stack([factors[place].T @ factors[place] for place in held]).prod(dim=0)
    return torch.linalg.lstsq(gram, _times_khatri_rao(tensor, factors, mode).T, driver="gelsd").solution.T


def _times_khatri_rao(tensor: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    """unfold(tensor, mode) @ khatri_rao(the other factors), without building the latter, which may be huge.

    The modes are summed over one by one, the largest first, so that little is left for the next.
    """
    letters = "abcdefghijklmnop"[: tensor.dim()]
    held = sorted((place for place in range(tensor.dim()) if place != mode), key=lambda place: -tensor.shape[place])
    left, state = letters, tensor
    for step, place in enumerate(held):
        rest = left.replace(letters[place], "")
        state = torch.einsum(f"{left}{'z' if step else ''},{letters[place]}z->{rest}z", state, factors[place])
        left = rest
    return state


def _add_up(weights: Tensor, factors: Sequence[Tensor]) -> Tensor:
    flat = (factors[0] * weights) @ khatri_rao(factors[1:]).T
    return flat.reshape([len(factor) for factor in factors])


def _fibres(tensor: Tensor) -> CP:
    """The exact decomposition at full rank: a component is a fibre of the largest mode, at one place of the others."""
    largest = max(range(tensor.dim()), key=lambda mode: tensor.shape[mode])
    fibres = unfold(tensor, largest)
    places = torch.cartesian_prod(*(torch.arange(n) for mode, n in enumerate(tensor.shape) if mode != largest))
    places = iter(places.reshape(fibres.shape[1], -1).T)
    weights = fibres.norm(dim=0)
    lengths = weights.where(weights > 0, torch.ones_like(weights))
    factors = tuple(
        fibres / lengths if mode == largest else torch.eye(size, dtype=tensor.dtype)[:, next(places)]
        for mode, size in enumerate(tensor.shape)
    )
    return CP(weights, factors, 0.0)
