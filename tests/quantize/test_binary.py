"""Binary weights: signs, and the scale with the least squared error."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import BinaryFormat, PerChannel, PerGroup, PerTensor, binarize, quantize


def test_by_hand():
    codes, scale = binarize(torch.tensor([[1.0, -3.0, 0.0, 4.0], [-1.0, -1.0, -1.0, -1.0]]))
    assert codes.tolist() == [[1, -1, 1, 1], [-1, -1, -1, -1]]
    assert scale.tolist() == [2.0, 1.0]


ROWS = st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=20)  # sums of these are exact


@given(ROWS)
@settings(max_examples=200)
def test_equals_the_definition_in_plain_python(row):
    codes, scale = binarize(torch.tensor([row]))
    assert codes.tolist()[0] == [-1 if w < 0 else 1 for w in row]
    assert scale == torch.tensor(sum(map(abs, row)) / len(row))


@given(ROWS, st.floats(-0.5, 0.5))
def test_no_other_scale_has_less_squared_error(row, nudge):
    weight = torch.tensor([row], dtype=torch.float64)
    codes, scale = binarize(weight)
    error = (weight - codes * scale).square().sum()
    nudged = (weight - codes * scale * (1 + nudge)).square().sum()
    # scale is rounded to float32: the error grows by at most (that rounding, squared) * (number of weights)
    assert error <= nudged + len(row) * (scale.double() * 2.0**-23).square().sum()


def test_a_zero_weight_becomes_plus_and_an_all_zero_row_stays_zero():
    q = quantize(torch.tensor([[0.0, -0.0], [2.0, 0.0]]), BinaryFormat())
    assert q.codes.tolist() == [[1, 1], [1, 1]]
    assert q.scale.tolist() == [0.0, 1.0]
    assert q.dequantize().tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_one_bit_a_weight_and_the_scales():
    weight = torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    assert quantize(weight, BinaryFormat(PerTensor())).stored_bytes == 10_000 // 8 + 4
    assert quantize(weight, BinaryFormat()).stored_bytes == 10_000 // 8 + 20 * 4
    grouped = quantize(weight, BinaryFormat(PerGroup(100), torch.float16))
    assert grouped.bits_per_weight == 1 + 16 / 100
    assert quantize(torch.ones(9), BinaryFormat(PerTensor())).parts()["codes"].nbytes == 2


def test_per_channel_rescaling_changes_nothing_but_the_scale():
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    powers = 2.0 ** torch.arange(-4, 4)[:, None]  # exact in float32
    plain, rescaled = (quantize(w, BinaryFormat(PerChannel(0))) for w in (weight, weight * powers))
    assert torch.equal(plain.codes, rescaled.codes)
    assert torch.equal(plain.scale[:, None] * powers, rescaled.scale[:, None])


def test_the_mean_of_tiny_and_huge_weights_stays_finite():
    for size in (1e-45, 1e-38, 3e38):
        assert quantize(torch.tensor([size, -size, 0.0]), BinaryFormat(PerTensor())).dequantize().isfinite().all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"rows must have 2 axes, got shape \[3\]"):
        binarize(torch.ones(3))
    with pytest.raises(ValueError, match="rows holds 1 NaN or infinite of 2 values"):
        binarize(torch.tensor([[1.0, float("inf")]]))
    with pytest.raises(TypeError, match="rows must hold floats, got torch.bool"):
        binarize(torch.ones(2, 2, dtype=torch.bool))
