"""Batch norm at few bits: statistics that are measured again, and statistics that are frozen.

Rounding a layer's weights changes the mean and the variance of its outputs, but a batch norm after it still uses the
old ones. At 2 bits that alone can ruin a network whose codes are good.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe, running_order
from mini_lib.copying import need_module
from mini_lib.fold import find_batch_norms
from mini_lib.surgery import replace, swap


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, calibration: Calibration) -> nn.Module:
    """Return a copy of `model` whose batch norms have the mean and variance of their inputs on the calibration data.

    Weights stay as they are, and so do gamma and beta. The statistics are those of the whole data, not a moving average
    of batches: how it is cut into batches does not matter. The norms are measured one after the other, in the order in
    which they run, each with the new statistics of the norms before it. As in torch, the variance is divided by n - 1.

    It works on any model in eval mode whose batch norms are not folded: float, quantized after training, in training at
    few bits, or exported. Where they are folded there is nothing to measure again; see `correct_bias`.

    Args:
        model: in eval mode; the argument stays as it is.
        calibration: inputs [N, ...], a batch or an iterable of batches; training images, never test ones.

    Raises:
        TypeError: `model` is not a module, or a batch is not a tensor.
        ValueError: the model is in training mode or has no batch norm, or one that keeps no running statistics, that
            does not run, whose input is not finite, or has fewer than two values per channel; or calibration is empty
            or not finite.

    >>> model = nn.Sequential(nn.BatchNorm1d(1)).eval()
    >>> norm = reestimate_batch_norm(model, torch.tensor([[1.0], [2.0], [6.0]]))[0]
    >>> norm.running_mean, norm.running_var                      # (4 + 1 + 9) / 2
    (tensor([3.]), tensor([7.]))

    Source: Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3 ("PreciseBN").
    """
    need_module(model)
    data = batches(calibration)
    model = swap(model, {})
    norms = {name: model.get_submodule(name) for name in find_batch_norms(model)}
    if not norms:
        raise ValueError("the model has no batch norm left to re-estimate; if it is folded, correct_bias does its part")
    for name in dict.fromkeys([*running_order(model, data, norms), *norms]):
        if norms[name].running_mean is None:
            raise ValueError(f"batch norm '{name}' keeps no running statistics, so there are none to re-estimate")
        for held, found in zip((norms[name].running_mean, norms[name].running_var), _moments(model, data, name)):
            if not held.copy_(found).isfinite().all():
                raise ValueError(
                    f"batch norm '{name}' reads a mean or variance of up to {found.abs().max():.3g}, beyond what "
                    f"{held.dtype} holds; call model.float() first"
                )
    return model


def freeze_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose batch norms use their running statistics even while it trains.

    Training then uses the same line as evaluation: its mean and variance stay as they are, while gamma and beta still
    learn. `model.train()`, which `fit` calls, does not change that.

    Raises:
        TypeError: `model` is not a module.
        ValueError: the model has no batch norm, or one that keeps no running statistics, is neither 1-D nor 2-D, is not
            of torch's own class, or has a hook or a forward of its own.

    >>> frozen = freeze_batch_norm(nn.Sequential(nn.BatchNorm1d(1))).train()
    >>> frozen(torch.tensor([[4.0], [8.0]])).detach().round().flatten(), frozen[0].running_mean    # mean 0, variance 1
    (tensor([4., 8.]), tensor([0.]))

    Source: Krishnamoorthi 2018 (arXiv:1806.08342), section 3.2.2, "batch normalization freezing".
    """
    need_module(model)
    names = find_batch_norms(model)
    if not names:
        raise ValueError("the model has no batch norm to freeze; a folded batch norm is already frozen")
    for name in names:
        norm = model.get_submodule(name)
        if norm.running_mean is None:
            raise ValueError(f"batch norm '{name}' keeps no running statistics to freeze")
        if type(norm) not in (*_FROZEN, *_FROZEN.values()):
            raise ValueError(f"cannot freeze batch norm '{name}', a {type(norm).__name__}; use BatchNorm1d or 2d")
    return replace(model, lambda name, module: type(module) in _FROZEN, _frozen)


class FrozenBatchNorm1d(nn.BatchNorm1d):
    """A BatchNorm1d that is never in training mode; see `freeze_batch_norm`."""

    def train(self, mode: bool = True) -> FrozenBatchNorm1d:
        """Stay in eval mode, whatever `mode` says."""
        return super().train(False)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d that is never in training mode; see `freeze_batch_norm`."""

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        """Stay in eval mode, whatever `mode` says."""
        return super().train(False)


_FROZEN = {nn.BatchNorm1d: FrozenBatchNorm1d, nn.BatchNorm2d: FrozenBatchNorm2d}


def _frozen(norm: nn.Module) -> nn.Module:
    new = _FROZEN[type(norm)](norm.num_features, norm.eps, norm.momentum, norm.affine)
    new._parameters, new._buffers = norm._parameters, norm._buffers  # `norm` is a copy: all dtypes are kept
    return new.eval()


def _moments(model: nn.Module, data: list[Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each channel of the input of the batch norm `name`, float64 [channels]."""
    count = total = squares = 0

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        nonlocal count, total, squares
        channels = inputs.double().movedim(1, 0).flatten(1)
        count += channels.shape[1]
        total, squares = total + channels.sum(dim=1), squares + channels.square().sum(dim=1)

    observe(model, data, [name], look)
    if count < 2:
        raise ValueError(
            f"batch norm '{name}' sees {count} value{'' if count == 1 else 's'} per channel of the calibration data, "
            "and a variance needs two; give more images, or leave out what does not run"
        )
    mean = total / count
    if not mean.isfinite().all():
        raise ValueError(f"batch norm '{name}' reads NaN or infinity; check the weights of the layers before it")
    # float64 keeps 2^-53 of the squares: the difference is good while the mean is below some 10^6 deviations
    return mean, (squares / count - mean.square()).clamp(min=0) * count / (count - 1)
