"""Which layer feeds which: what folding, equalization and the removal of channels need of a model's data flow.

The flow is read by symbolic tracing (torch.fx): `forward` runs once on a stand-in for the input, and every call is
written down. Tracing sees through custom `forward` methods, functional calls and nested modules. It cannot see
through an `if` or a loop that depends on the values of a tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch.fx
from torch import nn

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

    def producer(self, call: Call) -> Call | None:
        """Return the call whose result is the only tensor that `call` reads, or None where there is no such one."""
        inputs = [self._by_node.get(node) for node in call.node.all_input_nodes]
        return inputs[0] if len(inputs) == 1 else None

    def consumer(self, call: Call) -> Call | None:
        """Return the one call that reads the result of `call`, or None where none or several do."""
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
            in this one model.

    >>> flow = data_flow(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    >>> [str(call) for call in flow.calls]
    ["Linear '0'", "ReLU '1'"]
    >>> str(flow.consumer(flow.calls[0]))
    "ReLU '1'"
    """
    if "forward" in vars(model):
        raise ValueError(
            f"cannot follow the forward of this {type(model).__name__}, which was put in the place of its class's own; "
            "write it in a class"
        )
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever forward() does with the stand-in may fail in its own way
        raise ValueError(
            f"cannot follow the forward of {type(model).__name__}: {error}; write it without an if or a loop that "
            "depends on the values of a tensor"
        ) from error
    # A module that is reached under two names is one module: count calls of the module, not of the name.
    calls = tuple(
        Call(node, model.get_submodule(node.target) if node.op == "call_module" else None)
        for node in graph.nodes
        if node.op in ("call_module", "call_function", "call_method")
    )
    read = frozenset(node.target for node in graph.nodes if node.op == "get_attr")
    times_called = Counter(call.module for call in calls if call.module is not None)
    return Flow(calls, times_called, read, frozenset(_modules_that_share(model, read)))


def _modules_that_share(model: nn.Module, read: frozenset[str]) -> Iterator[nn.Module]:
    """Yield the modules that hold their weight together with another, or whose weight `forward` reads itself."""
    places = {place for places in shared_parameters(model) for place in places}
    for name, module in model.named_modules():
        if f"{name}.weight".strip(".") in places | read:
            yield module


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Do not look inside torch's own modules, nor inside a module that holds weights of its own: it is a layer."""
        owns_weights = any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
        return super().is_leaf_module(module, name) or (owns_weights and not any(module.children()))
