"""Pruning that looks at a layer's inputs: their second moments give the cost of removing each weight."""

from mini_lib.prune.second_order.activation_weighted import activation_weighted
from mini_lib.prune.second_order.brain_surgeon import (
    PrunedRow,
    obs_prune_row,
    obs_step,
    optimal_brain_damage,
    optimal_brain_surgeon,
    refit,
)
from mini_lib.prune.second_order.compare import LayerError, compare_methods
from mini_lib.prune.second_order.inputs import input_mean_squares, input_second_moments
from mini_lib.prune.second_order.sparse_gpt import sparse_gpt, sparse_gpt_weight
