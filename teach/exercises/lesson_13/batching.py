"""Lesson 13, exercises 13.3 and 13.4: how long a step of a batch takes, and how large a batch fits."""

import math
from fractions import Fraction

import numpy as np
import torch

from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.memory import largest_batch as library_batch
from mini_lib.llm.cost.memory import memory
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

# 13.4 -----------------------------------------------------------------------------------------------


def largest_batch(memory_bytes: int, weight_bytes: int, cache_bytes_per_token: int, prompt: int, output: int) -> int:
    """The most requests whose caches fit beside the weights, each with its whole answer."""
    request_bytes = cache_bytes_per_token * (prompt + output)
    return max(0, (memory_bytes - weight_bytes) // request_bytes)


def _batch_by_trying(memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output):
    batch, used = 0, weight_bytes
    while used + cache_bytes_per_token * (prompt + output) <= memory_bytes:
        batch, used = batch + 1, used + cache_bytes_per_token * (prompt + output)
    return batch


def _batch_in_numpy(memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output):
    return np.floor(max(memory_bytes - weight_bytes, 0) / (cache_bytes_per_token * (prompt + output)))


def _requests(memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output) -> Fraction:
    """How many requests fit, not yet whole and perhaps negative."""
    return Fraction(memory_bytes - weight_bytes, cache_bytes_per_token * (prompt + output))


def _fit_case(generator: torch.Generator) -> Case:
    """One real card in eight cases is too small for the weights; a batch is never whole by itself."""
    gigabytes = (24, 40, 80, 141)[random_whole(generator, 0, 3)]
    weights, cache = random_whole(generator, 2, 16) * 10**9, random_whole(generator, 30, 500) * 1024
    return Case(gigabytes * 10**9, weights, cache, *(random_whole(generator, 100, 4000) for _ in range(2)))


LARGEST_BATCH = Exercise(
    id="13.4",
    title="The largest batch that fits",
    reference=largest_batch,
    cases=(
        Case(100, 60, 1, prompt=8, output=2),
        Case(100, 60, 1, prompt=8, output=3),
        Case(100, 60, 1, prompt=4, output=3),
        Case(100, 60, 2, prompt=20, output=5),
        Case(100, 120, 1, prompt=8, output=2),
        Case(80 * 10**9, 13_476_839_424, 524_288, 2048, 2048).called(
            "Llama-2-7B on a card of 80 GB, 2048 tokens in and out"
        ),
        Case(80 * 10**9, 140 * 10**9, 200_000, 2000, 1000).called("weights of 140 GB on a card of 80 GB"),
        *random_cases(8, seed=134, make=_fit_case),
    ),
    mistakes=(
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: largest_batch(
                memory_bytes, weight_bytes, cache_bytes_per_token, prompt, 0
            ),
            "The answers are forgotten. Each written token stays in the cache as well, and no room is left for it.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: largest_batch(
                memory_bytes, weight_bytes, cache_bytes_per_token, 0, output
            ),
            "The prompts are forgotten. What was read stays in the cache until the answer is complete.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: largest_batch(
                memory_bytes, 0, cache_bytes_per_token, prompt, output
            ),
            "The weights are forgotten. They lie in the same memory, and the caches get what they leave.",
        ),
        Mistake(
            lambda *args, **kwargs: max(0, math.ceil(_requests(*args, **kwargs))),
            "That is rounded up, and the last request does not fit. Only whole requests count: round down.",
        ),
        Mistake(
            lambda *args, **kwargs: max(0, round(_requests(*args, **kwargs))),
            "Rounding to the nearest goes up from a half on, and then the last request does not fit. Round down.",
        ),
        Mistake(
            lambda *args, **kwargs: math.floor(_requests(*args, **kwargs)),
            "A batch cannot be negative. Where not even the weights fit, it is 0.",
        ),
        Mistake(
            lambda *args, **kwargs: max(0.0, float(_requests(*args, **kwargs))),
            "A part of a request is of no use to anybody: return a whole number, rounded down.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: max(
                0, (memory_bytes - weight_bytes) // cache_bytes_per_token
            ),
            "That is how many tokens fit. A request has prompt + output of them.",
        ),
    ),
    also_correct=(_batch_by_trying, _batch_in_numpy),
    forbidden=(library_batch, memory),
)
