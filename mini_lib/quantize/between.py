"""Operations allowed between two layers that are equalized: those that let a positive factor per channel through."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import activation

from mini_lib.fold import FoldedBatchNorm
from mini_lib.graph import Call

# Operations allowed between the two layers of a pair: each keeps the channels apart and lets a positive factor through,
# f(s * x) = s * f(x). Dropout does nothing in eval mode.
ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Dropout, nn.Dropout2d, FoldedBatchNorm,
    F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_", F.leaky_relu, F.dropout,
)  # fmt: skip
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d,
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d,
)  # fmt: skip
# Operations that do not: these are refused by name, as a module or as a function.
OTHER_ACTIVATIONS = {name.lower() for name in activation.__all__} | {"clamp", "clamp_", "clip"}


def called(call: Call) -> str:
    """Return the name of the called module or function in lower case: relu6 for nn.ReLU6 and F.relu6."""
    if call.module is not None:
        return type(call.module).__name__.lower()
    return getattr(call.target, "__name__", str(call.target)).lower()


def drops_space(call: Call, axes: int) -> bool:
    """Return whether the call turns [N, C, H, W] into [N, C * H * W], channel by channel, or into the means [N, C].

    axes: the number of axes, 4 for [N, C, H, W].
    """
    if isinstance(call.module, nn.Flatten):
        return (call.module.start_dim, call.module.end_dim) == (1, -1)
    arguments = tuple(call.node.args[1:]) + tuple(call.node.kwargs.values())
    if call.target in (torch.flatten, "flatten"):
        return arguments == (1,)
    if call.target in (torch.mean, "mean"):
        places = (tuple(range(2, axes)), tuple(range(2 - axes, 0)))
        return len(arguments) == 1 and isinstance(arguments[0], tuple | list) and tuple(arguments[0]) in places
    return False


def pooled_axes(call: Call) -> int:
    """Return how many axes a pooling expects in a batch. With one more, torch would take channels for places."""
    return int(called(call)[-2]) + 2  # maxpool2d, max_pool2d
