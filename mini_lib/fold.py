"""Folding batch norm into the layer before it, so that there is one weight to quantize instead of two.

In evaluation mode, batch norm is one fixed line per channel, `y = gamma * (x - mean) / sqrt(var + eps) + beta`. After a
convolution or a linear layer `x = W a + b` it is one more linear step, and two linear steps are one:

    W' = W * gamma / sqrt(var + eps)                 b' = (b - mean) * gamma / sqrt(var + eps) + beta

Quantizing W and keeping the batch norm would quantize numbers that no arithmetic ever uses: on an integer machine it
is W' that is multiplied (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.2).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mini_lib.copying import need_module
from mini_lib.graph import BATCH_NORMS, Flow, data_flow
from mini_lib.plain import why_not_plain
from mini_lib.require import of_type
from mini_lib.surgery import swap

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class FoldedBatchNorm(nn.Identity):
    """The placeholder of a folded batch norm: it passes its input on and keeps the names of the other modules in place.

    With `axes` it refuses an input with another number of axes, since its axis 1 would not be the layer's output
    channels.
    """

    def __init__(self, axes: int | None = None) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        if self.axes is not None and isinstance(x, Tensor) and x.dim() != self.axes:  # x is not a tensor while tracing
            raise ValueError(
                f"the batch norm that was folded here normalised axis 1, so it can stand for {self.axes} axes only, "
                f"got shape {list(x.shape)}; give the model a batch of the shape that its layers expect"
            )
        return x


@torch.no_grad()
def fold_pair(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """Return a new layer that computes `norm(layer(x))`: a convolution or linear layer with a batch norm folded in.

    The new layer has the weight shape of `layer` and always a bias, one value per output channel. The arithmetic is
    done in float64 and rounded once.

    Args:
        layer: nn.Conv1d, nn.Conv2d, nn.Conv3d or nn.Linear; its output channels are axis 0 of its weight.
        norm: nn.BatchNorm1d, 2d or 3d with running statistics. It normalises axis 1, which holds the channels of
            `layer` in a batch: [N, features] after a linear layer, [N, channels, ...] after a convolution.

    Raises:
        TypeError: `layer` or `norm` is of another kind.
        ValueError: `norm` is in training mode, keeps no running statistics, or has another number of channels; one of
            the two is not plain (it has a hook, a mask or a forward of its own); or a folded weight is not finite.

    >>> layer, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=0.0).eval()
    >>> _ = layer.weight.data.fill_(3.0), norm.weight.data.fill_(10.0), norm.bias.data.fill_(1.0)
    >>> _ = norm.running_mean.fill_(0.5), norm.running_var.fill_(4.0)     # gamma / sqrt(var) = 10 / 2 = 5
    >>> folded = fold_pair(layer, norm)
    >>> folded.weight.item(), folded.bias.item()                          # 3 * 5 and (0 - 0.5) * 5 + 1
    (15.0, -1.5)

    Source: Jacob et al. 2018, section 3.2; Krishnamoorthi 2018 (arXiv:1806.08342), section 3.2.2.
    """
    _check_pair(layer, norm)
    deviation = torch.sqrt(norm.running_var.double() + norm.eps)
    gain = (norm.weight.double() if norm.weight is not None else 1.0) / deviation
    shift = norm.bias.double() if norm.bias is not None else torch.zeros_like(deviation)
    bias = layer.bias.double() if layer.bias is not None else torch.zeros_like(deviation)
    weight = layer.weight.double() * gain.reshape(-1, *[1] * (layer.weight.dim() - 1))
    bias = (bias - norm.running_mean.double()) * gain + shift

    folded = copy.deepcopy(layer)
    folded.weight = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    folded.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    if not (folded.weight.isfinite().all() and folded.bias.isfinite().all()):
        raise ValueError(
            f"a folded weight or bias is not finite in {layer.weight.dtype}; look for NaN, infinity and a negative "
            "variance, or call model.float() first"
        )
    return folded


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a new model in eval mode that computes the same with every batch norm folded into the layer before it.

    A batch norm can be folded where it alone reads the result of one convolution or linear layer. A `FoldedBatchNorm`
    takes its place, so module names stay as they were, and its parameters and buffers are gone. The result is equal up
    to the rounding of the float type, not bit by bit: the multiplications happen in another order. A model without
    batch norm is copied, so folding twice is the same as folding once.

    Args:
        model: a model in eval mode; the argument stays as it is. It reads batches: [N, features] reach a batch norm
            after a linear layer, [N, channels, ...] one after a convolution. The result refuses other shapes there.

    Raises:
        TypeError: `model` is not a module.
        ValueError: the model is in training mode, its forward cannot be traced, or a batch norm cannot be folded: its
            input is used elsewhere too, or it or its layer is not plain (a hook, a mask or a forward of its own).

    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> fold_batch_norm(model)
    Sequential(
      (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))
      (1): FoldedBatchNorm()
      (2): ReLU()
    )

    Source: Jacob et al. 2018, section 3.2.
    """
    need_module(model)
    norms = find_batch_norms(model)
    if not norms:
        return swap(model, {}).eval()
    training = [name for name in norms if model.get_submodule(name).training]
    if training or model.training:
        raise ValueError(
            f"batch norm '{(training or norms)[0]}' is in training mode, where it normalises with each batch's own "
            "statistics; only the running statistics can be folded: call model.eval() first"
        )
    flow = data_flow(model)
    new = {}
    for name in norms:
        norm = model.get_submodule(name)
        layer = _layer_before(flow, name, norm)
        try:
            new[layer] = fold_pair(model.get_submodule(layer), norm)
        except ValueError as error:
            raise ValueError(f"cannot fold batch norm '{name}': {error}") from error
        new[name] = FoldedBatchNorm(model.get_submodule(layer).weight.dim())
    return swap(model, new).eval()


def find_batch_norms(model: nn.Module) -> list[str]:
    """Return the names of the batch norms in `model`, in the order in which it holds them.

    Raises:
        TypeError: `model` is not a module.

    >>> find_batch_norms(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)))
    ['1']
    """
    need_module(model)
    return [name for name, module in model.named_modules() if isinstance(module, BATCH_NORMS)]


def _check_pair(layer: nn.Module, norm: nn.Module) -> None:
    of_type("norm", norm, BATCH_NORMS, fix="other norms depend on their input, and have no fixed line to fold")
    if not isinstance(layer, LAYERS):
        raise TypeError(
            f"cannot fold batch norm into {type(layer).__name__}; it can be folded into Conv1d, Conv2d, Conv3d or "
            "Linear, before these are quantized"
        )
    if norm.training:
        raise ValueError("cannot fold a batch norm in training mode; call norm.eval() first")
    if norm.running_mean is None:
        raise ValueError(
            "cannot fold a batch norm without running statistics; build it with track_running_stats=True and train it"
        )
    for what, module, kinds in (("layer", layer, LAYERS), ("batch norm", norm, BATCH_NORMS)):
        if reason := why_not_plain(module, kinds):
            raise ValueError(f"the {what} is not plain: {reason}")
    if isinstance(layer, nn.Linear) and not isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm):
        raise ValueError(
            f"{type(norm).__name__} normalises axis 1, and the output channels of a linear layer are its last axis; "
            "only BatchNorm1d on [N, features] can be folded into one"
        )
    channels = layer.weight.shape[0]
    if norm.num_features != channels:
        raise ValueError(
            f"the layer has {channels} output channels and the batch norm {norm.num_features}; make them equal"
        )


def _layer_before(flow: Flow, norm_name: str, norm: nn.Module) -> str:
    """Return the name of the layer to fold `norm` into, or say why there is none."""
    where = f"cannot fold batch norm '{norm_name}'"
    calls = [call for call in flow.calls if call.module is norm]
    if len(calls) != 1:
        raise ValueError(f"{where}: forward calls it {len(calls)} times, and it must be called exactly once")
    before = flow.producer(calls[0])
    if before is None or before.module is None:
        what = "the model's input or several tensors" if before is None else str(before)
        raise ValueError(
            f"{where}: it reads {what}, not the output of a convolution or linear layer; leave it out of "
            "the model or move it after one"
        )
    if flow.consumer(before) is None:
        raise ValueError(f"{where}: the output of {before} is used elsewhere too, and folding would change it there")
    try:
        _check_pair(before.module, norm)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} into {before}: {error}") from error
    if not flow.owns_weight(before):
        raise ValueError(
            f"{where}: the weight of {before} is used more than once, by a second call, a second layer or forward "
            "itself; give each use a weight of its own"
        )
    if read := [place for place in flow.read if place.startswith(f"{norm_name}.")]:
        raise ValueError(f"{where}: forward reads '{read[0]}' itself, which would be gone; leave the norm as it is")
    return before.target
