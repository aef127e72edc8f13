"""Filter decomposition: layers that are cheaper by construction, and trained layers taken apart into cheaper ones.

Cheaper by construction: the layers (`layers`), their cost (`cost`, `geometry`), and the one nearest to a given
convolution (`separable`). Taken apart: one layer (`low_rank`; `data_aware`, by the `moments` of its inputs), down to
which rank (`rank`, `budget`), and a whole model (`methods`, `model`). `lora` trains a change of low rank.
"""

from mini_lib.factorize.budget import allocate_ranks, cost_of_ranks, rank_options, uniform_ranks
from mini_lib.factorize.cost import (
    Cost,
    break_even_multiplier,
    convolution_cost,
    convolution_macs,
    cost_ratio,
    depthwise_cost,
    depthwise_separable_cost,
    depthwise_separable_macs,
    inverted_residual_cost,
    pointwise_cost,
    spatially_separable_cost,
)
from mini_lib.factorize.data_aware import measured_output_error, output_errors, output_svd, restore_mean_output
from mini_lib.factorize.geometry import output_size
from mini_lib.factorize.layers import (
    InvertedResidual,
    depthwise,
    depthwise_separable,
    grouped,
    inverted_residual,
    pointwise,
    spatially_separable,
)
from mini_lib.factorize.lora import LoRA, add_lora, merge_lora, trainable_parameters
from mini_lib.factorize.methods import (
    Method,
    Rank,
    as_method,
    data_aware_svd,
    matrix_ranks,
    plain_svd,
    slice_svd,
    tucker,
    tucker_ranks,
)
from mini_lib.factorize.model import FactorizedModel, LayerChange, factorize, is_separable, separate_model
from mini_lib.factorize.moments import input_moments, is_factorizable
from mini_lib.factorize.rank import break_even_rank, noise_variance, rank_by_energy, rank_by_vbmf
from mini_lib.factorize.separable import (
    SeparableFit,
    as_convolution,
    separable_errors,
    separable_table,
    separate,
    slice_ranks,
)
