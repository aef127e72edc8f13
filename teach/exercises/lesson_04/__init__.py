"""Lesson 04, Which layer deserves which bits, on this machine? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_04.curvature import TRACE_ESTIMATE
from teach.exercises.lesson_04.integers import WITHOUT_ZERO_POINTS
from teach.exercises.lesson_04.machines import LAYER_SECONDS
from teach.exercises.lesson_04.packed import PACKED_DOT
from teach.exercises.lesson_04.requantizing import REQUANTIZE
from teach.exercises.lesson_04.spending import SPEND
from teach.exercises.lesson_04.suffering import OUTPUT_DIVERGENCE

EXERCISES = (PACKED_DOT, WITHOUT_ZERO_POINTS, REQUANTIZE, OUTPUT_DIVERGENCE, TRACE_ESTIMATE, LAYER_SECONDS, SPEND)
