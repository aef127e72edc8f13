"""Quantized tensors: against torchao and quanto, and the bytes that they really take."""

import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle
from safetensors.torch import load, save

from mini_lib.quantize import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    IntFormat,
    NF4Format,
    PerChannel,
    PerGroup,
    PerTensor,
    TernaryFormat,
    from_parts,
    min_max,
    mse,
    percentile,
    quantize,
)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    weight = torch.tensor([[3.5, -1.2, 0.2], [0.0, 0.0, 0.0], [-14.0, 3.0, 1.0]])
    q = quantize(weight, IntFormat(4, granularity=PerChannel(0)))
    assert q.scale.tolist() == [0.5, 1.0, 2.0]  # 3.5 / 7, all zero, 14 / 7
    assert q.codes.tolist() == [[7, -2, 0], [0, 0, 0], [-7, 2, 0]]  # 1.5 and 0.5 go to even
    assert q.dequantize().tolist() == [[3.5, -1.0, 0.0], [0.0, 0.0, 0.0], [-14.0, 4.0, 0.0]]
    assert q.zero_point is None
    q = quantize(torch.tensor([-1.0, 0.0, 14.0]), IntFormat(4, symmetric=False, signed=False))
    assert (q.scale, q.zero_point) == (1.0, 1) and q.codes.tolist() == [0, 1, 15]


# ---------------------------------------------------------------------------------------- oracles


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape, size", [((16, 256), 32), ((16, 256), 128), ((5, 30), 6), ((7, 64), 64)])
def test_groups_equal_torchao_bit_for_bit(shape, size, bits, symmetric):
    torchao = oracle("torchao.quantization.quant_primitives")
    mapping = torchao.MappingType.SYMMETRIC if symmetric else torchao.MappingType.ASYMMETRIC
    for seed in range(5):
        weight = normal(*shape, seed=seed) * 10.0 ** (seed - 3)
        fmt = IntFormat(bits, symmetric, granularity=PerGroup(size))
        grid = dict(quant_min=fmt.qmin, quant_max=fmt.qmax)
        scale, zero_point = torchao.choose_qparams_affine(weight, mapping, (1, size), torch.int8, **grid)
        codes = torchao.quantize_affine(weight, (1, size), scale, zero_point, torch.int8, **grid)
        values = torchao.dequantize_affine(codes, (1, size), scale, zero_point, torch.int8, **grid)
        q = quantize(weight, fmt)
        assert torch.equal(q.scale, scale.view_as(q.scale)) and torch.equal(q.codes, codes.int())
        assert symmetric or torch.equal(q.zero_point, zero_point.view_as(q.zero_point))
        assert torch.equal(q.dequantize(), values)


def test_int8_absmax_equals_quanto_bit_for_bit():
    quanto = oracle("optimum.quanto")
    for seed in range(5):
        weight = normal(64, 128, seed=seed)
        scale = quanto.AbsmaxOptimizer()(weight, qtype=quanto.qint8, axis=0)
        theirs = quanto.quantize_weight(weight, qtype=quanto.qint8, axis=0, scale=scale)
        q = quantize(weight, IntFormat(8, granularity=PerChannel(0)))
        assert torch.equal(q.scale, scale.view(-1)) and torch.equal(q.dequantize(), theirs.dequantize())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_float_format_is_torch_own_cast(dtype):
    weight = normal(9, 7)
    q = quantize(weight, FloatFormat(dtype))
    assert torch.equal(q.dequantize(), weight.to(dtype).float())
    assert q.stored_bytes == 63 * torch.finfo(dtype).bits // 8


# ------------------------------------------------------------------------------------------ bytes


@pytest.mark.parametrize(
    "fmt, bits",
    [
        (IntFormat(4, granularity=PerGroup(128), scale_dtype=torch.float16), 4.125),  # 4 + 16/128
        (IntFormat(4, symmetric=False, granularity=PerGroup(128), scale_dtype=torch.float16), 4.25),  # and 16/128 more
        (IntFormat(4, symmetric=False, signed=False, granularity=PerGroup(128), scale_dtype=torch.bfloat16), 4.25),
        (IntFormat(4, granularity=PerGroup(32)), 5.0),  # 4 + 32/32
        (IntFormat(3, granularity=PerGroup(64), scale_dtype=torch.float16), 3.25),
        (NF4Format(64), 4.5),  # 4 + 32/64
        (FloatFormat(torch.bfloat16), 16),
        (FloatFormat(), 32),
        (IntFormat(8, granularity=PerChannel(0)), 8.0625),  # 8 + 32/512
        (BinaryFormat(), 1.0625),
        (CodebookFormat(4), 4 + 16 * 32 / (40 * 512)),
        (TernaryFormat(PerChannel(0)), 1.6 + 32 / 512),
    ],
)
def test_bits_per_weight_of_a_40_by_512_layer(fmt, bits):
    assert quantize(normal(40, 512), fmt).bits_per_weight == bits


FORMATS = [
    *(
        IntFormat(bits, symmetric, signed, granularity, dtype)
        for bits, symmetric, signed, granularity, dtype in [
            (1, False, True, PerTensor(), torch.float32),
            (1, True, False, PerChannel(1), torch.float16),
            (2, True, True, PerChannel(0), torch.bfloat16),
            (3, False, False, PerGroup(9), torch.float16),
            (4, False, True, PerGroup(3), torch.float32),
            (5, True, True, PerTensor(), torch.float32),
            (7, False, True, PerChannel(-1), torch.float32),
            (8, True, True, PerChannel(2), torch.float16),
            (11, False, False, PerTensor(), torch.float32),
            (16, False, False, PerChannel(0), torch.float32),
            (16, False, True, PerChannel(0), torch.float32),
            (16, True, True, PerTensor(), torch.float32),
        ]
    ),
    FloatFormat(),
    FloatFormat(torch.float16),
    FloatFormat(torch.bfloat16),
    CodebookFormat(1),
    CodebookFormat(5, "kmeans++", codebook_dtype=torch.float16),
    CodebookFormat(9),
    NF4Format(),
    NF4Format(7),
    NF4Format(4, double_quantize=True),
    TernaryFormat(),
    TernaryFormat(PerChannel(1), torch.float16),
    BinaryFormat(),
    BinaryFormat(PerGroup(9)),
]
FORMAT_IDS = [f"{at} {fmt.label}" for at, fmt in enumerate(FORMATS)]


def non_negative_if_needed(weight, fmt):
    only_positive = isinstance(fmt, IntFormat) and fmt.symmetric and not fmt.signed
    return weight.abs() if only_positive else weight


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMAT_IDS)
def test_parts_are_all_there_is(fmt):
    """Through a file and back: the same codes and the same values, to the last bit, and no byte uncounted."""
    weight = non_negative_if_needed(normal(6, 5, 3, 3), fmt)
    q = quantize(weight, fmt)
    parts = q.parts()
    assert {name: (part.dtype, tuple(part.shape)) for name, part in parts.items()} == fmt.layout(q.shape)
    assert q.stored_bytes == sum(part.numel() * part.element_size() for part in parts.values())
    assert q.bits_per_weight == 8 * q.stored_bytes / 270
    back = from_parts(load(save(parts)), fmt, q.shape)
    for name in ("codes", "scale", "zero_point", "codebook"):
        ours, theirs = getattr(q, name), getattr(back, name)
        assert (ours is None and theirs is None) or (ours.dtype == theirs.dtype and torch.equal(ours, theirs)), name
    assert torch.equal(back.dequantize(), q.dequantize())
    assert back.stored_bytes == q.stored_bytes
    assert q.dequantize().shape == weight.shape and q.dequantize().dtype == torch.float32


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMAT_IDS)
def test_the_same_weights_in_another_layout_or_dtype_are_the_same(fmt):
    weight = non_negative_if_needed(normal(6, 5, 3, 3).half().float(), fmt)  # values that fp16 holds
    expected = quantize(weight, fmt)
    for same in (
        weight.contiguous(memory_format=torch.channels_last),
        weight.transpose(0, 1).contiguous().transpose(0, 1),
        weight.repeat_interleave(2, dim=0)[::2],
        weight.double(),
        weight.half(),
        weight.clone().requires_grad_(),
    ):
        before = same.detach().clone()
        q = quantize(same, fmt)
        assert torch.equal(q.codes, expected.codes) and torch.equal(q.dequantize(), expected.dequantize())
        assert not q.dequantize().requires_grad
        assert torch.equal(same.detach(), before)  # the argument is left alone


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMAT_IDS)
def test_all_zero_weights_stay_zero(fmt):
    q = quantize(torch.zeros(6, 5, 3, 3), fmt)
    assert torch.equal(q.dequantize(), torch.zeros(6, 5, 3, 3))
    if isinstance(fmt, (IntFormat, TernaryFormat)):
        assert (q.scale == 1).all()
        assert (q.codes == (0 if q.zero_point is None else q.zero_point.reshape(-1)[0])).all()


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMAT_IDS)
@pytest.mark.parametrize("size", [1e-45, 1e-41, 1e-38])
def test_subnormal_weights_give_no_nan_and_no_infinity(fmt, size):
    q = quantize(non_negative_if_needed(normal(6, 5, 3, 3), fmt) * size, fmt)
    assert q.dequantize().isfinite().all()
    assert q.scale is None or q.scale.isfinite().all()


def test_one_weight_and_no_axes():
    formats = IntFormat(4), NF4Format(), TernaryFormat(), BinaryFormat(PerTensor()), CodebookFormat(2), FloatFormat()
    for fmt in formats:
        q = quantize(torch.tensor(-2.5), fmt)
        assert q.shape == () and q.dequantize().shape == () and q.dequantize() == -2.5


# ------------------------------------------------------------------------------------- properties

GRIDS = st.builds(
    IntFormat,
    st.integers(2, 16),
    st.booleans(),
    st.just(True),
    st.sampled_from([PerTensor(), PerChannel(0), PerChannel(1), PerGroup(2), PerGroup(4)]),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)


@given(GRIDS, st.integers(0, 10_000), st.floats(-3, 2))
@settings(max_examples=150)
def test_within_its_range_no_weight_moves_by_more_than_half_a_step(fmt, seed, power):
    weight = normal(3, 8, seed=seed) * 10**power
    q = quantize(weight, fmt)
    steps = q.scale.float().reshape(-1, 1)
    zero_point = 0 if q.zero_point is None else q.zero_point.reshape(-1, 1)
    rows, quantized = fmt.granularity.rows(weight), fmt.granularity.rows(q.dequantize())
    within = (rows >= (fmt.qmin - zero_point) * steps) & (rows <= (fmt.qmax - zero_point) * steps)
    # three float32 operations (reciprocal, product, product back) on at most 2**bits steps, 2**-24 each
    slack = 3 * 2.0 ** (fmt.bits - 24)
    assert ((rows - quantized).abs() <= (0.5 + slack) * steps)[within].all()
    assert q.codes.min() >= fmt.qmin and q.codes.max() <= fmt.qmax
    again = quantize(q.dequantize(), fmt)
    if fmt.symmetric and fmt.scale_dtype == torch.float32 and fmt.bits <= 12:
        # Idempotent: the largest magnitude is kept, so the scale is too but for 2 roundings, which move a code
        # of at most 2**11 by far less than half a step.
        assert torch.equal(again.codes, q.codes)


@given(st.integers(2, 16), st.integers(0, 10_000), st.lists(st.integers(-20, 20), min_size=4, max_size=4))
@settings(max_examples=30)
def test_rescaling_channels_by_powers_of_two_changes_no_code_per_channel(bits, seed, powers):
    weight, factor = normal(4, 6, seed=seed), 2.0 ** torch.tensor(powers)[:, None]
    for observer in (min_max, percentile(90), partial(mse, candidates=10)):
        for symmetric in (True, False):
            fmt = IntFormat(bits, symmetric, granularity=PerChannel(0))
            plain, rescaled = quantize(weight, fmt, observer), quantize(weight * factor, fmt, observer)
            assert torch.equal(plain.codes, rescaled.codes)
            assert torch.equal(plain.dequantize() * factor, rescaled.dequantize())


@given(st.integers(2, 12), st.integers(0, 10_000), st.floats(0.01, 100))
def test_any_positive_rescaling_of_channels_keeps_the_error_relative_to_the_channel(bits, seed, factor):
    weight = normal(4, 6, seed=seed)
    fmt = IntFormat(bits, granularity=PerChannel(0))
    plain, rescaled = quantize(weight, fmt), quantize(weight * factor, fmt)
    # multiplying rounds each weight, by 2**-24 of it: only a weight within that of a tie may change its code
    position = weight / plain.scale[:, None]
    from_tie = (position - position.floor() - 0.5).abs()
    differs = plain.codes != rescaled.codes
    assert (from_tie[differs] <= 6 * 2.0 ** (bits - 24)).all()


def test_per_tensor_is_wrecked_by_what_per_channel_does_not_notice():
    weight = normal(16, 64)
    factor = torch.logspace(0, 3, 16)[:, None]
    relative = {}
    for granularity in (PerTensor(), PerChannel(0)):
        error = quantize(weight * factor, IntFormat(4, granularity=granularity)).dequantize() / factor - weight
        relative[type(granularity)] = float(error.square().mean())
    assert relative[PerTensor] > 20 * relative[PerChannel]


# -------------------------------------------------------------------------------------- bad input


def refused(error, text):
    return pytest.raises(error, match=re.escape(text))


@pytest.mark.parametrize("fmt", FORMATS, ids=FORMAT_IDS)
def test_bad_weights_are_refused_in_every_format(fmt):
    for bad in (float("nan"), float("inf"), -float("inf")):
        weight = torch.ones(6, 5, 3, 3)
        weight[0, 1, 2, 0] = bad
        with refused(ValueError, "weight holds 1 NaN or infinite of 270 values; no grid can hold them"):
            quantize(weight, fmt)
    with refused(ValueError, "weight is empty (shape (0, 9)); there is nothing to quantize"):
        quantize(torch.zeros(0, 9), fmt)
    for dtype in (torch.int64, torch.uint8, torch.bool, torch.complex64):
        with refused(TypeError, f"weight must hold floats, got {dtype}; call .float() on it first"):
            quantize(torch.ones(6, 9, dtype=dtype), fmt)
    with refused(TypeError, "weight must be a tensor, got [1.0, 2.0]; give floats"):
        quantize([1.0, 2.0], fmt)


def test_weights_that_do_not_fit_are_refused():
    with refused(ValueError, "weight goes up to 1e+300, which float32 cannot hold; scale it down first"):
        quantize(torch.tensor([1e300], dtype=torch.float64), IntFormat(4))
    with refused(ValueError, "the weight is as large as 1e+05, and torch.float16 ends at 6.55e+04; use torch.bfloat16"):
        quantize(torch.tensor([1e5]), FloatFormat(torch.float16))
    with refused(ValueError, "group_size 48 does not divide the last axis (256); use a divisor such as 32 or 64"):
        quantize(normal(4, 256), IntFormat(4, granularity=PerGroup(48)))
    with refused(ValueError, "axis 2 is out of range for a tensor of shape (4, 8); use -2 to 1"):
        quantize(normal(4, 8), IntFormat(4, granularity=PerChannel(2)))
    with refused(ValueError, "no negative code, but the values go down to"):
        quantize(normal(4, 8), IntFormat(4, signed=False))
    with refused(TypeError, "fmt must be a format such as IntFormat(4) or NF4Format(), got 4"):
        quantize(normal(4, 8), 4)


def test_parts_that_do_not_belong_are_refused():
    q = quantize(normal(4, 8), IntFormat(4, symmetric=False, granularity=PerChannel(0)))
    parts = q.parts()
    missing = {name: part for name, part in parts.items() if name != "scale"}
    with refused(
        ValueError,
        "int4 affine per channel of shape (4, 8) needs the parts codes, scale, zero_point; got codes, zero_point",
    ):
        from_parts(missing, q.fmt, q.shape)
    with refused(
        ValueError,
        "part 'codes' of int4 affine per channel of shape (4, 9) is torch.uint8 of shape (18,); "
        "got torch.uint8 of shape (16,)",
    ):
        from_parts(parts, q.fmt, (4, 9))
    with refused(
        ValueError,
        "part 'scale' of int4 affine per channel of shape (4, 8) is torch.float32 of shape (4,); "
        "got torch.float16 of shape (4,)",
    ):
        from_parts(parts | {"scale": q.scale.half()}, q.fmt, q.shape)
    with refused(
        ValueError,
        "int4 affine per channel of shape (4, 8) needs the parts codes, scale, zero_point; "
        "got codes, scale, zero_point, extra",
    ):
        from_parts(parts | {"extra": q.scale}, q.fmt, q.shape)
    with refused(TypeError, "fmt must be a format such as IntFormat(4) or NF4Format(), got 'int4'"):
        from_parts(parts, "int4", q.shape)


def test_it_prints_what_it_is():
    q = quantize(normal(4, 128), IntFormat(4))  # 4 + 32/512
    assert repr(q) == "QTensor(int4 per tensor, shape=(4, 128), bits_per_weight=4.062)"
