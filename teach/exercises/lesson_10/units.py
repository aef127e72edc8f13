"""Lesson 10, exercise 10.1: how much of a block instruction a layer uses."""

import math
from fractions import Fraction

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def padded(size: int, block: int) -> int:
    """The size rounded up to whole blocks."""
    return math.ceil(size / block) * block


def utilization(sizes: list[int], blocks: list[int]) -> float:
    """The share of the instruction's products that the layer asked for."""
    share = 1.0
    for size, block in zip(sizes, blocks, strict=True):
        share *= size / padded(size, block)
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
            "An axis longer than the block is cut into blocks, and the last block may be nearly empty: 17 on blocks of "
            "16 takes two.",
        ),
        Mistake(
            lambda sizes, blocks: 1 / utilization(sizes, blocks),
            "That is how many times more work is done. The share is the requested work divided by the work that is "
            "done.",
        ),
        Mistake(
            lambda sizes, blocks: (
                math.prod(sizes) / (math.ceil(math.prod(sizes) / math.prod(blocks)) * math.prod(blocks))
            ),
            "Each axis is padded by itself: room left on one axis cannot be lent to another.",
        ),
        Mistake(
            lambda sizes, blocks: min(size / padded(size, block) for size, block in zip(sizes, blocks, strict=True)),
            "The shares of the axes multiply: half of the rows and half of the columns is a quarter of the block.",
        ),
        Mistake(
            lambda sizes, blocks: (
                sum(size / padded(size, block) for size, block in zip(sizes, blocks, strict=True)) / len(sizes)
            ),
            "That is the mean of the axes. Half of the rows and half of the columns is a quarter "
            "of the block: multiply.",
        ),
        Mistake(
            lambda sizes, blocks: math.prod(
                (size // block) * block / size for size, block in zip(sizes, blocks, strict=True)
            ),
            "Rounding down leaves out the last, partly filled block, but its work is needed too. Round up.",
        ),
        Mistake(
            lambda sizes, blocks: 1 - utilization(sizes, blocks),
            "That is the share that is wasted. Return the share that is used.",
        ),
        Mistake(
            lambda sizes, blocks: math.prod(size / block for size, block in zip(sizes, blocks, strict=True)),
            "That divides by one block. A long axis takes several blocks: divide by the room in all of them.",
        ),
        Mistake(
            lambda sizes, blocks: utilization(sizes, [16] * len(sizes)),
            "The length of a block is given in `blocks`. It is not 16 on every unit.",
        ),
    ),
    symptoms=(
        variants(
            "That is one axis alone. Multiply the shares of all axes, and return after the loop.",
            lambda sizes, blocks: utilization(sizes[:1], blocks[:1]),
            lambda sizes, blocks: utilization(sizes[-1:], blocks[-1:]),
        ),
        variants(
            "Where the block divides the size, that counts one block too many. Round up instead of adding 1.",
            lambda sizes, blocks: math.prod(s / ((s // b + 1) * b) for s, b in zip(sizes, blocks, strict=True)),
        ),
        variants(
            "That is the share of the last block alone. The full blocks before it belong to the same axis.",
            lambda sizes, blocks: math.prod(s % b / b for s, b in zip(sizes, blocks, strict=True)),
            lambda sizes, blocks: math.prod((s % b or b) / b for s, b in zip(sizes, blocks, strict=True)),
        ),
        variants(
            "The room is rounded down, so the last block is missing from it: 17 takes two blocks of 16. Round up.",
            lambda sizes, blocks: math.prod(s / max(b, s // b * b) for s, b in zip(sizes, blocks, strict=True)),
        ),
        variants(
            "The axes are added up. Multiply their shares: half of the rows and half of the columns is a quarter.",
            lambda sizes, blocks: sum(s / padded(s, b) for s, b in zip(sizes, blocks, strict=True)),
            lambda sizes, blocks: sum(sizes) / sum(map(padded, sizes, blocks)),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, list) and len(got) == len(arguments["sizes"]),
            "That is one share per axis. Multiply them, and return one number.",
            examples=(lambda sizes, blocks: [s / padded(s, b) for s, b in zip(sizes, blocks, strict=True)],),
        ),
        Symptom(
            lambda got, expected, arguments: got > 1 + 1e-6 and abs(got - 100 * expected) > 1e-6,
            "A share is never above 1. The room is the number of blocks *times* their length.",
            examples=(
                lambda sizes, blocks: math.prod(s / math.ceil(s / b) for s, b in zip(sizes, blocks, strict=True)),
                lambda sizes, blocks: math.prod(s / math.ceil(s / b) * b for s, b in zip(sizes, blocks, strict=True)),
            ),
        ),
    ),
    also_correct=(_utilization_by_counting, _utilization_in_numpy),
)
