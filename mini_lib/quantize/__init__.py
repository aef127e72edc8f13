"""Quantization: fewer bits for a weight, from uniform grids to codebooks, packed as they are stored."""

from mini_lib.fold import FoldedBatchNorm, find_batch_norms, fold_batch_norm, fold_pair
from mini_lib.quantize.affine import (
    affine_scale,
    choose_qparams,
    fake_quantize,
    from_codes,
    symmetric_scale,
    to_codes,
)
from mini_lib.quantize.bias_correction import correct_bias
from mini_lib.quantize.binary import binarize
from mini_lib.quantize.codebook import k_means
from mini_lib.quantize.equalize import Pair, equalize, find_pairs
from mini_lib.quantize.format_json import format_from_json, format_to_json
from mini_lib.quantize.formats import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    Format,
    IntFormat,
    NF4Format,
    TernaryFormat,
)
from mini_lib.quantize.granularity import Granularity, PerChannel, PerGroup, PerTensor
from mini_lib.quantize.ladder import LADDER, rung
from mini_lib.quantize.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear, is_weight_layer
from mini_lib.quantize.layout import layout
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights, quantize_weights_and_activations
from mini_lib.quantize.nf4 import NF4_VALUES, from_nf4_codes, nf4_codes
from mini_lib.quantize.observers import Observer, entropy, min_max, mse, percentile
from mini_lib.quantize.pack import pack, pack_trits, packed_bytes, unpack, unpack_trits
from mini_lib.quantize.qtensor import QTensor, from_parts, quantize
from mini_lib.quantize.range_observer import RangeObserver
from mini_lib.quantize.storage import StoredSize, file_bytes, load_model, save_model, stored_size
from mini_lib.quantize.ternary import ternarize

__all__ = [
    "LADDER",
    "NF4_VALUES",
    "UNSIGNED_8_BITS",
    "BinaryFormat",
    "CodebookFormat",
    "FloatFormat",
    "FoldedBatchNorm",
    "Format",
    "Granularity",
    "IntFormat",
    "NF4Format",
    "Observer",
    "Pair",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "QTensor",
    "QuantizedConv2d",
    "QuantizedLayer",
    "QuantizedLinear",
    "RangeObserver",
    "StoredSize",
    "TernaryFormat",
    "affine_scale",
    "binarize",
    "choose_qparams",
    "correct_bias",
    "entropy",
    "equalize",
    "fake_quantize",
    "file_bytes",
    "find_batch_norms",
    "find_pairs",
    "fold_batch_norm",
    "fold_pair",
    "format_from_json",
    "format_to_json",
    "from_codes",
    "from_nf4_codes",
    "from_parts",
    "is_weight_layer",
    "k_means",
    "layout",
    "load_model",
    "min_max",
    "mse",
    "nf4_codes",
    "pack",
    "pack_trits",
    "packed_bytes",
    "percentile",
    "quantize",
    "quantize_weights",
    "quantize_weights_and_activations",
    "rung",
    "save_model",
    "stored_size",
    "symmetric_scale",
    "ternarize",
    "to_codes",
    "unpack",
    "unpack_trits",
]
