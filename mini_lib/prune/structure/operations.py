"""What each operation does to channels, for the operations that have no weights.

An operation that is in none of these tables is refused: a wrong guess would build a model that computes something else.
"""

import torch
from torch import nn

from mini_lib.graph import Call

# Element by element, of one tensor or two: channels that meet here stand or fall together.
ELEMENTWISE = frozenset({
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "hardswish",
    "hardsigmoid", "hardtanh", "softplus", "softsign", "logsigmoid", "threshold", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "alpha_dropout", "feature_dropout", "identity", "abs", "neg", "square", "exp", "clamp", "clamp_min",
    "clamp_max", "contiguous", "clone", "detach", "float", "double", "half", "to", "add", "sub", "mul", "truediv",
    "div", "iadd", "isub", "imul", "itruediv", "subtract", "multiply", "divide", "rsub", "maximum", "minimum",
})  # fmt: skip
DIVISIONS = frozenset({"truediv", "div", "itruediv", "divide"})
ELEMENTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Softsign, nn.Softshrink,
    nn.Hardshrink, nn.Tanhshrink, nn.LogSigmoid, nn.Threshold, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip

# Each channel on its own, over places: [N, channels, ...] in, [N, the same channels, ...] out.
SPATIAL = frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "interpolate", "pad",
})  # fmt: skip
SPATIAL_MODULES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.LPPool1d, nn.LPPool2d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d, nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d,
    nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d,
)  # fmt: skip

# One number out of many, along axes.
REDUCTIONS = frozenset({"mean", "sum", "amax", "amin"})

# Every channel depends on all of them, so none of them can go.
MIXING = frozenset({"softmax", "log_softmax", "normalize"})
MIXING_MODULES = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)

# The same numbers in another order or shape, or some of them.
MOVING = frozenset({
    "flatten", "view", "reshape", "permute", "transpose", "swapaxes", "movedim", "squeeze", "unsqueeze", "cat",
    "concat", "concatenate", "stack", "chunk", "split", "tensor_split", "unbind", "narrow", "select", "getitem",
    "getattr",
})  # fmt: skip

# Those that take a part, by indexes that do not change when channels are removed.
TAKING = frozenset({"chunk", "split", "tensor_split", "unbind", "narrow", "select", "getitem"})

# Queries of a tensor that do not touch its numbers.
SIZES = frozenset({"size", "dim", "ndimension", "numel", "getattr"})


def name_of(call: Call) -> str:
    """Return the plain name of a function or method: "relu" for `torch.relu`, `F.relu_` and `x.relu()`.

    A function that is not torch's or Python's own has no name here: it may be called like one of those.
    """
    if isinstance(call.target, str):
        return call.target.rstrip("_")
    home = getattr(call.target, "__module__", None) or "torch"
    if home.split(".")[0] not in ("torch", "_operator", "builtins"):
        return ""
    return call.target.__name__.rstrip("_")


def is_spatial(call: Call, axes: int) -> bool:
    """Return whether a pooling, padding or resizing leaves the batch and channel axes alone, given this many axes.

    With one axis fewer, torch takes the channel axis for an axis of places.
    """
    name = name_of(call) if call.module is None else type(call.module).__name__
    if name == "pad":
        return len(call.node.kwargs["pad"] if "pad" in call.node.kwargs else call.node.args[1]) <= 2 * (axes - 2)
    return axes == int(name[-2]) + 2 if name.endswith(("1d", "2d", "3d")) else axes > 2


def keeps_channels(before: torch.Size, after: torch.Size) -> bool:
    """Return whether a change of shape leaves axis 1 alone, or flattens everything after the batch into it.

    >>> keeps_channels(torch.Size([2, 8, 4, 4]), torch.Size([2, 128]))
    True
    >>> keeps_channels(torch.Size([2, 8, 4, 4]), torch.Size([2, 2, 4, 4, 4]))
    False
    """
    return after[0] == before[0] and (after[1:2] == before[1:2] or after[1:] == (before[1:].numel(),))
