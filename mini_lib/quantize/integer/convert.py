"""From a fake-quantized model to a network of integers that computes the same.

The fake-quantized model, the *twin*, rounds weights and inputs to grids and then computes in floats. Each of its layers
has a counterpart in integers. For the same input codes, they are equal up to this:

1. The sum of products of codes is a whole number, and exact in both.
2. The bias is rounded to the unit of that sum, u = scale_a * scale_w, so it is off by u / 2 at most.
   `with_integer_biases` returns a twin whose biases are already rounded this way, as closely as float32 holds them.
3. The scales become an integer multiplier, off by a share of 2**-31 at most.

So the output code is that of the twin, computed without rounding errors, unless the twin's value lies so close to the
middle between two codes that points 2 and 3 move it to the other side; then the codes differ by one. In steps of the
next grid, for a sum s, a bias b and M = u / scale_out, "so close" means within

    M * |round(b / u) - b / u| + M * |s + round(b / u)| * 2**-31

The first part is at most M / 2, and with integer biases at most M * |b / u| * 2**-24. The second is at most 2**-23 for
all codes inside a grid of 8 bits. Average pooling adds nothing: the sum is exact, and one over the number of places is
part of M. A twin that runs in float32 also has rounding errors of its own; `code_differences` counts their effect.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from mini_lib.calibration import batches, observe
from mini_lib.quantize.formats import IntFormat
from mini_lib.quantize.integer.chain import integer_chain
from mini_lib.quantize.integer.layers import (
    IntegerConv2d,
    IntegerLinear,
    IntegerNet,
    IntegerReLU,
    IntegerSum,
    Requantize,
    code_dtype,
)
from mini_lib.quantize.integer.matmul import INT32_MAX, constant_terms, need_int32
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer
from mini_lib.surgery import swap

AXES = {2: "[N, features]", 4: "[N, channels, height, width]"}
DEAD_BIAS = 2**20  # a channel with zero weights has no unit of its own: it gets one in which its bias is this many


@torch.no_grad()
def to_integers(model: nn.Module, example: Tensor) -> IntegerNet:
    """Return the integer network of a fake-quantized chain of layers; the module's docstring says how equal they are.

    Args:
        model: what `quantize_weights_and_activations` returns for an nn.Sequential of convolutions, linear layers,
            ReLU, global average pooling and flattening, batch norm folded. Weights are integers of up to 8 bits, per
            channel or per tensor, symmetric or affine; inputs of up to 8 bits. The argument stays as it is.
        example: a batch of inputs, [N, ...], of which only the shape matters.

    Raises:
        TypeError: `model` is not a module, or `example` is not a tensor.
        ValueError: the model is not an nn.Sequential, or is in training mode; a layer has a float weight, an unfolded
            batch norm, no input grid, a scale per group, or no integer form; an accumulator could leave int32.

    >>> from mini_lib.quantize import UNSIGNED_8_BITS, quantize_weights_and_activations
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).eval()
    >>> _ = [layer.weight.data.fill_(1.0) for layer in (model[0], model[2])]
    >>> images = torch.tensor([[0.0], [255.0]])                          # so the step of an input is 1
    >>> twin = quantize_weights_and_activations(model, IntFormat(8), UNSIGNED_8_BITS, images)
    >>> net = to_integers(twin, images)
    >>> [(name, passed.tolist()) for name, passed in net.integers(torch.tensor([[7.2]]))]       # 1 is code 127
    [('0_input', [[7]]), ('0', [[889]]), ('2_input', [[7]]), ('2', [[889]])]
    >>> net(torch.tensor([[7.2]])), twin(torch.tensor([[7.2]])).detach()
    (tensor([[7.]]), tensor([[7.]]))

    Source: Jacob 2018, sections 2 and 3.
    """
    layers = integer_chain(model)
    read: dict[str, torch.Size] = {}

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        read[name] = inputs.shape

    observe(model, [batch[:1] if batch.dim() else batch for batch in batches([example])], layers, look)
    steps: dict[str, nn.Module] = {}
    codes: dict[Tensor, Tensor] = {}  # layers that share their packed codes also share the unpacked codes
    first = next(name for name, layer in layers.items() if isinstance(layer, QuantizedLayer))
    units, reach, relu = None, 0, ""  # the unit of the accumulators, how far they go, the name of a ReLU that is due
    for name, layer in layers.items():
        if isinstance(layer, QuantizedLayer):
            if units is not None:
                scale, zero_point = layer.input_scale.item(), layer.input_zero_point.item()
                steps[f"{name}_input"] = Requantize(units, scale, zero_point, layer.input_fmt, relu=bool(relu))
            steps[name], reach = _integer_layer(name, layer, read[name])
            steps[name].weight = codes.setdefault(layer.weight_codes, steps[name].weight)
            units, relu = accumulator_units(layer), ""
        elif isinstance(layer, nn.ReLU):
            relu = name
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            if relu:
                steps[relu], relu = IntegerReLU(), ""
            places = tuple(read[name][2:])
            units, reach = units / prod(places), reach * prod(places)
            if reach > INT32_MAX:
                raise ValueError(
                    f"'{name}' adds up {prod(places)} places, and the sum may reach {reach}, beyond the {INT32_MAX} of "
                    "an int32 accumulator; use fewer bits or a smaller image"
                )
            steps[name] = IntegerSum(places)
        elif isinstance(layer, nn.Flatten):
            steps[name] = nn.Flatten()
            units = units if units is None else units.repeat_interleave(prod(read[name][2:]))
    if relu:
        steps[relu] = IntegerReLU()
    return IntegerNet((first, layers[first]), steps, units)


@torch.no_grad()
def with_integer_biases(model: nn.Module) -> nn.Module:
    """Return the fake-quantized model with each bias rounded to the unit of its accumulator, as integers hold it.

    `to_integers` gives the same network for both; this is the twin that it equals.

    Raises:
        TypeError: `model` is not a module.
        ValueError: a module has no integer form, as `to_integers` says.

    >>> from mini_lib.quantize import UNSIGNED_8_BITS, quantize_weights_and_activations
    >>> model = nn.Sequential(nn.Linear(1, 1)).eval()
    >>> model[0].weight.data, model[0].bias.data = torch.tensor([[127.0]]), torch.tensor([2.7])      # scale_w is 1
    >>> twin = quantize_weights_and_activations(model, IntFormat(8), UNSIGNED_8_BITS, torch.tensor([[255.0]]))
    >>> with_integer_biases(twin)[0].bias.tolist()                                  # scale_a is 1, so 2.7 is rounded
    [3.0]

    Source: Jacob 2018, section 2.4: scale_bias = scale_a * scale_w.
    """
    new = {}
    for name, layer in integer_chain(model).items():
        if isinstance(layer, QuantizedLayer) and layer.bias is not None:
            copy = swap(layer, {})
            units = accumulator_units(layer)
            copy.bias.copy_((layer.bias.double() / units).round() * units)
            new[name] = copy
    return swap(model, new)


def accumulator_units(layer: QuantizedLayer) -> Tensor:
    """Return the value of one step of each channel's accumulator, scale_a * scale_w (float64 [out], exact).

    The weights of a dead channel are all 0, whatever their scale; its unit is chosen for its bias.

    >>> from mini_lib.quantize import UNSIGNED_8_BITS, quantize_weights_and_activations
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False)).eval()
    >>> model[0].weight.data = torch.tensor([[7.0]])
    >>> twin = quantize_weights_and_activations(model, IntFormat(4), UNSIGNED_8_BITS, torch.tensor([[510.0]]))
    >>> accumulator_units(twin[0])                                           # scale_a is 2 and scale_w 1
    tensor([2.], dtype=torch.float64)
    """
    weight = layer.qweight
    units = layer.input_scale.double() * weight.scale.double().expand(len(weight.codes))
    dead = (layer.weight.flatten(1) == 0).all(dim=1)
    bias = torch.zeros(len(units)) if layer.bias is None else layer.bias.detach()
    return torch.where(dead & (bias != 0), bias.double().abs() / DEAD_BIAS, units)


def _integer_layer(name: str, layer: QuantizedLayer, read: torch.Size) -> tuple[IntegerLinear, int]:
    """Return the layer in integers, and how far its accumulators can go."""
    weight, zero_point = layer.qweight, layer.input_zero_point.item()
    codes = weight.codes.flatten(1)
    shifts = None if weight.zero_point is None else weight.zero_point.expand(len(codes)).clone()
    bias = torch.zeros(len(codes), dtype=torch.float64)
    if layer.bias is not None:
        bias = (layer.bias.double() / accumulator_units(layer)).round()
    input_reach, weight_reach, largest = _reach(layer.input_fmt), _reach(weight.fmt), int(bias.abs().max())
    need_int32(codes.shape[1], input_reach, weight_reach, largest, f"layer '{name}': the sum")
    constants = constant_terms(codes, zero_point, 0 if shifts is None else shifts, bias.long())
    held = weight.codes.to(code_dtype(weight.fmt)), constants, shifts
    reach = codes.shape[1] * input_reach * weight_reach + largest
    axes = 4 if isinstance(layer, QuantizedConv2d) else 2
    if len(read) != axes:
        raise ValueError(f"layer '{name}' reads {len(read)} axes; it takes {AXES[axes]}, a batch")
    if axes == 2:
        return IntegerLinear(*held), reach
    stride, dilation = _pair(layer.stride), _pair(layer.dilation)
    return IntegerConv2d(*held, zero_point, stride, _padding(layer), dilation, layer.groups), reach


def _reach(fmt: IntFormat) -> int:
    """The largest magnitude of a code and of its distance from the zero point."""
    return max(-fmt.qmin, fmt.qmax) if fmt.symmetric else max(fmt.qmax - fmt.qmin, -fmt.qmin, fmt.qmax)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _padding(layer: QuantizedConv2d) -> tuple[int, int, int, int]:
    """Left, right, top, bottom."""
    if layer.padding == "same":
        wide = [dilation * (size - 1) for size, dilation in zip(layer.weight_shape[2:], _pair(layer.dilation))]
        (top, left), (height, width) = (size // 2 for size in wide), wide
        return left, width - left, top, height - top
    height, width = (0, 0) if layer.padding == "valid" else _pair(layer.padding)
    return width, width, height, height
