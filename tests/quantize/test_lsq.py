"""Learned steps: the paper's gradient by hand and by finite differences, and where torch's differs from it."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mini_lib.quantize import IntFormat, choose_qparams, fake_quantize, lsq, lsq_gradient_scale, lsq_range


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(function, x, step, back=None):
    """The value, and the gradients of x and of the step."""
    x, step = x.clone().requires_grad_(), step.clone().requires_grad_()
    y = function(x, step)
    y.backward(torch.ones_like(y) if back is None else back)
    return y.detach(), x.grad, step.grad


@pytest.mark.parametrize(
    "steps, to_x, to_step",
    [
        (0.4, 1, 0 - 0.4),
        (0.6, 1, 1 - 0.6),
        (-1.2, 1, -1 + 1.2),
        (1.9, 1, 2 - 1.9),  # inside, although it rounds to the last code
        (2.0, 0, 2),  # the paper's strict comparison: the end itself is outside
        (2.3, 0, 2),
        (9.0, 0, 2),
        (-2.0, 0, -2),
        (-7.5, 0, -2),
    ],
)
def test_one_number_by_hand(steps, to_x, to_step):
    _, x_grad, step_grad = gradients(lambda x, s: lsq(x, s, -2, 2, 1.0), torch.tensor([steps]), torch.tensor(1.0))
    # x is within half an ulp of the decimal number, and the difference of two numbers below 8 rounds once
    assert x_grad.item() == to_x and step_grad.item() == pytest.approx(to_step, abs=2**-22)


@settings(max_examples=50)
@given(st.integers(0, 9999), st.sampled_from([(-1, 1), (-7, 7), (0, 15), (-128, 127)]))
def test_the_value_is_fake_quantize(seed, ends):
    x, step = 3 * normal(50, seed=seed), torch.rand((), generator=torch.Generator().manual_seed(seed)) + 0.01
    assert torch.equal(lsq(x, step, *ends, 1.0), fake_quantize(x, step, 0, *ends))


@settings(max_examples=50)
@given(st.integers(0, 9999))
def test_gradients_are_the_slopes_of_the_surrogate(seed):
    # Straight-through means: y = s * (clip(x / s, -Qn, Qp) + r), with the rounding error r held where it is. That
    # surrogate is smooth away from the two ends, and autograd's numbers are compared with its finite differences.
    x, step = 2 * normal(4, 6, seed=seed).double(), 0.3 + normal(4, 1, seed=seed + 1).double().abs()
    steps = x / step
    assume(bool((steps.abs() - 3).abs().min() > 1e-3))
    error = steps.clamp(-3, 3).round() - steps.clamp(-3, 3)

    def surrogate(x, step):
        return step * ((x / step).clamp(-3, 3) + error)

    back = normal(4, 6, seed=seed + 2).double()
    y, x_grad, step_grad = gradients(lambda x, s: lsq(x, s, -3, 3, 1.0), x, step, back)
    # the sum of s * clip and s * r rounds otherwise than s * code: a few ulps of numbers below 3 * 5
    torch.testing.assert_close(y, surrogate(x, step), rtol=0, atol=1e-13)
    h = 1e-6
    for row in range(4):
        moved = torch.zeros_like(step)
        moved[row] = h
        slope = ((surrogate(x, step + moved) - surrogate(x, step - moved)) * back).sum() / (2 * h)
        # central differences: h^2 * third derivative (6 x / s^3 * s below 6 * 10 / .3^2 per entry, 6 entries) is 4e-9,
        # and the rounding error of values up to 60 divided by 2h is 60 * 2^-53 / 1e-6 = 7e-9
        assert step_grad[row].item() == pytest.approx(slope.item(), abs=1e-7)
    torch.testing.assert_close(x_grad, back * (steps.abs() < 3), rtol=0, atol=0)


def torchs(x, step, qmin, qmax):
    return torch._fake_quantize_learnable_per_tensor_affine(x, step, torch.zeros(1), qmin, qmax, 1.0)


def test_torch_rounds_before_it_compares():
    # On codes -2 to 2: 2.0 to 2.5 rounds to 2, inside for torch, which gives dy/dx = 1 and dy/ds = 2 - x / s; the paper
    # gives 0 and 2. From 2.5 on (half to even: 2.5 rounds to 2) both say 0 and 2.
    x = torch.tensor([1.75, 2.0, 2.25, 2.5, 2.75, -2.25, -2.75])
    rows = [gradients(lambda x, s: torchs(x, s, -2, 2), one[None], torch.tensor([1.0])) for one in x]
    assert [row[1].item() for row in rows] == [1, 1, 1, 1, 0, 1, 0]
    assert [row[2].item() for row in rows] == [0.25, 0, -0.25, -0.5, 2, 0.25, -2]
    rows = [gradients(lambda x, s: lsq(x, s, -2, 2, 1.0), one[None], torch.tensor([1.0])) for one in x]
    assert [row[1].item() for row in rows] == [1, 0, 0, 0, 0, 0, 0]
    assert [row[2].item() for row in rows] == [0.25, 2, 2, 2, 2, -2, -2]


@settings(max_examples=50)
@given(st.integers(0, 9999), st.booleans())
def test_elsewhere_torch_agrees(seed, per_channel):
    x, step = 2 * normal(5, 8, seed=seed), 0.2 + normal(5, seed=seed + 1).abs()
    step = step if per_channel else step[:1]
    steps = x / step[:, None]
    band = (steps.abs() >= 3) & (steps.abs() < 3.5 + 1e-4)
    x = torch.where(band, 0.0, x)  # out of the band where the two rules differ
    back = normal(5, 8, seed=seed + 2)
    ours = gradients(lambda x, s: lsq(x, s[:, None], -3, 3, 0.25), x, step, back)
    zero = torch.zeros(len(step))
    if per_channel:
        kernel = lambda x, s: torch._fake_quantize_learnable_per_channel_affine(x, s, zero, 0, -3, 3, 0.25)  # noqa: E731
    else:
        kernel = lambda x, s: torch._fake_quantize_learnable_per_tensor_affine(x, s, zero, -3, 3, 0.25)  # noqa: E731
    theirs = gradients(kernel, x, step, back)
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    # sums of up to 40 terms below 3 * 5 in float32, in another order, and each term rounded three times
    torch.testing.assert_close(ours[2], theirs[2], rtol=0, atol=40 * 15 * 4 * 2**-24)


def test_a_zero_point_moves_both_ends():
    x = torch.tensor([-9.0, -2.0, 0.4, 3.2, 9.0])
    y, x_grad, step_grad = gradients(lambda x, s: lsq(x, s, 0 - 3, 7 - 3, 1.0), x, torch.tensor(1.0))
    assert torch.equal(y, fake_quantize(x, 1.0, 3, 0, 7)) and x_grad.tolist() == [0, 1, 1, 1, 0]
    assert step_grad.item() == pytest.approx(-3 + 0 - 0.4 - 0.2 + 4, abs=2**-20)  # five terms below 4


def test_the_gradient_scale_multiplies_the_gradient_of_the_step_alone():
    x, step = normal(30), torch.tensor(0.4)
    _, x_grad, step_grad = gradients(lambda x, s: lsq(x, s, -3, 3, 1.0), x, step)
    _, x_scaled, step_scaled = gradients(lambda x, s: lsq(x, s, -3, 3, 0.125), x, step)
    assert torch.equal(x_scaled, x_grad) and step_scaled == step_grad / 8
    assert lsq_gradient_scale(64, qmax=4) == 1 / 16


def test_the_first_step_is_the_papers():
    rows = normal(3, 1000).double()
    fmt = IntFormat(4)
    scale, _ = choose_qparams(*lsq_range(rows, fmt), fmt)
    expected = 2 * rows.abs().mean(dim=1) / math.sqrt(7)
    torch.testing.assert_close(scale.double(), expected, rtol=4 * 2**-24, atol=0)  # a few roundings to float32
    counted, _ = choose_qparams(*lsq_range(torch.tensor([[1.0, 4.0]]), fmt, torch.tensor([[2.0, 1.0]])), fmt)
    assert counted.item() == pytest.approx(2 * 2 / math.sqrt(7), rel=4 * 2**-24)  # (1 + 1 + 4) / 3 = 2


def test_after_a_relu_the_first_range_begins_at_zero():
    low, high = lsq_range(torch.tensor([[0.0, 1.0, 2.0]]), IntFormat(2, signed=False))
    assert low.item() == 0 and high.item() == pytest.approx(2 * 1 * math.sqrt(3), rel=4 * 2**-24)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="values must be a whole number of 1 or more"):
        lsq_gradient_scale(0, 1)
    with pytest.raises(ValueError, match="qmax must be a finite number above 0"):
        lsq_gradient_scale(1, 0)


def test_the_gradient_scale_can_be_left_out():
    x, step = torch.tensor([0.2, 0.9, 1.25]), torch.tensor(0.5, requires_grad=True)
    lsq(x, step, -1, 2).sum().backward()
    assert step.grad.item() == pytest.approx(1.8)  # (0 - 0.4) + (2 - 1.8) + 2


def test_what_is_no_step_is_refused():
    with pytest.raises(ValueError, match="a step must be above 0, got -0.5; learn its logarithm"):
        lsq(torch.ones(2), torch.tensor(-0.5), -1, 2)
    with pytest.raises(TypeError, match="step must be a tensor, got 0.5; use a tensor of floats"):
        lsq(torch.ones(2), 0.5, -1, 2)
