"""Ranges of activations, batch by batch: what it saw is what an observer would have seen all at once."""

import re
from functools import partial

import pytest
import torch
from oracles import torch_observer
from samples import samples

from mini_lib.quantize import IntFormat, NF4Format, PerChannel, RangeObserver, entropy, min_max, mse, percentile
from mini_lib.quantize.range_observer import BINS

AFFINE_8 = IntFormat(8, symmetric=False, signed=False)


def watch(batches, fmt=AFFINE_8, observer=min_max):
    observed = RangeObserver(fmt, observer)
    for batch in batches:
        observed.update(batch)
    return observed


def seen(batches):
    """What an observer is given after these batches: values and how often each occurred."""
    given = {}

    def spy(rows, fmt, counts=None):
        given.update(rows=rows, counts=counts)
        return min_max(rows, fmt)

    watch(batches, observer=spy).range()
    return given["rows"][0].double(), given["counts"][0].double()


GROWING = [samples("normal", 500, seed).view(5, 10, 10) * 3.0**seed for seed in range(8)]


def test_by_hand():
    batches = [torch.tensor([0.0, 1.0]), torch.tensor([[-1.0], [2.0]])]
    observed = watch(batches, IntFormat(2, symmetric=False, signed=False))
    assert [end.item() for end in observed.range()] == [-1.0, 2.0]
    assert [each.item() for each in observed.qparams()] == [1.0, 1]


@pytest.mark.parametrize(
    "fmt, settings",
    [
        (AFFINE_8, dict(dtype=torch.quint8, qscheme=torch.per_tensor_affine)),
        (IntFormat(8, symmetric=False), dict(dtype=torch.qint8, qscheme=torch.per_tensor_affine)),
        (IntFormat(8), dict(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric, quant_min=-127, quant_max=127)),
    ],
)
def test_min_max_over_batches_equals_torch_minmaxobserver_bit_for_bit(fmt, settings):
    for batches in (GROWING, GROWING[::-1], [batch.relu() for batch in GROWING], [samples("all negative", 100)]):
        theirs = torch_observer("MinMaxObserver", **settings)
        for batch in batches:
            theirs(batch)
        scale, zero_point = watch(batches, fmt).qparams()
        their_scale, their_zero_point = theirs.calculate_qparams()
        assert torch.equal(scale.view(1), their_scale) and torch.equal(zero_point.view(1), their_zero_point.int())


@pytest.mark.parametrize(
    "batches",
    [
        GROWING,
        GROWING[::-1],
        [batch.relu() for batch in GROWING],
        [torch.zeros(10), torch.tensor([1e-6]), torch.tensor([-1e6])],
        [torch.tensor([2.5])],
        [torch.full((7,), -3.0)],
        [torch.zeros(4)],
        [torch.tensor([1e-45, 3e38])],
    ],
)
def test_every_value_is_counted_once_and_the_mean_is_kept(batches):
    values, counts = seen(batches)
    everything = torch.cat([batch.reshape(-1) for batch in batches]).double()
    assert counts.sum() == everything.numel() and (counts >= 0).all()
    assert values.min() == everything.min() and values.max() == everything.max()
    assert counts[values == 0].sum() == (everything == 0).sum()
    # bin means are rounded to float32: 2**-24 of the largest magnitude for each value, and so for their mean
    assert abs((values * counts).sum() / counts.sum() - everything.mean()) <= 2.0**-24 * everything.abs().max()


@pytest.mark.parametrize("order", [1, -1])
def test_percentiles_are_those_of_all_values_to_within_a_bin(order):
    batches = [samples("heavy tails", 3000, seed) * (seed + 1) for seed in range(5)][::order]
    observer = percentile(99)
    low, high = watch(batches, observer=observer).range()
    everything = torch.cat(batches)
    exact_low, exact_high = observer(everything[None], AFFINE_8)
    # A bin is 2 * limit / BINS wide, and the limit is less than twice the largest magnitude. Each value is
    # replaced by one of the same bin, so that no percentile moves by more than a bin.
    bin_width = 2 * 2 * everything.abs().max() / BINS
    assert abs(low - exact_low) <= bin_width and abs(high - exact_high) <= bin_width


@pytest.mark.parametrize("search", [mse, entropy])
def test_searched_ranges_are_nearly_those_of_all_values(search):
    batches = [samples("one outlier", 4000, seed).relu() for seed in range(4)]
    low, high = watch(batches, observer=partial(search, candidates=50)).range()
    exact_low, exact_high = search(torch.cat(batches)[None], AFFINE_8, candidates=50)
    assert low == exact_low == 0
    # both choose among 50 ranges; values moved by 1/64 of a code's step may tip the choice to a neighbour
    assert abs(high - exact_high) <= 40 / 50 * (1 + 1e-6)


def test_the_order_of_batches_does_not_change_the_choice():
    forward, backward = (watch(batches, observer=percentile(99.9)).range() for batches in (GROWING, GROWING[::-1]))
    bin_width = 2 * 2 * max(float(batch.abs().max()) for batch in GROWING) / BINS
    assert abs(forward[0] - backward[0]) <= bin_width and abs(forward[1] - backward[1]) <= bin_width


def test_all_zero_activations_have_scale_1():
    assert [each.item() for each in watch([torch.zeros(3, 3)]).qparams()] == [1.0, 0]


def test_half_precision_batches_are_taken_as_they_are():
    batch = samples("normal", 100).half()
    assert torch.equal(watch([batch]).range()[1], batch.float().max())


def refused(error, text):
    return pytest.raises(error, match=re.escape(text))


def test_bad_input_is_refused():
    with refused(ValueError, "no batch has been seen; call update(batch) with calibration data first"):
        RangeObserver(AFFINE_8).range()
    with refused(ValueError, "activations share one scale, got PerChannel(axis=1); use granularity=PerTensor()"):
        RangeObserver(IntFormat(8, granularity=PerChannel(1)))
    with refused(TypeError, "activations need an integer grid such as IntFormat(8), got NF4Format("):
        RangeObserver(NF4Format())
    observed = watch([torch.tensor([1.0])])
    with refused(ValueError, "the batch holds 1 NaN or infinite of 2 values"):
        observed.update(torch.tensor([1.0, float("nan")]))
    with refused(ValueError, "the batch is empty (shape (0, 3))"):
        observed.update(torch.zeros(0, 3))
    with refused(TypeError, "the batch must hold floats, got torch.int64"):
        observed.update(torch.tensor([1]))
    assert [end.item() for end in observed.range()] == [1.0, 1.0]  # what was refused left no trace
    with refused(ValueError, "no negative code, but the values go down to -1"):
        watch([torch.tensor([-1.0, 1.0])], IntFormat(8, signed=False)).qparams()
