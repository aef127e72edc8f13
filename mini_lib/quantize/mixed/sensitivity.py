"""How much does one layer suffer at few bits? Six answers, some cheap and some good, in one shape.

Each is `{layer: {bits: error}}`, where the error is 0 or more, and an allocation adds up the errors. So all of them
assume that the harm of two layers is the sum of their harms. It is not; but the order of the allocations can be right
all the same, and a choice needs nothing else.

Four look at the data. By the loss and by KL divergence: quantize one layer, run the model, and compare. By the Hessian
(`hessian.py`): the loss is a bowl, and the rounding error climbs its wall. By the output: the squared error of the
layer's own output. Two do not, and fail: the error of the weight says nothing about the purpose of the layer, and the
number of bytes saved says nothing about their content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches
from mini_lib.data import Split
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.ladder import rung
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.mixed.trials import Bits, Trials
from mini_lib.quantize.observers import min_max
from mini_lib.require import callable_, finite
from mini_lib.second_moments import output_error, second_moments_of
from mini_lib.surgery import Where

Sensitivities = dict[str, dict[int, float]]  # {layer: {bits: error}}
Progress = Callable[[str, int, float], None]  # receives the layer, its bits, and the error


def sensitivity_by_loss(
    model: nn.Module,
    widths: Sequence[int],
    split: Split,
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
    progress: Progress | None = None,
) -> Sensitivities:
    """Return by how much the mean cross-entropy rises when only one layer is quantized, in nats.

    Where it falls, by the luck of the sample, the error is 0: a knapsack takes no negative errors, and would choose by
    luck. So the loss separates layers only where their harm exceeds this luck; KL has no such floor.

    Args:
        model, widths, fmt, where, observer: those of `Trials`.
        split: validation data, or training data that is kept apart for it; never test data.
        progress: called after each measurement.

    Raises:
        TypeError: `split` is not a data.Split, or as `Trials`.
        ValueError: the loss is not finite, or as `Trials`.

    Rounding 1.4 to 1 lowers the logits from (1.4, 0) to (1, 0). The loss of class 0 rises from log(1 + e^-1.4) =
    0.22042 to log(1 + e^-1) = 0.31326:

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.4, 7.0], [0.0, 7.0]]))
    >>> found = sensitivity_by_loss(model, [4], Split(torch.tensor([[1.0, 0.0]]), torch.tensor([0])))
    >>> round(found["0"][4], 5)
    0.09284

    Source: K. Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision", 2019, measures accuracy
    this way; the loss says more than the share of correct answers.
    """
    if not isinstance(split, Split):
        raise TypeError(f"split must be a data.Split, got {type(split).__name__}; use data.Split(images, labels)")
    trials = Trials(model, widths, fmt=fmt, where=where, observer=observer)
    loss_of = trials.loss(split)
    whole = finite("the loss of the float model", loss_of({}), fix="check its weights and the images for NaN")
    # In this order a NaN stays NaN: max(0.0, nan) is 0.
    return _one_at_a_time(trials, lambda bits: max(loss_of(bits) - whole, 0.0), progress)


def sensitivity_by_kl(
    model: nn.Module,
    widths: Sequence[int],
    images: Tensor,
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
    progress: Progress | None = None,
) -> Sensitivities:
    """Return the KL divergence of the outputs from those of the float model when only one layer is quantized, in nats.

    It needs no labels, is never negative, and sees a change that leaves the largest logit where it was.

    Args:
        model, widths, fmt, where, observer: those of `Trials`.
        images: [N, ...], of training or validation data; never test data.
        progress: is called after each measurement.

    Raises:
        TypeError: `images` is not a tensor, or as `Trials`.
        ValueError: the images or the outputs are not finite, or as `Trials`.

    Only the first weight is rounded, from 1.4 to 1: the second grid holds 7 and 0 exactly.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[7.0, 1.4], [7.0, 0.0]]))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[7.0, 0.0], [0.0, 7.0]]))
    >>> found = sensitivity_by_kl(model, [4], torch.tensor([[0.0, 1.0]]))
    >>> {layer: round(errors[4], 5) for layer, errors in found.items()}     # logits (9.8, 0) become (7, 0)
    {'0': 0.0007, '1': 0.0}

    Source: Z. Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework", 2020, section 3.2.
    """
    [images] = batches(images)
    trials = Trials(model, widths, fmt=fmt, where=where, observer=observer)
    return _one_at_a_time(trials, trials.kl(images), progress)


def sensitivity_by_output(
    model: nn.Module,
    widths: Sequence[int],
    calibration: Calibration,
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> Sensitivities:
    """Return the squared error of each layer's own output, relative to the output: tr(D H D^T) / tr(W H W^T).

    H holds the second moments of the layer's inputs, so all widths together take one pass over the data. It knows which
    weights matter to the layer, but not how much the layer matters to the model.

    Args:
        model: in eval mode. The other arguments are those of `Trials`.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.

    Raises:
        TypeError: a batch is not a tensor, or as `Trials`.
        ValueError: the model is in training mode, a layer does not run, its output is zero, calibration is empty or
            holds NaN, or as `Trials`.

    The step is 1, so -2.5 becomes -2, and only it meets an input that is not zero: 0.5^2 / 2.5^2.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[7.0, -2.5]]))
    >>> sensitivity_by_output(model, [4], torch.tensor([[0.0, 2.0]]))
    {'0': {4: 0.04}}

    Source: E. Frantar, D. Alistarh, "Optimal Brain Compression", 2022, section 5, which allocates bits this way.
    """
    trials = Trials(model, widths, fmt=fmt, where=where, observer=observer)
    layers = {name: model.get_submodule(name) for name in trials.layers}
    moments = second_moments_of(model, calibration, layers)
    return {
        name: {bits: output_error(layers[name].weight, weight, moments[name]) for bits, weight in by_width.items()}
        for name, by_width in trials.weights.items()
    }


def sensitivity_by_weight(
    model: nn.Module,
    widths: Sequence[int],
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> Sensitivities:
    """Return the squared error of each weight, ||Q(W) - W||^2. It ranks allocations badly.

    The sum over the layers is the squared error of all weights of the model. But a weight is not an output: a large
    layer with a large error may matter little, and a small first layer much.

    Args:
        model, widths, fmt, where, observer: those of `Trials`.

    Raises:
        TypeError, ValueError: as `Trials`.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[7.0, -2.5]]))
    >>> sensitivity_by_weight(model, [4])                                    # -2.5 becomes -2
    {'0': {4: 0.25}}
    """
    trials = Trials(model, widths, fmt=fmt, where=where, observer=observer)
    return {name: squared_errors(trials, name) for name in trials.layers}


def sensitivity_by_bytes(
    model: nn.Module,
    widths: Sequence[int],
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> Sensitivities:
    """Return the bytes that each width removes from each layer, as if all bytes were worth the same. They are not.

    The sum over the layers is the reduction of the model's size. With it, any allocation that spends a budget to the
    last byte is as good as any other.

    Args:
        model, widths, fmt, where, observer: those of `Trials`.

    Raises:
        TypeError, ValueError: as `Trials`.

    256 weights of 4 bytes; at 4 bits they take 128 bytes, and one scale of 4:

    >>> sensitivity_by_bytes(nn.Sequential(nn.Linear(256, 1)), [4])
    {'0': {4: 892.0}}
    """
    trials = Trials(model, widths, fmt=fmt, where=where, observer=observer)
    return {
        name: {bits: float(max(0, model.get_submodule(name).weight.nbytes - q.stored_bytes)) for bits, q in row.items()}
        for name, row in trials.quantized.items()
    }


def squared_errors(trials: Trials, layer: str) -> dict[int, float]:
    """Return ||Q(W) - W||^2 of one layer at each width."""
    weight = trials.model.get_submodule(layer).weight.detach().double()
    return {bits: (lent.double() - weight).square().sum().item() for bits, lent in trials.weights[layer].items()}


def _one_at_a_time(trials: Trials, error_of: Callable[[Bits], float], progress: Progress | None) -> Sensitivities:
    if progress is not None:
        callable_("progress", progress, fix="pass a function of the layer, the bits and the error")
    found: Sensitivities = {name: {} for name in trials.layers}
    for name in trials.layers:
        for bits in trials.widths:
            what = f"the error of layer {name!r} at {bits} bits"
            error = finite(what, error_of({name: bits}), fix="check the weights and images for NaN")
            found[name][bits] = error
            if progress is not None:
                progress(name, bits, error)
    return found
