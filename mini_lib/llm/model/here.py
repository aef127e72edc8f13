"""This machine and a `DecodePlan` as the calculator takes them: measured limits, and the time in which nothing is read.

Three things are measured, and none of them on the model whose speed is to be predicted: how fast memory is read, how
fast a product runs whose matrix lies in the cache, and how long a layer takes that has next to no weights. The rest is
the calculator's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter

import torch
from torch import nn

from mini_lib.kernels import bind_packed_linear, bind_read
from mini_lib.latency import latency
from mini_lib.llm.cost import IDEAL, Architecture, Attention, Device, Efficiency, FeedForward
from mini_lib.llm.cost.device import measured_device
from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.quantize import IntFormat, PerGroup, pack_for_speed, quantize_weights
from mini_lib.require import whole
from mini_lib.roofline import last_level_cache_bytes, measure_peak_flops_per_s

_IN_CACHE = (256, 576)  # rows and columns of a matrix that any second-level cache holds at 8 bits


def this_machine(weight_bits: int | None = None, *, threads: int = 1, memory_bytes: int = 2**34) -> Device:
    """Return this machine as a device: the bandwidth of reading, and the peak of products with weights of such a width.

    weight_bits: 8, 4, 3 or 2 for packed weights: `matmul_peak(8)` is then what the packed kernel reaches on a matrix in
    the cache, a vector at a time (pass `compute_bits=8` to the calculator). None: float32 alone, as `matmul_peak(16)`.

    Raises:
        TypeError, ValueError: a count is out of its range.
        NoCompiler: there is no C compiler to measure with.
    """
    whole("threads", threads, low=1, fix="1 is one core")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        peak = measure_peak_flops_per_s(sizes=(512,))
    finally:
        torch.set_num_threads(before)
    device = measured_device(peak, read_bandwidth_bytes_per_s(threads), memory_bytes)
    if weight_bits is None:
        return device
    packed = packed_peak_flops_per_s(weight_bits, threads)
    return Device(
        f"{device.name}, {weight_bits} bits",
        memory_bytes,
        device.bandwidth_bytes_per_s,
        {16: peak, 8: packed},
        peak,
        device.link_bytes_per_s,
        source=device.source,
    )


def read_bandwidth_bytes_per_s(threads: int = 1, *, repeats: int = 7) -> float:
    """Return how many bytes a second `threads` threads read from memory, each its own part of a large buffer.

    The median of the runs, since a prediction is to be right in the middle; a limit would be the best.
    """
    size = max(4 * last_level_cache_bytes(), 2**27) // 256 * 256 // threads // 256 * 256
    reads = [bind_read(torch.zeros(size, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)) for _ in range(threads)]
    return threads * size / _together_s(reads, repeats)


def packed_peak_flops_per_s(weight_bits: int, threads: int = 1, *, repeats: int = 200) -> float:
    """Return the FLOPs a second of a product of a packed matrix in the cache and one vector, in groups of 32."""
    fmt = IntFormat(weight_bits, granularity=PerGroup(32), scale_dtype=torch.float16)
    rows, columns = _IN_CACHE
    layer = nn.Linear(columns, rows, bias=False).requires_grad_(False)
    calls = []
    for _ in range(threads):
        matrix = pack_for_speed(quantize_weights(nn.Sequential(layer), fmt))[0].matrix
        calls.append(bind_packed_linear(matrix, torch.ones(1, columns), torch.empty(1, rows)))
    return threads * 2 * rows * columns / _together_s(calls, repeats)


def plan_efficiency(*, threads: int = 1, layers: int = 30, repeats: int = 30) -> Efficiency:
    """Return a plan as an engine at the limits of the machine but for `launch_s`: what a layer takes with next to no
    weights."""
    bare = Architecture("bare", layers, 64, 64, Attention(1, 1, 64), FeedForward(64), tied=True)
    lm = LanguageModel(bare).requires_grad_(False).eval()
    fmt = IntFormat(4, granularity=PerGroup(32), scale_dtype=torch.float16)
    plan = DecodePlan(pack_for_speed(quantize_weights(lm, fmt)), KVCache(bare, repeats + 10), threads=threads)
    took = latency(lambda: plan.step(0), repeats=repeats, warmup=3)
    return Efficiency(**{**vars(IDEAL), "launch_s": took.median_s / layers})


def _together_s(calls: Sequence[Callable[[], None]], repeats: int) -> float:
    """The median time in which all calls are done, each on a thread of its own."""
    if len(calls) == 1:
        return latency(calls[0], repeats=repeats).median_s
    times = []
    with ThreadPoolExecutor(len(calls)) as pool:
        for _ in range(repeats):
            start_s = perf_counter()
            list(pool.map(lambda call: call(), calls))
            times.append(perf_counter() - start_s)
    return median(times)
