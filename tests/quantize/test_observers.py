"""Observers against torch's, and against their definitions written as plain loops."""

import math
import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import torch_observer
from samples import KINDS, samples

from mini_lib import data
from mini_lib.quantize import (
    IntFormat,
    PerChannel,
    PerTensor,
    choose_qparams,
    entropy,
    fake_quantize,
    min_max,
    mse,
    percentile,
    quantize,
)

AFFINE_8 = IntFormat(8, symmetric=False, signed=False)


# ---------------------------------------------------------------------------------- against torch


def torch_qscheme(fmt, per_channel):
    scope = "per_channel" if per_channel else "per_tensor"
    return getattr(torch, f"{scope}_{'symmetric' if fmt.symmetric else 'affine'}")


@pytest.mark.parametrize(
    "fmt",
    [
        IntFormat(8),
        IntFormat(4),
        IntFormat(2),
        IntFormat(8, symmetric=False),
        IntFormat(3, symmetric=False),
        AFFINE_8,
        IntFormat(4, symmetric=False, signed=False),
        IntFormat(1, symmetric=False, signed=False),
    ],
    ids=lambda fmt: f"{fmt.label} {fmt.qmin}..{fmt.qmax}",
)
def test_min_max_equals_torch_minmaxobserver_bit_for_bit(fmt):
    cases = 0
    for kind in KINDS:
        for seed in range(10):
            x = samples(kind, 200, seed) * 10.0 ** (seed - 3)  # 1e-3 to 1e6
            theirs = torch_observer(
                "MinMaxObserver",
                dtype=torch.qint8 if fmt.signed else torch.quint8,
                qscheme=torch_qscheme(fmt, per_channel=False),
                quant_min=fmt.qmin,
                quant_max=fmt.qmax,
            )
            theirs(x)
            their_scale, their_zero_point = theirs.calculate_qparams()
            low, high = min_max(x.view(1, -1), fmt)
            scale, zero_point = choose_qparams(low, high, fmt)
            assert torch.equal(scale, their_scale) and torch.equal(zero_point, their_zero_point.int()), (kind, seed)
            cases += 1
    assert cases == 60


@pytest.mark.parametrize(
    "fmt",
    [IntFormat(8), IntFormat(8, symmetric=False), AFFINE_8, IntFormat(4, symmetric=False)],
    ids=lambda fmt: f"{fmt.label} {fmt.qmin}..{fmt.qmax}",
)
@pytest.mark.parametrize("axis", [0, 1, 3])
def test_min_max_equals_torch_perchannelminmaxobserver_bit_for_bit(fmt, axis):
    for seed in range(10):
        weight = torch.randn(6, 5, 3, 4, generator=torch.Generator().manual_seed(seed))
        weight = weight * torch.logspace(-2, 2, weight.shape[axis]).view([-1 if a == axis else 1 for a in range(4)])
        theirs = torch_observer(
            "PerChannelMinMaxObserver",
            ch_axis=axis,
            dtype=torch.qint8 if fmt.signed else torch.quint8,
            qscheme=torch_qscheme(fmt, per_channel=True),
            quant_min=fmt.qmin,
            quant_max=fmt.qmax,
        )
        theirs(weight)
        their_scale, their_zero_point = theirs.calculate_qparams()
        q = quantize(weight, IntFormat(fmt.bits, fmt.symmetric, fmt.signed, PerChannel(axis)))
        assert torch.equal(q.scale, their_scale)
        assert fmt.symmetric or torch.equal(q.zero_point, their_zero_point.int())


@pytest.mark.parametrize("kind", KINDS)
def test_mse_is_no_worse_than_torch_histogramobserver(kind):
    """Both look for the range with the least squared error: torch in a histogram, ours by trying ranges."""
    x = samples(kind, 20_000)
    theirs = torch_observer("HistogramObserver", dtype=torch.quint8, qscheme=torch.per_tensor_affine)
    theirs(x)
    their_scale, their_zero_point = theirs.calculate_qparams()
    scale, zero_point = choose_qparams(*mse(x.view(1, -1), AFFINE_8), AFFINE_8)
    # Ours moves each end in steps of 1% of the range, so that next to the best range lies one that clips no more
    # and is at most 2% wider. The step is then 2% wider too, and the squared error 4%.
    assert error(x, scale, zero_point) <= 1.04 * error(x, their_scale, their_zero_point)


def error(x, scale, zero_point):
    return float((fake_quantize(x, scale, zero_point, 0, 255) - x).double().square().mean())


# ------------------------------------------------------------------------------------- percentile


def test_percentile_by_hand():
    rows = torch.tensor([[0.0, 1.0, 2.0, 3.0, 100.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    low, high = percentile(75)(rows, IntFormat(4))
    assert low.tolist() == [1.0, 2.0] and high.tolist() == [3.0, 4.0]
    low, high = percentile(90)(rows[:1], IntFormat(4))  # 0.4 of the way, 1.6 of the way back
    assert low.item() == pytest.approx(0.4, rel=2**-23) and high.item() == pytest.approx(3 + 0.6 * 97, rel=2**-23)


@given(values=st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=50), percent=st.floats(50.001, 100))
def test_percentile_equals_torch_quantile(values, percent):
    rows = torch.tensor([values])
    low, high = percentile(percent)(rows, IntFormat(4))
    exact = rows.double()
    expected_low = torch.quantile(exact, (100 - percent) / 100, dim=1)
    expected_high = torch.quantile(exact, percent / 100, dim=1)
    if expected_low == expected_high == 0:
        expected_low, expected_high = exact.amin(dim=1), exact.amax(dim=1)
    # both interpolate in float64; ours is then rounded to float32
    assert (low - expected_low).abs() <= 2.0**-24 * expected_low.abs() + 1e-9
    assert (high - expected_high).abs() <= 2.0**-24 * expected_high.abs() + 1e-9


@given(
    st.lists(st.tuples(st.floats(-1000, 1000, width=32), st.integers(1, 9)), min_size=1, max_size=20),
    st.sampled_from([60, 90, 99, 99.9, 100]),
)
def test_percentile_of_counted_values_is_that_of_the_values_written_out(pairs, percent):
    values, counts = torch.tensor([[v for v, _ in pairs]]), torch.tensor([[c for _, c in pairs]])
    written_out = values.repeat_interleave(counts[0], dim=1)
    counted, plain = percentile(percent)(values, AFFINE_8, counts), percentile(percent)(written_out, AFFINE_8)
    assert torch.equal(counted[0], plain[0]) and torch.equal(counted[1], plain[1])


def test_percentile_100_is_min_max():
    rows = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    assert all(map(torch.equal, percentile(100)(rows, AFFINE_8), min_max(rows, AFFINE_8)))


def test_percentile_of_almost_only_zeros_covers_everything():
    rows = torch.zeros(1, 5000)
    rows[0, 7] = 3.0
    assert [end.item() for end in percentile(99)(rows, AFFINE_8)] == [0.0, 3.0]


@pytest.mark.parametrize("percent", [50, 0, -1, 100.1, float("nan"), "99", True, None])
def test_a_bad_percentile_is_refused(percent):
    with pytest.raises(ValueError, match=re.escape(f"percent must lie above 50 and be at most 100, got {percent!r}")):
        percentile(percent)


# -------------------------------------------------------------------------------------------- mse


def loop_error(values, counts, low, high, fmt):
    """The squared error of a grid, one value at a time."""
    scale, zero_point = (float(each) for each in choose_qparams(torch.tensor(low), torch.tensor(high), fmt))
    total = 0.0
    for value, count in zip(values, counts):
        code = min(max(round(value / scale) + zero_point, fmt.qmin), fmt.qmax)
        total += count * (scale * (code - zero_point) - value) ** 2
    return total


@pytest.mark.parametrize("fmt", [IntFormat(2), IntFormat(4), IntFormat(3, signed=False)], ids=lambda fmt: fmt.label)
@given(st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=12), st.integers(0, 100))
@settings(max_examples=30)
def test_mse_finds_the_best_of_its_ranges(fmt, values, seed):
    if not fmt.signed:
        values = [abs(value) for value in values]
    counts = torch.randint(1, 5, (1, len(values)), generator=torch.Generator().manual_seed(seed))
    low, high = mse(torch.tensor([values]), fmt, counts, candidates=20)
    full_low, full_high = min([*values, 0.0]), max([*values, 0.0])
    errors = [
        loop_error(values, counts[0].tolist(), full_low * step / 20, full_high * step / 20, fmt)
        for step in range(1, 21)
    ]
    found = loop_error(values, counts[0].tolist(), low.item(), high.item(), fmt)
    # The loop divides where the grid multiplies by the reciprocal: at a tie they differ in code, not in error,
    # beyond a few float32 roundings of values up to 100 (and values are squared: 2 * 100 * 100 * 2**-22 each).
    assert found <= min(errors) + counts.sum().item() * 2 * 100 * 100 * 2.0**-22


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12), st.sampled_from([2, 3, 4, 8]), st.booleans())
@settings(max_examples=40)
def test_mse_is_never_worse_than_min_max(values, bits, symmetric):
    weight, fmt = torch.tensor(values), IntFormat(bits, symmetric)
    clipped = quantize(weight, fmt, partial(mse, candidates=20)).dequantize()
    covered = quantize(weight, fmt, min_max).dequantize()
    # both sums are taken in float64, here and in mse
    assert (clipped.double() - weight).square().sum() <= (covered.double() - weight).square().sum()


def test_mse_moves_one_end_of_an_affine_grid_alone():
    x = torch.cat([torch.linspace(-1, 1, 20_000), torch.tensor([30.0])])[None]
    low, high = mse(x, IntFormat(4, symmetric=False))
    assert -low > 0.6 and high < 5  # 60% of one end, but less than 17% of the other


# ---------------------------------------------------------------------------------------- entropy


def loop_divergence(values, low, high, full, bins, fmt):
    """Migacz's procedure, one bin at a time: how much of the histogram's shape a range loses."""
    full_low, full_high = full
    width = (full_high - full_low) / bins
    histogram = [0] * bins
    for value in values:
        if value != 0:
            histogram[min(int((value - full_low) / width), bins - 1)] += 1
    scale, zero_point = (float(each) for each in choose_qparams(torch.tensor(low), torch.tensor(high), fmt))
    codes = [round((full_low + (at + 0.5) * width) / scale) + zero_point for at in range(bins)]
    inside = [at for at in range(bins) if fmt.qmin <= codes[at] <= fmt.qmax and histogram[at]]
    filled = sum(count > 0 for count in histogram)
    if len(inside) < 2 * (fmt.qmax - fmt.qmin + 1) and len(inside) < 0.9 * filled:
        return math.inf
    p = {at: histogram[at] for at in inside}
    p[inside[0]] += sum(histogram[: inside[0]])
    p[inside[-1]] += sum(histogram[inside[-1] + 1 :])
    q = {}
    for at in inside:
        same_code = [other for other in inside if codes[other] == codes[at]]
        q[at] = sum(histogram[other] for other in same_code) / len(same_code)
    p_sum, q_sum = sum(p.values()), sum(q.values())
    return sum(p[at] / p_sum * math.log((p[at] / p_sum) / (q[at] / q_sum)) for at in inside)


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "after a ReLU", "one outlier"])
@pytest.mark.parametrize("fmt", [IntFormat(3), IntFormat(4, symmetric=False, signed=False)], ids=lambda fmt: fmt.label)
def test_entropy_finds_the_best_of_its_ranges(kind, fmt):
    values = samples(kind, 1600)
    values[3] = -0.001 if kind != "after a ReLU" else 0.0
    bins = 1600 // 8
    low, high = entropy(values[None], fmt, candidates=25)
    full = float(values.min().clamp(max=0)), float(values.max().clamp(min=0))

    def divergence(low, high):
        return loop_divergence(values.tolist(), low, high, full, bins, fmt)

    both_ends = [divergence(full[0] * step / 25, full[1] * step / 25) for step in range(1, 26)]
    # loops and tensors add the same numbers in another order, in float64: 1e-9 is generous by 1e4
    assert divergence(low.item(), high.item()) <= min(both_ends) + 1e-9


def test_entropy_cuts_an_outlier_and_keeps_a_uniform_range():
    normal = samples("one outlier", 50_000)
    assert entropy(normal[None], IntFormat(8))[1] < 20
    uniform = samples("uniform", 50_000)
    low, high = entropy(uniform[None], AFFINE_8)
    assert low <= 0.95 * uniform.min() and high >= 0.95 * uniform.max()


def test_entropy_never_leaves_fewer_bins_than_codes():
    """With one bin on each side a clipped histogram looks perfect, since nothing is left to compare."""
    rows = torch.randn(20, 288, generator=torch.Generator().manual_seed(0))
    fmt = IntFormat(4)  # 15 codes; 288 / 8 = 36 bins
    scale, _ = choose_qparams(*entropy(rows, fmt), fmt)
    width = (rows.amax(dim=1) - rows.amin(dim=1)) / 36
    assert (15 * scale >= 14 * width).all()  # 15 centres of bins span 14 bins


def test_entropy_is_not_fooled_by_a_spike():
    """Pictures are black in most places: a narrow range that holds next to nothing else must not win."""
    pixels = data.fashion().validation.first(100).images.reshape(1, -1)
    low, high = entropy(pixels, IntFormat(4, symmetric=False, signed=False))
    assert low <= 0.9 * pixels.min() and high >= 0.5 * pixels.max()


def test_entropy_of_few_values_is_the_full_range():
    rows = torch.randn(7, 9, generator=torch.Generator().manual_seed(0))
    low, high = entropy(rows, IntFormat(8))
    assert torch.equal(low, rows.amin(dim=1).clamp(max=0)) and torch.equal(high, rows.amax(dim=1).clamp(min=0))


# ------------------------------------------------------------------------------------ all of them

OBSERVERS = {
    "min_max": min_max,
    "percentile": percentile(99.9),
    "mse": partial(mse, candidates=50),
    "entropy": partial(entropy, candidates=50),
}


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("fmt", [IntFormat(4), IntFormat(4, symmetric=False), AFFINE_8], ids=lambda fmt: fmt.label)
def test_rows_do_not_see_each_other_and_ranges_lie_within_the_data(name, fmt):
    rows = torch.stack([samples(kind, 300) for kind in KINDS])
    low, high = OBSERVERS[name](rows, fmt)
    assert low.shape == high.shape == (len(KINDS),)
    assert (low >= rows.amin(dim=1).clamp(max=0)).all() and (high <= rows.amax(dim=1).clamp(min=0)).all()
    for at in (0, 2, len(KINDS) - 1):
        alone = OBSERVERS[name](rows[at : at + 1], fmt)
        assert torch.equal(alone[0][0], low[at]) and torch.equal(alone[1][0], high[at])


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("values", [[0.0] * 5, [2.0], [-3.0] * 4, [1e-45, 0.0], [3e38, -3e38], [1e-30, 1e30]])
def test_degenerate_rows_give_finite_ranges(name, values):
    for fmt in (IntFormat(4), IntFormat(4, symmetric=False), IntFormat(16, symmetric=False, granularity=PerTensor())):
        q = quantize(torch.tensor(values), fmt, OBSERVERS[name])
        assert q.scale.isfinite() and q.scale > 0 and q.dequantize().isfinite().all()


@pytest.mark.parametrize("name", ["mse", "entropy"])
def test_an_unsigned_symmetric_grid_refuses_negative_values(name):
    with pytest.raises(ValueError, match="no negative code, but the values go down to -1"):
        OBSERVERS[name](torch.tensor([[-1.0, 2.0]]), IntFormat(4, signed=False))
