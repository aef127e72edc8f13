"""Bias correction: undo the shift that rounding the weights causes in the mean of a layer's output.

Rounding errors of a channel's weights do not cancel: with an input of mean E[x], the output moves by E[(W~ - W) x] =
(W~ - W) E[x], the same way for every image. Few weights per channel, as in a depthwise layer, and few bits make it
large. The shift is a constant, so the bias can undo it at no cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe, running_order
from mini_lib.copying import need_module
from mini_lib.fold import find_batch_norms
from mini_lib.plain import need_own
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear
from mini_lib.surgery import hook_of, swap


@torch.no_grad()
def correct_bias(model: nn.Module, quantized: nn.Module, calibration: Calibration) -> nn.Module:
    """Return a copy of `quantized` whose layers have the same mean output, channel by channel, as those of `model`.

    The layers are corrected one after the other, in the order in which they run, each after those before it: so a
    correction undoes the shift of the layer's own rounding and the remainder of the shifts before it. A layer without a
    bias gets one, in the layer's dtype.

    Args:
        model: the float model, in eval mode with batch norm folded.
        quantized: the model that `quantize_weights` or `quantize_weights_and_activations` made of it. Both arguments
            stay as they are.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.

    Raises:
        TypeError: a model is not a module, or a batch is not a tensor.
        ValueError: a model is in training mode or has batch norm that is not folded; `quantized` has no quantized
            layer, or one that `model` does not have, that has a hook, or that shares its bias; the outputs of a layer,
            or its new bias, would not be finite; or calibration is empty.

    The grid of [1.4, 1.4, 7] has step 1, so both 1.4 become 1. Inputs of mean 5 then give 2 * 0.4 * 5 = 4 too little:

    >>> from mini_lib.quantize import IntFormat, quantize_weights
    >>> model = nn.Sequential(nn.Linear(3, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.4, 1.4, 7.0]]))
    >>> images = torch.tensor([[4.0, 6.0, 0.0], [6.0, 4.0, 0.0]])
    >>> round(correct_bias(model, quantize_weights(model, IntFormat(4)), images)[0].bias.item(), 4)
    4.0

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2;
    here with means measured on data, as in its appendix on empirical bias correction.
    """
    for each in (model, quantized):
        need_module(each)
    data = batches(calibration)
    norms = find_batch_norms(model)
    if norms:
        raise ValueError(
            f"batch norm '{norms[0]}' of the float model is not folded, so its layers give other outputs than the "
            "quantized ones; pass fold_batch_norm(model)"
        )
    layers = {name: module for name, module in quantized.named_modules() if isinstance(module, QuantizedLayer)}
    if not layers:
        raise ValueError("the second model has no quantized layer; make it with quantize_weights(model, fmt)")
    need_own(quantized, layers, "and each shifts in its own way")
    quantized = swap(quantized, {})
    names = running_order(quantized, data, layers)
    known = dict(model.named_modules(remove_duplicate=False))
    for name in names:
        if not _same_shape(known.get(name), layers[name]):
            raise ValueError(f"the float model has no layer '{name}' of that shape; pass the model that was quantized")
        for layer in (known[name], layers[name]):
            if odd := hook_of(layer) or ("forward" in vars(layer) and "forward") or _class_of_its_own(layer):
                raise ValueError(f"layer '{name}' has a {odd} of its own, which may change its mean; remove it first")
    wanted = _mean_outputs(model, data, names)
    for name in names:
        layer = quantized.get_submodule(name)
        shift = _mean_outputs(quantized, data, [name])[name] - wanted[name]
        bias = layer.bias if layer.bias is not None else torch.zeros(layer.weight_shape[0], dtype=layer.dtype)
        corrected = (bias.double() - shift).to(bias.dtype)
        if not corrected.isfinite().all():
            raise ValueError(
                f"the bias of layer '{name}' would not be finite in {bias.dtype}; check what the layer gives, or call "
                "float() on both models"
            )
        layer.bias = nn.Parameter(corrected)
    return quantized


def _class_of_its_own(layer: nn.Module) -> str | None:
    odd = isinstance(layer, QuantizedLayer) and type(layer) not in (QuantizedLinear, QuantizedConv2d)
    return "class" if odd else None


def _same_shape(layer: nn.Module | None, quantized: QuantizedLayer) -> bool:
    kind = nn.Linear if isinstance(quantized, QuantizedLinear) else nn.Conv2d
    return isinstance(layer, kind) and tuple(layer.weight.shape) == quantized.weight_shape


def _mean_outputs(model: nn.Module, data: list[Tensor], names: list[str]) -> dict[str, Tensor]:
    """Return the mean output of each channel of each layer, float64 [channels]."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        # Channels are the last axis of a linear layer's output and axis 1 of a convolution's.
        linear = isinstance(model.get_submodule(name), (nn.Linear, QuantizedLinear))
        channels = output.movedim(-1 if linear else 1, 0).flatten(1)
        sums[name] = sums.get(name, 0) + channels.double().sum(dim=1)
        counts[name] = counts.get(name, 0) + channels.shape[1]

    observe(model, data, names, look)
    return {name: sums[name] / counts[name] for name in names}
