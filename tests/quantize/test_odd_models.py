"""Odd models: each transformation keeps what the model computes, or refuses it by name. None changes it silently."""

import contextlib
import copy
import types
import warnings
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune

from mini_lib.data import Split
from mini_lib.fold import fold_batch_norm
from mini_lib.measure import parameters, stored_bytes
from mini_lib.quantize import (
    UNSIGNED_8_BITS,
    IntFormat,
    PerTensor,
    Trials,
    adaround,
    awq,
    correct_bias,
    deploy,
    equalize,
    export,
    freeze_batch_norm,
    gptq,
    pack_for_speed,
    prepare,
    quantize_weights,
    quantize_weights_and_activations,
    reestimate_batch_norm,
    rung,
    scale_salient,
    sensitivity_by_hessian,
    sensitivity_by_kl,
    sensitivity_by_output,
    sensitivity_by_weight,
    smooth,
    to_integers,
    with_integer_biases,
)

IMAGES = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
FINE = IntFormat(16, symmetric=False, signed=False, granularity=PerTensor())


def plain() -> nn.Sequential:
    """Two layers of one shape after a convolution: the oddities happen to `fc2`, to `conv` or to the whole."""
    torch.manual_seed(0)
    layers = OrderedDict(
        conv=nn.Conv2d(1, 8, 3),
        act=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        fc1=nn.Linear(8, 8),
        act1=nn.ReLU(),
        fc2=nn.Linear(8, 8),
    )
    return nn.Sequential(layers).eval()


# --- what is odd ---------------------------------------------------------------------------------------------------


class Twice(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


class TwiceConv(nn.Conv2d):
    def _conv_forward(self, *arguments):
        return 2 * super()._conv_forward(*arguments)


class Named(nn.Linear):
    """A subclass that computes what nn.Linear does."""

    def extra_repr(self):
        return "named"


class Reads(nn.Module):
    """Code that reads its layers: their weight, their sizes, their input by name."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body, self.fc2 = body[:-1], body.fc2

    def forward(self, x):
        x = self.body(x)
        assert (self.fc2.in_features, self.fc2.out_features) == (8, 8)
        return self.fc2(input=x) + F.linear(x, self.fc2.weight, self.fc2.bias)


class Attends(nn.Module):
    """Attention reads its output layer and never calls it."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body, self.attention = body, nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.body(x)[:, None]
        return self.attention(x, x, x)[0]


class Tables(nn.Module):
    """A table of embeddings that is the weight of the last layer too."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body, self.table = body, nn.Embedding(8, 8)
        self.table.weight = body.fc2.weight

    def forward(self, x):
        return self.body(x) + self.table(torch.zeros(len(x), dtype=torch.long))


def on(name, change):
    """An oddity that is done to one layer."""

    def odd(model):
        change(model.get_submodule(name))
        return model

    return odd


def instead(name, kind, *sizes):
    """An oddity that puts a layer of another class in the place of one."""

    def odd(model):
        new = kind(*sizes).eval()
        new.load_state_dict(model.get_submodule(name).state_dict())
        setattr(model, name, new)
        return model

    return odd


def twice_the_output(layer):
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)


def twice_the_input(layer):
    layer.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))


def one_more(layer):
    layer.register_forward_hook(lambda module, inputs, output: output + 1)


def patched(layer):
    forward = layer.forward
    layer.forward = lambda *inputs: 2 * forward(*inputs)


def bound(layer):
    layer.forward = types.MethodType(lambda self, x: 2 * type(self).forward(self, x), layer)


def masked(layer):
    prune.l1_unstructured(layer, "weight", amount=0.5)


def tied(model):
    model.fc2.weight = model.fc1.weight
    return model


def bias_tied(model):
    model.fc2.bias = model.fc1.bias
    return model


def shared(model):
    model.fc2 = model.fc1
    return model


def old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.nn.utils.weight_norm(layer)


ODD = {
    "plain": lambda model: model,
    "hook": on("fc2", twice_the_output),
    "hook on conv": on("conv", twice_the_output),
    "pre-hook": on("fc2", twice_the_input),
    "hook between": on("act1", one_more),
    "hook on the model": on("", twice_the_output),
    "pre-hook on the model": on("", twice_the_input),
    "patched": on("fc2", patched),
    "bound": on("fc2", bound),
    "patched model": on("", patched),
    "bound model": on("", bound),
    "subclass": instead("fc2", Twice, 8, 8),
    "subclass of conv": instead("conv", TwiceConv, 1, 8, 3),
    "subclass that changes nothing": instead("fc2", Named, 8, 8),
    "read": Reads,
    "attention": Attends,
    "tied": tied,
    "tied to a table": Tables,
    "bias tied": bias_tied,
    "shared": shared,
    "masked": on("fc2", masked),
    "masked conv": on("conv", masked),
    "weight norm": on("fc2", parametrizations.weight_norm),
    "old weight norm": on("fc2", old_weight_norm),
    "spectral norm": on("fc2", parametrizations.spectral_norm),
    "float64": lambda model: model.double(),
    "bfloat16": lambda model: model.bfloat16(),
    "float16": lambda model: model.half(),
    "complex": on("fc2", lambda layer: layer.to(torch.complex64)),
    "training": lambda model: model.train(),
    "lazy": lambda model: setattr(model, "fc2", nn.LazyLinear(8)) or model,
    "meta": on("fc2", lambda layer: layer.to("meta")),
    "scripted": lambda model: torch.jit.script(model),
}  # fmt: skip
ALWAYS = ("plain", "subclass that changes nothing", "float64")  # models that hinder nobody
NEVER = ("lazy", "meta", "complex")  # models that cannot be run


def odd(name: str, model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ODD[name](model)


# --- what is done to it --------------------------------------------------------------------------------------------


def few_images(model: nn.Module) -> torch.Tensor:
    return IMAGES.to(next(model.parameters()).dtype)


def in_trials(model: nn.Module):
    trials = Trials(model, [15])
    return lambda x: trials.logits(dict.fromkeys(trials.layers, 15), x)


# What each may move an output by, as a share of the largest. Codes of 16 bits are off by 2**-17 of the largest weight
# of a layer, of 8 bits by 2**-9, and a layer adds up dozens of products.
KEEPS = {
    "quantize_weights": (lambda model: quantize_weights(model, IntFormat(16)), 1e-3),
    "and activations": (
        lambda model: quantize_weights_and_activations(model, IntFormat(16), FINE, few_images(model)), 1e-3),
    "gptq": (lambda model: gptq(model, IntFormat(16), few_images(model)), 1e-3),
    "adaround": (lambda model: adaround(model, IntFormat(16), few_images(model), steps=1), 1e-3),
    "awq": (lambda model: awq(model, IntFormat(16), few_images(model), candidates=1), 1e-3),
    "scale_salient": (lambda model: scale_salient(model, IntFormat(3), few_images(model), candidates=1), 1e-5),
    "smooth": (lambda model: smooth(model, few_images(model)), 1e-5),
    "equalize": (equalize, 1e-5),
    "prepare": (lambda model: prepare(model, IntFormat(16), method="ste"), 1e-3),
    "prepare activations": (
        lambda model: prepare(model, IntFormat(16), activations=FINE, calibration=few_images(model)), 1e-3),
    "deploy": (lambda model: deploy(model, {"conv": 8, "fc1": 8, "fc2": 8}), 0.05),
    "deploy in float": (lambda model: deploy(model, {}), 0.0),
    "fold": (fold_batch_norm, 1e-5),
    "Trials": (in_trials, 1e-3),
}  # fmt: skip


def outcome(transform, model: nn.Module, tolerance: float) -> str:
    """ "kept", or the message of a refusal."""
    training = model.training
    x = few_images(model)
    with torch.no_grad():
        wanted = copy.copy(model)(x)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        new = transform(model)
    except (ValueError, TypeError) as error:
        return str(error)
    assert model.training == training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items()), "argument changed"
    with torch.no_grad():
        off = (new(x) - wanted).abs().max() / wanted.abs().max()
    rounding = 0 if x.dtype in (torch.float32, torch.float64) else 8 * torch.finfo(x.dtype).eps
    assert off <= tolerance + rounding, f"silently changed by {off:.2g}"
    return "kept"


NAMES = "conv'", "fc1'", "fc2'", "norm'", "act1'", "model", "Sequential", "two layers"


def check(name: str, what: str, transform, model: nn.Module, tolerance: float) -> str:
    said = outcome(transform, model, tolerance)
    assert said == "kept" or any(each in said for each in NAMES), f"{what} of {name}: {said}"
    return said


@pytest.mark.parametrize("name", [name for name in ODD if name not in NEVER])
def test_a_float_model_is_kept_or_refused_by_name(name):
    for number, (what, (transform, tolerance)) in enumerate(KEEPS.items()):
        if name not in ALWAYS and (number + list(ODD).index(name)) % 3:  # the thirds go round; test_faithful has more
            continue
        said = check(name, what, transform, odd(name, plain()), tolerance)
        if name in ("plain", "subclass that changes nothing") or (name == "float64" and "prepare" not in what):
            assert said == "kept", (what, said)


@pytest.mark.parametrize("name", NEVER)
def test_a_model_that_cannot_be_run_is_refused_by_name(name):
    for what, (transform, _) in KEEPS.items():
        if "fold" not in what and "in float" not in what:  # these leave its layers as they are
            with pytest.raises((ValueError, TypeError), match="layer 'fc2'|'fc2.weight' of the model has no shape yet"):
                transform(odd(name, plain()))


def normed() -> nn.Sequential:
    """The same with batch norm after the convolution and after `fc2`."""
    model = plain()
    norms = nn.BatchNorm2d(8), nn.BatchNorm1d(8)
    for norm in norms:
        norm.running_mean.copy_(torch.rand(8)), norm.running_var.copy_(1 + torch.rand(8))
    return nn.Sequential(
        OrderedDict(conv=model.conv, norm=norms[0], **dict(model[1:].named_children()), norm2=norms[1])
    ).eval()


NORMS = {
    "norm hook": on("norm", twice_the_output),
    "norm pre-hook": on("norm", twice_the_input),
    "norm patched": on("norm", patched),
    "norm subclass": instead("norm", type("TwiceNorm", (nn.BatchNorm2d,), {
        "forward": lambda self, input: 2 * nn.BatchNorm2d.forward(self, input)}), 8),
    "norm parametrized": on("norm", lambda norm: torch.nn.utils.parametrize.register_parametrization(
        norm, "weight", nn.ReLU())),
    "norm in training": on("norm", lambda norm: norm.train()),
}  # fmt: skip
ON_NORMS = {"fold_batch_norm": (fold_batch_norm, 1e-5), "freeze_batch_norm": (freeze_batch_norm, 1e-6)}


@pytest.mark.parametrize("name", [*(name for name in ODD if name not in NEVER), *NORMS])
def test_a_model_with_batch_norm_is_kept_or_refused_by_name(name):
    for what, (transform, tolerance) in ON_NORMS.items():
        model = normed()
        model = NORMS[name](model) if name in NORMS else odd(name, model)
        if "training" not in name:  # where each batch has its own statistics, and the norm goes on learning
            said = check(name, what, transform, model, tolerance)
            assert said == "kept" or name not in ("plain", "float64", "subclass that changes nothing"), said
        elif what == "fold_batch_norm":
            with pytest.raises(ValueError, match="training mode"):
                transform(model)
    moved = NORMS[name](normed()) if name in NORMS else odd(name, normed())
    with contextlib.suppress(ValueError, TypeError), torch.no_grad():
        reestimated = reestimate_batch_norm(moved, few_images(moved))
        read = []
        hook = reestimated.get_submodule("norm").register_forward_hook(lambda module, inputs, _: read.append(inputs[0]))
        reestimated(few_images(moved))
        hook.remove()
        got, wanted = reestimated.get_submodule("norm").running_mean, read[0].double().mean(dim=(0, 2, 3))
        assert (got - wanted).abs().max() <= 1e-5 + 0.01 * (got.dtype.itemsize == 2)


# --- a model that is quantized already -----------------------------------------------------------------------------


def in_8_bits() -> nn.Module:
    return quantize_weights(plain(), rung(8))


def twin() -> nn.Module:
    return quantize_weights_and_activations(plain(), rung(8), UNSIGNED_8_BITS, IMAGES)


def in_training() -> nn.Module:
    return prepare(plain(), IntFormat(8))


def of_a_class_of_its_own(model: nn.Module) -> nn.Module:
    kind = type(model.fc2)
    model.fc2.__class__ = type("Mine", (kind,), {"forward": lambda self, input: 2 * kind.forward(self, input)})
    return model


LATER = {name: ODD[name] for name in ODD if name.startswith(("hook", "pre-hook", "patched", "bound"))} | {
    "plain": ODD["plain"], "subclass": of_a_class_of_its_own, "shared": shared,
}  # fmt: skip
# Inputs in 8 bits, one scale per image, and 8-bit codes between layers: a few hundredths of the largest output.
ON_QUANTIZED = {
    "pack_for_speed": (in_8_bits, pack_for_speed, 0.05),
    "to_integers": (twin, lambda model: to_integers(model, IMAGES), 0.05),
    "with_integer_biases": (twin, with_integer_biases, 0.02),
    "export": (in_training, export, 1e-6),
    "quantize_weights again": (in_8_bits, lambda model: quantize_weights(model, rung(4)), 0.0),
}


@pytest.mark.parametrize("name", LATER)
def test_a_quantized_model_is_kept_or_refused_by_name(name):
    model = LATER[name](plain())
    corrected = {"correct_bias": (in_8_bits, lambda small: correct_bias(model, small, IMAGES), 0.05)}
    for what, (make, transform, tolerance) in (ON_QUANTIZED | corrected).items():
        said = check(name, what, transform, LATER[name](make()), tolerance)
        if name == "plain":
            assert said == "kept" or "again" in what, (what, said)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_quantized_model_that_is_cast_computes_with_the_same_codes(dtype):
    for make in (in_8_bits, twin, lambda: to_integers(twin(), IMAGES)):
        model = make()
        stored = {name: tensor.clone() for name, tensor in model.named_buffers()}
        with torch.no_grad():
            wanted, got = model(IMAGES), model.to(dtype)(IMAGES.to(dtype))
        assert all(torch.equal(stored[name], tensor) for name, tensor in model.named_buffers())
        assert all(stored[name].dtype == tensor.dtype for name, tensor in model.named_buffers())
        # a dozen roundings to 11 or 8 bits of mantissa, each half a unit; in the twin they may move a code or two
        assert (got - wanted).abs().max() <= (12 * torch.finfo(dtype).eps + 0.02) * wanted.abs().max()
        assert got.dtype == (dtype if isinstance(model, nn.Sequential) else torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_what_computes_in_float32_alone_refuses_the_cast(dtype):
    for model in (pack_for_speed(in_8_bits()), in_training()):
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(TypeError, match=f"(Packed|FakeQuant)Conv2d computes in float32, and cannot .* to {dtype}"):
            model.to(dtype)
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
        assert model.float()(IMAGES).dtype == torch.float32


def test_biases_that_are_corrected_keep_the_dtype_of_the_model():
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        model = nn.Sequential(nn.Linear(3, 1, bias=False)).eval()
        model[0].weight.data = torch.tensor([[1.4, 1.4, 7.0]])
        images = torch.tensor([[4.0, 6.0, 0.0], [6.0, 4.0, 0.0]], dtype=dtype)
        # as in the docstring: the step is 1, and 2 * 0.4 * 5 = 4 is lost
        bias = correct_bias(model.to(dtype), quantize_weights(model.to(dtype), IntFormat(4)), images)[0].bias
        # 1.4 and 5 * 9.8 as the dtype holds them; a weight is read as float32
        assert bias.dtype == dtype and abs(bias.item() - 4) <= 49 * max(torch.finfo(dtype).eps, 2.0**-24)


# --- tied layers ---------------------------------------------------------------------------------------------------


def test_tied_weights_stay_one_through_quantizing_packing_and_integers():
    model = tied(plain())
    assert parameters(model) == 8 * 9 + 8 + 64 + 8 + 8  # the convolution, one matrix, two biases
    small = quantize_weights(model, rung(8))
    assert small.fc1.weight_codes is small.fc2.weight_codes and parameters(small) == parameters(model)
    packed = pack_for_speed(small)
    assert packed.fc1.codes is packed.fc2.codes and parameters(packed) == parameters(model)
    assert stored_bytes(packed) < stored_bytes(pack_for_speed(in_8_bits()))
    grids = quantize_weights_and_activations(model, rung(8), UNSIGNED_8_BITS, IMAGES)
    net = to_integers(grids, IMAGES)
    assert net.steps["fc1"].weight is net.steps["fc2"].weight
    for one in (small, packed, copy.deepcopy(small), copy.deepcopy(packed)):
        names = [name for name, _ in one.fc1.named_buffers()]
        assert all(getattr(one.fc1, name) is getattr(one.fc2, name) for name in names if "bias" not in name)


def test_tied_biases_stay_one():
    small = quantize_weights(bias_tied(plain()), rung(8))
    assert small.fc1.bias is small.fc2.bias and small.fc1.weight_codes is not small.fc2.weight_codes
    with pytest.raises(ValueError, match="layer 'fc1' shares its bias with 'fc2', and each shifts in its own way"):
        correct_bias(plain(), small, IMAGES)


def test_sensitivities_look_at_plain_layers_alone():
    labels = torch.zeros(6, dtype=torch.long)
    for measure in (
        lambda model: sensitivity_by_weight(model, [4]),
        lambda model: sensitivity_by_kl(model, [4], IMAGES),
        lambda model: sensitivity_by_output(model, [4], IMAGES),
        lambda model: sensitivity_by_hessian(model, [4], Split(IMAGES, labels)),
    ):
        for name in ("hook", "pre-hook", "subclass", "masked", "patched", "tied"):
            with pytest.raises(ValueError, match="layer 'fc[12]'"):
                measure(odd(name, plain()))
