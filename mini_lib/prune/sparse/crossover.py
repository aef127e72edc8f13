"""Below which density is a sparse kernel faster? Measured over a sweep of densities, not computed from bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log

import numpy as np

from mini_lib.columns import aligned
from mini_lib.latency import three_digits
from mini_lib.prune.sparse.compare import DENSE, KERNELS, Comparison, compare_kernels
from mini_lib.require import callable_, of_type, positive, share

DENSITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


def crossover(densities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """Return the density at which a kernel's time reaches the dense one's, None if it is slower from the start.

    ratios: the kernel's time over the dense time at each of the rising `densities`. Between two densities both are
    interpolated on logarithmic scales. If the kernel is faster at every density measured, the result is infinite.

    Raises:
        TypeError: the densities or ratios are not numbers.
        ValueError: there is no density, the densities do not rise or are not above 0, the counts differ, or a ratio is
            not above 0.

    At 0.1 it takes half the time, at 0.4 twice: equal at the geometric mean, 0.2:

    >>> round(crossover([0.1, 0.4], [0.5, 2.0]), 6)
    0.2
    >>> crossover([0.1, 0.4], [1.5, 3.0]), crossover([0.1, 0.4], [0.2, 0.9])
    (None, inf)
    """
    fix = "they are put on logarithmic scales"
    densities = [positive("each of densities", one, fix=fix) for one in _several("densities", densities)]
    ratios = [positive("each of ratios", one, fix=fix) for one in _several("ratios", ratios)]
    if not densities or len(densities) != len(ratios):
        raise ValueError(f"give one ratio for each density, got {len(densities)} densities and {len(ratios)} ratios")
    if any(later <= earlier for earlier, later in pairwise(densities)):
        raise ValueError(f"densities must rise, got {densities}; sort them")
    if ratios[0] >= 1:
        return None
    for (d0, r0), (d1, r1) in pairwise(zip(densities, ratios)):
        if r1 >= 1:
            return exp(log(d0) + (log(d1) - log(d0)) * -log(r0) / (log(r1) - log(r0)))
    return inf


@dataclass(frozen=True)
class Crossover:
    """Where a kernel's time reaches the dense one's: by the median of the turns, and by their 90th and 10th percentile.

    None means never faster and infinity always faster, among the densities measured.

    >>> print(Crossover(0.25, 0.2, 0.31))
    0.25 (0.20-0.31)
    """

    median: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        median, low, high = (
            "never" if d is None else "all" if d == inf else f"{d:.2f}" if d >= 0.1 else f"{d:.3f}"
            for d in (self.median, self.low, self.high)
        )
        return median if low == median == high else f"{median} ({low}-{high})"


@dataclass(frozen=True)
class KernelSweep:
    """The same kernels over several densities; printed, tables of time and bytes, and the crossover densities."""

    comparisons: tuple[Comparison, ...]

    @property
    def densities(self) -> tuple[float, ...]:
        return tuple(comparison.density for comparison in self.comparisons)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kernel.name for one in self.comparisons for kernel in one.kernels))

    def crossover(self, name: str) -> Crossover:
        """Return the density at which a kernel stops being faster than the dense one.

        Raises:
            TypeError: `name` is not text.
            ValueError: there is no such kernel, it is a dense one, or it has only one density, as 2:4 does.
        """
        if of_type("name", name, str, fix="take one of names") not in self._swept():
            raise ValueError(f"{name!r} has no crossover here; {', '.join(self._swept()) or 'no kernel'} has one")
        ratios = [one.ratios(name) for one in self.comparisons]
        return Crossover(*(crossover(self.densities, [np.percentile(r, p) for r in ratios]) for p in (50, 90, 10)))

    def _swept(self) -> list[str]:
        return [name for name in self.names if name not in (DENSE, "torch dense", "2:4")]

    def _cells(self, name: str, show: Callable[[Comparison], str]) -> list[str]:
        """The entries of a kernel at each density; 2:4 has an entry only at its own density."""
        return [show(one) if any(k.name == name for k in one.kernels) else "-" for one in self.comparisons]

    def __str__(self) -> str:
        dense = self.comparisons[0]
        heads = [f"{density:g}" for density in self.densities]
        tables = {
            "ms, median": lambda name: lambda one: _short(1e3 * one[name].latency.median_s),
            "times as fast as dense": lambda name: lambda one: f"{1 / np.median(one.ratios(name)):.2f}",
            "KiB stored": lambda name: lambda one: _short(one[name].stored_bytes / 1024),
        }
        lines = []
        for title, show in tables.items():
            fast = title.startswith("times")
            lines.append((title, *heads, "faster below density" if fast else ""))
            for name in self.names:
                end = str(self.crossover(name)) if fast and name in self._swept() else ""
                lines.append((name, *self._cells(name, show(name)), end))
        rows = aligned(lines).splitlines()
        for place in (2 * (1 + len(self.names)), 1 + len(self.names)):
            rows.insert(place, "")
        return "\n".join([f"{dense.rows} x {dense.columns}, fp32, W x on one thread; by density", *rows])


def sweep_kernels(
    rows: int,
    columns: int,
    densities: Sequence[float] = DENSITIES,
    *,
    kernels: Sequence[str] = KERNELS,
    repeats: int = 30,
    warmup: int = 3,
    caches: str = "warm",
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> KernelSweep:
    """Compare kernels at several densities, 2:4 only at 0.5, and find where each stops being faster.

    progress: called with the number of densities done and their total number.

    Raises:
        TypeError, ValueError, NoCompiler: as `compare_kernels`.
        ValueError: there is no density, or they do not rise.

    >>> sweep = sweep_kernels(16, 32, (0.1, 0.5), kernels=("CSR", "2:4"), repeats=2)
    >>> sweep.densities, sweep.names
    ((0.1, 0.5), ('dense', 'CSR', '2:4'))
    """
    densities = [share("each of densities", one, fix="use (0.05, 0.1)") for one in _several("densities", densities)]
    if not densities or any(later <= earlier for earlier, later in pairwise(densities)):
        raise ValueError(f"densities must be one or more that rise, got {densities!r}; use (0.05, 0.1, 0.2, 0.5)")
    kernels = [*of_type("kernels", kernels, Iterable, fix="use ('CSR', '2:4')")]
    if progress is not None:
        callable_("progress", progress, fix="pass a function of two numbers, or None")
    comparisons = []
    for done, density in enumerate(densities, 1):
        names = [name for name in kernels if name != "2:4" or density == 0.5]
        comparisons.append(
            compare_kernels(
                rows, columns, density, kernels=names, repeats=repeats, warmup=warmup, caches=caches, seed=seed
            )
        )
        if progress is not None:
            progress(done, len(densities))
    return KernelSweep(tuple(comparisons))


def _several(name: str, given: object) -> Iterable[float]:
    return of_type(name, given, Iterable, fix="give several numbers, such as (0.05, 0.1, 0.2, 0.5)")


def _short(value: float) -> str:
    """A number rounded to three digits.

    >>> _short(0.0331), _short(4292.3)
    ('0.0331', '4,292')
    """
    return f"{value:,.{three_digits(value)}f}"
