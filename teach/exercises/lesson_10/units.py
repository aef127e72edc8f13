"""Lesson 10, exercises 10.1 and 10.2: how much of a block instruction a layer uses."""

import itertools
import math
from fractions import Fraction

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 10.1 -----------------------------------------------------------------------------------------------


def _padded(size: int, block: int) -> int:
    return math.ceil(size / block) * block


def utilization(sizes: list[int], blocks: list[int]) -> float:
    """The share of the instruction's products that the layer asked for."""
    share = 1.0
    for size, block in zip(sizes, blocks, strict=True):
        share *= size / _padded(size, block)
    return share


def _utilization_by_counting(sizes: list[int], blocks: list[int]) -> Fraction:
    calls, done = 1, 1
    for size, block in zip(sizes, blocks, strict=True):
        calls *= len(range(0, size, block))
        done *= block
    return Fraction(math.prod(sizes), calls * done)


def _utilization_in_numpy(sizes: list[int], blocks: list[int]) -> np.float64:
    wanted, block = np.array(sizes), np.array(blocks)
    return np.float64(wanted.prod() / (-(-wanted // block) * block).prod())


def _block_case(generator: torch.Generator) -> Case:
    blocks = [(4, 8, 16, 32)[random_whole(generator, 0, 3)] for _ in range(3)]
    return Case([random_whole(generator, 1, 100) for _ in range(3)], blocks)


UTILIZATION = Exercise(
    id="10.1",
    title="How much of a block is used",
    reference=utilization,
    cases=(
        Case([10], [16]),
        Case([32], [16]),
        Case([17], [16]),
        Case([10, 9], [16, 16]),
        Case([64, 20, 10], [16, 16, 16]),
        *random_cases(8, seed=101, make=_block_case),
    ),
    mistakes=(
        Mistake(
            lambda sizes, blocks: math.prod(min(1.0, size / block) for size, block in zip(sizes, blocks, strict=True)),
            "An axis longer than the block is cut into blocks, and its last one may be nearly "
            "empty: 17 on blocks of 16 takes two.",
        ),
        Mistake(
            lambda sizes, blocks: 1 / utilization(sizes, blocks),
            "That is how many times more work is done. The share is what was asked for, divided by what is done.",
        ),
        Mistake(
            lambda sizes, blocks: (
                math.prod(sizes) / (math.ceil(math.prod(sizes) / math.prod(blocks)) * math.prod(blocks))
            ),
            "Each axis is filled up by itself: room left on one axis cannot be lent to another.",
        ),
        Mistake(
            lambda sizes, blocks: min(size / _padded(size, block) for size, block in zip(sizes, blocks, strict=True)),
            "The shares of the axes multiply: half of the rows and half of the columns is a quarter of the block.",
        ),
        Mistake(
            lambda sizes, blocks: (
                sum(size / _padded(size, block) for size, block in zip(sizes, blocks, strict=True)) / len(sizes)
            ),
            "That is the mean of the axes. Half of the rows and half of the columns is a quarter "
            "of the block: multiply.",
        ),
        Mistake(
            lambda sizes, blocks: math.prod(
                (size // block) * block / size for size, block in zip(sizes, blocks, strict=True)
            ),
            "Rounding down leaves out the last, partly filled block, and its work is wanted too. Round up.",
        ),
        Mistake(
            lambda sizes, blocks: 1 - utilization(sizes, blocks),
            "That is the share that is wasted. Return the share that is used.",
        ),
    ),
    also_correct=(_utilization_by_counting, _utilization_in_numpy),
)

# 10.2 -----------------------------------------------------------------------------------------------


def best_axes(loops: dict[str, int], rows: int, columns: int) -> tuple[str, str]:
    """The two loops that use most of a rows x columns unit: (loop on the rows, loop on the columns)."""
    return max(
        itertools.permutations(loops, 2),
        key=lambda pair: utilization([loops[pair[0]], loops[pair[1]]], [rows, columns]),
    )


def _best_axes_by_hand(loops: dict[str, int], rows: int, columns: int) -> list[str]:
    best, best_share = None, Fraction(-1)
    for down in loops:
        for across in loops:
            if down == across:
                continue
            share = Fraction(loops[down], -(-loops[down] // rows) * rows)
            share *= Fraction(loops[across], -(-loops[across] // columns) * columns)
            if share > best_share:
                best, best_share = [down, across], share
    return best


def _share(loops: dict[str, int], pair: tuple[str, str], rows: int, columns: int) -> float:
    return utilization([loops[pair[0]], loops[pair[1]]], [rows, columns])


def _is_clear(loops: dict[str, int], rows: int, columns: int) -> bool:
    """Whether one pair is better than all others, so that one answer is right."""
    shares = sorted(_share(loops, pair, rows, columns) for pair in itertools.permutations(loops, 2))
    return shares[-1] > shares[-2] + 1e-6


def _axes_case(generator: torch.Generator) -> Case:
    while True:
        names = ("out", "in", "y", "x", "dy")
        loops = {name: random_whole(generator, 3, 70) for name in names}
        rows, columns = ((32, 8), (16, 32), (8, 64))[random_whole(generator, 0, 2)]
        if _is_clear(loops, rows, columns):
            return Case(loops, rows, columns)


def _least_waste(loops: dict[str, int], rows: int, columns: int) -> tuple[str, str]:
    def empty(pair: tuple[str, str]) -> int:
        down, across = loops[pair[0]], loops[pair[1]]
        return _padded(down, rows) - down + _padded(across, columns) - across

    return min(itertools.permutations(loops, 2), key=empty)


BEST_AXES = Exercise(
    id="10.2",
    title="Which loop on which axis",
    reference=best_axes,
    cases=(
        Case({"out": 16, "in": 8}, 8, 16),
        Case({"out": 17, "in": 16, "x": 32}, 16, 32),
        Case({"out": 10, "in": 8, "dx": 3}, 8, 8),
        *random_cases(10, seed=102, make=_axes_case),
    ),
    mistakes=(
        Mistake(
            lambda loops, rows, columns: tuple(sorted(loops, key=lambda name: loops[name], reverse=True)[:2]),
            "The longest loops are not always the best: 17 on an axis of 16 leaves half of it empty, and 16 fills it.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                itertools.product(loops, repeat=2), key=lambda pair: _share(loops, pair, rows, columns)
            ),
            "One loop cannot run along both axes: that would be only the diagonal.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                itertools.combinations(loops, 2), key=lambda pair: _share(loops, pair, rows, columns)
            ),
            "The two axes differ, so try each pair both ways round.",
        ),
        Mistake(
            lambda loops, rows, columns: max(
                itertools.permutations(loops, 2),
                key=lambda pair: min(loops[pair[0]], rows) * min(loops[pair[1]], columns),
            ),
            "That fills the first block only. A loop that is longer than the axis ends in a partly filled block.",
        ),
        Mistake(
            _least_waste,
            "That counts empty rows and columns. Two empty rows of four are worse than two of forty: compare shares.",
        ),
        Mistake(
            lambda loops, rows, columns: best_axes(loops, rows, columns)[::-1],
            "The two are exchanged: return (loop on the rows, loop on the columns).",
        ),
        Mistake(
            lambda loops, rows, columns: _share(loops, best_axes(loops, rows, columns), rows, columns),
            "That is the share that is used. Return the names of the two loops.",
        ),
    ),
    also_correct=(_best_axes_by_hand,),
)
