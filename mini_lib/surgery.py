"""Rebuild chosen parts of a model, in a copy: the operation under every technique of the course."""

from collections.abc import Callable, Container, Iterator, Mapping
from copy import deepcopy

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from mini_lib.require import callable_

Where = Callable[[str, nn.Module], bool]


def find(model: nn.Module, where: Where) -> list[tuple[str, nn.Module]]:
    """Return the name and module of each place where `where(name, module)` holds, each module once.

    The names are those of `model.named_modules()`: the model itself is `""`.

    Raises:
        TypeError: `model` is not a module, or `where` cannot be called.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> [name for name, module in find(model, lambda name, module: isinstance(module, nn.Linear))]
    ['0', '2']
    """
    need_module(model)
    callable_("where", where, fix="pass a function such as lambda name, module: isinstance(module, nn.Linear)")
    found: dict[nn.Module, str] = {}
    # A module with two names is asked about under both, and found under the first that holds.
    for name, module in model.named_modules(remove_duplicate=False):
        if module not in found and where(name, module):
            found[module] = name
    return [(name, module) for module, name in found.items()]


def replace(model: nn.Module, where: Where, build: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Return a copy of `model` in which each module that `where(name, module)` chooses is rebuilt.

    `build` gets the copy of a chosen module and returns what stands in its place, which is put in
    eval mode if the old one was. A module that is used in several places is built once and stays
    shared. What lies inside a chosen module is left to `build`. The argument is untouched.

    Raises:
        TypeError: `model` is not a module, `where` or `build` cannot be called, or `build` does not
            return a module.
        ValueError: a module that goes has a hook or a forward of its own, which would be lost without a word.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> replace(model, lambda name, module: isinstance(module, nn.ReLU), lambda relu: nn.Tanh())
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): Tanh()
    )
    """
    chosen = {module for _, module in find(model, where)}
    callable_("build", build, fix="pass a function that takes a module and returns one")
    result = copied(model, but=chosen)
    built: dict[nn.Module, nn.Module] = {}
    replaced: list[str] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if module not in chosen or any(name.startswith(f"{outer}.") for outer in replaced):
            continue
        if module not in built:
            built[module] = _rebuild(result.get_submodule(name), build, name)
        if name == "":
            return built[module]
        result.set_submodule(name, built[module])
        replaced.append(name)
    return result


def swap(model: nn.Module, new: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of `model` with the modules of these names replaced; the argument stays as it is.

    A module that is held under several names is replaced under all of them.

    Raises:
        ValueError: a module that goes has a hook or a forward of its own, which would be lost without a word.

    >>> swap(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), {"1": nn.Tanh()})
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """
    for name, module in new.items():
        _need_nothing_lost(name, model.get_submodule(name), module)
    # deepcopy asks its memo what it has copied already, and takes the new modules for copies of the old ones.
    return copied(model, {id(model.get_submodule(name)): module for name, module in new.items()})


def copied(model: nn.Module, known: dict[int, nn.Module] | None = None, but: Container[nn.Module] = ()) -> nn.Module:
    """Return a copy that computes with its own weights; `known` says what to take for copies of the modules of an id.

    but: modules that are not looked at, since others will take their place.

    Raises:
        ValueError: a module's forward is a function that was put on it, which in the copy too would run the original;
            or a tensor is computed from others, as old masks are, which no copy can take over.

    >>> layer = nn.Linear(2, 2)
    >>> layer.forward = lambda x: 2 * nn.functional.linear(x, layer.weight)
    >>> copied(layer)
    Traceback (most recent call last):
    ValueError: the model has a forward of its own, which a copy would run on the original; write it in a class
    """
    for name, module in model.named_modules():
        what, forward = repr(name) if name else "the model", vars(module).get("forward")
        if module not in but and forward is not None and getattr(forward, "__self__", None) is not module:
            raise ValueError(
                f"{what} has a forward of its own, which a copy would run on the original; write it in a class"
            )
        for attribute, value in vars(module).items():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                raise ValueError(
                    f"the {attribute} of {what} is masked, or computed from others in another way; make it plain "
                    "first, with torch's remove_parametrizations or prune.remove(layer, 'weight')"
                )
    return deepcopy(model, known)


def hook_of(module: nn.Module) -> str | None:
    """Return what kind of hook runs with a module, or None where none does.

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    >>> hook_of(layer), hook_of(nn.Linear(2, 2))
    ('forward pre-hook', None)
    """
    kinds = {
        "forward hook": module._forward_hooks,
        "forward pre-hook": module._forward_pre_hooks,
        "backward hook": module._backward_hooks,
        "backward pre-hook": module._backward_pre_hooks,
    }
    return next((kind for kind, hooks in kinds.items() if hooks), None)


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


def _parts(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _need_nothing_lost(name: str, old: nn.Module, new: nn.Module) -> None:
    """Refuse to put `new` in the place of `old` if a hook or a patched forward goes with what does not stay."""
    stay = set(new.modules())
    for inner, module in old.named_modules():
        lost = "forward of its own" if "forward" in vars(module) else hook_of(module)
        if lost is not None and module not in stay:
            where = f"{name}.{inner}".strip(".")
            raise ValueError(
                f"layer {where!r} has a {lost}, which the {type(new).__name__} in its place would not run; remove it "
                "first, or leave the layer out in where"
            )


def _rebuild(old: nn.Module, build: Callable[[nn.Module], nn.Module], name: str) -> nn.Module:
    training = old.training
    new = build(old)
    if not isinstance(new, nn.Module):
        raise TypeError(
            f"build must return an nn.Module for {name!r} ({type(old).__name__}), got {type(new).__name__}; "
            "return the module to put in its place"
        )
    _need_nothing_lost(name, old, new)
    # A fresh module is in training mode: between evaluated ones it would be the only one that drops out.
    return new if training else new.eval()
