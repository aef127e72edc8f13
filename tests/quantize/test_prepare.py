"""A model made ready for training at few bits: it starts at post-training quantization, and trains with fit."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from mini_lib import data, zoo
from mini_lib.fit import fit, predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    PACT,
    UNSIGNED_8_BITS,
    BinaryFormat,
    CodebookFormat,
    FakeQuantConv2d,
    FakeQuantLinear,
    FloatFormat,
    IntFormat,
    NF4Format,
    PerChannel,
    TernaryFormat,
    min_max,
    mse,
    prepare,
    quantize_weights,
    quantize_weights_and_activations,
    rung,
)

PICTURES = data.fashion().train.first(64)
IMAGES = PICTURES.images


@pytest.fixture
def model() -> nn.Module:
    return zoo.load("small_cnn", seed=0)


def changed(before: nn.Module, after: nn.Module) -> set[str]:
    """The names of the parameters that are not what they were."""
    old = dict(before.named_parameters())
    return {name for name, new in after.named_parameters() if not torch.equal(new, old[name])}


@pytest.mark.parametrize("observer", [min_max, mse], ids=lambda observer: observer.__name__)
@pytest.mark.parametrize("fmt", [rung(8), rung(2), rung(1), CodebookFormat(2)], ids=lambda fmt: fmt.label)
def test_untrained_it_predicts_what_post_training_quantization_does(model, fmt, observer):
    ready = prepare(model, fmt, observer=observer)
    assert torch.equal(predict(ready, IMAGES), predict(quantize_weights(model, fmt, observer=observer), IMAGES))


@pytest.mark.parametrize("method", ["lsq", "ste"])
def test_with_activations_too(model, method):
    model = fold_batch_norm(model)
    ready = prepare(
        model, rung(4), activations=UNSIGNED_8_BITS, method=method, calibration=IMAGES.split(20), observer=min_max
    )
    after = quantize_weights_and_activations(model, rung(4), UNSIGNED_8_BITS, IMAGES)
    assert torch.equal(predict(ready, IMAGES), predict(after, IMAGES))


def test_pact_starts_where_the_observer_says(model):
    model = fold_batch_norm(model)
    grids = lambda pact: lambda name, _: None if name == "conv1" else pact  # noqa: E731 (pictures go below 0)
    ready = prepare(model, rung(8), activations=grids(PACT(4)), calibration=IMAGES)
    other = prepare(model, rung(8), activations=grids(IntFormat(4, signed=False)), calibration=IMAGES)
    assert ready.conv1.input_grid is None and ready.conv2.input_grid is not ready.conv3.input_grid
    # the clip is 15 steps, and a fifteenth of it again the step, up to two roundings
    assert ready.conv2.input_grid.scale.item() == pytest.approx(other.conv2.input_grid.step().item(), rel=2 * 2**-24)


@pytest.mark.parametrize("method", ["lsq", "ste"])
def test_fit_moves_all_that_is_to_be_learned_and_nothing_else(model, method):
    formats = {"conv1": 8, "conv2": IntFormat(3, symmetric=False), "conv3": TernaryFormat(PerChannel()), "conv4": 1}
    activations = {"conv1": UNSIGNED_8_BITS, "conv2": PACT(4), "conv3": IntFormat(4, signed=False)}
    ready = prepare(
        model,
        formats | {"linear": CodebookFormat(2)},
        activations=lambda name, _: activations.get(name),
        method=method,
        calibration=IMAGES,
    )
    before = {name: value.clone() for name, value in ready.state_dict().items()}
    trained = fit(ready, PICTURES, PICTURES, epochs=1, seed=0, learning_rate=0.001, batch_size=32).model
    assert all(torch.equal(value, before[name]) for name, value in ready.state_dict().items())  # the argument stays
    moved = {f"{conv}.fake_weight.latent" for conv in ("conv1", "conv2", "conv3", "conv4")}
    moved |= {"linear.fake_weight.centroids", "linear.bias", "conv2.input_grid.clip"}
    moved |= {f"conv{n}_bn.{name}" for n in (1, 2, 3, 4) for name in ("weight", "bias")}
    if method == "lsq":
        moved |= {f"conv{n}.fake_weight.step.growth" for n in (1, 2, 3, 4)}
        moved |= {f"conv{n}.input_grid.step.growth" for n in (1, 3)}
    assert changed(ready, trained) == moved
    assert trained.conv1.weight.unique().numel() > 3 and trained.linear.weight.unique().numel() == 4
    for channel in trained.conv4.weight:
        assert channel.unique().numel() == 2


def test_where_and_formats_choose_by_name(model):
    ready = prepare(model, lambda name, _: rung(8 if name == "conv1" else 2), where=lambda name, _: name != "linear")
    kinds = {name: type(module) for name, module in ready.named_children() if "_" not in name}
    assert [kinds[f"conv{n}"] for n in (1, 2, 3, 4)] == 4 * [FakeQuantConv2d] and kinds["linear"] is nn.Linear
    assert ready.conv1.fake_weight.fmt.bits == 8 and ready.conv2.fake_weight.fmt.bits == 2
    assert type(prepare(model, rung(4)).linear) is FakeQuantLinear
    with pytest.raises(ValueError, match="'conv9', which is not among the chosen layers"):
        prepare(model, {"conv9": 2})


def test_a_layer_that_runs_under_two_names_stays_one():
    shared = nn.Linear(3, 3)
    ready = prepare(nn.Sequential(shared, nn.ReLU(), shared), rung(4))
    assert ready[0] is ready[2]


def test_a_grouped_convolution_and_its_mode_are_kept():
    conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, dilation=2, groups=2).eval()
    ready = prepare(nn.Sequential(conv), rung(8), observer=min_max)
    x = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ready(x), quantize_weights(nn.Sequential(conv), rung(8))(x)) and not ready[0].training


def masked_by_torch(model):
    prune.l1_unstructured(model.conv2, "weight", amount=0.5)


def masked_by_a_parametrization(model):
    parametrize.register_parametrization(model.conv2, "weight", nn.Identity())


def tied(model):
    model.conv4.weight = nn.Parameter(torch.zeros(64, 64, 3, 3))
    model.add_module("again", nn.Conv2d(64, 64, 3))
    model.again.weight = model.conv4.weight


def with_nan(model):
    model.conv2.weight.data[0, 0, 0, 0] = torch.nan


@pytest.mark.parametrize(
    "spoil, message",
    [
        (masked_by_torch, "layer 'conv2': its weight is masked, .*with baked"),
        (masked_by_a_parametrization, "layer 'conv2': its weight is masked"),
        (tied, "layer 'conv4' shares its weight with 'again', which would be trained as two; give each its own"),
        (lambda model: model.half(), "layer 'conv1' holds torch.float16; training needs float32: call model.float()"),
        (lambda model: model.bfloat16(), "layer 'conv1' holds torch.bfloat16; training needs float32"),
        (with_nan, "layer 'conv2': the weight holds 1 NaN or infinite"),
    ],
)
def test_models_that_cannot_be_trained_so_are_refused(model, spoil, message):
    spoil(model)
    with pytest.raises(ValueError, match=message):
        prepare(model, rung(4))


@pytest.mark.parametrize("fmt", [FloatFormat(), FloatFormat(torch.bfloat16), NF4Format(8)], ids=lambda fmt: fmt.label)
def test_formats_without_training_are_refused_by_name(model, fmt):
    with pytest.raises(ValueError, match=f"layer 'conv1': no training is known for {fmt.label}; .*leave the layer out"):
        prepare(model, fmt)


def test_other_bad_arguments_are_refused(model):
    with pytest.raises(ValueError, match="method must be 'lsq' or 'ste', got 'pact'"):
        prepare(model, rung(4), method="pact")
    with pytest.raises(ValueError, match="where chooses none of the layers with a float weight"):
        prepare(model, rung(4), where=lambda *_: False)
    with pytest.raises(TypeError, match="fmt must be a format such as IntFormat"):
        prepare(model, 4)
    circular = nn.ModuleDict({"conv1": nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")})
    with pytest.raises(ValueError, match="layer 'conv1': a fake-quant convolution pads with zeros, not 'circular'"):
        prepare(circular, rung(4))


def test_bad_activations_and_calibration_are_refused(model):
    with pytest.raises(ValueError, match="the first grids of activations come from calibration data"):
        prepare(model, rung(4), activations=PACT(4))
    with pytest.raises(ValueError, match="the input of layer 'conv1': an unsigned symmetric grid has no negative code"):
        prepare(model, rung(4), activations=PACT(4), calibration=IMAGES)
    with pytest.raises(ValueError, match="calibration batch 0 holds NaN or infinity"):
        prepare(model, rung(4), activations=UNSIGNED_8_BITS, calibration=IMAGES * torch.nan)
    with pytest.raises(ValueError, match="is in training mode"):
        prepare(model.train(), rung(4), activations=UNSIGNED_8_BITS, calibration=IMAGES)
    for choice in (rung(4), BinaryFormat(), 8, lambda name, _: FloatFormat()):
        with pytest.raises(ValueError, match="layer 'conv1': an activation needs an IntFormat with one scale per tens"):
            prepare(model.eval(), rung(4), activations=choice, calibration=IMAGES)


def test_a_layer_that_never_runs_has_no_input_grid():
    model = nn.Sequential(nn.Linear(2, 2)).eval()
    model.spare = nn.Linear(2, 2)
    model.forward = lambda x: model[0](x)
    with pytest.raises(ValueError, match="the input of layer 'spare': no batch has been seen"):
        prepare(model.eval(), rung(4), activations=UNSIGNED_8_BITS, calibration=torch.ones(3, 2))


def test_a_frozen_layer_stays_frozen():
    model = nn.Sequential(nn.Linear(2, 2)).requires_grad_(False)
    for fmt in (IntFormat(4), BinaryFormat(), CodebookFormat(2)):
        assert not [name for name, each in prepare(model, fmt).named_parameters() if each.requires_grad]


def test_a_bias_that_is_masked_or_not_finite_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    prune.l1_unstructured(model[0], "bias", amount=1)
    with pytest.raises(ValueError, match="layer '0': its bias is masked"):
        prepare(model, IntFormat(4))
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].bias.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="layer '0': the bias holds NaN or infinity; find out where they come from"):
        prepare(model, IntFormat(4))
