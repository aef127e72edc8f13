"""AWQ: give the weights that meet strong inputs finer steps, by scaling their columns up before rounding.

A weight w on a grid of step d is off by up to d/2, whatever its size, and its error is multiplied by its input. So
multiply the columns of strong inputs by s > 1 and divide these inputs by s: then their weights are off by d/2/s. The
step d grows only where a scaled weight becomes the largest of its row or group, and then the error of all others grows.
How far to go is found by trying: s_j = mean|x_j|^alpha, with the alpha in [0, 1] at which the rounded layer's output
changes least.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches
from mini_lib.quantize.choice import FormatChoice, choose_formats
from mini_lib.quantize.equalize import find_pairs, rescaled, scale_inputs
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.model import quantize_weights
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.qtensor import quantize
from mini_lib.quantize.rounding.layers import layers_to_round
from mini_lib.quantize.rounding.smooth import input_sizes
from mini_lib.require import whole
from mini_lib.second_moments import output_error, second_moments_of
from mini_lib.surgery import Where


def awq(
    model: nn.Module,
    fmt: FormatChoice,
    calibration: Calibration,
    *,
    candidates: int = 20,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> nn.Module:
    """Return a new model whose chosen layers hold weights rounded to nearest after AWQ's scaling, as packed codes.

    It is `scale_salient`, then `quantize_weights`: no layer and no stored byte is added.

    Args:
        model, calibration, candidates: as in `scale_salient`.
        fmt, where, observer: as in `quantize_weights`.

    Raises:
        TypeError, ValueError: as `scale_salient` and `quantize_weights`.

    To nearest, 1.4 becomes 1 where the input is 4, and the output loses 1.6. Scaled up, that column is the largest of
    its row, where rounding is exact, and the column with the larger error has an input of 1/4.

    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[4.0], [0.25]]))
    >>> _ = model[2].weight.data.copy_(torch.tensor([[1.4, 3.0]]))
    >>> from mini_lib.quantize import IntFormat
    >>> fmt = {"0": 8, "2": IntFormat(3)}
    >>> [round(quantized(torch.ones(1, 1)).item(), 2) for quantized in (
    ...     model, quantize_weights(model, fmt), awq(model, fmt, torch.ones(1, 1)))]
    [6.35, 4.75, 6.31]

    Source: J. Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", 2024,
    section 3.2. The authors' code also searches how far to clip each group; the observer `mse` does this for weights.
    """
    scaled = scale_salient(model, fmt, calibration, candidates=candidates, where=where, observer=observer)
    return quantize_weights(scaled, fmt, where, observer)


@torch.no_grad()
def scale_salient(
    model: nn.Module,
    fmt: FormatChoice,
    calibration: Calibration,
    *,
    candidates: int = 20,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> nn.Module:
    """Return a new float model that computes the same, its columns scaled so that rounding to nearest harms it less.

    The factors of a layer are folded into the layer before, so only the second layer of a pair of `find_pairs` gets
    factors; the others stay as they are. The rows of the layer before are scaled, which does not affect its rounding
    where each row, or group of a row, has its own grid. With one grid per tensor it does, which this method ignores.

    Args:
        model: a model in eval mode with batch norm folded; the argument stays as it is.
        fmt, where, observer: how it will be rounded, as in `quantize_weights`.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        candidates: how many exponents alpha are tried, evenly spaced up to 1; also 0, which scales nothing.

    Raises:
        TypeError: `fmt` is neither a format nor a mapping or function that gives one, or a batch is not a tensor.
        ValueError: candidates is below 1, no layer is chosen or none that follows another, one is masked or shares its
            weight, calibration is empty or holds NaN, a layer's weight cannot be quantized or its output is zero; or as
            `find_pairs`.

    Source: Lin et al. 2024, section 3.2, equations 4 and 5.
    """
    candidates = whole("candidates", candidates, low=1, fix="the paper tries 20")
    layers = layers_to_round(model, where)
    formats = choose_formats(fmt, layers)
    pairs = [pair for pair in find_pairs(model) if pair.second in layers]
    if not pairs:
        raise ValueError(
            f"none of the chosen layers ({', '.join(layers)}) follows a layer that could scale its inputs; choose "
            "others in where, or round with gptq"
        )
    data = batches(calibration)
    sizes = input_sizes(model, data, pairs, Tensor.mean)
    moments = second_moments_of(model, data, {pair.second: layers[pair.second] for pair in pairs})
    factors = {}
    for pair in pairs:
        layer, name = layers[pair.second], pair.second
        try:
            factors[pair] = _best_scale(layer, sizes[pair], moments[name], formats[name], candidates, observer)
        except ValueError as error:
            raise ValueError(f"layer '{name}': {error}") from error
    return rescaled(model, factors)


def _best_scale(
    layer: nn.Module, sizes: Tensor, moments: Tensor, fmt: Format, candidates: int, observer: Observer
) -> Tensor:
    weight, groups = layer.weight.double(), getattr(layer, "groups", 1)

    def error(scale: Tensor) -> float:
        rounded = quantize(scale_inputs(weight, scale, groups), fmt, observer).dequantize()
        return output_error(weight, scale_inputs(rounded.double(), 1 / scale, groups), moments)

    return best_scale(sizes, error, candidates)


def best_scale(sizes: Tensor, error: Callable[[Tensor], float], candidates: int) -> Tensor:
    """Return the factors sizes^alpha at which `error` is least, of `candidates` exponents up to 1, and 0.

    Factors are divided by the root of their largest times their smallest, so that they lie evenly about 1. A channel of
    size 0 has the factor 1. Of equal errors, the one with the smallest alpha is taken.

    Sizes 4 and 1 at alpha 1 are 4 and 1, divided by 2:

    >>> best_scale(torch.tensor([4.0, 1.0]), lambda scale: -float(scale[0]), candidates=2)
    tensor([2.0000, 0.5000])

    Source: Lin et al. 2024, section 3.2, equation 5; the division is as in the authors' code.
    """
    alive = sizes > 0
    best = torch.ones_like(sizes)
    least = error(best)
    for step in range(1, candidates + 1):
        scale = torch.where(alive, sizes, 1.0) ** (step / candidates)
        if alive.any():
            scale = torch.where(alive, scale / (scale[alive].max() * scale[alive].min()).sqrt(), 1.0)
        if (lost := error(scale)) < least:
            best, least = scale, lost
    return best
