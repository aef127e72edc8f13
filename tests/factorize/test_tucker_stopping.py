"""When HOOI ends, and what it returns then: compared with sweeps written out in numpy."""

import numpy as np
import pytest
import torch
from low_rank_support import normal

from mini_lib.factorize.low_rank import hooi, hosvd

RANKS = {0: 2, 1: 2, 2: 2}
# A singular vector of these is off by 1e-13 or so where the gaps are above 1e-3, and so is an error that is above 0.1.
ROUNDING = 1e-11


def errors_of(tensor: torch.Tensor, sweeps: int) -> list[float]:
    """The relative error of HOSVD and after 1, 2, ... sweeps over all three modes, each as in the paper."""
    t = tensor.numpy()

    def leading(mode: int, array: np.ndarray) -> np.ndarray:
        return np.linalg.svd(np.moveaxis(array, mode, 0).reshape(array.shape[mode], -1))[0][:, :2]

    def error(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        kept = np.einsum("ijk,ia,jb,kc->abc", t, a, b, c)
        return float(np.sqrt((t**2).sum() - (kept**2).sum()) / np.linalg.norm(t))

    a, b, c = (leading(mode, t) for mode in range(3))
    found = [error(a, b, c)]
    for _ in range(sweeps):
        a = leading(0, np.einsum("ijk,jb,kc->ibc", t, b, c))
        b = leading(1, np.einsum("ijk,ia,kc->ajc", t, a, c))
        c = leading(2, np.einsum("ijk,ia,jb->abk", t, a, b))
        found.append(error(a, b, c))
    return found


@pytest.fixture(scope="module")
def tensor() -> torch.Tensor:
    return normal(5, 4, 6)


def test_each_sweep_is_the_papers(tensor):
    expected = errors_of(tensor, 6)
    assert min(np.diff(expected)) < -1e-3 and max(np.diff(expected)) < -1e-6  # each of these sweeps helps
    assert hosvd(tensor, RANKS).error == pytest.approx(expected[0], abs=ROUNDING)
    for sweeps in range(1, 7):
        found = hooi(tensor, RANKS, sweeps=sweeps, tolerance=0)
        assert found.error == pytest.approx(expected[sweeps], abs=ROUNDING)
        assert found.sweeps == sweeps
    assert hosvd(tensor, RANKS).sweeps == 0


def test_it_ends_with_the_first_sweep_that_helps_by_no_more_than_the_tolerance(tensor):
    expected = errors_of(tensor, 8)
    drops = -np.diff(expected)
    for tolerance in [*(drops[1:6] * 1.01), *(drops[1:6] * 0.99), 1.0]:
        last = next(sweep for sweep, drop in enumerate(drops, start=1) if drop <= tolerance)
        found = hooi(tensor, RANKS, tolerance=float(tolerance))
        assert found.sweeps == last
        assert found.error == pytest.approx(expected[last], abs=ROUNDING)  # the last sweep counts: it did help


def test_a_drop_of_exactly_the_tolerance_ends_it(tensor):
    first, second, third = (hooi(tensor, RANKS, sweeps=sweeps, tolerance=0).error for sweeps in (1, 2, 3))
    drop = first - second  # exact: the two are within a factor of 2
    assert hooi(tensor, RANKS, tolerance=drop).sweeps == 2
    assert third < second and hooi(tensor, RANKS, tolerance=drop * (1 - 1e-9), sweeps=3).sweeps == 3


def test_a_sweep_that_rounding_made_worse_is_not_returned():
    """At the optimum each sweep is as good as the one before but for rounding; the best of all is what comes out."""
    for seed in range(4):
        tensor = normal(3, 4, 3, seed=seed)
        ranks = {0: 2, 1: 3, 2: 2}
        to_the_end = hooi(tensor, ranks, sweeps=2000, tolerance=0)
        assert to_the_end.sweeps < 2000
        around = range(max(1, to_the_end.sweeps - 3), to_the_end.sweeps + 2)
        assert to_the_end.error == min(hooi(tensor, ranks, sweeps=sweeps, tolerance=0).error for sweeps in around)


@pytest.mark.parametrize("sweeps", [0, -1, 1.5, True, None, "3", float("inf")])
def test_sweeps_that_are_no_count_are_refused(sweeps):
    with pytest.raises((TypeError, ValueError), match="sweeps must be a whole number of 1 or more, got"):
        hooi(torch.eye(2), {0: 1}, sweeps=sweeps)


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan")])
def test_a_tolerance_below_zero_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a finite number of 0 or more, got"):
        hooi(torch.eye(2), {0: 1}, tolerance=tolerance)
