"""SmoothQuant: the same outputs, maxima that meet as the formula says, and what it does for planted outliers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mini_lib import data, zoo
from mini_lib.fit import predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    IntFormat,
    LayerPair,
    PerChannel,
    find_pairs,
    quantize_weights_and_activations,
    rescaled,
    smooth,
)


def images(count: int = 40) -> torch.Tensor:
    return data.fashion().train.first(count).images


def with_flatten() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=3),
        nn.ReLU(),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(36, 6),
        nn.ReLU(),
        nn.Linear(6, 2),
    ).eval()


def grouped() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4)
    ).eval()


MODELS = {
    "small_cnn": lambda: fold_batch_norm(zoo.load("small_cnn")),
    "depthwise_cnn": lambda: fold_batch_norm(zoo.load("depthwise_cnn")),
    "lenet_300_100": lambda: zoo.load("lenet_300_100"),
    "flatten": with_flatten,
    "groups": grouped,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_float_output_stays_as_it_was(name, strength):
    model, x = MODELS[name]().double(), images().double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    smoothed = smooth(model, x, strength=strength)
    difference = (smoothed(x) - model(x)).abs().max() / model(x).abs().max()
    assert difference <= 1e-9
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert any(not torch.equal(before[key], value) for key, value in smoothed.state_dict().items())


def maxima(model: nn.Module, pair: LayerPair, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """max|X_j| and max|W_j| of each channel j between two layers, by a walk through inputs and weights."""
    seen = []
    layer = model.get_submodule(pair.second)
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model(x)
    hook.remove()
    channels = len(model.get_submodule(pair.first).weight)
    inputs = seen[0].abs().reshape(len(x), channels, -1).amax(dim=(0, 2))
    groups, weights = getattr(layer, "groups", 1), []
    each = layer.weight.shape[1] * groups // channels
    for channel in range(channels):
        group, place = divmod(channel * each, layer.weight.shape[1])
        rows = layer.weight[len(layer.weight) // groups * group : len(layer.weight) // groups * (group + 1)]
        weights.append(rows[:, place : place + each].abs().max())
    return inputs, torch.stack(weights)


@pytest.mark.parametrize("name", ["small_cnn", "flatten", "groups"])
@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_the_maxima_meet_as_the_formula_says(name, strength):
    # After it |X_j| is |X_j|^(1 - a) |W_j|^(1 - a) and |W_j| is |X_j|^a |W_j|^a. A layer in the middle of a chain also
    # has its rows divided, by the next pair, so only the last of a chain shows its own columns.
    model, x = MODELS[name]().double(), images().double()
    pairs, smoothed = find_pairs(model), smooth(model, x, strength=strength)
    for pair in pairs:
        inputs, weights = maxima(model, pair, x)
        after, weights_after = maxima(smoothed, pair, x)
        alive = (inputs > 0) & (weights > 0)
        expected = torch.where(alive, (inputs * weights) ** (1 - strength), inputs)
        assert torch.allclose(after, expected, rtol=1e-9)
    assert torch.allclose(weights_after[alive], ((inputs * weights) ** strength)[alive], rtol=1e-9)


def test_batches_are_one_calibration_set():
    model, x = MODELS["small_cnn"](), images(30)
    whole, parts = smooth(model, x), smooth(model, [x[:7], x[7:]])
    # the convolutions round batches of other sizes in other ways, by a few units of 2^-24
    for one, other in zip(whole.parameters(), parts.parameters()):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_it_repairs_planted_outliers():
    splits = data.fashion()
    model, held_out = MODELS["small_cnn"](), splits.validation.first(300)
    factors = torch.ones(64).index_fill_(0, torch.arange(0, 64, 16), 1 / 50)  # 4 channels become 50 times as large
    planted = rescaled(model, {LayerPair("conv3", "conv4"): factors})
    weights, activations = IntFormat(8, granularity=PerChannel(0)), IntFormat(6, symmetric=False, signed=False)

    def loss(net: nn.Module) -> float:
        small = quantize_weights_and_activations(net, weights, activations, images(100))
        return F.cross_entropy(predict(small, held_out.images), held_out.labels).item()

    plain, smoothed = loss(planted), loss(smooth(planted, images(100)))
    assert plain > 1.5 * loss(model) and smoothed < 1.1 * loss(model)


def test_what_is_refused_says_why():
    model, x = MODELS["small_cnn"](), images(4)
    for strength in (-0.1, 1.5):
        with pytest.raises(ValueError, match=rf"strength must lie in \[0, 1\], got {strength}"):
            smooth(model, x, strength=strength)
    with pytest.raises(ValueError, match="fold it first with fold_batch_norm"):
        smooth(zoo.load("small_cnn"), x)
    with pytest.raises(ValueError, match="the model is in training mode"):
        smooth(MODELS["small_cnn"]().train(), x)
    with pytest.raises(ValueError, match="calibration batch 0 holds NaN"):
        smooth(model, x * torch.nan)
    with pytest.raises(ValueError, match="no two layers follow each other"):
        smooth(nn.Sequential(nn.Linear(2, 2)).eval(), torch.ones(1, 2))
    with pytest.raises(ValueError, match="GELU '1' stands between"):
        smooth(nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)).eval(), torch.ones(1, 2))
    parametrize.register_parametrization(model.conv3, "weight", nn.Identity().eval())
    model.eval()
    with pytest.raises(ValueError, match="the range of layer 'conv3' cannot be moved: its weight is masked"):
        smooth(model, x)
    model = MODELS["small_cnn"]()
    model.linear.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="a weight or bias holds NaN or infinity"):
        smooth(model, x)
