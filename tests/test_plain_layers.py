"""Plain layers, and the many ways of a layer not to be one."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm

from mini_lib.plain import need_own, need_plain, plain_layers, shared_parameters, why_not_plain


class Doubling(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


class DoublingConv(nn.Conv2d):
    def _conv_forward(self, *inputs):
        return 2 * super()._conv_forward(*inputs)


class Counting(nn.Linear):
    @property
    def in_features(self):
        return 7

    @in_features.setter
    def in_features(self, value):
        pass


class Named(nn.Linear):
    """It has a name and another start, and computes what its base does."""

    label = "head"

    def __init__(self, *sizes):
        super().__init__(*sizes)

    def reset_parameters(self):
        nn.init.zeros_(self.weight)

    def describe(self):
        return self.label


class Squared(nn.Module):
    def forward(self, weight):
        return weight**2


def changed(layer, **attributes):
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


def hooked(register):
    layer = nn.Linear(2, 3)
    getattr(layer, register)(lambda *_: None)
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(2, 3),
        nn.Conv2d(2, 3, 1, bias=False),
        nn.Linear(2, 3).bfloat16(),
        nn.Linear(2, 3).double(),
        Named(2, 3),
    ],
    ids=["linear", "conv", "bfloat16", "double", "a subclass that computes the same"],
)
def test_a_plain_layer(layer):
    assert why_not_plain(layer) is None
    need_plain("fc", layer)


ODD = {
    "forward hook": (hooked("register_forward_hook"), "forward hook"),
    "pre-hook": (hooked("register_forward_pre_hook"), "forward pre-hook"),
    "backward hook": (hooked("register_full_backward_hook"), "backward hook"),
    "backward pre-hook": (hooked("register_full_backward_pre_hook"), "backward pre-hook"),
    "subclass": (Doubling(2, 3), "a forward of its own, so it may compute something other than nn.Linear"),
    "inner method": (DoublingConv(2, 3, 1), "a _conv_forward of its own"),
    "patched": (changed(nn.Linear(2, 3), forward=lambda input: input), "a forward of its own"),
    "parametrized": (parametrize.register_parametrization(nn.Linear(2, 3), "weight", Squared()), "masked, or computed"),
    "pruned": (prune.random_unstructured(nn.Linear(2, 3), "weight", 0.5), "masked, or computed"),
    "spectral norm": (spectral_norm(nn.Linear(2, 3)), "masked, or computed"),
    "weight norm": (parametrizations.weight_norm(nn.Linear(2, 3)), "masked, or computed"),
    "biased mask": (parametrize.register_parametrization(nn.Linear(2, 3), "bias", Squared()), "masked, or computed"),
    "meta": (nn.Linear(2, 3, device="meta"), "the meta device"),
    "complex": (nn.Linear(2, 3, dtype=torch.complex64), "torch.complex64, and not made of real"),
}


@pytest.mark.parametrize(("layer", "says"), ODD.values(), ids=ODD)
def test_a_layer_that_is_not_plain_is_refused_by_name(layer, says):
    with pytest.raises(ValueError, match=f"^layer 'fc': .*{says}.*; leave it out in where$"):
        need_plain("fc", layer)
    with pytest.raises(ValueError, match="^layer '1': "):
        plain_layers(nn.Sequential(nn.Linear(2, 2), layer), lambda name, module: name == "1")
    assert list(plain_layers(nn.Sequential(nn.Linear(2, 2), layer), lambda name, module: name == "0")) == ["0"]


def test_a_lazy_layer_has_no_weight_yet():
    assert "UninitializedParameter" in why_not_plain(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="^'1.weight' of the model has no shape yet; run the model once"):
        plain_layers(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3)), lambda name, module: name == "0")


def test_the_weight_of_a_subclass_of_the_parameter_is_not_plain():
    class Sharded(nn.Parameter):
        pass

    layer = nn.Linear(2, 3)
    layer.weight = Sharded(torch.zeros(3, 2))
    assert why_not_plain(layer) == "its weight is of type Sharded, not a plain nn.Parameter"


def test_where_must_choose_layers_of_the_kinds():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Conv1d(2, 2, 1))
    with pytest.raises(ValueError, match="its nn.Linear or nn.Conv2d layers are '0'$"):
        plain_layers(model, lambda name, module: False)
    with pytest.raises(ValueError, match="the model has no nn.Conv3d layer"):
        plain_layers(model, lambda name, module: False, (nn.Conv3d,))
    with pytest.raises(TypeError, match="^layer '1': it is a ReLU, and not nn.Linear or nn.Conv2d; leave it out"):
        plain_layers(model, lambda name, module: name == "1")
    assert list(plain_layers(model, lambda name, module: name == "2", (nn.Conv1d,))) == ["2"]


def test_shared_weights_are_found_whoever_holds_them():
    layer = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(nn.Embedding(4, 4), layer, nn.Linear(4, 4), layer)
    assert shared_parameters(model) == []  # one module in two places holds its weight once
    model[2].weight = model[0].weight
    assert shared_parameters(model) == [["0.weight", "2.weight"]]
    for name, other in (("2", "0"), ("0", "2")):
        with pytest.raises(ValueError, match=f"^layer '{name}' shares its weight with '{other}', and a change to one"):
            need_own(model, {name: model.get_submodule(name)})
    need_own(model, {"1": layer})
    model[2].weight = nn.Parameter(model[1].weight.data.t())  # another parameter in the same memory
    assert shared_parameters(model) == [["1.weight", "2.weight"]]
    need_own(layer, {"": layer})


def test_of_a_weight_that_is_a_bias_too_the_weight_is_named():
    layer = nn.Linear(1, 1)
    layer.bias = layer.weight
    model = nn.Sequential(layer, nn.Linear(1, 1))
    model[1].bias = layer.weight
    with pytest.raises(ValueError, match="^layer '0' shares its weight with '0', "):
        need_own(model, {"0": layer}, attributes=("weight",))
    need_own(model, {"1": model[1]}, attributes=("weight",))


def test_parts_of_one_memory_are_not_shared():
    both = torch.zeros(2, 3, 3)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[0].weight, model[1].weight = nn.Parameter(both[0]), nn.Parameter(both[1])
    assert shared_parameters(model) == []
