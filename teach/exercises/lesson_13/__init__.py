"""Lesson 13, What does a token cost, and why does the price keep falling? Its exercises, and what people get wrong."""

from teach.exercises.lesson_13.batching import DECODE_STEP_SECONDS
from teach.exercises.lesson_13.blending import BLENDED_USD
from teach.exercises.lesson_13.counting import KV_BYTES_PER_TOKEN
from teach.exercises.lesson_13.dating import WHAT_CHANGED
from teach.exercises.lesson_13.fitting import LARGEST_BATCH
from teach.exercises.lesson_13.paying import TOTAL_AND_TPOT, USD_PER_MILLION
from teach.exercises.lesson_13.waiting import MEAN_WAIT_SECONDS
from teach.exercises.lesson_13.working import DECODE_FLOPS

EXERCISES = (
    KV_BYTES_PER_TOKEN,
    DECODE_FLOPS,
    DECODE_STEP_SECONDS,
    LARGEST_BATCH,
    USD_PER_MILLION,
    TOTAL_AND_TPOT,
    BLENDED_USD,
    MEAN_WAIT_SECONDS,
    WHAT_CHANGED,
)
