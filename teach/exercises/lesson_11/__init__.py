"""Lesson 11, When does augmentation hurt? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_11.drawing import APPLY_STEPS
from teach.exercises.lesson_11.judging import VALIDATION_ACCURACY
from teach.exercises.lesson_11.mixing import MIX_PAIRS
from teach.exercises.lesson_11.pasting import PASTED_SHARE
from teach.exercises.lesson_11.safety import SAFE_STRENGTHS
from teach.exercises.lesson_11.scaling import STRENGTHS
from teach.exercises.lesson_11.turning import TURN_MATRIX

EXERCISES = (TURN_MATRIX, STRENGTHS, APPLY_STEPS, SAFE_STRENGTHS, VALIDATION_ACCURACY, MIX_PAIRS, PASTED_SHARE)
