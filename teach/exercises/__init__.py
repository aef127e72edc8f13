"""The exercises of the course, one folder per lesson, found by their number.

A lesson's exercises are imported only when one of them is asked for.
"""

from teach.exercises.find import exercises_of, find_exercise, lessons
