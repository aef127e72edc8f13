"""From a fake-quant model to a model stored exactly as it computes."""

from __future__ import annotations

import torch
from torch import nn

from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear
from mini_lib.quantize.qtensor import QTensor
from mini_lib.quantize.train.layers import FakeQuantConv2d, FakeQuantLayer, FakeQuantLinear
from mini_lib.surgery import find, swap


@torch.no_grad()
def export(trained: nn.Module) -> nn.Module:
    """Return a model with packed weights that predicts what `trained` predicts in eval mode, to the last bit.

    Its layers are the `QuantizedLinear` and `QuantizedConv2d` of post-training quantization, so `save_model` and
    `load_model` take it. Batch norms that are not folded stay in float: re-estimate them before.

    Args:
        trained: the model that `prepare` made and `fit` trained; the argument stays as it is.

    Raises:
        TypeError: `trained` is not a module.
        ValueError: there is no fake-quant layer, or a layer holds a value that cannot be stored, such as NaN, a step
            that is not finite and positive, or a value that its dtype cannot hold; or is not plain (it has a hook, or
            is of a class of your own); the message names the layer.

    >>> from mini_lib.quantize import IntFormat, prepare
    >>> trained = prepare(nn.Sequential(nn.Linear(2, 1, bias=False)), IntFormat(4))
    >>> _ = trained[0].fake_weight.latent.data.copy_(trained[0].fake_weight.step() * torch.tensor([[7.0, -2.2]]))
    >>> export(trained)[0].qweight.codes
    tensor([[ 7, -2]], dtype=torch.int32)

    Source: Jacob 2018, section 3.
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
    if type(layer) not in (FakeQuantConv2d, FakeQuantLinear):
        raise ValueError(f"it is a {type(layer).__name__}, of which no stored form is known; use what prepare makes")
    for name, learned in layer.named_parameters():
        if not learned.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity, so training went wrong; lower the learning rate")
    held = layer.fake_weight
    weight = QTensor(held.fmt, held.shape, held.fields())
    if isinstance(layer, FakeQuantConv2d):
        new = QuantizedConv2d(weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    else:
        new = QuantizedLinear(weight, layer.bias)
    if layer.input_grid is not None:
        new.set_input_grid(*layer.input_grid.grid())
    return new.train(layer.training)
