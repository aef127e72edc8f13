"""Lesson 02, How few bits does a weight need? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_02.folding import FOLD
from teach.exercises.lesson_02.grids import AFFINE_GRID, CHANNEL_SCALES, FAKE_QUANTIZE, SYMMETRIC_SCALE
from teach.exercises.lesson_02.storing import BEST_CLIP, KMEANS_STEP, STORED_BYTES

EXERCISES = (SYMMETRIC_SCALE, AFFINE_GRID, FAKE_QUANTIZE, CHANNEL_SCALES, BEST_CLIP, STORED_BYTES, KMEANS_STEP, FOLD)
