"""Batch norm in few bits: statistics that stay, and statistics that are taken anew."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, observe, running_order
from mini_lib.fold import find_batch_norms
from mini_lib.surgery import replace


class FrozenBatchNorm1d(nn.BatchNorm1d):
    """A batch norm that uses its running statistics in training too; gamma and beta still learn."""

    def train(self, mode: bool = True) -> FrozenBatchNorm1d:
        """Stay in eval mode, whatever the model does."""
        return super().train(False)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that uses its running statistics in training too; gamma and beta still learn."""

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        """Stay in eval mode, whatever the model does."""
        return super().train(False)


def freeze_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose batch norms use their running statistics even while it trains.

    Raises:
        ValueError: the model has no batch norm.
    """
    kinds = {nn.BatchNorm1d: FrozenBatchNorm1d, nn.BatchNorm2d: FrozenBatchNorm2d}
    if not find_batch_norms(model):
        raise ValueError("the model has no batch norm to freeze")

    def build(norm: nn.Module) -> nn.Module:
        frozen = kinds[type(norm)](norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        frozen.load_state_dict(norm.state_dict())
        return frozen.eval()

    return replace(model, lambda name, module: type(module) in kinds, build)


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, calibration: Calibration) -> nn.Module:
    """Return a copy of `model` with the running statistics of its batch norms taken anew from the calibration data.

    Raises:
        TypeError: a batch is not a tensor.
        ValueError: the model has no batch norm or is in training mode, or calibration is empty.
    """
    data = batches(calibration)
    model = copy.deepcopy(model)
    names = find_batch_norms(model)
    if not names:
        raise ValueError("the model has no batch norm, so there is nothing to re-estimate; do it before folding")
    for name in running_order(model, data, names):
        norm = model.get_submodule(name)
        count, total, squares = 0, 0, 0

        def look(name: str, inputs: Tensor, output: Tensor) -> None:
            nonlocal count, total, squares
            channels = inputs.double().movedim(1, 0).flatten(1)
            count += channels.shape[1]
            total, squares = total + channels.sum(1), squares + channels.square().sum(1)

        observe(model, data, [name], look)
        mean = total / count
        norm.running_mean.copy_(mean)
        norm.running_var.copy_((squares / count - mean.square()).clamp(min=0) * count / max(1, count - 1))
    return model
