"""Calibration: run a model on a few batches and look at what passes through its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

Calibration = Tensor | Iterable[Tensor]
# Is told the layer's name, its input and its output.
See = Callable[[str, Tensor, Tensor], None]


def batches(calibration: Calibration) -> list[Tensor]:
    """Return the calibration data as a list of batches [N, ...]; a single tensor is one batch.

    Raises:
        TypeError: a batch is not a tensor.
        ValueError: there is no batch, or one is empty or holds NaN or infinity.

    >>> [batch.shape for batch in batches(torch.zeros(8, 3))]
    [torch.Size([8, 3])]
    """
    found = [calibration] if isinstance(calibration, Tensor) else list(calibration)
    if not found:
        raise ValueError("calibration holds no batch; give it some training images, a hundred or more")
    for number, batch in enumerate(found):
        if not isinstance(batch, Tensor):
            raise TypeError(
                f"calibration batch {number} must be a tensor of inputs, got {type(batch).__name__}; leave the labels "
                "out: [images for images, labels in loader]"
            )
        if batch.numel() == 0:
            raise ValueError(f"calibration batch {number} is empty, shape {tuple(batch.shape)}; leave it out")
        if not batch.isfinite().all():
            raise ValueError(f"calibration batch {number} holds NaN or infinity; check how the images were made")
    return found


@torch.no_grad()
def observe(model: nn.Module, data: list[Tensor], names: Iterable[str], see: See) -> None:
    """Run `model` on every batch and call `see(name, input, output)` whenever a module of these names has run.

    Raises:
        ValueError: the model, or one of its modules, is in training mode.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).eval()
    >>> observe(model, [torch.zeros(5, 2)], ["1"], lambda name, x, y: print(name, tuple(x.shape)))
    1 (5, 3)
    """
    training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    if training:
        raise ValueError(
            f"'{training[0]}' is in training mode, where a model computes something else (and batch norm learns from "
            "the calibration data); call model.eval() first"
        )
    with ExitStack() as hooks:
        for name in names:
            hook = model.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name: see(name, inputs[0], output)
            )
            hooks.callback(hook.remove)
        for batch in data:
            model(batch)
