"""Wanda: a weight is worth its size times the strength of the input that it reads."""

from __future__ import annotations

from torch import Tensor, nn

from mini_lib.calibration import Calibration, per_weight
from mini_lib.prune.scores import is_prunable, weight_name
from mini_lib.prune.second_order.inputs import input_mean_squares, layers_of
from mini_lib.surgery import Where


def activation_weighted(model: nn.Module, calibration: Calibration, where: Where = is_prunable) -> dict[str, Tensor]:
    """Score each weight by |w_ij| * ||x_j||: its size times the strength of its input over the calibration data.

    Rank them with `keep_top(scores, density, scope="row")`: in the paper the weights of one output unit compete with
    each other, not with those of other units. The strength here is sqrt(E[x_j^2]), the paper's norm divided by the root
    of the number of inputs read. That is one number per layer, so the ranking is the same, and a score does not grow
    with the amount of calibration data.

    The strength of an input says nothing about how inputs go together. Where most of it is a constant, as in pixels of
    the border or after a mean over places, errors add up, and the ranking can do worse than magnitude.

    Args:
        model: a model in eval mode.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        where: picks linear layers, and convolutions in one or two dimensions.

    Returns:
        By parameter name, float64 of the weight's shape.

    Raises:
        TypeError: a layer of another kind is chosen, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, two layers share
            their weight, or calibration is empty.

    The weight 3 is larger but its input is weaker: 3 * 0.5 is less than 1 * 2.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 1)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[3.0, -1.0]]))
    >>> activation_weighted(model, torch.tensor([[0.5, 2.0], [-0.5, 2.0]]))["0.weight"]
    tensor([[1.5000, 2.0000]], dtype=torch.float64)

    Source: M. Sun, Z. Liu, A. Bair, J. Z. Kolter, "A Simple and Effective Pruning Approach for Large Language Models",
    2024, section 3.
    """
    strengths = input_mean_squares(model, calibration, where)
    return {
        weight_name(name): per_weight(layer.weight, strengths[name].sqrt()) * layer.weight.detach().abs().double()
        for name, layer in layers_of(model, where).items()
    }
