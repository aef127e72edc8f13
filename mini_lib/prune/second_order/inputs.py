"""The layers that are pruned by their inputs, and the second moments of these inputs."""

from __future__ import annotations

from torch import Tensor, nn

from mini_lib.calibration import Calibration
from mini_lib.plain import need_own, plain_layers
from mini_lib.prune.scores import is_prunable
from mini_lib.second_moments import mean_squares_of, second_moments_of
from mini_lib.surgery import Where

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def input_second_moments(model: nn.Module, calibration: Calibration, where: Where = is_prunable) -> dict[str, Tensor]:
    """Return H = E[x x^T] of the inputs of each chosen layer, by layer name: see `second_moments_of`.

    Raises:
        TypeError: a layer of another kind than linear or convolution is chosen, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, two layers share
            their weight, or calibration is empty.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> input_second_moments(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))["0"]
    tensor([[5., 1.],
            [1., 2.]], dtype=torch.float64)
    """
    return second_moments_of(model, calibration, layers_of(model, where))


def input_mean_squares(model: nn.Module, calibration: Calibration, where: Where = is_prunable) -> dict[str, Tensor]:
    """Return only the diagonal of H, E[x_j^2], by layer name.

    Raises:
        TypeError, ValueError: as `input_second_moments`.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> input_mean_squares(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))["0"]
    tensor([5., 2.], dtype=torch.float64)
    """
    return mean_squares_of(model, calibration, layers_of(model, where))


def layers_of(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return the chosen layers by name, each plain and with a weight of its own.

    Raises:
        TypeError, ValueError: as `plain_layers`; or two layers share their weight.

    >>> list(layers_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), is_prunable))
    ['0', '2']
    """
    layers = plain_layers(model, where, _KINDS)
    need_own(model, layers, attributes=("weight",))
    return layers
