"""Pruning: which weights, channels and blocks a model can do without, and when that makes it smaller or faster."""

from mini_lib.prune.gradual import PrunedStep, prune_and_train
from mini_lib.prune.keep import keep_top, keep_top_per_layer
from mini_lib.prune.mask import LayerDensity, Mask, apply_mask, baked, masked
from mini_lib.prune.schedules import cubic, geometric, iterative, one_shot
from mini_lib.prune.scores import Scores, gradient_times_weight, is_prunable, magnitude, movement, random_scores
from mini_lib.prune.sensitivity import LayerAccuracy, Sensitivity, densities_for, sensitivity
