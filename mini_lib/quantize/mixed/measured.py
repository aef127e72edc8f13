"""The cost of each layer at each width on this machine, timed where it runs: inside the model.

A layer timed alone in a loop finds its input and its weights in the nearest cache. In the model it finds the data that
the layers before it left there. So whole models run, with a clock read before and after each layer. They are mixtures:
in each, the layers have different widths, and together each layer has each width once. (With one width everywhere, a
float layer would always follow a float layer; mixtures were then up to a fifth slower than predicted.) The clocks take
time themselves, so the time of the rest of the model is that of a run without clocks minus its layers.

A model that is used again and again keeps its weights in the caches, as far as they fit. But models that are timed in
turns push each other out of the caches, so each runs once untimed before it is timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from time import perf_counter

from torch import Tensor, nn

from mini_lib.calibration import run_model
from mini_lib.copying import need_module
from mini_lib.counting import evaluating
from mini_lib.latency import Latency, compare_latency
from mini_lib.quantize.choice import need_same_layers
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.ladder import rung
from mini_lib.quantize.layers import QuantizedLayer, is_weight_layer
from mini_lib.quantize.mixed.cost_table import CostTable, WidthCost, width_bytes
from mini_lib.quantize.mixed.trials import Bits, mixed_layers, need_widths
from mini_lib.quantize.model import quantize_weights
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.packed import is_packable, pack_for_speed
from mini_lib.require import callable_, of_type, whole
from mini_lib.surgery import Where, find, swap
from mini_lib.tensor_checks import need_tensor


def deploy(
    model: nn.Module, bits: Bits, *, fmt: Callable[[int], Format] = rung, observer: Observer = min_max
) -> nn.Module:
    """Return the model as it runs on this machine with its layers at these widths: packed, and float at 32 bits.

    A layer that no packed kernel can run, such as a depthwise convolution, unpacks its codes in each pass.

    Args:
        model: batch norm folded; the argument stays as it is.
        bits: the width of each layer, `{layer: bits}`; layers that it does not name stay in float too.
        fmt, observer: those of `Trials`.

    Raises:
        TypeError: a width is not a whole number.
        ValueError: a layer is not the model's, or cannot be quantized.

    >>> deploy(nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 2)), {"0": 4, "1": 32})
    Sequential(
      (0): PackedLinear([32, 64], weight=int4 per channel, bias=True)
      (1): Linear(in_features=32, out_features=2, bias=True)
    )
    """
    of_type("bits", bits, Mapping, fix="give {layer: bits}")
    callable_("fmt", fmt, fix="pass a function from bits to a format, such as rung")
    layers = dict(find(model, is_weight_layer))
    need_same_layers("bits", {**dict.fromkeys(layers), **bits}, layers)
    widths = {
        name: whole(f"the bits of layer {name!r}", width, low=1, high=32, fix="32 keeps it in float")
        for name, width in bits.items()
    }
    few = {name: fmt(width) for name, width in widths.items() if width != 32}
    if not few:
        return swap(model, {})
    small = quantize_weights(model, few, lambda name, module: name in few, observer)
    can_pack = find(small, lambda name, module: isinstance(module, QuantizedLayer) and is_packable(name, module))
    return pack_for_speed(small) if can_pack else small


def measure_costs(
    model: nn.Module,
    example: Tensor,
    widths: Sequence[int],
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
    repeats: int = 30,
    warmup: int = 3,
) -> CostTable:
    """Return the bytes and the measured seconds of each layer at each width, on this machine.

    As many mixtures as there are widths run in turns, each without clocks and then with a clock before and after each
    layer. Bytes are those of `quantize_weights`: codes and scales.

    Args:
        model: batch norm folded; the argument stays as it is.
        example: an input of the model; its batch size is part of the measurement.
        widths: the bits that a layer may have; 32 is the float layer.
        fmt, where, observer: those of `Trials`.
        repeats: how often each mixture is timed, after `warmup` runs that are thrown away.

    Raises:
        TypeError: a width or count is not a whole number.
        ValueError: a layer does not run, or as `Trials`.
    """
    widths = need_widths(widths)
    repeats = whole("repeats", repeats, low=1, fix="use 30 for a stable median")
    warmup = whole("warmup", warmup, low=0, fix="use 3 to let caches warm up")
    need_tensor("example", example, floating=False, fix="pass an input of the model")
    layers = mixed_layers(model, where)
    mixtures = [
        {name: widths[(place + shift) % len(widths)] for place, name in enumerate(layers)}
        for shift in range(len(widths))
    ]
    models = [deploy(model, bits, fmt=fmt, observer=observer) for bits in mixtures]
    alone: list[list[float]] = [[] for _ in models]
    clocked: list[list[dict[str, float]]] = [[] for _ in models]
    for turn in range(warmup + repeats):
        for small, runs_s, runs_layers_s in zip(models, alone, clocked, strict=True):
            _warm(small, example)
            run_s, layers_s = _run_s(small, example), _layers_s(small, example, layers)
            if turn >= warmup:
                runs_s.append(run_s)
                runs_layers_s.append(layers_s)
    sizes, rest_bytes = width_bytes(model, layers, widths, fmt)
    costs: dict[str, dict[int, WidthCost]] = {name: dict.fromkeys(widths) for name in layers}
    rests = []
    for bits, runs_s, runs_layers_s in zip(mixtures, alone, clocked, strict=True):
        rest_s = statistics.median(runs_s)
        for name, width in bits.items():
            if name not in runs_layers_s[0]:
                raise ValueError(f"layer {name!r} does not run on the example; leave it out in where")
            found = Latency(tuple(run[name] for run in runs_layers_s))
            costs[name][width] = WidthCost(sizes[name][width], found.median_s, found.low_s, found.high_s)
            rest_s -= found.median_s
        rests.append(max(0.0, rest_s))
    rest = WidthCost(rest_bytes, statistics.median(rests), min(rests), max(rests))
    return CostTable(f"this machine, packed kernels, batch of {len(example)}", costs, rest)


def time_in_use(
    models: Mapping[str, nn.Module], example: Tensor, *, repeats: int = 30, warmup: int = 3
) -> dict[str, Latency]:
    """Return how long a forward pass of each model takes, timed in turns with warm caches, as `measure_costs` does.

    Raises:
        TypeError: a count is not a whole number, or `example` is not a tensor.
        ValueError: there is no model, or one cannot be run on the example; `repeats` is below 1 or `warmup` below 0.

    >>> import torch
    >>> {name: len(found.times_s) for name, found in time_in_use({"a": nn.Linear(2, 2)}, torch.zeros(1, 2)).items()}
    {'a': 30}
    """
    repeats = whole("repeats", repeats, low=1, fix="use 30 for a stable median")
    warmup = whole("warmup", warmup, low=0, fix="use 3 to let caches warm up")
    if not of_type("models", models, Mapping, fix="give {name: model}"):
        raise ValueError("models must name at least one model, got none; give {name: model}")
    need_tensor("example", example, floating=False, fix="pass an input of the models")
    with ExitStack() as stack:
        for model in models.values():
            need_module(model)
            stack.enter_context(evaluating(model))
            run_model(model, example)  # a model that does not run is named before anything is timed
        calls = {name: partial(model, example) for name, model in models.items()}
        return compare_latency(calls, repeats=repeats, warmup=warmup)


def _warm(model: nn.Module, example: Tensor) -> None:
    """Run the model once untimed, or say that it does not run on the example."""
    with evaluating(model):
        run_model(model, example)


def _run_s(model: nn.Module, example: Tensor) -> float:
    with evaluating(model):
        start_s = perf_counter()
        model(example)
        return perf_counter() - start_s


def _layers_s(model: nn.Module, example: Tensor, layers: Mapping[str, nn.Module]) -> dict[str, float]:
    """Run the model once, and return the seconds that each layer took, all of its calls together."""
    started_s: dict[str, float] = {}
    spent_s: dict[str, float] = {}

    def start(name: str) -> None:
        started_s[name] = perf_counter()

    def stop(name: str) -> None:
        spent_s[name] = spent_s.get(name, 0.0) + perf_counter() - started_s[name]

    hooks = []
    for name in layers:
        module = model.get_submodule(name)
        hooks.append(module.register_forward_pre_hook(lambda module, inputs, name=name: start(name)))
        hooks.append(module.register_forward_hook(lambda module, inputs, output, name=name: stop(name)))
    try:
        _run_s(model, example)
    finally:
        for hook in hooks:
            hook.remove()
    return spent_s
