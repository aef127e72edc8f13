"""The loss of a language model by compression: weights of few bits, activations of few bits, and pruned weights."""

from studies.language.pruning import MAGNITUDE, MAGNITUDE_BY_ROW, SPARSE_GPT, WANDA
from studies.language.record import Study, contest, recorded, table
from studies.language.study import (
    AWQ,
    AWQ_GPTQ,
    CACHE,
    DYNAMIC,
    FILE_GRID,
    FLOAT,
    GPTQ,
    NEAREST,
    PACKED,
    PATTERNS,
    PER_ROW,
    SMOOTHED,
    STATIC,
    SYMMETRIC,
    ZERO_POINT,
    at,
)
