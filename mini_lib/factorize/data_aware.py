"""The low-rank layer that changes the output least, not the weight: a plain SVD would find it if it knew the data.

A plain SVD keeps the directions in which W is long. But the error that counts is that of the output y = W x, and an
input direction that hardly ever occurs can be dropped at no cost. So the best layer of rank r keeps the r directions in
which the *outputs* vary most, the first principal components U_r of y:

    W' = U_r U_r^T W             b' = b + (W - W') mean

U comes from the SVD of W S, with S S^T the covariance of the inputs: ||A S|| is the root mean square of A (x - mean).
By Eckart and Young no matrix of rank r is nearer to W S than U_r U_r^T W S. The bias makes up for the part that belongs
to the mean of the inputs, so the rank is spent on what varies. No inverse is taken, so a singular covariance does no
harm: directions that never occurred cost nothing. Where these directions leave a choice, the error of the weight
decides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.calibration import run_model
from mini_lib.copying import copied
from mini_lib.counting import evaluating
from mini_lib.factorize.low_rank import Factorized, rebuild, tail_errors
from mini_lib.factorize.low_rank.parts import convolution, linear, need_convolution, need_linear, parameter
from mini_lib.factorize.low_rank.tensors import check_rank
from mini_lib.require import of_type
from mini_lib.second_moments import Moments
from mini_lib.tensor_checks import need_tensor


@torch.no_grad()
def output_svd(layer: nn.Module, moments: Moments, rank: int) -> Factorized:
    """Return the two layers of rank `rank` whose output is nearest to that of `layer`, on average over its inputs.

    A linear layer becomes two. A convolution becomes one of the same kernel, stride, padding and dilation to `rank`
    channels, and a 1x1 convolution after it. The second one has the bias, even where `layer` has none.

    Args:
        layer: nn.Linear, or nn.Conv2d with groups=1.
        moments: of its inputs, from `input_moments`.
        rank: from 1 to min(out, k), with k = in_features or in_channels * kernel height * kernel width. The largest
            rank is exact, and costs more than the layer.

    Returns:
        Its `predicted_error` is the root mean square error of the output, relative to the output's root mean square
        about its mean. It is known beforehand; on the calibration data, `measured_output_error` returns the same
        number.

    Raises:
        TypeError: the layer is of another kind.
        ValueError: the rank is out of range, the moments are of another layer, or the layer is a convolution in groups
            or not plain (`mini_lib.plain`).

    The weight is long on the left, the inputs on the right: outputs 2 * 1 and 1 * 4. A plain SVD would keep the left.

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> moments = Moments(torch.zeros(2), torch.diag(torch.tensor([1.0, 16.0])), 100)
    >>> found = output_svd(layer, moments, rank=1)
    >>> found.layer(torch.tensor([[1.0, 4.0]])).tolist()
    [[0.0, 4.0]]
    >>> round(found.predicted_error, 4)                                  # 2 is lost of sqrt(4 + 16)
    0.4472

    Source: X. Zhang, J. Zou, K. He, J. Sun, "Accelerating Very Deep Convolutional Networks for Classification and
    Detection", 2015, section 3.1.
    """
    weight = _matrix(layer, moments)
    rows, columns = weight.shape
    rank = check_rank(rank, min(rows, columns), f"a {rows} x {columns} weight")
    values, components = _output_components(weight, moments)
    kept = components[:, :rank]
    inner = kept.mT @ weight
    bias = _bias(layer) + (weight - kept @ inner) @ moments.mean.double()
    return Factorized(_two_layers(layer, inner, kept, bias), layer, (rank,), _lost(values)[rank - 1])


@torch.no_grad()
def output_errors(layer: nn.Module, moments: Moments) -> list[float]:
    """Return the `predicted_error` of `output_svd` at every rank, 1 first, from one decomposition.

    Raises:
        TypeError, ValueError: as `output_svd`.

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.eye(2))
    >>> output_errors(layer, Moments(torch.zeros(2), torch.diag(torch.tensor([9.0, 16.0])), 100))     # 3 of 5
    [0.6, 0.0]
    """
    values, _ = _output_components(_matrix(layer, moments), moments)
    return _lost(values)


@torch.no_grad()
def measured_output_error(layer: nn.Module, other: nn.Module, inputs: Tensor) -> float:
    """Return the root mean square error of another layer's output, relative to the layer's output about its mean.

    Both are run on `inputs`. 0 is the same output; 1 is the error of the best constant output, a layer of rank 0.

    Raises:
        TypeError: a layer is not a module, or the inputs are not a tensor.
        ValueError: the outputs differ in shape or are not finite, or the layer's output does not vary.

    Outputs 1 and 3 vary by 1 about 2; the other layer is off by 0 and 2, sqrt(4 / 2) on average.

    >>> round(measured_output_error(nn.Identity(), nn.Hardtanh(), torch.tensor([[1.0], [3.0]])), 4)
    1.4142
    """
    for name, module in (("layer", layer), ("other", other)):
        of_type(name, module, nn.Module, fix="pass two forms of one layer")
    inputs = need_tensor("inputs", inputs, fix="pass what the layer reads, some images, say")
    with evaluating(layer), evaluating(other):
        before, after = run_model(layer, inputs).double(), run_model(other, inputs).double()
    if before.shape != after.shape:
        raise ValueError(
            f"the layer's output has shape {list(before.shape)} and the other's {list(after.shape)}; compare two "
            "forms of one layer"
        )
    if before.dim() < 2:
        raise ValueError(
            f"the layer's output must be [N, ...], got shape {list(before.shape)}; give a batch of inputs, [N, ...]"
        )
    channel = 1 if isinstance(layer, nn.Conv2d) else -1
    deviation = before.movedim(channel, -1).flatten(0, -2)
    whole = (deviation - deviation.mean(dim=0)).square().sum()
    if not (whole.isfinite() and after.isfinite().all()):
        raise ValueError("an output holds NaN or infinity, so no error can be computed; check both layers")
    if not whole > 0:
        raise ValueError("the layer's output does not vary on these inputs, so no error can be relative to it")
    return ((after - before).square().sum() / whole).sqrt().item()


@torch.no_grad()
def restore_mean_output(layer: nn.Module, approximation: nn.Module, moments: Moments) -> nn.Module:
    """Return a copy of a layer's factors, from any method, with the bias that restores the layer's mean output.

    This control shows how much of the gain of `output_svd` comes from its bias alone. `approximation` is a chain of
    linear layers, or of convolutions, such as `svd_linear(layer, 8).layer`.

    Raises:
        TypeError, ValueError: as `output_svd` and `rebuild`, or the chain stands for a weight of another shape.

    Inputs of mean 5 pass through a weight of 1 that became 0: the bias has to supply the 5.

    >>> layer, gone = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    >>> _ = layer.weight.data.fill_(1.0), gone.weight.data.fill_(0.0)
    >>> moments = Moments(torch.tensor([5.0]), torch.ones(1, 1), 100)
    >>> restore_mean_output(layer, gone, moments)(torch.zeros(1, 1)).tolist()
    [[5.0]]

    Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section
    4.2, for the error of rounding.
    """
    weight = _matrix(layer, moments)
    other = rebuild(approximation).flatten(1)
    if other.shape != weight.shape:
        raise ValueError(
            f"the factors stand for a {other.shape[0]} x {other.shape[1]} weight and the layer has "
            f"{weight.shape[0]} x {weight.shape[1]}; pass those of the same layer"
        )
    result = copied(approximation)
    last = [module for module in result.modules() if hasattr(module, "bias")][-1]
    last.bias = parameter(_bias(layer) + (weight - other) @ moments.mean.double(), layer)
    return result


def _two_layers(layer: nn.Module, inner: Tensor, outer: Tensor, bias: Tensor) -> nn.Sequential:
    """A layer of the weight `outer @ inner` ([out, r] and [r, k]) in the form, type and mode of `layer`."""
    # Each factor gets the root of the singular value, as in a plain SVD: this suits rounding and training.
    size = inner.norm(dim=1)  # outer has columns of length 1
    size = size.where(size > 0, 1.0).sqrt()
    inner, outer, bias = inner / size[:, None], outer * size, parameter(bias, layer)
    if isinstance(layer, nn.Linear):
        pair = nn.Sequential(linear(inner, layer), linear(outer, layer, bias))
    else:
        few = convolution(inner.reshape(-1, *layer.weight.shape[1:]), layer, axes=(0, 1))
        pair = nn.Sequential(few, convolution(outer[:, :, None, None], layer, bias=bias))
    return pair.train(layer.training)


def _matrix(layer: nn.Module, moments: Moments) -> Tensor:
    """The weight as a float64 matrix [out, k], after a check that the moments fit it."""
    layer = need_linear(layer) if isinstance(layer, nn.Linear) else need_convolution(layer)
    of_type("moments", moments, Moments, fix="input_moments(model, pictures) gives them by layer name")
    weight = need_tensor("weight", layer.weight, finite=True, fix="find out what went wrong in training")
    weight = weight.detach().double().flatten(1)
    if len(moments.mean) != weight.shape[1]:
        raise ValueError(
            f"the moments are of {len(moments.mean)} inputs and the layer reads {weight.shape[1]}; take those of the "
            "same layer from input_moments"
        )
    return weight


def _bias(layer: nn.Module) -> Tensor:
    return layer.bias.double() if layer.bias is not None else layer.weight.new_zeros(len(layer.weight)).double()


def _lost(values: Tensor) -> list[float]:
    """The share of the root mean square that is lost when only the first 1, 2, ... of these deviations are kept."""
    return tail_errors(values.square())[1:].tolist()  # an output that never varies is all in the bias: nothing is lost


def _output_components(weight: Tensor, moments: Moments) -> tuple[Tensor, Tensor]:
    """The deviations of the output along its principal components, and these [out, min(out, k)]."""
    components, values, _ = torch.linalg.svd(weight @ moments.root(), full_matrices=False)
    tolerance = max(weight.shape) * torch.finfo(torch.float64).eps * values[0]
    known = int((values > tolerance).sum())
    if known < len(values):
        # These outputs never varied, so the components are arbitrary from here on. Take the longest directions of the
        # remaining weight, so that full rank is exact for inputs of every kind.
        varied = components[:, :known]
        rest = torch.linalg.svd(weight - varied @ (varied.mT @ weight), full_matrices=False).U
        components = torch.cat([varied, rest], dim=1)[:, : len(values)]
        components = torch.linalg.qr(components).Q
        values = values.where(values > tolerance, 0.0)
    return values, components
