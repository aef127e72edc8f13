"""From a quantized model to one that computes on its packed codes."""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from mini_lib.kernels import TORCH, instruction_sets
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer
from mini_lib.quantize.packed.layers import PackedConv2d, PackedLayer, PackedLinear, why_not_packable
from mini_lib.require import callable_
from mini_lib.surgery import Where, find, swap


def is_packable(name: str, module: nn.Module) -> bool:
    """Whether `module` is a quantized layer that has a packed form."""
    return why_not_packable(module) is None


def pack_for_speed(model: nn.Module, where: Where = is_packable) -> nn.Module:
    """Return a new model in eval mode whose quantized layers compute on their packed codes.

    By default every layer that has a packed form gets it, and the others stay as they are: float layers, convolutions
    with channel groups, codebooks, fixed input grids. Without a C compiler the model computes the same in torch, from
    unpacked codes, and a warning says so: it is then small but slow. Use `save_model` and `load_model` on the model
    before it is packed.

    Args:
        model: a model of QuantizedLinear and QuantizedConv2d, as `quantize_weights` makes it; it stays as it is.
        where: `where(name, module) -> bool` chooses among the quantized layers.

    Raises:
        TypeError: `model` is not a module, or `where` cannot be called.
        ValueError: no layer is chosen, or a chosen one has no packed form; the message names it and says why.

    >>> from mini_lib.quantize import IntFormat, PerGroup, quantize_weights
    >>> model = quantize_weights(nn.Sequential(nn.Linear(64, 32)), IntFormat(4, granularity=PerGroup(32)))
    >>> pack_for_speed(model)
    Sequential(
      (0): PackedLinear([32, 64], weight=int4 per group of 32, bias=True)
    )
    """
    quantized = find(model, lambda name, module: isinstance(module, QuantizedLayer))
    callable_("where", where, fix="pass a function (name, module) -> bool")
    chosen = [(name, module) for name, module in quantized if where(name, module)]
    reasons = {name: why_not_packable(module) for name, module in (chosen or quantized)}
    refused = [f"layer '{name}': {reason}" for name, reason in reasons.items() if reason]
    if not chosen:
        raise ValueError(
            "no layer is chosen that can compute on packed codes: "
            + ("; ".join(refused) or "the model has no quantized layer; call quantize_weights first")
        )
    if refused:
        raise ValueError(f"{refused[0]}; leave it out of `where`")
    if instruction_sets() == (TORCH,):
        warnings.warn(
            "there is no C compiler, so packed layers unpack their codes and multiply in torch: small but slow. "
            "Install gcc or clang, or `pip install ziglang`",
            stacklevel=2,
        )
    packed = {name: _packed_layer(name, module) for name, module in chosen}
    first: dict[Tensor, str] = {}
    for name, module in chosen:  # layers that share their codes continue to share them
        if (owner := first.setdefault(module.weight_codes, name)) != name:
            packed[name].tie_to(packed[owner])
    return swap(model, packed).eval()


def _packed_layer(name: str, layer: QuantizedLayer) -> PackedLayer:
    try:
        return PackedConv2d(layer) if isinstance(layer, QuantizedConv2d) else PackedLinear(layer)
    except (TypeError, ValueError) as error:
        raise type(error)(f"layer '{name}': {error}") from error
