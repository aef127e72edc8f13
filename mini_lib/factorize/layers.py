"""Layers that are cheaper by construction: each leaves out some of a convolution's connections.

A convolution mixes in space and across channels at once. Grouped: channels mix only within their group. Depthwise:
channels do not mix at all. Pointwise: only channels mix, no neighbours. Depthwise-separable: depthwise, then pointwise.
These are different models from a convolution and are trained as such; `separable.py` tells when one of them *equals* a
given convolution.

Weights are drawn as torch draws them, from its global generator. Padding is half of the kernel unless you say
otherwise.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from mini_lib.factorize.cost import check_groups
from mini_lib.factorize.geometry import Padding, Sides, at_least_one, sides, window_padding
from mini_lib.require import of_type, whole


def grouped(
    inputs: int, outputs: int, kernel: Sides, groups: int, *,
    stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> nn.Conv2d:  # fmt: skip
    """Return a convolution whose channels mix only within their group; one group is a plain convolution.

    Takes [n, inputs, h, w], gives [n, outputs, h', w']; its weight is [outputs, inputs / groups, kernel, kernel].

    Raises:
        TypeError, ValueError: an argument is not such a number, or `groups` does not divide the channels.

    >>> tuple(grouped(8, 6, 3, groups=2).weight.shape)
    (6, 4, 3, 3)

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
    2012, section 3.2.
    """
    inputs, outputs, groups = check_groups(inputs, outputs, groups)
    of_type("bias", bias, bool, fix="False leaves it out")
    stride, pixels = sides("stride", stride), window_padding(kernel, padding, dilation, stride)
    return nn.Conv2d(
        inputs, outputs, sides("kernel", kernel), stride, pixels, sides("dilation", dilation), groups, bias
    )


def depthwise(
    channels: int, kernel: Sides, *,
    multiplier: int = 1, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> nn.Conv2d:  # fmt: skip
    """Return a convolution that handles each channel separately, with `multiplier` kernels per channel.

    Takes [n, channels, h, w], gives [n, channels * multiplier, h', w']: the results of one channel are next to each
    other.

    Raises:
        TypeError, ValueError: an argument is not such a number.

    >>> tuple(depthwise(8, 3, multiplier=2).weight.shape)
    (16, 1, 3, 3)
    """
    channels, multiplier = at_least_one("channels", channels), at_least_one("multiplier", multiplier)
    outputs = channels * multiplier
    return grouped(channels, outputs, kernel, channels, stride=stride, padding=padding, dilation=dilation, bias=bias)


def pointwise(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 1x1 convolution: the same linear layer across the channels at every place.

    Takes [n, inputs, h, w], gives [n, outputs, h, w].

    Raises:
        TypeError, ValueError: a number of channels is not a whole number of at least 1.

    >>> tuple(pointwise(8, 16).weight.shape)
    (16, 8, 1, 1)
    """
    return grouped(inputs, outputs, 1, 1, bias=bias)


def depthwise_separable(
    inputs: int, outputs: int, kernel: Sides, *,
    multiplier: int = 1, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Return a depthwise convolution and a pointwise one, with nothing between them: one linear map.

    Takes [n, inputs, h, w], gives [n, outputs, h', w']. Only the pointwise part has a bias: a bias before it would only
    be mixed into it. For a batch norm and a ReLU in between, as in MobileNet, build the layer from `depthwise` and
    `pointwise`.

    Raises:
        TypeError, ValueError: an argument is not such a number, or `multiplier` is above min(outputs, K^2), at which
            the layer can already be any convolution.

    >>> depthwise_separable(8, 16, 3)
    Sequential(
      (depthwise): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=8, bias=False)
      (pointwise): Conv2d(8, 16, kernel_size=(1, 1), stride=(1, 1))
    )

    Source: L. Sifre, "Rigid-Motion Scattering for Image Classification", 2014, section 6.2; A. Howard et al.,
    "MobileNets", 2017, section 3.1.
    """
    inputs, multiplier = at_least_one("inputs", inputs), check_multiplier(multiplier, outputs, kernel)
    spatial = depthwise(
        inputs, kernel, multiplier=multiplier, stride=stride, padding=padding, dilation=dilation, bias=False
    )
    mixing = pointwise(inputs * multiplier, outputs, bias=bias)
    return nn.Sequential(OrderedDict(depthwise=spatial, pointwise=mixing))


def spatially_separable(
    inputs: int, outputs: int, kernel: Sides, *,
    middle: int | None = None, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Return a convolution along the columns (K x 1) and one along the rows (1 x K), with nothing between them.

    Takes [n, inputs, h, w], gives [n, outputs, h', w'], with `middle` channels in between (as many as outputs unless
    you say otherwise). Between one channel and one it makes kernels of rank 1: an outer product of two vectors.

    Raises:
        TypeError, ValueError: an argument is not such a number.

    >>> spatially_separable(1, 1, 3)
    Sequential(
      (vertical): Conv2d(1, 1, kernel_size=(3, 1), stride=(1, 1), padding=(1, 0), bias=False)
      (horizontal): Conv2d(1, 1, kernel_size=(1, 3), stride=(1, 1), padding=(0, 1))
    )

    Source: M. Jaderberg, A. Vedaldi, A. Zisserman, "Speeding up Convolutional Neural Networks with Low Rank
    Expansions", 2014, section 2.
    """
    middle = at_least_one("outputs", outputs) if middle is None else at_least_one("middle", middle)
    (height, width), strides, steps = sides("kernel", kernel), sides("stride", stride), sides("dilation", dilation)
    pixels = window_padding(kernel, padding, dilation)
    above, beside = (pixels, pixels) if isinstance(pixels, str) else ((pixels[0], 0), (0, pixels[1]))
    vertical = grouped(
        inputs, middle, (height, 1), 1, stride=(strides[0], 1), padding=above, dilation=(steps[0], 1), bias=False
    )
    horizontal = grouped(
        middle, outputs, (1, width), 1, stride=(1, strides[1]), padding=beside, dilation=(1, steps[1]), bias=bias
    )
    return nn.Sequential(OrderedDict(vertical=vertical, horizontal=horizontal))


class InvertedResidual(nn.Module):
    """Narrow, wide, narrow, with the narrow ends joined by a skip where the shapes allow; made by `inverted_residual`.

    `skips` tells whether the input is added to the result.
    """

    def __init__(self, body: nn.Sequential, skips: bool) -> None:
        super().__init__()
        self.body, self.skips = body, skips

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skips else self.body(x)


def inverted_residual(
    inputs: int, outputs: int, expansion: int, *,
    kernel: Sides = 3, stride: Sides = 1, dilation: Sides = 1,
) -> InvertedResidual:  # fmt: skip
    """Return MobileNetV2's block: pointwise to `expansion` times the channels, depthwise, pointwise back.

    Takes [n, inputs, h, w], gives [n, outputs, h', w']. Batch norm follows each convolution, ReLU6 the first two; the
    narrow result stays linear, since a ReLU there would lose information that few channels hold. The input is added
    where it has the shape of the result: with stride 1 and as many outputs as inputs. With expansion 1 there is no
    first convolution.

    Raises:
        TypeError, ValueError: an argument is not such a number, or the kernel is even, which cannot keep the size.

    >>> block = inverted_residual(4, 4, 6)
    >>> [name for name, _ in block.body.named_children()][:4], block.skips
    (['expand', 'expand_bn', 'expand_relu', 'depthwise'], True)
    >>> inverted_residual(4, 8, 6).skips, inverted_residual(4, 4, 6, stride=2).skips
    (False, False)

    Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, section 3.3.
    """
    if not all(length % 2 for length in sides("kernel", kernel)):
        raise ValueError(f"kernel must be odd to keep the size of the image, got {kernel}; use 3 or 5")
    inputs, expansion = at_least_one("inputs", inputs), at_least_one("expansion", expansion)
    hidden = inputs * expansion
    body: OrderedDict[str, nn.Module] = OrderedDict()
    if expansion > 1:
        body["expand"] = pointwise(inputs, hidden, bias=False)
        body |= {"expand_bn": nn.BatchNorm2d(hidden), "expand_relu": nn.ReLU6()}
    body["depthwise"] = depthwise(hidden, kernel, stride=stride, dilation=dilation, bias=False)
    body |= {"depthwise_bn": nn.BatchNorm2d(hidden), "depthwise_relu": nn.ReLU6()}
    body["project"] = pointwise(hidden, outputs, bias=False)
    body["project_bn"] = nn.BatchNorm2d(outputs)
    return InvertedResidual(nn.Sequential(body), skips=sides("stride", stride) == (1, 1) and inputs == outputs)


def check_multiplier(multiplier: int, outputs: int, kernel: Sides) -> int:
    """Return a multiplier, after a check that it is at most the rank that an outputs x K^2 slice of a kernel can have.

    Raises:
        TypeError, ValueError: it is not a whole number from 1 to min(outputs, K^2).

    >>> check_multiplier(9, outputs=16, kernel=3)
    9
    """
    height, width = sides("kernel", kernel)
    full = min(at_least_one("outputs", outputs), height * width)
    exact = f"{full} is exact for {outputs} outputs and a {height}x{width} kernel"
    return whole("multiplier", multiplier, low=1, high=full, fix=exact)
