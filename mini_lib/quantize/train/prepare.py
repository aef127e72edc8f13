"""Quantization-aware training starts here: a copy of a trained model that rounds as it will be stored."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils import parametrize

from mini_lib.calibration import Calibration, batches, observe
from mini_lib.quantize.choice import FormatChoice, choose_formats
from mini_lib.quantize.formats import IntFormat, Observer
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.observers import mse
from mini_lib.quantize.range_observer import RangeObserver
from mini_lib.quantize.train.layers import FakeQuantConv2d, FakeQuantLinear, InputGrid
from mini_lib.quantize.train.pact import PACT
from mini_lib.quantize.train.weights import fake_quant_weight
from mini_lib.quantize.validate import finite_float32
from mini_lib.require import one_of
from mini_lib.surgery import Where, find, swap

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
    """Return a copy of `model` whose chosen layers round their weights in every forward pass, to be trained with `fit`.

    Raises:
        TypeError: a format or activation is not one, or a batch is not a tensor.
        ValueError: see the messages.
    """
    one_of("method", method, ("lsq", "ste"), fix="'lsq' learns the steps, 'ste' does not")
    chosen = find(model, lambda name, module: is_weight_layer(name, module) and where(name, module))
    if not chosen:
        raise ValueError("where chooses no nn.Conv2d or nn.Linear with a float weight; there is nothing to train")
    layers = dict(chosen)
    _check(model, layers)
    new = {}
    formats = choose_formats(fmt, layers)
    grids = _input_grids(model, layers, activations, method == "lsq", calibration, observer)
    for name, layer in layers.items():
        kind = FakeQuantConv2d if isinstance(layer, nn.Conv2d) else FakeQuantLinear
        try:
            finite_float32("the weight", layer.weight)
            weight = fake_quant_weight(layer.weight, formats[name], method, observer)
            new[name] = kind(layer, weight, grids.get(name))
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
    return swap(model, new)


def _input_grids(
    model: nn.Module,
    layers: dict[str, nn.Module],
    activations: ActivationChoice | None,
    learned: bool,
    calibration: Calibration | None,
    observer: Observer,
) -> dict[str, nn.Module]:
    """Return what rounds the input of each layer, its range taken from the calibration data."""
    if activations is None:
        return {}
    if calibration is None:
        raise ValueError("activations need calibration data, to see where their grids begin; pass training images")
    plain = isinstance(activations, IntFormat | PACT)
    wanted = {name: activations if plain else activations(name, layer) for name, layer in layers.items()}
    wanted = {name: one for name, one in wanted.items() if one is not None}
    formats = {name: one.fmt if isinstance(one, PACT) else one for name, one in wanted.items()}
    watches = {name: RangeObserver(fmt, observer) for name, fmt in formats.items()}
    observe(model, batches(calibration), watches, lambda name, inputs, output: watches[name].update(inputs))
    grids = {}
    for name, watch in watches.items():
        try:
            scale, zero_point = watch.qparams()
        except ValueError as error:
            raise ValueError(f"the input of layer '{name}': {error}") from error
        if isinstance(wanted[name], PACT):
            grids[name] = deepcopy(wanted[name])
            with torch.no_grad():
                grids[name].clip.copy_(scale * formats[name].qmax)
        else:
            grids[name] = InputGrid(formats[name], scale, zero_point, learned)
    return grids


def _check(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module):
            raise ValueError(
                f"'{name}' is masked (or parametrized otherwise), and rounding would undo that; make it plain first"
            )
    for name, layer in layers.items():
        if layer.weight.dtype != torch.float32:
            raise ValueError(f"layer '{name}' holds {layer.weight.dtype}; training needs float32: call model.float()")
        users = [other for other, module in model.named_modules() if layer.weight in set(module.parameters(False))]
        if len(users) > 1:
            raise ValueError(f"the weight of '{name}' is that of '{users[1]}' too; give each a weight of its own")
