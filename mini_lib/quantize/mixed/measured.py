"""What each layer costs at each width on this machine, timed where it runs: inside the model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

from torch import Tensor, nn

from mini_lib.counting import evaluating
from mini_lib.latency import Latency
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.ladder import rung
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.mixed.cost_table import CostTable, WidthCost, width_bytes
from mini_lib.quantize.mixed.trials import mixed_layers, need_widths
from mini_lib.quantize.model import quantize_weights
from mini_lib.quantize.observers import min_max
from mini_lib.require import whole
from mini_lib.surgery import Where


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

    The whole model runs at each width, in turns, and a clock is read before and after each layer. So each layer finds
    the caches as the layers before it leave them, which a layer timed alone in a loop does not.

    Args:
        model: in eval mode, batch norm folded; the argument stays as it is.
        example: an input of the model; its batch size is part of what is measured.
        widths, fmt, where, observer: those of `Trials`.
        repeats: so often each width is timed, after `warmup` runs that are thrown away.

    Raises:
        TypeError: a width or count is no whole number.
        ValueError: a layer does not run, or as `Trials`.
    """
    widths = need_widths(widths)
    whole("repeats", repeats, low=1, fix="use 30 for a stable median")
    whole("warmup", warmup, low=0, fix="use 3 to let caches warm up")
    layers = mixed_layers(model, where)
    models = {bits: quantize_weights(model, fmt(bits), where, observer) for bits in widths}
    times_s: dict[int, list[dict[str, float]]] = {bits: [] for bits in widths}
    for turn in range(warmup + repeats):
        for bits, small in models.items():
            clocked = _clocked(small, example, list(layers))
            if turn >= warmup:
                times_s[bits].append(clocked)
    sizes, rest_bytes = width_bytes(model, layers, widths, fmt)
    costs: dict[str, dict[int, WidthCost]] = {name: {} for name in layers}
    for bits, runs in times_s.items():
        for name in layers:
            if name not in runs[0]:
                raise ValueError(f"layer {name!r} does not run on the example; leave it out in where")
            costs[name][bits] = _cost(sizes[name][bits], [run[name] for run in runs])
    rest = _cost(rest_bytes, [run[""] for runs in times_s.values() for run in runs])
    return CostTable(f"this machine, batch of {len(example)}", costs, rest)


def _clocked(model: nn.Module, example: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Run the model once; return the seconds of each layer by name, and under "" those of everything else."""
    spent_s: dict[str, float] = {}
    started_s: dict[nn.Module, float] = {}
    known = {model.get_submodule(name): name for name in names}

    def start(module: nn.Module, inputs: tuple) -> None:
        started_s[module] = perf_counter()

    def stop(module: nn.Module, inputs: tuple, output: object) -> None:
        elapsed_s = perf_counter() - started_s[module]
        spent_s[known[module]] = spent_s.get(known[module], 0.0) + elapsed_s

    hooks = [
        hook
        for module in known
        for hook in (module.register_forward_pre_hook(start), module.register_forward_hook(stop))
    ]
    try:
        with evaluating(model):
            start_s = perf_counter()
            model(example)
            whole_s = perf_counter() - start_s
    finally:
        for hook in hooks:
            hook.remove()
    return spent_s | {"": max(0.0, whole_s - sum(spent_s.values()))}


def _cost(stored_bytes: int, times_s: list[float]) -> WidthCost:
    found = Latency(tuple(times_s))
    return WidthCost(stored_bytes, statistics.median(times_s), found.low_s, found.high_s)
