"""PACT: a learned clip, its gradient by hand and by finite differences."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mini_lib.quantize import PACT, fake_quantize


def test_values_and_gradients_by_hand():
    # 2 bits up to 3: the grid 0, 1, 2, 3
    pact = PACT(2, clip=3.0)
    x = torch.tensor([-0.5, 0.0, 0.4, 1.6, 2.9, 3.0, 4.0], requires_grad=True)
    y = pact(x)
    y.backward(torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 100.0]))
    assert y.tolist() == [0, 0, 0, 2, 3, 3, 3]
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert pact.clip.grad.item() == 110  # dy/dclip = 1 where x >= clip


@settings(max_examples=40)
@given(st.integers(0, 9999), st.integers(1, 8), st.floats(0.5, 4, width=32))
def test_gradients_are_the_slopes_of_the_surrogate(seed, bits, clip):
    # straight-through: y = clamp(x, 0, clip) + the rounding error, held where it is
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(50, generator=generator)
    back = torch.randn(50, generator=generator)
    assume(bool((x - clip).abs().min() > 1e-3 and x.abs().min() > 1e-3))
    pact = PACT(bits, clip=clip)
    moving = x.clone().requires_grad_()
    y = pact(moving)
    y.backward(back)
    assert torch.equal(y.detach(), fake_quantize(x, pact.scale, 0, 0, 2**bits - 1))
    h = 1e-4
    wide = x.double()
    to_clip = ((wide.clamp(0, clip + h) - wide.clamp(0, clip - h)) * back).sum() / (2 * h)
    to_x = (((wide + h).clamp(0, clip) - (wide - h).clamp(0, clip)) / (2 * h)) * back
    # the surrogate is piecewise linear, so differences are exact but for rounding, 10 * 2^-53 / 1e-4; the clip's
    # gradient is a sum of 50 terms below 4 in float32
    assert pact.clip.grad.item() == pytest.approx(to_clip.item(), abs=50 * 4 * 50 * 2**-24)
    torch.testing.assert_close(moving.grad.double(), to_x, rtol=0, atol=1e-9)


def test_its_grid_is_what_is_stored():
    fmt, scale, zero_point = PACT(4, clip=3.0).grid()
    assert fmt.label == "uint4 per tensor" and scale.item() == pytest.approx(0.2, rel=2**-24) and zero_point == 0


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="bits must be a whole number from 1 to 16, got 0"):
        PACT(0)
    with pytest.raises(ValueError, match="clip must be a finite number above 0"):
        PACT(4, clip=0.0)
    gone = PACT(4)
    gone.clip.data.fill_(-1.0)
    with pytest.raises(ValueError, match="the trained clip is -1, not positive; lower the learning rate"):
        gone.grid()


def test_a_clip_that_turned_negative_is_named():
    pact = PACT(bits=4)
    pact.clip.data.fill_(-1.0)
    with pytest.raises(ValueError, match="the trained clip is -1, not positive; lower the learning rate"):
        pact(torch.ones(1))
