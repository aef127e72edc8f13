"""Quantizing whole models: weights alone, weights and activations."""

import pytest
import torch
from torch import nn

from mini_lib import data, measure, zoo
from mini_lib.fit import accuracy
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    LADDER,
    BinaryFormat,
    CodebookFormat,
    IntFormat,
    NF4Format,
    PerChannel,
    PerGroup,
    TernaryFormat,
    fake_quantize,
    file_bytes,
    min_max,
    percentile,
    quantize,
    rung,
)
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights, quantize_weights_and_activations


@pytest.fixture
def model() -> nn.Module:
    return fold_batch_norm(zoo.small_cnn(seed=0).eval())


def images(count: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


LAYERS = ["conv1", "conv2", "conv3", "conv4", "linear"]


@pytest.mark.parametrize("bits", LADDER)
def test_every_rung_of_the_ladder_through_one_call(model, bits):
    small = quantize_weights(model, rung(bits))
    assert [name for name, module in small.named_modules() if isinstance(module, QuantizedLayer)] == LAYERS
    for name in LAYERS:
        expected = quantize(model.get_submodule(name).weight, rung(bits)).dequantize()
        assert torch.equal(small.get_submodule(name).weight, expected)
    assert small(images()).shape == (8, 10)
    assert measure.parameters(small) == measure.parameters(model)


def test_at_32_bits_nothing_changes(model):
    x = images()
    assert torch.equal(quantize_weights(model, rung(32))(x), model(x))


def test_the_stored_bytes_of_the_ladder_by_hand(model):
    # 60,048 weights of 3x3 convolutions and 640 of the linear layer; 186 output channels with a bias each of 4 bytes;
    # below 16 bits as many scales of 4 bytes. Every layer's codes fill whole bytes.
    weights, channels = 60_048 + 640, 16 + 32 + 64 + 64 + 10
    for bits in LADDER:
        scales = 4 * channels if bits < 16 else 0
        assert measure.stored_bytes(quantize_weights(model, rung(bits))) == weights * bits // 8 + scales + 4 * channels


def test_the_argument_is_untouched(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quantize_weights(model, rung(2))
    quantize_weights_and_activations(model, rung(2), UNSIGNED_8_BITS, images())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_layers_may_differ(model):
    formats = (rung(8), NF4Format(16), CodebookFormat(2), TernaryFormat(), rung(16))
    fmt = dict(zip(LAYERS, formats, strict=True))
    small = quantize_weights(model, lambda name, module: fmt[name])
    assert {name: small.get_submodule(name).weight_fmt for name in LAYERS} == fmt


def test_where_chooses_among_the_layers(model):
    small = quantize_weights(model, rung(4), where=lambda name, module: name != "linear")
    assert isinstance(small.conv4, QuantizedConv2d) and type(small.linear) is nn.Linear
    # What is quantized already is left as it is, so a model can be quantized in steps.
    rest = quantize_weights(small, rung(8))
    assert rest.conv4.weight_fmt == rung(4) and rest.linear.weight_fmt == rung(8)


def test_the_observer_chooses_the_range(model):
    small = quantize_weights(model, rung(3), observer=percentile(95.0))
    assert torch.equal(small.conv3.weight, quantize(model.conv3.weight, rung(3), percentile(95.0)).dequantize())
    assert not torch.equal(small.conv3.weight, quantize(model.conv3.weight, rung(3), min_max).dequantize())


def test_a_layer_used_in_two_places_stays_one():
    linear = nn.Linear(4, 4)
    small = quantize_weights(nn.Sequential(linear, nn.ReLU(), linear), rung(4))
    assert small[0] is small[2]


def test_a_model_that_is_one_layer():
    assert isinstance(quantize_weights(nn.Linear(4, 4), rung(4)), QuantizedLinear)


def test_batch_norm_may_stay_when_only_weights_are_quantized():
    small = quantize_weights(zoo.small_cnn().eval(), rung(8))
    assert isinstance(small.conv1_bn, nn.BatchNorm2d)


def test_folding_after_quantizing_is_refused():
    with pytest.raises(ValueError, match="into QuantizedConv2d 'conv1'.*before these are quantized"):
        fold_batch_norm(quantize_weights(zoo.small_cnn().eval(), rung(8)))


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda m: m.conv3.weight.data[0, 0, 0].fill_(float("nan")), "layer 'conv3': weight holds 3 NaN or infinite"),
        (lambda m: m.conv2.bias.data.fill_(float("inf")), "layer 'conv2': the bias holds NaN or infinity"),
    ],
)
def test_weights_that_cannot_be_quantized_are_named(model, spoil, says):
    spoil(model)
    with pytest.raises(ValueError, match=says):
        quantize_weights(model, rung(8))


def test_formats_that_do_not_fit(model):
    with pytest.raises(ValueError, match="layer 'conv1': group_size 32 does not divide"):
        quantize_weights(model, IntFormat(4, granularity=PerGroup(32)))
    with pytest.raises(TypeError, match=r"layer 'conv1': fmt must be a format such as IntFormat\(4\).*got 4"):
        quantize_weights(model, 4)
    with pytest.raises(TypeError, match="layer 'conv1': fmt must be a format.*got None"):
        quantize_weights(model, lambda name, module: None)


def test_no_layer_chosen(model):
    says = r"where chooses none of the layers with a float weight \(conv1, conv2, conv3, conv4, linear\)"
    with pytest.raises(ValueError, match=says):
        quantize_weights(model, rung(8), where=lambda name, module: name == "conv9")
    with pytest.raises(ValueError, match="no nn.Conv2d or nn.Linear with a float weight"):
        quantize_weights(quantize_weights(model, rung(8)), rung(4))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return zoo.load("small_cnn", seed=0)


@pytest.fixture(scope="module")
def validation() -> data.Split:
    return data.fashion().validation.first(1000)


def test_the_ladder_on_the_trained_model(trained, validation):
    """What the course says of its model: nothing is lost down to 8 bits, nothing is left at 1."""
    model = fold_batch_norm(trained)
    sizes, accuracies = [], {}
    for bits in LADDER:
        small = quantize_weights(model, rung(bits))
        sizes.append(file_bytes(small))
        accuracies[bits] = accuracy(small, validation)
    float_accuracy = accuracy(trained, validation)
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(LADDER)
    # Folding and fp32 round otherwise than batch norm does, which may turn a picture on the border: 1 in 1000.
    assert abs(accuracies[32] - float_accuracy) <= 0.001
    # 8 bits is within a point of fp32 (here: 10 of 1000 pictures); 1 bit knows little more than the 10% of guessing.
    assert abs(accuracies[8] - float_accuracy) <= 0.01
    assert accuracies[1] < 0.3 < accuracies[4]


def test_8_bit_weights_and_activations_on_the_trained_model(trained, validation):
    calibration = data.fashion().train.first(200).images
    small = quantize_weights_and_activations(fold_batch_norm(trained), rung(8), UNSIGNED_8_BITS, calibration)
    assert abs(accuracy(small, validation) - accuracy(trained, validation)) <= 0.01


# --- activations ---------------------------------------------------------------------------------------------------


def test_activations_worked_by_hand():
    # Inputs of the first layer go from -1 to 2: 2 bits, step 1, codes 0 to 3 around 1. It doubles them and ReLU cuts
    # them, so inputs of the second layer go from 0 to 4: step 4 / 3.
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).eval()
    model[0].weight.data.fill_(2.0), model[2].weight.data.fill_(1.0)
    fmt = IntFormat(2, symmetric=False, signed=False)
    small = quantize_weights_and_activations(model, rung(32), fmt, [torch.tensor([[-1.0]]), torch.tensor([[2.0]])])
    assert (small[0].input_scale.item(), small[0].input_zero_point.item()) == (1.0, 1)
    assert (small[2].input_scale.item(), small[2].input_zero_point.item()) == (torch.tensor(4 / 3).item(), 0)
    # 0.9 rounds to 1, is doubled to 2, and 2 / (4 / 3) = 1.5 rounds to 2, the even one: 2 * 4 / 3.
    assert small(torch.tensor([[0.9]])).item() == torch.tensor(2 * (4 / 3)).item()
    assert small(torch.tensor([[50.0]])).item() == 4.0  # calibration saw nothing above 2


def test_a_model_with_rounded_activations_against_a_chain_written_out(model):
    x = images()
    small = quantize_weights_and_activations(model, rung(8), UNSIGNED_8_BITS, images(16, seed=1))
    weights = quantize_weights(model, rung(8))
    y = x
    for name, module in weights.named_children():
        if name in LAYERS:
            layer = small.get_submodule(name)
            y = fake_quantize(y, layer.input_scale, layer.input_zero_point, 0, 255)
        y = module(y)
    assert torch.equal(small(x), y)


def test_grids_come_from_the_calibration_data_of_the_float_model(model):
    data = images(16, seed=1)
    small = quantize_weights_and_activations(model, rung(2), UNSIGNED_8_BITS, data)
    inputs = model[:-1](data)
    # All inputs of the last layer are positive or zero: its 255 steps reach from 0 to the largest of them.
    assert small.linear.input_scale.item() == pytest.approx(inputs.max().item() / 255, rel=2**-22)  # two roundings
    assert small.linear.input_zero_point.item() == 0


def test_batches_or_all_at_once_give_the_same_grids(model):
    data = images(16, seed=1)
    whole, parts = (
        quantize_weights_and_activations(model, rung(4), UNSIGNED_8_BITS, calibration)
        for calibration in (data, data.split(5))
    )
    for name in LAYERS:
        one, two = whole.get_submodule(name), parts.get_submodule(name)
        # Convolutions of other batch sizes may add in another order: 288 products, 288 * 2**-24 = 1.7e-5.
        assert one.input_scale.item() == pytest.approx(two.input_scale.item(), rel=1.7e-5)


def test_activation_formats_may_differ_and_the_observer_is_used(model):
    fmt = lambda name, module: IntFormat(8 if name == "conv1" else 4, symmetric=False, signed=False)  # noqa: E731
    data = images(16, seed=1)
    small = quantize_weights_and_activations(model, rung(8), fmt, data)
    assert (small.conv1.input_fmt.bits, small.conv2.input_fmt.bits) == (8, 4)
    clipped = quantize_weights_and_activations(model, rung(8), fmt, data, activation_observer=percentile(90.0))
    assert clipped.conv1.input_scale < small.conv1.input_scale


def test_it_costs_8_bytes_a_layer(model):
    small = quantize_weights_and_activations(model, rung(8), UNSIGNED_8_BITS, images())
    assert measure.stored_bytes(small) == measure.stored_bytes(quantize_weights(model, rung(8))) + 5 * 8


def test_activations_that_cannot_be_quantized(model):
    data = images()
    with pytest.raises(ValueError, match=r"batch norm 'conv1_bn' is not folded.*fold_batch_norm\(model\)"):
        quantize_weights_and_activations(zoo.small_cnn().eval(), rung(8), UNSIGNED_8_BITS, data)
    with pytest.raises(ValueError, match="calibration holds no batch"):
        quantize_weights_and_activations(model, rung(8), UNSIGNED_8_BITS, [])
    with pytest.raises(ValueError, match="is in training mode"):
        quantize_weights_and_activations(model.train(), rung(8), UNSIGNED_8_BITS, data)
    model.eval()
    for fmt in (BinaryFormat(), IntFormat(8, granularity=PerChannel(1))):
        with pytest.raises(ValueError, match="layer 'conv1': an activation needs an integer grid with one scale"):
            quantize_weights_and_activations(model, rung(8), fmt, data)
    with pytest.raises(ValueError, match="the input of layer 'conv1': an unsigned symmetric grid has no negative code"):
        quantize_weights_and_activations(model, rung(8), IntFormat(8, signed=False), data)


def test_a_layer_that_never_runs_is_named(model):
    model.spare = nn.Linear(2, 2).eval()
    model.forward = lambda x: nn.Sequential.forward(model[:-1], x)
    with pytest.raises(ValueError, match="layer 'spare' never runs on the calibration data; leave it out with where"):
        quantize_weights_and_activations(model, rung(8), UNSIGNED_8_BITS, images())
