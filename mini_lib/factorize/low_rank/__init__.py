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
    tail_energy,
    tail_errors,
    truncated_svd,
)
from mini_lib.factorize.low_rank.tensor_layers import cp, tucker2
from mini_lib.factorize.low_rank.tensors import mode_product, refold, relative_error, unfold
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
