"""Packed layers compute what the quantized layers compute, up to the rounding of the inputs to 8 bits."""

import copy
import re

import pytest
import torch
from torch import nn

from mini_lib import native, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.kernels import instruction_sets
from mini_lib.measure import macs, parameters, stored_bytes
from mini_lib.quantize import (
    UNSIGNED_8_BITS,
    BinaryFormat,
    IntFormat,
    NF4Format,
    PackedConv2d,
    PackedLinear,
    PerChannel,
    PerGroup,
    PerTensor,
    TernaryFormat,
    is_packable,
    pack_for_speed,
    quantize_weights,
    quantize_weights_and_activations,
)

FORMATS = [
    *(IntFormat(bits, granularity=PerChannel(0)) for bits in (8, 4, 3, 2)),
    *(IntFormat(bits, symmetric=False, granularity=PerGroup(9)) for bits in (8, 4, 3, 2)),
    IntFormat(4, symmetric=False, signed=False, granularity=PerTensor()),
    IntFormat(4, granularity=PerChannel(0), scale_dtype=torch.float16),
    IntFormat(3, symmetric=False, granularity=PerGroup(9), scale_dtype=torch.bfloat16),
    BinaryFormat(),
    BinaryFormat(PerGroup(9)),
    TernaryFormat(PerGroup(9)),
]


def labels(fmt):
    return f"{fmt.label} {fmt.scale_dtype}"


def within_the_bound(packed, quantized, x, scale_of):
    """|packed - quantized| <= max |x| / 254 * sum |w|, and what float32 adds in both: n roundings of n products."""
    with torch.no_grad():
        got, want = packed(x), quantized(x)
    weight = quantized.weight.flatten(1).double()
    size = weight.abs().sum(1) * x.abs().max()
    allowed = size / 254 + (weight.shape[1] + 20) * 2.0**-24 * (size + 5)
    assert got.shape == want.shape and got.dtype == torch.float32
    shape = [1] * got.dim()
    shape[scale_of] = -1
    assert ((got - want).abs() <= allowed.view(shape)).all()
    assert float((got - want).norm() / want.norm()) < 0.05  # the bound is for the worst case; this is the usual one


@pytest.mark.parametrize("fmt", FORMATS, ids=labels)
def test_linear(fmt):
    torch.manual_seed(0)
    quantized = quantize_weights(nn.Sequential(nn.Linear(45, 21)), fmt).eval()[0]
    packed = PackedLinear(quantized)
    for shape in ((1, 45), (9, 45), (45,), (2, 3, 45), (0, 45)):
        x = torch.randn(shape)
        if x.numel():
            within_the_bound(packed, quantized, x, -1)
        else:
            assert packed(x).shape == (0, 21)
    within_the_bound(packed, quantized, torch.randn(45, 7).T, -1)  # a view that is not contiguous


@pytest.mark.parametrize("fmt", FORMATS, ids=labels)
@pytest.mark.parametrize("settings", [
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, stride=2, padding=(1, 0), bias=False),
    dict(kernel_size=3, padding="same", dilation=(1, 2)),
    dict(kernel_size=(9, 1), padding="valid"),
], ids=str)  # fmt: skip
def test_convolution(fmt, settings):
    torch.manual_seed(0)
    quantized = quantize_weights(nn.Sequential(nn.Conv2d(3, 19, **settings)), fmt).eval()[0]
    within_the_bound(PackedConv2d(quantized), quantized, torch.randn(2, 3, 11, 10), 1)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_padding_of_an_even_kernel():
    quantized = quantize_weights(nn.Sequential(nn.Conv2d(1, 2, (2, 4), padding="same")), IntFormat(8)).eval()[0]
    within_the_bound(PackedConv2d(quantized), quantized, torch.randn(1, 1, 5, 6), 1)


@pytest.mark.parametrize("instructions", instruction_sets())
def test_whole_models_agree(instructions):
    for name in ("small_cnn", "lenet_300_100"):
        model = fold_batch_norm(zoo.load(name)) if name == "small_cnn" else zoo.load(name)
        quantized = quantize_weights(model, IntFormat(8, granularity=PerChannel(0)))
        packed = pack_for_speed(quantized)
        for module in packed.modules():
            if hasattr(module, "instructions"):
                module.instructions = instructions
        x = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            got, want = packed(x), quantized(x)
        assert float((got - want).norm() / want.norm()) < 0.05
        assert torch.equal(got.argmax(1), want.argmax(1))


def test_what_is_stored_is_what_is_counted():
    """300 x 784 at 4 bits: 19 tiles of 16 rows, 784 / 2 bytes and a scale of 4 bytes each, and 300 biases."""
    model = quantize_weights(nn.Sequential(nn.Linear(784, 300)), IntFormat(4, granularity=PerChannel(0)))
    packed = pack_for_speed(model)
    assert stored_bytes(packed) == 19 * 16 * (784 // 2 + 4) + 300 * 4
    assert parameters(packed) == 784 * 300 + 300 and macs(packed, torch.zeros(2, 784)) == 2 * 784 * 300
    assert torch.equal(packed[0].weight, model[0].weight)
    again = pack_for_speed(
        quantize_weights(nn.Sequential(nn.Linear(784, 300)), IntFormat(4, granularity=PerChannel(0)))
    )
    again.load_state_dict(packed.state_dict())
    x = torch.randn(3, 784)
    assert torch.equal(again(x), packed(x))


def test_a_copy_is_a_copy_and_buffers_may_be_replaced():
    packed = pack_for_speed(quantize_weights(nn.Sequential(nn.Linear(8, 4)), IntFormat(4)))
    x = torch.randn(1, 8)
    before = packed(x)
    other = copy.deepcopy(packed)
    other[0].bias.add_(1)
    assert torch.equal(packed(x), before) and not torch.equal(other(x), before)
    other[0].bias = torch.zeros(4)
    torch.testing.assert_close(other(x), before - packed[0].bias, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=re.escape("bias must have shape [4], got [5]")):
        other[0].bias = torch.zeros(5)
        other(x)
    with pytest.raises(TypeError, match="scales must be .* got torch.float64"):
        other = copy.deepcopy(packed)
        other[0].scales = other[0].scales.double()
        other(x)


def test_what_has_no_packed_form_stays():
    model = quantize_weights(zoo.load("depthwise_cnn"), IntFormat(4, granularity=PerChannel(0)))
    packed = pack_for_speed(model)
    kinds = {name: type(module).__name__ for name, module in packed.named_children()}
    assert [kinds[name] for name in ("depthwise1", "pointwise1", "linear")] == [
        "QuantizedConv2d",
        "PackedConv2d",
        "PackedLinear",
    ]
    assert not packed.training and type(model.pointwise1).__name__ == "QuantizedConv2d"
    with torch.no_grad():
        assert packed(torch.rand(2, 1, 28, 28)).isfinite().all()


LINEAR = nn.Sequential(nn.Linear(8, 4)).eval()
GROUPED = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)).eval()
GRID = quantize_weights_and_activations(LINEAR, IntFormat(8), UNSIGNED_8_BITS, torch.randn(4, 8))


def everything(name, module):
    return True


@pytest.mark.parametrize("model, where, message", [
    (quantize_weights(GROUPED, IntFormat(4)), everything, "layer '0': a convolution with 2 channel groups has no"),
    (quantize_weights(GROUPED, IntFormat(4)), is_packable, "no layer is chosen that can compute on packed codes: la"),
    (quantize_weights(LINEAR, IntFormat(5)), everything, "layer '0': there is no packed kernel for 5 bits"),
    (quantize_weights(LINEAR, IntFormat(4, granularity=PerChannel(1))), everything, "not per channel of axis 1"),
    (quantize_weights(LINEAR, NF4Format(8)), everything, "layer '0': there is no packed kernel for nf4"),
    (GRID, everything, "layer '0': its inputs are rounded to a fixed grid"),
    (LINEAR, everything, "the model has no quantized layer; call quantize_weights first"),
])  # fmt: skip
def test_what_cannot_be_packed_is_named(model, where, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pack_for_speed(model, where)


PACKED = pack_for_speed(quantize_weights(nn.Sequential(nn.Linear(8, 4)), IntFormat(4)))[0]
CONV = pack_for_speed(quantize_weights(nn.Sequential(nn.Conv2d(2, 4, 3)), IntFormat(4)))[0]


@pytest.mark.parametrize("call, kind, message", [
    (lambda: copy.deepcopy(PACKED).train()(torch.ones(1, 8)), ValueError, "PackedLinear computes only in eval mode"),
    (lambda: PACKED(torch.ones(1, 8, requires_grad=True)), ValueError, "PackedLinear has no gradient"),
    (lambda: PACKED(torch.ones(1, 8).half()), TypeError, "takes float32 on the CPU, got torch.float16"),
    (lambda: PACKED(torch.ones(1, 8, device="meta")), TypeError, "got torch.float32 on meta"),
    (lambda: PACKED(torch.ones(1, 9)), ValueError, "x must have shape [any, 8], got [1, 9]"),
    (lambda: CONV(torch.ones(2, 5, 5)), ValueError, "PackedConv2d takes 4 dimensions, got shape [2, 5, 5]"),
    (lambda: CONV(torch.ones(1, 3, 5, 5)), ValueError, "x must have 2 channels, got 3"),
    (lambda: CONV(torch.ones(1, 2, 2, 5)), ValueError, "a kernel of 3 x 3 does not fit an image of 2 x 5"),
    (lambda: PackedLinear(nn.Linear(2, 2)), ValueError, "Linear is not a QuantizedLinear or QuantizedConv2d"),
])  # fmt: skip
def test_inputs_that_are_refused(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_without_a_compiler_it_is_slow_and_says_so(monkeypatch):
    model = quantize_weights(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(36, 2)), IntFormat(3))
    x = torch.randn(2, 1, 5, 5)
    fast = pack_for_speed(model)(x)

    def none():
        raise native.NoCompiler("no C compiler works")

    monkeypatch.setattr(native, "find_compiler", none)
    instruction_sets.cache_clear()
    try:
        with pytest.warns(UserWarning, match="there is no C compiler, so packed layers unpack their codes"):
            packed = pack_for_speed(model)
        torch.testing.assert_close(packed(x), fast, rtol=1e-4, atol=1e-4)
        assert macs(packed, x) == 2 * (4 * 9 * 9 + 36 * 2)
    finally:
        instruction_sets.cache_clear()


# --- what a hostile user tries --------------------------------------------------------------------------------------


def packed(*layers: nn.Module, fmt=None) -> nn.Sequential:
    return pack_for_speed(quantize_weights(nn.Sequential(*layers).eval(), fmt or IntFormat(8)))


@pytest.mark.parametrize("padding", [-1, (0, -1)])
def test_a_negative_padding_reads_nothing(padding):
    with pytest.raises(ValueError, match=r"layer '0': border\[.\] must be a whole number from 0 to 4096, got -1; "):
        packed(nn.Conv2d(1, 3, 2, padding=padding))


def test_a_trace_would_keep_one_result_for_ever():
    model = packed(nn.Linear(8, 3))
    with pytest.raises(ValueError, match="a trace does not see what PackedLinear computes; trace the model before"):
        torch.jit.trace(model, (torch.ones(1, 8),), check_trace=False)


def test_layers_that_cannot_be_packed_stay():
    per_channel = IntFormat(8, granularity=PerChannel(0))
    model = packed(nn.Linear(32_768, 2), nn.Linear(2, 2), fmt=per_channel)
    assert [type(layer).__name__ for layer in model] == ["QuantizedLinear", "PackedLinear"]
    with pytest.raises(
        ValueError, match="layer '0': sums over 32,768 weights with one scale may not fit 32 bits; use "
    ):
        packed(nn.Linear(32_768, 2), fmt=per_channel)
    with pytest.raises(ValueError, match="layer '0': its bias is torch.float64, and packed layers compute in float32"):
        packed(nn.Linear(2, 2).double())


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ("x", TypeError, r"PackedLinear takes a tensor, got str; use torch.tensor\(x\)"),
        (torch.tensor(1.0), ValueError, r"PackedLinear takes 1 or more dimensions, got shape \[\]"),
        (torch.zeros(2, 0), ValueError, r"x must have shape \[any, 8\], got \[2, 0\]"),
    ],
)
def test_inputs_that_are_none(x, error, message):
    with pytest.raises(error, match=message):
        packed(nn.Linear(8, 3))[0](x)
