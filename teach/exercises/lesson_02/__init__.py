"""Lesson 02, How few bits does a weight need? Its exercises, and what people get wrong in them."""

from teach.exercises.lesson_02.channels import CHANNEL_SCALES
from teach.exercises.lesson_02.clipping import BEST_CLIP
from teach.exercises.lesson_02.codebooks import KMEANS_STEP
from teach.exercises.lesson_02.folding import FOLD
from teach.exercises.lesson_02.grids import AFFINE_GRID, SYMMETRIC_SCALE
from teach.exercises.lesson_02.rounding import FAKE_QUANTIZE
from teach.exercises.lesson_02.storing import STORED_BYTES

EXERCISES = (SYMMETRIC_SCALE, AFFINE_GRID, FAKE_QUANTIZE, CHANNEL_SCALES, BEST_CLIP, STORED_BYTES, KMEANS_STEP, FOLD)
