"""Ranks of one matrix: by hand, planted ranks, and variational Bayes against its own update rules and free energy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mini_lib.factorize.rank import break_even_rank, noise_variance, rank_by_energy, rank_by_vbmf

# rows, columns, planted rank: tall, wide, square, a single component, many
PLANTED = [(40, 90, 4), (90, 40, 4), (60, 60, 10), (30, 200, 1), (100, 120, 25)]


def planted(rows: int, columns: int, rank: int, noise: float, seed: int = 0) -> torch.Tensor:
    """A product of two random factors, entries of variance 1, and noise of standard deviation `noise`."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return draw(rows, rank) @ draw(rank, columns) / max(rank, 1) ** 0.5 + noise * draw(rows, columns)


@pytest.mark.parametrize(
    ("energy", "rank"), [(0.01, 1), (0.64, 1), (0.65, 2), (0.8, 2), (0.96, 3), (0.97, 4), (1.0, 4)]
)
def test_energy_by_hand(energy, rank):
    # squares 16, 4, 4, 1, 0 of 25: shares kept .64, .8, .96, 1, 1
    assert rank_by_energy(torch.tensor([4.0, 2.0, 2.0, 1.0, 0.0]), energy) == rank
    assert rank_by_energy(torch.tensor([2.0, 0.0, 1.0, 4.0, 2.0]), energy) == rank


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any), st.floats(1e-6, 1))
def test_energy_is_reached_and_not_one_rank_before(values, energy):
    rank = rank_by_energy(torch.tensor(values, dtype=torch.float64), energy)
    squares = sorted((value**2 for value in values), reverse=True)
    rounding = len(values) * 2**-51 * sum(squares)  # integers: the sums are exact, the share is rounded
    assert sum(squares[:rank]) >= energy * sum(squares) - rounding
    assert sum(squares[: rank - 1]) < energy * sum(squares) + rounding


@given(st.integers(1, 60), st.integers(1, 60))
def test_break_even_is_the_last_rank_that_saves(rows, columns):
    saving = [rank for rank in range(1, rows * columns) if rank * (rows + columns) < rows * columns]
    assert break_even_rank(rows, columns) == max(saving, default=0)


@pytest.mark.parametrize(("rows", "columns", "rank"), PLANTED)
@pytest.mark.parametrize("noise", [1e-6, 0.1, 0.3])
def test_a_planted_rank_is_found(rows, columns, rank, noise):
    matrix = planted(rows, columns, rank, noise)
    assert rank_by_vbmf(matrix) == rank
    # The estimate pools (rows - rank) * (columns - rank) squares of noise, whose mean has the relative standard
    # deviation sqrt(2 / that); 5 of them, and the share of the noise that lies along the signal: it is not seen there.
    free = (rows - rank) * (columns - rank)
    assert noise_variance(matrix) == pytest.approx(noise**2, rel=5 * math.sqrt(2 / free) + 1 - free / (rows * columns))


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (50, 400), (64, 64)])
@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_has_rank_0(shape, seed):
    assert rank_by_vbmf(planted(*shape, 0, 1.0, seed)) == 0


def test_without_noise_the_rank_is_the_rank():
    assert rank_by_vbmf(planted(20, 30, 5, 0.0)) == 5
    assert rank_by_vbmf(planted(20, 30, 5, 0.0).float()) == 5
    assert rank_by_vbmf(torch.zeros(4, 6)) == 0
    assert rank_by_vbmf(torch.ones(4, 6)) == 1
    # all directions alike: none stands out, until one does
    assert rank_by_vbmf(torch.eye(5)) == 0
    assert rank_by_vbmf(torch.diag(torch.tensor([9.0, 1, 1, 1, 1]))) == 1
    assert noise_variance(torch.zeros(4, 6)) == 0


def test_size_and_side_do_not_matter():
    matrix = planted(30, 50, 3, 0.4)
    variance = noise_variance(matrix)
    for other, factor in ((matrix.T, 1), (1e-3 * matrix, 1e-6), (-7 * matrix, 49)):
        assert rank_by_vbmf(other) == 3
        # the search stops within 1e-5 of the logarithm
        assert noise_variance(other) == pytest.approx(factor * variance, rel=1e-4)


def component(parameters: np.ndarray, value: float, rows: int, columns: int, variance: float) -> float:
    """Twice the free energy that a component of this singular value adds, from the definition of the Gaussian factors.

    Its means have the lengths a and b and its posterior variances are p and q; the variances of the priors are at their
    best, (a^2 + columns p) / columns and (b^2 + rows q) / rows. 0 without the component.
    """
    a, b = parameters[:2]
    p, q = np.exp(parameters[2:])
    left, right = a**2 + columns * p, b**2 + rows * q
    priors = columns * math.log(left / (columns * p)) + rows * math.log(right / (rows * q))
    return priors + (left * right - 2 * a * b * value) / variance


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 20), (30, 40), (10, 500)])
def test_a_component_is_kept_where_it_lowers_the_free_energy(rows, columns):
    from mini_lib.factorize.rank import _gain, _threshold

    threshold = _threshold(rows / columns)
    for x in threshold * np.array([0.9, 0.98, 1.02, 1.1, 3.0]):
        value = math.sqrt(x * columns)  # the noise has variance 1
        if x < (1 + math.sqrt(rows / columns)) ** 2:
            continue
        start = [math.sqrt(value / 2)] * 2 + [math.log(0.5 / value)] * 2
        found = minimize(
            component,
            start,
            (value, rows, columns, 1.0),
            "Nelder-Mead",
            options={"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-9, "fatol": 1e-12},
        )
        assert (found.fun < 0) == (x > threshold)
        # the same number, in closed form; the simplex stops within 1e-6 of the minimum
        gain = _gain(torch.tensor([x], dtype=torch.float64), rows / columns).item()
        assert columns * gain == pytest.approx(found.fun, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(12, 20, 2), (20, 12, 3), (15, 15, 1), (10, 40, 4)])
def test_the_variance_is_where_the_update_rules_settle(rows, columns, rank):
    # Variational Bayes as it is usually run: each factor's posterior, the priors and the noise in turn, to a rest.
    matrix = planted(rows, columns, rank, 0.2).numpy()
    size, variance = min(rows, columns), matrix.var()
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    left, right = u * np.sqrt(s), v.T * np.sqrt(s)
    left_cov, right_cov = np.eye(size) * 0.01, np.eye(size) * 0.01
    for _ in range(3000):
        left_prior = (left**2).sum(0) / rows + np.diag(left_cov)
        right_prior = (right**2).sum(0) / columns + np.diag(right_cov)
        left_cov = variance * np.linalg.inv(right.T @ right + columns * right_cov + variance * np.diag(1 / left_prior))
        left = matrix @ right @ left_cov / variance
        right_cov = variance * np.linalg.inv(left.T @ left + rows * left_cov + variance * np.diag(1 / right_prior))
        right = matrix.T @ left @ right_cov / variance
        products = (left.T @ left + rows * left_cov) @ (right.T @ right + columns * right_cov)
        variance = ((matrix**2).sum() - 2 * (matrix * (left @ right.T)).sum() + np.trace(products)) / (rows * columns)
    strength = np.sqrt((left**2).sum(0) * (right**2).sum(0))
    assert (strength > 1e-3 * strength.max()).sum() == rank == rank_by_vbmf(torch.from_numpy(matrix))
    # what is left of the components that die falls like one over the number of rounds
    assert noise_variance(torch.from_numpy(matrix)) == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        ([54.52, 17.161, 3.45, 0.191], 7),
        ([6.011, 4.716, 1.509, 1.176, 0.678, 0.487, 0.136, 0.107], 22),
        ([15.342, 6.636, 0.614, 0.197, 0.113, 0.01], 11),
    ],
)
def test_the_variance_is_the_deepest_of_several_dips(values, columns):
    """Singular values of very different sizes: each that may drown in the noise or stand out of it makes a dip.

    The free energy is written out at 20,000 variances, and what a component adds to it is held by its definition above.
    """
    from mini_lib.factorize.rank import _gain, _threshold

    matrix = torch.zeros(len(values), columns, dtype=torch.float64)
    matrix[range(len(values)), range(len(values))] = torch.tensor(values, dtype=torch.float64)
    squares, ratio = torch.tensor(values, dtype=torch.float64).square(), len(values) / columns
    most = math.ceil(len(values) / (1 + ratio)) - 1  # as many components can stand out; the others are noise
    low = max(squares[most].item() / _threshold(ratio), squares[most:].mean().item()) / columns
    high = squares.sum().item() / matrix.numel()
    logs = torch.linspace(math.log(low), math.log(high), 20_000, dtype=torch.float64)
    x = squares / (columns * logs.exp())[:, None]
    energies = len(values) * logs + (x + _gain(x, ratio).clamp(max=0)).sum(dim=1)
    middle = energies[1:-1]
    assert ((middle < energies[:-2]) & (middle < energies[2:])).sum() >= 2  # dips
    step = (logs[1] - logs[0]).item()
    assert math.log(noise_variance(matrix)) == pytest.approx(logs[energies.argmin()].item(), abs=step + 1e-4)


def test_bad_input_says_why():
    values = torch.tensor([2.0, 1.0])
    for energy in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(ValueError, match=r"energy must lie in \(0, 1\], got .*; 0.9 keeps nine tenths"):
            rank_by_energy(values, energy)
    for bad in (torch.tensor([1.0, -1.0]), torch.tensor([float("nan")]), torch.zeros(0), torch.ones(2, 2)):
        with pytest.raises(ValueError, match=r"singular_values must .*; take them from torch.linalg.svdvals"):
            rank_by_energy(bad, 0.9)
    with pytest.raises(ValueError, match="all 0"):
        rank_by_energy(torch.zeros(3), 0.9)
    with pytest.raises(ValueError, match="rows must be a whole number of 1 or more, got 0"):
        break_even_rank(0, 3)
    for bad in (torch.ones(3), torch.full((2, 2), float("inf")), torch.ones(2, 2, 2), torch.ones(0, 3)):
        with pytest.raises(ValueError, match=r"matrix must .*weight.flatten\(1\)"):
            rank_by_vbmf(bad)
