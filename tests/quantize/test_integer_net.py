"""Whole networks in integers: equal to their fake-quant twins up to a derived distance, and to torch's own kernels."""

import re
import warnings
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mini_lib import data, measure, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    UNSIGNED_8_BITS,
    BinaryFormat,
    IntegerConv2d,
    IntFormat,
    PerChannel,
    PerGroup,
    QuantizedConv2d,
    QuantizedLayer,
    code_differences,
    constant_terms,
    integer_matmul,
    multiplier_and_shift,
    quantize_weights,
    quantize_weights_and_activations,
    requantize,
    to_integers,
    with_integer_biases,
)
from mini_lib.quantize.integer.convert import accumulator_units

PER_CHANNEL = IntFormat(8, granularity=PerChannel(0))
AFFINE = IntFormat(8, symmetric=False)
FOUR_BITS = IntFormat(4, granularity=PerChannel(0))
INTEGERS = (torch.uint8, torch.int8, torch.int32)


def make_twin(model, images, weights=PER_CHANNEL, activations=UNSIGNED_8_BITS):
    return quantize_weights_and_activations(fold_batch_norm(model), weights, activations, images)


@pytest.fixture(scope="module")
def splits():
    return data.fashion()


def chain(**layers):
    return nn.Sequential(OrderedDict(layers)).eval()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------- layer by layer


@torch.no_grad()
def check_every_layer(twin, net, images) -> dict[str, tuple[int, float]]:
    """Compare each layer of `net` with its layer of the twin, on the codes that it reads.

    Return, by layer, how many of the codes that it reads differ, and how many would if the twin's values were spread
    evenly: a value within `slack` of the middle between two codes, on either side, is a share 2 * slack of all.

    The layer of the twin is worked out in float64 from its definition. Whole numbers below 2**53 are exact there, so
    the sums are; the scales and the division after them add 2**-50 of the value at most, which the 1e-9 covers.
    """
    passed = dict(net.integers(images))
    layers = {name: layer for name, layer in twin.named_children() if isinstance(layer, QuantizedLayer)}
    order = [name for name, _ in twin.named_children()]
    differ = {}
    for name, following in zip(layers, [*list(layers)[1:], None]):
        sums, units, bias = exact_sums(layers[name], passed[f"{name}_input"])
        whole = (bias / units).round()
        assert torch.equal(passed[name].double(), sums + whole), name  # 1. accumulators: exactly equal
        values = sums * units + bias
        slack = (whole * units - bias).abs() + (sums + whole).abs() * units * 2.0**-31
        for between in order[order.index(name) + 1 : order.index(following) if following else None]:
            module = twin.get_submodule(between)
            values = module(values)
            slack = slack if isinstance(module, nn.ReLU) else module(slack)  # a ReLU moves no two values apart
        if following is None:
            assert torch.equal(net(images), (passed[name] * units).float())  # 3. outputs: one rounding
            continue
        grid = layers[following]
        position = values / grid.input_scale.double()
        ideal = (position.round() + grid.input_zero_point).clamp(grid.input_fmt.qmin, grid.input_fmt.qmax)
        apart = (passed[f"{following}_input"].double() - ideal).abs()
        to_middle = (position - position.floor() - 0.5).abs()
        slack = slack / grid.input_scale.double() + 1e-9
        assert (apart <= (to_middle <= slack).double()).all(), following  # 2. codes: equal, or 1 apart where derived
        differ[following] = int(apart.sum()), float(2 * slack.sum())
    return differ


def exact_sums(layer, codes):
    """The sums of products of a layer, its units and its bias, all float64 with channels on axis 1."""
    weight, zero_point = layer.qweight.codes.double(), layer.qweight.zero_point
    if zero_point is not None:
        weight = weight - zero_point.double().expand(len(weight)).reshape(-1, *[1] * (weight.dim() - 1))
    centred = codes.double() - layer.input_zero_point
    if isinstance(layer, QuantizedConv2d):
        sums = F.conv2d(centred, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    else:
        sums = F.linear(centred.flatten(1), weight)
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias
    channels = (-1, *[1] * (sums.dim() - 2))
    return sums, accumulator_units(layer).view(channels), bias.double().view(channels)


ZOO = [("small_cnn", 0), ("lenet_300_100", 0), ("depthwise_cnn", 0)]


@pytest.mark.parametrize("name, seed", ZOO)
@pytest.mark.parametrize("weights", [PER_CHANNEL, AFFINE, FOUR_BITS], ids=lambda f: f.label)
def test_each_layer_of_the_zoo_equals_its_twin(name, seed, weights, splits):
    twin = make_twin(zoo.load(name, seed), splits.train.first(256).images, weights)
    images = splits.validation.first(48).images
    net = to_integers(twin, images)
    differ = check_every_layer(twin, net, images)
    exact = with_integer_biases(twin)
    once_more = to_integers(exact, images)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(net.buffers(), once_more.buffers()))
    left = check_every_layer(exact, once_more, images)
    for layer in differ:
        print(f"{name}, {weights.label}, {layer}: {differ[layer]} codes differ; with integer biases {left[layer]}")
    for count, expected in (*differ.values(), *left.values()):
        assert count <= expected + 5 * expected**0.5 + 5  # five standard deviations of a rare event
    assert sum(expected for _, expected in left.values()) < 5  # of a hundred thousand codes and more


@pytest.mark.parametrize(
    "activations",
    [
        IntFormat(8, symmetric=False),
        IntFormat(8),
        IntFormat(4, symmetric=False, signed=False),
        IntFormat(2, symmetric=False, signed=False),
        IntFormat(8, symmetric=False, signed=False, scale_dtype=torch.float16),
    ],
    ids=lambda fmt: f"{fmt.label} {fmt.scale_dtype}",
)
@pytest.mark.parametrize("weights", [IntFormat(8, False, False, PerChannel(0)), IntFormat(3), IntFormat(2, False)])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_every_kind_of_grid(activations, weights):
    """Signed and unsigned, symmetric and not, few bits, on a net with values of both signs and no pooling."""
    torch.manual_seed(0)
    model = chain(
        first=nn.Conv2d(2, 6, 3, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        second=nn.Conv2d(6, 4, (3, 2), padding="same", groups=2, bias=False),
        relu=nn.ReLU(),
        drop=nn.Dropout(),
        third=nn.Conv2d(4, 4, 3, padding="valid"),
        flat=nn.Flatten(),
        last=nn.Linear(4 * 2 * 6, 5, bias=False),
    )
    images = noise(20, 2, 8, 8)
    twin = quantize_weights_and_activations(model, weights, activations, images)
    check_every_layer(twin, to_integers(twin, images), images * 1.3)  # beyond the grid too


def test_nothing_but_integers_is_held_and_passed_on(splits):
    images = splits.validation.first(8).images
    twin = make_twin(zoo.load("small_cnn"), images, AFFINE)
    net = to_integers(twin, images)
    assert not list(net.parameters())
    assert {buffer.dtype for buffer in net.steps.buffers()} <= set(INTEGERS)
    passed = dict(net.integers(images))
    assert {tensor.dtype for tensor in passed.values()} <= set(INTEGERS)
    assert [name for name, tensor in passed.items() if tensor.dtype != torch.int32] == [
        f"{name}_input" for name in ("conv1", "conv2", "conv3", "conv4", "linear")
    ]
    floats = {name for name, buffer in net.named_buffers() if buffer.is_floating_point()}
    assert floats == {"input_scale", "output_units"}
    # one byte per weight, of which there are 60,688
    assert sum(buffer.nbytes for name, buffer in net.named_buffers() if name.endswith(".weight")) == 60_688
    assert measure.stored_bytes(net) == sum(buffer.nbytes for buffer in net.buffers())


# ------------------------------------------------------------------------------------- whole networks


@pytest.mark.parametrize("name, seed", ZOO)
def test_predictions_equal_those_of_the_twin_on_validation_data(name, seed, splits):
    """The twin in float32, as it is, from the images to the logits: here its own rounding errors count too."""
    images = splits.validation.first(300 if name == "depthwise_cnn" else 800).images
    twin = with_integer_biases(make_twin(zoo.load(name, seed), splits.train.first(256).images))
    net = to_integers(twin, images)
    with torch.no_grad():
        assert torch.equal(net(images).argmax(1), twin(images).argmax(1))
    differences = code_differences(twin, net, images[:100])
    for difference in differences:
        print(f"{name} {difference.layer}: {difference.differ} of {difference.codes} codes differ")
    assert differences[0].differ == 0  # the codes of the input: always equal


def test_differences_are_counted():
    """A twin whose second grid is moved by one code: all codes but the highest differ by 1."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    images = noise(30, 3)
    twin = quantize_weights_and_activations(model, PER_CHANNEL, IntFormat(8), images)
    net = to_integers(with_integer_biases(twin), images)
    other = with_integer_biases(twin)
    other[2].input_zero_point = other[2].input_zero_point + 1
    first, second = code_differences(other, net, images)
    assert (first.layer, first.codes, first.differ, first.largest) == ("0", 90, 0, 0)
    highest = sum(int((codes == 127).sum()) for name, codes in net.integers(images) if name == "2_input")
    assert (second.layer, second.codes, second.differ, second.largest) == ("2", 120, 120 - highest, 1)


# ------------------------------------------------------------------------------------- torch's own kernels


def their_codes(engine, codes, scale, zero_point, weight, units, bias, out_scale, out_zero_point, conv):
    """What torch's quantized kernels make of the same codes; fbgemm and qnnpack are two independent ones."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = torch._make_per_tensor_quantized_tensor(codes, scale, zero_point)
            zeros = torch.zeros(len(weight), dtype=torch.long)
            w = torch._make_per_channel_quantized_tensor(weight, units / scale, zeros, 0)
            if conv is None:
                packed = torch.ops.quantized.linear_prepack(w, bias)
                return torch.ops.quantized.linear(x, packed, out_scale, out_zero_point).int_repr()
            packed = torch.ops.quantized.conv2d_prepack(w, bias, *conv)
            return torch.ops.quantized.conv2d(x, packed, out_scale, out_zero_point).int_repr()
    finally:
        torch.backends.quantized.engine = before


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack"])
@pytest.mark.parametrize("conv", [None, ([2, 1], [1, 2], [1, 1], 1), ([1, 1], [1, 1], [1, 1], 8)], ids=str)
def test_equal_to_torchs_own_kernels(engine, conv):
    """Inputs stay below 128: fbgemm adds pairs of products in 16 bits on older machines, and 2 * 127 * 127 fits.

    torch multiplies the accumulator, a float32, by M, a float32: its position is off by 2**-22 of itself at most, and
    by as much of its bias. Where our exact position lies farther from the middle between two codes, all must agree.
    """
    if engine not in torch.backends.quantized.supported_engines:
        pytest.skip(f"this build of torch has no {engine}")
    generator = torch.Generator().manual_seed(0)
    draw = lambda low, high, *shape: torch.randint(low, high, shape, generator=generator)  # noqa: E731
    differ = codes_in_all = 0
    for _ in range(10):
        scale, zero_point = float(torch.rand((), generator=generator)) + 0.01, int(draw(0, 128))
        if conv is None:
            inputs, weight = draw(0, 128, 50, 64), draw(-127, 128, 24, 64)
        else:
            inputs, weight = draw(0, 128, 4, 8, 9, 7), draw(-127, 128, 16, 8 // conv[-1], 3, 3)
        units = scale * (torch.rand(len(weight), generator=generator).double() + 0.1)
        bias = draw(-5000, 5000, len(weight))
        layer = QuantizedConv2d if conv else nn.Linear
        accumulators = our_accumulators(inputs, zero_point, weight, bias, conv)
        channels = (-1, *[1] * (accumulators.dim() - 2))
        out_scale = float((accumulators.double() * units.view(channels)).abs().max() / 100)
        multiplier, shift = (part.view(channels) for part in multiplier_and_shift(units / out_scale))
        ours = requantize(accumulators, multiplier, shift, 120, 0, 255)
        arguments = inputs.to(torch.uint8), scale, zero_point, weight.to(torch.int8), units, (bias * units).float()
        theirs = their_codes(engine, *arguments, out_scale, 120, conv).int()
        position = accumulators.double() * units.view(channels) / out_scale
        bound = (position.abs() + (bias * units).abs().view(channels) / out_scale) * 2.0**-22
        apart, to_middle = (ours - theirs).abs(), (position - position.floor() - 0.5).abs()
        assert apart.max() <= 1 and (to_middle[apart > 0] <= bound[apart > 0]).all(), layer
        differ, codes_in_all = differ + int(apart.sum()), codes_in_all + apart.numel()
    print(f"{engine}: {differ} of {codes_in_all} codes differ")


def our_accumulators(inputs, zero_point, weight, bias, conv):
    if conv is None:
        return integer_matmul(inputs, weight, zero_point, bias=bias)
    constants = constant_terms(weight.flatten(1), zero_point, 0, bias)
    (stride, (top, left), dilation, groups) = conv
    layer = IntegerConv2d(weight, constants, None, zero_point, stride, (left, left, top, top), dilation, groups)
    return layer(inputs)


# ------------------------------------------------------------------------------------- the edges


def test_a_dead_channel_still_has_its_bias():
    """All weights of the channel are 0, so its scale is 1, and a bias of 0.001 would round to no unit at all."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    model[0].weight.data = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    model[0].bias.data = torch.tensor([0.001, 0.5])
    model[2].weight.data, model[2].bias.data = torch.tensor([[1000.0, 1.0]]), torch.tensor([0.0])
    images = torch.tensor([[0.0, 1.0], [0.3, -0.2]])
    twin = quantize_weights_and_activations(model, PER_CHANNEL, UNSIGNED_8_BITS, images)
    net = to_integers(twin, images)
    check_every_layer(twin, net, images)
    assert twin[0].qweight.scale[0] == 1
    assert accumulator_units(twin[0])[0] == pytest.approx(0.001 / 2**20)
    assert (net(images) - twin(images)).abs().max() < 1e-5


def test_the_average_over_places_is_exact():
    """The mean of 3 and 4 is 3.5, one half of a step that no rounding before it has spoilt; the even code is 4."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1)).eval()
    model[0].weight.data.fill_(1.0)  # with 2 bits: code 1, scale 1
    images = torch.tensor([[[[3.0, 4.0]]], [[[255.0, 255.0]]]])  # the scale of the input, and of the average, is 1
    twin = quantize_weights_and_activations(model, IntFormat(2), UNSIGNED_8_BITS, images)
    net = to_integers(twin, images)
    passed = dict(net.integers(images))
    assert passed["0"].flatten().tolist() == [3, 4, 255, 255]
    assert passed["1"].flatten().tolist() == [7, 510]
    assert passed["3_input"].tolist() == [[4], [255]]
    says = "the average was made for (1, 2) places, got (1, 3); pass inputs of the size of the example"
    with pytest.raises(ValueError, match=re.escape(says)):
        net(torch.zeros(1, 1, 1, 3))


def test_a_relu_after_the_last_layer():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU()).eval()
    model[0].weight.data = torch.tensor([[127.0], [-127.0]])
    twin = quantize_weights_and_activations(model, IntFormat(8), UNSIGNED_8_BITS, torch.tensor([[255.0]]))
    assert to_integers(twin, torch.ones(1, 1))(torch.tensor([[2.0]])).tolist() == [[254.0, 0.0]]


def test_the_argument_stays_as_it_is(splits):
    images = splits.validation.first(4).images
    twin = make_twin(zoo.load("small_cnn"), images)
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    to_integers(twin, images), with_integer_biases(twin)
    assert all(torch.equal(before[name], tensor) for name, tensor in twin.state_dict().items())


def test_nan_is_refused_and_infinity_saturates():
    model = nn.Sequential(nn.Linear(1, 1, bias=False)).eval()
    twin = quantize_weights_and_activations(model, PER_CHANNEL, UNSIGNED_8_BITS, torch.tensor([[1.0]]))
    net = to_integers(twin, torch.ones(1, 1))
    assert torch.equal(net(torch.tensor([[torch.inf], [-torch.inf]])), net(torch.tensor([[1.0], [0.0]])))
    says = "the input holds NaN, for which there is no code; check how the images were made"
    with pytest.raises(ValueError, match=re.escape(says)):
        net(torch.tensor([[torch.nan]]))


# ------------------------------------------------------------------------------------- what is refused


def linear(weights=PER_CHANNEL, activations=UNSIGNED_8_BITS, width=64):
    """A quantized linear layer."""
    made = quantize_weights_and_activations(chain(fc=nn.Linear(width, 2)), weights, activations, noise(8, width).abs())
    return made.fc


class Branches(nn.Module):
    def forward(self, x):
        return x + x


def without_grid():
    return quantize_weights(chain(fc=nn.Linear(4, 2)), PER_CHANNEL).fc


SHARED = linear()
REFUSED = {
    "a name that is taken": (
        lambda: chain(one=linear(), two_input=nn.Flatten(), two=linear(width=2)),
        "'two_input' is the name of the step that rounds the input of a layer; rename the module",
    ),
    "batch norm": (
        lambda: chain(fc=linear(), norm=nn.BatchNorm1d(2)),
        "batch norm 'norm' is not folded; fold it with fold_batch_norm(model) before quantizing",
    ),
    "a float layer": (
        lambda: chain(fc=linear(), head=nn.Linear(2, 2)),
        "layer 'head' has a float weight; quantize it with quantize_weights_and_activations",
    ),
    "a float convolution": (
        lambda: chain(conv=nn.Conv2d(1, 1, 1)),
        "layer 'conv' has a float weight; quantize it with quantize_weights_and_activations",
    ),
    "groups": (
        lambda: chain(fc=linear(IntFormat(8, granularity=PerGroup(32)))),
        "layer 'fc': weights have scales per group of 32, which change within a sum",
    ),
    "another axis": (
        lambda: chain(fc=linear(IntFormat(8, granularity=PerChannel(1)))),
        "layer 'fc': weights have scales per channel of axis 1, which change within a sum",
    ),
    "another format": (
        lambda: chain(fc=linear(BinaryFormat())),
        "layer 'fc': weights in binary per channel are not integers; use IntFormat(8)",
    ),
    "no grid": (
        lambda: chain(fc=without_grid()),
        "layer 'fc' has no grid for its input; quantize activations too, with quantize_weights_and_activations",
    ),
    "wide weights": (
        lambda: chain(fc=linear(IntFormat(9))),
        "layer 'fc': weights of 9 bits do not fit a byte; use 8 bits or fewer",
    ),
    "wide inputs": (
        lambda: chain(fc=linear(activations=IntFormat(16))),
        "layer 'fc': inputs of 16 bits do not fit a byte; use 8 bits or fewer",
    ),
    "an unknown module": (
        lambda: chain(fc=linear(), act=nn.GELU()),
        "'act' (GELU) has no integer form here; there is one for quantized convolutions and linear layers",
    ),
    "a ReLU too early": (
        lambda: chain(act=nn.ReLU(), fc=linear()),
        "'act' (ReLU) comes before the first quantized layer, whose grid rounds the input",
    ),
    "pooling to places": (
        lambda: chain(fc=linear(), pool=nn.AdaptiveAvgPool2d((2, 2))),
        "'pool' averages to (2, 2) places; only nn.AdaptiveAvgPool2d(1) is known",
    ),
    "flattening all": (
        lambda: chain(flat=nn.Flatten(0), fc=linear()),
        "'flat' flattens axes 0 to -1; use nn.Flatten()",
    ),
    "no layer": (
        lambda: chain(flat=nn.Flatten()),
        "the model has no quantized layer; make one with quantize_weights_and_activations",
    ),
    "twice the same": (
        lambda: chain(one=SHARED, two=SHARED),
        "module 'two' appears in two places of the chain; give each place a module of its own",
    ),
    "no chain": (
        lambda: Branches(),
        "to_integers takes an nn.Sequential, whose order is the flow of the data, got Branches",
    ),
    "training": (lambda: chain(fc=linear()).train(), "is in training mode, where a model computes something else"),
    "more axes": (lambda: chain(fc=linear()), "layer 'fc' reads 3 axes; it takes [N, features], a batch"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_integer_form_is_refused_by_name(what):
    build, says = REFUSED[what]
    with pytest.raises(ValueError, match=re.escape(says)):
        to_integers(build(), torch.ones(1, 3, 64) if what == "more axes" else torch.ones(1, 64))


@pytest.mark.parametrize("model, example", [(3, torch.ones(1, 1)), (chain(fc=linear()), [[1.0]])])
def test_what_is_no_model_and_no_tensor_is_refused(model, example):
    with pytest.raises(TypeError, match="must be an nn.Module|must be a tensor of inputs"):
        to_integers(model, example)


def test_an_accumulator_that_could_overflow_is_refused():
    wide = linear(width=66_312)
    with pytest.raises(ValueError, match=r"layer 'fc': the sum of 66312 products of up to 255 \* 127, and a bias"):
        to_integers(chain(fc=wide), torch.ones(1, 66_312))
    small = linear()
    small.bias.data[1] = 1e6  # in units of some 1e-5
    with pytest.raises(ValueError, match="layer 'fc': the sum of 64 products .* and a bias of up to"):
        to_integers(chain(fc=small), torch.ones(1, 64))


def test_a_sum_of_places_that_could_overflow_is_refused():
    model = chain(conv=nn.Conv2d(1, 1, 1, bias=False), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())
    twin = quantize_weights_and_activations(model, PER_CHANNEL, UNSIGNED_8_BITS, torch.rand(1, 1, 4, 4))
    net = to_integers(twin, torch.ones(1, 1, 257, 258))  # 66,306 places
    assert net(torch.ones(1, 1, 257, 258)).shape == (1, 1)
    with pytest.raises(ValueError, match="'pool' adds up 66564 places, and the sum may reach 2155675140, beyond"):
        to_integers(twin, torch.ones(1, 1, 258, 258))


def test_a_convolution_needs_a_batch():
    model = chain(conv=nn.Conv2d(1, 1, 1), relu=nn.ReLU())
    twin = quantize_weights_and_activations(model, PER_CHANNEL, UNSIGNED_8_BITS, torch.rand(1, 1, 4, 4))
    assert [name for name, _ in to_integers(twin, torch.ones(1, 1, 4, 4)).integers(torch.ones(1, 1, 4, 4))][1:] == [
        "conv",
        "relu",
    ]
    says = "layer 'conv' reads 3 axes; it takes [N, channels, height, width], a batch"
    with pytest.raises(ValueError, match=re.escape(says)):
        to_integers(twin, torch.ones(1, 4, 4))


def test_no_images_give_no_outputs():
    images = torch.rand(2, 1, 5, 5)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)).eval()
    twin = quantize_weights_and_activations(model, IntFormat(8), UNSIGNED_8_BITS, images)
    assert to_integers(twin, images)(images[:0]).shape == twin(images[:0]).shape == (0, 3)


def test_differences_are_asked_of_a_twin_and_an_integer_net():
    twin = nn.Sequential(nn.Linear(2, 2)).eval()
    with pytest.raises(TypeError, match="net must be an IntegerNet, got Sequential; to_integers"):
        code_differences(twin, twin, torch.ones(1, 2))
    with pytest.raises(TypeError, match="model must be an nn.Module, got NoneType"):
        code_differences(None, twin, torch.ones(1, 2))
