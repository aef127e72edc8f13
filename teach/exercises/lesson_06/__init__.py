"""Lesson 06, Was the winning ticket there from the start? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_06.comparing import CONTROLS, PAIRED_DIFFERENCE
from teach.exercises.lesson_06.rewinding import REWIND, SEARCH_STEPS
from teach.exercises.lesson_06.rounds import DENSITY_AFTER, NEXT_MASK
from teach.exercises.lesson_06.starting import MASKED_STEP, RESET

EXERCISES = (DENSITY_AFTER, NEXT_MASK, RESET, MASKED_STEP, CONTROLS, PAIRED_DIFFERENCE, REWIND, SEARCH_STEPS)
