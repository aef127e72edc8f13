"""A mask: which weights of a model stay. It checks itself, counts itself, and keeps its zeros through training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mini_lib.columns import aligned
from mini_lib.copying import copied, need_module
from mini_lib.require import of_type
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class LayerDensity:
    """How much of one weight tensor stays."""

    name: str
    kept: int
    total: int

    @property
    def density(self) -> float:
        return self.kept / self.total


@dataclass(frozen=True, eq=False)
class Mask:
    """For some weights of a model, by parameter name, a bool tensor of the same shape: True stays.

    Raises:
        TypeError: `tensors` is not a mapping, or a tensor is not of dtype bool.
        ValueError: there is no tensor, or a tensor keeps nothing: nothing would pass through the layer.

    >>> mask = Mask({"linear.weight": torch.tensor([[True, False], [False, False]])})
    >>> mask.kept, mask.total, mask.density
    (1, 4, 0.25)
    >>> print(mask)
    weight         kept  of  density
    linear.weight     1   4   25.00%
    all               1   4   25.00%
    """

    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if not isinstance(self.tensors, Mapping):
            raise TypeError(
                f"a mask needs tensors by parameter name, got {type(self.tensors).__name__}; "
                'give a dict such as {"linear.weight": keep}'
            )
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        if not self.tensors:
            raise ValueError("a mask needs at least one tensor, got none; give one for each weight that is pruned")
        for name, tensor in self.tensors.items():
            if not isinstance(tensor, Tensor) or tensor.dtype != torch.bool:
                got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
                raise TypeError(f"the mask of {name!r} must be a bool tensor, got {got}; compare, as in scores > 0.1")
            need_tensor(f"the mask of {name!r}", tensor, floating=False, empty=True, fix="compare, as in scores > 0.1")
            if not tensor.any():
                raise ValueError(
                    f"the mask of {name!r} keeps 0 of {tensor.numel()} weights, and nothing would pass through that "
                    "layer; keep at least one, or leave the layer out"
                )

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.tensors.keys() == other.tensors.keys() and all(
            torch.equal(tensor, other[name]) for name, tensor in self.tensors.items()
        )

    __hash__ = None

    def __reduce__(self) -> tuple:
        # A mapping proxy cannot be copied or sent to another process; the dict in it can.
        return Mask, (dict(self.tensors),)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    @property
    def kept(self) -> int:
        return sum(layer.kept for layer in self.layers())

    @property
    def total(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def density(self) -> float:
        """The share of the masked weights that stays. Biases and other weights do not count."""
        return self.kept / self.total

    def layers(self) -> tuple[LayerDensity, ...]:
        """Return how much of each weight stays, in the mask's order."""
        return tuple(LayerDensity(name, int(tensor.sum()), tensor.numel()) for name, tensor in self.tensors.items())

    def check(self, model: nn.Module) -> None:
        """Make sure that the mask fits the weights of `model`.

        Raises:
            TypeError: `model` is not a module, or is scripted.
            ValueError: the model has no such weight, one of another shape, or one that the mask holds under two names.

        >>> Mask({"weight": torch.ones(1, 3, dtype=torch.bool)}).check(nn.Linear(2, 1))
        Traceback (most recent call last):
        ValueError: the mask of 'weight' has shape [1, 3], but the weight has [1, 2]; make it from this model's scores
        """
        need_module(model)
        # All names of each weight: a shared layer may have been found under its second one.
        parameters = dict(model.named_parameters(remove_duplicate=False))
        seen: dict[int, str] = {}
        for name, tensor in self.tensors.items():
            if name not in parameters:
                raise ValueError(
                    f"the model has no parameter {name!r}; it has {', '.join(parameters) or 'none'}. A mask goes with "
                    "the model that it was made from, not with its masked copy"
                )
            if tensor.shape != parameters[name].shape:
                raise ValueError(
                    f"the mask of {name!r} has shape {list(tensor.shape)}, but the weight has "
                    f"{list(parameters[name].shape)}; make it from this model's scores"
                )
            first = seen.setdefault(id(parameters[name]), name)
            if first != name:
                raise ValueError(
                    f"the mask holds {first!r} and {name!r}, which are one shared weight; give it a single mask"
                )

    def __str__(self) -> str:
        rows = [*self.layers(), LayerDensity("all", self.kept, self.total)]
        cells = [("weight", "kept", "of", "density")]
        cells += [(row.name, f"{row.kept:,}", f"{row.total:,}", f"{row.density:.2%}") for row in rows]
        return aligned(cells)


def apply_mask(model: nn.Module, mask: Mask) -> nn.Module:
    """Return a copy of `model` with zeros where the mask says so.

    Nothing keeps them zero: the first optimizer step may fill them again. To train on, use `masked`.

    Raises:
        TypeError: `model` is not a module, or `mask` is not a Mask.
        ValueError: the mask does not fit the model, or the model cannot be copied (`copying.copied`).

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, 4.0]])
    >>> apply_mask(layer, Mask({"weight": torch.tensor([[False, True]])})).weight.data
    tensor([[0., 4.]])
    """
    _need_mask(mask).check(model)
    result = copied(model)
    parameters = dict(result.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name in mask:
            if parameters[name].is_meta:
                raise ValueError(
                    f"{name!r} lies on the meta device, which holds no values to make zero; load the model"
                )
            parameters[name].masked_fill_(~mask[name].to(parameters[name].device), 0)
    return result


def masked(model: nn.Module, mask: Mask) -> nn.Module:
    """Return a copy of `model` whose masked weights are zero and stay zero, however it is trained.

    Each weight becomes `weight * mask`, recomputed in every forward pass. So the masked weights get no gradient, and
    neither momentum nor weight decay can bring them back. `baked` makes a plain model of the result.

    Raises:
        TypeError: as `apply_mask`.
        ValueError: as `apply_mask`; or the model is masked already, or a weight belongs to a recurrent layer, which
            keeps its own list of its weights.

    >>> model = masked(nn.Linear(2, 1), Mask({"weight": torch.tensor([[False, True]])}))
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> model.parametrizations.weight.original.grad
    tensor([[0., 1.]])
    """
    need_module(model)
    if any(parametrize.is_parametrized(module) for module in model.modules()):
        raise ValueError("the model is masked (or parametrized) already; make it plain with baked(model) first")
    result = apply_mask(model, mask)
    parameters = dict(result.named_parameters(remove_duplicate=False))
    keep = {id(parameters[name]): mask[name] for name in mask}
    # In every layer that holds the weight, not only in the one that the mask names: there, a tied weight would grow
    # back.
    for module in list(result.modules()):
        for place, (attribute, parameter) in enumerate(list(module._parameters.items())):
            if id(parameter) in keep:
                if isinstance(module, nn.RNNBase):
                    raise ValueError(
                        f"{attribute!r} belongs to an {type(module).__name__}, which bypasses any mask on its weights; "
                        "use apply_mask, which keeps no zeros through training"
                    )
                if isinstance(getattr(type(module), attribute, None), property):
                    raise ValueError(
                        f"{type(module).__name__} computes {attribute!r} whenever it is read, so nothing can keep "
                        "zeros in it; use apply_mask, which keeps no zeros through training"
                    )
                kept = keep[id(parameter)].to(parameter.device)
                parametrize.register_parametrization(module, attribute, _Times(kept, place))
    return result


def baked(model: nn.Module) -> nn.Module:
    """Return a plain copy of a model that `masked` made: ordinary layers, zeros written into their weights.

    A model that is plain already is copied.

    Raises:
        TypeError: `model` is not a module.
        ValueError: a layer has a parametrization that `masked` did not make, or the model cannot be copied.

    >>> plain = baked(masked(nn.Linear(2, 1), Mask({"weight": torch.tensor([[False, True]])})))
    >>> type(plain).__name__, plain.weight[0, 0].item(), [name for name, _ in plain.named_parameters()]
    ('Linear', 0.0, ['weight', 'bias'])
    """
    result = copied(model)
    for name, module in list(result.named_modules()):
        if parametrize.is_parametrized(module):
            _bake_(name, module)
    return result


def _need_mask(mask: object) -> Mask:
    return of_type("mask", mask, Mask, fix="keep_top(scores, density) makes one")


@torch.no_grad()
def _bake_(name: str, module: nn.Module) -> None:
    """Write a layer's masked weights into it, and make it an ordinary layer again, its parameters in their old order.

    torch's remove_parametrizations is no use here: it deletes the weight from a class that a deep copy shares with its
    original, and would leave the original without its weight.
    """
    chains = dict(module.parametrizations.items())
    for attribute, chain in chains.items():
        if [type(step) for step in chain] != [_Times]:
            raise ValueError(
                f"layer {name!r} has a parametrization of its {attribute} that masked() did not make; remove that first"
            )
        chain.original.copy_(getattr(module, attribute))
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    order = list(module._parameters)
    for attribute, chain in sorted(chains.items(), key=lambda item: item[1][0].place):
        order.insert(chain[0].place, attribute)
        module._parameters[attribute] = chain.original
    for attribute in order:  # taken out and put in again: a dict is in the order of insertion
        module._parameters[attribute] = module._parameters.pop(attribute)


class _Times(nn.Module):
    """The parametrization of a masked weight: the weight times its mask."""

    def __init__(self, mask: Tensor, place: int) -> None:
        super().__init__()
        self.place = place  # among the parameters of its layer
        self.register_buffer("mask", mask.clone())

    def forward(self, weight: Tensor) -> Tensor:
        # not weight * mask: a weight that became infinite or NaN would come through as NaN
        return torch.where(self.mask, weight, 0)
