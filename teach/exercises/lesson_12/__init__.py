"""Lesson 12, Can the data tell us how to augment it? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_12.clipping import CLIPPED_OBJECTIVE
from teach.exercises.lesson_12.following import POLICY_GRADIENT
from teach.exercises.lesson_12.judging import CHOOSE_AND_REPORT
from teach.exercises.lesson_12.learning import ADVANTAGES
from teach.exercises.lesson_12.matching import SIZE_MATCHED
from teach.exercises.lesson_12.racing import HALVING
from teach.exercises.lesson_12.rewarding import REWARD
from teach.exercises.lesson_12.searching import SPACE_SIZE

EXERCISES = (
    SPACE_SIZE,
    REWARD,
    ADVANTAGES,
    POLICY_GRADIENT,
    CLIPPED_OBJECTIVE,
    HALVING,
    CHOOSE_AND_REPORT,
    SIZE_MATCHED,
)
