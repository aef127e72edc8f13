"""Lesson 05, What can be taken away? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_05.channels import REMOVE_CHANNELS
from teach.exercises.lesson_05.choosing import KEEP_BEST, REMOVAL_COSTS
from teach.exercises.lesson_05.crossing import CROSSOVER
from teach.exercises.lesson_05.falling import FALLING_DENSITIES
from teach.exercises.lesson_05.sparse import SPARSE_BYTES
from teach.exercises.lesson_05.training import TRAIN_PRUNED
from teach.exercises.lesson_05.wanda import WANDA_MASK

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
