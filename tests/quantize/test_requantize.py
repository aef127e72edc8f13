"""Multiplier and shift: against fractions without rounding, and beside the kernels that round twice."""

import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import multiplier_and_shift, requantize

INT32 = st.integers(-(2**31), 2**31 - 1)


def int32(*values):
    return torch.tensor(values, dtype=torch.int32)


def test_by_hand():
    # 0.0123 * 2**6 = 0.7872, and 0.7872 * 2**31 = 1,690,499,127.7
    multiplier, shift = multiplier_and_shift(0.0123)
    assert (multiplier.item(), shift.item()) == (1_690_499_128, 6)
    # 5000 * 0.0123 = 61.5, and a little more since the multiplier was rounded up
    assert requantize(int32(5000, -5000, 5001), multiplier, shift, 3, 0, 255).tolist() == [65, 0, 65]


@settings(max_examples=500, deadline=None)
@given(st.floats(2.0**-32, 2.0**29, exclude_max=True, allow_subnormal=False))
def test_the_multiplier_is_the_nearest_31_bit_fraction(real):
    multiplier, shift = (int(part) for part in multiplier_and_shift(real))
    assert 2**30 <= multiplier < 2**31 and -30 <= shift <= 31
    written = Fraction(multiplier, 2**31) * Fraction(2) ** -shift
    assert abs(written - Fraction(real)) <= Fraction(real) / 2**31


def test_a_fraction_that_rounds_up_to_one_is_a_half_of_the_next_power():
    assert [part.item() for part in multiplier_and_shift(1 - 2.0**-40)] == [2**30, -1]
    assert [part.item() for part in multiplier_and_shift(1.0)] == [2**30, -1]
    assert [part.item() for part in multiplier_and_shift(1 - 2.0**-31)] == [2**31 - 1, 0]


@pytest.mark.parametrize("real", [2.0**-33, 1e-12, 1e-300])
def test_a_multiplier_too_small_to_reach_a_half_is_zero(real):
    multiplier, shift = multiplier_and_shift(real)
    assert (multiplier.item(), shift.item()) == (0, 0)
    assert (2**31) * real <= 0.5
    assert requantize(int32(-(2**31), 2**31 - 1), multiplier, shift, 7, 0, 255).tolist() == [7, 7]


@settings(max_examples=1000, deadline=None)
@given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-30, 31), st.integers(0, 255))
def test_equal_to_fractions_rounded_once(accumulator, multiplier, shift, zero_point):
    """Python rounds a Fraction half to even."""
    exact = round(Fraction(accumulator * multiplier, 2 ** (31 + shift))) + zero_point
    ours = requantize(int32(accumulator), int32(multiplier), int32(shift), zero_point, 0, 255)
    assert ours.item() == min(max(exact, 0), 255)
    wide = requantize(int32(accumulator), int32(multiplier), int32(shift), zero_point, -(2**31), 2**31 - 1)
    assert wide.item() == min(max(exact, -(2**31)), 2**31 - 1)


def test_ties_go_to_the_even_code_on_both_sides_of_zero():
    multiplier, shift = multiplier_and_shift(0.25)
    accumulators = int32(*range(-14, 15, 4))  # -3.5, -2.5, ... 3.5
    assert requantize(accumulators, multiplier, shift, 0, -9, 9).tolist() == [-4, -2, -2, 0, 0, 2, 2, 4]


def test_one_multiplier_per_channel():
    multiplier, shift = multiplier_and_shift(torch.tensor([0.5, 0.01]))
    accumulators = int32(100, 100).repeat(3, 1)
    assert requantize(accumulators, multiplier, shift, 10, 0, 255).tolist() == [[60, 11]] * 3


def test_a_relu_is_the_clamp_at_the_zero_point():
    accumulators = torch.arange(-1000, 1000, 7, dtype=torch.int32)
    scale = multiplier_and_shift(0.03)
    clamped = requantize(accumulators, *scale, 5, 5, 20)
    assert torch.equal(clamped, requantize(accumulators.clamp(min=0), *scale, 5, 0, 20))
    assert clamped.min() == 5 and clamped.max() == 20


def rounded_twice(accumulator: int, multiplier: int, shift: int) -> int:
    """gemmlowp, by its documentation: the rounding doubling high multiply, then the rounding shift to the right.

    Both round half away from zero. (gemmlowp's saturation at -2**31 * -2**31 cannot occur with a multiplier above 0.)
    """
    away = lambda value, places: (abs(value) + (1 << (places - 1)) >> places) * (1 if value >= 0 else -1)  # noqa: E731
    high = away(accumulator * multiplier, 31)
    return away(high, shift) if shift > 0 else high << -shift


@pytest.mark.parametrize("shift", [3, 5])
def test_rounding_twice_moves_one_code_in_two_to_the_n_plus_1(shift):
    """Where the upper 32 bits end on a half, and did so only by being rounded up: 2**-shift * 1/2 of all."""
    generator = torch.Generator().manual_seed(0)
    count = 40_000
    accumulators = torch.randint(-(10**6), 10**6, (count,), generator=generator).to(torch.int32)
    multiplier, _ = multiplier_and_shift(0.7071)
    ours = requantize(accumulators, multiplier, torch.tensor(shift), 0, -(2**31), 2**31 - 1)
    twice = torch.tensor([rounded_twice(value, int(multiplier), shift) for value in accumulators.tolist()])
    apart = twice - ours
    assert set(apart.unique().tolist()) == {-1, 0, 1}
    assert (apart * twice.sign() >= 0).all()  # never towards zero
    expected = count * 2.0 ** -(shift + 1)
    assert abs(int((apart != 0).sum()) - expected) < 5 * expected**0.5  # five standard deviations of a rare event


@pytest.mark.parametrize("real", [0.0, -0.5, 2.0**29, float("inf"), float("nan")])
def test_a_multiplier_that_is_none_is_refused(real):
    with pytest.raises(ValueError, match=re.escape("a multiplier must be above 0 and below 2**29, got")):
        multiplier_and_shift(torch.tensor([0.5, real]))


def test_an_accumulator_is_int32():
    with pytest.raises(TypeError, match="an accumulator is an int32 tensor, got torch.int64"):
        requantize(torch.tensor([1]), *multiplier_and_shift(0.5), 0, 0, 255)


def test_what_is_no_tensor_of_whole_numbers_is_refused():
    accumulator = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(TypeError, match="multiplier must be an int32 tensor, got float; multiplier_and_shift gives it"):
        requantize(accumulator, 0.5, torch.tensor(0), 0, 0, 10)
    with pytest.raises(ValueError, match="qmin must be at most qmax, got 10 and 0"):
        requantize(accumulator, *multiplier_and_shift(0.5), 0, 10, 0)
