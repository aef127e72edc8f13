"""From a fake-quant model to one that is stored as it computes."""

from __future__ import annotations

import torch
from torch import nn

from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear
from mini_lib.quantize.qtensor import QTensor
from mini_lib.quantize.train.layers import FakeQuantConv2d, FakeQuantLayer
from mini_lib.surgery import find, swap


@torch.no_grad()
def export(trained: nn.Module) -> nn.Module:
    """Return a model with packed weights that predicts what `trained` predicts in eval mode, to the last bit.

    Raises:
        ValueError: there is no fake-quant layer, or one holds what cannot be stored; the message names the layer.
    """
    found = find(trained, lambda name, module: isinstance(module, FakeQuantLayer))
    if not found:
        raise ValueError("the model has no fake-quant layer; make them with prepare(model, fmt) and train them")
    new = {}
    for name, layer in found:
        try:
            new[name] = _exported(layer)
        except ValueError as error:
            raise ValueError(f"layer '{name}': {error}") from error
    return swap(trained, new)


def _exported(layer: FakeQuantLayer) -> QuantizedLayer:
    held = layer.fake_weight
    for name, tensor in layer.named_parameters():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity: training went wrong; lower the learning rate")
    weight = QTensor(held.fmt, held.shape, held.fields())
    if weight.scale is not None and not bool(((weight.scale > 0) & weight.scale.isfinite()).all()):
        raise ValueError("a trained step is not finite and positive")
    if isinstance(layer, FakeQuantConv2d):
        new = QuantizedConv2d(weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    else:
        new = QuantizedLinear(weight, layer.bias)
    grid = layer.input_grid
    if grid is not None:
        zero_point = getattr(grid, "zero_point", torch.zeros((), dtype=torch.int32))
        new.set_input_grid(grid.fmt, grid.scale.detach().clone(), zero_point.clone())
    return new.train(layer.training)
