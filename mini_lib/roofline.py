"""The roofline: the highest speed that a piece of work can reach on a machine, and what limits it.

A machine has two limits: how many FLOPs it computes per second, and how many bytes it moves per second. Work that does
few FLOPs for each byte it moves waits for memory, however fast the arithmetic is.

Source: Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model for
Multicore Architectures", CACM 2009.
"""

from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

import torch

from mini_lib.costs import LayerCost, flops
from mini_lib.latency import latency
from mini_lib.require import checked, not_negative, of_type, positive, whole

_MIB = 2**20


@dataclass(frozen=True)
class Machine:
    """The two limits of a machine, as measured with one number type and one number of threads.

    Raises:
        TypeError: a limit is not a number.
        ValueError: a limit is not positive, or there is no thread.

    >>> machine = Machine(peak_flops_per_s=100e9, bandwidth_bytes_per_s=20e9)
    >>> print(machine)
    100 GFLOP/s, 20.0 GB/s, ridge at 5.0 FLOP/byte (float32, 1 thread)
    """

    peak_flops_per_s: float
    bandwidth_bytes_per_s: float
    dtype: torch.dtype = torch.float32
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("peak_flops_per_s", "bandwidth_bytes_per_s"):
            checked(self, name, positive, fix="use measure_machine()")
        checked(self, "dtype", of_type, kinds=torch.dtype, fix="use torch.float32")
        checked(self, "threads", whole, low=1, fix="use torch.get_num_threads()")

    @property
    def ridge(self) -> float:
        """The intensity, in FLOPs per byte, above which the arithmetic is the limit, not the memory."""
        return self.peak_flops_per_s / self.bandwidth_bytes_per_s

    def attainable_flops_per_s(self, intensity: float) -> float:
        """Return the most FLOPs per second that work of `intensity` FLOPs per byte can reach here.

        Raises:
            TypeError: `intensity` is not a number.
            ValueError: it is negative, or NaN.

        At 2 FLOPs per byte, 20 GB/s feed 40 GFLOP/s; at 50 the peak is the limit:

        >>> machine = Machine(peak_flops_per_s=100e9, bandwidth_bytes_per_s=20e9)
        >>> machine.attainable_flops_per_s(2) / 1e9, machine.attainable_flops_per_s(50) / 1e9
        (40.0, 100.0)
        """
        if not (isinstance(intensity, float) and intensity == inf):  # infinite: work that moves nothing
            intensity = not_negative("intensity", intensity, fix="use arithmetic_intensity()")
        return min(self.peak_flops_per_s, self.bandwidth_bytes_per_s * intensity)

    def __str__(self) -> str:
        return (
            f"{self.peak_flops_per_s / 1e9:.0f} GFLOP/s, {self.bandwidth_bytes_per_s / 1e9:.1f} GB/s, "
            f"ridge at {self.ridge:.1f} FLOP/byte "
            f"({str(self.dtype).removeprefix('torch.')}, {self.threads} thread{'s' * (self.threads != 1)})"
        )


def arithmetic_intensity(macs: int, moved_bytes: int) -> float:
    """Return the FLOPs that `macs` do for each byte moved between memory and processor.

    Raises:
        TypeError: `macs` or `moved_bytes` is not a number.
        ValueError: `macs` is negative or `moved_bytes` is not positive.

    >>> arithmetic_intensity(macs=1000, moved_bytes=500)
    4.0
    """
    return flops(macs) / positive("moved_bytes", moved_bytes, fix="count what is read and written")


def layer_intensity(cost: LayerCost) -> float:
    """Return a layer's arithmetic intensity when each of its tensors moves exactly once.

    This is the best case: it falls when a tensor does not fit in the cache and is read again.

    Raises:
        TypeError: `cost` is not a LayerCost.
        ValueError: the layer moves nothing.

    A 1x1 convolution from 4 to 4 channels on an 8x8 image does 64 * 16 = 1024 MACs on
    16 weights and 2 * 256 activations of 4 bytes, so 2048 / 2112:

    >>> from mini_lib.measure import layer_costs
    >>> [cost] = layer_costs(torch.nn.Conv2d(4, 4, 1, bias=False), torch.zeros(1, 4, 8, 8))
    >>> round(layer_intensity(cost), 3)
    0.97
    """
    of_type("cost", cost, LayerCost, fix="layer_costs(model, example) gives them")
    return arithmetic_intensity(cost.macs, cost.moved_bytes)


def matmul_intensity(m: int, n: int, k: int, *, element_bytes: float = 4) -> float:
    """Return the arithmetic intensity of [m, k] x [k, n] when each matrix moves exactly once.

    `element_bytes` may be a fraction: weights of 4 bits take 0.5.

    Raises:
        TypeError: a size is not a whole number, or `element_bytes` not a number.
        ValueError: one of them is not positive.

    A square product of side n does 2 n^3 FLOPs on 3 n^2 elements, n / 6 per byte in fp32; a
    matrix times a vector stays below 1 / 2, however large:

    >>> matmul_intensity(600, 600, 600)
    100.0
    >>> round(matmul_intensity(600, 1, 600), 3)
    0.498
    """
    fix = "pass the sizes of [m, k] x [k, n]"
    m, n, k = (whole(name, size, low=1, fix=fix) for name, size in (("m", m), ("n", n), ("k", k)))
    element_bytes = positive("element_bytes", element_bytes, fix="4 for float32")
    return flops(m * n * k) / (element_bytes * (m * k + k * n + m * n))


def measure_machine(dtype: torch.dtype = torch.float32) -> Machine:
    """Measure this machine's two limits with torch's current number of threads, in about two seconds.

    Raises:
        ValueError: `dtype` is not a floating-point type.
    """
    return Machine(
        measure_peak_flops_per_s(dtype), measure_bandwidth_bytes_per_s(), dtype, threads=torch.get_num_threads()
    )


def measure_peak_flops_per_s(
    dtype: torch.dtype = torch.float32, *, sizes: tuple[int, ...] = (512, 1024, 1536), repeats: int = 4
) -> float:
    """Return the most FLOPs per second that any run of any of these square matrix products reached.

    It takes the best run, not the median: nothing exceeds a limit, and noise only slows a run down.

    Raises:
        ValueError: `dtype` is not a floating-point type, a size is below 1 or there is none, or `repeats` is below 1.
    """
    if not of_type("dtype", dtype, torch.dtype, fix="use torch.float32").is_floating_point:
        raise ValueError(f"dtype must be a floating-point type, got {dtype}; use torch.float32")
    given = of_type("sizes", sizes, (tuple, list), fix="use (512, 1024, 1536)")
    sizes = [whole("each of sizes", size, low=1, fix="use (512, 1024, 1536)") for size in given]
    if not sizes:
        raise ValueError("sizes must be one or more sizes of 1 or more, got none; use (512, 1024, 1536)")
    rates = []
    for size in sizes:
        # Any finite values do: a dense product takes the same time for ones.
        a, b, out = (torch.ones(size, size, dtype=dtype) for _ in range(3))
        times = latency(partial(torch.mm, a, b, out=out), repeats=repeats, warmup=1)
        rates.append(flops(size**3) / min(times.times_s))
    return max(rates)


def measure_bandwidth_bytes_per_s(*, buffer_bytes: int | None = None, repeats: int = 5) -> float:
    """Return the most bytes per second that moved between memory and processor, reads and writes added.

    Every number of one buffer gets 1 added to it in place. So each byte is read once and written back once, and nothing
    else moves: had the result gone to a second buffer, most processors would also have fetched that buffer before
    writing it, unseen. The buffer is four times the last-level cache, up to 512 MiB.

    Raises:
        ValueError: `buffer_bytes` is not at least 4, or `repeats` is below 1.

    Source: STREAM (McCalpin 1995), which counts a byte read and a byte written as two, and asks for
    four times the last-level caches.
    """
    if buffer_bytes is None:
        buffer_bytes = min(4 * last_level_cache_bytes(), 512 * _MIB)
    buffer_bytes = whole("buffer_bytes", buffer_bytes, low=4, high=2**40, fix="use four times the last-level cache")
    buffer = torch.zeros(buffer_bytes // 4, dtype=torch.float32)
    # The warm-up run makes the system hand over the memory, which it does on first touch.
    times = latency(lambda: buffer.add_(1.0), repeats=repeats, warmup=1)
    return 2 * buffer.nbytes / min(times.times_s)


def last_level_cache_bytes(root: Path = Path("/sys/devices/system/cpu")) -> int:
    """Return the size of all last-level caches together, 32 MiB where the system does not say.

    Linux gives the sizes under `root`. 32 MiB is about what a large laptop has.

    >>> last_level_cache_bytes(Path("no such folder")) // 2**20
    32
    """
    root = Path(of_type("root", root, (str, Path), fix="leave it out"))
    caches = {}
    # Some processors list a cache without its size: look for the sizes.
    for file in root.glob("cpu[0-9]*/cache/index[0-9]*/size"):
        level, shared = (file.with_name(name).read_text().strip() for name in ("level", "shared_cpu_list"))
        # Processors that share a cache each list it: the same level and the same processors.
        caches[int(level), shared] = int(file.read_text().strip().removesuffix("K")) * 1024
    last_level = max((level for level, _ in caches), default=None)
    return sum(size for (level, _), size in caches.items() if level == last_level) or 32 * _MIB
