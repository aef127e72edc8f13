"""The contests of timing: layers and models that compute the same, or cost the same, side by side.

Times do not depend on the values of weights, so untrained nets are used here in place of trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mini_lib import zoo
from mini_lib.factorize.layers import depthwise, depthwise_separable
from mini_lib.factorize.low_rank import channel_svd, tucker2
from mini_lib.fold import fold_batch_norm
from studies.factorize.nets import NARROW, WIDE, plain_cnn
from studies.factorize.sweep import apart


@dataclass(frozen=True, eq=False)
class Contest:
    """Modules that are timed in turns, and the shapes of their inputs; the others are compared with the first.

    `shapes` is [channels, height, width], one for each module.
    """

    modules: Mapping[str, nn.Module]
    shapes: Mapping[str, tuple[int, int, int]]


def small_layer() -> Contest:
    """16 to 16 channels at 14 x 14: few channels, so there is little to save."""
    conv = _conv(16, 16)
    return _same_input(
        {
            "dense": conv,
            "svd 4": channel_svd(conv, 4).layer,
            "tucker-2 8 x 8": tucker2(conv, 8, 8, "hosvd").layer,
            "depthwise-separable": depthwise_separable(16, 16, 3),
        },
        (16, 14, 14),
    )


def large_layer() -> Contest:
    """128 to 128 channels at 14 x 14: the same methods, where there is much to save."""
    conv = _conv(128, 128)
    return _same_input(
        {
            "dense": conv,
            "svd 32": channel_svd(conv, 32).layer,
            "tucker-2 64 x 64": tucker2(conv, 64, 64, "hosvd").layer,
            "depthwise-separable": depthwise_separable(128, 128, 3),
        },
        (128, 14, 14),
    )


def equal_layers() -> Contest:
    """A plain layer and a depthwise-separable one of about equal MACs, 4608 and 4672 per place."""
    modules = {"plain 16 -> 32": _conv(16, 32), "depthwise-separable 64 -> 64": depthwise_separable(64, 64, 3)}
    return Contest(modules, dict(zip(modules, ((16, 14, 14), (64, 14, 14)))))


def ranks() -> Contest:
    """64 to 64 channels at 14 x 14, split in two at many ranks: time falls in steps, not along a line."""
    conv = _conv(64, 64)
    split = {f"svd {rank}": channel_svd(conv, rank).layer for rank in (4, 8, 12, 16, 20, 24, 28, 32, 40, 48)}
    return _same_input({"dense": conv, **split}, (64, 14, 14))


def equal_models() -> Contest:
    """A plain net and a MobileNet-style one of about equal MACs."""
    return _same_input(
        {"plain_cnn": _folded(plain_cnn(NARROW)), "depthwise_cnn": _folded(zoo.depthwise_cnn())}, (1, 28, 28)
    )


def small_model() -> Contest:
    """small_cnn, taken apart at several fractions of full rank."""
    return _model(zoo.small_cnn(), (0.125, 0.25, 0.375, 0.5, 0.75))


def wide_model() -> Contest:
    """A plain net of twice the channels, except in the first layer, taken apart at several fractions of full rank."""
    return _model(plain_cnn(WIDE), (0.125, 0.25, 0.375, 0.5))


def depthwise_alone() -> Contest:
    """A depthwise layer of 64 channels at 14 x 14, for the trap: most of its time may be spent on getting memory."""
    return _same_input({"depthwise": depthwise(64, 3), "dense": _conv(64, 64)}, (64, 14, 14))


CONTESTS: Mapping[str, Callable[[], Contest]] = {
    contest.__name__: contest
    for contest in (
        small_layer, large_layer, equal_layers, ranks, equal_models, small_model, wide_model, depthwise_alone,
    )
}  # fmt: skip


def _model(net: nn.Module, fractions: tuple[float, ...]) -> Contest:
    dense = _folded(net)
    apart_at = {
        f"{method} {fraction:g}": apart(dense, method, fraction, tucker_by="hosvd")
        for method in ("svd", "tucker-2")
        for fraction in fractions
    }
    return _same_input({"dense": dense, **apart_at}, (1, 28, 28))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Conv2d(inputs, outputs, 3, padding=1)


def _folded(net: nn.Module) -> nn.Module:
    return fold_batch_norm(net.eval())


def _same_input(modules: Mapping[str, nn.Module], shape: tuple[int, int, int]) -> Contest:
    return Contest(modules, dict.fromkeys(modules, shape))
