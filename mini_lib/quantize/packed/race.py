"""A matrix times a vector at each width, next to torch's kernels, with cold weights: are fewer bits really faster?

A matrix-vector product uses each weight once, so it takes as long as its weights take to arrive. In a model they arrive
from memory: by the time a layer is called again, the other layers have filled the caches. A benchmark that multiplies
by one matrix again and again measures the cache instead, which holds the small formats but not the large ones. Here the
contestants run in turns. Each has several copies of its matrix and takes the next one at each call: enough copies that
twice the last-level cache is read before it meets the same one again. The code is warm, though, as in a model of such
layers: before each timed call the same product runs on a small matrix. All run on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib.columns import aligned
from mini_lib.kernels import (
    PACKED_WIDTHS,
    TORCH,
    PackedMatrix,
    instruction_sets,
    pack_matrix,
    pack_signs,
    packed_linear,
    xnor_product,
)
from mini_lib.kernels.read import bind_read
from mini_lib.latency import Latency, compare_latency, milliseconds
from mini_lib.require import of_type, whole
from mini_lib.roofline import last_level_cache_bytes

READ, BASELINE = "read only", "int4, torch int4pack"
Call = Callable[[], object]
_HEADERS = ("kernel", "bits/weight", "MiB", "ms (median, p10-p90)", "GB/s", "of read limit", "x torch int4 (p10-p90)")


@dataclass(frozen=True)
class Runner:
    """One contestant: its name, the bytes of its matrix that a call reads, and its times."""

    name: str
    read_bytes: int
    latency: Latency

    @property
    def bytes_per_s(self) -> float:
        return self.read_bytes / self.latency.median_s


@dataclass(frozen=True)
class Race:
    """Contestants on a matrix of one size, timed in turns; "read only" reads 64 MiB and is the limit."""

    rows: int
    columns: int
    runners: tuple[Runner, ...]

    def __getitem__(self, name: str) -> Runner:
        of_type("name", name, str, fix="name one of the runners")
        for runner in self.runners:
            if runner.name == name:
                return runner
        raise ValueError(f"there is no runner {name!r}; there are {', '.join(one.name for one in self.runners)}")

    def share_of_limit(self, name: str) -> float:
        """Return the share of the same run's read bandwidth that a contestant reaches."""
        return self[name].bytes_per_s / self[READ].bytes_per_s

    def times_faster(self, name: str, than: str = BASELINE) -> tuple[float, float, float]:
        """Return the time of `than` over that of `name`, turn by turn: the median, the 10th and the 90th percentile.

        >>> slow, fast = Runner("slow", 10, Latency((4.0, 2.0))), Runner("fast", 5, Latency((2.0, 1.0)))
        >>> Race(1, 1, (slow, fast)).times_faster("fast", than="slow")
        (2.0, 2.0, 2.0)
        """
        ratios = np.divide(self[than].latency.times_s, self[name].latency.times_s)
        return tuple(float(np.percentile(ratios, place)) for place in (50, 10, 90))

    def __str__(self) -> str:
        lines = [_HEADERS]
        for one in self.runners:
            time, weights = one.latency, self.rows * self.columns
            baseline = any(other.name == BASELINE for other in self.runners)
            ratio = "{:.2f} ({:.2f}-{:.2f})".format(*self.times_faster(one.name)) if baseline else "-"
            lines.append(
                (
                    one.name,
                    "-" if one.name == READ else f"{8 * one.read_bytes / weights:.2f}",
                    f"{one.read_bytes / 2**20:.1f}",
                    milliseconds(time.median_s, time.low_s, time.high_s),
                    f"{one.bytes_per_s / 1e9:.1f}",
                    f"{100 * self.share_of_limit(one.name):.0f}%",
                    "-" if one.name == READ else ratio,
                )
            )
        return aligned(lines)


def race_packed(
    rows: int = 4096,
    columns: int = 4096,
    *,
    group_size: int = 32,
    repeats: int = 30,
    seed: int = 0,
    clock: Callable[[], float] | None = None,
) -> Race:
    """Time matrix-vector products of random weights at each width, ours and torch's, on one thread.

    Ours and torch's fp32 take a vector in fp32, the others of torch one in bf16, for which their kernels are made. Ours
    round it to 8 bits. clock: as in `compare_latency`.

    Raises:
        ValueError: `group_size` does not divide the columns, or a number is below 1.
        NoCompiler: there is no C compiler.

    >>> race = race_packed(64, 64, repeats=2)
    >>> race["int4, portable"].read_bytes                                  # 64 * 64 / 2, and a scale of 4 bytes per 32
    2560
    """
    rows = whole("rows", rows, low=1, fix="use 4096")
    columns = whole("columns", columns, low=1, fix="use 4096")
    group_size = whole("group_size", group_size, low=1, fix="use 32")
    seed = whole("seed", seed, low=0, fix="any will do")
    if columns % group_size:
        raise ValueError(f"group_size {group_size} does not divide the columns ({columns}); use a divisor")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        memory, seen = torch.zeros(2**26, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
        calls, sizes = {READ: bind_read(memory, seen)}, {READ: memory.nbytes}
        small = _contestants(64, 2 * group_size, group_size, seed)
        large = _contestants(rows, columns, group_size, seed)
        sizes |= {name: size for name, (size, _) in large.items()}
        copies = min(64, 1 + ceil(2 * last_level_cache_bytes() / sum(sizes.values())))  # a turn reads the sum
        for name, (_, copy) in large.items():
            calls[f"before {name}"] = small[name][1]()
            calls[name] = partial(_call_next, cycle([copy() for _ in range(copies)]))
        with torch.no_grad():
            times = compare_latency(calls, repeats=repeats, clock=clock)
    finally:
        torch.set_num_threads(threads)
    return Race(rows, columns, tuple(Runner(name, sizes[name], times[name]) for name in sizes))


def _call_next(copies: Iterator[Call]) -> None:
    next(copies)()


def _contestants(rows: int, columns: int, group_size: int, seed: int) -> dict[str, tuple[int, Callable[[], Call]]]:
    """The bytes that a product reads of its matrix, and a function that copies the matrix and returns the call."""
    chance = torch.Generator().manual_seed(seed)
    weight, x = torch.randn(rows, columns, generator=chance), torch.randn(1, columns, generator=chance)
    half, groups = x.bfloat16(), columns // group_size
    found: dict[str, tuple[int, Callable[[], Call]]] = {}

    def enter(name: str, product: Callable[..., object], *parts: Tensor) -> None:
        copy = lambda: partial(product, *(part.clone() for part in parts))  # noqa: E731
        found[name] = (sum(part.nbytes for part in parts), copy)

    enter("fp32, torch", partial(F.linear, x), weight)
    enter("bf16, torch", partial(F.linear, half), weight.bfloat16())
    codes, scales = torch.randint(-127, 128, (rows, columns), generator=chance), torch.rand(rows, generator=chance)
    enter("int8, torch int8pack", partial(torch._weight_int8pack_mm, half), codes.to(torch.int8), scales.bfloat16())
    if rows % 32 == 0 and group_size in (32, 64, 128, 256):  # the sizes that torch's kernel takes
        codes = torch.randint(16, (rows, columns), generator=chance, dtype=torch.int32)
        pairs = torch.rand(groups, rows, 2, generator=chance).bfloat16()  # scales and zero points
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        enter(BASELINE, lambda w, s: torch.ops.aten._weight_int4pack_mm_for_cpu(half, w, group_size, s), packed, pairs)
    scales = torch.rand(rows, groups, generator=chance)
    best, *others = (one for one in instruction_sets() if one != TORCH)
    ours = [(bits, one, torch.float32) for bits in PACKED_WIDTHS for one in (best, *(others if bits == 4 else ()))]
    for bits, instructions, dtype in [*ours, (4, best, torch.float16)]:
        codes = torch.randint(2**bits, (rows, columns), generator=chance)
        matrix = pack_matrix(codes, scales.to(dtype), 0 if bits == 1 else 2 ** (bits - 1), bits)
        name = f"int{bits}, {instructions}" + (", fp16 scales" if dtype == torch.float16 else "")
        found[name] = (matrix.stored_bytes, partial(_copy_packed, matrix, x, instructions))
    enter("signs times signs, xnor", lambda w: xnor_product(w, pack_signs(x), columns), pack_signs(weight))
    return found


def _copy_packed(matrix: PackedMatrix, x: Tensor, instructions: str) -> Call:
    again = replace(matrix, codes=matrix.codes.clone(), scales=matrix.scales.clone())
    return partial(packed_linear, again, x, instructions)
