"""The mean and the covariance of a layer's inputs, all that a low-rank layer has to know about them.

If one layer computes y = W x + b and another W' x + b', the mean squared difference of their outputs over the inputs x
is

    E ||(W - W') x + b - b'||^2 = tr((W - W') C (W - W')^T) + ||(W - W') mean + b - b'||^2

with the mean and the covariance C of x. A convolution is the same layer, applied once per window.
"""

from __future__ import annotations

from torch import nn

from mini_lib.calibration import Calibration
from mini_lib.plain import need_plain, plain_layers
from mini_lib.second_moments import Moments, moments_of
from mini_lib.surgery import Where


def is_factorizable(name: str, module: nn.Module) -> bool:
    """Say whether a layer is a matrix that can be split in two: a linear layer, or a 2d convolution in one group.

    >>> is_factorizable("", nn.Conv2d(8, 8, 3)), is_factorizable("", nn.Conv2d(8, 8, 3, groups=8))
    (True, False)
    """
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def need_factorizable(name: str, layer: nn.Module) -> None:
    """Refuse a layer that is not a single matrix, or computes more than its weight says.

    Raises:
        TypeError: the layer is neither nn.Linear nor nn.Conv2d.
        ValueError: it is a convolution in groups, or not plain (`mini_lib.plain`).
    """
    need_plain(name, layer)
    if not is_factorizable(name, layer):
        raise ValueError(
            f"layer {name!r} is a convolution in {layer.groups} groups, which is {layer.groups} small matrices and not "
            "one; leave it out, or factorize a convolution with groups=1"
        )


def matrix_layers(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return the layers that `where(name, module)` chooses, by name, each a matrix of its own.

    Raises:
        TypeError: as `need_factorizable`, or the model is not a module.
        ValueError: as `need_factorizable`; or no layer is chosen.

    >>> list(matrix_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), is_factorizable))
    ['0']
    """
    layers = plain_layers(model, where)
    for name, layer in layers.items():
        need_factorizable(name, layer)
    return layers


def input_moments(model: nn.Module, calibration: Calibration, where: Where = is_factorizable) -> dict[str, Moments]:
    """Return the mean and covariance of each chosen layer's inputs, over all samples and all places.

    They are given by layer name, in the order of the model; `moments_of` defines them.

    Raises:
        TypeError: a layer of another kind is chosen, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, is a convolution in
            groups, or reads a single input, or calibration is empty.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).eval()
    >>> input_moments(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))["0"].mean
    tensor([2., 1.], dtype=torch.float64)

    Source: X. Zhang, J. Zou, K. He, J. Sun, "Accelerating Very Deep Convolutional Networks for Classification and
    Detection", 2015, section 3.1.
    """
    return moments_of(model, calibration, matrix_layers(model, where))
