"""Reading the flow of data between the layers of a model."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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
