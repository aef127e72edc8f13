"""Lesson 10, exercises 10.3 to 10.5: cache lines, bytes moved, and the energy of both."""

import math

import numpy as np
import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 10.3 -----------------------------------------------------------------------------------------------


def lines_of_walk(count: int, stride: int, element_bytes: int = 4, line_bytes: int = 64) -> int:
    """How many cache lines `count` elements touch that lie `stride` elements apart."""
    step_bytes = stride * element_bytes
    if step_bytes >= line_bytes:
        return count
    return (count - 1) * step_bytes // line_bytes + 1


def _lines_by_marking(count: int, stride: int, element_bytes: int = 4, line_bytes: int = 64) -> int:
    return len({at * stride * element_bytes // line_bytes for at in range(count)})


def _lines_in_numpy(count: int, stride: int, element_bytes: int = 4, line_bytes: int = 64) -> np.int64:
    addresses = np.arange(count) * (stride * element_bytes)
    return np.int64(len(np.unique(addresses // line_bytes)))


def _walk_case(generator: torch.Generator) -> Case:
    stride = (1, 2, 3, 4, 8, 16, 24, 100)[random_whole(generator, 0, 7)]
    element_bytes = (1, 2, 4, 8)[random_whole(generator, 0, 3)]
    return Case(random_whole(generator, 2, 300), stride, element_bytes=element_bytes)


LINES_OF_WALK = Exercise(
    id="10.3",
    title="Cache lines of a walk",
    reference=lines_of_walk,
    cases=(
        Case(16, 1),
        Case(17, 1),
        Case(16, 2),
        Case(9, 3),
        Case(10, 16),
        Case(10, 100),
        *random_cases(10, seed=103, make=_walk_case),
    ),
    mistakes=(
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(count * element_bytes / line_bytes),
            "That is for neighbours. With a stride the elements lie apart, and a line holds fewer of them.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(
                count * stride * element_bytes / line_bytes
            ),
            "A walk with long steps jumps over lines, and those are not fetched: never more lines than elements.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: (
                count if stride > 1 else math.ceil(count * element_bytes / line_bytes)
            ),
            "A small stride still has several elements in one line.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: count,
            "Neighbours share a line: the first access fetches it for all of them.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride, 1, line_bytes),
            "The stride is in elements, and a line in bytes: multiply by element_bytes.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: (
                (count - 1) * min(stride * element_bytes, line_bytes) // line_bytes
            ),
            "That is one too few: the line where the walk starts is fetched as well.",
        ),
    ),
    also_correct=(_lines_by_marking, _lines_in_numpy),
)

# 10.4 -----------------------------------------------------------------------------------------------


def tiled_traffic(m: int, n: int, k: int, tile_m: int, tile_n: int, element_bytes: int = 4) -> int:
    """Bytes between cache and memory for C[m,n] += A[m,k] B[k,n], one tile of C after the other."""
    a = m * k * math.ceil(n / tile_n)
    b = k * n * math.ceil(m / tile_m)
    return (a + b + 2 * m * n) * element_bytes


def _traffic_by_walking(m: int, n: int, k: int, tile_m: int, tile_n: int, element_bytes: int = 4) -> np.int64:
    elements = 0
    for row in range(0, m, tile_m):
        for column in range(0, n, tile_n):
            height, width = min(tile_m, m - row), min(tile_n, n - column)
            elements += height * k + k * width + 2 * height * width
    return np.int64(elements * element_bytes)


def _parts(m, n, k, tile_m, tile_n):
    return m * k, k * n, m * n, math.ceil(m / tile_m), math.ceil(n / tile_n)


def _swapped(m, n, k, tile_m, tile_n, element_bytes=4):
    a, b, c, down, across = _parts(m, n, k, tile_m, tile_n)
    return (a * down + b * across + 2 * c) * element_bytes


def _written_only(m, n, k, tile_m, tile_n, element_bytes=4):
    a, b, c, down, across = _parts(m, n, k, tile_m, tile_n)
    return (a * across + b * down + c) * element_bytes


def _c_each_k(m, n, k, tile_m, tile_n, element_bytes=4):
    a, b, c, down, across = _parts(m, n, k, tile_m, tile_n)
    return (a * across + b * down + 2 * c * k) * element_bytes


def _once(m, n, k, tile_m, tile_n, element_bytes=4):
    a, b, c, *_ = _parts(m, n, k, tile_m, tile_n)
    return (a + b + 2 * c) * element_bytes


def _every_tile(m, n, k, tile_m, tile_n, element_bytes=4):
    a, b, c, down, across = _parts(m, n, k, tile_m, tile_n)
    return ((a + b) * down * across + 2 * c) * element_bytes


def _fractions(m, n, k, tile_m, tile_n, element_bytes=4):
    return (m * k * n / tile_n + k * n * m / tile_m + 2 * m * n) * element_bytes


def _rounded_down(m, n, k, tile_m, tile_n, element_bytes=4):
    return (m * k * (n // tile_n) + k * n * (m // tile_m) + 2 * m * n) * element_bytes


def _tile_case(generator: torch.Generator) -> Case:
    sizes = [random_whole(generator, 5, 90) for _ in range(3)]
    tiles = [random_whole(generator, 2, 12) for _ in range(2)]
    return Case(*sizes, *tiles, element_bytes=(1, 2, 4, 8)[random_whole(generator, 0, 3)])


TILED_TRAFFIC = Exercise(
    id="10.4",
    title="Bytes moved by a tiled matrix product",
    reference=tiled_traffic,
    cases=(
        Case(4, 4, 1, 4, 4, element_bytes=1),
        Case(8, 4, 3, 4, 4, element_bytes=1),
        Case(4, 8, 3, 4, 2, element_bytes=1),
        Case(64, 64, 512, 8, 16),
        Case(10, 9, 7, 4, 4),
        *random_cases(8, seed=104, make=_tile_case),
    ),
    mistakes=(
        Mistake(
            _swapped,
            "The two are exchanged. A has no axis n, so it is read again for every tile along n; "
            "B for every tile along m.",
        ),
        Mistake(_written_only, "C += ... reads the old value of C before it writes the new one: C moves twice."),
        Mistake(_c_each_k, "A tile of C stays in the cache for all of k. It is read once and written once."),
        Mistake(
            _once, "That is what has to move at least once. A and B are read again for each tile of C that needs them."
        ),
        Mistake(_every_tile, "A tile of C needs only its own rows of A and its own columns of B, not all of both."),
        Mistake(_fractions, "A last tile that is not full still reads its whole panel: round the number of tiles up."),
        Mistake(_rounded_down, "Rounding down forgets the last, partly filled tile. Round the number of tiles up."),
        Mistake(
            lambda m, n, k, tile_m, tile_n, element_bytes=4: tiled_traffic(m, n, k, tile_m, tile_n, 1),
            "Those are elements. Each of them has element_bytes bytes.",
        ),
    ),
    also_correct=(_traffic_by_walking,),
)

# 10.5 -----------------------------------------------------------------------------------------------


def layer_energy(macs: int, cache_bytes: int, dram_bytes: int, pj: dict[str, float]) -> float:
    """Joules of a layer: its arithmetic, its cache accesses and its memory accesses."""
    arithmetic = macs * (pj["multiply"] + pj["add"])
    moving = cache_bytes / 8 * pj["cache word"] + dram_bytes / 8 * pj["dram word"]
    return (arithmetic + moving) * 1e-12


def _energy_in_numpy(macs, cache_bytes, dram_bytes, pj):
    names = ("multiply", "add", "cache word", "dram word")
    counts = np.array([macs, macs, cache_bytes / 8, dram_bytes / 8])
    return np.float64(counts @ np.array([pj[name] * 1e-12 for name in names]))


TABLE = {"multiply": 4.0, "add": 1.0, "cache word": 20.0, "dram word": 1500.0}  # rounded


def _energy_case(generator: torch.Generator) -> Case:
    macs, cache, dram = (8 * random_whole(generator, 1, 100_000) for _ in range(3))
    return Case(macs, cache, dram, TABLE)


LAYER_ENERGY = Exercise(
    id="10.5",
    title="The energy of a layer",
    reference=layer_energy,
    cases=(
        Case(1000, 0, 0, TABLE),
        Case(0, 80, 0, TABLE),
        Case(0, 0, 80, TABLE),
        Case(10, 80, 8, TABLE),
        *random_cases(6, seed=105, make=_energy_case),
    ),
    mistakes=(
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: (
                (macs * pj["multiply"] + cache_bytes / 8 * pj["cache word"] + dram_bytes / 8 * pj["dram word"]) * 1e-12
            ),
            "A multiply-accumulate is a multiplication and an addition.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, 8 * cache_bytes, 8 * dram_bytes, pj),
            "The table prices a word of 8 bytes. Divide the bytes by 8.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes / 8, dram_bytes / 8, pj),
            "A word of 64 bits is 8 bytes: divide by 8, not by 64.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, pj) * 1e12,
            "Those are picojoules. A picojoule is 1e-12 joules.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, pj) * 1e3,
            "A picojoule is 1e-12 joules; 1e-9 is a nanojoule.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, 0, dram_bytes, pj),
            "What the cache serves is cheaper than memory, but not free: count it too.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, 0, 0, pj),
            "That is the arithmetic alone. Moving the data takes most of the energy.",
        ),
    ),
    also_correct=(_energy_in_numpy,),
    forbidden=(loops.energy_j,),
)
