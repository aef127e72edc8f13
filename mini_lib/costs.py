"""What a model costs, counted and never timed: parameters, stored bytes, multiply-accumulates (MACs).

Import these through `mini_lib.measure`. How MACs are counted is in `counting.py`.
"""

from collections import Counter
from dataclasses import dataclass

from torch import Tensor, nn

from mini_lib.copying import need_module
from mini_lib.counting import Example, Tally, run_counted
from mini_lib.require import whole


@dataclass(frozen=True)
class LayerCost:
    """What one layer holds and does in one forward pass.

    `weight_bytes` is what the layer stores (parameters and buffers); `input_bytes` and
    `output_bytes` are the tensors that enter and leave it, added up over its calls.
    """

    name: str
    kind: str
    parameters: int
    macs: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int

    @property
    def moved_bytes(self) -> int:
        """The traffic when weights and input are read once, and the output is written once."""
        return self.weight_bytes + self.input_bytes + self.output_bytes


def parameters(model: nn.Module) -> int:
    """Return how many parameters a model has; a shared parameter counts once.

    A layer that keeps its weights as packed codes says how many they are in an integer attribute
    `encoded_parameters`: a weight of 4 bits is still a weight.

    Raises:
        TypeError: `model` is not a module.

    A 3x3 convolution from 3 to 8 channels has 8 * 3 * 3 * 3 = 216 weights and 8 biases:

    >>> parameters(nn.Conv2d(3, 8, kernel_size=3))
    224
    """
    need_module(model)
    return _parameter_counts(model).total()


def stored_bytes(model: nn.Module) -> int:
    """Return the bytes of a model's tensors as they lie on disk: parameters and buffers alike.

    A tensor held under two names is stored once. A view counts its own elements only, however
    large the memory behind it. File headers are not included.

    Raises:
        TypeError: `model` is not a module.

    Batch norm over 4 channels stores weight, bias, mean and variance in fp32, and one int64 counter,
    4 * 4 * 4 + 8 = 72 bytes:

    >>> stored_bytes(nn.BatchNorm2d(4))
    72
    """
    need_module(model)
    return _weight_bytes(model).total()


def flops(macs: int) -> int:
    """Return the floating-point operations in `macs`: a multiply and an add each, so two.

    Source: the LINPACK convention; hardware peaks are quoted in these operations.

    Raises:
        TypeError: `macs` is not an integer.
        ValueError: `macs` is negative.

    >>> flops(1000)
    2000
    """
    return 2 * whole("macs", macs, low=0, fix="pass a count such as macs(model, example)")


def macs(model: nn.Module, example: Example) -> int:
    """Return the multiply-accumulates of one forward pass over `example`.

    `example` is one tensor, or a tuple of them for a model that takes several. Convolutions count (zero padding
    included), and so do matrix products, bilinear and recurrent layers, attention (a causal mask saves nothing), and
    products written by hand: sums of products, outer products. Element-wise work such as a bias, ReLU, batch norm,
    pooling or resizing does not.

    Raises:
        TypeError: `model` is not a module, or `example` is not made of tensors.
        ValueError: a tensor of `example` is empty, the model cannot be run on it, or it calls an operator that
            multiplies but whose MACs are not known; the message names the operator.

    Each of the 8 * 8 * 8 outputs takes 3 * 3 * 3 products, 512 * 27 = 13824:

    >>> import torch
    >>> macs(nn.Conv2d(3, 8, kernel_size=3, padding=1), torch.zeros(1, 3, 8, 8))
    13824
    """
    return sum(tally.macs for tally in run_counted(model, example).values())


def layer_costs(model: nn.Module, example: Example) -> list[LayerCost]:
    """Return the cost of every layer, in the order of `model.named_modules()`.

    A layer is a module that has no children and runs, or that owns weights or MACs itself. So the rows add up to
    `parameters(model)`, `macs(model, example)` and `stored_bytes(model)`. Tensors that two layers share count for the
    first.

    Raises:
        TypeError, ValueError: as `macs`.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> for cost in layer_costs(model, torch.zeros(1, 4)):
    ...     print(cost)
    LayerCost(name='0', kind='Linear', parameters=15, macs=12, weight_bytes=60, input_bytes=16, output_bytes=12)
    LayerCost(name='1', kind='ReLU', parameters=0, macs=0, weight_bytes=0, input_bytes=12, output_bytes=12)
    """
    tallies = run_counted(model, example)
    parameter_counts = _parameter_counts(model)
    weight_bytes = _weight_bytes(model)
    costs = []
    for name, module in model.named_modules():
        tally = tallies.get(module, Tally())
        cost = LayerCost(
            name,
            type(module).__name__,
            parameter_counts[name],
            tally.macs,
            weight_bytes[name],
            tally.input_bytes,
            tally.output_bytes,
        )
        runs_as_leaf = module in tallies and not any(module.children())
        if runs_as_leaf or cost.parameters or cost.macs or cost.weight_bytes:
            costs.append(cost)
    return costs


def _parameter_counts(model: nn.Module) -> Counter[str]:
    """Return how many parameters each module itself owns, by module name."""
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    for name, module in model.named_modules():
        counts[name] += getattr(module, "encoded_parameters", 0)
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                counts[name] += parameter.numel()
    return counts


def _weight_bytes(model: nn.Module) -> Counter[str]:
    """Return the bytes of the tensors that each module itself stores, by module name."""
    sizes: Counter[str] = Counter()
    seen: set[tuple] = set()
    for key, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            continue
        # Tied tensors are the same elements of the same memory. A meta tensor has no memory, so it stands for itself.
        place = value.data_ptr() or id(value)
        identity = (place, value.dtype, value.shape, value.stride())
        if identity not in seen:
            seen.add(identity)
            sizes[key.rpartition(".")[0]] += value.nbytes
    return sizes
