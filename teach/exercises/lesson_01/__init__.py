"""Lesson 01, What does a model cost? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_01.counting import CONV_MACS, CONV_PARAMETERS, STORED_BYTES
from teach.exercises.lesson_01.speed import ATTAINABLE, MATMUL_INTENSITY, SPEEDUP, TYPICAL_TIME

EXERCISES = (CONV_PARAMETERS, CONV_MACS, STORED_BYTES, TYPICAL_TIME, MATMUL_INTENSITY, ATTAINABLE, SPEEDUP)
