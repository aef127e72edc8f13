"""Which models have an integer form: chains of layers that are quantized as integers can compute them."""

from __future__ import annotations

from torch import nn

from mini_lib.copying import need_module
from mini_lib.fold import FoldedBatchNorm
from mini_lib.graph import BATCH_NORMS
from mini_lib.quantize.formats import IntFormat
from mini_lib.quantize.granularity import PER_CHANNEL, PER_TENSOR
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear
from mini_lib.surgery import hook_of

PASSES_ON = (nn.Identity, FoldedBatchNorm, nn.Dropout)  # modules that change nothing in eval mode
FLOAT_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


def integer_chain(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of `model` by name, in the order in which they run, if each of them has an integer form.

    Raises:
        TypeError: `model` is not a module.
        ValueError: it is not an nn.Sequential, or one of its modules, which is named, has no integer form, or has a
            hook.

    >>> integer_chain(nn.Sequential(nn.Linear(2, 1)))
    Traceback (most recent call last):
    ValueError: layer '0' has a float weight; quantize it with quantize_weights_and_activations
    """
    need_module(model)
    if type(model) is not nn.Sequential:
        raise ValueError(
            f"to_integers takes an nn.Sequential, whose order is the flow of the data, got {type(model).__name__}; "
            "write the model as a chain, as those of mini_lib.zoo"
        )
    for name, module in model.named_modules():
        if own := "forward of its own" if "forward" in vars(module) else hook_of(module):
            what = f"'{name}'" if name else "the model"
            raise ValueError(f"{what} has a {own}, which its integer form would not run; remove it first")
    chain: dict[str, nn.Module] = {}
    started = False
    for name, module in model._modules.items():  # named_children would leave out a module that comes a second time
        if any(module is other for other in chain.values()):
            raise ValueError(f"module '{name}' appears in two places of the chain; give each place a module of its own")
        if name.endswith("_input") and name.removesuffix("_input") in model._modules:
            raise ValueError(f"'{name}' is the name of the step that rounds the input of a layer; rename the module")
        _check(name, module, started)
        started = started or isinstance(module, QuantizedLayer)
        chain[name] = module
    if not started:
        raise ValueError("the model has no quantized layer; make one with quantize_weights_and_activations")
    return chain


def _check(name: str, module: nn.Module, started: bool) -> None:
    if isinstance(module, BATCH_NORMS):
        raise ValueError(
            f"batch norm '{name}' is not folded; fold it with fold_batch_norm(model) before quantizing, since the "
            "integers are those of the folded weight"
        )
    if isinstance(module, FLOAT_LAYERS):
        raise ValueError(f"layer '{name}' has a float weight; quantize it with quantize_weights_and_activations")
    if type(module) in (QuantizedConv2d, QuantizedLinear):
        _check_grids(name, module)
    elif type(module) in (nn.ReLU, nn.AdaptiveAvgPool2d):
        if not started:
            raise ValueError(
                f"'{name}' ({type(module).__name__}) comes before the first quantized layer, whose grid rounds the "
                "input; apply it to the images before"
            )
        if type(module) is nn.AdaptiveAvgPool2d and module.output_size not in (1, (1, 1)):
            raise ValueError(f"'{name}' averages to {module.output_size} places; only nn.AdaptiveAvgPool2d(1) is known")
    elif type(module) is nn.Flatten:
        if (module.start_dim, module.end_dim) != (1, -1):
            raise ValueError(f"'{name}' flattens axes {module.start_dim} to {module.end_dim}; use nn.Flatten()")
    elif type(module) not in PASSES_ON:
        raise ValueError(
            f"'{name}' ({type(module).__name__}) has no integer form here; there is one for quantized convolutions and "
            "linear layers, nn.ReLU, nn.AdaptiveAvgPool2d(1) and nn.Flatten()"
        )


def _check_grids(name: str, layer: QuantizedLayer) -> None:
    weight = layer.weight_fmt
    if not isinstance(weight, IntFormat):
        raise ValueError(f"layer '{name}': weights in {weight.label} are not integers; use IntFormat(8)")
    if weight.granularity not in (PER_TENSOR, PER_CHANNEL):
        raise ValueError(
            f"layer '{name}': weights have scales {weight.granularity.label}, which change within a sum, so the sum "
            "of codes is not a multiple of one unit; use PerChannel(0) or PerTensor()"
        )
    if layer.input_fmt is None:
        raise ValueError(
            f"layer '{name}' has no grid for its input; quantize activations too, with quantize_weights_and_activations"
        )
    for what, fmt in (("weights", weight), ("inputs", layer.input_fmt)):
        if fmt.bits > 8:
            raise ValueError(f"layer '{name}': {what} of {fmt.bits} bits do not fit a byte; use 8 bits or fewer")
