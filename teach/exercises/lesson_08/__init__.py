"""Lesson 08, How much of a trained filter is really there? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_08.budget import BEST_RANKS
from teach.exercises.lesson_08.energy import RANK_HOLDING
from teach.exercises.lesson_08.factors import THIN_FACTORS
from teach.exercises.lesson_08.lora import MERGED_CHANGE
from teach.exercises.lesson_08.output import NEAREST_OUTPUT
from teach.exercises.lesson_08.paying import PAYING_RANK
from teach.exercises.lesson_08.ranks import ERRORS_BY_RANK
from teach.exercises.lesson_08.tucker import TUCKER_MACS

EXERCISES = (
    PAYING_RANK,
    THIN_FACTORS,
    ERRORS_BY_RANK,
    RANK_HOLDING,
    TUCKER_MACS,
    NEAREST_OUTPUT,
    BEST_RANKS,
    MERGED_CHANGE,
)
