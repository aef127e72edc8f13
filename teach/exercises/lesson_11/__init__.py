"""Lesson 11, When does augmentation hurt? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_11.drawing import APPLY_STEPS, VALIDATION_ACCURACY
from teach.exercises.lesson_11.mixing import MIX_PAIRS, PASTED_SHARE
from teach.exercises.lesson_11.safety import SAFE_STRENGTHS
from teach.exercises.lesson_11.turning import STRENGTHS, TURN_MATRIX

EXERCISES = (TURN_MATRIX, STRENGTHS, APPLY_STEPS, SAFE_STRENGTHS, VALIDATION_ACCURACY, MIX_PAIRS, PASTED_SHARE)
