"""Post-training quantization of a whole model: weights only, or weights and activations."""

from __future__ import annotations

import torch
from torch import nn

from mini_lib.calibration import Calibration, batches, observe
from mini_lib.copying import need_module
from mini_lib.fold import find_batch_norms
from mini_lib.plain import need_plain
from mini_lib.quantize.choice import FormatChoice, choose_formats
from mini_lib.quantize.formats import Format, IntFormat, Observer
from mini_lib.quantize.granularity import PerTensor
from mini_lib.quantize.layers import QuantizedLayer, is_weight_layer, quantized_layer
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.qtensor import quantize
from mini_lib.quantize.range_observer import RangeObserver
from mini_lib.quantize.ties import tied_layers
from mini_lib.require import callable_
from mini_lib.surgery import Where, find, swap

UNSIGNED_8_BITS = IntFormat(8, symmetric=False, signed=False)


def quantize_weights(
    model: nn.Module, fmt: FormatChoice, where: Where = is_weight_layer, observer: Observer = min_max
) -> nn.Module:
    """Return a new model whose chosen layers hold their weights as packed codes in the format `fmt`.

    A file stores the state dict of the new model, so `measure.stored_bytes` counts packed bytes. It saves bytes but no
    time: each forward pass unpacks the codes and computes in float32. Biases, and layers that are not chosen (or are
    quantized already), stay as they are. Layers that share their weight continue to share it, as codes. Fold batch norm
    first, so that the quantized weights are those that are really used.

    Args:
        model: the argument stays as it is.
        fmt: one format for all layers, any rung of the ladder; or a mapping such as `{"conv1": 8, "fc": 2}` that gives
            every chosen layer its bits or format; or a function `(name, module) -> format`.
        where: `where(name, module) -> bool` chooses among the nn.Conv2d and nn.Linear layers.
        observer: chooses the range of each integer grid.

    Raises:
        TypeError: `fmt` is neither a format nor a mapping or function that gives one.
        ValueError: no layer is chosen, a mapping does not name exactly the chosen layers, or a layer is not plain (it
            has a hook, a mask or a forward of its own), shares its weight with one that stays in float, or has a weight
            or bias that cannot be quantized; the message names the layer.

    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[7.0, -2.2]]))
    >>> quantize_weights(model, {"0": 4})[0].weight                  # the step is 1
    tensor([[ 7., -2.]])

    Source: Krishnamoorthi 2018 (arXiv:1806.08342), section 3.1.1.
    """
    return swap(model, _quantized_layers(model, fmt, where, observer))


def quantize_weights_and_activations(
    model: nn.Module,
    weight_fmt: FormatChoice,
    activation_fmt: FormatChoice,
    calibration: Calibration,
    *,
    where: Where = is_weight_layer,
    weight_observer: Observer = min_max,
    activation_observer: Observer = min_max,
) -> nn.Module:
    """Return a new model with quantized weights whose layers also round their inputs to a fixed grid.

    The grid of each layer's input is chosen once, from the values that pass there while the float model runs on the
    calibration data (static quantization). It costs 8 stored bytes per layer, for a scale and a zero point. The
    arithmetic stays float32 on rounded numbers (fake quantization), so accuracy is that of an integer machine but speed
    is not.

    Args:
        model: in eval mode, batch norm folded; the argument stays as it is.
        weight_fmt, where, weight_observer: as in `quantize_weights`.
        activation_fmt: an IntFormat with one grid per tensor, such as `UNSIGNED_8_BITS`, or a function `(name, module)
            -> format`.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        activation_observer: chooses the range of each input grid.

    Raises:
        TypeError: a format is not a Format, or a batch is not a tensor.
        ValueError: batch norm is not folded, the model is in training mode, calibration is empty, or a layer cannot
            be quantized or never runs (the message names the layer).

    Inputs go from 0 to 3 and are 2 bits wide, so they round to whole numbers:

    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.fill_(7.0)
    >>> fmt = IntFormat(2, symmetric=False, signed=False)
    >>> small = quantize_weights_and_activations(model, IntFormat(4), fmt, torch.tensor([[0.0], [3.0]]))
    >>> small(torch.tensor([[1.2], [1.8], [9.0]])).flatten().tolist()         # 7 * 1, 7 * 2, 7 * 3
    [7.0, 14.0, 21.0]

    Source: Jacob et al. 2018, section 3; Krishnamoorthi 2018, section 3.1.2.
    """
    need_module(model)
    norms = find_batch_norms(model)
    if norms:
        raise ValueError(
            f"batch norm '{norms[0]}' is not folded, so its layer's output and not the activation would be rounded; "
            "fold it first with fold_batch_norm(model)"
        )
    layers = _quantized_layers(model, weight_fmt, where, weight_observer)
    chosen = {name: model.get_submodule(name) for name in layers}
    formats = {name: _need_grid(name, fmt) for name, fmt in choose_formats(activation_fmt, chosen).items()}
    ranges = {name: RangeObserver(formats[name], activation_observer) for name in layers}
    seen = set()

    def look(name: str, inputs: torch.Tensor, output: torch.Tensor) -> None:
        seen.add(name)
        ranges[name].update(inputs)

    observe(model, batches(calibration), layers, look)
    for name, layer in layers.items():
        if name not in seen:
            raise ValueError(f"layer '{name}' never runs on the calibration data; leave it out with where")
        try:
            layer.set_input_grid(formats[name], *ranges[name].qparams())
        except ValueError as error:
            raise ValueError(f"the input of layer '{name}': {error}") from error
    return swap(model, layers)


def chosen_layers(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return those of the layers with a float weight that `where(name, module)` chooses, by name.

    Raises:
        TypeError: `model` is not a module, or `where` cannot be called.
        ValueError: it chooses no layer, or one that is not plain: something else decides what it computes (see
            `plain`).

    >>> list(chosen_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), is_weight_layer))
    ['0']
    """
    candidates = find(model, is_weight_layer)
    callable_("where", where, fix="pass a function (name, module) -> bool")
    chosen = find(model, lambda name, module: is_weight_layer(name, module) and where(name, module))
    if not chosen:
        names = ", ".join(name for name, _ in candidates)
        raise ValueError(
            f"where chooses none of the layers with a float weight ({names}); name one of them"
            if candidates
            else "the model has no nn.Conv2d or nn.Linear with a float weight; there is nothing to quantize"
        )
    for name, layer in chosen:
        need_plain(name, layer)
    return dict(chosen)


def _quantized_layers(
    model: nn.Module, fmt: FormatChoice, where: Where, observer: Observer
) -> dict[str, QuantizedLayer]:
    """Return the replacement of each chosen layer, by its name."""
    chosen = chosen_layers(model, where)
    formats = choose_formats(fmt, chosen)
    ties = tied_layers(model, chosen, formats)
    layers = {}
    for name, module in chosen.items():
        try:
            weight = quantize(module.weight, formats[name], observer)
            if module.bias is not None and not module.bias.isfinite().all():
                raise ValueError("the bias holds NaN or infinity; find out where they come from")
            layers[name] = quantized_layer(module, weight)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
    for name, attribute, first in ties:
        if attribute == "weight":
            layers[name].tie_to(layers[first])
        else:
            layers[name].bias = layers[first].bias
    return layers


def _need_grid(name: str, fmt: Format) -> IntFormat:
    if not (isinstance(fmt, IntFormat) and fmt.granularity == PerTensor()):
        raise ValueError(
            f"layer '{name}': an activation needs an integer grid with one scale per tensor, got {fmt.label}; use "
            "IntFormat(8, symmetric=False, signed=False)"
        )
    return fmt
