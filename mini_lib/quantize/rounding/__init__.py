"""Rounding that looks at what a layer reads: which of a grid's two neighbours serves the layer's output best."""

from mini_lib.quantize.rounding.gptq import gptq, gptq_weight
