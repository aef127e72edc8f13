"""Rebuild chosen parts of a model, in a copy: the operation under every technique of the course."""

from collections.abc import Callable, Mapping

from torch import nn

from mini_lib.copying import copied, need_module
from mini_lib.require import callable_, of_type

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
    # A module with two names is tested under both, and found under the first for which `where` holds.
    for name, module in model.named_modules(remove_duplicate=False):
        if module not in found and where(name, module):
            found[module] = name
    return [(name, module) for module, name in found.items()]


def replace(model: nn.Module, where: Where, build: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Return a copy of `model` in which each module that `where(name, module)` chooses is rebuilt.

    `build` gets the copy of a chosen module and returns the module to put in its place, which is set to eval mode if
    the old one was. A module that is used in several places is built once and stays shared. What lies inside a chosen
    module is left to `build`. The argument is untouched.

    Raises:
        TypeError: `model` is not a module, `where` or `build` cannot be called, or `build` does not
            return a module.
        ValueError: a module that is replaced has a hook or a forward of its own, which would be lost silently.

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
        TypeError: `model` is not a module, or `new` not modules by name.
        ValueError: the model has no module of one of these names; or one that is replaced has a hook or a forward of
            its own, which would be lost silently.

    >>> swap(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), {"1": nn.Tanh()})
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """
    need_module(model)
    old = dict(model.named_modules(remove_duplicate=False))
    fix = "give modules by the names of those in whose place they go"
    for name, module in of_type("new", new, Mapping, fix=fix).items():
        if name not in old:
            raise ValueError(f"the model has no module {name!r}; look the names up in model.named_modules()")
        _need_nothing_lost(name, old[name], of_type(f"new[{name!r}]", module, nn.Module, fix=fix))
    # deepcopy asks its memo what it has copied already, and takes the new modules for copies of the old ones.
    return copied(model, {id(old[name]): module for name, module in new.items()})


def hook_of(module: nn.Module) -> str | None:
    """Return what kind of hook runs with a module, or None where none does.

    Raises:
        TypeError: it is not a module.

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    >>> hook_of(layer), hook_of(nn.Linear(2, 2))
    ('forward pre-hook', None)
    """
    of_type("module", module, nn.Module, fix="pass a layer")
    kinds = {
        "forward hook": module._forward_hooks,
        "forward pre-hook": module._forward_pre_hooks,
        "backward hook": module._backward_hooks,
        "backward pre-hook": module._backward_pre_hooks,
    }
    return next((kind for kind, hooks in kinds.items() if hooks), None)


def _need_nothing_lost(name: str, old: nn.Module, new: nn.Module) -> None:
    """Refuse to put `new` in the place of `old` if a hook or a patched forward would be lost."""
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
    # A fresh module is in training mode: among modules in eval mode, it alone would apply dropout.
    return new if training else new.eval()
