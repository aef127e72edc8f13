"""Lesson 13, exercise 13.3: how long a step of a batch takes."""

import numpy as np
import torch

from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.step import step
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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


def _mixed(compute=lambda time, batch: time, memory=lambda weights, caches, batch: weights + caches, mixed=max):
    """A wrong answer: other compute time, other memory time (from those of weights and caches), or both mixed."""

    def wrong(weight_bytes, kv_bytes_per_sequence, flops_per_token, batch, peak_flops_per_s, bandwidth_bytes_per_s):
        weights, caches = weight_bytes / bandwidth_bytes_per_s, batch * kv_bytes_per_sequence / bandwidth_bytes_per_s
        computing = compute(batch * flops_per_token / peak_flops_per_s, batch)
        return mixed(computing, memory(weights, caches, batch))

    return wrong


def _added(compute, memory):
    return compute + memory


def _by_place(formula):
    """A wrong answer: `formula(weights, cache, flops, batch, peak, bandwidth)`."""
    return lambda *args, **kwargs: formula(*args, *kwargs.values())


DECODE_STEP_SECONDS = Exercise(
    id="13.3",
    title="The time of one decode step",
    reference=decode_step_seconds,
    cases=(
        Case(10, 1, 4, batch=1, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(10, 1, 4, batch=8, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(10, 1, 4, batch=20, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(10, 1, 40, batch=2, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        Case(2, 3, 1, batch=2, peak_flops_per_s=4, bandwidth_bytes_per_s=2),
        *random_cases(10, seed=133, make=_step_case),
    ),
    mistakes=(
        Mistake(
            _mixed(memory=lambda weights, caches, batch: max(weights, caches)),
            "Weights and caches come over the same wires, one after the other: their times add up. Only the arithmetic "
            "runs at the same time.",
        ),
        Mistake(
            _slow(lambda compute, memory: compute + memory),
            "That adds the two times. The chip computes while the next bytes arrive: the slower of the two decides.",
        ),
        Mistake(
            _slow(max, weights="batch"),
            "The weights are read for each sequence again. One read serves the whole batch: that is why batches make "
            "tokens cheap.",
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
            "The weights are not the only traffic: each sequence reads the keys and values of all its tokens.",
        ),
    ),
    symptoms=(
        variants(
            "Those are tokens per second. Return the time of the step, in seconds.",
            _by_place(lambda *given: given[3] / decode_step_seconds(*given)),
        ),
        variants(
            "The weights are not read there. Each step reads all of them once, and the caches too: add both.",
            _mixed(memory=lambda weights, caches, batch: caches),
        ),
        variants(
            "`flops_per_token` is in FLOPs already, and a FLOP is half a MAC: do not multiply by 2 again.",
            _mixed(compute=lambda time, batch: 2 * time),
        ),
        variants(
            "Bytes are divided by bytes per second. The factor of 8 would turn them into bits.",
            _mixed(memory=lambda weights, caches, batch: 8 * (weights + caches)),
            _mixed(memory=lambda weights, caches, batch: (weights + caches) / 8),
        ),
        variants(
            "The two limits are swapped: FLOPs are divided by peak_flops_per_s, bytes by bandwidth_bytes_per_s.",
            _by_place(
                lambda weights, cache, flops, batch, peak, bandwidth: max(
                    batch * flops / bandwidth, (weights + batch * cache) / peak
                )
            ),
        ),
        variants(
            "The times are upside down: a time is the amount divided by what the device does per second.",
            _by_place(
                lambda weights, cache, flops, batch, peak, bandwidth: max(
                    peak / (batch * flops), bandwidth / (weights + batch * cache)
                )
            ),
        ),
        variants(
            "Two slips: the times are added, although the chip computes while bytes arrive, and one of them counts "
            "the batch wrongly. The weights are read once; tokens and caches count `batch` times.",
            _mixed(compute=lambda time, batch: time / batch, mixed=_added),
            _mixed(memory=lambda weights, caches, batch: batch * weights + caches, mixed=_added),
            _mixed(memory=lambda weights, caches, batch: weights + caches / batch, mixed=_added),
            _mixed(
                compute=lambda time, batch: time / batch,
                memory=lambda weights, caches, batch: weights + caches / batch,
                mixed=_added,
            ),
            _mixed(memory=lambda weights, caches, batch: weights, mixed=_added),
        ),
        variants(
            "Reading the caches runs at the same time as the arithmetic, too. Add it to the reading of the weights, "
            "and "
            "compare the sum with the arithmetic.",
            _by_place(
                lambda weights, cache, flops, batch, peak, bandwidth: (
                    max(batch * flops / peak, weights / bandwidth) + batch * cache / bandwidth
                )
            ),
        ),
        variants(
            "That is the mean of the two times. Both run at the same time, and the step ends with the slower one.",
            _mixed(mixed=lambda compute, memory: (compute + memory) / 2),
        ),
        variants(
            "The weights are divided among the sequences. That is a share per token; the step reads all of them.",
            _mixed(memory=lambda weights, caches, batch: (weights + caches) / batch),
        ),
        variants(
            "That is the traffic of a single user alone. Each sequence has a cache, and with a large batch the "
            "arithmetic "
            "takes longer.",
            _mixed(
                memory=lambda weights, caches, batch: weights + caches / batch, mixed=lambda compute, memory: memory
            ),
        ),
        variants(
            "Only one of the two amounts is divided by the bandwidth. Put weights and caches in brackets.",
            _by_place(
                lambda weights, cache, flops, batch, peak, bandwidth: max(
                    batch * flops / peak, weights + batch * cache / bandwidth
                )
            ),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, tuple)),
            "Those are two times. The slower one is the time of the step: return one number.",
            (_mixed(mixed=lambda compute, memory: (compute, memory)),),
        ),
    ),
    also_correct=(_step_by_parts, _step_by_roofline),
    forbidden=(step, estimate),
)
