"""Uniform grids: torch's own kernels are the oracle, to the last bit."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import (
    IntFormat,
    affine_scale,
    choose_qparams,
    fake_quantize,
    from_codes,
    symmetric_scale,
    to_codes,
)

BITS_OF = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
DTYPES = tuple(BITS_OF)


def same_bits(a, b):
    """Equal dtype, shape and bit patterns: torch.equal would call -0.0 and +0.0 equal."""
    as_bits = BITS_OF[a.dtype]
    return a.dtype == b.dtype and torch.equal(a.contiguous().view(as_bits), b.contiguous().view(as_bits))


# ---------------------------------------------------------------- against torch's fake quantization


def draw(generator, low, high):
    return int(torch.randint(low, high + 1, (), generator=generator))


def uniform(generator, low, high):
    return low + (high - low) * float(torch.rand((), generator=generator))


LAYOUTS = ("contiguous", "transposed", "every second", "expanded", "channels last", "no axes")


def random_input(generator, scale, dtype, layout, far=1e15, infinite=True):
    """Values around the grid, with ties, zeros of both signs and huge values strewn in, in the given layout."""
    if layout == "no axes":
        shape = ()
    elif layout == "channels last":
        shape = tuple(draw(generator, 1, 5) for _ in range(4))
    else:
        shape = tuple(draw(generator, 1, 7) for _ in range(draw(generator, 1, 4)))
    steps = torch.randn(shape, generator=generator) * 10 ** uniform(generator, -1, 5)
    kind = torch.randint(0, 10, shape, generator=generator)
    steps = torch.where(kind == 0, steps.round() + 0.5, steps)  # ties
    steps = torch.where(kind == 1, torch.zeros(()), steps)
    steps = torch.where(kind == 2, -torch.zeros(()), steps)
    steps = torch.where(kind == 3, steps * far, steps)  # far outside
    steps = torch.where(kind == 4, steps * 1e-8, steps)  # rounds to a signed zero
    x = (steps * scale).to(dtype)  # the far ones may be infinite in fp16
    if not infinite:
        x = x.nan_to_num()
    if layout == "transposed":
        return x.transpose(0, -1)
    if layout == "every second":
        return x.repeat_interleave(2, dim=0)[::2]
    if layout == "expanded":
        return x[:1].expand(x.shape)
    if layout == "channels last":
        return x.contiguous(memory_format=torch.channels_last)
    return x


def random_grid(generator):
    bits, signed = draw(generator, 1, 16), draw(generator, 0, 1)
    fmt = IntFormat(bits, symmetric=False, signed=bool(signed))
    return fmt.qmin, fmt.qmax


def test_fake_quantize_is_bit_equal_to_torch_per_tensor():
    generator = torch.Generator().manual_seed(0)
    cases, dtypes_seen, layouts_seen = 0, set(), set()
    for case in range(1200):
        dtype, layout = DTYPES[case % 4], LAYOUTS[case // 4 % 6]
        qmin, qmax = random_grid(generator)
        scale, zero_point = 10 ** uniform(generator, -6, 3), draw(generator, qmin, qmax)
        x = random_input(generator, scale, dtype, layout)
        ours = fake_quantize(x, scale, zero_point, qmin, qmax)
        theirs = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, qmin, qmax)
        assert same_bits(ours, theirs), (case, dtype, layout, scale, zero_point, qmin, qmax, x)
        cases += 1
        dtypes_seen.add(dtype)
        layouts_seen.add(layout)
    assert cases >= 1000 and len(dtypes_seen) == 4 and len(layouts_seen) == 6


def test_fake_quantize_is_bit_equal_to_torch_per_channel():
    generator = torch.Generator().manual_seed(1)
    cases = 0
    for case in range(1000):
        dtype, layout = DTYPES[case % 4], LAYOUTS[case // 4 % 5]  # all layouts that have an axis
        qmin, qmax = random_grid(generator)
        # The scales of a tensor differ by up to 1e3 here, its values reach to 1e6 * 1e5 of them: below 2**63 steps,
        # where torch's kernel overflows.
        smallest = 10 ** uniform(generator, -5, 0)
        x = random_input(generator, smallest, dtype, layout, far=1e6, infinite=False)
        axis = draw(generator, 0, x.dim() - 1)
        scale = smallest * 10 ** (torch.rand(x.shape[axis], generator=generator) * 3)
        zero_point = torch.randint(qmin, qmax + 1, (x.shape[axis],), generator=generator, dtype=torch.int32)
        ours = fake_quantize(x, scale, zero_point, qmin, qmax, axis=axis)
        theirs = torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, qmin, qmax)
        assert same_bits(ours, theirs), (case, dtype, layout, axis, scale, zero_point, qmin, qmax, x)
        cases += 1
    assert cases >= 1000


def test_beyond_2_to_the_63_steps_torch_overflows_per_channel_and_ours_saturates():
    x = torch.tensor([[2.0**62, 2.0**64, -(2.0**64)]])
    one, zero = torch.ones(1), torch.zeros(1, dtype=torch.int32)
    assert fake_quantize(x, one, zero, -8, 7, axis=0).tolist() == [[7, 7, -8]]
    assert fake_quantize(x, 1.0, 0, -8, 7).tolist() == [[7, 7, -8]]
    assert torch.fake_quantize_per_tensor_affine(x, 1.0, 0, -8, 7).tolist() == [[7, 7, -8]]
    assert torch.fake_quantize_per_channel_affine(x, one, zero, 0, -8, 7)[0, 0] == 7  # the last that fits


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_tie_goes_to_the_even_code(dtype):
    x = torch.arange(-20, 21, dtype=dtype) / 2  # in steps of 1: -10, -9.5, ...
    ours = fake_quantize(x, 1.0, 0, -8, 7)
    assert same_bits(ours, torch.fake_quantize_per_tensor_affine(x, 1.0, 0, -8, 7))
    assert ours[x.abs() == 0.5].tolist() == [0, 0]
    assert ours[x.abs() == 1.5].tolist() == [-2, 2]
    assert ours[x.abs() == 2.5].tolist() == [-2, 2]


def test_infinities_saturate_and_nan_stays_nan():
    x = torch.tensor([torch.inf, -torch.inf, torch.nan])
    ours, theirs = fake_quantize(x, 0.5, 0, -8, 7), torch.fake_quantize_per_tensor_affine(x, 0.5, 0, -8, 7)
    assert ours[:2].tolist() == theirs[:2].tolist() == [3.5, -4.0]
    assert ours[2].isnan()


def test_multiplies_by_the_reciprocal_as_torch_does():
    """Where dividing would round to another code: the reason for 1 / scale in the code."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(20_000, generator=generator) + 0.5
    x = (torch.randint(0, 100, (20_000,), generator=generator) + 0.5) * scale
    differs = torch.round(x / scale) != torch.round(x * (1 / scale))
    assert differs.any()
    zero_point = torch.zeros(20_000, dtype=torch.int32)
    ours = fake_quantize(x, scale, zero_point, -128, 127, axis=0)
    assert same_bits(ours, torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, -128, 127))


def test_fake_quantize_leaves_its_argument_alone_and_allows_empty_batches():
    x = torch.tensor([0.3, -0.3])
    fake_quantize(x, 0.5, 0, -8, 7)
    assert x.tolist() == torch.tensor([0.3, -0.3]).tolist()
    assert fake_quantize(torch.empty(0, 3), 0.5, 0, -8, 7).shape == (0, 3)


# ------------------------------------------------------------------------------ scale and zero point


def test_symmetric_scale_by_hand():
    assert symmetric_scale(torch.tensor([-1.0, 0.5]), bits=2) == 1.0  # codes -1, 0, 1
    assert symmetric_scale(torch.tensor([-14.0, 3.5]), bits=4) == 2.0  # codes -7 to 7
    assert symmetric_scale(torch.tensor([-12.7, 3.5]), bits=8) == torch.tensor(12.7) / 127


def test_affine_scale_by_hand():
    scale, zero_point = affine_scale(torch.tensor([-1.0, 14.0]), bits=4)  # 15 steps over 15
    assert (scale, zero_point) == (1.0, 1)
    scale, zero_point = affine_scale(torch.tensor([15.0, 30.0]), bits=4)  # widened down to 0
    assert (scale, zero_point) == (2.0, 0)
    scale, zero_point = affine_scale(torch.tensor([-30.0, -15.0]), bits=4)  # widened up to 0
    assert (scale, zero_point) == (2.0, 15)


INT_FORMATS = st.builds(IntFormat, st.integers(2, 16), st.booleans(), st.booleans())
FINITE = st.floats(-(2.0**120), 2.0**120, width=32)


def grid_of(values, fmt):
    if fmt.symmetric and not fmt.signed:
        values = values.abs()
    scale, zero_point = choose_qparams(values.min(), values.max(), fmt)
    return values, scale, zero_point


@given(values=st.lists(FINITE, min_size=1, max_size=30), fmt=INT_FORMATS)
def test_a_grid_holds_zero_and_all_its_codes_are_in_range(values, fmt):
    values, scale, zero_point = grid_of(torch.tensor(values), fmt)
    assert scale > 0 and scale.isfinite() and (1 / scale).isfinite()
    assert fmt.qmin <= zero_point <= fmt.qmax
    codes = to_codes(values, scale, zero_point, fmt.qmin, fmt.qmax)
    assert codes.min() >= fmt.qmin and codes.max() <= fmt.qmax
    zero = to_codes(torch.tensor([0.0, -0.0]), scale, zero_point, fmt.qmin, fmt.qmax)
    assert same_bits(from_codes(zero, scale, zero_point), torch.zeros(2))


@given(values=st.lists(FINITE, min_size=1, max_size=30), fmt=INT_FORMATS)
@settings(max_examples=200)
def test_rounding_error_is_at_most_half_a_step(values, fmt):
    values, scale, zero_point = grid_of(torch.tensor(values), fmt)
    error = (from_codes(to_codes(values, scale, zero_point, fmt.qmin, fmt.qmax), scale, zero_point) - values).abs()
    # In exact arithmetic no value is off by more than half a step: rounding the zero point shifts an affine grid
    # by at most half a step, and so leaves the ends of the range at most half a step beyond the end codes.
    # Each of the six float32 operations (range, scale, zero point, reciprocal, product, product back) is off by
    # 2**-24 of a number of at most 2**bits steps.
    slack = 6 * 2.0 ** (fmt.bits - 24)
    subnormal = 2.0**-149  # the spacing of float32 next to zero
    assert (error <= (0.5 + slack) * scale + subnormal).all()


@given(values=st.lists(FINITE, min_size=2, max_size=30), fmt=INT_FORMATS)
def test_quantizing_is_monotone_and_idempotent(values, fmt):
    values, scale, zero_point = grid_of(torch.tensor(values).sort().values, fmt)
    values = values.sort().values
    codes = to_codes(values, scale, zero_point, fmt.qmin, fmt.qmax)
    assert (codes.diff() >= 0).all()
    once = from_codes(codes, scale, zero_point)
    assert torch.equal(to_codes(once, scale, zero_point, fmt.qmin, fmt.qmax), codes)


@given(value=st.floats(0, 2.0**-120, width=32), fmt=INT_FORMATS)
def test_a_subnormal_range_has_a_normal_scale(value, fmt):
    scale, zero_point = choose_qparams(torch.tensor(0.0), torch.tensor(value), fmt)
    assert scale >= torch.finfo(torch.float32).tiny
    codes = to_codes(torch.tensor(value), scale, zero_point, fmt.qmin, fmt.qmax)
    assert from_codes(codes, scale, zero_point).isfinite()


def test_a_range_wider_than_float32_does_not_overflow():
    low, high = torch.tensor(-3e38), torch.tensor(3e38)  # high - low is infinite
    scale, zero_point = choose_qparams(low, high, IntFormat(8, symmetric=False))
    assert scale.isfinite()
    assert abs(scale.item() / (6e38 / 255) - 1) < 4 * 2.0**-24  # 4 roundings of float32
    assert zero_point == 0 or zero_point == -1  # -128 + 127.5, either way


def test_an_all_zero_range_has_scale_1_and_code_0():
    for fmt in (IntFormat(4), IntFormat(4, symmetric=False), IntFormat(4, symmetric=False, signed=False)):
        scale, zero_point = choose_qparams(torch.zeros(2), torch.zeros(2), fmt)
        assert scale.tolist() == [1, 1]
        assert (to_codes(torch.zeros(2), scale, zero_point, fmt.qmin, fmt.qmax) - zero_point).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_16_bit_scale_is_one_that_its_dtype_holds(dtype):
    generator = torch.Generator().manual_seed(0)
    high = 10 ** (torch.rand(500, generator=generator) * 8 - 6)
    scale, _ = choose_qparams(-high, high, IntFormat(4, scale_dtype=dtype))
    assert torch.equal(scale.to(dtype).float(), scale)


# --------------------------------------------------------------------------------------- bad input


def message(text):
    return pytest.raises(ValueError, match=re.escape(text))


def test_bad_input_is_refused_by_name():
    x = torch.tensor([0.3, 0.4])
    with pytest.raises(TypeError, match="x must hold floats, got torch.int64; call .float"):
        fake_quantize(torch.tensor([1, 2]), 0.5, 0, -8, 7)
    for scale in (0.0, -1.0, float("inf"), float("nan"), 1e-40):
        with message("every scale must be finite and at least 1.2e-38"):
            fake_quantize(x, scale, 0, -8, 7)
    with message("zero_point must be a code, -8 to 7; otherwise 0 is not on the grid"):
        fake_quantize(x, 0.5, 8, -8, 7)
    with message("got 2 scales and no axis; name the axis that they belong to"):
        fake_quantize(x, torch.ones(2), 0, -8, 7)
    with message("axis 1 is out of range for a tensor of shape (2,)"):
        fake_quantize(x, torch.ones(2), torch.zeros(2), -8, 7, axis=1)
    with message("axis 0 of a tensor of shape (2,) needs 2 scales and zero points, got shape (3,)"):
        fake_quantize(x, torch.ones(3), torch.zeros(3), -8, 7, axis=0)


def test_bad_ranges_are_refused_by_name():
    one = torch.tensor(1.0)
    for low, high in ((one, -one), (one * torch.nan, one), (-one, one * torch.inf)):
        with message("every range must be finite with its low end first"):
            choose_qparams(low, high, IntFormat(4))
    with message("no negative code, but the values go down to -1; use signed=True or symmetric=False"):
        choose_qparams(-one, one, IntFormat(4, signed=False))
    with message("does not fit torch.float16 (at most 6.55e+04); use scale_dtype=torch.float32"):
        choose_qparams(-one, one * 1e9, IntFormat(4, scale_dtype=torch.float16))
    with message("bits must be a whole number from 2 to 16, got 1; 2 bits are the codes -1, 0 and 1"):
        symmetric_scale(one, 1)
    with message("weight is empty"):
        affine_scale(torch.empty(0), 4)


def test_an_axis_may_count_from_the_end():
    x = torch.arange(24.0).reshape(2, 3, 4) / 10
    for axis, scale in ((0, [0.1, 0.3]), (1, [0.1, 0.2, 0.4]), (2, [0.1, 0.2, 0.3, 0.5])):
        scales, zeros = torch.tensor(scale), torch.arange(len(scale), dtype=torch.int32)
        found = [fake_quantize(x, scales, zeros, 0, 15, axis=one) for one in (axis, axis - 3)]
        assert torch.equal(found[0], found[1])
    for axis in (3, -4):
        with pytest.raises(ValueError, match=rf"axis {axis} is out of range for a tensor of shape \(2, 3, 4\)"):
            fake_quantize(x, torch.ones(2), torch.zeros(2), 0, 15, axis=axis)


@pytest.mark.parametrize("scale, zero_point", [([1.0, 2.0], 0), (1.0, [0, 0]), ([1.0, 2.0], [0, 0])])
def test_several_scales_or_zero_points_need_an_axis(scale, zero_point):
    with pytest.raises(ValueError, match="and no axis; name the axis that they belong to"):
        fake_quantize(torch.zeros(2), torch.tensor(scale), torch.tensor(zero_point), -8, 7)


@pytest.mark.parametrize("bad", [0.0, -1.0, 1e-39, float("inf"), float("nan")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_scale_among_good_ones_is_refused(bad, place):
    scales = torch.tensor([1.0, 2.0, 3.0])
    scales[place] = bad
    with pytest.raises(ValueError, match=r"every scale must be finite and at least 1\.2e-38, got"):
        fake_quantize(torch.ones(3, 2), scales, torch.zeros(3), -8, 7, axis=0)


@pytest.mark.parametrize("bad", [-9, 8, 100])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_zero_point_that_is_no_code_is_refused(bad, place):
    zeros = torch.tensor([-8, 0, 7])  # the ends are codes
    assert fake_quantize(torch.ones(3, 2), torch.ones(3), zeros, -8, 7, axis=0).shape == (3, 2)
    zeros[place] = bad
    with pytest.raises(ValueError, match="zero_point must be a code, -8 to 7; otherwise 0 is not on the grid"):
        fake_quantize(torch.ones(3, 2), torch.ones(3), zeros, -8, 7, axis=0)
