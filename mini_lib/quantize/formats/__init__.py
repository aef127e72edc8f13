"""Formats: one file for each way of storing weights, from floats and grids to codebooks and signs."""

from mini_lib.quantize.formats.base import Format, Observer, format_from_json, format_to_json, require_format
from mini_lib.quantize.formats.binary import BinaryFormat, binarize
from mini_lib.quantize.formats.codebook import CodebookFormat, k_means
from mini_lib.quantize.formats.floats import FloatFormat
from mini_lib.quantize.formats.fp8 import FP8Format
from mini_lib.quantize.formats.integer import IntFormat, affine_scale, choose_qparams, symmetric_scale
from mini_lib.quantize.formats.minifloat import E2M1, E4M3, E5M2, MiniFloat
from mini_lib.quantize.formats.mx import MXFP4, MXFP8, MXFormat
from mini_lib.quantize.formats.nf4 import NF4_VALUES, NF4Format, from_nf4_codes, nf4_codes
from mini_lib.quantize.formats.nvfp4 import NVFP4Format
from mini_lib.quantize.formats.ternary import TernaryFormat, ternarize
