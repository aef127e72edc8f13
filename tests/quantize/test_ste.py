"""Straight-through rounding: torch's fake quantization is the oracle of values and gradients, to the last bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import fake_quantize, fake_quantize_ste, round_ste, sign_ste, straight_through

floats = st.floats(-300, 300, width=32)


def gradient(function, x, weights=None):
    """What `function` gives for `x`, and the gradient that comes back to `x`."""
    x = x.clone().requires_grad_()
    y = function(x)
    y.backward(torch.ones_like(y) if weights is None else weights)
    return y.detach(), x.grad


@given(st.lists(floats, min_size=1, max_size=20))
def test_rounding_is_torchs_and_its_gradient_passes(values):
    x = torch.tensor(values)
    weights = torch.arange(1.0, len(values) + 1)
    y, grad = gradient(round_ste, x, weights)
    assert torch.equal(y, torch.round(x)) and torch.equal(grad, weights)


def test_the_sum_that_others_write_is_not_exactly_the_value():
    # 1e8 + (0.1 - 1e8): float32 near 1e8 has steps of 8, so the difference is -1e8 and the sum 0
    x = torch.tensor([1e8], requires_grad=True)
    value = torch.tensor([0.1])
    assert (x + (value - x).detach()).item() == 0.0
    assert torch.equal(straight_through(value, x), value)


@given(st.lists(floats, min_size=1, max_size=20), st.floats(0.0625, 3, width=32), st.integers(0, 255))
def test_a_grid_per_tensor_is_torchs_in_value_and_gradient(values, scale, zero_point):
    x, weights = torch.tensor(values), torch.arange(1.0, len(values) + 1)
    ours = gradient(lambda x: fake_quantize_ste(x, scale, zero_point, 0, 255), x, weights)
    torchs = gradient(lambda x: torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, 255), x, weights)
    assert torch.equal(ours[0], torchs[0]) and torch.equal(ours[1], torchs[1])


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 2))
def test_a_grid_per_channel_likewise(seed, axis):
    generator = torch.Generator().manual_seed(seed)
    x = 4 * torch.randn(3, 4, 5, generator=generator)
    scale = torch.rand(x.shape[axis], generator=generator) + 0.1
    zero_point = torch.randint(-7, 8, (x.shape[axis],), generator=generator, dtype=torch.int32)
    ours = gradient(lambda x: fake_quantize_ste(x, scale, zero_point, -7, 7, axis), x)
    torchs = gradient(lambda x: torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, -7, 7), x)
    assert torch.equal(ours[0], torchs[0]) and torch.equal(ours[1], torchs[1])
    assert torch.equal(ours[0], fake_quantize(x, scale, zero_point, -7, 7, axis))


def test_the_mask_asks_the_rounded_value():
    x = torch.tensor([-128.6, -128.4, 0.3, 127.4, 127.6])
    _, grad = gradient(lambda x: fake_quantize_ste(x, 1.0, 0, -128, 127), x)
    assert grad.tolist() == [0, 1, 1, 1, 0]


def test_sign_passes_what_is_near_zero():
    # the surrogate is clamp(x, -1, 1), whose slope is 1 inside and 0 outside
    x = torch.tensor([-2.0, -1.5, -0.3, 0.0, 0.7, 3.0])
    y, grad = gradient(sign_ste, x)
    assert y.tolist() == [-1, -1, -1, 1, 1, 1]
    assert torch.equal(grad, gradient(lambda x: x.clamp(-1, 1), x)[1])


def test_bad_arguments_are_refused_as_fake_quantize_does():
    with pytest.raises(ValueError, match="every scale must be finite"):
        fake_quantize_ste(torch.ones(1), 0.0, 0, -1, 1)
    with pytest.raises(TypeError, match="x must hold floats"):
        fake_quantize_ste(torch.ones(1, dtype=torch.int32), 1.0, 0, -1, 1)
