"""Milliseconds next to MACs: the contests timed in turns, with the least time according to the roofline.

Two numbers are computed for each module. `bound_s` is the roofline of lesson 01, layer by layer: each layer takes as
long as its FLOPs at the machine's peak, or as moving its bytes once, whichever is longer. `vector_macs` counts MACs as
the vector unit does them: it works on whole vectors of output channels, so 24 channels cost as 32 where a vector holds
16.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

import torch
from torch import Tensor, nn

from mini_lib.latency import Latency, compare_by_clocks
from mini_lib.measure import flops, layer_costs, macs, parameters
from mini_lib.roofline import Machine, measure_bandwidth_bytes_per_s, measure_peak_flops_per_s
from studies.factorize.contests import CONTESTS, Contest

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
# float32 numbers in a vector register, by torch's name for the processor's features.
_LANES = {"AVX512": 16, "AVX2": 8}


@dataclass(frozen=True)
class Timed:
    """One module of a contest, timed. `times_faster` is the median of the contest's first module over its own.

    Times are processor time on one thread, and `wall_median_s` is wall-clock time: it is more where other programs use
    the processor too. `page_faults` are those of one call: memory that the system had to hand over and fill with zeros.
    """

    contest: str
    name: str
    batch: int
    layout: str
    parameters: int
    macs: int
    vector_macs: int
    moved_bytes: int
    bound_s: float
    median_s: float
    low_s: float
    high_s: float
    times_faster: float
    page_faults: float
    wall_median_s: float


@dataclass(frozen=True, eq=False)
class Clocked:
    """The measured times of one contest, at one batch in one layout; `reckon` adds the computed numbers."""

    name: str
    contest: Contest
    batch: int
    layout: str
    times: dict[str, Latency]
    wall: dict[str, Latency]
    page_faults: dict[str, float]


def time_contest(
    contest: str,
    *,
    batches: Sequence[int] = (1, 32),
    layouts: Sequence[str] = tuple(LAYOUTS),
    repeats: int = 30,
    peak_flops_per_s: float | None = None,
) -> list[Timed]:
    """Time all modules of a contest in turns, at each batch and in each layout, on the threads that torch has here.

    Call it through `in_clean_process`, which takes care of the allocator. The peak is measured if it is not given.

    Raises:
        ValueError: there is no such contest or layout, or as `compare_latency`.
    """
    clocked = clock_contest(contest, batches=batches, layouts=layouts, repeats=repeats)
    return reckon(clocked, peak_flops_per_s or measure_peak())


def clock_contest(
    name: str,
    *,
    batches: Sequence[int] = (1, 32),
    layouts: Sequence[str] = tuple(LAYOUTS),
    repeats: int = 30,
    warmup: int = 5,
) -> list[Clocked]:
    """Return only the times. Nothing large is allocated before: it would change how the allocator behaves later.

    Raises:
        ValueError: there is no such contest or layout, or as `compare_latency`.
    """
    if name not in CONTESTS:
        raise ValueError(f"there is no contest {name!r}; there are {', '.join(CONTESTS)}")
    for layout in layouts:
        if layout not in LAYOUTS:
            raise ValueError(f"there is no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    contest = CONTESTS[name]()
    clocked = []
    for batch, layout in product(batches, layouts):
        form, calls = LAYOUTS[layout], {}
        for key, module in contest.modules.items():
            placed = copy.deepcopy(module).eval().to(memory_format=form)
            calls[key] = partial(_run, placed, _pictures(batch, contest.shapes[key]).contiguous(memory_format=form))
        times, wall = processor_latency(calls, repeats=repeats, warmup=warmup)
        faults = {key: _page_faults(call) for key, call in calls.items()}
        clocked.append(Clocked(name, contest, batch, layout, times, wall, faults))
    return clocked


def reckon(clocked: Sequence[Clocked], peak_flops_per_s: float) -> list[Timed]:
    """Return the rows of a timed contest, with MACs, bytes and the roofline.

    Bandwidth is measured on a buffer as large as the contest's largest tensor, which may be in a cache.
    """
    bandwidth = cache(partial(measure_bandwidth_bytes_per_s, repeats=30))
    rows = []
    for one in clocked:
        examples = {name: _pictures(one.batch, shape) for name, shape in one.contest.shapes.items()}
        costs = {name: layer_costs(module, examples[name]) for name, module in one.contest.modules.items()}
        largest = max(max(cost.input_bytes, cost.output_bytes) for each in costs.values() for cost in each)
        machine = Machine(peak_flops_per_s, bandwidth(buffer_bytes=largest))
        first = next(iter(one.times.values()))
        rows += [
            Timed(
                contest=one.name,
                name=name,
                batch=one.batch,
                layout=one.layout,
                parameters=parameters(module),
                macs=macs(module, examples[name]),
                vector_macs=_vector_macs(module, examples[name]),
                moved_bytes=sum(cost.moved_bytes for cost in costs[name]),
                bound_s=sum(_least_s(machine, cost.macs, cost.moved_bytes) for cost in costs[name]),
                median_s=one.times[name].median_s,
                low_s=one.times[name].low_s,
                high_s=one.times[name].high_s,
                times_faster=first.median_s / one.times[name].median_s,
                page_faults=one.page_faults[name],
                wall_median_s=one.wall[name].median_s,
            )
            for name, module in one.contest.modules.items()
        ]
    return rows


def measure_peak() -> float:
    """Return the most FLOPs per second that one of several matrix products, or a large convolution, reached here.

    Where matrix products and convolutions come from different libraries, a convolution may be closer to the peak.
    """
    conv = nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    images = _pictures(32, (128, 14, 14)).contiguous(memory_format=torch.channels_last)
    times, _ = processor_latency({"conv": partial(_run, conv, images)}, repeats=20)
    rate = flops(macs(conv, images)) / min(times["conv"].times_s)
    return max(rate, measure_peak_flops_per_s(sizes=(256, 512, 1024), repeats=10))


def processor_latency(
    calls: Mapping[str, Callable[[], object]], *, repeats: int, warmup: int = 5
) -> tuple[dict[str, Latency], dict[str, Latency]]:
    """Time calls in turns, by the processor time of this thread and by the wall clock.

    On one thread both are the same, as long as no other program uses the processor. If one does, a call of a few
    milliseconds is often interrupted for equally long, and a long call more often than a short one: the wall clock then
    includes the work of others.

    Raises:
        TypeError, ValueError: as `compare_latency`.

    >>> processor, wall = processor_latency({"sum": lambda: sum(range(10))}, repeats=8)
    >>> len(processor["sum"].times_s), len(wall["sum"].times_s)
    (8, 8)
    """
    processor, wall = compare_by_clocks(calls, (time.thread_time, time.perf_counter), repeats=repeats, warmup=warmup)
    return processor, wall


def machine_settings() -> dict[str, object]:
    """Return a description of the machine for the record: the processor's vectors, threads, torch."""
    return {
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "lanes": lanes(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def lanes() -> int:
    """Return how many float32 numbers this processor's vectors hold, as far as torch uses them.

    >>> lanes() in (4, 8, 16)
    True
    """
    return _LANES.get(torch.backends.cpu.get_cpu_capability(), 4)


def in_vectors(macs: int, outputs: int, width: int) -> int:
    """Return the MACs of a layer with this many output channels, if these are computed `width` at a time.

    24 channels take two vectors of 16, as 32 do:

    >>> in_vectors(2400, outputs=24, width=16), in_vectors(3200, outputs=32, width=16)
    (3200, 3200)
    """
    return macs // outputs * (-(-outputs // width) * width)


def _vector_macs(module: nn.Module, example: Tensor) -> int:
    total = 0
    for cost in layer_costs(module, example):
        if cost.macs:
            total += in_vectors(cost.macs, len(module.get_submodule(cost.name).weight), lanes())
    return total


def _least_s(machine: Machine, macs_: int, moved_bytes: int) -> float:
    return max(flops(macs_) / machine.peak_flops_per_s, moved_bytes / machine.bandwidth_bytes_per_s)


def _page_faults(call: Callable[[], object], repeats: int = 10) -> float:
    before = _usage("ru_minflt")
    for _ in range(repeats):
        call()
    return (_usage("ru_minflt") - before) / repeats


def _usage(what: str) -> int:
    """One of the system's counters for this process; always 0 where the system keeps none."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return getattr(resource.getrusage(resource.RUSAGE_SELF), what)


def _run(module: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        module(images)


def _pictures(batch: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
