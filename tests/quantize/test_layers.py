"""Layers with packed weights: they compute what a float layer with that weight computes, and hold no more."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import measure
from mini_lib.quantize import (
    LADDER,
    CodebookFormat,
    IntFormat,
    NF4Format,
    PerGroup,
    TernaryFormat,
    fake_quantize,
    pack_for_speed,
    prepare,
    quantize,
    quantize_weights,
    quantize_weights_and_activations,
    rung,
)
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLinear, is_weight_layer, quantized_layer

FORMATS = [
    *map(rung, LADDER), IntFormat(5, symmetric=False), IntFormat(4, granularity=PerGroup(6), scale_dtype=torch.float16),
    CodebookFormat(3), NF4Format(16), NF4Format(16, double_quantize=True), TernaryFormat(),
]  # fmt: skip


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
@settings(deadline=None, max_examples=3)
@given(seed=st.integers(0, 2**31), groups=st.sampled_from([1, 2, 6]), bias=st.booleans())
def test_a_quantized_convolution_is_a_float_one_with_the_dequantized_weight(fmt, seed, groups, bias):
    torch.manual_seed(seed)
    conv = nn.Conv2d(6, 12, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(1, 2), groups=groups, bias=bias)
    weight = quantize(conv.weight, fmt)
    layer = quantized_layer(conv, weight)
    conv.weight.data = weight.dequantize()
    x = torch.randn(2, 6, 7, 8)
    assert type(layer) is QuantizedConv2d
    assert torch.equal(layer(x), conv(x))  # the same numbers through the same operator: to the last bit
    assert torch.equal(layer.weight, conv.weight)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
def test_a_quantized_linear_layer_likewise(fmt):
    torch.manual_seed(0)
    linear = nn.Linear(12, 5)
    weight = quantize(linear.weight, fmt)
    layer = quantized_layer(linear, weight)
    linear.weight.data = weight.dequantize()
    x = torch.randn(2, 3, 12)
    assert type(layer) is QuantizedLinear and torch.equal(layer(x), linear(x))


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
def test_the_state_dict_is_the_packed_parts_and_the_bias(fmt):
    linear = nn.Linear(12, 5)
    weight = quantize(linear.weight, fmt)
    layer = quantized_layer(linear, weight)
    state = layer.state_dict()
    assert set(state) == {f"weight_{name}" for name in weight.parts()} | {"bias"}
    assert all(torch.equal(state[f"weight_{name}"], part) for name, part in weight.parts().items())
    assert torch.equal(state["bias"], linear.bias) and state["bias"].dtype == torch.float32
    assert measure.stored_bytes(layer) == weight.stored_bytes + 5 * 4
    assert measure.parameters(layer) == 12 * 5 + 5


def test_packed_bytes_by_hand():
    # 3 bits: 64 * 32 * 9 = 18,432 codes are 6,912 bytes; 64 scales are 256 bytes, and so is the bias.
    layer = quantized_layer(nn.Conv2d(32, 64, 3), quantize(torch.randn(64, 32, 3, 3), rung(3)))
    assert measure.stored_bytes(layer) == 6912 + 256 + 256


def test_the_input_grid_rounds_inputs_and_is_stored():
    linear = nn.Linear(3, 2)
    fmt = IntFormat(4, symmetric=False, signed=False)
    layer = quantized_layer(linear, quantize(linear.weight, rung(32)))
    layer.set_input_grid(fmt, torch.tensor(0.5), torch.tensor(2, dtype=torch.int32))
    x = torch.tensor([[-3.0, 0.3, 9.0]])
    assert fake_quantize(x, 0.5, 2, 0, 15).tolist() == [[-1.0, 0.5, 6.5]]  # codes 0 to 15 around 2: -1 to 6.5
    assert torch.equal(layer(x), linear(torch.tensor([[-1.0, 0.5, 6.5]])))
    assert {"input_scale", "input_zero_point"} <= set(layer.state_dict())


def test_a_convolution_rounds_its_inputs_too():
    conv = nn.Conv2d(1, 2, 2)
    layer = quantized_layer(conv, quantize(conv.weight, rung(32)))
    layer.set_input_grid(IntFormat(2, symmetric=False, signed=False), torch.tensor(1.0), torch.tensor(0))
    x = torch.tensor([[0.4, 0.6, 1.4], [2.6, 9.0, -1.0]])
    assert torch.equal(layer(x[None, None]), conv(torch.tensor([[[[0.0, 1.0, 1.0], [3.0, 3.0, 0.0]]]])))


def test_inputs_of_another_float_type_are_taken():
    layer = quantized_layer(nn.Linear(3, 2).double(), quantize(torch.randn(2, 3), rung(4)))
    assert layer(torch.randn(1, 3, dtype=torch.float64)).dtype == torch.float64


def test_the_layer_is_a_copy_and_keeps_the_training_mode():
    linear = nn.Linear(3, 2)
    layer = quantized_layer(linear.eval(), quantize(linear.weight, rung(8)))
    assert not layer.training
    layer.bias.data.zero_()
    assert linear.bias.abs().sum() > 0


def test_macs_are_those_of_the_float_layer():
    conv = nn.Conv2d(2, 4, 3)
    layer = quantized_layer(conv, quantize(conv.weight, rung(2)))
    x = torch.zeros(1, 2, 8, 8)
    assert measure.macs(layer, x) == measure.macs(conv, x) == 4 * 36 * 18


def test_other_padding_is_refused():
    conv = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
    with pytest.raises(ValueError, match="pads with zeros, not 'reflect'; use padding_mode='zeros'"):
        quantized_layer(conv, quantize(conv.weight, rung(8)))


def test_which_layers_have_a_weight():
    linear = nn.Linear(2, 2)
    assert is_weight_layer("", nn.Conv2d(1, 1, 1)) and is_weight_layer("", linear)
    assert not is_weight_layer("", nn.Conv1d(1, 1, 1)) and not is_weight_layer("", nn.BatchNorm2d(1))
    assert not is_weight_layer("", quantized_layer(linear, quantize(linear.weight, rung(8))))
    assert not is_weight_layer("", nn.MultiheadAttention(4, 2).out_proj)


def test_a_quantized_layer_says_what_it_is():
    layer = quantized_layer(nn.Conv2d(2, 4, 3), quantize(torch.randn(4, 2, 3, 3), rung(4)))
    assert repr(layer) == "QuantizedConv2d([4, 2, 3, 3], weight=int4 per channel, bias=True)"


def test_a_weight_that_is_shown_gives_plain_tensors():
    layer = quantized_layer(nn.Linear(3, 2), quantize(torch.tensor([[7.0, -2.0, 0.0], [1.0, 2.0, 3.0]]), IntFormat(4)))
    plain = layer.weight
    layer.set_input_grid(IntFormat(8), torch.tensor(1.0), torch.tensor(0))
    assert type(plain) is torch.Tensor and torch.overrides.has_torch_function((layer.weight,))
    for value in (layer.weight + 0, layer.weight.contiguous(), torch.stack([layer.weight])[0], deepcopy(layer.weight)):
        assert type(value) is torch.Tensor and torch.equal(value, plain)
    assert layer.weight.tolist() == plain.tolist() and repr(layer.weight) == repr(plain)


@pytest.mark.parametrize("depth", [None, 2])
def test_a_transformer_rounds_its_inputs_without_gradients_too(depth):
    torch.manual_seed(0)
    one = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    model, x = (one if depth is None else nn.TransformerEncoder(one, depth)).eval(), torch.randn(4, 5, 16)
    two_bits = IntFormat(2, symmetric=False, signed=False)
    rounded = [
        quantize_weights_and_activations(model, IntFormat(8), two_bits, x),
        prepare(model, IntFormat(8), activations=two_bits, calibration=x).eval(),
        pack_for_speed(quantize_weights(model, IntFormat(8))),
    ]
    with torch.no_grad():
        for small in rounded:
            # where a layer has a hook, torch calls it
            hooks = [module.register_forward_hook(lambda *_: None) for module in small.modules()]
            slow = small(x)
            for hook in hooks:
                hook.remove()
            assert torch.allclose(small(x), slow, atol=1e-5)
        assert (rounded[0](x) - quantize_weights(model, IntFormat(8))(x)).abs().max() > 0.1
