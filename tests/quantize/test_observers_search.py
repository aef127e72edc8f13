"""The search of `mse`: which ranges it tries, in which order, and which of two equally good ones it takes."""

import inspect

import pytest
import torch

from mini_lib.quantize import IntFormat, choose_qparams, entropy, mse

AFFINE = IntFormat(2, symmetric=False)
BOTH, LOW, HIGH = (True, True), (True, False), (False, True)


def squared_error(values: list[float], low: float, high: float) -> float:
    """What a grid over a range loses, one value at a time."""
    scale, zero_point = (float(each) for each in choose_qparams(torch.tensor(low), torch.tensor(high), AFFINE))
    codes = [min(max(round(value / scale) + zero_point, AFFINE.qmin), AFFINE.qmax) for value in values]
    return sum((scale * (code - zero_point) - value) ** 2 for code, value in zip(codes, values))


def searched(values: list[float], passes, candidates: int) -> tuple[int, int, float]:
    """The steps of both ends after these passes, as the docstring of `mse` tells them, and the error there.

    Infinite if two ranges were equally good but for rounding: then it would be chance which is taken.
    """
    full_low, full_high = min(0.0, *values), max(0.0, *values)

    def error(low: int, high: int) -> float:
        return squared_error(values, full_low * low / candidates, full_high * high / candidates)

    low = high = candidates
    for move_low, move_high in passes:
        tried = [(step if move_low else low, step if move_high else high) for step in [*range(candidates, 0, -1)]]
        errors = sorted((error(*each), each != (low, high), each) for each in {(low, high), *tried})
        if len(errors) > 1 and errors[1][0] - errors[0][0] < 1e-4 * errors[0][0]:
            return low, high, float("inf")
        low, high = errors[0][2]
    return low, high, error(low, high)


# What `mse` is said to do: both ends at once, then one end at a time, in turns. And what happens if a pass is lost.
PASSES = [BOTH, HIGH, LOW, HIGH]
OTHERS = {
    "the first": PASSES[1:],
    "the second": [BOTH, LOW, HIGH],
    "the third": [BOTH, HIGH, HIGH],
    "the last": PASSES[:-1],
    "all turns": [BOTH],
    "low before high": [BOTH, LOW, HIGH, LOW],
}
SEEDS = (0, 1, 2, 25, 44)  # nine values in which no two ranges are equally good, and in which each pass counts


def values_of(seed: int) -> list[float]:
    return (torch.randn(9, generator=torch.Generator().manual_seed(seed)) ** 3 * 8).round().div(4).tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_mse_makes_its_four_passes(seed):
    values = values_of(seed)
    low, high, error = searched(values, PASSES, candidates=10)
    assert error < float("inf")
    found = [end.item() for end in mse(torch.tensor([values]), AFFINE, candidates=10)]
    # the ends are fractions of the range, rounded to float32 once or twice
    assert found == pytest.approx([min(values) * low / 10, max(values) * high / 10], rel=2**-22)


@pytest.mark.parametrize("lost", OTHERS)
def test_each_pass_counts_for_some_of_these_values(lost):
    ends = {seed: searched(values_of(seed), PASSES, 10)[:2] for seed in SEEDS}
    assert any(searched(values_of(seed), OTHERS[lost], 10)[:2] != ends[seed] for seed in SEEDS)


def test_of_two_equally_good_ranges_the_wider_one_is_taken():
    """A four and nine ones at codes -1, 0, 1. Up to 4 the ones become 0, an error of 9; up to 1 the four is off by 3.

    In between it is worse: up to 3 the four is off by 1 and the ones by 1, 10; up to 2 by 2 and by 1 (a half rounds to
    0), 13.
    """
    low, high = mse(torch.tensor([[4.0, *9 * [1.0]]]), IntFormat(2), candidates=4)
    assert (low.item(), high.item()) == (0, 4)
    low, high = mse(torch.tensor([[4.0, *10 * [1.0]]]), IntFormat(2), candidates=4)  # one more, and it is 10 against 9
    assert (low.item(), high.item()) == (0, 1)


def test_one_candidate_is_the_full_range():
    rows = torch.tensor([[-3.0, 1.0, 9 * 1.0], [0.5, 0.5, 2.0]])
    for observer in (mse, entropy):
        low, high = observer(rows, AFFINE, candidates=1)
        assert (low.tolist(), high.tolist()) == ([-3, 0], [9, 2])


def test_an_empty_range_is_not_tried():
    """A four and ten ones at codes -1, 0, 1. Up to 4 the error is 10, up to 2 it is 4 + 10 (a half rounds to 0).

    A range of 0 to 0 would get the step 1, and that error is 9: but it is no fraction of the range.
    """
    low, high = mse(torch.tensor([[4.0, *10 * [1.0]]]), IntFormat(2), candidates=2)
    assert (low.item(), high.item()) == (0, 4)


def test_entropy_has_as_many_bins_as_its_source():
    """Migacz 2017: 2048 bins. One more or fewer seldom changes the range, so the number itself is held."""
    assert inspect.signature(entropy).parameters["bins"].default == 2048
