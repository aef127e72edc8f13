"""Lesson 13, exercise 13.4: how large a batch fits."""

import math
from fractions import Fraction

import numpy as np
import torch

from mini_lib.llm.cost.memory import largest_batch as library_batch
from mini_lib.llm.cost.memory import memory
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 13.4 -----------------------------------------------------------------------------------------------


def largest_batch(memory_bytes: int, weight_bytes: int, cache_bytes_per_token: int, prompt: int, output: int) -> int:
    """The most requests whose caches fit next to the weights, each with its whole answer."""
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


def _free(count):
    """A wrong answer, 0 where the weights do not fit: `count(free bytes, bytes per token, prompt, output)`."""
    return lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: max(
        0, math.floor(count(memory_bytes - weight_bytes, cache_bytes_per_token, prompt, output))
    )


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
            _free(lambda free, token, prompt, output: free // (token * (prompt + output - 1))),
            "One token is missing: the exercise counts the whole answer, so a request has prompt + output tokens.",
        ),
        Mistake(
            _free(lambda free, token, prompt, output: (free - 1) // (token * (prompt + output))),
            "Where the caches fill the memory exactly, the last request still fits.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: (
                abs(memory_bytes - weight_bytes) // (cache_bytes_per_token * (prompt + output))
            ),
            "Where the weights are larger than the memory, nothing fits. The absolute value turns missing memory into "
            "free memory.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: max(
                1, (memory_bytes - weight_bytes) // (cache_bytes_per_token * (prompt + output))
            ),
            "Where not even one request fits, the answer is 0, not 1.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: (
                None
                if memory_bytes < weight_bytes
                else largest_batch(memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output)
            ),
            "Where not even the weights fit, the answer is the number 0, not None.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: largest_batch(
                memory_bytes, weight_bytes, cache_bytes_per_token, prompt, 0
            ),
            "The answers are forgotten. Each written token stays in the cache as well, and needs room there.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: largest_batch(
                memory_bytes, weight_bytes, cache_bytes_per_token, 0, output
            ),
            "The prompts are forgotten. A prompt stays in the cache until its answer is complete.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: largest_batch(
                memory_bytes, 0, cache_bytes_per_token, prompt, output
            ),
            "The weights are forgotten. They are in the same memory, and the caches get the rest.",
        ),
        Mistake(
            lambda *args, **kwargs: max(0, math.ceil(_requests(*args, **kwargs))),
            "That is rounded up, and the last request does not fit. Only whole requests count: round down.",
        ),
        Mistake(
            lambda *args, **kwargs: max(0, round(_requests(*args, **kwargs))),
            "Rounding to the nearest may go up, and then the last request does not fit. Round down.",
        ),
        Mistake(
            lambda *args, **kwargs: math.floor(_requests(*args, **kwargs)),
            "A batch cannot be negative. Where not even the weights fit, it is 0.",
        ),
        Mistake(
            lambda *args, **kwargs: max(0.0, float(_requests(*args, **kwargs))),
            "Part of a request cannot be served: return a whole number, rounded down.",
        ),
        Mistake(
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: max(
                0, (memory_bytes - weight_bytes) // cache_bytes_per_token
            ),
            "That is how many tokens fit. A request has prompt + output of them.",
        ),
    ),
    symptoms=(
        variants(
            "A pair of brackets is missing. One request needs cache_bytes_per_token * (prompt + output) bytes, and "
            "the memory left after the weights is divided by all of that.",
            _free(lambda free, token, prompt, output: free // token * (prompt + output)),
            _free(lambda free, token, prompt, output: free // (token * prompt + output)),
            _free(lambda free, token, prompt, output: free // token * prompt + output),
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: (
                memory_bytes - weight_bytes // (cache_bytes_per_token * (prompt + output))
            ),
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: (
                memory_bytes // (cache_bytes_per_token * (prompt + output)) - weight_bytes
            ),
        ),
        variants(
            "Prompt and output are tokens of the same request, one after the other: add them up.",
            _free(lambda free, token, prompt, output: free // (token * prompt * output)),
            _free(lambda free, token, prompt, output: free // (token * max(prompt, output))),
            _free(lambda free, token, prompt, output: free // (token * (abs(prompt - output) or 1))),
        ),
        variants(
            "The weights are counted for each request. They are in memory once: subtract them, then divide what is "
            "left.",
            lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: (
                memory_bytes // (weight_bytes + cache_bytes_per_token * (prompt + output))
            ),
        ),
        variants(
            "Room is needed for the whole answer: every request must fit when its last token is written.",
            _free(lambda free, token, prompt, output: free / (token * (prompt + output / 2))),
        ),
        variants(
            "Keys and values are in cache_bytes_per_token already: do not multiply by 2 again.",
            _free(lambda free, token, prompt, output: free // (2 * token * (prompt + output))),
        ),
        variants(
            "The size of a token's cache is missing: a request takes cache_bytes_per_token for each of its tokens.",
            _free(lambda free, token, prompt, output: free // (prompt + output)),
        ),
        Symptom(
            lambda got, expected, arguments: got > expected + 1,
            "That many requests do not fit. The weights, and prompt + output tokens of cache for every request, must "
            "stay within the memory.",
            (lambda memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output: memory_bytes,),
        ),
    ),
    also_correct=(_batch_by_trying, _batch_in_numpy),
    forbidden=(library_batch, memory),
)
