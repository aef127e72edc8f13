"""Odd models: each does something that a transformation may overlook when it copies or rebuilds a layer."""

from types import MethodType

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from mini_lib.prune import Mask, masked


class Net(nn.Module):
    """Two linear layers with a ReLU between; 6 numbers in, 4 out. The odd one is `fc`."""

    def __init__(self, fc: nn.Module | None = None) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8) if fc is None else fc
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        return self.out(torch.relu(self.fc(x)))


class Doubled(nn.Linear):
    """A linear layer that gives twice what its weight says."""

    def forward(self, x):
        return 2 * super().forward(x)


class ReadsWeight(Net):
    """Multiplies by the layer's weight itself."""

    def forward(self, x):
        return self.out(torch.relu(nn.functional.linear(x, self.fc.weight, self.fc.bias)))


class AsksForItsShape(Net):
    """Reads a number of the layer besides calling it."""

    def forward(self, x):
        return super().forward(x) / self.fc.in_features


class TakesComplex(Net):
    """Complex numbers in the first layer, and their sizes in the second."""

    def forward(self, x):
        return self.out(self.fc(x).abs())


class CallsByName(Net):
    def forward(self, x):
        return self.out(input=torch.relu(self.fc(input=x)))


class CallsTwice(nn.Module):
    """One layer, used twice and held under two names."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.again, self.out = self.fc, nn.Linear(6, 4)

    def forward(self, x):
        return self.out(torch.relu(self.again(torch.relu(self.fc(x)))))


class Attends(nn.Module):
    """Attention reads the weight of its last layer past that layer's forward."""

    def __init__(self):
        super().__init__()
        self.attention, self.fc = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        x = x[:, None]
        return self.fc(self.attention(x, x, x, need_weights=False)[0])[:, 0]


def hooked():
    net = Net()
    net.fc.register_forward_hook(lambda module, inputs, output: 2 * output)
    return net


def pre_hooked():
    net = Net()
    net.fc.register_forward_pre_hook(lambda module, inputs: (3 * inputs[0],))
    return net


def patched():
    net = Net()
    old = net.fc.forward
    net.fc.forward = lambda x: 2 * old(x)
    return net


def bound():
    net = Net()
    net.fc.forward = MethodType(lambda fc, x: 2 * nn.functional.linear(x, fc.weight, fc.bias), net.fc)
    return net


def tied():
    net = Net(nn.Linear(8, 8))
    net.out = nn.Linear(8, 8)
    net.out.weight = net.fc.weight
    return net


def half_masked():
    net = Net()
    keep = torch.ones(8, 6, dtype=torch.bool)
    keep[::2] = False
    return masked(net, Mask({"fc.weight": keep}))


def normed():
    net = Net()
    parametrizations.weight_norm(net.fc)
    return net


def pruned_by_torch():
    net = Net()
    prune.l1_unstructured(net.fc, "weight", amount=0.5)
    return net


# name -> a function that builds the model, and the number of inputs that it takes
ODD = {
    "plain": Net,
    "a hook": hooked,
    "a pre-hook": pre_hooked,
    "a forward from outside": patched,
    "a method from outside": bound,
    "a subclass": lambda: Net(Doubled(6, 8)),
    "weight read by others": ReadsWeight,
    "shape read by others": AsksForItsShape,
    "called by name": CallsByName,
    "shared module": CallsTwice,
    "attention": Attends,
    "tied weights": tied,
    "masked": half_masked,
    "parametrized": normed,
    "pruned by torch": pruned_by_torch,
    "half": lambda: Net().half(),
    "bfloat16": lambda: Net().bfloat16(),
    "float64": lambda: Net().double(),
    "complex": lambda: TakesComplex(nn.Linear(6, 8, dtype=torch.complex64)),
    "scripted": lambda: torch.jit.trace(Net(), torch.zeros(1, 6)),
    "lazy": lambda: Net(nn.LazyLinear(8)),
    "meta": lambda: Net().to("meta"),
    "training": lambda: nn.Sequential(Net(), nn.Dropout(0.5)).train(),
}


def build(name: str) -> nn.Module:
    """The odd model of this name, the same each time, in evaluation mode unless it is about that.

    Its linear weights have rank 2, so that to take them apart at rank 2 changes nothing and saves something.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ODD[name]()
        for layer in [] if name in ("scripted", "lazy") else model.modules():
            if isinstance(layer, nn.Linear):
                rows, columns = layer.weight.shape
                product = torch.randn(rows, 2, dtype=torch.float64) @ torch.randn(2, columns, dtype=torch.float64)
                for weight in (layer._parameters.get("weight"), layer._parameters.get("weight_orig")):
                    if weight is not None:
                        weight.data = product.to(weight)
    return model if name in ("training", "scripted") else model.eval()


def inputs(name: str, count: int = 5) -> torch.Tensor:
    """Inputs of the odd model of this name."""
    dtype = {"half": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64, "complex": torch.complex64}
    size = 8 if name == "tied weights" else 6
    x = torch.randn(count, size, generator=torch.Generator().manual_seed(1)).to(dtype.get(name, torch.float32))
    return x.to("meta") if name == "meta" else x
