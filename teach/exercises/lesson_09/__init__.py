"""Lesson 09, Why does the order of loops matter? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_09.places import BYTE_ADDRESS, COLUMN_MISSES
from teach.exercises.lesson_09.rewriting import GUARDED_SPLIT, IS_LEGAL
from teach.exercises.lesson_09.schedule import SCHEDULE
from teach.exercises.lesson_09.sets import BUSIEST_SET
from teach.exercises.lesson_09.tiles import LARGEST_TILE

EXERCISES = (BYTE_ADDRESS, COLUMN_MISSES, GUARDED_SPLIT, IS_LEGAL, LARGEST_TILE, BUSIEST_SET, SCHEDULE)
