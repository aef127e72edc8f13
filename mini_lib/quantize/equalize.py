"""Cross-layer equalization: move range from the channels that have too much of it to those that have too little.

ReLU lets a positive factor through: relu(s * x) = s * relu(x). So channel i between two layers can be divided by s_i
on the way in and multiplied by s_i on the way out, and the network computes what it did before:

    W1[i] / s_i,   b1[i] / s_i,   W2[:, i] * s_i

One grid for a whole tensor is as wide as its widest channel, and a channel with a hundredth of that range gets a
hundredth of the codes. With r1_i and r2_i the largest magnitudes in W1[i] and W2[:, i], the choice

    s_i = sqrt(r1_i / r2_i)      makes both ranges sqrt(r1_i * r2_i)

so that neither side pays for the other. A layer in the middle of a chain belongs to two pairs, so the pairs take turns
until nothing moves. (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.1.)

With one grid per output channel, W1 is not affected: the grid of row i is divided by s_i along with the row. W2 is
affected, unless it is depthwise: the factors change its columns, and its grids run along its rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.copying import copied, need_module
from mini_lib.fold import find_batch_norms
from mini_lib.graph import Call, Flow, data_flow
from mini_lib.plain import why_not_plain
from mini_lib.quantize.between import ELEMENTWISE, OTHER_ACTIVATIONS, POOLS, called, drops_space, pooled_axes
from mini_lib.require import not_negative, of_type, shown, whole
from mini_lib.surgery import hook_of
from mini_lib.tensor_checks import need_tensor

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class LayerPair:
    """The names of two layers with only operations between them that let a positive factor per channel through."""

    first: str
    second: str


@torch.no_grad()
def equalize(model: nn.Module, *, max_rounds: int = 200, tolerance: float = 1e-4) -> nn.Module:
    """Return a new model that computes the same, with the ranges of the channels between its layers balanced.

    Args:
        model: a model in eval mode with batch norm folded; the argument stays as it is. It reads batches, so that
            axis 1 holds the channels of a convolution.
        max_rounds: how many turns each pair may take.
        tolerance: stop when no channel's factor is further than this from 1 in a round.

    Raises:
        TypeError: `model` is not a module, or a setting is not a number.
        ValueError: batch norm has not been folded, an activation other than ReLU lies between two layers, no two layers
            follow each other, one of two that do is not plain (it has a hook, a mask or a forward of its own), a weight
            holds NaN or infinity, `max_rounds` is below 1 or `tolerance` below 0.

    Two channels of very different range meet in the middle, at sqrt(8 * 2) = 4 and sqrt(0.5 * 2) = 1:

    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[8.0], [0.5]]))
    >>> _ = model[2].weight.data.copy_(torch.tensor([[2.0, 2.0]]))
    >>> balanced = equalize(model)
    >>> balanced[0].weight.flatten().tolist(), balanced[2].weight.flatten().tolist()
    ([4.0, 1.0], [4.0, 1.0])

    Source: Nagel et al. 2019, section 4.1.
    """
    max_rounds = whole("max_rounds", max_rounds, low=1, fix="200 are enough")
    tolerance = not_negative("tolerance", tolerance, fix="1e-4 is near enough")
    pairs = find_pairs(model)
    # Ranges are followed and factors gathered in float64, so that the weights are rounded once and not once per round.
    weights = {name: model.get_submodule(name).weight.double() for pair in pairs for name in (pair.first, pair.second)}
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError(f"layer '{name}': the weight holds NaN or infinity; find out where they come from")
    factors: dict[LayerPair, Tensor] = {}
    for _ in range(max_rounds):
        largest_step = 0.0
        for pair in pairs:
            first, second = weights[pair.first], weights[pair.second]
            groups = getattr(model.get_submodule(pair.second), "groups", 1)
            step = _factors(first, second, groups)
            weights[pair.first] = _scale_outputs(first, 1 / step)
            weights[pair.second] = scale_inputs(second, step, groups)
            factors[pair] = factors.get(pair, 1.0) * step
            largest_step = max(largest_step, step.log().abs().max().item())
        if largest_step <= math.log1p(tolerance):
            break
    return rescaled(model, factors)


@torch.no_grad()
def rescaled(model: nn.Module, factors: Mapping[LayerPair, Tensor]) -> nn.Module:
    """Return a new model that computes the same, with each pair's channels divided by factors on the way in.

    Weights and biases are multiplied in float64 and rounded once.

    Args:
        model: the argument stays as it is.
        factors: for pairs of `find_pairs(model)`, one positive number for each channel between the two layers.

    Raises:
        TypeError: `model` is not a module, or `factors` is not a mapping from pairs to tensors.
        ValueError: two layers are not a pair of `find_pairs`, or their factors are not one positive number per channel;
            a layer shares its bias, or holds NaN or infinity before or after the change; or as `find_pairs`.

    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[8.0], [0.5]]))
    >>> _ = model[2].weight.data.copy_(torch.tensor([[2.0, 2.0]]))
    >>> moved = rescaled(model, {LayerPair("0", "2"): torch.tensor([4.0, 1.0])})
    >>> moved[0].weight.flatten().tolist(), moved[2].weight.flatten().tolist()
    ([2.0, 0.5], [8.0, 2.0])
    """
    of_type("factors", factors, Mapping, fix="give {pair: factors} for pairs of find_pairs(model)")
    pairs = find_pairs(model)
    for pair, each in factors.items():
        if pair not in pairs:
            raise ValueError(
                f"{shown(pair)} is not a pair of layers that follow each other; find_pairs(model) lists them"
            )
        need_tensor(f"the factors of {pair}", each, dims=1, finite=True, fix="give one number per channel")
        channels = len(model.get_submodule(pair.first).weight)
        if len(each) != channels or not (each > 0).all():
            raise ValueError(
                f"the factors of {pair} must be {channels} numbers above 0, one per channel, got {shown(each)} from "
                f"{each.min():.4g}; give one for each output of '{pair.first}'"
            )
        _need_own_bias(model, pair.first)
    model = copied(model)
    moved: dict[nn.Parameter, Tensor] = {}
    for pair, each in factors.items():
        first, second = model.get_submodule(pair.first), model.get_submodule(pair.second)
        moved[first.weight] = _scale_outputs(moved.get(first.weight, first.weight.double()), 1 / each)
        weight, groups = moved.get(second.weight, second.weight.double()), getattr(second, "groups", 1)
        moved[second.weight] = scale_inputs(weight, each, groups)
        if first.bias is not None:
            moved[first.bias] = first.bias.double() / each
    for parameter, values in moved.items():
        if not values.isfinite().all():
            raise ValueError("a weight or bias holds NaN or infinity; find out where they come from")
        parameter.copy_(values)
        if not parameter.isfinite().all():
            raise ValueError(
                f"a weight or bias would become {values.abs().max():.3g}, beyond what {parameter.dtype} holds; call "
                "model.float() first, or find out why two layers differ so much in size"
            )
    return model


def find_pairs(model: nn.Module) -> list[LayerPair]:
    """Return the pairs of layers of `model` between which ranges can be moved, in the order of the forward pass.

    A layer in the middle, such as a depthwise convolution, is the second of one pair and the first of the next. Layers
    whose result is read in several places (a residual branch) or that are called more than once belong to no pair. The
    model is assumed to read batches, so that axis 1 holds the channels of a convolution.

    Raises:
        ValueError: see `equalize`.

    >>> find_pairs(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(),
    ...                          nn.Conv2d(8, 4, 1)).eval())
    [LayerPair(first='0', second='2'), LayerPair(first='2', second='4')]
    """
    need_module(model)
    norms = find_batch_norms(model)
    if norms:
        raise ValueError(
            f"batch norm '{norms[0]}' would undo a change of range; fold it first with fold_batch_norm(model)"
        )
    if model.training:
        raise ValueError("the model is in training mode, where dropout stands between layers; call model.eval() first")
    flow = data_flow(model)
    layers = [call for call in flow.calls if isinstance(call.module, LAYERS) and flow.owns_weight(call)]
    pairs = [LayerPair(layer.target, second.target) for layer in layers if (second := _second_of_pair(flow, layer))]
    if not pairs:
        raise ValueError(
            "no two layers follow each other with nothing but ReLU, pooling or flatten between them, and each a weight "
            "of its own; there is nothing to equalize"
        )
    for name in dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)):
        if reason := why_not_plain(model.get_submodule(name), LAYERS):
            raise ValueError(f"the range of layer '{name}' cannot be moved: {reason}")
    return pairs


def by_input(weight: Tensor, groups: int) -> Tensor:
    """View a weight [out, in / groups, ...] as [groups, out / groups, in / groups, kernel]: inputs are axes 0 and 2.

    >>> by_input(torch.zeros(8, 1, 3, 3), groups=4).shape
    torch.Size([4, 2, 1, 9])
    """
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)


def scale_inputs(weight: Tensor, factors: Tensor, groups: int) -> Tensor:
    """Return a weight whose input channels are multiplied by their factors; after flatten, a channel is many inputs.

    >>> scale_inputs(torch.ones(1, 4), torch.tensor([2.0, 3.0]), groups=1)
    tensor([[2., 2., 3., 3.]])
    """
    inputs = groups * weight.shape[1]
    each = factors.repeat_interleave(inputs // len(factors)).reshape(groups, 1, -1, 1)
    return (by_input(weight, groups) * each).reshape(weight.shape)


def _second_of_pair(flow: Flow, first: Call) -> Call | None:
    """Return the layer that `first` makes a pair with, or None."""
    between, second = [], flow.consumer(first)
    while second is not None and not isinstance(second.module, LAYERS):
        between.append(second)
        second = flow.consumer(second)
    if second is None or not flow.owns_weight(second):
        return None
    # A convolution's channels are axis 1 of many, a linear layer's are the last axis: some operation must lead from one
    # to the other, and an operation that is right for one is wrong for the other.
    spatial, axes = not isinstance(first.module, nn.Linear), first.module.weight.dim()
    for call in between:
        kind = type(call.module) if call.module is not None else call.target
        own = call.module is not None and ("forward" in vars(call.module) or hook_of(call.module))
        if own:
            own = "forward of its own" if own is True else own
            raise ValueError(f"{call} stands between {first} and {second}, and has a {own}; remove it first")
        if spatial and drops_space(call, axes):
            spatial = False
        elif not (kind in ELEMENTWISE or (spatial and kind in POOLS and pooled_axes(call) == axes)):
            if called(call) in OTHER_ACTIVATIONS:
                raise ValueError(
                    f"{call} stands between {first} and {second}, and it does not let a positive factor through as "
                    "ReLU does, f(s * x) = s * f(x); equalize needs ReLU there"
                )
            return None
    return second if spatial != isinstance(second.module, nn.Linear) and _fits(first, second) else None


def _fits(first: Call, second: Call) -> bool:
    """Whether the second layer can read the channels of the first in a batch, each channel equally often."""
    channels, weight = len(first.module.weight), second.module.weight
    if isinstance(second.module, nn.Linear):  # it reads H * W numbers of each channel after flatten
        return weight.shape[1] % channels == 0
    return weight.dim() == first.module.weight.dim() and second.module.in_channels == channels


def _factors(first: Tensor, second: Tensor, groups: int) -> Tensor:
    """Return s [channels between the two layers], 1 where a channel is all zeros on one side."""
    out_range = first.abs().flatten(1).amax(dim=1)
    in_range = by_input(second, groups).abs().amax(dim=(1, 3)).flatten()
    # After flatten a linear layer reads each channel as a block of H * W inputs.
    in_range = in_range.reshape(len(out_range), -1).amax(dim=1)
    alive = (out_range > 0) & (in_range > 0)
    return torch.where(alive, torch.sqrt(out_range / in_range), 1.0)


def _need_own_bias(model: nn.Module, name: str) -> None:
    layer = model.get_submodule(name)
    if layer.bias is None:
        return
    if "bias" not in layer._parameters:
        raise ValueError(f"the bias of layer '{name}' is masked, or parametrized in another way; make it plain first")
    for other, module in model.named_modules():
        if module is not layer and any(each is layer.bias for each in module.parameters(recurse=False)):
            raise ValueError(f"layers '{name}' and '{other}' share one bias; give each its own")


def _scale_outputs(weight: Tensor, factors: Tensor) -> Tensor:
    return weight * factors.reshape(-1, *[1] * (weight.dim() - 1))
