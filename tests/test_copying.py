"""Copies: with weights of their own, or refused."""

from functools import partial
from types import MethodType

import pytest
import torch
from torch import nn

from mini_lib.copying import copied
from mini_lib.surgery import replace, swap


def is_relu(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.ReLU)


def test_a_copy_is_refused_where_it_would_run_on_the_originals_weights():
    model = nn.Sequential(nn.Linear(2, 2))
    old = model[0].forward
    model[0].forward = lambda x: 2 * old(x)
    for transform in (copied, lambda model: swap(model, {}), lambda model: replace(model, is_relu, lambda old: old)):
        with pytest.raises(ValueError, match="layer '0' has a forward of its own, which a copy would run on the"):
            transform(model)
    # a method of the module itself goes with it, and so does a hook, which is told its module
    model[0].forward = MethodType(lambda layer, x: x @ layer.weight.T, model[0])
    model[0].register_forward_hook(lambda layer, inputs, output: output + layer.bias)
    after = copied(model)
    after[0].weight.data.zero_()
    after[0].bias.data.fill_(3.0)
    assert after(torch.ones(1, 2)).tolist() == [[3.0, 3.0]]


class TiedByView(nn.Module):
    """A decoder that holds the encoder's weight, transposed, in the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.e, self.d = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.d.weight = nn.Parameter(self.e.weight.t())


def test_a_copy_is_refused_where_it_would_untie_what_lies_in_one_memory():
    with pytest.raises(ValueError, match="^'d.weight' of the model shares the memory of another of its parameters"):
        copied(TiedByView())
    with_view = nn.Linear(2, 2)
    with_view.register_buffer("seen", with_view.weight.detach()[:1])
    with pytest.raises(ValueError, match="^'seen' of the model shares the memory of another"):
        copied(with_view)
    # side by side in one memory, as optimizers lay weights out; a parameter held twice; buffers that lie in one memory
    memory = torch.arange(32.0).view(4, 8)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].weight, model[1].weight = nn.Parameter(memory[:, :4]), nn.Parameter(memory[:, 4:])
    model[2].weight = model[0].weight
    model.register_buffer("all", torch.zeros(4))
    model.register_buffer("first", model.all[:2])
    after = copied(model)
    after.all.fill_(5.0)
    assert after[2].weight is after[0].weight and after.first.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_copy_is_refused_where_a_gradient_hook_would_be_lost(register):
    model = nn.Sequential(nn.Linear(2, 2))
    hook = getattr(model[0].weight, register)(lambda gradient: None)
    with pytest.raises(ValueError, match="^'0.weight' of the model has a gradient hook, which its copy would not"):
        copied(model)
    hook.remove()
    copied(model)


def test_a_copy_is_refused_where_a_function_that_it_keeps_holds_the_original():
    other = nn.Linear(2, 2)

    def model_with(make) -> nn.Module:
        model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        make(model)
        return model

    def keeps(function_of):
        return lambda model: setattr(model[1], "w", function_of(model))

    for make in (
        keeps(lambda model: lambda: model[0].weight.t()),
        keeps(lambda model: lambda layer=model[0]: layer.weight),
        keeps(lambda model: [partial(lambda x, bias: x + bias + model[0].bias, bias=1)]),
        keeps(lambda model: (lambda weights: lambda: weights[0])([model[0].weight])),
        keeps(lambda model: (lambda old: lambda x: old(x))(model[0].forward)),
        lambda model: model[1].register_forward_hook(lambda layer, inputs, output: output @ model[0].weight),
    ):
        with pytest.raises(ValueError, match="^layer '1' keeps a function in .* that holds a part of the model, so a"):
            copied(model_with(make))
    for make in (
        keeps(lambda model: lambda: other.weight),
        keeps(lambda model: torch.relu),
        keeps(lambda model: model[0].forward),  # a bound method goes with its module
        keeps(lambda model: partial(nn.functional.linear, weight=model[0].weight)),  # and so do bound arguments
        lambda model: model[1].register_forward_hook(lambda layer, inputs, output: output + len(inputs)),
    ):
        copied(model_with(make))
    after = copied(model_with(keeps(lambda model: partial(nn.functional.linear, weight=model[0].weight))))
    assert after[1].w.keywords["weight"] is after[0].weight and copied(model_with(keeps(lambda m: m[0].forward)))
