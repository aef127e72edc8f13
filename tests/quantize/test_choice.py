"""One format for each layer, by name: what a mapping may say, and what it must."""

import pytest
import torch
from torch import nn

from mini_lib.quantize import FloatFormat, IntFormat, PerChannel, choose_formats, quantize, quantize_weights, rung
from mini_lib.quantize.layers import QuantizedLayer


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()


def test_bits_and_formats_side_by_side():
    model = net()
    small = quantize_weights(model, {"0": 3, "2": IntFormat(5, granularity=PerChannel(1))})
    assert torch.equal(small[0].weight, quantize(model[0].weight, rung(3)).dequantize())
    assert torch.equal(small[2].weight, quantize(model[2].weight, IntFormat(5, granularity=PerChannel(1))).dequantize())


def test_the_order_of_the_mapping_does_not_matter():
    model, x = net(), torch.ones(1, 4)
    assert torch.equal(quantize_weights(model, {"2": 2, "0": 8})(x), quantize_weights(model, {"0": 8, "2": 2})(x))


def test_32_bits_keep_a_layer_in_float():
    model = net()
    small = quantize_weights(model, {"0": 32, "2": 2})
    assert torch.equal(small[0].weight, model[0].weight) and small[0].weight_fmt == FloatFormat(torch.float32)


def test_a_layer_left_out_in_where_stays_as_it_is_and_the_mapping_does_not_name_it():
    model = net()
    bits = {"2": 2}
    small = quantize_weights(model, bits, where=lambda name, module: name in bits)
    assert type(small[0]) is nn.Linear and isinstance(small[2], QuantizedLayer)
    with pytest.raises(ValueError, match=r"fmt names '0', which is not among the chosen layers; they are 2$"):
        quantize_weights(model, {"0": 4, "2": 2}, where=lambda name, module: name == "2")


def test_a_misspelt_layer_is_refused_with_the_nearest_names():
    layers = {name: nn.Linear(1, 1) for name in ("conv1", "conv2", "linear")}
    bits = dict.fromkeys(layers, 4)
    with pytest.raises(ValueError, match=r"fmt names 'conv_2', which .*; did you mean 'conv2' or 'conv1'\?"):
        choose_formats(bits | {"conv_2": 4}, layers)
    with pytest.raises(ValueError, match=r"fmt names 'zzz', which .*; they are conv1, conv2, linear$"):
        choose_formats(bits | {"zzz": 4}, layers)
    with pytest.raises(ValueError, match=r"fmt names 3, which is not among the chosen layers"):
        choose_formats(bits | {3: 4}, layers)


def test_a_forgotten_layer_is_refused():
    with pytest.raises(
        ValueError, match=r"fmt says nothing about layer '2'; add it \(32 bits keep it in float\), or leave"
    ):
        quantize_weights(net(), {"0": 4})


@pytest.mark.parametrize(
    "bits, error, message",
    [
        (17, ValueError, "layer '2': the ladder has no rung of 17 bits"),
        (2.5, TypeError, "layer '2': bits must be a whole number, got 2.5"),
        ("4", TypeError, "layer '2': bits must be a whole number, got '4'"),
        (True, TypeError, "layer '2': bits must be a whole number, got True"),
        (None, TypeError, "layer '2': bits must be a whole number, got None"),
    ],
)
def test_bits_that_no_rung_has(bits, error, message):
    with pytest.raises(error, match=message):
        quantize_weights(net(), {"0": 4, "2": bits})
