"""The cost of cheaper layers as formulas: multiply-accumulates (MACs) and parameters, exact for every shape.

A convolution does all of its work for each place of its output. So stride, padding and dilation change the number of
places, and nothing else. MACs are those of one image, zero padding included; a bias is not counted, since it is added
and not multiplied. Parameters are weights and biases. `mini_lib.measure` counts the same by running the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from mini_lib.factorize.geometry import Padding, Sides, at_least_one, output_size, sides
from mini_lib.require import checked, one_of, whole


@dataclass(frozen=True)
class Cost:
    """What a layer does for one image, and what it holds. Costs add up.

    Raises:
        TypeError, ValueError: a number is not a whole number of 0 or more.

    >>> Cost(macs=72, parameters=18) + Cost(macs=8, parameters=2)
    Cost(macs=80, parameters=20)
    """

    macs: int
    parameters: int

    def __post_init__(self) -> None:
        for name in ("macs", "parameters"):
            checked(self, name, whole, low=0, fix="pass an int in that range")

    def __add__(self, other: Cost) -> Cost:
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.macs + other.macs, self.parameters + other.parameters)


def convolution_macs(inputs: int, outputs: int, kernel: Sides, places: int, *, groups: int = 1) -> int:
    """Return the MACs of a convolution with `places` output places: places * outputs * (inputs / groups) * K^2.

    Raises:
        TypeError, ValueError: an argument is not a whole number of 1 or more, or `groups` does not divide the channels.

    A 3x3 kernel over 3 channels is 27 products, for 8 channels at each of 8 * 8 places:

    >>> convolution_macs(3, 8, 3, places=64)
    13824
    """
    inputs, outputs, groups = check_groups(inputs, outputs, groups)
    height, width = sides("kernel", kernel)
    return at_least_one("places", places) * outputs * (inputs // groups) * height * width


def depthwise_separable_macs(inputs: int, outputs: int, kernel: Sides, places: int, *, multiplier: int = 1) -> int:
    """Return the MACs of depthwise then pointwise: places * inputs * multiplier * (K^2 + outputs).

    Raises:
        TypeError, ValueError: an argument is not a whole number of 1 or more.

    3 channels cost 9 in space and 8 in mixing, at each of 64 places; the convolution above costs 13,824:

    >>> depthwise_separable_macs(3, 8, 3, places=64)
    3264
    """
    inputs, multiplier = at_least_one("inputs", inputs), at_least_one("multiplier", multiplier)
    middle = inputs * multiplier
    spatial = convolution_macs(inputs, middle, kernel, places, groups=inputs)
    return spatial + convolution_macs(middle, outputs, 1, places)


def cost_ratio(outputs: int, kernel: Sides, multiplier: int = 1) -> Fraction:
    """Return a depthwise-separable layer's exact share of the cost of the convolution it replaces: r * (1/N + 1/K^2).

    It holds for MACs and weights alike, whatever the image, stride, padding, dilation and number of input channels.
    For a convolution in groups, N is the number of outputs of one group.

    Raises:
        TypeError, ValueError: an argument is not a whole number of 1 or more.

    16 outputs, 3x3: 1/16 + 1/9 = 25/144. With multiplier 9 it is 225/144, more than the convolution itself:

    >>> cost_ratio(16, 3), cost_ratio(16, 3, multiplier=9)
    (Fraction(25, 144), Fraction(25, 16))

    Source: A. Howard et al., "MobileNets", 2017, section 3.1 (multiplier 1).
    """
    height, width = sides("kernel", kernel)
    return at_least_one("multiplier", multiplier) * (
        Fraction(1, at_least_one("outputs", outputs)) + Fraction(1, height * width)
    )


def break_even_multiplier(outputs: int, kernel: Sides) -> int:
    """Return the largest multiplier at which a depthwise-separable layer still costs less; 0 if there is none.

    The ratio r * (1/N + 1/K^2) is below 1 for r < N * K^2 / (N + K^2): a matrix of m x n pays off at ranks below m * n
    / (m + n), and each input channel's slice of the kernel is a matrix of N x K^2.

    Raises:
        TypeError, ValueError: an argument is not a whole number of 1 or more.

    16 * 9 / (16 + 9) = 5.76:

    >>> break_even_multiplier(16, 3), break_even_multiplier(1, 3)
    (5, 0)
    """
    # The largest whole number strictly below 1 / ratio.
    return -(-1 // cost_ratio(outputs, kernel)) - 1


def convolution_cost(
    inputs: int, outputs: int, kernel: Sides, size: Sides, *,
    stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, groups: int = 1, bias: bool = True,
) -> Cost:  # fmt: skip
    """Return the cost of a convolution on one image of `size` pixels; with `groups`, of a grouped one.

    Padding as in `window_padding`: half of the kernel unless you say otherwise.

    Raises:
        TypeError, ValueError: an argument is not such a number, `groups` does not divide the channels, or the window
            does not fit.

    >>> convolution_cost(3, 8, 3, size=8), convolution_cost(4, 8, 3, size=8, groups=2, bias=False)
    (Cost(macs=13824, parameters=224), Cost(macs=9216, parameters=144))
    """
    height, width = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    outputs = at_least_one("outputs", outputs)
    weights = convolution_macs(inputs, outputs, kernel, places=1, groups=groups)
    return Cost(weights * height * width, weights + outputs * one_of("bias", bias, (True, False), fix="True adds one"))


def depthwise_cost(
    channels: int, kernel: Sides, size: Sides, *,
    multiplier: int = 1, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> Cost:  # fmt: skip
    """Return the cost of a depthwise convolution: channels * multiplier * K^2 at each place.

    Raises:
        TypeError, ValueError: as `convolution_cost`.

    >>> depthwise_cost(3, 3, size=8)
    Cost(macs=1728, parameters=30)
    """
    channels, multiplier = at_least_one("channels", channels), at_least_one("multiplier", multiplier)
    outputs = channels * multiplier
    return convolution_cost(
        channels, outputs, kernel, size, stride=stride, padding=padding, dilation=dilation, groups=channels, bias=bias
    )


def pointwise_cost(inputs: int, outputs: int, size: Sides, *, bias: bool = True) -> Cost:
    """Return the cost of a 1x1 convolution: inputs * outputs at each place.

    Raises:
        TypeError, ValueError: an argument is not a whole number of 1 or more.

    >>> pointwise_cost(3, 8, size=8)
    Cost(macs=1536, parameters=32)
    """
    return convolution_cost(inputs, outputs, 1, size, bias=bias)


def depthwise_separable_cost(
    inputs: int, outputs: int, kernel: Sides, size: Sides, *,
    multiplier: int = 1, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> Cost:  # fmt: skip
    """Return the cost of `layers.depthwise_separable`: one bias, on the pointwise part.

    The stride is the depthwise part's, so the pointwise part runs at the output's places, as the convolution does.

    Raises:
        TypeError, ValueError: as `convolution_cost`.

    1728 + 1536 MACs, 27 + 24 weights and 8 biases:

    >>> depthwise_separable_cost(3, 8, 3, size=8)
    Cost(macs=3264, parameters=59)
    """
    spatial = depthwise_cost(
        inputs, kernel, size, multiplier=multiplier, stride=stride, padding=padding, dilation=dilation, bias=False
    )
    places = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    return spatial + pointwise_cost(int(inputs) * int(multiplier), outputs, places, bias=bias)


def inverted_residual_cost(
    inputs: int, outputs: int, expansion: int, size: Sides, *,
    kernel: Sides = 3, stride: Sides = 1, dilation: Sides = 1,
) -> Cost:  # fmt: skip
    """Return the cost of `layers.inverted_residual`, the scale and shift of its batch norms among the parameters.

    The expansion runs at the input's places, the rest at the output's. Expansion 1 has no first layer.

    Raises:
        TypeError, ValueError: as `convolution_cost`.

    2 channels, expanded to 6, on 4 * 4 places: 12 + 54 + 12 weights at 16 places, and 2 * (6 + 6 + 2) of batch norm:

    >>> inverted_residual_cost(2, 2, 3, size=4)
    Cost(macs=1248, parameters=106)

    Source: M. Sandler et al., "MobileNetV2", 2018, table 1.
    """
    inputs, outputs = at_least_one("inputs", inputs), at_least_one("outputs", outputs)
    hidden = inputs * at_least_one("expansion", expansion)
    places = output_size(size, kernel, stride=stride, dilation=dilation)
    body = depthwise_cost(hidden, kernel, size, stride=stride, dilation=dilation, bias=False)
    body += pointwise_cost(hidden, outputs, places, bias=False)
    norms = Cost(0, 2 * (hidden + outputs))
    if expansion > 1:
        body += pointwise_cost(inputs, hidden, size, bias=False)
        norms += Cost(0, 2 * hidden)
    return body + norms


def spatially_separable_cost(
    inputs: int, outputs: int, kernel: Sides, size: Sides, *,
    middle: int | None = None, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1, bias: bool = True,
) -> Cost:  # fmt: skip
    """Return the cost of `layers.spatially_separable`: K x 1 to `middle` channels (as many as outputs), then 1 x K.

    With a stride the first part runs at the output's rows and the input's columns, so it works at more places.

    Raises:
        TypeError, ValueError: as `convolution_cost`.

    1 to 1 channel, 3x3 on 8 * 8: 3 + 3 products per place where the convolution takes 9.

    >>> spatially_separable_cost(1, 1, 3, size=8)
    Cost(macs=384, parameters=7)
    """
    outputs = at_least_one("outputs", outputs)
    middle = outputs if middle is None else at_least_one("middle", middle)
    height, width = sides("kernel", kernel)
    rows, columns = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    first = convolution_macs(inputs, middle, (height, 1), places=1)
    second = convolution_macs(middle, outputs, (1, width), places=1)
    # The padding to the left and right is the second part's own: the first sees the columns of the image.
    macs = first * rows * sides("size", size)[1] + second * rows * columns
    return Cost(macs, first + second + outputs * one_of("bias", bias, (True, False), fix="True adds one"))


def check_groups(inputs: int, outputs: int, groups: int) -> tuple[int, int, int]:
    """Return the three numbers, after a check that the channels can be divided into these groups.

    Raises:
        TypeError, ValueError: a number is not a whole number of 1 or more, or `groups` does not divide both.

    >>> check_groups(8, 6, groups=2)
    (8, 6, 2)
    """
    inputs, outputs = at_least_one("inputs", inputs), at_least_one("outputs", outputs)
    groups = at_least_one("groups", groups)
    for name, channels in (("inputs", inputs), ("outputs", outputs)):
        if channels % groups:
            raise ValueError(
                f"groups {groups} does not divide {name} ({channels}); use a divisor of both {inputs} and {outputs}"
            )
    return inputs, outputs, groups
