"""A whole model, rounded layer by layer for the inputs of each layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration
from mini_lib.compensation import layer_by_layer
from mini_lib.copying import copied
from mini_lib.plain import need_own
from mini_lib.quantize.choice import FormatChoice, choose_formats
from mini_lib.quantize.formats import FloatFormat, Format
from mini_lib.quantize.layers import quantized_layer
from mini_lib.quantize.model import chosen_layers
from mini_lib.quantize.qtensor import QTensor, quantize
from mini_lib.surgery import Where, swap

# (weight, second moments of the layer's inputs, format) -> the rounded weight
RoundWeight = Callable[[Tensor, Tensor, Format], QTensor]


@torch.no_grad()
def round_layers(
    model: nn.Module, fmt: FormatChoice, calibration: Calibration, where: Where, round_weight: RoundWeight
) -> nn.Module:
    """Return a new model whose chosen layers hold their weights as packed codes, rounded by `round_weight`.

    The layers are rounded in the order in which they run, and each reads the outputs of those rounded before it. A
    layer in a float format is rounded to nearest: its grid is as fine as the arithmetic.

    Raises:
        TypeError: `fmt` is neither a format nor a mapping or function that gives one, or a batch is not a tensor.
        ValueError: the model is in training mode; no layer is chosen; a chosen layer does not run, is masked, shares
            its weight, holds NaN or cannot be quantized (it is named); calibration is empty or holds NaN.
    """
    names = layers_to_round(model, where)
    rounded = copied(model)
    layers = {name: rounded.get_submodule(name) for name in names}
    formats, new = choose_formats(fmt, layers), {}
    for name, layer, moments in layer_by_layer(rounded, calibration, layers):
        try:
            if isinstance(formats[name], FloatFormat):
                weight = quantize(layer.weight, formats[name])
            else:
                weight = round_weight(layer.weight, moments, formats[name])
            if layer.bias is not None and not layer.bias.isfinite().all():
                raise ValueError("the bias holds NaN or infinity; find out where they come from")
            new[name] = quantized_layer(layer, weight)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
        layer.weight.copy_(weight.dequantize())
    return swap(model, new)


def layers_to_round(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return the chosen layers by name, each with a weight of its own.

    Raises:
        ValueError: no layer is chosen, or one is not plain, or shares its weight or bias with another.

    >>> list(layers_to_round(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), lambda name, module: True))
    ['0', '2']
    """
    layers = chosen_layers(model, where)
    need_own(model, layers, "and each reads something else")
    return layers
