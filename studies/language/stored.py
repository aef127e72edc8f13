"""The bytes of a compressed language model, and the same model with its codes unpacked once."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mini_lib.llm.model.layerwise import SHARED_INPUTS
from mini_lib.quantize.layers import QuantizedLayer
from mini_lib.quantize.packed import PackedLayer
from mini_lib.surgery import find, swap

_PARTS = tuple(part for group in SHARED_INPUTS for part in group)
# Groups of 32 in the file: 4-bit codes with two float16, and 8-bit codes with one.
BYTES_Q4_1, BYTES_Q8_0 = (16 + 4) / 32, (32 + 2) / 32


def stored_bytes(lm: nn.Module) -> int:
    """Return the bytes of all weights.

    A quantized layer counts its codes, scales and zero points. A layer without zeros that is not quantized counts as in
    the file, 5 bits per weight. A layer with zeros counts 16 bits per weight that stays and one bit per place that says
    where (2:4 takes equally much, with two bits per weight that stays). The head counts 8.5 bits per weight, as in the
    file; it is also the embedding table. Norms count 4 bytes each.
    """
    total = 4 * sum(
        module.weight.numel() for _, module in find(lm, lambda name, module: isinstance(module, nn.RMSNorm))
    )
    total += round(BYTES_Q8_0 * lm.head.weight.numel())
    for block in lm.blocks:
        for layer in (block.get_submodule(part) for part in _PARTS):
            if isinstance(layer, QuantizedLayer):
                grid = 0 if layer.input_fmt is None else layer.input_scale.nbytes + layer.input_zero_point.nbytes
                total += layer.qweight.stored_bytes + grid
            elif isinstance(layer, PackedLayer):
                total += layer.matrix.stored_bytes
            else:
                total += _float_bytes(layer.weight)
    return total


def _float_bytes(weight: Tensor) -> int:
    """Dense as in the file, or 16 bits per weight that is not zero."""
    kept = int(weight.count_nonzero())
    # The file's grid has a lowest value and no exact zero, so hardly any unpruned weight is 0.
    return round(BYTES_Q4_1 * weight.numel()) if kept > 0.9 * weight.numel() else 2 * kept + weight.numel() // 8


class Unpacked(nn.Module):
    """A quantized linear layer that keeps its float weight, and computes the same to the last bit."""

    def __init__(self, layer: QuantizedLayer) -> None:
        super().__init__()
        self.rounded, self.weight = layer, layer.weight.detach()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.rounded.quantized_input(x), self.weight, self.rounded.bias)


def unpacked(lm: nn.Module) -> nn.Module:
    """Return the model with the codes of its quantized layers unpacked once, not in every pass; packed ones stay."""
    layers = find(lm, lambda name, module: isinstance(module, QuantizedLayer))
    return swap(lm, {name: Unpacked(layer).eval() for name, layer in layers}) if layers else lm
