"""What a layer reads: the mean and the covariance of its inputs, all that a low-rank layer has to know of them.

If a layer computes y = W x + b and another one W' x + b', their outputs differ on average over the inputs x by

    E ||(W - W') x + b - b'||^2 = tr((W - W') C (W - W')^T) + ||(W - W') mean + b - b'||^2

with the mean and the covariance C of x. A convolution is the same layer, read once per window: x is what its kernel
sees at one place, the zeros of the padding included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe_windows
from mini_lib.surgery import Where, find


@dataclass(frozen=True, eq=False)
class Moments:
    """The mean [k] and covariance [k, k] of what a layer reads, in float64, over `count` inputs (or windows).

    The covariance is divided by `count`, not by `count - 1`: it is that of the calibration data themselves, so that
    errors predicted from it are those measured on it. With `count` of k or fewer it is singular. That is fine here: a
    direction that never occurs costs no output error.

    Raises:
        ValueError: the shapes do not fit, a value is not finite, or there are fewer than 2 inputs, which have no
            covariance.

    >>> Moments(torch.zeros(2), torch.tensor([[1.0, 1.0], [1.0, 1.0]]), 4).directions    # both inputs move together
    1
    """

    mean: Tensor
    covariance: Tensor
    count: int

    def __post_init__(self) -> None:
        size = self.mean.numel()
        if self.mean.shape != (size,) or self.covariance.shape != (size, size):
            raise ValueError(
                f"a mean of shape {list(self.mean.shape)} and a covariance of shape {list(self.covariance.shape)} do "
                "not fit each other; expected [k] and [k, k]"
            )
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise ValueError("the moments hold NaN or infinity; check what the layers before this one give")
        if self.count < 2:
            raise ValueError(
                f"a covariance needs at least 2 inputs, got {self.count}; calibrate with a hundred images or more"
            )

    @property
    def directions(self) -> int:
        """The rank of the covariance: in how many directions the inputs were seen to vary at all."""
        return int(torch.linalg.matrix_rank(self.covariance, hermitian=True))

    def root(self) -> Tensor:
        """Return a matrix S [k, k] with S S^T = C, so that ||A S|| is the root mean square of A (x - mean).

        >>> Moments(torch.zeros(1), torch.tensor([[9.0]]), 2).root().abs()
        tensor([[3.]], dtype=torch.float64)
        """
        values, vectors = torch.linalg.eigh(self.covariance.double())
        # Rounding leaves a direction that never occurs with a variance of about +-1e-16 of the largest.
        values = values.where(values > values[-1] * len(values) * torch.finfo(torch.float64).eps, 0.0)
        return vectors * values.sqrt()


def is_factorizable(name: str, module: nn.Module) -> bool:
    """Say whether a layer is a matrix that can be split in two: a linear layer, or a 2d convolution in one group.

    >>> is_factorizable("", nn.Conv2d(8, 8, 3)), is_factorizable("", nn.Conv2d(8, 8, 3, groups=8))
    (True, False)
    """
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def need_factorizable(name: str, layer: nn.Module) -> None:
    """Raise what is to be said about a layer that is not a matrix.

    Raises:
        TypeError: the layer is neither nn.Linear nor nn.Conv2d.
        ValueError: it is a convolution in groups.
    """
    which = f"layer {name!r}" if name else "the layer"
    if not isinstance(layer, (nn.Linear, nn.Conv2d)):
        raise TypeError(
            f"{which} is a {type(layer).__name__}, which has no weight matrix to factorize; choose nn.Linear or "
            "nn.Conv2d layers"
        )
    if not is_factorizable(name, layer):
        raise ValueError(
            f"{which} is a convolution in {layer.groups} groups, which is {layer.groups} small matrices and not one; "
            "leave it out, or factorize a convolution with groups=1"
        )


def input_moments(model: nn.Module, calibration: Calibration, where: Where = is_factorizable) -> dict[str, Moments]:
    """Return the mean and covariance of what each chosen layer reads, over all inputs and all places.

    Args:
        model: a model in eval mode.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        where: picks linear layers, and 2d convolutions in one group.

    Returns:
        By layer name, in the order of the model. k is in_features, or in_channels * kernel height * kernel width in the
        order of `weight.flatten(1)`.

    Raises:
        TypeError: a layer of another kind is chosen, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, is a convolution in
            groups, or reads a single input, or calibration is empty.

    Inputs (1, 2) and (3, 0): they vary by 1 about the mean (2, 1), one up when the other goes down.

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> moments = input_moments(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))["0"]
    >>> moments.mean.tolist(), moments.covariance.tolist(), moments.count
    ([2.0, 1.0], [[1.0, -1.0], [-1.0, 1.0]], 2)

    Source: X. Zhang, J. Zou, K. He, J. Sun, "Accelerating Very Deep Convolutional Networks for Classification and
    Detection", 2015, section 3.1; batches are merged as in T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances", 1979.
    """
    data = batches(calibration)
    layers = dict(find(model, where))
    if not layers:
        raise ValueError("where chooses no layer of the model; choose at least one nn.Linear or nn.Conv2d")
    for name, layer in layers.items():
        need_factorizable(name, layer)
    sums = {name: _Sums(layer.weight[0].numel()) for name, layer in layers.items()}

    observe_windows(model, data, layers, lambda name, windows: sums[name].add_(windows[0]))
    return {name: found.moments() for name, found in sums.items()}


class _Sums:
    """A running mean and the running sum of products about it: sums of squares less n mean^2 would cancel."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64)
        self.products = torch.zeros(size, size, dtype=torch.float64)

    def add_(self, values: Tensor) -> None:
        total = self.count + len(values)
        mean = values.mean(dim=0)
        values = values - mean
        step = mean - self.mean
        self.products += values.mT @ values + step.outer(step) * (self.count * len(values) / total)
        self.mean = self.mean + step * (len(values) / total)
        self.count = total

    def moments(self) -> Moments:
        return Moments(self.mean, self.products / self.count, self.count)
