"""Lesson 07, Is a depthwise-separable convolution the same thing for less? Its exercises, and what goes wrong."""

from teach.exercises.lesson_07.composing import COMPOSED_KERNEL
from teach.exercises.lesson_07.counting import MACS_OF_CONVOLUTION
from teach.exercises.lesson_07.erring import ERROR_BEFOREHAND
from teach.exercises.lesson_07.pairs import MACS_OF_PAIR
from teach.exercises.lesson_07.separating import NEAREST_KERNEL
from teach.exercises.lesson_07.sharing import SHARE_AND_LIMIT
from teach.exercises.lesson_07.timing import TIMES_FASTER

EXERCISES = (
    MACS_OF_CONVOLUTION,
    MACS_OF_PAIR,
    SHARE_AND_LIMIT,
    COMPOSED_KERNEL,
    NEAREST_KERNEL,
    ERROR_BEFOREHAND,
    TIMES_FASTER,
)
