"""Bias correction: by hand, the means it promises, and what it refuses."""

import pytest
import torch
from torch import nn

from mini_lib import data, zoo
from mini_lib.fit import accuracy
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import IntFormat, PerTensor, file_bytes, quantize, rung
from mini_lib.quantize.bias_correction import correct_bias
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights, quantize_weights_and_activations

SMALL = IntFormat(3, granularity=PerTensor())


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=6, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    ).eval()


def images(count: int = 20, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def channel_means(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The mean output of every channel of every layer with weights, run one module at a time."""
    means = []
    for module in model:
        x = module(x)
        if not isinstance(module, (nn.ReLU, nn.AdaptiveAvgPool2d, nn.Flatten)):
            means.append(x.double().mean([axis for axis in range(x.dim()) if axis != 1]))
    return means


def test_one_layer_worked_by_hand():
    # The grid up to 7 has step 1: 2.4 becomes 2 and -0.6 becomes -1. With mean inputs 10 and 5 the output loses
    # 0.4 * 10 + 0.4 * 5 = 6, which is added to the bias of 1.
    model = nn.Sequential(nn.Linear(3, 1)).eval()
    model[0].weight.data = torch.tensor([[2.4, -0.6, 7.0]])
    model[0].bias.data = torch.tensor([1.0])
    x = torch.tensor([[8.0, 4.0, 1.0], [12.0, 6.0, 3.0]])
    corrected = correct_bias(model, quantize_weights(model, IntFormat(4)), x)
    # Outputs of about 40 are rounded to 2**-24 of that, a few times: 40 * 2**-22 = 1e-5.
    assert corrected[0].bias.item() == pytest.approx(7.0, abs=1e-5)


def test_the_shift_of_the_first_layer_is_the_weight_error_times_the_mean_input(model):
    # Nagel 2019, section 4.2: E[y~] - E[y] = (W~ - W) * E[x], with the mean taken over the windows that are read.
    x = images()
    corrected = correct_bias(model, quantize_weights(model, SMALL), x)
    error = quantize(model[0].weight, SMALL).dequantize().double() - model[0].weight.double()
    mean_window = nn.functional.unfold(x.double(), 3).mean(dim=(0, 2))
    expected = model[0].bias.double() - error.flatten(1) @ mean_window
    # 9 products of numbers below 1, and a bias below 1: 10 * 2**-24.
    assert (corrected[0].bias.double() - expected).abs().max() <= 10 * 2**-24


@pytest.mark.parametrize("activations", [False, True])
def test_afterwards_all_means_agree(model, activations):
    x = images()
    if activations:
        fmt = IntFormat(4, symmetric=False, signed=False)
        small = quantize_weights_and_activations(model, SMALL, fmt, x)
    else:
        small = quantize_weights(model, SMALL)
    corrected = correct_bias(model, small, x)
    wanted = channel_means(model, x)
    for index, (before, after) in enumerate(zip(channel_means(small, x), channel_means(corrected, x), strict=True)):
        shift = (before - wanted[index]).abs().max()
        # Outputs below 1 and sums of at most 9 products, so 10 * 2**-24 each, and the same for the bias.
        assert (after - wanted[index]).abs().max() <= 20 * 2**-24 < shift / 100


def test_later_layers_are_corrected_for_what_earlier_ones_leave(model):
    # Correcting all layers at once, each by what is seen before any is corrected, would count shifts twice.
    x = images()
    small = quantize_weights(model, SMALL)
    wanted, seen = channel_means(model, x), channel_means(small, x)
    in_order = correct_bias(model, small, x)
    at_once = small[6].bias.double() - (seen[2] - wanted[2])
    assert (in_order[6].bias.double() - at_once).abs().max() > 1e-3


def test_what_it_does_for_a_trained_model():
    # Over the three checkpoints, 3 bits with one grid a channel gain 10 to 14 points, and no byte.
    model = fold_batch_norm(zoo.load("small_cnn", seed=0))
    splits = data.fashion()
    validation = splits.validation.first(500)
    small = quantize_weights(model, rung(3))
    corrected = correct_bias(model, small, splits.train.first(100).images)
    assert accuracy(corrected, validation) > accuracy(small, validation) + 0.05
    assert file_bytes(corrected) == file_bytes(small)


def test_a_layer_without_a_bias_gets_one_and_the_arguments_stay_as_they_are(model):
    small = quantize_weights(model, SMALL)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    corrected = correct_bias(model, small, images())
    assert small[2].bias is None and corrected[2].bias.shape == (6,)
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())
    assert torch.equal(corrected[2].weight, small[2].weight)


def test_batches_count_by_their_size(model):
    x = images()
    whole = correct_bias(model, quantize_weights(model, SMALL), x)
    parts = correct_bias(model, quantize_weights(model, SMALL), x.split(7))  # 7, 7 and 6
    for index in (0, 2, 6):
        # The convolution may add in another order: 9 products of numbers below 1, 9 * 2**-24, over three layers.
        assert (whole[index].bias - parts[index].bias).abs().max() <= 3 * 9 * 2**-24


def test_a_linear_layer_over_more_axes_has_its_channels_last():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 5)).eval()
    x = torch.rand(4, 3, 8)
    corrected = correct_bias(model, quantize_weights(model, SMALL), x)
    assert corrected[0].bias.shape == (5,)
    # Sums of 8 products below 1 and a bias below 1: 9 * 2**-24, and again for the new bias.
    assert (corrected(x) - model(x)).double().mean((0, 1)).abs().max() <= 18 * 2**-24


def test_nothing_to_correct_where_nothing_was_rounded(model):
    corrected = correct_bias(model, quantize_weights(model, rung(32)), images())
    assert torch.equal(corrected[0].bias, model[0].bias) and not corrected[2].bias.any()


def test_what_is_refused(model):
    small, x = quantize_weights(model, SMALL), images()
    with pytest.raises(ValueError, match="calibration holds no batch"):
        correct_bias(model, small, [])
    with pytest.raises(ValueError, match=r"has no quantized layer; make it with quantize_weights\(model, fmt\)"):
        correct_bias(model, model, x)
    with pytest.raises(ValueError, match="the float model has no layer '6' of that shape; pass the model"):
        correct_bias(model[:4], small, x)
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\) first"):
        correct_bias(model, quantize_weights(model, SMALL).train(), x)
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\) first"):
        correct_bias(model.train(), small, x)


def test_a_float_model_with_batch_norm_is_refused():
    float_model = zoo.small_cnn().eval()
    small = quantize_weights_and_activations(
        fold_batch_norm(float_model), rung(4), UNSIGNED_8_BITS, torch.zeros(1, 1, 28, 28)
    )
    with pytest.raises(ValueError, match=r"'conv1_bn' of the float model is not folded.*pass fold_batch_norm\(model\)"):
        correct_bias(float_model, small, torch.zeros(1, 1, 28, 28))
