"""Low rank: a trained layer taken apart into cheaper ones, with the error known before any data pass."""

from mini_lib.factorize.low_rank.canonical import CP, cp_als, full_cp_rank
from mini_lib.factorize.low_rank.factorized import Factorized, rebuild
from mini_lib.factorize.low_rank.svd import (
    channel_matrix,
    channel_svd,
    rank_errors,
    spatial_matrix,
    spatial_svd,
    svd_linear,
    truncated_svd,
)
from mini_lib.factorize.low_rank.tensor_layers import cp, tucker2
from mini_lib.factorize.low_rank.tensors import fold, mode_product, relative_error, unfold
from mini_lib.factorize.low_rank.tt import TensorTrain, tt_svd
from mini_lib.factorize.low_rank.tt_layers import TensorTrainLinear, tensor_train, tensor_train_conv
from mini_lib.factorize.low_rank.tucker import Tucker, hooi, hosvd
from mini_lib.factorize.low_rank.weights import (
    channel_svd_bound,
    channel_svd_weights,
    cp_bound,
    cp_weights,
    spatial_svd_bound,
    spatial_svd_weights,
    svd_linear_bound,
    svd_linear_weights,
    tensor_train_weights,
    tucker2_bound,
    tucker2_weights,
)

__all__ = [
    "CP",
    "Factorized",
    "TensorTrain",
    "TensorTrainLinear",
    "Tucker",
    "channel_matrix",
    "channel_svd",
    "channel_svd_bound",
    "channel_svd_weights",
    "cp",
    "cp_als",
    "cp_bound",
    "cp_weights",
    "fold",
    "full_cp_rank",
    "hooi",
    "hosvd",
    "mode_product",
    "rank_errors",
    "rebuild",
    "relative_error",
    "spatial_matrix",
    "spatial_svd",
    "spatial_svd_bound",
    "spatial_svd_weights",
    "svd_linear",
    "svd_linear_bound",
    "svd_linear_weights",
    "tensor_train",
    "tensor_train_conv",
    "tensor_train_weights",
    "truncated_svd",
    "tt_svd",
    "tucker2",
    "tucker2_bound",
    "tucker2_weights",
    "unfold",
]
