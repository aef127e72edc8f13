"""Is a schedule as fast in a table of lesson 09, where it runs in turns with slow ones, as it is by itself?

    python tools/turns_and_alone.py --size 512 --rounds 5

The schedules of the path from naive to fast, each timed in turns with all others as the lesson does it, and by itself,
one run after the other. Medians with their spread (p10-p90), in milliseconds. Each round does both again. The last
columns are the median of the rounds' ratios, and their range. Run it on a quiet machine: other programs affect the
caches, and so both times.
"""

import argparse
from statistics import median
from time import perf_counter, thread_time

import torch

from mini_lib import native
from mini_lib.columns import aligned
from mini_lib.latency import Latency, compare_latency, milliseconds
from mini_lib.loops import Nest, compile_nest, matmul, random_arguments, this_machine

LONGEST_ALONE_S = 1.0  # a schedule is run by itself for about as long, at least three times


def schedules(size: int) -> dict[str, Nest]:
    """The path of lesson 09."""
    lanes = this_machine().vector_bytes // 4
    rows = 8 if lanes == 16 else 4
    naive = matmul(size, size, size)
    in_registers = (
        naive.tile({"m": rows, "n": 2 * lanes})
        .split("n.i", lanes)
        .split("k", 128)
        .split("k.i", 4)
        .reorder("k.o n.o m.o k.i.o k.i.i m.i n.i.o n.i.i")
        .vectorize("n.i.i")
        .unroll("k.i.i m.i n.i.o")
        .cache_write("C", at="m.o", scope="register")
    )
    return {
        "m n k, as written": naive,
        "m k n": naive.reorder("m k n"),
        "tiled": naive.reorder("m k n").tile({"k": 64, "n": 128}).reorder("k.o n.o m k.i n.i"),
        "vectorized": naive.reorder("m k n").split("n", lanes).vectorize("n.i"),
        "C in registers": in_registers,
        "B packed": in_registers.cache_read("B", at="n.o"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5, help="turns in each round, as in the lesson")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true", help="count only what this program computes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    clock = thread_time if given.processor_time else perf_counter
    wide = native.native_flags()[1:]
    calls = {}
    for name, nest in schedules(given.size).items():
        flags = ("-O1",) if name == "m n k, as written" else ("-O2", "-fno-tree-vectorize", *wide)
        calls[name] = compile_nest(nest, flags=flags).prepare(**random_arguments(nest, seed=0)).run
    a, b, c = torch.rand(3, given.size, given.size)
    calls["torch.mm"] = lambda: torch.mm(a, b, out=c)
    turns: dict[str, list[float]] = {name: [] for name in calls}
    alone: dict[str, list[float]] = {name: [] for name in calls}
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.rounds):
        together = compare_latency(calls, repeats=given.repeats, warmup=1, clock=clock)
        for name, call in calls.items():
            runs = max(3, min(50, int(LONGEST_ALONE_S / together[name].median_s)))
            by_itself = compare_latency({name: call}, repeats=runs, warmup=3, clock=clock)[name]
            turns[name] += together[name].times_s
            alone[name] += by_itself.times_s
            ratios[name].append(together[name].median_s / by_itself.median_s)
    rows = [("schedule", "in turns", "alone", "ratio", "of the rounds")]
    for name in calls:
        low, high = min(ratios[name]), max(ratios[name])
        rows.append((name, _ms(turns[name]), _ms(alone[name]), f"{median(ratios[name]):.2f}", f"{low:.2f}-{high:.2f}"))
    print(aligned(rows, left=(0,)))


def _ms(times_s: list[float]) -> str:
    taken = Latency(tuple(times_s))
    return milliseconds(taken.median_s, taken.low_s, taken.high_s)


if __name__ == "__main__":
    main()
