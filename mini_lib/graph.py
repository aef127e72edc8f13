"""Which layer feeds which: what folding, equalization and channel removal must know of a model's data flow.

The flow is read by symbolic tracing (torch.fx): `forward` runs once on a stand-in for the input, and every call is
written down. Tracing sees through custom `forward` methods, functional calls and nested modules. It cannot see
through an `if` or a loop that depends on the values of a tensor.
"""

from __future__ import annotations

import dis
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import Any

import torch.fx
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from mini_lib.copying import held_by
from mini_lib.plain import shared_parameters

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Call:
    """One call that `forward` makes.

    `target` is the name of a module ("body.0"), a function (`torch.relu`) or the name of a tensor method ("relu").
    """

    node: torch.fx.Node
    module: nn.Module | None

    @property
    def target(self) -> Any:
        return self.node.target

    def __str__(self) -> str:
        if self.module is not None:
            return f"{type(self.module).__name__} '{self.target}'"
        return getattr(self.target, "__name__", str(self.target))


@dataclass(frozen=True)
class Flow:
    """The calls of a model in the order in which they are made."""

    calls: tuple[Call, ...]
    times_called: Counter[nn.Module]
    read: frozenset[str] = frozenset()  # the parameters and buffers that `forward` reads itself, such as "fc.weight"
    shared: frozenset[nn.Module] = frozenset()  # the modules whose weight something else uses too
    constants: Mapping[str, Tensor] = field(default_factory=dict)  # the tensors that `forward` makes, by node target

    def producer(self, call: Call) -> Call | None:
        """Return the call whose result is the only tensor that `call` reads, or None if there is none."""
        inputs = [self._by_node.get(node) for node in call.node.all_input_nodes]
        return inputs[0] if len(inputs) == 1 else None

    def consumer(self, call: Call) -> Call | None:
        """Return the one call that reads the result of `call`, or None if no call or several read it."""
        users = [self._by_node.get(node) for node in call.node.users]
        return users[0] if len(users) == 1 else None

    def owns_weight(self, call: Call) -> bool:
        """Return whether the weight of `call.module` is used by this call and by nothing else."""
        return self.times_called[call.module] == 1 and call.module not in self.shared

    @cached_property
    def _by_node(self) -> dict[torch.fx.Node, Call]:
        return {call.node: call for call in self.calls}


def data_flow(model: nn.Module) -> Flow:
    """Return the calls that `model.forward` makes, in order.

    Raises:
        ValueError: `forward` cannot be traced, because its path depends on the values of a tensor, or it was replaced
            in this one model; or the model, or a layer that it calls, has a hook.

    >>> flow = data_flow(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    >>> [str(call) for call in flow.calls]
    ["Linear '0'", "ReLU '1'"]
    >>> str(flow.consumer(flow.calls[0]))
    "ReLU '1'"
    """
    _need_no_more_than_forward(f"this {type(model).__name__}", model)
    attributes = set(vars(model))
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever forward() does with the stand-in may fail in its own way
        raise ValueError(
            f"cannot follow the forward of {type(model).__name__}: {error}; write it without an if or a loop that "
            "depends on the values of a tensor"
        ) from error
    finally:  # torch writes the constants that it meets into the model
        constants = {name: vars(model).pop(name) for name in set(vars(model)) - attributes}
    # A module that is reached under two names is one module: count calls of the module, not of the name.
    calls = tuple(
        Call(node, model.get_submodule(node.target) if node.op == "call_module" else None)
        for node in graph.nodes
        if node.op in ("call_module", "call_function", "call_method")
    )
    read = frozenset(node.target for node in graph.nodes if node.op == "get_attr")
    times_called = Counter(call.module for call in calls if call.module is not None)
    for leaf in times_called:
        _need_no_more_than_forward(next(str(call) for call in calls if call.module is leaf), leaf)
    shared = {*_modules_that_share(model, read), *(other for leaf in times_called for other in _reached(leaf, model))}
    return Flow(calls, times_called, read, frozenset(shared), constants)


def _need_no_more_than_forward(what: str, module: nn.Module) -> None:
    """Refuse a module that runs something that tracing does not see. Torch's own hooks only compute its weight."""
    if "forward" in vars(module):
        raise ValueError(f"cannot follow the forward of {what}, which replaces that of its class; write it in a class")
    for kind, hooks in (("hook", module._forward_hooks), ("pre-hook", module._forward_pre_hooks)):
        for hook in hooks.values():
            home = getattr(hook, "__module__", None) or ""
            if not (isinstance(hook, BasePruningMethod) or home.startswith("torch.") or _sees_only_values(hook)):
                raise ValueError(f"{what} has a forward {kind} of its own, whose effect is not known; remove it")


def _sees_only_values(hook: object) -> bool:
    """Whether a hook is a function that reaches no module and no tensor except the module's input and output."""
    if not isinstance(hook, FunctionType) or any(True for _ in held_by([hook])):
        return False
    module = hook.__code__.co_varnames[:1] if hook.__code__.co_argcount else ()
    variable_arguments = hook.__code__.co_flags & inspect.CO_VARARGS and not module
    read = {name for step in dis.get_instructions(hook) if step.opname.startswith("LOAD") for name in [step.argval]}
    return not variable_arguments and not any(name in read for name in module)


def _modules_that_share(model: nn.Module, read: frozenset[str]) -> Iterator[nn.Module]:
    """Yield the modules that share their weight with another one, or whose tensors `forward` reads itself."""
    places = {place for places in shared_parameters(model) for place in places}
    for name, module in model.named_modules():
        own = {f"{name}.{part}".strip(".") for part in module._parameters}
        if f"{name}.weight".strip(".") in places or own & read:
            yield module


def _reached(leaf: nn.Module, model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that a leaf, which is not traced inside, can reach in other ways than as its own children."""
    theirs = [vars(cls) for cls in type(leaf).__mro__ if not cls.__module__.startswith(("torch.", "builtins"))]
    found = list(held_by([{**vars(leaf), "_modules": None, "_parameters": None}, *theirs]))
    own = set(leaf.modules())
    modules = {inner for thing in found if isinstance(thing, nn.Module) for inner in thing.modules()}
    tensors = [thing for thing in found if isinstance(thing, Tensor)]
    for module in set(model.modules()) - own:
        if module in modules or any(_overlap(a, b) for a in module.parameters(recurse=False) for b in tensors):
            yield module


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors lie in one piece of memory, from the first of their elements to the last."""
    if any(each.layout is not torch.strided or each.is_meta or not each.numel() for each in (a, b)):
        return a is b
    first, second = _piece(a), _piece(b)
    return a.device == b.device and first.start < second.stop and second.start < first.stop


def _piece(tensor: Tensor) -> range:
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    return range(tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size())


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Do not look inside torch's own modules, nor inside a module that holds weights of its own: it is a layer."""
        owns_weights = any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
        return super().is_leaf_module(module, name) or (owns_weights and not any(module.children()))
