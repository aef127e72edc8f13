"""Tucker decomposition: a small core, and for each mode a matrix that mixes the mode's places from fewer ones.

    T  ~  core x_0 U_0 x_1 U_1 ...                U_k: [n_k, r_k] with orthonormal columns

HOSVD takes each U_k from the singular vectors of its own unfolding. That is close to the best, but not the best: U_1
was chosen for the whole tensor, and is used on the part that U_0 has kept. HOOI repairs that. It goes round the modes
and chooses each matrix again for the part that the others keep, which can only help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mini_lib.factorize.low_rank.tensors import (
    check_rank,
    double,
    leading_vectors,
    mode_product,
    relative_error,
    unfold,
)
from mini_lib.require import not_negative, of_type, whole


@dataclass(frozen=True)
class Tucker:
    """A core and its factors.

    Attributes:
        core: float64; along a mode with a factor it has that factor's rank, along the others the tensor's size.
        factors: by mode, [size, rank], with orthonormal columns.
        error: Frobenius norm of what is lost, relative to the tensor.
        sweeps: how many times all modes were solved for; 0 for HOSVD.
    """

    core: Tensor
    factors: Mapping[int, Tensor]
    error: float
    sweeps: int = 0

    def rebuild(self) -> Tensor:
        """Return the tensor that the core and the factors represent, in float64."""
        return _expand(self.core, self.factors)


def hosvd(tensor: Tensor, ranks: Mapping[int, int]) -> Tucker:
    """Return the Tucker decomposition whose factors are the leading singular vectors of each unfolding.

    Take the errors of cutting one mode alone: the error is at least the largest of them, and at most the root of the
    sum of their squares. So it is at most sqrt(number of modes that are cut) times the best possible.

    Args:
        tensor: of any shape.
        ranks: by mode. Modes that are not named stay whole.

    Raises:
        ValueError: no ranks, a mode that does not exist, a rank below 1 or above the full one, or values that are
            not finite.

    Of a diagonal matrix with entries 4 and 3, rank 1 keeps the 4 and loses 3 of 5:

    >>> import torch
    >>> found = hosvd(torch.diag(torch.tensor([4.0, 3.0])), {0: 1, 1: 1})
    >>> found.core.abs(), round(found.error, 12)
    (tensor([[4.]], dtype=torch.float64), 0.6)

    Source: L. De Lathauwer, B. De Moor, J. Vandewalle, "A multilinear singular value decomposition", 2000,
    sections 3 and 4; Kolda and Bader 2009, figure 4.3.
    """
    values = double(tensor)
    ranks = _checked(values, ranks)
    factors = {mode: leading_vectors(unfold(values, mode), rank) for mode, rank in ranks.items()}
    return _tucker(values, factors, sweeps=0)


def hooi(tensor: Tensor, ranks: Mapping[int, int], *, sweeps: int = 100, tolerance: float = 1e-7) -> Tucker:
    """Return the Tucker decomposition reached from HOSVD's by choosing its factors again, one after the other.

    With the other factors fixed, the best factor for a mode is known: the leading singular vectors of the tensor
    projected by the others. No step can raise the error. It ends when a sweep over all modes lowers the relative error
    by no more than `tolerance`, or after `sweeps` of them. The result is a local optimum.

    Raises:
        TypeError: `sweeps` is not a whole number.
        ValueError: as `hosvd`; or `sweeps` is below 1, or `tolerance` is negative.

    >>> import torch
    >>> tensor = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 2.0]]])
    >>> ranks = {0: 1, 1: 1, 2: 1}
    >>> hooi(tensor, ranks).error < hosvd(tensor, ranks).error
    True

    Source: L. De Lathauwer, B. De Moor, J. Vandewalle, "On the best rank-1 and rank-(R1, R2, ..., RN) approximation
    of higher-order tensors", 2000, algorithm 4.2; Kolda and Bader 2009, figure 4.4.
    """
    sweeps, tolerance = check_stopping(sweeps, tolerance)
    found, values = hosvd(tensor, ranks), double(tensor)
    ranks = {mode: factor.shape[1] for mode, factor in found.factors.items()}
    for sweep in range(1, sweeps + 1):
        factors = dict(found.factors)
        for mode, rank in ranks.items():
            others = {other: factor for other, factor in factors.items() if other != mode}
            factors[mode] = leading_vectors(unfold(_project(values, others), mode), rank)
        better = _tucker(values, factors, sweep)
        if better.error >= found.error - tolerance:
            return min(found, better, key=lambda one: one.error)  # near the end, rounding may make a step worse
        found = better
    return found


def check_stopping(sweeps: int, tolerance: float) -> tuple[int, float]:
    """Return the two numbers that say when an iteration ends.

    Raises:
        TypeError: `sweeps` is not a whole number, or `tolerance` not a number.
        ValueError: `sweeps` is below 1, or `tolerance` is negative.
    """
    sweeps = whole("sweeps", sweeps, low=1, fix="100 is usual")
    return sweeps, not_negative("tolerance", tolerance, fix="0 goes on as long as the error falls")


def _tucker(tensor: Tensor, factors: Mapping[int, Tensor], sweeps: int) -> Tucker:
    core = _project(tensor, factors)
    # |T|^2 - |core|^2 is the same number, but a small difference of two large squares has few correct digits
    return Tucker(core, factors, relative_error(tensor, _expand(core, factors)), sweeps)


def _project(tensor: Tensor, factors: Mapping[int, Tensor]) -> Tensor:
    for mode, factor in factors.items():
        tensor = mode_product(tensor, factor.T, mode)
    return tensor


def _expand(core: Tensor, factors: Mapping[int, Tensor]) -> Tensor:
    for mode, factor in factors.items():
        core = mode_product(core, factor, mode)
    return core


def _checked(tensor: Tensor, ranks: Mapping[int, int]) -> dict[int, int]:
    if not of_type("ranks", ranks, Mapping, fix="pass such as {0: 8, 1: 4}, the rank by mode"):
        raise ValueError("ranks names no mode; pass such as {0: 8, 1: 4}, the rank by mode")
    checked = {}
    for mode, rank in ranks.items():
        rows, columns = unfold(tensor, mode).shape
        shape = " x ".join(map(str, tensor.shape))
        of = f"mode {mode} of a {shape} tensor"
        checked[int(mode)] = check_rank(rank, min(rows, columns), of, f"rank of mode {mode}")
    return checked
