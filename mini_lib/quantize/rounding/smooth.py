"""SmoothQuant: move the outliers of activations into the weights, where rounding can cope with them.

One grid for all inputs of a layer is as wide as the widest channel. If a few channels are a hundred times as large as
the others, the others are left with a hundredth of the codes. Weights have one grid per row and are known in advance,
so they can take some of the range: divide channel j of the input by s_j, multiply column j of the weight by it,

    s_j = max|X_j|^strength / max|W_j|^(1 - strength)

and at strength 1/2 both maxima become sqrt(max|X_j| max|W_j|). The layer before does the division, once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe
from mini_lib.quantize.equalize import LayerPair, by_input, find_pairs, rescaled
from mini_lib.require import share


def smooth(model: nn.Module, calibration: Calibration, *, strength: float = 0.5) -> nn.Module:
    """Return a new float model that computes the same, its activations smoother and its weights less so.

    The layers that are smoothed are the second of a pair of `find_pairs`: their inputs can be scaled by the layer
    before at no cost. All others stay as they are: the first layer, and a layer whose input other layers read too. The
    inputs are rounded later, by `quantize_weights_and_activations`.

    Args:
        model: a model in eval mode with batch norm folded; the argument stays as it is.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        strength: how much of the range moves, 0 (all of it stays in the activations) to 1; alpha in the paper.

    Raises:
        TypeError: strength is not a number, or a batch is not a tensor.
        ValueError: strength is outside [0, 1], calibration is empty or holds NaN, a weight holds NaN or is masked; or
            as `find_pairs`.

    Inputs up to 16 and 1 meet weights of 1, so the factors are sqrt(16 / 1) and 1:

    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[8.0], [0.5]]))
    >>> _ = model[2].weight.data.fill_(1.0)
    >>> smoothed = smooth(model, torch.tensor([[2.0], [-1.0]]))
    >>> smoothed[0].weight.flatten().tolist(), smoothed[2].weight.flatten().tolist()
    ([2.0, 0.5], [4.0, 1.0])

    Source: G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models",
    2023, section 4, equations 3 and 4.
    """
    strength = share("strength", strength, zero=True, fix="0.5 splits the range evenly")
    pairs = find_pairs(model)
    factors = {}
    for pair, inputs in input_sizes(model, calibration, pairs, Tensor.amax).items():
        second = model.get_submodule(pair.second)
        weights = by_input(second.weight.detach().double(), getattr(second, "groups", 1)).abs().amax(dim=(1, 3))
        weights = weights.reshape(len(inputs), -1).amax(dim=1)
        factors[pair] = smoothing_factors(inputs, weights, strength)
    return rescaled(model, factors)


def smoothing_factors(inputs: Tensor, weights: Tensor, strength: float) -> Tensor:
    """Return s_j = max|X_j|^strength / max|W_j|^(1 - strength) from both maxima; 1 where one of them is zero.

    >>> smoothing_factors(torch.tensor([16.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0]), strength=0.5)
    tensor([4., 1., 1.])

    Source: Xiao et al. 2023, equation 4.
    """
    alive = (inputs > 0) & (weights > 0)
    return torch.where(alive, inputs**strength / weights ** (1 - strength), 1.0)


def input_sizes(
    model: nn.Module, calibration: Calibration, pairs: list[LayerPair], size: Callable[..., Tensor]
) -> dict[LayerPair, Tensor]:
    """Return for each pair the sizes of the channels between its layers: `size` of |x| over all inputs and places.

    A channel is one of the first layer's outputs, float64 [channels]; after flatten, the second layer reads it in many
    places.

    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[8.0], [0.5]]))
    >>> input_sizes(model, torch.tensor([[2.0], [-1.0]]), find_pairs(model), Tensor.mean)
    {LayerPair(first='0', second='2'): tensor([8.0000, 0.5000], dtype=torch.float64)}
    """
    seen: dict[str, list[Tensor]] = {pair.second: [] for pair in pairs}
    channels = {pair.second: len(model.get_submodule(pair.first).weight) for pair in pairs}

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        axis = -1 if isinstance(model.get_submodule(name), nn.Linear) else 1
        each = inputs.shape[axis] // channels[name]
        values = inputs.double().abs().movedim(axis, -1).reshape(len(inputs), -1, channels[name], each)
        seen[name].append(size(values, dim=(1, 3)))

    observe(model, batches(calibration), seen, look)
    return {pair: size(torch.cat(seen[pair.second]), dim=0) for pair in pairs}
