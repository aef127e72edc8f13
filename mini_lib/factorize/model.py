"""A whole model with chosen layers taken apart, and the effect on each of them.

A layer is replaced by a chain that takes and gives tensors of the same shapes. So nothing around it changes: a residual
connection adds the same shapes as before. Batch norm is folded first: then the weight that is approximated is the
weight that is used, and no batch norm is left to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from mini_lib.columns import aligned
from mini_lib.copying import copied
from mini_lib.counting import Example
from mini_lib.factorize.low_rank import Factorized
from mini_lib.factorize.methods import Method, Rank, plain_svd, slice_svd
from mini_lib.fold import find_batch_norms, fold_batch_norm
from mini_lib.measure import LayerCost, layer_costs
from mini_lib.plain import is_called, need_own, need_plain, plain_layers
from mini_lib.require import callable_, of_type, one_of, whole
from mini_lib.surgery import Where, find, swap

_LAYERS = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class LayerChange:
    """What was done to one layer, or would have been.

    MACs are those of one pass over the example. `after` is the cost of the factors, even where the layer was left alone
    because they would cost no less. `predicted_error` is the method's prediction, of the weight or of the output.
    """

    name: str
    kind: str
    ranks: tuple[int, ...]
    predicted_error: float
    macs_before: int
    macs_after: int
    parameters_before: int
    parameters_after: int
    replaced: bool


@dataclass(frozen=True, eq=False)
class FactorizedModel:
    """A model with layers taken apart, and a row for every requested layer; it prints as a table."""

    model: nn.Module
    changes: tuple[LayerChange, ...]

    @property
    def left_alone(self) -> tuple[str, ...]:
        """The layers that would have cost as much or more."""
        return tuple(change.name for change in self.changes if not change.replaced)

    def __str__(self) -> str:
        lines = [("layer", "rank", "error", "MACs", "then", "parameters", "then", "")]
        lines += [
            (
                change.name,
                " x ".join(map(str, change.ranks)),
                f"{change.predicted_error:.3f}",
                f"{change.macs_before:,}",
                f"{change.macs_after:,}",
                f"{change.parameters_before:,}",
                f"{change.parameters_after:,}",
                "" if change.replaced else "left alone: costs more than it saves",
            )
            for change in self.changes
        ]
        return aligned(lines, left=(0, 7))


def factorize(
    model: nn.Module,
    example: Example,
    ranks: Mapping[str, Rank],
    *,
    method: Method = plain_svd,
    fold: bool = True,
    cost: Literal["macs", "parameters"] = "macs",
) -> FactorizedModel:
    """Return a copy of `model` with the named layers taken apart at these ranks, and a row on each of them.

    A layer whose factors would not cost less is left alone, and reported so.

    Args:
        model: in eval mode where it has batch norm to fold; the argument stays as it is.
        example: an input of the model, to count MACs by.
        ranks: by layer name, such as `matrix_ranks`, `tucker_ranks` or `allocate_ranks` return. nn.Linear or nn.Conv2d.
        method: how; a function from `methods.py`, or your own.
        fold: whether batch norms are folded first.
        cost: a layer is replaced only if this cost falls.

    Raises:
        TypeError: a named layer is of a kind that cannot be taken apart.
        ValueError: there is no layer of a name, two names are one layer, a layer shares its weight with another or is
            not plain (`mini_lib.plain`), a rank is out of range, a layer does not run on the example, something other
            than its call reads it, `cost` is neither of the two words, or a batch norm cannot be folded.

    An 8 x 8 weight at rank 2 is 8 * 2 + 2 * 8; a 4 x 8 one at rank 3 would be 36 where it was 32.

    >>> import torch
    >>> found = factorize(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), torch.zeros(1, 8), {"0": 2, "1": 3})
    >>> [(change.name, change.macs_before, change.macs_after, change.replaced) for change in found.changes]
    [('0', 64, 32, True), ('1', 32, 36, False)]
    >>> found.model
    Sequential(
      (0): Sequential(
        (0): Linear(in_features=8, out_features=2, bias=False)
        (1): Linear(in_features=2, out_features=8, bias=True)
      )
      (1): Linear(in_features=8, out_features=4, bias=True)
    )
    """
    one_of("cost", cost, ("macs", "parameters"), fix="bytes go with the parameters")
    _check_names(model, ranks)
    one_of("fold", fold, (True, False), fix="True folds batch norms first")
    callable_("method", method, fix="pass one of methods.py, such as plain_svd")
    base = fold_batch_norm(model) if fold and find_batch_norms(model) else copied(model)
    parts = {name: _take_apart(base, name, rank, method) for name, rank in ranks.items()}
    before = {row.name: (row.macs, row.parameters) for row in layer_costs(base, example)}
    trial = _costs_apart(swap(base, {name: part.layer for name, part in parts.items()}), example)
    changes = []
    for name, part in parts.items():
        macs, parameters = before[name]
        if not macs:
            raise ValueError(f"layer {name!r} did not run on the example, so its cost is not known; leave it out")
        # A chain's rows are named after it; a method may also give back one module.
        rows = [row for row in trial if row.name == name or row.name.startswith(f"{name}.")]
        macs_after, parameters_after = (sum(getattr(row, what) for row in rows) for what in ("macs", "parameters"))
        saves = macs_after < macs if cost == "macs" else parameters_after < parameters
        kind = type(part.dense).__name__
        changes.append(
            LayerChange(
                name, kind, part.ranks, part.predicted_error, macs, macs_after, parameters, parameters_after, saves
            )
        )
    kept = {change.name: parts[change.name].layer for change in changes if change.replaced}
    return FactorizedModel(swap(base, kept), tuple(changes))


def is_separable(name: str, module: nn.Module) -> bool:
    """Say whether a layer is a convolution in one group with a kernel of more than one pixel.

    >>> is_separable("", nn.Conv2d(8, 8, 3)), is_separable("", nn.Conv2d(8, 8, 1))
    (True, False)
    """
    return type(module) is nn.Conv2d and module.groups == 1 and module.weight[0, 0].numel() > 1


def separate_model(
    model: nn.Module,
    example: Example,
    multipliers: int | Mapping[str, int] = 1,
    *,
    where: Where = is_separable,
    fold: bool = True,
) -> FactorizedModel:
    """Return a copy of `model` with convolutions made depthwise-separable, each by the SVD of its channels' slices.

    One multiplier is used for all layers that `where` chooses; or give one by layer name, and `where` is not asked. A
    multiplier above a layer's largest, min(outputs, K^2), is lowered to it: the layer is then exact. Layers are left
    alone as in `factorize`.

    Raises:
        TypeError, ValueError: as `factorize`; or `where` chooses no convolution.

    A 3x3 convolution from 16 to 32 channels on 8 * 8 places: 64 * 16 * 32 * 9, then 64 * (16 * 9 + 16 * 32).

    >>> import torch
    >>> found = separate_model(nn.Sequential(nn.Conv2d(16, 32, 3, padding=1)), torch.zeros(1, 16, 8, 8))
    >>> found.changes[0].macs_before, found.changes[0].macs_after
    (294912, 41984)
    """
    if not isinstance(multipliers, Mapping):
        multiplier = whole("multipliers", multipliers, low=1, fix="1 is one kernel for each channel")
        chosen = plain_layers(model, where, (nn.Conv2d,))
        multipliers = {name: min(multiplier, _full_multiplier(layer)) for name, layer in chosen.items()}
    return factorize(model, example, multipliers, method=slice_svd, fold=fold)


def _full_multiplier(layer: nn.Conv2d) -> int:
    return min(layer.out_channels // layer.groups, layer.weight[0, 0].numel())


def _costs_apart(model: nn.Module, example: Example) -> list[LayerCost]:
    """The costs with layers taken apart. A layer that is used other than by a plain call fails here, and not later."""
    try:
        return layer_costs(model, example)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the model does not run with these layers taken apart: {error}. Something other than its call reads a "
            "layer, its weight or its number of inputs, say; leave that layer out of ranks"
        ) from error


def _take_apart(model: nn.Module, name: str, rank: Rank, method: Callable[..., Factorized]) -> Factorized:
    try:
        part = method(name, model.get_submodule(name), rank)
    except (TypeError, ValueError) as error:
        raise type(error)(f"layer {name!r}: {error}") from error
    return of_type(f"method({name!r}, ...)", part, Factorized, fix="let it return what stands in the layer's place")


def _check_names(model: nn.Module, ranks: Mapping[str, Rank]) -> None:
    """Refuse names of anything but layers that can be replaced one by one."""
    layers = dict(find(model, lambda name, module: is_called(module)))
    if not isinstance(ranks, Mapping):
        raise TypeError(f"ranks must be a rank by layer name, got {type(ranks).__name__}; pass a dict: {{'conv2': 8}}")
    known = ", ".join(map(repr, layers)) or "none"
    if not ranks:
        raise ValueError(f"ranks names no layer; there are {known}")
    everything = dict(model.named_modules(remove_duplicate=False))
    for name in ranks:
        if name not in everything:
            raise ValueError(f"ranks names {name!r}, which the model does not have; there are {known}")
        module = everything[name]
        if not is_called(module):  # attention reads the weight of its output layer
            raise TypeError(
                f"layer {name!r} is a {type(module).__name__}, which cannot be taken apart; choose a plain nn.Linear "
                f"or nn.Conv2d: {known}"
            )
        if name not in layers:
            [other] = [one for one, layer in layers.items() if layer is module]
            raise ValueError(f"{name!r} is another name of layer {other!r}; use that one")
        need_plain(name, module, _LAYERS)
        need_own(model, {name: module}, attributes=("weight",))
