"""How fast caches are simulated: plain Python, C, pycachesim and cachegrind on the accesses of one matrix product.

    python tools/bench_cache.py                # 64 x 64 x 64 doubles, five turns: about a minute
    python tools/bench_cache.py --size 32 --turns 3

All run the same 4 * size**3 accesses (load C, load A, load B, store C in the order i j k, at the addresses that the
program has under cachegrind) through the same two levels, and their counts are shown side by side. They are timed in
turns; a ratio is the median of the ratios within each turn, with the least and the greatest.

Cachegrind runs a program, not a trace: its time is that of many products minus that of one, so that its start does not
count. It also simulates the instruction cache. pycachesim is called once per access, as in its manual. There a store
that hits does not make its line recent, but a write-back does so in the level below. For this trace, which loads each
element just before it stores it, the counts are the same.
"""

import argparse
import ctypes
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mini_lib import native
from mini_lib.latency import Latency, compare_latency
from mini_lib.loops.caches.cache import Cache, Trace, simulate_plain
from mini_lib.loops.caches.fast_cache import SOURCE, level_stats, new_state, simulate_compiled

LEVELS = (Cache(8 * 1024, ways=2), Cache(64 * 1024, ways=8))
Counts = tuple[int, ...]  # references, misses, references below, misses below

PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#define N %d
static _Alignas(4096) volatile double A[N][N], B[N][N], C[N][N];
static volatile char wash[1 << 20];
__attribute__((noinline)) void product(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++) {
                const double c = C[i][j], a = A[i][k], b = B[k][j];
                C[i][j] = c + a * b;
            }
}
int main(int count, char **words) {
    printf("%%p %%p %%p", (void *)A, (void *)B, (void *)C);
    for (int i = 0; i < (int)sizeof wash; i += 64) wash[i]++;
    for (int i = atoi(words[count - 1]); i > 0; i--) product();
    return 0;
}
"""

INLINE = """
void product(cachesim *s, int64_t a, int64_t b, int64_t c, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < n; k++) {
                cachesim_touch(s, c + 8 * (i * n + j), 8, 0);
                cachesim_touch(s, a + 8 * (i * n + k), 8, 0);
                cachesim_touch(s, b + 8 * (k * n + j), 8, 0);
                cachesim_touch(s, c + 8 * (i * n + j), 8, 1);
            }
}
"""


class Cachegrind:
    """The product as a program under valgrind."""

    def __init__(self, size: int, folder: Path) -> None:
        self.out = folder / "cachegrind.out"
        self.program = native.build_program(PROGRAM % size, folder, flags=("-O1",))
        shapes = [
            f"--{name}={level.size_bytes},{level.ways},{level.line_bytes}"
            for name, level in zip(("D1", "LL"), LEVELS, strict=True)
        ]
        self.command = [
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=yes",
            *shapes,
            f"--cachegrind-out-file={self.out}",
            str(self.program),
        ]

    def run(self, times: int) -> tuple[int, ...]:
        """Run some products and return the addresses of A, B and C."""
        done = subprocess.run([*self.command, str(times)], capture_output=True, text=True, check=True)
        return tuple(int(word, 16) for word in done.stdout.split())

    def counts(self) -> Counts:
        """The counts of the function in the last run."""
        counted, inside = np.zeros(9, dtype=int), False
        for line in self.out.read_text().splitlines():
            if line.startswith("fn="):
                inside = line == "fn=product"
            elif inside and re.match(r"\d", line):
                counted += np.array(line.split()[1:], dtype=int)
        reads, read_misses, deep_reads, writes, write_misses, deep_writes = counted[3:].tolist()
        misses = read_misses + write_misses
        return reads + writes, misses, misses, deep_reads + deep_writes


def matrix_product(size: int, bases: tuple[int, ...]) -> Trace:
    """The trace of the product in the order i j k."""
    a, b, c = bases
    i, j, k = (axis.ravel() for axis in np.indices((size, size, size)))
    cells = c + 8 * (i * size + j)
    addresses = np.stack([cells, a + 8 * (i * size + k), b + 8 * (k * size + j), cells], axis=1).ravel()
    return Trace(addresses, np.full(len(addresses), 8), np.tile([False, False, False, True], size**3))


def pycachesim(trace: Trace) -> Callable[[], Counts]:
    """A call that runs the trace through pycachesim; its lists are made in advance."""
    import cachesim

    accesses = list(zip(trace.addresses.tolist(), trace.writes.tolist(), strict=True))

    def run() -> Counts:
        memory, below, made = cachesim.MainMemory(), None, []
        for name, level in reversed(list(zip(("L1", "L2"), LEVELS, strict=True))):
            below = cachesim.Cache(
                name,
                level.sets,
                level.ways,
                level.line_bytes,
                "LRU",
                write_back=True,
                write_allocate=True,
                load_from=below,
                store_to=below,
            )
            made.insert(0, below)
        memory.load_to(made[-1])
        memory.store_from(made[-1])
        simulator = cachesim.CacheSimulator(made[0], memory)
        load, store = simulator.load, simulator.store
        for address, write in accesses:
            (store if write else load)(address, 8)
        first, second = (level.stats()["MISS_count"] for level in made)
        return len(accesses), first, first, second

    return run


def inline(size: int, bases: tuple[int, ...]) -> Callable[[], Counts]:
    """A call that simulates the product from within its loops, without a trace."""
    product = native.load(SOURCE + INLINE).product
    product.argtypes, product.restype = [ctypes.c_void_p, *[ctypes.c_int64] * 4], None

    def run() -> Counts:
        state = new_state(LEVELS)
        product(state.ctypes.data, *bases, size)
        return of_stats(level_stats(state, LEVELS))

    return run


def of_stats(stats: tuple) -> Counts:
    """References and misses of both levels."""
    return tuple(number for level in stats for number in (level.references, level.misses))


def per_second(accesses: int, time_s: Latency) -> str:
    """Millions of accesses per second, with the 10th and the 90th percentile."""
    rates = [accesses / time / 1e6 for time in (time_s.median_s, time_s.high_s, time_s.low_s)]
    return "{:8.3g} ({:.3g}-{:.3g})".format(*rates)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="rows, columns and depth of the product")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed")
    given = parser.parse_args()
    size, many = given.size, 21
    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], object]] = {}
        counts: dict[str, Counts] = {}
        bases = tuple(4096 * 100 + 8 * size * size * number for number in range(3))
        valgrind = Cachegrind(size, Path(folder)) if shutil.which("valgrind") else None
        if valgrind:
            bases = valgrind.run(1)
            counts["cachegrind"] = valgrind.counts()
        trace = matrix_product(size, bases)
        simulators: dict[str, Callable[[], Counts]] = {
            "plain Python": lambda: of_stats(simulate_plain(trace, LEVELS).levels),
            "C, on the trace": lambda: of_stats(simulate_compiled(trace, LEVELS).levels),
            "C, within the loops": inline(size, bases),
        }
        try:
            simulators["pycachesim"] = pycachesim(trace)
        except ImportError:
            print("pycachesim is not here: pip install pycachesim")
        for name, call in simulators.items():
            counts[name] = call()
            calls[name] = call
        if valgrind:
            calls |= {"one": lambda: valgrind.run(1), "cachegrind": lambda: valgrind.run(many)}
        times = compare_latency(calls, repeats=given.turns, warmup=1)
    if valgrind:
        whole, start = times["cachegrind"].times_s, times.pop("one").times_s
        products_s = [(b - a) / (many - 1) for a, b in zip(start, whole, strict=True)]
        if min(products_s) > 0:
            times["cachegrind"] = Latency(tuple(products_s))
        else:
            del times["cachegrind"]
            print("cachegrind: its start took longer than its counting in some turn; run again on a quieter machine")

    print(
        f"{size}**3 product of doubles, {len(trace):,} accesses; {LEVELS[0].size_bytes // 1024} KiB in "
        f"{LEVELS[0].ways} ways, then {LEVELS[1].size_bytes // 1024} KiB in {LEVELS[1].ways} ways; "
        f"{given.turns} turns"
    )
    print(
        f"{'':20} {'million accesses/s':>22} {'times plain Python':>24} {'references':>11} {'misses':>9} "
        f"{'last misses':>11}"
    )
    plain = times["plain Python"].times_s
    for name, time in times.items():
        ratios = [slow / fast for slow, fast in zip(plain, time.times_s, strict=True)]
        ratio = f"{statistics.median(ratios):.3g} ({min(ratios):.3g}-{max(ratios):.3g})"
        references, misses, _, last = counts[name]
        print(f"{name:20} {per_second(len(trace), time):>22} {ratio:>24} {references:11,} {misses:9,} {last:11,}")


if __name__ == "__main__":
    main()
