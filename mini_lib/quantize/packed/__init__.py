"""Layers that compute on packed codes: a quantized model that is small and, where it waits for memory, fast."""

from mini_lib.quantize.packed.layers import PackedConv2d, PackedLayer, PackedLinear
from mini_lib.quantize.packed.pack import is_packable, pack_for_speed
from mini_lib.quantize.packed.race import Race, Runner, race_packed
