"""Lesson 03, Can a network learn to live on 2 bits, on 1? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_03.best_scale import BEST_SCALE
from teach.exercises.lesson_03.bits import DOT_OF_BITS
from teach.exercises.lesson_03.clips import CLIP_GRADIENT
from teach.exercises.lesson_03.rounding import ROUND_IN_TURN
from teach.exercises.lesson_03.steps import STEP_GRADIENT
from teach.exercises.lesson_03.straight import STRAIGHT_THROUGH
from teach.exercises.lesson_03.teacher import DISTILLATION_LOSS
from teach.exercises.lesson_03.ternary import BEST_TERNARY

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
