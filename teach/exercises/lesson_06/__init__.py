"""Lesson 06, Was the winning ticket there from the start? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_06.comparing import CONTROLS
from teach.exercises.lesson_06.pairing import PAIRED_DIFFERENCE
from teach.exercises.lesson_06.rewinding import REWIND
from teach.exercises.lesson_06.rounds import DENSITY_AFTER
from teach.exercises.lesson_06.searching import SEARCH_STEPS
from teach.exercises.lesson_06.shrinking import NEXT_MASK
from teach.exercises.lesson_06.starting import RESET
from teach.exercises.lesson_06.stepping import MASKED_STEP

EXERCISES = (DENSITY_AFTER, NEXT_MASK, RESET, MASKED_STEP, CONTROLS, PAIRED_DIFFERENCE, REWIND, SEARCH_STEPS)
