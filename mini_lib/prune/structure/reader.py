"""Follow the channels through a model: which layers make them, which only pass them on, which read them.

The forward pass runs once on an example. Each value is accompanied by a tensor of the same shape that says, for every
element, which channel it belongs to. An operation that moves elements around (flatten, cat, permute) moves the labels
in the same way, so the reader does not have to know the layout of a tensor.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mini_lib.copying import copied
from mini_lib.graph import BATCH_NORMS, Call, data_flow
from mini_lib.prune.structure import operations as ops
from mini_lib.prune.structure.labels import Labels, along, sequence, spread, vary
from mini_lib.surgery import hook_of
from mini_lib.tensor_checks import need_tensor

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Reader(torch.fx.Interpreter):
    """Runs a traced model, and notes the labels that its layers make, pass on and read, by layer name.

    `made` holds one label per output channel of a convolution or linear layer, `taken` one per input channel (for a
    linear layer after flatten, one per number that it reads), `passed` one per channel of a batch norm, PReLU or
    depthwise convolution.
    """

    def __init__(self, model: nn.Module, calls: dict[torch.fx.Node, Call]) -> None:
        super().__init__(torch.fx.GraphModule(model, next(iter(calls)).graph))
        self.extra_traceback = False
        self.labels = Labels()
        self.made: dict[str, Tensor] = {}
        self.passed: dict[str, Tensor] = {}
        self.taken: dict[str, Tensor] = {}
        self._calls = calls
        self._marks: dict[torch.fx.Node, Any] = {}
        self._names = {module: name for name, module in model.named_modules()}
        holders = Counter(id(weight) for module in self._names for weight in module.parameters(recurse=False))
        self._tied = {weight for weight, count in holders.items() if count > 1}

    def run_node(self, node: torch.fx.Node) -> Any:
        """Run one call as the model does, and note the labels of its result."""
        try:
            value = super().run_node(node)
        except Exception as error:  # whatever a layer finds wrong with the example
            raise ValueError(
                f"the model cannot be run on the example: {self._calls.get(node, node.name)} says: {error}"
            ) from error
        self._marks[node] = self._mark(node, value)
        return value

    def _mark(self, node: torch.fx.Node, value: Any) -> Any:
        """Return the labels of a value; a value that is not a tensor, such as a size, stands for itself."""
        if node.op == "output":
            for labels in _tensors([self._marks[read] for read in node.all_input_nodes]):
                self.labels.fix(labels, "it reaches the model's output")
            return None
        if node.op in ("placeholder", "get_attr"):
            what = "the model's input" if node.op == "placeholder" else f"the tensor '{node.target}'"
            if not isinstance(value, Tensor):
                return value
            return self._alike(f"it meets {what}, whose channels stay", value)
        call = self._calls[node]
        name = ops.name_of(call)
        read = [self._marks[source] for source in node.all_input_nodes]
        if not _tensors(read) or (name in ops.SIZES and not isinstance(value, Tensor)):
            return self._alike(f"{call} makes it", value) if isinstance(value, Tensor) else value
        if call.module is not None:
            return self._mark_module(call, read[0], value)
        if name in ops.ELEMENTWISE:
            return self._elementwise(call, read, value)
        if name in ops.SPATIAL and isinstance(value, Tensor):
            return self._spatial(call, read[0], value)
        if name in ops.REDUCTIONS and isinstance(value, Tensor):
            return self._reduce(call, read[0], value)
        if name in ops.MIXING:
            return self._mix(call, read[0])
        if name in ops.MOVING:
            return self._move(call, node, read, value)
        raise self._unknown(call)

    def _alike(self, reason: str, value: Tensor) -> Tensor:
        """One label for all of a tensor, which may be a single number."""
        return self.labels.new(1, reason).reshape([1] * value.dim()).expand(value.shape)

    def _mark_module(self, call: Call, labels: Tensor, value: Any) -> Tensor:
        kind = type(call.module)
        hook = "forward" if "forward" in vars(call.module) else hook_of(call.module)
        if hook is not None:
            raise ValueError(f"{call} has a {hook} of its own, whose effect on channels is not known; remove it")
        if parametrize.is_parametrized(call.module):
            raise ValueError(f"{call} holds a parametrized weight, such as a masked one; bake it in with baked(model)")
        if kind in (*CONVOLUTIONS, nn.Linear):
            return self._layer(call, labels, value)
        if kind in BATCH_NORMS or (kind is nn.PReLU and call.module.num_parameters > 1):
            return self._pass(call, self._channels(call, labels), value)
        if kind in ops.ELEMENTWISE_MODULES:
            return labels
        if kind in ops.SPATIAL_MODULES and isinstance(value, Tensor):
            return self._spatial(call, labels, value)
        if kind in ops.MIXING_MODULES:
            return self._mix(call, labels)
        if kind is nn.Flatten:
            return call.module(labels)
        raise self._unknown(call)

    def _layer(self, call: Call, labels: Tensor, value: Tensor) -> Tensor:
        layer = call.module
        axis = -1 if isinstance(layer, nn.Linear) else 1
        if axis == 1 and value.dim() != layer.weight.dim():
            raise ValueError(f"{call} got an example without a batch axis; pass example[None]")
        channels, name = self._channels(call, labels, axis), self._names[layer]
        groups = 1 if isinstance(layer, nn.Linear) else layer.groups
        if 1 < groups == layer.in_channels:  # each channel on its own
            return self._pass(call, channels.repeat_interleave(layer.out_channels // groups), value)
        self._note(self.taken, name, channels)
        if name not in self.made:
            self.made[name] = self.labels.new(len(layer.weight))
        if groups > 1:
            self.labels.fix(torch.cat([channels, self.made[name]]), f"{call} is split into {groups} groups of channels")
        self._fix_if_tied(call, channels, self.made[name])
        return spread(self.made[name], axis, value.shape)

    def _pass(self, call: Call, channels: Tensor, value: Tensor) -> Tensor:
        self._note(self.passed, self._names[call.module], channels)
        self._fix_if_tied(call, channels)
        return spread(channels, 1, value.shape)

    def _elementwise(self, call: Call, read: list[Any], value: Tensor) -> Tensor:
        """Join labels that meet. An operand broadcast over several channels is fixed, since all of them need it."""
        if any(isinstance(mark, (int, float)) for mark in read):
            raise ValueError(
                f"{call} uses a size of its input, which would change with the number of channels; "
                "write the number down, or use mean(...)"
            )
        marks = [mark.reshape([1] * (value.dim() - mark.dim()) + list(mark.shape)) for mark in _tensors(read)]
        varying = {axis for mark in marks for axis in range(value.dim()) if vary(mark, axis)}
        met = []
        for mark in marks:
            if any(mark.shape[axis] < value.shape[axis] for axis in varying):
                self.labels.fix(mark, f"{call} stretches it over several channels")
            else:
                met.append(mark.expand(value.shape))
        for other in met[1:]:
            self.labels.join(met[0], other)
        given = call.node.kwargs.get("other", call.node.args[1] if len(call.node.args) > 1 else None)
        divisor = given if ops.name_of(call) in ops.DIVISIONS else None
        if isinstance(divisor, torch.fx.Node):  # a masked channel is zero, and dividing by it gives NaN
            self.labels.fix(self._marks[divisor], f"{call} divides by it")
        return met[0] if met else self.labels.new(1, f"{call} makes it")[0].expand(value.shape)

    def _spatial(self, call: Call, labels: Tensor, value: Tensor) -> Tensor:
        if value.shape[:2] != labels.shape[:2] or not ops.is_spatial(call, labels.dim()):
            raise self._unknown(call)
        return spread(self._channels(call, labels), 1, value.shape)

    def _reduce(self, call: Call, labels: Tensor, value: Tensor) -> Tensor:
        axes = call.node.kwargs.get("dim", call.node.args[1] if len(call.node.args) > 1 else None)
        axes = tuple(range(labels.dim())) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        if any(vary(labels, axis) for axis in axes):
            self.labels.fix(labels, f"{call} uses all of its channels")
            return self.labels.new(1, f"{call} makes it")[0].expand(value.shape)
        return labels.amax(axes).reshape(value.shape)

    def _mix(self, call: Call, labels: Tensor) -> Tensor:
        self.labels.fix(labels, f"{call} uses all of its channels")
        return labels

    def _move(self, call: Call, node: torch.fx.Node, read: list[Any], value: Any) -> Any:
        """Move the labels as the values were moved, by the same call."""
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), self._solid)
        moved = (
            getattr(args[0], node.target)(*args[1:], **kwargs)
            if node.op == "call_method"
            else node.target(*args, **kwargs)
        )
        if isinstance(read[0], Tensor):  # else a part of a tuple, whose whole has its labels already
            order = sequence(read[0])
            if ops.name_of(call) in ops.TAKING and any(
                not torch.equal(sequence(one), order) for one in _tensors([moved])
            ):
                self.labels.fix(order, f"{call} takes some of its channels by number")
            if ops.name_of(call) in ("view", "reshape") and not ops.keeps_channels(read[0].shape, value.shape):
                self.labels.fix(order, f"{call} splits the axis of its channels")
        return moved

    def _solid(self, node: torch.fx.Node) -> Any:
        """The labels of a value as numbers of their own: spread ones share memory, and view() refuses that."""
        mark = self._marks[node]
        return mark.contiguous() if isinstance(mark, Tensor) else mark

    def _channels(self, call: Call, labels: Tensor, axis: int = 1) -> Tensor:
        channels = along(labels, axis)
        if channels is None:
            raise ValueError(
                f"{call} has its channels on axis {axis % labels.dim()}, but those of its input lie on another one; "
                "only channels that stay on their axis can be followed"
            )
        return channels

    def _note(self, book: dict[str, Tensor], name: str, channels: Tensor) -> None:
        """A layer that is called again must lose the same channels in both calls."""
        self.labels.join(book.setdefault(name, channels), channels)

    def _fix_if_tied(self, call: Call, *channels: Tensor) -> None:
        if any(id(weight) in self._tied for weight in call.module.parameters(recurse=False)):
            self.labels.fix(torch.cat(channels), f"{call} shares its weight with another layer")

    @staticmethod
    def _unknown(call: Call) -> ValueError:
        return ValueError(
            f"cannot follow channels through the call of {call}; write it with layers and functions that keep channels "
            "apart (convolution, linear, batch norm, activation, pooling, add, mul, cat, flatten), or prune weights"
        )


def _tensors(marks: list[Any]) -> list[Tensor]:
    """The labels among some marks, also those in tuples."""
    found = []
    for mark in marks:
        found += [mark] if isinstance(mark, Tensor) else _tensors(list(mark)) if isinstance(mark, (tuple, list)) else []
    return found


def read_channels(model: nn.Module, example: Tensor) -> Reader:
    """Run a copy of `model` on the example in evaluation mode and return the labels noted.

    Raises:
        TypeError: `model` is not a module, or `example` is not a tensor.
        ValueError: the model cannot be traced, cannot be run on the example, or calls an unknown operation.
    """
    if not isinstance(model, nn.Module) or not isinstance(example, Tensor):
        raise TypeError(
            f"expected a module and an example input, got {type(model).__name__} and {type(example).__name__}; "
            "an example is a tensor such as images[:1]"
        )
    need_tensor("example", example, floating=False, fix="an example is a tensor such as images[:1]")
    model = copied(model).eval()
    if model._forward_pre_hooks:
        raise ValueError("the model has a forward pre-hook of its own, which tracing does not see; remove it")
    flow = data_flow(model)
    calls = {call.node: call for call in flow.calls}
    if not calls:
        raise ValueError(f"the forward of {type(model).__name__} calls no layer, so there are no channels to remove")
    vars(model).update(flow.constants)
    reader = Reader(model, calls)
    with torch.no_grad():
        reader.run(example)
    return reader
