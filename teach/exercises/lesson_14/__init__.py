"""Lesson 14, How small and how fast can a real language model become on this laptop? Exercises, and common mistakes."""

from teach.exercises.lesson_14.attending import ATTEND_ONE
from teach.exercises.lesson_14.caching import CACHE_CODES
from teach.exercises.lesson_14.choosing import LIKELY_ONLY
from teach.exercises.lesson_14.guessing import ACCEPT
from teach.exercises.lesson_14.scaling import MOVE_INTO_WEIGHTS
from teach.exercises.lesson_14.speeding import TIMES_FASTER
from teach.exercises.lesson_14.surprise import PERPLEXITY

EXERCISES = (ATTEND_ONE, LIKELY_ONLY, PERPLEXITY, MOVE_INTO_WEIGHTS, CACHE_CODES, ACCEPT, TIMES_FASTER)
