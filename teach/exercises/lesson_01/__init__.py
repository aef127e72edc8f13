"""Lesson 01, What does a model cost? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_01.bytes import STORED_BYTES
from teach.exercises.lesson_01.counting import CONV_MACS, CONV_PARAMETERS
from teach.exercises.lesson_01.speed import ATTAINABLE, MATMUL_INTENSITY, SPEEDUP
from teach.exercises.lesson_01.timing import TYPICAL_TIME

EXERCISES = (CONV_PARAMETERS, CONV_MACS, STORED_BYTES, TYPICAL_TIME, MATMUL_INTENSITY, ATTAINABLE, SPEEDUP)
