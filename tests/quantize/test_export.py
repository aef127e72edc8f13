"""Exported models: packed, and to the last bit what was trained."""

import pytest
import torch
from torch import nn

from mini_lib import data, measure, zoo
from mini_lib.fit import fit, predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    PACT,
    UNSIGNED_8_BITS,
    BinaryFormat,
    CodebookFormat,
    IntFormat,
    PerChannel,
    PerGroup,
    QuantizedConv2d,
    QuantizedLinear,
    TernaryFormat,
    export,
    freeze_batch_norm,
    load_model,
    prepare,
    quantize_weights,
    rung,
    save_model,
)

SPLITS = data.fashion()
PICTURES = SPLITS.train.first(96)
OTHERS = SPLITS.validation.first(60)
HALF = torch.float16


def after_a_few_steps(ready: nn.Module) -> nn.Module:
    return fit(ready, PICTURES, PICTURES.first(32), epochs=1, seed=0, learning_rate=0.01, batch_size=32).model


def grids(name: str, layer: nn.Module):
    return {"conv1": UNSIGNED_8_BITS, "conv2": PACT(4), "conv3": IntFormat(4, signed=False, scale_dtype=HALF)}.get(name)


FORMATS = {
    "8": rung(8),
    "4 affine, bf16 scales": IntFormat(4, symmetric=False, scale_dtype=torch.bfloat16),
    "3 per channel": rung(3),
    "2 per tensor": IntFormat(2),
    "2 affine": IntFormat(2, symmetric=False, granularity=PerChannel(1)),
    "ternary, fp16 scales": TernaryFormat(PerChannel(), HALF),
    "binary": BinaryFormat(),
    "codebook": CodebookFormat(2, codebook_dtype=HALF),
    "mixed": {"conv1": 8, "conv2": IntFormat(4, granularity=PerGroup(16)), "conv3": 2, "conv4": 1, "linear": 3},
}


@pytest.mark.parametrize("method", ["lsq", "ste"])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_it_predicts_the_same_to_the_last_bit_also_from_a_file(fmt, method, tmp_path):
    trained = after_a_few_steps(prepare(zoo.load("small_cnn"), fmt, method=method))
    exported = export(trained)
    logits = predict(trained, OTHERS.images)
    assert torch.equal(predict(exported, OTHERS.images), logits)
    save_model(exported, tmp_path / "few_bits.safetensors")
    assert torch.equal(predict(load_model(tmp_path / "few_bits.safetensors", zoo.small_cnn), OTHERS.images), logits)
    like = quantize_weights(zoo.load("small_cnn"), fmt)  # has the same formats, so the same bytes
    assert measure.stored_bytes(exported) == measure.stored_bytes(like)


@pytest.mark.parametrize("kind", ["folded", "frozen", "live"])
def test_inputs_on_learned_grids_too(kind, tmp_path):
    make = {"folded": fold_batch_norm, "frozen": freeze_batch_norm, "live": lambda model: model}[kind]
    model = make(zoo.load("small_cnn"))
    trained = after_a_few_steps(prepare(model, rung(4), activations=grids, calibration=PICTURES.images))
    exported = export(trained)
    logits = predict(trained, OTHERS.images)
    assert torch.equal(predict(exported, OTHERS.images), logits)
    assert exported.conv3.input_scale == exported.conv3.input_scale.half().float()  # as its format says
    save_model(exported, tmp_path / "few_bits.safetensors")
    assert torch.equal(predict(load_model(tmp_path / "few_bits.safetensors", zoo.small_cnn), OTHERS.images), logits)


def test_layers_keep_how_they_run_and_what_is_left_in_float():
    model = nn.Sequential(
        nn.Conv2d(4, 8, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(3),
        nn.Linear(3, 2),
    )
    x = torch.randn(5, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    model(x)
    trained = prepare(model, rung(4), where=lambda name, _: name != "4").eval()
    exported = export(trained)
    assert [type(layer) for layer in exported] == [QuantizedConv2d, nn.ReLU, nn.Flatten, QuantizedLinear, nn.Linear]
    assert torch.equal(exported(x), trained(x)) and exported[0].bias is None and not exported[0].training
    trained[4].weight.data.zero_()
    assert exported[4].weight.any()  # a copy


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda layer: layer.fake_weight.latent.data.fill_(torch.nan), "layer 'linear': fake_weight.latent holds NaN"),
        (lambda layer: layer.bias.data.fill_(torch.inf), "layer 'linear': bias holds NaN or infinity"),
        (lambda layer: layer.fake_weight.step.growth.data.fill_(200.0), "layer 'linear': a trained step is inf to inf"),
        (lambda layer: layer.fake_weight.step.growth.data.fill_(-200.0), "layer 'linear': a trained step is 0 to 0"),
        (lambda layer: layer.input_grid.clip.data.fill_(-1.0), "layer 'linear': the trained clip is -1, not positive"),
    ],
)
def test_what_training_ruined_is_not_exported(spoil, message):
    model = nn.Sequential()
    model.add_module("linear", nn.Linear(2, 2))
    trained = prepare(model.eval(), rung(4), activations=PACT(4), calibration=torch.rand(4, 2))
    export(trained)
    spoil(trained.linear)
    with pytest.raises(ValueError, match=message):
        export(trained)


def test_a_scale_that_its_dtype_cannot_hold_is_not_exported():
    trained = prepare(nn.Sequential(nn.Linear(2, 2)), IntFormat(4, scale_dtype=HALF))
    trained[0].fake_weight.step.growth.data.fill_(20.0)  # e^20 is 4.9e8, and fp16 ends at 65,504
    with pytest.raises(ValueError, match="layer '0': a trained step is inf to inf.*or use scale_dtype=torch.float32"):
        export(trained)
    trained = prepare(nn.Sequential(nn.Linear(2, 2)), CodebookFormat(1, codebook_dtype=HALF))
    trained[0].fake_weight.centroids.data.fill_(1e6)
    with pytest.raises(ValueError, match="layer '0': a centroid is as large as 1e\\+06"):
        export(trained)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="the model has no fake-quant layer; make them with prepare"):
        export(zoo.small_cnn())


def test_batch_norm_cannot_be_folded_into_a_layer_in_training():
    with pytest.raises(ValueError, match="cannot fold batch norm 'conv1_bn'|cannot follow the forward"):
        fold_batch_norm(prepare(zoo.load("small_cnn"), rung(2)))
    with pytest.raises(ValueError, match="cannot fold batch norm 'conv1_bn' into QuantizedConv2d 'conv1'"):
        fold_batch_norm(export(prepare(zoo.load("small_cnn"), rung(2))))
