"""Sensitivity from the curvature of the loss: HAWQ.

At the end of training the gradient is about zero, and moving the weights by d changes the loss by about d^T H d / 2,
with H the Hessian. If d points in a random direction, as rounding errors do, the mean of d^T H d is
tr(H) / n * ||d||^2: the average curvature, times how far the weights are moved. That is HAWQ-V2's sensitivity.

H has n * n entries, but its trace can be found without computing any of them. For a vector v of random signs, E[v^T H
v] = tr(H), since v_i v_j is 1 on the diagonal and 0 on average elsewhere (Hutchinson). And H v is a gradient: that of
(gradient . v).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mini_lib.copying import copied, need_module
from mini_lib.data import Split
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.ladder import rung
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.mixed.sensitivity import Sensitivities, squared_errors
from mini_lib.quantize.mixed.trials import Trials, mixed_layers
from mini_lib.quantize.observers import min_max
from mini_lib.require import whole
from mini_lib.surgery import Where


@dataclass(frozen=True)
class TraceEstimate:
    """The mean of v^T H v over random sign vectors v, each an unbiased estimate of the trace of H.

    >>> TraceEstimate((1.0, 3.0)).mean, TraceEstimate((1.0, 3.0)).standard_error       # sqrt(2) / sqrt(2)
    (2.0, 1.0)
    """

    samples: tuple[float, ...]

    @property
    def mean(self) -> float:
        return math.fsum(self.samples) / len(self.samples)

    @property
    def standard_error(self) -> float:
        """The typical error of the mean; infinite for a single sample."""
        n, mean = len(self.samples), self.mean
        if n == 1:
            return math.inf
        return math.sqrt(math.fsum((sample - mean) ** 2 for sample in self.samples) / (n - 1) / n)


def hessian_traces(
    model: nn.Module, split: Split, *, probes: int = 16, seed: int = 0, where: Where = is_weight_layer
) -> dict[str, TraceEstimate]:
    """Return the trace of the Hessian of the mean cross-entropy with respect to each layer's weight, estimated.

    Each layer has its own probes, which are zero in the others. One vector of signs for all layers would be cheaper,
    and right on average, but the large terms between two layers would drown out a layer of little curvature.

    Args:
        model: with batch norm folded, or not; it runs in eval mode, and stays as it is.
        split: training data; a hundred pictures are a start.
        probes: the number of random vectors; the error falls with its root.
        seed: decides the vectors.
        where: picks the layers.

    Raises:
        TypeError: `split` is not a data.Split, or `probes` or `seed` is not a whole number.
        ValueError: `probes` is below 1, the loss is not finite, a layer does not run, or as `Trials`.

    Source: Z. Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks", 2020, section 3.2;
    M. Hutchinson, "A Stochastic Estimator of the Trace of the Influence Matrix", 1990.
    """
    need_module(model)
    if not isinstance(split, Split):
        raise TypeError(f"split must be a data.Split, got {type(split).__name__}; use data.Split(images, labels)")
    probes = whole("probes", probes, low=1, fix="16 are a start")
    generator = torch.Generator().manual_seed(whole("seed", seed, fix="any will do"))

    def sample(weight: nn.Parameter, gradient: Tensor) -> float:
        signs = torch.randint(0, 2, weight.shape, generator=generator).to(weight.dtype) * 2 - 1
        [product] = torch.autograd.grad(gradient, weight, signs, retain_graph=True)  # H v
        return (signs.double() * product.double()).sum().item()

    with torch.inference_mode(False), torch.enable_grad():  # even if the caller has switched gradients off
        model = copied(model).eval().requires_grad_(False)
        layers = mixed_layers(model, where)
        weights = [layer.weight.requires_grad_() for layer in layers.values()]
        loss = F.cross_entropy(model(split.images), split.labels)
        if not loss.isfinite():
            raise ValueError(f"the loss is {loss.item()}; check the weights and the images for NaN or infinity")
        gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        if idle := [name for name, gradient in zip(layers, gradients, strict=True) if gradient is None]:
            raise ValueError(f"layer {idle[0]!r} does not run on the pictures; leave it out in where")
        return {
            name: TraceEstimate(tuple(sample(weight, gradient) for _ in range(probes)))
            for name, weight, gradient in zip(layers, weights, gradients, strict=True)
        }


def sensitivity_by_hessian(
    model: nn.Module,
    widths: Sequence[int],
    split: Split,
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
    probes: int = 16,
    seed: int = 0,
) -> Sensitivities:
    """Return tr(H) / n * ||Q(W) - W||^2 of each layer at each width: its mean curvature times its squared error.

    This is twice the rise of the loss, if the gradient is zero, the loss is quadratic as far as the rounding goes, and
    rounding errors point in random directions. At 2 bits they are not a small step; see for yourself how well it does.

    Args:
        model, widths, fmt, where, observer: those of `Trials`.
        split, probes, seed: those of `hessian_traces`.

    Raises:
        TypeError: as `Trials` and `hessian_traces`.
        ValueError: a trace is not above 0, so that the layer is not at a minimum; or as `Trials` and `hessian_traces`.

    Source: Z. Dong et al., "HAWQ-V2", 2020, equation 8.
    """
    trials = Trials(model, widths, fmt=fmt, where=where, observer=observer)
    found: Sensitivities = {}
    for name, trace in hessian_traces(model, split, probes=probes, seed=seed, where=where).items():
        if not trace.mean > 0:
            raise ValueError(
                f"layer {name!r} has an estimated Hessian trace of {trace.mean:.3g} +- {trace.standard_error:.2g}, but "
                "at a minimum it is above 0; use more probes or pictures, or a model that is trained"
            )
        curvature = trace.mean / model.get_submodule(name).weight.numel()
        found[name] = {bits: curvature * error for bits, error in squared_errors(trials, name).items()}
    return found
