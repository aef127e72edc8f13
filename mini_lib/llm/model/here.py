"""This machine as a device of the calculator: measured limits, and the time of a layer that reads almost nothing.

Three things are measured, none of them on the model whose speed is to be predicted: how fast memory is read, how fast a
product runs whose matrix is in the cache, and how long a layer with almost no weights takes. The rest is the
calculator's arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import torch
from torch import nn

from mini_lib.kernels import CACHE_BITS, LayerCache, attend_scratch, bind_attend, bind_packed_linear
from mini_lib.latency import latency
from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.cost.device import Device, measured_device
from mini_lib.llm.cost.efficiency import IDEAL, Efficiency
from mini_lib.llm.cost.step import TimedOperator, TimedStep, step
from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.rotary import rotary_tables
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.quantize import IntFormat, PerGroup, pack_for_speed, quantize_weights
from mini_lib.quantize.packed import PackedLinear
from mini_lib.require import one_of, whole
from mini_lib.roofline import last_level_cache_bytes, measure_peak_flops_per_s

FLOAT_BITS = 32
_IN_CACHE = (512, 576)  # rows and columns of a matrix that any second-level cache holds, at 4 bits
_MEMORY_BYTES = 2**34  # that of a laptop; no prediction here depends on it


@dataclass(frozen=True)
class Limits:
    """The measured limits of this machine on a number of threads.

    read_bytes_per_s: for a float32 matrix in memory, times a vector. peak_flops_per_s: for large float32 products.
    packed_flops_per_s: for a packed matrix in the cache times one vector, by the bits of its weights.
    attend_flops_per_s: for one token's attention to keys and values in the cache, by their bits. layer_s: the time of a
    layer with almost no weights.
    """

    threads: int
    read_bytes_per_s: float
    peak_flops_per_s: float
    packed_flops_per_s: Mapping[int, float]
    attend_flops_per_s: Mapping[int, float]
    layer_s: float

    def __str__(self) -> str:
        packed, attended = (
            ", ".join(f"{bits} bits {rate / 1e9:.0f}" for bits, rate in rates.items())
            for rates in (self.packed_flops_per_s, self.attend_flops_per_s)
        )
        return (
            f"{self.threads} thread{'s' if self.threads > 1 else ''}: reads {self.read_bytes_per_s / 1e9:.1f} GB/s; "
            f"float32 {self.peak_flops_per_s / 1e9:.0f} GFLOP/s; from the cache: packed {packed}, "
            f"attention {attended} GFLOP/s; a bare layer {self.layer_s * 1e6:.0f} us"
        )

    def device(self, weight_bits: int = FLOAT_BITS, cache_bits: int = FLOAT_BITS) -> Device:
        """Return this machine as a device: `matmul_peak(32)` of float32 products, or `matmul_peak(8)` of packed ones.

        `matmul_peak(16)`, which the calculator uses for attention, is the rate of the kernel for a cache of these bits.
        """
        device = measured_device(self.attend_flops_per_s[cache_bits], self.read_bytes_per_s, _MEMORY_BYTES)
        peak = {32: self.peak_flops_per_s} if weight_bits == 32 else {8: self.packed_flops_per_s[weight_bits]}
        return replace(device, matmul_flops_per_s={16: self.attend_flops_per_s[cache_bits]} | peak)

    @property
    def efficiency(self) -> Efficiency:
        """A plan as an engine: it reaches every limit, and adds `launch_s`."""
        return replace(IDEAL, launch_s=self.layer_s)


def measure_limits(threads: int = 1, *, widths: tuple[int, ...] = (8, 4, 3)) -> Limits:
    """Measure this machine's limits, in about three seconds; torch's thread count is restored afterwards.

    Without a C compiler, the rates of the paths in torch are measured.

    Raises:
        TypeError, ValueError: threads is not a whole number of 1 or more, or a width has no packed kernel.
        NoCompiler: several threads are asked for, and the compiler has no OpenMP.
    """
    threads = whole("threads", threads, low=1, fix="1 is one core")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return Limits(
            threads,
            _read_bytes_per_s(threads),
            measure_peak_flops_per_s(sizes=(512,)),
            {bits: _packed_flops_per_s(bits, threads) for bits in widths},
            {bits: _attend_flops_per_s(bits, threads) for bits in CACHE_BITS},
            _layer_s(threads),
        )
    finally:
        torch.set_num_threads(before)


def predict_step(lm: LanguageModel, limits: Limits, *, context: int, cache_bits: int = FLOAT_BITS) -> TimedStep:
    """Return the calculator's decode step of a model on this machine, each operator with the bits of its own layers.

    context: how many tokens the cache holds. cache_bits: 32, 8 or 4, in groups of 32.

    Raises:
        TypeError, ValueError: as `cost.step`; a layer's width was not measured, or the layers of an operator differ.
    """
    one_of("cache_bits", cache_bits, CACHE_BITS, fix="32 keeps keys and values as they are")
    widths = {name: _width_of_all(lm, name, parts) for name, parts in _LAYERS.items()}
    timed: dict[tuple[int, float], TimedStep] = {}
    for layer_bits, stored_bits in set(widths.values()):
        if layer_bits != FLOAT_BITS and layer_bits not in limits.packed_flops_per_s:
            raise ValueError(f"the limits of {layer_bits} bits were not measured; name them in widths")
        timed[layer_bits, stored_bits] = step(
            lm.architecture,
            limits.device(layer_bits, cache_bits),
            new_tokens=1,
            context=context,
            weight_bits=stored_bits,
            kv_bits=cache_bits if cache_bits == FLOAT_BITS else cache_bits + 1,  # two halves for 32 numbers
            compute_bits=32 if layer_bits == FLOAT_BITS else 8,
            efficiency=limits.efficiency,
        )
    any_step = next(iter(timed.values()))
    by_width = {width: {row.operator.name: row for row in one.rows} for width, one in timed.items()}
    rows: list[TimedOperator] = []
    for row in any_step.rows:  # a matrix is timed with the width of its own layers; the others have no weights
        name = row.operator.name
        rows.append(by_width[widths[name]][name] if name in widths else row)
    return TimedStep(tuple(rows), any_step.overhead_s)


# The layers of each of the calculator's operators.
_LAYERS = {
    "qkv": ("attention.query", "attention.key", "attention.value"),
    "attention out": ("attention.out",),
    "gate and up": ("feed_forward.gate", "feed_forward.up"),
    "down": ("feed_forward.down",),
    "head": (),
}


def _width_of_all(lm: LanguageModel, name: str, parts: tuple[str, ...]) -> tuple[int, float]:
    """Bits of the codes of an operator's layers, and bits per weight with scales; layers that differ are refused."""
    layers = [block.get_submodule(part) for block in lm.blocks for part in parts] or [lm.head]
    found = sorted({_width(name, layer) for layer in layers})
    if len(found) > 1:
        raise ValueError(
            f"the layers of '{name}' differ in width ({found}), and it is predicted as one; make them alike"
        )
    return found[0]


def _width(name: str, layer: nn.Module) -> tuple[int, float]:
    if isinstance(layer, PackedLinear):
        return layer.matrix.bits, 8 * layer.matrix.stored_bytes / (layer.matrix.rows * layer.matrix.columns)
    if type(layer) is not nn.Linear:
        raise ValueError(
            f"a layer of '{name}' is a {type(layer).__name__}, which no plan runs; call pack_for_speed(lm)"
        )
    return FLOAT_BITS, FLOAT_BITS


def _read_bytes_per_s(threads: int, repeats: int = 7) -> float:
    """The median of several runs, since a prediction should be right on average. Each thread has a matrix of its own.

    A plain pass over memory can be faster, with several streams at once; a product reads one stream.
    """
    rows, columns = max(4 * last_level_cache_bytes(), 2**27) // threads // 4096, 1024
    parts = [(torch.ones(rows, columns), torch.ones(columns), torch.empty(rows)) for _ in range(threads)]
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):
            start_s = perf_counter()
            list(pool.map(lambda part: torch.mv(part[0], part[1], out=part[2]), parts))
            times.append(perf_counter() - start_s)
    return sum(part[0].nbytes for part in parts) / median(times[1:])


def _packed_flops_per_s(bits: int, threads: int, repeats: int = 300) -> float:
    rows, columns = _IN_CACHE
    layer = nn.Linear(columns, rows, bias=False).requires_grad_(False)
    matrix = _packed(nn.Sequential(layer), bits)[0].matrix
    call = bind_packed_linear(matrix, torch.ones(1, columns), torch.empty(1, rows), threads=threads)
    return 2 * rows * columns / latency(call, repeats=repeats, warmup=20).median_s


def _attend_flops_per_s(bits: int, threads: int, repeats: int = 100) -> float:
    """With the heads of many small models, 9 on 3 of 64 numbers, and 256 tokens, which fit into any second-level
    cache."""
    heads, kv_heads, head_dim, context = 9, 3, 64, 256
    cache, out = LayerCache.empty(kv_heads, context, head_dim, bits), torch.empty(heads * head_dim)
    row, position = torch.zeros((heads + 2 * kv_heads) * head_dim), torch.tensor([context - 1])
    tables = rotary_tables(context, head_dim, 10_000.0)
    scratch = attend_scratch(cache, heads, threads)
    call = bind_attend(row, position, *tables, cache, scratch, out, threads)
    return 4 * context * heads * head_dim / latency(call, repeats=repeats, warmup=10).median_s


def _layer_s(threads: int, layers: int = 30, repeats: int = 50) -> float:
    bare = Architecture("bare", layers, 64, 64, Attention(1, 1, 64), FeedForward(64), tied=True)
    lm = LanguageModel(bare).requires_grad_(False).eval()
    plan = DecodePlan(_packed(lm, 4), KVCache(bare, repeats + 10), threads=threads)
    return latency(lambda: plan.step(0), repeats=repeats, warmup=3).median_s / layers


def _packed(model: nn.Module, bits: int) -> nn.Module:
    fmt = IntFormat(bits, granularity=PerGroup(32), scale_dtype=torch.float16)
    return pack_for_speed(quantize_weights(model, fmt))
