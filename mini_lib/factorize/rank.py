"""How many singular values of one matrix are worth keeping: three answers, by energy, by cost and by noise.

None of them needs data. By energy: as many as hold a given share of the squared length. By cost: as many as still save
something. By variational Bayes: as many as stand out from the noise, which is estimated along with them; there is
nothing to choose. How many a whole model can afford is in `budget.py`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from mini_lib.factorize.low_rank.svd import tail_energy
from mini_lib.require import share, whole
from mini_lib.tensor_checks import need_tensor


def rank_by_energy(singular_values: Tensor, energy: float) -> int:
    """Return the smallest rank whose singular values hold at least the share `energy` of the sum of their squares.

    Args:
        singular_values: [n], of any order, not negative.
        energy: the share to keep, above 0 and up to 1.

    Raises:
        TypeError: energy is not a number, or the values are not a tensor.
        ValueError: energy is out of range, or the values are not a list of finite numbers from 0 up, not all of them 0.

    The squares are 16, 4, 4 and 1, which add up to 25: 20 of 25 is .8.

    >>> rank_by_energy(torch.tensor([4.0, 2.0, 2.0, 1.0]), 0.8)
    2
    >>> rank_by_energy(torch.tensor([4.0, 2.0, 2.0, 1.0]), 0.81)
    3
    """
    energy = share("energy", energy, fix="0.9 keeps nine tenths of the squares")
    fix = "take them from torch.linalg.svdvals"
    values = need_tensor("singular_values", singular_values, dims=1, floating=False, finite=True, fix=fix).double()
    if (values < 0).any():
        raise ValueError(f"singular_values must be 0 or more, got {values.min().item():g}; {fix}")
    squares = values.sort(descending=True).values.square()
    if not squares[0] > 0:
        raise ValueError("the singular values are all 0, and a matrix of zeros has no energy to keep; leave it out")
    # The share that is lost is compared, not the share that is kept: 1 - 1e-17 would already be 1.
    lost = tail_energy(squares)[1:-1]
    rounding = len(squares) * torch.finfo(torch.float64).eps * squares.sum()
    return 1 + int((lost > (1 - energy) * squares.sum() + rounding * (energy < 1)).sum())


def break_even_rank(rows: int, columns: int) -> int:
    """Return the largest rank r at which two factors, r * (rows + columns), take fewer weights than rows * columns.

    For a convolution that is split by channels, `columns` is in_channels * kernel height * kernel width. MACs are
    weights times places, so the same rank saves MACs. 0 means that no rank saves anything.

    Raises:
        TypeError, ValueError: rows or columns is not a whole number of 1 or more.

    300 x 100: 74 * 400 = 29,600 < 30,000 and 75 * 400 = 30,000 saves nothing.

    >>> break_even_rank(300, 100), break_even_rank(2, 2)
    (74, 0)
    """
    rows, columns = (
        whole(name, size, low=1, fix="pass the weight's shape") for name, size in (("rows", rows), ("columns", columns))
    )
    return (rows * columns - 1) // (rows + columns)


def rank_by_vbmf(matrix: Tensor) -> int:
    """Return how many singular values of a matrix stand out from the noise, by empirical variational Bayes.

    The matrix is modelled as a product of two factors plus independent noise of one variance. The variance is estimated
    too, so there is nothing to choose. 0 means: all of it looks like noise.

    Args:
        matrix: [m, n]; for a convolution, `weight.flatten(1)`.

    Raises:
        TypeError, ValueError: it is not a matrix of finite numbers.

    >>> generator = torch.Generator().manual_seed(0)
    >>> left, right = torch.randn(60, 3, generator=generator), torch.randn(3, 80, generator=generator)
    >>> rank_by_vbmf(left @ right + 0.5 * torch.randn(60, 80, generator=generator))
    3

    Source: S. Nakajima, M. Sugiyama, S. D. Babacan, R. Tomioka, "Global Analytic Solution of Fully-observed Variational
    Bayesian Matrix Factorization", 2013; the form used here is that of S. Nakajima, R. Tomioka, M. Sugiyama, S. D.
    Babacan, "Perfect Dimensionality Recovery by Variational Bayesian PCA", 2012, section 3.
    """
    values, _, columns = _spectrum(matrix)
    variance = noise_variance(matrix)
    if variance == 0:
        # no noise: every singular value that is not rounding counts
        return int((values > values.max() * columns * _rounding(matrix)).sum())
    return int((_gain(values.square() / (columns * variance), len(values) / columns) < 0).sum())


def noise_variance(matrix: Tensor) -> float:
    """Return the variance of the noise in a matrix of low rank plus noise, by minimizing the free energy over it.

    Raises:
        TypeError, ValueError: it is not a matrix of finite numbers.

    A matrix of exactly rank 1 has none:

    >>> noise_variance(torch.ones(4, 1) @ torch.ones(1, 6))
    0.0

    Source: as for `rank_by_vbmf`.
    """
    from scipy.optimize import minimize_scalar

    values, rows, columns = _spectrum(matrix)
    squares, ratio = values.square(), rows / columns
    # No more components than this can stand out, so the rest are noise: this bounds the variance from below.
    at_most = min(math.ceil(rows / (1 + ratio)) - 1, rows - 1)
    tail = squares[at_most:]
    if not values[0] > 0 or tail[0].sqrt() <= values[0] * columns * _rounding(matrix):
        return 0.0
    threshold = _threshold(ratio)
    low = max(tail[0].item() / (columns * threshold), tail.mean().item() / columns)
    high = squares.sum().item() / (rows * columns)

    def free_energy(log_variance: float) -> float:
        x = squares / (columns * math.exp(log_variance))
        return rows * log_variance + (x + _gain(x, ratio).clamp(max=0)).sum().item()

    # The free energy can have a minimum between any two variances at which one more component sinks into the noise:
    # search each.
    drown = (squares / (columns * threshold)).tolist()
    edges = sorted({low, high, *(variance for variance in drown if low < variance < high)})
    logs = [math.log(edge) for edge in edges]
    candidates = [*logs]
    for left, right in pairwise(logs):
        candidates.append(minimize_scalar(free_energy, bounds=(left, right), method="bounded").x)
    return math.exp(min(candidates, key=free_energy))


def _spectrum(matrix: Tensor) -> tuple[Tensor, int, int]:
    """The singular values, and the sides of the matrix, the shorter one first."""
    fix = "use weight.flatten(1) for a convolution"
    matrix = need_tensor("matrix", matrix, dims=2, floating=False, finite=True, fix=fix)
    return torch.linalg.svdvals(matrix.detach().double()), min(matrix.shape), max(matrix.shape)


def _rounding(matrix: Tensor) -> float:
    """The rounding error of the matrix's own type."""
    return torch.finfo(matrix.dtype if matrix.is_floating_point() else torch.float64).eps


def _gain(x: Tensor, ratio: float) -> Tensor:
    """The change of the free energy if a component is kept, by x = s^2 / (columns * variance); below 0 it is kept.

    The larger solution t of x = (1 + t)(1 + ratio / t) is the strength of the component without the noise. Below x = (1
    + sqrt(ratio))^2, which noise alone reaches, there is no solution, and nothing to gain.
    """
    half = (x - (1 + ratio)) / 2
    strength = half + (half.square() - ratio).clamp(min=0).sqrt()
    gain = -strength + strength.log1p() + ratio * (strength / ratio).log1p()
    return gain.where(x > (1 + math.sqrt(ratio)) ** 2, 0.0)


def _threshold(ratio: float) -> float:
    """The x at which the gain changes its sign."""
    from scipy.optimize import brentq

    # In units of sqrt(ratio) the root grows from 2.51 at ratio 1 like the root of a logarithm.
    scale = math.sqrt(ratio)
    root = brentq(lambda t: -t + math.log1p(t) + ratio * math.log1p(t / ratio), scale, 100 * scale)
    return (1 + root) * (1 + ratio / root)
