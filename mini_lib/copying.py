"""Copy a model so that the copy computes with its own weights, or say why this is impossible.

`deepcopy` copies modules and tensors, but nothing that a function holds on to: a forward put on a module from outside,
a hook's closure or a lambda kept as an attribute goes on working with the original. It also separates tensors that
share memory.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from types import FunctionType, MethodType, ModuleType

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from mini_lib.require import of_type


def copied(model: nn.Module, known: dict[int, nn.Module] | None = None, but: Iterable[nn.Module] = ()) -> nn.Module:
    """Return a copy that computes with its own weights; `known` maps the ids of some modules to ready copies of them.

    but: modules that are not checked, since others will take their place.

    Raises:
        TypeError: it is not a module that can be copied, see `need_module`; or `known` or `but` are of another kind.
        ValueError: a module was given another forward from outside, such as a lambda, or keeps a function that holds a
            part of the model, which even in the copy would work with the weights of the original; a tensor is computed
            from others, as old masks are, which torch cannot copy; or a parameter shares the memory of another, or has
            a gradient hook, and its copy would not.

    >>> layer = nn.Linear(2, 2)
    >>> layer.forward = lambda x: 2 * nn.functional.linear(x, layer.weight)
    >>> copied(nn.Sequential(layer))
    Traceback (most recent call last):
    ValueError: layer '0' has a forward of its own, which a copy would run on the original's weights; write a subclass
    """
    need_module(model)
    known = {**of_type("known", {} if known is None else known, dict, fix="give modules by the ids of others")}
    but = set(map(id, of_type("but", but, Iterable, fix="give some modules of the model")))
    gone = {inner for module in model.modules() if id(module) in known for inner in module.modules()}
    stay = {name: module for name, module in model.named_modules() if module not in gone and id(module) not in but}
    called = {name: f"layer {name!r}" if name else "the model" for name, _ in model.named_modules()}
    for name, module in model.named_modules():
        what, forward = called[name], vars(module).get("forward")
        if id(module) not in but and forward is not None and getattr(forward, "__self__", None) is not module:
            raise ValueError(
                f"{what} has a forward of its own, which a copy would run on the original's weights; write a subclass"
            )
        for attribute, value in vars(module).items():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                raise ValueError(
                    f"the {attribute} of {what} is masked, or computed from others in another way; make it plain "
                    "first, with torch's remove_parametrizations or prune.remove(layer, 'weight')"
                )
    _need_ties_kept(stay)
    parts = {id(part) for part in (*model.modules(), *(tensor for _, tensor in _parts(model)))}
    for name, module in stay.items():
        for attribute, value in vars(module).items():
            if any(id(held) in parts for held in held_by(_functions(value))):
                raise ValueError(
                    f"{called[name]} keeps a function in {attribute} that holds a part of the model, so a copy would "
                    "run it on the original's weights; make it a method of a subclass"
                )
    return deepcopy(model, known)


def need_module(model: object) -> None:
    """Refuse what is not a module that can be looked into and copied.

    Raises:
        TypeError: it is something else, or a scripted model.
        ValueError: it has parameters without a shape, those of lazy layers.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, got {type(model).__name__}; pass the model itself")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError("model is scripted or traced, so its layers are hidden; pass the nn.Module it was made from")
    lazy = next((name for name, weight in _parts(model) if is_lazy(weight)), None)
    if lazy is not None:
        raise ValueError(f"{lazy!r} of the model has no shape yet; run the model once, so that its lazy layers get one")


def _need_ties_kept(modules: Mapping[str, nn.Module]) -> None:
    """Refuse a parameter that shares the memory of another tensor, or has a gradient hook: its copy would not."""
    # A tensor that is held under two names is one tensor, and stays one.
    held: dict[int, tuple[str, torch.Tensor]] = {}
    for name, module in modules.items():
        for attribute, value in (*module._parameters.items(), *module._buffers.items(), *vars(module).items()):
            if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta:
                held.setdefault(id(value), (f"{name}.{attribute}".strip("."), value))
    places: dict[tuple, list[tuple[str, torch.Tensor]]] = {}
    # Parameters first: buffers that share memory only with each other are copied together.
    for name, tensor in sorted(held.values(), key=lambda one: not isinstance(one[1], nn.Parameter)):
        if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
            raise ValueError(f"{name!r} of the model has a gradient hook, which its copy would not; remove it first")
        places.setdefault((tensor.untyped_storage().data_ptr(), tensor.dtype), []).append((name, tensor))
    for (pointer, _), tensors in places.items():
        if len(tensors) == 1 or not pointer or not isinstance(tensors[0][1], nn.Parameter):
            continue
        storage = tensors[0][1].untyped_storage()
        used = torch.zeros(storage.nbytes() // tensors[0][1].element_size(), dtype=torch.bool)
        for name, tensor in tensors:
            place = used.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            if place.any():
                raise ValueError(
                    f"{name!r} of the model shares the memory of another of its parameters, and in a copy would not; "
                    "hold one parameter under both names, or clone() it"
                )
            if isinstance(tensor, nn.Parameter):
                place.fill_(True)


def _functions(value: object) -> Iterator[FunctionType]:
    """Yield the functions that an attribute keeps; torch copies what they are bound to, but not what they hold."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, MethodType):
        yield from _functions(value.__func__)
    elif isinstance(value, partial):
        yield from _functions(value.func)
    elif isinstance(value, (dict, list, tuple)):
        for one in value.values() if isinstance(value, dict) else value:
            if not isinstance(one, (dict, list, tuple)):
                yield from _functions(one)


def held_by(things: Iterable[object]) -> Iterator[nn.Module | torch.Tensor]:
    """Yield the modules and tensors that things hold: in containers, in objects, or as what a function remembers.

    Modules are not searched in turn.

    >>> layer = nn.Linear(2, 2)
    >>> [found is layer for found in held_by([lambda x: 2 * layer(x)])]
    [True]
    """
    seen: dict[int, object] = {}  # the things themselves too: Python may reuse the id of one that is gone
    ahead = list(things)
    while ahead:
        thing = ahead.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, nn.Module | torch.Tensor):
            yield thing
        elif isinstance(thing, FunctionType):
            named = (thing.__globals__.get(name) for name in thing.__code__.co_names)
            ahead += [value for value in named if isinstance(value, nn.Module | torch.Tensor)]
            ahead += [thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
        elif isinstance(thing, weakref.ref):
            ahead.append(thing())
        else:
            ahead += gc.get_referents(thing)


def _parts(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
