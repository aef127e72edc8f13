"""The inputs of a layer in one matrix: their second moments, and the output error that these predict.

A linear layer with the weights W of a row computes y = W x. Change the row by D and the output moves by D x, so on
average over the inputs the squared error is

    E[(D x)^2] = E[D x x^T D^T] = D H D^T        with H = E[x x^T]

H is all we need to know about the data, and it serves every row. H_jj says how strong input j is; the rest of H says
which inputs go together, so that one weight can stand in for another. A convolution is the same layer, read once per
window: x is what its kernel sees at one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe_windows
from mini_lib.require import checked, not_negative, of_type, whole
from mini_lib.running_means import Mean, MeanAndProducts
from mini_lib.tensor_checks import need_tensor

Layers = Mapping[str, nn.Module]  # layers of one model, by name


def second_moments_of(model: nn.Module, calibration: Calibration, layers: Layers) -> dict[str, Tensor]:
    """Return H = E[x x^T] of the inputs of each layer: the mean over all inputs, and over all places.

    Args:
        model: a model in eval mode.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        layers: some of its linear layers, and convolutions in one or two dimensions.

    Returns:
        By layer name, float64 [k, k], with k the number of inputs per output unit, in the order of
        `weight.flatten(1)`. A convolution in groups, such as a depthwise one, has one H for each group: [groups, k, k].

    Raises:
        TypeError: a layer is of another kind, or a batch is not a tensor.
        ValueError: the model is in training mode, a layer does not run, or calibration is empty.

    Inputs (1, 2) and (3, 0): the mean squares are (1 + 9) / 2 and (4 + 0) / 2, the mean product (2 + 0) / 2.

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> second_moments_of(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]), {"0": model[0]})["0"]
    tensor([[5., 1.],
            [1., 2.]], dtype=torch.float64)

    Source: B. Hassibi, D. Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1993, section
    3, for a linear layer; E. Frantar, D. Alistarh, "Optimal Brain Compression", 2022, section 3.
    """
    return _in_one_pass(model, calibration, layers, lambda layer: Mean(lambda windows: windows.mT @ windows))


def mean_squares_of(model: nn.Module, calibration: Calibration, layers: Layers) -> dict[str, Tensor]:
    """Return only the diagonal of H, E[x_j^2]: k numbers for a layer instead of k * k, float64 [k] or [groups, k].

    Raises:
        TypeError, ValueError: as `second_moments_of`.

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> mean_squares_of(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]), {"0": model[0]})["0"]
    tensor([5., 2.], dtype=torch.float64)
    """
    return _in_one_pass(model, calibration, layers, lambda layer: Mean(lambda windows: windows.square().sum(dim=1)))


def moments_of(model: nn.Module, calibration: Calibration, layers: Layers) -> dict[str, Moments]:
    """Return the mean and the covariance of the inputs of each layer, over all inputs and all places.

    Raises:
        TypeError, ValueError: as `second_moments_of`; or a layer is a convolution in groups, or reads a single input.

    Inputs (1, 2) and (3, 0): they vary by 1 about the mean (2, 1), one up when the other goes down.

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> moments = moments_of(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]), {"0": model[0]})["0"]
    >>> moments.mean.tolist(), moments.covariance.tolist(), moments.count
    ([2.0, 1.0], [[1.0, -1.0], [-1.0, 1.0]], 2)

    Source: batches are merged as in T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances", 1979.
    """
    for name, layer in of_type("layers", layers, Mapping, fix="give some layers of the model by name").items():
        if getattr(layer, "groups", 1) > 1:
            raise ValueError(f"layer {name!r} reads different inputs in each of {layer.groups} groups; leave it out")
    found = _in_one_pass(model, calibration, layers, lambda layer: MeanAndProducts(layer.weight[0].numel()))
    return {name: Moments(*parts) for name, parts in found.items()}


@dataclass(frozen=True, eq=False)
class Moments:
    """The mean [k] and covariance [k, k] of a layer's inputs, in float64, over `count` inputs (or windows).

    The covariance is divided by `count`, not by `count - 1`: it describes the calibration data themselves, so that
    errors predicted from it are those measured on these data. With `count` of k or fewer it is singular.

    Raises:
        TypeError: the moments are not tensors, or the count is not a whole number.
        ValueError: the shapes do not fit, a value is not finite, or there are fewer than 2 inputs.
    """

    mean: Tensor
    covariance: Tensor
    count: int

    def __post_init__(self) -> None:
        for name in ("mean", "covariance"):
            need_tensor(name, getattr(self, name), empty=True, fix="moments_of(model, pictures, layers) gives them")
        shapes = list(self.mean.shape), list(self.covariance.shape)
        if len(shapes[0]) != 1 or shapes[1] != 2 * shapes[0]:
            raise ValueError(
                f"a mean of shape {shapes[0]} and a covariance of shape {shapes[1]} do not fit; expected [k] and [k, k]"
            )
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise ValueError("the moments hold NaN or infinity; check what the layers before this one give")
        checked(self, "count", whole, fix="how many inputs they are of")
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 inputs, got {self.count}; calibrate with a hundred images")

    def root(self) -> Tensor:
        """Return a matrix S [k, k] with S S^T = C, so that ||A S|| is the root mean square of A (x - mean).

        >>> Moments(torch.zeros(1), torch.tensor([[9.0]]), 2).root().abs()
        tensor([[3.]], dtype=torch.float64)
        """
        values, vectors = torch.linalg.eigh(self.covariance.double())
        # Rounding leaves a direction that never occurs with a variance of about +-1e-16 of the largest.
        values = values.where(values > values[-1] * len(values) * torch.finfo(torch.float64).eps, 0.0)
        return vectors * values.sqrt()


def damped(moments: Tensor, damp: float) -> Tensor:
    """Return H + damp * mean(H_jj) * I, for each matrix of [..., k, k].

    Inputs that are always the same, or copies of each other, make H singular. A little of the identity makes an inverse
    exist, and holds the weights where the data do not care. Where H is zero, the result is the identity.

    Raises:
        TypeError: damp is not a number.
        ValueError: damp is negative or infinite; or H, before or after, holds NaN or infinity.

    >>> damped(torch.tensor([[3.0, 1.0], [1.0, 1.0]]), damp=0.5)
    tensor([[4., 1.],
            [1., 2.]])

    Source: E. Frantar, D. Alistarh, "SparseGPT", 2023: 1% of the average diagonal value.
    """
    damp = not_negative("damp", damp, fix="0.01 adds 1% of the mean diagonal")
    need_finite(moments)
    identity = torch.eye(moments.shape[-1]).to(moments)
    scale = moments.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return need_finite(torch.where(scale > 0, moments + damp * scale * identity, identity))


def need_finite(second_moments: Tensor) -> Tensor:
    """Return H if all of it is finite: no comparison with NaN is true, so a search for the best would keep the first.

    Raises:
        TypeError: it is not a tensor.
        ValueError: it is not [..., k, k], or holds NaN or infinity.
    """
    shape = list(need_tensor("second_moments", second_moments, fix="second_moments_of gives them").shape)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"second moments must be [..., k, k], got {shape}; second_moments_of gives them")
    if not second_moments.isfinite().all():
        raise ValueError(
            "second moments hold NaN or infinity; check the calibration data, and what the layers before this one give"
        )
    return second_moments


def cholesky(moments: Tensor) -> Tensor:
    """Return the lower triangular L with L L^T = H, for each matrix of [..., k, k].

    Raises:
        TypeError: they are not tensors of float32 or float64.
        ValueError: one is singular, or nearly so at the precision of its float type.

    >>> cholesky(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    if need_finite(moments).itemsize < 4:
        raise TypeError(f"second moments must be of float32 or float64, got {moments.dtype}; use moments.double()")
    factor, failed = torch.linalg.cholesky_ex(moments)
    # A pivot is the part of an input that those before it do not explain. Of nothing, rounding leaves k *
    # eps.
    pivots, strongest = factor.diagonal(dim1=-2, dim2=-1).square(), moments.diagonal(dim1=-2, dim2=-1).amax(-1)
    if failed.any() or (pivots.amin(-1) <= moments.shape[-1] * torch.finfo(moments.dtype).eps * strongest).any():
        raise ValueError(
            "second moments are singular: some inputs are always zero, or linear combinations of others; use damp=0.01"
        )
    return factor


def inverse(moments: Tensor) -> Tensor:
    """Return H^-1, for each matrix of [..., k, k].

    Raises:
        ValueError: as `cholesky`.

    The determinant of [[1, .5], [.5, .5]] is 1/4, so its inverse is 4 * [[.5, -.5], [-.5, 1]]:

    >>> inverse(torch.tensor([[1.0, 0.5], [0.5, 0.5]]))
    tensor([[ 2., -2.],
            [-2.,  4.]])
    """
    return torch.cholesky_inverse(cholesky(moments))


def by_group(weight: Tensor, second_moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight as float64 [groups, rows, k] and its H as [groups, k, k]; one group unless H says otherwise.

    Raises:
        TypeError: one of the two is not a tensor.
        ValueError: H does not fit the weight.

    >>> rows, moments = by_group(torch.ones(6, 1, 3, 3), torch.ones(2, 9, 9))
    >>> rows.shape, moments.shape
    (torch.Size([2, 3, 9]), torch.Size([2, 9, 9]))
    """
    weight = need_tensor("weight", weight, fix="pass layer.weight")
    need_tensor("second_moments", second_moments, fix="second_moments_of gives them")
    inputs = prod(weight.shape[1:])
    groups = len(second_moments) if second_moments.dim() == 3 else 1
    if second_moments.shape[-2:] != (inputs, inputs) or second_moments.dim() not in (2, 3) or len(weight) % groups:
        raise ValueError(
            f"second_moments of shape {list(second_moments.shape)} do not fit a weight of shape {list(weight.shape)}: "
            f"expected [{inputs}, {inputs}], or one such matrix for each group; take those of the same layer"
        )
    rows = weight.detach().double().reshape(groups, -1, inputs)
    return rows, second_moments.to(rows).reshape(groups, inputs, inputs)


def output_error(before: Tensor, after: Tensor, second_moments: Tensor) -> float:
    """Return the squared error of a layer's output, relative to the output: tr(D H D^T) / tr(W H W^T), D = after - W.

    0 means the same output, and 1 is the error of a layer of zeros. The bias is ignored. `before` is the weight W [out,
    in] or [out, in / groups, kernel...], and `after` is the changed weight.

    Raises:
        TypeError: an argument is not a tensor.
        ValueError: the shapes do not fit, a number is not finite, or the output before the change is zero.

    Inputs twice as strong on the left: losing the 1 on the left costs 4, on the right 1, of 5 in all.

    >>> strong_left = torch.diag(torch.tensor([4.0, 1.0]))
    >>> output_error(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]]), strong_left)
    0.8

    Source: E. Frantar, D. Alistarh, "SparseGPT", 2023, section 2.
    """
    for name, weight in (("before", before), ("after", after)):
        need_tensor(name, weight, finite=True, fix="pass two weights of one layer")
    if before.shape != after.shape:
        raise ValueError(
            f"before has shape {list(before.shape)} and after {list(after.shape)}; compare two weights of one layer"
        )
    weight, moments = by_group(before, need_finite(second_moments))
    change = by_group(after, second_moments)[0] - weight
    whole = ((weight @ moments) * weight).sum().item()
    if whole <= 0:
        raise ValueError("the layer's output is zero on the calibration data, so no error can be relative to it")
    return ((change @ moments) * change).sum().item() / whole


def _in_one_pass(model: nn.Module, calibration: Calibration, layers: Layers, start: Callable) -> dict:
    """Begin a sum for each layer with `start(layer)`, add all of its windows to it, and return the results."""
    for name, layer in of_type("layers", layers, Mapping, fix="give some layers of the model by name").items():
        if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            raise TypeError(
                f"layer {name!r} is a {type(layer).__name__}, and second moments can be computed only for "
                "Linear, Conv1d and Conv2d; leave it out in where"
            )
    sums = {name: start(layer) for name, layer in layers.items()}
    observe_windows(model, batches(calibration), layers, lambda name, windows: sums[name].add_(windows))
    return {name: found.result() for name, found in sums.items()}
