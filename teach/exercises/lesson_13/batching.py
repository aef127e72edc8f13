"""Lesson 13, exercise 13.3: how long a step of a batch takes."""

import numpy as np
import torch

from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.step import step
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 13.3 -----------------------------------------------------------------------------------------------


def decode_step_seconds(
    weight_bytes: float,
    kv_bytes_per_sequence: float,
    flops_per_token: float,
    batch: int,
    peak_flops_per_s: float,
    bandwidth_bytes_per_s: float,
) -> float:
    """Seconds of a step that gives each of `batch` sequences one token: the slower of arithmetic and traffic."""
    compute_s = batch * flops_per_token / peak_flops_per_s
    memory_s = (weight_bytes + batch * kv_bytes_per_sequence) / bandwidth_bytes_per_s
    return max(compute_s, memory_s)


def _step_by_parts(
    weight_bytes, kv_bytes_per_sequence, flops_per_token, batch, peak_flops_per_s, bandwidth_bytes_per_s
):
    reading, computing = weight_bytes / bandwidth_bytes_per_s, 0.0
    for _ in range(batch):
        reading += kv_bytes_per_sequence / bandwidth_bytes_per_s
        computing += flops_per_token / peak_flops_per_s
    return reading if reading > computing else computing


def _step_by_roofline(
    weight_bytes, kv_bytes_per_sequence, flops_per_token, batch, peak_flops_per_s, bandwidth_bytes_per_s
):
    flops, moved = batch * flops_per_token, weight_bytes + batch * kv_bytes_per_sequence
    return np.float64(flops) / min(peak_flops_per_s, flops / moved * bandwidth_bytes_per_s)


def _slow(mixed, *, weights=1, caches=None, tokens=None):
    """A wrong answer: how the two times are mixed, and how often weights, caches and tokens are counted."""

    def wrong(weight_bytes, kv_bytes_per_sequence, flops_per_token, batch, peak_flops_per_s, bandwidth_bytes_per_s):
        reads = (batch if weights == "batch" else weights) * weight_bytes
        reads += (batch if caches is None else caches) * kv_bytes_per_sequence
        computing = (batch if tokens is None else tokens) * flops_per_token / peak_flops_per_s
        return mixed(computing, reads / bandwidth_bytes_per_s)

    return wrong


def _step_case(generator: torch.Generator) -> Case:
    batch = 2 ** random_whole(generator, 1, 9)
    weights, cache = 1e9 * random_whole(generator, 4, 40), 1e6 * random_whole(generator, 5, 200)
    return Case(weights, cache, weights * random_whole(generator, 8, 12) / 10, batch, 200e12, 2e12)


DECODE_STEP_SECONDS = Exercise(
    id="13.3",
    title="The time of one decode step",
    reference=decode_step_seconds,
    cases=(
        Case(10, 1, 4, batch=1, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(10, 1, 4, batch=8, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(10, 1, 4, batch=20, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(10, 1, 40, batch=2, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        *random_cases(10, seed=133, make=_step_case),
    ),
    mistakes=(
        Mistake(
            _slow(lambda compute, memory: compute + memory),
            "That is one after the other. The chip computes while the next bytes come: the slower of the two decides.",
        ),
        Mistake(
            _slow(max, weights="batch"),
            "The weights are read for each sequence again. One reading serves the whole batch: that is why batches "
            "make tokens cheap.",
        ),
        Mistake(
            _slow(max, caches=1),
            "Only one KV cache is read. Every sequence has its own text, and so a cache of its own.",
        ),
        Mistake(
            _slow(max, tokens=1, caches=1),
            "That is the step of a single user. Each sequence of the batch adds its own arithmetic and its own cache.",
        ),
        Mistake(
            _slow(max, tokens=1),
            "That is the arithmetic of one token. The step computes one for each sequence of the batch.",
        ),
        Mistake(_slow(min), "That is the faster of the two. Both have to be done: the step ends with the slower one."),
        Mistake(
            _slow(lambda compute, memory: memory),
            "That is the traffic alone. With a large batch the arithmetic takes longer than the reading.",
        ),
        Mistake(
            _slow(lambda compute, memory: compute),
            "That is the arithmetic alone. With a small batch the chip waits for the weights to be read.",
        ),
        Mistake(
            _slow(max, caches=0),
            "The weights are not all that is read: each sequence needs the keys and values of all its tokens.",
        ),
    ),
    also_correct=(_step_by_parts, _step_by_roofline),
    forbidden=(step, estimate),
)
