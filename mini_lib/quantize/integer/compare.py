"""An integer network and its twin, code by code, on real data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.calibration import batches, observe, run_model
from mini_lib.copying import need_module
from mini_lib.quantize.affine import to_codes
from mini_lib.quantize.integer.layers import IntegerNet
from mini_lib.quantize.layers import QuantizedLayer
from mini_lib.tensor_checks import need_tensor

_IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class CodeDifference:
    """The inputs of the layer `layer` in the twin and in integers: `codes` codes, of which `differ` are not equal.

    largest: the largest difference of two codes.
    """

    layer: str
    codes: int
    differ: int
    largest: int


@torch.no_grad()
def code_differences(twin: nn.Module, net: IntegerNet, images: Tensor) -> list[CodeDifference]:
    """Return for each quantized layer how many of its input codes differ between the twin and the integers.

    Both run from the images on, so a code that differs in one layer may cause others to differ in the next.

    Raises:
        TypeError: `twin` is not a module, `net` is not an IntegerNet, or the images are not a tensor.
        ValueError: the twin is in training mode, or the images are empty or not finite.

    >>> from mini_lib.quantize import UNSIGNED_8_BITS, IntFormat, quantize_weights_and_activations, to_integers
    >>> images = torch.rand(9, 1, 4, 4)
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).eval()
    >>> twin = quantize_weights_and_activations(model, IntFormat(8), UNSIGNED_8_BITS, images)
    >>> [difference.codes for difference in code_differences(twin, to_integers(twin, images), images)]
    [144, 72]
    """
    need_module(twin)
    if not isinstance(net, IntegerNet):
        raise TypeError(f"net must be an IntegerNet, got {type(net).__name__}; to_integers(twin, images) makes it")
    layers = {name: module for name, module in twin.named_modules() if isinstance(module, QuantizedLayer)}
    counts, differ, largest = (dict.fromkeys(layers, 0) for _ in range(3))
    integers: dict[str, Tensor] = {}

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        layer = layers[name]
        grid = layer.input_scale, layer.input_zero_point, layer.input_fmt.qmin, layer.input_fmt.qmax
        apart = (to_codes(inputs, *grid).reshape(-1) - integers[f"{name}_input"].reshape(-1).int()).abs()
        counts[name] += apart.numel()
        differ[name] += int((apart > 0).sum())
        largest[name] = max(largest[name], int(apart.max()))

    need_tensor("images", images, fix="give a batch [N, ...]")
    run_model(twin, images[:1] if images.dim() else images)  # refuses unfit images before they are split
    for part in batches([images])[0].split(_IMAGES_AT_ONCE):
        integers.update(net.integers(part))
        if odd := [name for name in layers if f"{name}_input" not in integers or layers[name].input_fmt is None]:
            raise ValueError(f"layer '{odd[0]}' of the twin is not in net; pass the twin that it was made of")
        observe(twin, [part], layers, look)
    return [CodeDifference(name, counts[name], differ[name], largest[name]) for name in layers]
