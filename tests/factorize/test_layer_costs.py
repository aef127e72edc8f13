"""Cost formulas: by hand, against fvcore, torchinfo and our own counter on random shapes, and published counts."""

from fractions import Fraction

import pytest
import torch
import torchinfo
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import conv_flop_count, get_shape
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import costs, zoo
from mini_lib.factorize import cost, layers
from mini_lib.factorize.cost import Cost
from mini_lib.factorize.geometry import at_least_one, output_size, sides, window_padding

# --- three independent counters ------------------------------------------------------------------------------------


def padded_by_word(inputs: list, outputs: list) -> dict[str, int]:
    """fvcore's own formula, for the operator that torch calls when the padding is "same" or "valid"."""
    return {"conv": conv_flop_count(*map(get_shape, (*inputs[:2], outputs[0])))}


def fvcore_macs(model: nn.Module, x: torch.Tensor) -> int:
    """What fvcore counts for convolutions; it gives batch norm a cost as well."""
    analysis = FlopCountAnalysis(model.eval(), x).unsupported_ops_warnings(False)
    analysis.set_op_handle("aten::_convolution_mode", padded_by_word)
    return int(analysis.by_operator()["conv"])


def torchinfo_counts(model: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """MACs and parameters. Torchinfo counts a bias as one product a place (and batch norm likewise): taken off here."""
    summary = torchinfo.summary(model, input_data=x, verbose=0)
    macs = 0
    for info in summary.summary_list:
        if isinstance(info.module, nn.Conv2d):
            bias = info.module.bias is not None
            macs += info.macs - bias * info.module.out_channels * x.shape[0] * info.output_size[2] * info.output_size[3]
    return macs, summary.total_params


def assert_counted(ours: Cost, model: nn.Module, size: tuple[int, int], inputs: int) -> None:
    """All three counters, difference 0."""
    x = torch.zeros(1, inputs, *size)
    assert ours == Cost(*torchinfo_counts(model, x))
    assert ours == Cost(costs.macs(model, x), costs.parameters(model))
    assert ours.macs == fvcore_macs(model, x)
    assert ours.parameters == sum(weight.numel() for weight in model.parameters())


# --- random layers -------------------------------------------------------------------------------------------------


numbers = st.integers(1, 6)


def pairs(low: int, high: int) -> st.SearchStrategy:
    return st.integers(low, high) | st.tuples(st.integers(low, high), st.integers(low, high))


any_kernel = pairs(1, 5)


@st.composite
def windows(draw, kernels=any_kernel) -> tuple[dict, tuple[int, int]]:
    """The arguments of a window, and an image that it fits into."""
    kernel, dilation, stride = draw(kernels), draw(pairs(1, 3)), draw(pairs(1, 3))
    words = ["valid"] + ["same"] * (sides("stride", stride) == (1, 1))
    padding = draw(st.none() | pairs(0, 4) | st.sampled_from(words))
    pixels = {"valid": (0, 0), "same": (9, 9)}.get(padding) or window_padding(kernel, padding, dilation)
    least = [
        max(1, d * (k - 1) + 1 - 2 * p)
        for k, d, p in zip(sides("kernel", kernel), sides("dilation", dilation), pixels, strict=True)
    ]
    size = tuple(draw(st.integers(low, low + 8)) for low in least)
    return dict(kernel=kernel, stride=stride, padding=padding, dilation=dilation), size


@settings(max_examples=60)
@given(windows(), numbers, numbers, numbers, st.booleans())
def test_a_grouped_convolution_costs_what_three_counters_count(window, inputs, outputs, groups, bias):
    arguments, size = window
    inputs, outputs = inputs * groups, outputs * groups
    model = layers.grouped(inputs, outputs, groups=groups, bias=bias, **arguments)
    ours = cost.convolution_cost(inputs, outputs, size=size, groups=groups, bias=bias, **arguments)
    assert_counted(ours, model, size, inputs)
    # and torch's own constructor, in case layers.grouped and the formula share a mistake
    numbers_ = {name: arguments[name] for name in ("stride", "dilation")}
    padding = window_padding(arguments["kernel"], arguments["padding"], arguments["dilation"])
    theirs = nn.Conv2d(inputs, outputs, arguments["kernel"], padding=padding, groups=groups, bias=bias, **numbers_)
    assert_counted(ours, theirs, size, inputs)


@settings(max_examples=40)
@given(windows(), numbers, st.integers(1, 4), st.booleans())
def test_a_depthwise_convolution(window, channels, multiplier, bias):
    arguments, size = window
    model = layers.depthwise(channels, multiplier=multiplier, bias=bias, **arguments)
    ours = cost.depthwise_cost(channels, size=size, multiplier=multiplier, bias=bias, **arguments)
    assert_counted(ours, model, size, channels)


@settings(max_examples=20)
@given(numbers, numbers, st.tuples(numbers, numbers), st.booleans())
def test_a_pointwise_convolution(inputs, outputs, size, bias):
    model = layers.pointwise(inputs, outputs, bias=bias)
    assert_counted(cost.pointwise_cost(inputs, outputs, size, bias=bias), model, size, inputs)


@settings(max_examples=60)
@given(windows(), numbers, numbers, st.integers(1, 4), st.booleans())
def test_a_depthwise_separable_layer_and_its_exact_ratio(window, inputs, outputs, multiplier, bias):
    arguments, size = window
    height, width = sides("kernel", arguments["kernel"])
    multiplier = min(multiplier, outputs, height * width)
    model = layers.depthwise_separable(inputs, outputs, multiplier=multiplier, bias=bias, **arguments)
    ours = cost.depthwise_separable_cost(inputs, outputs, size=size, multiplier=multiplier, bias=bias, **arguments)
    assert_counted(ours, model, size, inputs)

    # the ratio, of what fvcore counts for the two layers
    x = torch.zeros(1, inputs, *size)
    dense = layers.grouped(inputs, outputs, groups=1, bias=bias, **arguments)
    counted = Fraction(fvcore_macs(model, x), fvcore_macs(dense, x))
    assert counted == multiplier * (Fraction(1, outputs) + Fraction(1, height * width))
    assert counted == cost.cost_ratio(outputs, arguments["kernel"], multiplier)
    weights = Fraction(*(sum(p.numel() for p in one.parameters() if p.dim() > 1) for one in (model, dense)))
    assert counted == weights


@settings(max_examples=30)
@given(windows(st.sampled_from([1, 3, 5, (3, 5)])), numbers, numbers, st.integers(1, 4))
def test_an_inverted_residual(window, inputs, outputs, expansion):
    arguments, size = window
    del arguments["padding"]
    model = layers.inverted_residual(inputs, outputs, expansion, **arguments)
    ours = cost.inverted_residual_cost(inputs, outputs, expansion, size, **arguments)
    assert_counted(ours, model, size, inputs)


@settings(max_examples=60)
@given(windows(), numbers, numbers, st.none() | numbers, st.booleans())
def test_a_spatially_separable_layer(window, inputs, outputs, middle, bias):
    arguments, size = window
    model = layers.spatially_separable(inputs, outputs, middle=middle, bias=bias, **arguments)
    ours = cost.spatially_separable_cost(inputs, outputs, size=size, middle=middle, bias=bias, **arguments)
    assert_counted(ours, model, size, inputs)


@given(windows())
def test_places_are_those_that_torch_makes(window):
    arguments, size = window
    made = layers.grouped(1, 1, groups=1, **arguments)(torch.zeros(1, 1, *size))
    assert output_size(size, **arguments) == tuple(made.shape[2:])


# --- by hand and published -----------------------------------------------------------------------------------------


def test_the_convolutions_of_the_course_by_hand():
    # zoo.small_cnn: 28 x 28 twice (stride 2 after the first: 14 x 14), then 7 x 7
    rows = [
        (1, 16, 28, 1, 784 * 9 * 16),
        (16, 32, 28, 2, 196 * 9 * 512),
        (32, 64, 14, 1, 196 * 9 * 2048),
        (64, 64, 14, 2, 49 * 9 * 4096),
    ]
    for inputs, outputs, size, stride, macs in rows:
        assert cost.convolution_cost(inputs, outputs, 3, size, stride=stride, bias=False).macs == macs
    counted = costs.macs(zoo.small_cnn(), torch.zeros(1, 1, 28, 28))
    assert counted == sum(row[-1] for row in rows) + 640


def mobilenet(separable: bool) -> Cost:
    """Table 1 of the MobileNet paper, with batch norm's scale and shift; its last stride is 1, as 7 x 7 demands."""
    total, size, channels = cost.convolution_cost(3, 32, 3, 224, stride=2, bias=False) + Cost(0, 64), 112, 32
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for outputs, stride in blocks:
        build = cost.depthwise_separable_cost if separable else cost.convolution_cost
        norms = 2 * outputs + 2 * channels * separable
        total += build(channels, outputs, 3, size, stride=stride, bias=False) + Cost(0, norms)
        size, channels = size // stride, outputs
    return total


def test_mobilenet_as_published():
    # Howard et al. 2017, table 4: rounded to a million, and to a tenth of a million. Its 569 million MACs are with the
    # classifier's 1.024, and its 4866 for plain convolutions are without.
    classifier = cost.pointwise_cost(1024, 1000, 1)
    ours, plain = mobilenet(separable=True) + classifier, mobilenet(separable=False)
    assert (round(ours.macs / 1e6), round(plain.macs / 1e6)) == (569, 4866)
    assert (round(ours.parameters / 1e6, 1), round((plain + classifier).parameters / 1e6, 1)) == (4.2, 29.3)


def test_mobilenet_v2_as_published():
    # Sandler et al. 2018, table 2: expansion, outputs, repeats, first stride
    total, size, channels = cost.convolution_cost(3, 32, 3, 224, stride=2, bias=False) + Cost(0, 64), 112, 32
    for expansion, outputs, repeats, first in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:
        for stride in [first] + [1] * (repeats - 1):
            total += cost.inverted_residual_cost(channels, outputs, expansion, size, stride=stride)
            size, channels = size // stride, outputs
    total += cost.pointwise_cost(320, 1280, 7, bias=False) + Cost(0, 2560) + cost.pointwise_cost(1280, 1000, 1)
    # as torchvision publishes them with its weights; the paper rounds to 300M and 3.4M
    assert total.parameters == 3_504_872
    assert round(total.macs / 1e9, 3) == 0.301


def test_the_ratio_by_hand():
    assert cost.cost_ratio(256, 3) == Fraction(1, 256) + Fraction(1, 9)
    assert cost.cost_ratio(16, (1, 3), 2) == Fraction(2, 16) + Fraction(2, 3)
    # the case of the lesson: 16 x 8 x 3 x 3 with multiplier 9 has 9 * 8 * (9 + 16) weights
    ours = cost.depthwise_separable_cost(8, 16, 3, 28, multiplier=9, bias=False)
    dense = cost.convolution_cost(8, 16, 3, 28, bias=False)
    assert (ours.parameters, dense.parameters) == (1800, 1152)
    assert Fraction(ours.macs, dense.macs) == Fraction(1800, 1152)


@given(st.integers(1, 200), pairs(1, 7))
def test_break_even_is_the_last_multiplier_that_saves(outputs, kernel):
    multiplier = cost.break_even_multiplier(outputs, kernel)
    assert cost.cost_ratio(outputs, kernel, multiplier + 1) >= 1
    assert multiplier == 0 or cost.cost_ratio(outputs, kernel, multiplier) < 1


# --- bad input -----------------------------------------------------------------------------------------------------

BAD = {
    "groups 3 does not divide inputs \\(8\\); use a divisor of both 8 and 6":
        lambda: cost.convolution_macs(8, 6, 3, 10, groups=3),
    "groups 4 does not divide outputs \\(6\\)": lambda: cost.convolution_cost(8, 6, 3, 10, groups=4),
    "multiplier must be a whole number of 1 or more, got 0": lambda: cost.cost_ratio(16, 3, 0),
    "outputs must be a whole number of 1 or more, got 0": lambda: cost.cost_ratio(0, 3),
    "expansion must be a whole number of 1 or more, got 0": lambda: cost.inverted_residual_cost(4, 4, 0, 8),
    "places must be a whole number of 1 or more, got 0": lambda: cost.convolution_macs(4, 4, 3, 0),
    "kernel must be a whole number of 1 or more, got 0": lambda: cost.convolution_cost(4, 4, 0, 8),
    "kernel must be a whole number or two of them \\(height, width\\), got \\(3, 3, 3\\)":
        lambda: cost.convolution_cost(4, 4, (3, 3, 3), 8),
    "a window of 7 pixels \\(kernel 4, dilation 2\\) does not fit into 6 \\(4 and padding 1 on either side\\); use":
        lambda: output_size(4, 4, padding=1, dilation=2),
    'padding "same" keeps the size, and stride \\(2, 2\\) does not':
        lambda: output_size(4, 3, stride=2, padding="same"),
    'padding must be pixels, "same", "valid" or None \\(half of the kernel\\), got \'full\'':
        lambda: window_padding(3, "full"),
    "padding must be a whole number of 0 or more, got -1": lambda: window_padding(3, -1),
    "macs must be a whole number of 0 or more, got -1": lambda: Cost(-1, 0),
}  # fmt: skip


@pytest.mark.parametrize(("message", "call"), BAD.items(), ids=BAD)
def test_bad_numbers(message, call):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("value", [2.0, "3", True, None])
def test_not_a_whole_number(value):
    with pytest.raises(TypeError, match="multiplier must be a whole number of 1 or more, got .*; pass an int"):
        at_least_one("multiplier", value)
    with pytest.raises(TypeError):
        Cost(1, 1) + 1
