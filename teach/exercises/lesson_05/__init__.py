"""Lesson 05, What can be taken away? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_05.channels import REMOVE_CHANNELS
from teach.exercises.lesson_05.choosing import KEEP_BEST, REMOVAL_COSTS, WANDA_MASK
from teach.exercises.lesson_05.sparse import CROSSOVER, SPARSE_BYTES
from teach.exercises.lesson_05.training import FALLING_DENSITIES, TRAIN_PRUNED

EXERCISES = (
    KEEP_BEST,
    REMOVAL_COSTS,
    TRAIN_PRUNED,
    FALLING_DENSITIES,
    REMOVE_CHANNELS,
    SPARSE_BYTES,
    CROSSOVER,
    WANDA_MASK,
)
