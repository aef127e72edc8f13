"""Ternary weights against the paper's definition, in plain loops, and its optimality."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import PerChannel, PerTensor, TernaryFormat, quantize, ternarize


def test_by_hand():
    # mean magnitude 2, threshold 1.4: 1 goes, 3 and 3.5 stay; the scale is their mean
    codes, scale = ternarize(torch.tensor([[1.0, -3.0, 0.5, 3.5], [-2.0, -2.0, 2.0, 2.0]]))
    assert codes.tolist() == [[0, -1, 0, 1], [-1, -1, 1, 1]]
    assert scale.tolist() == [3.25, 2.0]


ROWS = st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=20)  # sums of these are exact


@given(ROWS)
@settings(max_examples=200)
def test_equals_the_definition_in_plain_python(row):
    codes, scale = ternarize(torch.tensor([row]))
    threshold = 0.7 * (sum(map(abs, row)) / len(row))
    kept = [abs(w) for w in row if abs(w) > threshold]
    assert codes.tolist()[0] == [(w > 0) - (w < 0) if abs(w) > threshold else 0 for w in row]
    assert scale == torch.tensor(sum(kept) / len(kept) if kept else 1.0)


@given(ROWS, st.floats(-0.5, 0.5))
def test_no_other_scale_has_less_squared_error_for_these_codes(row, nudge):
    weight = torch.tensor([row], dtype=torch.float64)
    codes, scale = ternarize(weight)
    error = (weight - codes * scale).square().sum()
    nudged = (weight - codes * scale * (1 + nudge)).square().sum()
    # scale is rounded to float32, 2**-24 of it: the error grows by at most (its square) * (number of weights)
    assert error <= nudged + len(row) * (scale.double() * 2.0**-23).square().sum()


def test_all_zero_rows_have_codes_0_and_scale_1():
    codes, scale = ternarize(torch.tensor([[0.0, -0.0], [1.0, 1.0]]))
    assert codes.tolist() == [[0, 0], [1, 1]] and scale.tolist() == [1.0, 1.0]


def test_five_codes_share_a_byte():
    weight = torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    per_tensor, per_channel = quantize(weight, TernaryFormat()), quantize(weight, TernaryFormat(PerChannel(0)))
    assert per_tensor.stored_bytes == 10_000 // 5 + 4 and per_channel.stored_bytes == 10_000 // 5 + 20 * 4
    assert per_tensor.bits_per_weight == 8 * 2004 / 10_000
    assert quantize(torch.ones(6), TernaryFormat()).parts()["codes"].nbytes == 2


def test_per_channel_rescaling_changes_nothing_but_the_scale():
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    powers = 2.0 ** torch.arange(-4, 4)[:, None]  # exact in float32
    plain, rescaled = (quantize(w, TernaryFormat(PerChannel(0))) for w in (weight, weight * powers))
    assert torch.equal(plain.codes, rescaled.codes)
    assert torch.equal(plain.scale[:, None] * powers, rescaled.scale[:, None])


def test_the_mean_of_tiny_and_huge_weights_stays_finite():
    for size in (1e-45, 1e-38, 3e38):
        q = quantize(torch.tensor([size, -size, 0.0]), TernaryFormat(PerTensor()))
        assert torch.equal(q.dequantize(), torch.tensor([size, -size, 0.0]))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"rows must have 2 axes, got shape \[3\]"):
        ternarize(torch.ones(3))
    with pytest.raises(ValueError, match="rows holds 1 NaN or infinite of 2 values"):
        ternarize(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(TypeError, match="rows must hold floats, got torch.int64"):
        ternarize(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="a scale is as large as 1e\\+06, and torch.float16 ends at 6.55e\\+04"):
        quantize(torch.full((4,), 1e6), TernaryFormat(scale_dtype=torch.float16))
