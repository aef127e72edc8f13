"""Lesson 03, Can a network learn to live on 2 bits, on 1? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_03.clips import CLIP_GRADIENT
from teach.exercises.lesson_03.few_values import BEST_SCALE, BEST_TERNARY, DOT_OF_BITS
from teach.exercises.lesson_03.rounding import ROUND_IN_TURN
from teach.exercises.lesson_03.steps import STEP_GRADIENT
from teach.exercises.lesson_03.straight import STRAIGHT_THROUGH
from teach.exercises.lesson_03.teacher import DISTILLATION_LOSS

EXERCISES = (
    ROUND_IN_TURN,
    STRAIGHT_THROUGH,
    STEP_GRADIENT,
    CLIP_GRADIENT,
    BEST_SCALE,
    BEST_TERNARY,
    DOT_OF_BITS,
    DISTILLATION_LOSS,
)
