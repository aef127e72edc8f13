"""Kernels compared on one machine: bytes and measured time of W x, dense and sparse, at a chosen density."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.columns import aligned
from mini_lib.latency import Latency, compare_latency, milliseconds
from mini_lib.prune.sparse.bitmap import to_bitmap
from mini_lib.prune.sparse.block_csr import to_blocks
from mini_lib.prune.sparse.csr import to_csr
from mini_lib.prune.sparse.matrix import need_shape, tensor_bytes
from mini_lib.prune.sparse.matvec import bind
from mini_lib.prune.sparse.n_of_m import to_n_of_m
from mini_lib.require import of_type, one_of, share, whole

DENSE = "dense"
KERNELS = (DENSE, "torch dense", "CSR", "torch CSR", "bitmap", "blocks 4x4", "blocks 16x1", "2:4")
CACHES = ("warm", "cold")
EVICTING_BYTES = 2**25  # 32 MiB: more than the caches of a core, and on most laptops more than the shared cache
_HEADERS = ("kernel", "density", "KiB stored", "of dense", "ms (median, p10-p90)", "times as fast")
Timed = tuple[int, Callable[[], object]]  # the bytes of a stored matrix, and the call to time


@dataclass(frozen=True)
class KernelTime:
    """One kernel on one matrix: the matrix's density, the bytes that the kernel reads of it, the seconds it took."""

    name: str
    density: float
    stored_bytes: int
    latency: Latency


@dataclass(frozen=True)
class Comparison:
    """Kernels on matrices of one size; the first is the dense one, with which the others are compared."""

    rows: int
    columns: int
    density: float
    kernels: tuple[KernelTime, ...]

    def __getitem__(self, name: str) -> KernelTime:
        of_type("name", name, str, fix="take that of one of kernels")
        for kernel in self.kernels:
            if kernel.name == name:
                return kernel
        raise ValueError(f"there is no kernel {name!r}; there are {', '.join(kernel.name for kernel in self.kernels)}")

    def ratios(self, name: str) -> tuple[float, ...]:
        """Return the time of a kernel over the time of the dense one, turn by turn: below 1 it is faster.

        >>> dense = KernelTime("dense", 1.0, 400, Latency((0.004, 0.002)))
        >>> half = KernelTime("CSR", 0.1, 64, Latency((0.002, 0.001)))
        >>> Comparison(10, 10, 0.1, (dense, half)).ratios("CSR")
        (0.5, 0.5)
        """
        dense = self.kernels[0].latency.times_s
        return tuple(time / base for time, base in zip(self[name].latency.times_s, dense, strict=True))

    def __str__(self) -> str:
        dense = self.kernels[0]
        lines = [_HEADERS]
        for kernel in self.kernels:
            time = kernel.latency
            lines.append(
                (
                    kernel.name,
                    f"{kernel.density:.2f}",
                    f"{kernel.stored_bytes / 1024:,.1f}",
                    f"{kernel.stored_bytes / dense.stored_bytes:.3f}",
                    milliseconds(time.median_s, time.low_s, time.high_s),
                    f"{dense.latency.median_s / time.median_s:.2f}",
                )
            )
        return aligned(lines)


def compare_kernels(
    rows: int,
    columns: int,
    density: float,
    *,
    kernels: Sequence[str] = KERNELS,
    repeats: int = 30,
    warmup: int = 3,
    caches: str = "warm",
    seed: int = 0,
) -> Comparison:
    """Time W x in several formats on random weights of one density, in turns, on one thread.

    - "dense" and "torch dense" multiply a weight with scattered zeros as if there were none.
    - "CSR", "bitmap" and "torch CSR" store the same weight without its zeros.
    - "blocks RxC" leave out whole blocks: a weight of the same density whose zeros come in blocks.
    - "2:4" has the density 0.5, whatever you ask for; the result says so.

    caches: what a call finds in them. "warm": the data that the same call, run untimed just before, left there, so a
    small matrix is in cache. "cold": 32 MiB of other data, as a layer finds them after other large layers.

    Raises:
        TypeError: `kernels` is one string.
        ValueError: a density outside (0, 1], an unknown kernel or state of the caches, sizes or `repeats` below 1.
        NoCompiler: there is no C compiler.

    >>> result = compare_kernels(32, 64, 0.25, kernels=("CSR", "2:4"), repeats=3)
    >>> [(kernel.name, kernel.density, kernel.stored_bytes) for kernel in result.kernels]
    [('dense', 0.25, 8192), ('CSR', 0.25, 3204), ('2:4', 0.5, 4352)]

    32 * 64 = 2048 weights: dense 4 bytes each; CSR 33 * 4 + 512 * (2 + 4); 2:4 1024 * 4 + 1024 / 4.
    """
    rows, columns, density, seed = _checked(rows, columns, density, kernels, caches, seed)
    names = (DENSE, *(name for name in dict.fromkeys(kernels) if name != DENSE))
    weights = _Weights(rows, columns, density, seed)
    x = torch.randn(columns, generator=torch.Generator().manual_seed(seed))
    with one_thread():
        timed = {name: _timed(name, weights, x) for name in names}
        other = torch.ones(EVICTING_BYTES // 4 if caches == "cold" else 1)
        calls: dict[str, Callable[[], object]] = {}
        for name in names:
            # timed too, since it takes its turn, but its time is dropped
            calls[f"before {name}"] = other.sum if caches == "cold" else timed[name][1]
            calls[name] = timed[name][1]
        times = compare_latency(calls, repeats=repeats, warmup=warmup)
    measured = (KernelTime(name, 0.5 if name == "2:4" else density, timed[name][0], times[name]) for name in names)
    return Comparison(rows, columns, density, tuple(measured))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, as our kernels do, then restore its number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Weights:
    """Random weights of one size and density; those with scattered zeros are made once and shared."""

    def __init__(self, rows: int, columns: int, density: float, seed: int) -> None:
        self.rows, self.columns, self.density = rows, columns, density
        self._chance = torch.Generator().manual_seed(seed)
        self._scattered: Tensor | None = None

    def scattered(self) -> Tensor:
        if self._scattered is None:
            self._scattered = self._normal() * self._kept(self.rows, self.columns)
        return self._scattered

    def blocks(self, r: int, c: int) -> Tensor:
        kept = self._kept(-(-self.rows // r), -(-self.columns // c))
        mask = kept.repeat_interleave(r, 0).repeat_interleave(c, 1)[: self.rows, : self.columns]
        return self._normal() * mask

    def two_of_four(self) -> Tensor:
        if self.columns % 4:
            raise ValueError(f"2:4 needs columns that 4 divides, got {self.columns}; leave it out of kernels")
        # For each group, one of the six ways to keep two of four.
        ways = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]])
        way = torch.randint(6, (self.rows, self.columns // 4), generator=self._chance)
        return self._normal() * ways[way].view(self.rows, self.columns)

    def _normal(self) -> Tensor:
        return torch.randn(self.rows, self.columns, generator=self._chance)

    def _kept(self, high: int, wide: int) -> Tensor:
        """A mask with exactly round(density * n) True, but at least one, at random places."""
        count = high * wide
        order = torch.randperm(count, generator=self._chance)
        return (order < max(1, round(self.density * count))).view(high, wide)


def _timed(name: str, weights: _Weights, x: Tensor) -> Timed:
    if name == "torch dense":
        # a copy: the weight that the dense kernel has just read would still be in the cache
        weight, result = weights.scattered().clone(), torch.empty(weights.rows)
        return weight.nbytes, lambda: torch.mv(weight, x, out=result)
    if name == "torch CSR":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta")
            sparse = weights.scattered().to_sparse_csr()
        stored = tensor_bytes(sparse.crow_indices(), sparse.col_indices(), sparse.values())
        return stored, lambda: sparse @ x
    if name == DENSE:
        return weights.scattered().nbytes, bind(weights.scattered(), x)
    if name == "2:4":
        matrix = to_n_of_m(weights.two_of_four())
    elif name in ("CSR", "bitmap"):
        matrix = {"CSR": to_csr, "bitmap": to_bitmap}[name](weights.scattered())
    else:
        block = _block(name)
        matrix = to_blocks(weights.blocks(*block), block)
    return matrix.stored_bytes, bind(matrix, x)


def _block(name: str) -> tuple[int, int]:
    r, _, c = name.removeprefix("blocks ").partition("x")
    return int(r), int(c)


def _checked(
    rows: int, columns: int, density: float, kernels: Sequence[str], caches: str, seed: int
) -> tuple[int, int, float, int]:
    rows, columns = need_shape((rows, columns))
    density = share("density", density, fix="0.2 keeps a fifth of the weights")
    one_of("caches", caches, CACHES, fix="'cold' reads 32 MiB of something else first")
    if isinstance(kernels, str) or not isinstance(kernels, Sequence):
        raise TypeError(f"kernels must be a sequence of names, got {kernels!r}; write ({kernels!r},)")
    for name in kernels:
        of_type("each of kernels", name, str, fix="give the name of a kernel")
        r, times, c = name.removeprefix("blocks ").partition("x")
        is_block = name.startswith("blocks ") and times and r.isdigit() and c.isdigit() and int(r) and int(c)
        if name not in KERNELS and not is_block:
            raise ValueError(f"there is no kernel {name!r}; there are {', '.join(KERNELS)}, and other blocks RxC")
    return rows, columns, density, whole("seed", seed, fix="the same seed draws the same weights")
