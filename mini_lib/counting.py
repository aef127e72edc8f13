"""Count multiply-accumulates where they happen, at torch's operators.

A convolution is a convolution whoever calls it, so a layer of your own counts as well as one of
torch's. Each operator is charged to the module that is running when it is called. A layer that
computes outside of torch has a method `own_macs(output)`, which says what it did there. An operator
that multiplies but whose MACs are not known is refused by name: it must not count as 0.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from mini_lib.calibration import run_model
from mini_lib.copying import need_module

Example = Tensor | tuple[Tensor, ...]

aten = torch.ops.aten

# Matrix products, with the position of their first factor: addmm(bias, a, b) has it at 1.
_FIRST_FACTOR = {
    aten.mm: 0,
    aten.bmm: 0,
    aten.mv: 0,
    aten.dot: 0,
    aten.vdot: 0,
    aten._int_mm: 0,
    aten.addmm: 1,
    aten.baddbmm: 1,
    aten.addbmm: 1,
    aten.addmv: 1,
}


# Operators that multiply, by name: those that are not counted below are refused.
_MULTIPLIES = re.compile(
    "linalg|_fft|cdist|_mm|[bps]mm|addmm|matmul|dot|attention|transformer_|rnn|lstm|gru|convol|conv_|conv\\d|linear|bag"
    "|cholesky|triangular_solve|ormqr|geqrf|pdist|affine_grid|_foreach_addcmul"
)
# Operators that add up the numbers of their first argument, and operators that pass them on one by one.
_ADDS_UP = (aten.sum, aten.mean, aten.nansum, aten.cumsum)
_HANDS_ON = (
    *(aten.view, aten._unsafe_view, aten.unsqueeze, aten.squeeze, aten.permute, aten.transpose, aten.t, aten.expand),
    *(aten.slice, aten.select, aten.split, aten.unbind, aten.alias, aten.detach, aten.clone, aten._to_copy, aten.neg),
)
_DOES_NOT = ("linalg_vector_norm", "linalg_cross", "_linalg_check_errors", "upsample", "_upsample")


def _operator_macs(operator: object, args: tuple, output: object) -> int | None:
    """Return the MACs of one call of an operator, None for an operator that we do not count."""
    if operator in _FIRST_FACTOR:
        a, b = args[_FIRST_FACTOR[operator] :][:2]
        # [..., m, k] x [..., k, n]: every element of a meets each of the n columns of b once.
        return a.numel() * (b.shape[-1] if b.dim() > 1 else 1)
    if operator is aten.convolution:
        input_, weight, transposed = args[0], args[1], args[6]
        # weight[0] is [in / groups, *kernel], which each output gathers; of a transposed
        # convolution it is [out / groups, *kernel], to which each input is scattered.
        return (input_ if transposed else output).numel() * weight[0].numel()
    if operator is aten.conv_tbc:
        return output.numel() * args[1][..., 0].numel()
    if operator is aten.mkldnn_rnn_layer:
        input_, input_weight, hidden_weight = args[:3]
        # Both matrices are applied at each step of each sequence.
        return input_[..., 0].numel() * (input_weight.numel() + hidden_weight.numel())
    if operator is aten._trilinear:
        return _trilinear_macs(*args)
    if operator in (aten._embedding_bag, aten._embedding_bag_forward_only):
        is_weighted = len(args) > 6 and args[6] is not None
        return args[1].numel() * args[0].shape[1] if is_weighted else 0
    if operator in (aten.addr, aten.addcmul, aten.addcmul_) or (operator is aten.mul and _is_outer(args, output)):
        return output.numel()
    return None


def _trilinear_macs(x: Tensor, weight: Tensor, y: Tensor, *unsqueezed: list[int]) -> int:
    """Every weight of a bilinear layer meets one product x_i y_j in each row; the products themselves do not count."""
    shapes = [list(tensor.shape) for tensor in (x, weight, y)]
    for shape, places in zip(shapes, unsqueezed):
        for place in sorted(places):
            shape.insert(place, 1)
    return prod(map(max, *shapes))


def _is_outer(args: tuple, output: Tensor) -> bool:
    """Return whether each factor is stretched to meet the other: an outer product, or a matrix product by hand."""
    return all(isinstance(factor, Tensor) and factor.numel() < output.numel() for factor in args[:2])


def _is_untold(func: object) -> bool:
    """Return whether an operator that is not counted multiplies, or may: operators from outside torch are unknown."""
    name = func.overloadpacket.__name__
    return func.namespace not in ("aten", "prim", "prims") or bool(
        _MULTIPLIES.search(name) and not name.startswith(_DOES_NOT)
    )


@dataclass
class Tally:
    """What one module did in a forward pass."""

    macs: int = 0
    input_bytes: int = 0
    output_bytes: int = 0


class _MacCounter(TorchDispatchMode):
    """Sees every operator while it is active, and charges its MACs to the module that is running."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tallies: dict[nn.Module, Tally] = defaultdict(Tally)
        self._running = [model]  # from the start, for hooks that run before the model itself
        self._products = WeakIdKeyDictionary()  # element-wise, of two tensors: multiply-accumulates once summed up

    def enter(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self._running.append(module)
        self.tallies[module].input_bytes += _tensor_bytes((args, kwargs))

    def leave(self, module: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
        self._running.pop()
        self.tallies[module].output_bytes += _tensor_bytes(output)
        if hasattr(module, "own_macs"):
            self.tallies[module].macs += module.own_macs(output)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # An operator made of others (linear in inference mode) is taken apart, and those are counted.
        with self:
            output = func.decompose(*args, **(kwargs or {}))
        if output is not NotImplemented:
            return output
        output = func(*args, **(kwargs or {}))
        macs = _operator_macs(func.overloadpacket, args, output)
        tells = hasattr(self._running[-1], "own_macs")  # it counts what it multiplies by hand
        if macs is None and _is_untold(func) and not tells:
            raise ValueError(
                f"{type(self._running[-1]).__name__} calls {func.overloadpacket}, whose MACs are not known; give the "
                "layer a method own_macs(output) that returns them, 0 where it multiplies nothing"
            )
        if macs is None and not tells:
            macs = self._summed_products(func.overloadpacket, args, output)
        if macs:
            self.tallies[self._running[-1]].macs += macs
        return output

    def _summed_products(self, operator: object, args: tuple, output: object) -> int:
        """Follow the element-wise products of two tensors, and return how many of them are added up here.

        Integers are not followed: they are indexes, or codes being unpacked.
        """
        if not (args and isinstance(args[0], Tensor)) or not (args[0].is_floating_point() or args[0].is_complex()):
            return 0
        held = self._products.get(args[0], False)
        if operator in (aten.mul, aten.mul_):
            self._products[output] = held or isinstance(args[1], Tensor)
        elif held and (operator in _HANDS_ON or (operator is aten.div and not isinstance(args[1], Tensor))):
            for handed in tensors_in(output):
                self._products[handed] = True
        return args[0].numel() if held and operator in _ADDS_UP else 0


def run_counted(model: nn.Module, example: Example) -> dict[nn.Module, Tally]:
    """Run `model` once on `example` and return what each module did; the model is left as it was.

    Raises:
        TypeError: `model` is not a module, or `example` is not made of tensors.
        ValueError: a tensor of `example` is empty, the model cannot be run on it, or calls an operator whose MACs are
            not known.
    """
    need_module(model)
    inputs = example_inputs(example)
    counter = _MacCounter(model)
    hooks = []
    for module in model.modules():
        hooks.append(module.register_forward_pre_hook(counter.enter, with_kwargs=True))
        hooks.append(module.register_forward_hook(counter.leave, with_kwargs=True))
    try:
        with evaluating(model), _plain_attention(), counter:
            run_model(model, *inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return dict(counter.tallies)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run the block with `model` in eval mode and without gradients, then restore every module's mode."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Compute attention by plain matrix products, since fused kernels hide theirs."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def tensors_in(value: object) -> list[Tensor]:
    """Return the tensors inside nested tuples, lists and dicts, in their order.

    >>> tensors_in({"a": (torch.tensor(1), [torch.tensor(2)]), "b": None})
    [tensor(1), tensor(2)]
    """
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [tensor for item in value for tensor in tensors_in(item)]


def _tensor_bytes(value: object) -> int:
    return sum(tensor.nbytes for tensor in tensors_in(value))


def example_inputs(example: Example) -> tuple[Tensor, ...]:
    """Return the positional arguments that `example` stands for, once they are found usable.

    Raises:
        TypeError: it is not made of tensors.
        ValueError: a tensor is empty.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    for value in inputs:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"example must be a tensor or a tuple of tensors, got {type(value).__name__}; "
                "pass one batch such as torch.zeros(1, 1, 28, 28)"
            )
        if value.numel() == 0:
            raise ValueError(
                f"example must hold at least one element, got shape {tuple(value.shape)}; pass a batch of 1 or more"
            )
    return inputs
