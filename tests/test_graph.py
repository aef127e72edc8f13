"""Reading the flow of data between the layers of a model."""

import functools
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from mini_lib.graph import data_flow
from mini_lib.quantize import quantize_weights, rung


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.twice = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False)

    def forward(self, x):
        branch = F.relu(self.first(x))
        return self.twice(self.twice(branch + self.second(branch))).sigmoid()


def test_calls_producers_and_consumers():
    flow = data_flow(Net())
    first, relu, _, add, twice, again, sigmoid = flow.calls
    assert [str(call) for call in (first, relu, add, sigmoid)] == ["Linear 'first'", "relu", "add", "sigmoid"]
    assert flow.producer(relu) == first and flow.consumer(first) == relu
    assert flow.producer(first) is None  # reads the model's input
    assert flow.consumer(relu) is None  # two read it
    assert flow.producer(add) is None and flow.consumer(add) == twice  # two tensors come in
    assert flow.producer(again) == twice and flow.consumer(sigmoid) is None  # the model's output


def test_who_owns_a_weight():
    model = Net()
    flow = data_flow(model)
    owns = {call.target: flow.owns_weight(call) for call in flow.calls if call.module is not None}
    assert owns == {"first": True, "second": True, "twice": False}
    model.second.weight = model.first.weight
    flow = data_flow(model)
    assert not any(flow.owns_weight(call) for call in flow.calls if call.module is not None)


def test_a_result_that_is_also_returned_has_no_one_consumer():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, x):
            hidden = self.layer(x)
            return hidden, hidden.relu()

    flow = data_flow(Both())
    assert flow.consumer(flow.calls[0]) is None


def test_a_layer_of_ones_own_is_one_call():
    flow = data_flow(quantize_weights(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), rung(8)))
    assert [str(call) for call in flow.calls] == ["QuantizedLinear '0'", "ReLU '1'"]


def test_a_forward_that_looks_at_values_is_refused():
    class Looks(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="cannot follow the forward of Looks: .*; write it without an if"):
        data_flow(Looks())


def test_tracing_leaves_the_model_as_it_is():
    model = Net()
    before = {name: id(module) for name, module in model.named_modules()}
    data_flow(model)
    assert {name: id(module) for name, module in model.named_modules()} == before
    assert model(torch.zeros(1, 4)).shape == (1, 4)


def test_the_constants_of_forward_are_not_left_in_the_model():
    class Adds(nn.Module):
        def forward(self, x):
            return x + torch.tensor([1.0, 2.0])

    model = Adds()
    before = set(vars(model))
    (constant,) = data_flow(model).constants.values()
    assert constant.tolist() == [1.0, 2.0] and set(vars(model)) == before


class Reaching(nn.Module):
    """A leaf, since it has a weight and no children, that gets hold of another module's weight by `how`."""

    def __init__(self, how, other: nn.Module) -> None:
        super().__init__()
        self.bias, self.other = nn.Parameter(torch.zeros(4)), how(other)

    def forward(self, x):
        return x + self.bias


class Around:
    def __init__(self, module: nn.Module) -> None:
        self.module = module


WAYS = {
    "a list": lambda other: [other],
    "a dict in a tuple": lambda other: ({"other": other},),
    "a function": lambda other: lambda x: F.linear(x, other.weight.t()),
    "a default": lambda other: lambda x, w=other.weight: F.linear(x, w.t()),
    "a method": lambda other: other.weight.t,
    "a partial": lambda other: functools.partial(F.linear, weight=other.weight),
    "a weak reference": weakref.ref,
    "an object": Around,
    "a part of the tensor": lambda other: other.weight.detach()[1:],
    "its bias": lambda other: [other.bias],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_weight_that_a_leaf_can_reach_is_not_owned_by_its_layer(way):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model.append(Reaching(WAYS[way], model[0]))
    flow = data_flow(model)
    assert {call.target: flow.owns_weight(call) for call in flow.calls} == {"0": False, "1": True, "2": True, "3": True}


def test_a_leaf_that_reaches_nothing_shares_nothing():
    whole = torch.zeros(32)  # two weights lie one behind the other in one memory
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), Reaching(lambda other: [torch.ones(3), F.relu], None))
    model[0].weight.data, model[1].weight.data = whole[:16].view(4, 4), whole[16:].view(4, 4)
    flow = data_flow(model)
    assert all(flow.owns_weight(call) for call in flow.calls)


def test_a_bias_that_forward_reads_makes_the_layer_shared():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(F.relu(self.a(x))) + self.a.bias

    flow = data_flow(Adds())
    assert [flow.owns_weight(call) for call in flow.calls if call.module is not None] == [False, True]


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize("where, what", [("", "this Sequential"), ("1", "ReLU '1'")])
def test_hooks_that_tracing_does_not_run_are_refused(register, where, what):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    handle = getattr(model.get_submodule(where), register)(lambda module, *_: print(module))
    with pytest.raises(ValueError, match=f"^{what} has a forward (pre-)?hook of its own, whose effect is not known; "):
        data_flow(model)
    handle.remove()
    getattr(model.get_submodule(where), register)(lambda module, inputs, *output: None)  # sees values only
    assert len(data_flow(model).calls) == 2


def test_a_leaf_whose_forward_was_replaced_is_refused_and_torchs_own_hooks_are_not():
    model = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    assert len(data_flow(model).calls) == 2
    model[1].forward = torch.sin
    with pytest.raises(ValueError, match="cannot follow the forward of Softmax '1', which replaces that of its class"):
        data_flow(model)
