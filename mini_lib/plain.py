"""Plain layers: layers whose class and parameters alone decide what they compute.

Every technique of the course takes a layer's weight and puts another layer in its place. That keeps what a model
computes only if nothing else decides what the old layer gives: no hook, no forward of its own, no mask that computes
the weight anew. So a transformation looks for its layers here, and a layer that is not plain is refused by name.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils.parametrize import is_parametrized

from mini_lib.surgery import Where, find, hook_of

Kinds = tuple[type[nn.Module], ...]
WEIGHT_LAYERS: Kinds = (nn.Linear, nn.Conv2d)
# What a subclass may override without computing something else.
_HARMLESS = {"__init__", "__repr__", "extra_repr", "reset_parameters", "train"}


def is_called(module: nn.Module, kinds: Kinds = WEIGHT_LAYERS) -> bool:
    """Return whether a module is a layer of one of the `kinds` whose weight is used by calling it.

    The weight of the output layer of nn.MultiheadAttention is not: attention reads it and never calls the layer.

    >>> is_called(nn.Linear(2, 2)), is_called(nn.MultiheadAttention(2, 1).out_proj), is_called(nn.ReLU())
    (True, False, False)
    """
    return isinstance(module, kinds) and not isinstance(module, NonDynamicallyQuantizableLinear)


def why_not_plain(layer: nn.Module, kinds: Kinds = WEIGHT_LAYERS) -> str | None:
    """Return the reason why a layer is not a plain layer of one of the `kinds`, and what to do about it, or None.

    >>> layer = nn.Linear(2, 2)
    >>> why_not_plain(layer) is None
    True
    >>> _ = layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    >>> why_not_plain(layer)
    'it has a forward hook, which no layer in its place would run; remove the hook first'
    """
    kind = next((kind for kind in type(layer).__mro__ if kind in kinds), None)
    if kind is None:
        return f"it is a {type(layer).__name__}, and not {' or '.join(f'nn.{kind.__name__}' for kind in kinds)}"
    # weight_norm and torch's pruning leave no parametrization: they take the parameter away and set a tensor
    affine = getattr(layer, "affine", True)  # a norm without gain has no weight
    masked = next((name for name in ("weight", "bias") if _is_computed(layer, name, may_be_none=not affine)), None)
    if masked is not None:
        return (
            f"its {masked} is masked, or computed from others in another way; make it plain first, with baked(model), "
            f"torch's remove_parametrizations or prune.remove(layer, '{masked}')"
        )
    if affine and type(layer.weight) is not nn.Parameter:
        return f"its weight is of type {type(layer.weight).__name__}, not a plain nn.Parameter"
    hook = hook_of(layer)
    if hook is not None:
        return f"it has a {hook}, which no layer in its place would run; remove the hook first"
    changed = "forward" if "forward" in vars(layer) else _overridden(type(layer), kind)
    if changed is not None:
        return f"it has a {changed} of its own, so it may compute something other than nn.{kind.__name__} does"
    if not affine:
        return None
    if layer.weight.is_meta:
        return "its weight lies on the meta device, which holds shapes and no values"
    if not layer.weight.is_floating_point():
        return f"its weight is {layer.weight.dtype}, and not made of real floating-point numbers"
    return None


def need_plain(name: str, layer: nn.Module, kinds: Kinds = WEIGHT_LAYERS) -> None:
    """Refuse a layer that is not plain.

    Raises:
        TypeError: it is of another kind.
        ValueError: something else decides what it computes; the message says what.

    >>> need_plain("act", nn.ReLU())
    Traceback (most recent call last):
    TypeError: layer 'act': it is a ReLU, and not nn.Linear or nn.Conv2d; leave it out in where
    """
    reason = why_not_plain(layer, kinds)
    if reason is not None:
        error = ValueError if isinstance(layer, kinds) else TypeError
        raise error(f"layer {name!r}: {reason}; leave it out in where")


def plain_layers(model: nn.Module, where: Where, kinds: Kinds = WEIGHT_LAYERS) -> dict[str, nn.Module]:
    """Return the layers that `where(name, module)` chooses, by name, in the order in which the model holds them.

    Raises:
        TypeError: `model` is not a module, `where` cannot be called, or it chooses a module of another kind.
        ValueError: it chooses no layer, or one that is not plain.

    >>> list(plain_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), lambda name, module: name == "0"))
    ['0']
    """
    chosen = dict(find(model, where))
    if not chosen:
        names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
        listed = " or ".join(f"nn.{kind.__name__}" for kind in kinds)
        raise ValueError(
            f"where chooses no layer of the model; its {listed} layers are {', '.join(map(repr, names))}"
            if names
            else f"the model has no {listed} layer; there is nothing to choose"
        )
    for name, layer in chosen.items():
        need_plain(name, layer, kinds)
    return chosen


def shared_parameters(model: nn.Module) -> list[list[str]]:
    """Return the names under which several modules hold one parameter, a list for each such parameter.

    Two parameters that lie in the same memory count as one. A module that is used twice holds its parameters only once.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    >>> shared_parameters(model)
    []
    >>> model[1].weight = model[0].weight
    >>> shared_parameters(model)
    [['0.weight', '1.weight']]
    """
    holders: dict[object, list[str]] = {}
    for name, module in model.named_modules():
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                holders.setdefault(_place(parameter), []).append(f"{name}.{attribute}" if name else attribute)
    return [names for names in holders.values() if len(names) > 1]


def need_own(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    why: str = "and a change to one would be missing in the other",
    attributes: Container[str] = ("weight", "bias"),
) -> None:
    """Refuse layers that hold one of these attributes together with something else; `why` says what this would break.

    Raises:
        ValueError: a layer does.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    >>> model[1].weight = model[0].weight
    >>> need_own(model, {"1": model[1]}, "which is a table")
    Traceback (most recent call last):
    ValueError: layer '1' shares its weight with '0', which is a table; give each its own, or leave both out in where
    """
    for places in shared_places(model, layers):
        mine = next((place for place in places if place[0] in layers and place[1] in attributes), None)
        if mine is not None:
            one, attribute = mine
            other = next(owner for owner, held in places if (owner, held) != mine)
            raise ValueError(
                f"layer '{one}' shares its {attribute} with '{other}', {why}; give each its own, or leave both out in "
                "where"
            )


def shared_places(model: nn.Module, layers: Mapping[str, nn.Module]) -> list[list[tuple[str, str]]]:
    """Return the places that hold one parameter, as (module, attribute), where one of the `layers` is among them.

    A layer appears under the name by which it was chosen, which may be its second name.
    """
    names = {layer: name for name, layer in layers.items()}
    found = []
    for places in shared_parameters(model):
        held = [(owner, attribute) for owner, _, attribute in (place.rpartition(".") for place in places)]
        held = [(names.get(model.get_submodule(owner), owner), attribute) for owner, attribute in held]
        if any(owner in layers for owner, _ in held):
            found.append(held)
    return found


def _is_computed(layer: nn.Module, name: str, may_be_none: bool) -> bool:
    if is_parametrized(layer, name) or (hasattr(layer, name) and name not in layer._parameters):
        return True
    return name == "weight" and layer._parameters.get(name) is None and not may_be_none


def _overridden(cls: type, kind: type[nn.Module]) -> str | None:
    """Return the first method of `kind` that a class between it and `cls` overrides."""
    for between in cls.__mro__[: cls.__mro__.index(kind)]:
        for name, value in vars(between).items():
            anew = hasattr(kind, name) and (callable(value) or isinstance(value, (property, classmethod, staticmethod)))
            if anew and name not in _HARMLESS:
                return name
    return None


def _place(parameter: torch.Tensor) -> object:
    """Where a parameter lies, which two views of one memory share; itself where it lies nowhere."""
    if parameter.layout is not torch.strided or parameter.is_meta or not parameter.numel():
        return id(parameter)
    return parameter.device, parameter.untyped_storage().data_ptr(), parameter.storage_offset()
