"""Integer inference: products of codes in int32, scales as multiplier and shift, and a whole network in integers."""

from mini_lib.quantize.integer.compare import CodeDifference, code_differences
from mini_lib.quantize.integer.convert import to_integers, with_integer_biases
from mini_lib.quantize.integer.layers import IntegerConv2d, IntegerLinear, IntegerNet, Requantize
from mini_lib.quantize.integer.matmul import constant_terms, integer_matmul
from mini_lib.quantize.integer.requantize import multiplier_and_shift, requantize
