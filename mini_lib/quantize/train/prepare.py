"""Quantization-aware training starts here: a copy of a trained model that rounds as it will be stored."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mini_lib.calibration import Calibration, batches, observe
from mini_lib.plain import need_own
from mini_lib.quantize.choice import FormatChoice, choose_formats
from mini_lib.quantize.formats import IntFormat, Observer
from mini_lib.quantize.granularity import PER_TENSOR
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.model import chosen_layers
from mini_lib.quantize.observers import mse
from mini_lib.quantize.range_observer import RangeObserver
from mini_lib.quantize.train.layers import FakeQuantConv2d, FakeQuantLinear, InputGrid
from mini_lib.quantize.train.pact import PACT
from mini_lib.quantize.train.weights import fake_quant_weight
from mini_lib.require import one_of
from mini_lib.surgery import Where, swap

ActivationChoice = IntFormat | PACT | Callable[[str, nn.Module], IntFormat | PACT | None]


def prepare(
    model: nn.Module,
    fmt: FormatChoice,
    *,
    activations: ActivationChoice | None = None,
    method: str = "lsq",
    calibration: Calibration | None = None,
    where: Where = is_weight_layer,
    observer: Observer = mse,
) -> nn.Module:
    """Return a copy of `model` whose chosen layers round their weights, and perhaps inputs, each time they run.

    Train it with `fit`, then `export` it. Untrained, it computes the same as post-training quantization with the same
    `observer`, to the last bit: training starts there. The floats behind the codes are the parameters, so small
    gradients that change no code at first add up until they do.

    For batch norm there are three ways. Fold it first, `prepare(fold_batch_norm(model), ...)`, and the trained model is
    exactly the stored one; a model that was trained unfolded cannot be folded exactly, since gains per channel take the
    weights off a grid that channels share, or round the scales of grids that they do not share. Or leave it in:
    `export` keeps it as float arithmetic after each layer. Then it rescales each channel as codes flip, which helps
    most at 1 and 2 bits; call `reestimate_batch_norm` after training, before `export`. Or freeze its statistics with
    `freeze_batch_norm`.

    Args:
        model: trained; the argument stays as it is. In eval mode if `activations` are given.
        fmt: as in `quantize_weights`: a format, a mapping from every chosen layer to its format or bits, or a function.
            IntFormat, TernaryFormat, BinaryFormat and CodebookFormat can be trained.
        activations: the grid of each layer's input: an IntFormat with one scale per tensor, a `PACT(bits)`, which is
            copied for each layer, or a function `(name, module)` that gives one of them, or None for an input in float.
        method: "lsq" learns steps and scales with the weights. "ste" does not: an integer grid keeps the step that the
            observer chose, and ternary and binary weights fit their scale to the floats each time. The centroids of a
            codebook are learned either way.
        calibration: inputs [N, ...], a batch or an iterable of batches, which show where the grids of activations
            begin; training images, never test ones.
        where: `where(name, module) -> bool` chooses among the nn.Conv2d and nn.Linear layers; the others stay in float.
        observer: chooses where each integer grid begins; `lsq_range` is the choice of LSQ's authors.

    Raises:
        TypeError: a format is not a Format, or a batch is not a tensor.
        ValueError: no layer is chosen; one is not plain (a hook, a mask or a forward of its own), shares its weight or
            bias, is not float32, or not finite; no training is known for a format, or it is unfit for an activation;
            activations lack calibration data, or it is empty or not finite; or a layer never runs on it.

    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[7.0, -2.2]]))
    >>> prepare(model, IntFormat(4))[0].weight.tolist()            # the step is 1
    [[7.0, -2.0]]

    Source: Jacob 2018, section 3; Krishnamoorthi 2018 (arXiv:1806.08342), section 3.2; Esser 2020, section 2.3.
    """
    method = one_of("method", method, ("lsq", "ste"), fix="'lsq' learns the steps, and 'ste' does not")
    layers = chosen_layers(model, where)
    _check(model, layers)
    formats = choose_formats(fmt, layers)
    grids = _input_grids(model, layers, activations, calibration, observer, learned=method == "lsq")
    new = {}
    for name, layer in layers.items():
        kind = FakeQuantConv2d if isinstance(layer, nn.Conv2d) else FakeQuantLinear
        try:
            new[name] = kind(layer, fake_quant_weight(layer.weight, formats[name], method, observer), grids.get(name))
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
    return swap(model, new)


def _input_grids(
    model: nn.Module,
    layers: dict[str, nn.Module],
    choice: ActivationChoice | None,
    calibration: Calibration | None,
    observer: Observer,
    learned: bool,
) -> dict[str, nn.Module]:
    """Return the module that rounds the input of each layer, with its range taken from the calibration data."""
    if choice is None:
        return {}
    if calibration is None:
        raise ValueError("the first grids of activations come from calibration data; pass some training images")
    watches: dict[str, RangeObserver] = {}
    wanted = {name: _activation(choice, name, layer) for name, layer in layers.items()}
    wanted = {name: one for name, one in wanted.items() if one is not None}
    for name, one in wanted.items():
        watches[name] = RangeObserver(one.fmt if isinstance(one, PACT) else one, observer)
    observe(model, batches(calibration), watches, lambda name, inputs, output: watches[name].update(inputs))
    grids: dict[str, nn.Module] = {}
    for name, one in wanted.items():
        try:
            scale, zero_point = watches[name].qparams()
        except ValueError as error:
            raise ValueError(f"the input of layer '{name}': {error}") from error
        if isinstance(one, PACT):
            grids[name] = PACT(one.fmt.bits, clip=scale.item() * one.fmt.qmax)
        else:
            grids[name] = InputGrid(one, scale, zero_point, learned)
    return grids


def _activation(choice: ActivationChoice, name: str, layer: nn.Module) -> IntFormat | PACT | None:
    one = choice if isinstance(choice, IntFormat | PACT) or not callable(choice) else choice(name, layer)
    if one is None or isinstance(one, PACT) or (isinstance(one, IntFormat) and one.granularity == PER_TENSOR):
        return one
    raise ValueError(
        f"layer '{name}': an activation needs an IntFormat with one scale per tensor or a PACT(bits), got {one!r}; "
        "use IntFormat(8, signed=False) after a ReLU"
    )


def _check(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    need_own(model, layers, "which would be trained as two")
    for name, layer in layers.items():
        if layer.weight.dtype != torch.float32:
            raise ValueError(f"layer '{name}' holds {layer.weight.dtype}; training needs float32: call model.float()")
        if layer.bias is not None and not layer.bias.isfinite().all():
            raise ValueError(f"layer '{name}': the bias holds NaN or infinity; find out where they come from")
