"""Quantization: fewer bits per weight, from uniform grids to codebooks, packed as they are stored."""

from mini_lib.quantize.affine import fake_quantize, from_codes, to_codes
from mini_lib.quantize.bias_correction import correct_bias
from mini_lib.quantize.choice import FormatChoice, choose_formats
from mini_lib.quantize.equalize import LayerPair, equalize, find_pairs
from mini_lib.quantize.formats.base import Format, Observer, format_from_json, format_to_json
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
from mini_lib.quantize.granularity import Granularity, PerChannel, PerGroup, PerTensor
from mini_lib.quantize.integer.compare import CodeDifference, code_differences
from mini_lib.quantize.integer.convert import to_integers, with_integer_biases
from mini_lib.quantize.integer.layers import IntegerConv2d, IntegerLinear, IntegerNet, Requantize
from mini_lib.quantize.integer.matmul import constant_terms, integer_matmul
from mini_lib.quantize.integer.requantize import multiplier_and_shift, requantize
from mini_lib.quantize.ladder import LADDER, rung
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear, is_weight_layer
from mini_lib.quantize.mixed import (
    BIT_SERIAL,
    INT4_INT8_GPU,
    Accelerator,
    Allocation,
    CostTable,
    Evaluations,
    Trials,
    WidthCost,
    accelerator_costs,
    allocate,
    deploy,
    kl_divergence,
    measure_costs,
    search_evolution,
    search_random,
    search_rl,
    sensitivity_by_bytes,
    sensitivity_by_hessian,
    sensitivity_by_kl,
    sensitivity_by_loss,
    sensitivity_by_output,
    sensitivity_by_weight,
)
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights, quantize_weights_and_activations
from mini_lib.quantize.observers import entropy, min_max, mse, percentile
from mini_lib.quantize.packed import (
    PackedConv2d,
    PackedLayer,
    PackedLinear,
    Race,
    Runner,
    is_packable,
    pack_for_speed,
    race_packed,
)
from mini_lib.quantize.qtensor import QTensor, from_parts, quantize
from mini_lib.quantize.range_observer import RangeObserver
from mini_lib.quantize.storage import StoredSize, file_bytes, load_model, save_model, stored_size
from mini_lib.quantize.train.batch_norm import freeze_batch_norm, reestimate_batch_norm
from mini_lib.quantize.train.export import export
from mini_lib.quantize.train.layers import FakeQuantConv2d, FakeQuantLayer, FakeQuantLinear
from mini_lib.quantize.train.lsq import lsq, lsq_gradient_scale, lsq_range
from mini_lib.quantize.train.pact import PACT
from mini_lib.quantize.train.prepare import prepare
from mini_lib.quantize.train.ste import fake_quantize_ste, round_ste, sign_ste, straight_through
