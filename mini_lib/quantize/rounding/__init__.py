"""Rounding that looks at a layer's inputs: up or down, column after column, or after scaling the inputs."""

from mini_lib.quantize.rounding.adaround import adaround, adaround_weight
from mini_lib.quantize.rounding.awq import awq, scale_salient
from mini_lib.quantize.rounding.gptq import gptq, gptq_weight
from mini_lib.quantize.rounding.smooth import smooth
