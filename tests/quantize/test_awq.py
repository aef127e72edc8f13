"""AWQ: the same float outputs, the best of the scales that are tried, and where it has nothing to give."""

import numpy as np
import pytest
import torch
from torch import nn

from mini_lib import data, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    IntFormat,
    PerChannel,
    PerGroup,
    awq,
    find_pairs,
    min_max,
    mse,
    quantize,
    quantize_weights,
    scale_salient,
)
from mini_lib.second_moments import output_error, second_moments_of

GROUPS = IntFormat(3, granularity=PerGroup(8))
CHANNELS = IntFormat(3, granularity=PerChannel(0))


def strong_channels(seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """Three linear layers, the inputs of the last two with a few channels that are 20 times as strong."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16)).double().eval()
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight[::8] *= 20
            layer.bias[::8] *= 20
    return model, torch.randn(200, 8, dtype=torch.float64)


@pytest.mark.parametrize("name", ["small_cnn", "depthwise_cnn", "lenet_300_100"])
@pytest.mark.parametrize("fmt", [CHANNELS, IntFormat(2)], ids=lambda fmt: fmt.label)
def test_the_scaled_model_computes_the_same(name, fmt):
    model, x = fold_batch_norm(zoo.load(name)).double(), data.fashion().train.first(20).images.double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    scaled = scale_salient(model, fmt, x, candidates=4)
    assert (scaled(x) - model(x)).abs().max() <= 1e-9 * model(x).abs().max()
    assert any(not torch.equal(before[key], value) for key, value in scaled.state_dict().items())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_it_is_rounding_to_nearest_of_the_scaled_model():
    model, x = strong_channels()
    rounded, scaled = awq(model, GROUPS, x), scale_salient(model, GROUPS, x)
    expected = quantize_weights(scaled, GROUPS)
    for one, other in zip(rounded.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def grid_search(weight: np.ndarray, x: np.ndarray, candidates: int) -> np.ndarray:
    """The best scale of the columns for grids of 7 codes in groups of 8, tried on the outputs themselves."""
    strength, best, least = np.abs(x).mean(0), None, np.inf
    for alpha in np.linspace(0, 1, candidates + 1):
        scale = strength**alpha
        scale = scale / np.sqrt(scale.max() * scale.min())
        scaled = (weight * scale).astype(np.float32).reshape(len(weight), -1, 8)
        step = np.abs(scaled).max(2, keepdims=True) / np.float32(3)
        rounded = (np.round(scaled / step).clip(-3, 3) * step).reshape(weight.shape)
        error = np.square((x / scale) @ rounded.T - x @ weight.T).sum()
        if error < least:
            best, least = scale, error
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_scale_is_the_best_of_those_tried(seed):
    model, x = strong_channels(seed)
    with torch.no_grad():
        model[0].bias.fill_(0.3)  # no channel is dead
        scaled, read = scale_salient(model, GROUPS, x), model[:2](x)
    expected = grid_search(model[2].weight.detach().numpy(), read.numpy(), 20)
    found = (model[0].weight / scaled[0].weight)[:, 0].detach().numpy()
    assert np.allclose(found, expected, rtol=1e-6)
    assert found.max() > 1.5  # it found something to do


@pytest.mark.parametrize("fmt", [GROUPS, CHANNELS], ids=lambda fmt: fmt.label)
@pytest.mark.parametrize("observer", [min_max, mse])
def test_strong_channels_lose_less(fmt, observer):
    # of one layer: what is searched for is its own output. A whole model of them may still be worse
    model, x = strong_channels()
    model, second = model[:3].eval(), lambda name, module: name == "2"
    rounded = awq(model, fmt, x, where=second, observer=observer)
    nearest = quantize_weights(model, fmt, second, observer)
    wanted = model(x)
    assert (rounded(x) - wanted).square().mean() < (nearest(x) - wanted).square().mean()


def test_no_second_layer_of_a_trained_model_is_worse():
    model, x = fold_batch_norm(zoo.load("small_cnn")), data.fashion().train.first(50).images
    layers = {pair.second: model.get_submodule(pair.second) for pair in find_pairs(model)}
    moments = second_moments_of(model, x, layers)
    scaled = scale_salient(model, CHANNELS, x)
    for pair in find_pairs(model):
        layer, after = layers[pair.second], scaled.get_submodule(pair.second).weight
        nearest = output_error(layer.weight, quantize(layer.weight, CHANNELS).dequantize(), moments[pair.second])
        moments_after = second_moments_of(scaled, x, {pair.second: scaled.get_submodule(pair.second)})[pair.second]
        error = output_error(after, quantize(after, CHANNELS).dequantize(), moments_after)
        assert error <= nearest * (1 + 1e-4)  # float32 outputs of other weights, a rounding that may tip


def test_a_depthwise_layer_has_nothing_to_gain():
    # each of its rows reads one channel, so a scale of the channel scales the row and its grid alike
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4)).double().eval()
    x = torch.randn(5, 1, 9, 9, dtype=torch.float64)
    rounded, nearest = awq(model, CHANNELS, x), quantize_weights(model, CHANNELS)
    assert torch.allclose(rounded(x), nearest(x), rtol=1e-5, atol=1e-6)


def test_formats_by_name_and_layers_left_out():
    model, x = strong_channels()
    rounded = awq(model, {"2": 3, "4": 16}, x, where=lambda name, module: name in ("2", "4"))
    assert isinstance(rounded[0], nn.Linear) and rounded[2].weight_fmt.bits == 3
    assert torch.equal(quantize_weights(model, {"0": 8}, lambda name, module: name == "0")[2].weight, model[2].weight)


def test_what_is_refused_says_why():
    model, x = strong_channels()
    with pytest.raises(ValueError, match="candidates must be a whole number of 1 or more, got 0"):
        awq(model, GROUPS, x, candidates=0)
    with pytest.raises(ValueError, match=r"none of the chosen layers \(0\) follows a layer that could scale"):
        awq(model, GROUPS, x, where=lambda name, module: name == "0")
    with pytest.raises(ValueError, match="the model is in training mode"):
        awq(strong_channels()[0].train(), GROUPS, x)
    with pytest.raises(ValueError, match="layer '2': group_size 48 does not divide"):
        awq(model, {"0": 8, "2": IntFormat(4, granularity=PerGroup(48)), "4": 8}, x)
    with pytest.raises(ValueError, match="calibration batch 0 holds NaN"):
        awq(model, GROUPS, x * torch.nan)
    model[2].weight.data[0, 0] = torch.inf
    with pytest.raises(ValueError, match="layer '2': weight holds 1 NaN or infinite"):
        awq(model, GROUPS, x)
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    tied[2].weight = tied[0].weight
    with pytest.raises(ValueError, match="layer '0' shares its weight with '2'"):
        awq(tied, CHANNELS, torch.ones(3, 4))
