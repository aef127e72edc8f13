"""Calibration: run a model on a few batches and look at what passes through its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from inspect import signature

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib.copying import need_module
from mini_lib.require import shown

Calibration = Tensor | Iterable[Tensor]
# Receives the layer's name, its input and its output.
See = Callable[[str, Tensor, Tensor], None]
# A window of 576 inputs at 196 places takes 0.9 MB in float64: this many images at a time stay below 60 MB.
_IMAGES_AT_ONCE = 64


def batches(calibration: Calibration) -> list[Tensor]:
    """Return the calibration data as a list of batches [N, ...]; a single tensor is one batch.

    Raises:
        TypeError: a batch is not a tensor.
        ValueError: there is no batch, or one is empty or holds NaN or infinity.

    >>> [batch.shape for batch in batches(torch.zeros(8, 3))]
    [torch.Size([8, 3])]
    """
    if not isinstance(calibration, (Tensor, Iterable)) or isinstance(calibration, (str, bytes)):
        raise TypeError(
            f"calibration must be a batch of inputs or several, got {shown(calibration)}; pass training images"
        )
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
        if batch.is_meta or batch.layout is not torch.strided:
            raise ValueError(
                f"calibration batch {number} is {'on the meta device' if batch.is_meta else 'sparse'}; make it a dense "
                "tensor with values"
            )
        if not batch.isfinite().all():
            raise ValueError(f"calibration batch {number} holds NaN or infinity; check how the images were made")
    return found


def run_model(model: Callable[..., object], *inputs: Tensor) -> object:
    """Return `model(*inputs)`; where torch refuses the inputs, the error describes them.

    Raises:
        TypeError: `model` is neither a module nor another function of tensors.
        ValueError: the model cannot be run on them: its layers take another shape or dtype, for example.

    >>> run_model(nn.Linear(3, 2).double(), torch.zeros(1, 3))
    Traceback (most recent call last):
    ValueError: Linear cannot be run on float32 [1, 3]: mat1 and mat2 must have the same dtype, but got Float and Double
    """
    if isinstance(model, nn.Module) or not callable(model):
        need_module(model)
    try:
        return model(*inputs)
    except Exception as error:  # whatever a layer finds wrong with its input
        given = ", ".join(f"{str(one.dtype).removeprefix('torch.')} {list(one.shape)}" for one in inputs)
        name = type(model).__name__ if isinstance(model, nn.Module) else "the model"
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} cannot be run on {given}: {error}") from error


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

            def look(module: nn.Module, inputs: tuple, named: dict, output: Tensor, name: str = name) -> None:
                # no return: torch would use a returned value as the output
                see(name, _first_input(module, inputs, named), output)

            hooks.callback(model.get_submodule(name).register_forward_hook(look, with_kwargs=True).remove)
        for batch in data:
            run_model(model, batch)


def _first_input(module: nn.Module, inputs: tuple, named: dict[str, object]) -> Tensor:
    """Return the argument for the first parameter of forward, passed by position or by name, as in `fc(input=x)`."""
    return inputs[0] if inputs else next(iter(signature(module.forward).bind(**named).arguments.values()))


def running_order(model: nn.Module, data: list[Tensor], names: Iterable[str]) -> list[str]:
    """Return those of the names whose modules run on the first input of the data, in the order of their first call.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).eval()
    >>> running_order(model, [torch.zeros(5, 2)], ["1", "0"])
    ['0', '1']
    """
    order: dict[str, None] = {}
    first = data[0][:1] if data[0].dim() else data[0]
    observe(model, [first], names, lambda name, inputs, output: order.setdefault(name))
    return list(order)


def observe_windows(
    model: nn.Module, data: list[Tensor], layers: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]
) -> None:
    """Run `model` on each batch, and give `see`, part by part, what each of the `layers` multiplies its weight by.

    `see` gets the layer's name and float64 [groups, windows, k]; a linear layer has one group, and its windows are its
    inputs.

    Raises:
        ValueError: the model is in training mode, a layer is not the model's module of that name, or does not run.

    >>> model = nn.Sequential(nn.Linear(2, 3)).eval()
    >>> observe_windows(model, [torch.zeros(5, 2)], {"0": model[0]}, lambda name, x: print(name, tuple(x.shape)))
    0 (1, 5, 2)
    """
    need_module(model)
    own = dict(model.named_modules(remove_duplicate=False))
    for name, layer in layers.items():
        if own.get(name) is not layer:
            raise ValueError(f"layer {name!r} is not the model's module of that name; take it from this very model")
    silent = dict.fromkeys(layers)

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        silent.pop(name, None)
        for part in inputs.split(_IMAGES_AT_ONCE) if inputs.dim() > 1 else (inputs,):
            see(name, windows(layers[name], part).double())

    observe(model, data, layers, look)
    if silent:
        raise ValueError(
            f"layer {next(iter(silent))!r} did not run on the calibration data, so nothing is known about its input; "
            "leave it out in where"
        )


def windows(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return everything that a linear layer or a convolution multiplies its weight by, [groups, windows, k].

    A row of 3 pixels, padded by one zero on each side, seen through a kernel of 1 x 3 at every second place:

    >>> layer = nn.Conv2d(1, 1, (1, 3), stride=(1, 2), padding=(0, 1))
    >>> windows(layer, torch.tensor([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[0.0, 1.0, 2.0], [2.0, 3.0, 0.0]]]
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, layer.in_features)
    if inputs.dim() != layer.weight.dim():
        raise ValueError(
            f"a {type(layer).__name__} reads {list(inputs.shape)}, an image without a batch axis; calibrate with "
            "[N, channels, ...], such as image[None]"
        )
    # torch keeps the padding of a convolution, "same" included, in the order that F.pad expects
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    inputs = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if isinstance(layer, nn.Conv1d):
        inputs, kernel, stride, dilation = inputs.unsqueeze(2), (1, *kernel), (1, *stride), (1, *dilation)
    columns = F.unfold(inputs, kernel, dilation=dilation, stride=stride)  # [N, channels * kernel, places]
    columns = columns.reshape(len(columns), layer.groups, -1, columns.shape[-1])
    return columns.permute(1, 0, 3, 2).reshape(layer.groups, -1, columns.shape[2])


def per_weight(weight: Tensor, per_input: Tensor) -> Tensor:
    """Return one value per input, [k] or [groups, k], laid out like the weight that reads these inputs.

    Raises:
        ValueError: the number of values is not the number of inputs of the weight.

    >>> per_weight(torch.zeros(2, 1, 1, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])).flatten(1)
    tensor([[1., 2.],
            [3., 4.]])
    """
    inputs = weight[0].numel()
    if per_input.dim() not in (1, 2) or per_input.shape[-1] != inputs or len(weight) % (per_input.numel() // inputs):
        raise ValueError(
            f"values of shape {list(per_input.shape)} do not fit a weight of shape {list(weight.shape)}; expected "
            f"[{inputs}], or one such row for each group"
        )
    groups = per_input.reshape(-1, 1, inputs)
    return groups.expand(-1, len(weight) // len(groups), -1).reshape(weight.shape)
