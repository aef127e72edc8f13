"""What a layer reads, in one matrix: the second moments of its inputs, and the output error that they price.

A linear layer with the weights W of a row computes y = W x. Change the row by D and the output moves by D x, so on
average over the inputs the squared error is

    E[(D x)^2] = E[D x x^T D^T] = D H D^T        with H = E[x x^T]

H is all that has to be known of the data, once and for all rows. H_jj says how strong input j is; the rest of H says
which inputs go together, so that one weight can stand in for another. A convolution is the same layer, read once per
window: x is what its kernel sees at one place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe_windows
from mini_lib.prune.scores import is_prunable, prunable_weights
from mini_lib.surgery import Where, find


def input_second_moments(model: nn.Module, calibration: Calibration, where: Where = is_prunable) -> dict[str, Tensor]:
    """Return H = E[x x^T] of what each chosen layer reads: the mean over all inputs, and over all places.

    Args:
        model: a model in eval mode.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        where: picks linear layers, and convolutions in one or two dimensions.

    Returns:
        By layer name, in the order of the model, float64 [k, k], with k the inputs of one output unit: in_features, or
        in_channels * kernel height * kernel width in the order of `weight.flatten(1)`. A convolution in groups, such as
        a depthwise one, has one H for each group: [groups, k, k].

    Raises:
        TypeError: a layer of another kind is chosen, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, two layers share
            their weight, or calibration is empty.

    Inputs (1, 2) and (3, 0): the mean squares are (1 + 9) / 2 and (4 + 0) / 2, the mean product (2 + 0) / 2.

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> input_second_moments(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))["0"]
    tensor([[5., 1.],
            [1., 2.]], dtype=torch.float64)

    Source: B. Hassibi, D. Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1993, section
    3, for a linear layer; E. Frantar, D. Alistarh, "Optimal Brain Compression", 2022, section 3.
    """
    return _mean_over_windows(model, calibration, where, lambda windows: windows.mT @ windows)


def input_mean_squares(model: nn.Module, calibration: Calibration, where: Where = is_prunable) -> dict[str, Tensor]:
    """Return the diagonal of H alone, E[x_j^2]: k numbers for a layer instead of k * k.

    Args and errors are those of `input_second_moments`. Returns float64 [k], or [groups, k].

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> input_mean_squares(model, torch.tensor([[1.0, 2.0], [3.0, 0.0]]))["0"]
    tensor([5., 2.], dtype=torch.float64)
    """
    return _mean_over_windows(model, calibration, where, lambda windows: windows.square().sum(dim=1))


def output_error(before: Tensor, after: Tensor, second_moments: Tensor) -> float:
    """Return the squared error of a layer's output, relative to the output: tr(D H D^T) / tr(W H W^T), D = after - W.

    0 is the same output, and 1 is what a layer of zeros gets. The bias takes no part.

    Args:
        before: the weight W, [out, in] or [out, in / groups, kernel...].
        after: what became of it, of the same shape.
        second_moments: H of the layer, from `input_second_moments`.

    Raises:
        ValueError: the shapes do not fit, or the output is zero before.

    Inputs twice as strong on the left: losing the 1 on the left costs 4, on the right 1, of 5 in all.

    >>> strong_left = torch.diag(torch.tensor([4.0, 1.0]))
    >>> output_error(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]]), strong_left)
    0.8

    Source: E. Frantar, D. Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", 2023,
    section 2.
    """
    if before.shape != after.shape:
        raise ValueError(
            f"before has shape {list(before.shape)} and after {list(after.shape)}; compare two weights of one layer"
        )
    weight, moments = by_group(before, second_moments)
    change = by_group(after, second_moments)[0] - weight
    whole = ((weight @ moments) * weight).sum().item()
    if whole <= 0:
        raise ValueError("the layer's output is zero on the calibration data, so no error can be relative to it")
    return ((change @ moments) * change).sum().item() / whole


def by_group(weight: Tensor, second_moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight as float64 [groups, rows, k] and its H as [groups, k, k]; one group unless H says otherwise.

    Raises:
        ValueError: H is not that of a layer with such a weight.

    >>> rows, moments = by_group(torch.ones(6, 1, 3, 3), torch.ones(2, 9, 9))
    >>> rows.shape, moments.shape
    (torch.Size([2, 3, 9]), torch.Size([2, 9, 9]))
    """
    inputs = weight[0].numel()
    groups = len(second_moments) if second_moments.dim() == 3 else 1
    if second_moments.shape[-2:] != (inputs, inputs) or second_moments.dim() not in (2, 3) or len(weight) % groups:
        raise ValueError(
            f"second_moments of shape {list(second_moments.shape)} do not fit a weight of shape {list(weight.shape)}: "
            f"expected [{inputs}, {inputs}], or one such matrix for each group; take those of the same layer from "
            "input_second_moments"
        )
    rows = weight.detach().double().reshape(groups, -1, inputs)
    return rows, second_moments.to(rows).reshape(groups, inputs, inputs)


def damped(moments: Tensor, damp: float) -> Tensor:
    """Return H + damp * mean(H_jj) * I, for each matrix of [..., k, k].

    Inputs that are always the same, or copies of each other, make H singular: no inverse exists. A little of the
    identity makes one exist. It says: stay near the old weights wherever the data do not care. Where H is zero, as
    behind a dead layer, the result is the identity.

    Raises:
        ValueError: damp is negative.

    >>> damped(torch.tensor([[3.0, 1.0], [1.0, 1.0]]), damp=0.5)
    tensor([[4., 1.],
            [1., 2.]])

    Source: E. Frantar, D. Alistarh, "SparseGPT", 2023: 1% of the average diagonal value.
    """
    if not damp >= 0:
        raise ValueError(f"damp must be at least 0, got {damp:g}; 0.01 adds 1% of the mean diagonal")
    identity = torch.eye(moments.shape[-1]).to(moments)
    scale = moments.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return torch.where(scale > 0, moments + damp * scale * identity, identity)


def inverse(moments: Tensor) -> Tensor:
    """Return the inverse of each matrix of [..., k, k], all symmetric and positive definite.

    Raises:
        ValueError: one is singular, or as good as singular in its float type.

    The determinant of [[1, .5], [.5, .5]] is 1/4, so its inverse is 4 * [[.5, -.5], [-.5, 1]]:

    >>> inverse(torch.tensor([[1.0, 0.5], [0.5, 0.5]]))
    tensor([[ 2., -2.],
            [-2.,  4.]])
    """
    return torch.cholesky_inverse(cholesky(moments))


def cholesky(moments: Tensor) -> Tensor:
    """Return the lower triangular L with L L^T = H, for each matrix of [..., k, k].

    Raises:
        ValueError: one is singular, or as good as singular in its float type.

    >>> cholesky(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    factor, failed = torch.linalg.cholesky_ex(moments)
    # A pivot is what an input has of its own, beyond those before it. Rounding leaves k * eps of nothing.
    pivots, strongest = factor.diagonal(dim1=-2, dim2=-1).square(), moments.diagonal(dim1=-2, dim2=-1).amax(-1)
    if failed.any() or (pivots.amin(-1) <= moments.shape[-1] * torch.finfo(moments.dtype).eps * strongest).any():
        raise ValueError(
            "the second moments are singular: some inputs are always zero, or sums of others; use damp=0.01"
        )
    return factor


def layers_of(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return the chosen layers by name, once it is sure that what they read can be told.

    Raises TypeError or ValueError as `input_second_moments` does.

    >>> list(layers_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), is_prunable))
    ['0', '2']
    """
    known = prunable_weights(model, where)
    layers = dict(find(model, where))
    for name, layer in layers.items():
        if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            raise TypeError(
                f"layer {name!r} is a {type(layer).__name__}, and second moments are known for Linear, Conv1d and "
                "Conv2d; leave it out in where"
            )
        if weight_name(name) not in known:
            raise ValueError(
                f"layer {name!r} shares its weight with another layer, and each reads something else; "
                "give each a weight of its own, or leave one out in where"
            )
    return layers


def weight_name(layer: str) -> str:
    """Return the parameter name of a layer's weight; the model itself is the layer "".

    >>> weight_name("conv1"), weight_name("")
    ('conv1.weight', 'weight')
    """
    return f"{layer}.weight" if layer else "weight"


def _mean_over_windows(
    model: nn.Module, calibration: Calibration, where: Where, total: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The sum of `total` over all windows, divided by how many there are."""
    data = batches(calibration)
    layers = layers_of(model, where)
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(layers, 0)

    def look(name: str, windows: Tensor) -> None:
        # in float64: the product of two float32 numbers is exact there, and long sums lose nothing that matters
        sums[name] = sums.get(name, 0) + total(windows)
        counts[name] += windows.shape[1]

    observe_windows(model, data, layers, look)
    means = {name: sums[name] / counts[name] for name in layers}
    return {name: mean[0] if len(mean) == 1 else mean for name, mean in means.items()}
