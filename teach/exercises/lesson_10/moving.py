"""Lesson 10, exercises 10.3 and 10.4: cache lines, and the bytes that a tiled product moves."""

import math

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.exercises.variants import variants

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
    element_bytes, line_bytes = (1, 2, 4, 8)[random_whole(generator, 0, 3)], (32, 64)[random_whole(generator, 0, 1)]
    return Case(random_whole(generator, 2, 300), stride, element_bytes=element_bytes, line_bytes=line_bytes)


def _lines_of(address):
    """A wrong answer: the lines of the addresses `address(at, stride, element_bytes)`."""
    return lambda count, stride, element_bytes=4, line_bytes=64: len(
        {address(at, stride, element_bytes) // line_bytes for at in range(count)}
    )


LINES_OF_WALK = Exercise(
    id="10.3",
    title="Cache lines of a walk",
    reference=lines_of_walk,
    cases=(
        Case(16, 1),
        Case(17, 1),
        Case(16, 2),
        Case(6, 6),
        Case(9, 3),
        Case(8, 4, element_bytes=4, line_bytes=32),
        Case(8, 4, element_bytes=4, line_bytes=128),
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
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: min(
                count, math.ceil(count * stride * element_bytes / line_bytes)
            ),
            "That counts a step after the last element too: between `count` elements there are count - 1 steps.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(
                count / max(1, line_bytes // (stride * element_bytes))
            ),
            "Where the step does not divide a line, not every line holds equally many elements. Ask of each element in "
            "which line it lies.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes % line_bytes for at in range(count)}
            ),
            "The remainder is the place *inside* a line. The number of the line is the quotient, `//`.",
        ),
        Mistake(
            _lines_of(lambda at, stride, element_bytes: at * (stride + 1) * element_bytes),
            "The stride is from one element to the next, not the gap between them: neighbours have stride 1.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(
                count * element_bytes / (stride * line_bytes)
            ),
            "A larger stride spreads the elements over more lines, not over fewer: it multiplies.",
        ),
    ),
    symptoms=(
        variants(
            "The elements have the numbers 0 to count - 1: the first begins at byte 0, and none comes after the last.",
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes // line_bytes for at in range(1, count + 1)}
            ),
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes // line_bytes for at in range(count + 1)}
            ),
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes // line_bytes for at in range(count - 1)}
            ),
        ),
        variants(
            "That is the number of the last line. Lines are counted from 0, so there is one more; a long step jumps "
            "over lines.",
            lambda count, stride, element_bytes=4, line_bytes=64: (count - 1) * stride * element_bytes // line_bytes,
        ),
        variants(
            "A line is not always 64 bytes, nor an element 4: both are arguments.",
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride, element_bytes),
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride),
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride, 4, line_bytes),
        ),
        variants(
            "The stride multiplies the number of the element. It is not an offset that is added.",
            _lines_of(lambda at, stride, element_bytes: at * element_bytes + stride),
            _lines_of(lambda at, stride, element_bytes: (at + stride) * element_bytes),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (set, list)),
            "Those are the lines themselves. Return how many there are.",
            examples=(
                lambda count, stride, element_bytes=4, line_bytes=64: {
                    at * stride * element_bytes // line_bytes for at in range(count)
                },
            ),
        ),
        Symptom(
            lambda got, expected, arguments: got > arguments["count"],
            "That is more lines than there are elements. A long step jumps over lines, and those are not fetched.",
            examples=(
                lambda count, stride, element_bytes=4, line_bytes=64: (
                    (count - 1) * stride * element_bytes // line_bytes + 1
                ),
            ),
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


def _traffic(elements):
    """A wrong answer: `elements(A, B, C, tiles down, tiles across)` in bytes."""
    return lambda m, n, k, tile_m, tile_n, element_bytes=4: elements(*_parts(m, n, k, tile_m, tile_n)) * element_bytes


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
        Mistake(
            lambda m, n, k, tile_m, tile_n, element_bytes=4: tiled_traffic(m, n, k, tile_m, tile_n),
            "An element is not always 4 bytes: multiply by element_bytes.",
        ),
        Mistake(
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (
                tiled_traffic(m, n, k, tile_m, tile_n, 1) + 2 * m * n * (element_bytes - 1)
            ),
            "Only C is multiplied by element_bytes. Put the sum of all three in parentheses.",
        ),
    ),
    symptoms=(
        variants(
            "A *and* B are read again: A for every tile along n, B for every tile along m.",
            _traffic(lambda a, b, c, down, across: a + b * down + 2 * c),
            _traffic(lambda a, b, c, down, across: a * across + b + 2 * c),
        ),
        variants(
            "That is what has to move at least, or less. A and B are read again for other tiles of C, and C is read "
            "and written.",
            _traffic(lambda a, b, c, down, across: a + b + c),
            _traffic(lambda a, b, c, down, across: a + b),
        ),
        variants(
            "C is missing: it is read and written, once each.",
            _traffic(lambda a, b, c, down, across: a * across + b * down),
        ),
        variants(
            "Only C moves twice, since it is read and written. A and B are only read.",
            _traffic(lambda a, b, c, down, across: 2 * (a * across + b * down + c)),
        ),
        variants(
            "C is not read again for other tiles: each tile of C is read once and written once.",
            _traffic(lambda a, b, c, down, across: a * across + b * down + 2 * c * down * across),
            _traffic(lambda a, b, c, down, across: a * across + b * down + c * down * across),
            _traffic(lambda a, b, c, down, across: a * across + b * down + c * (down + across)),
        ),
        variants(
            "Where the tile divides the size, that counts one tile too many. Round up instead of adding 1.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (
                (m * k * (n // tile_n + 1) + k * n * (m // tile_m + 1) + 2 * m * n) * element_bytes
            ),
        ),
        variants(
            "That multiplies by the *length* of a tile. What counts is the number of tiles along the axis.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (
                (m * k * tile_n + k * n * tile_m + 2 * m * n) * element_bytes
            ),
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (
                (m * k * tile_m + k * n * tile_n + 2 * m * n) * element_bytes
            ),
        ),
        variants(
            "A tile at the edge is smaller: it has only the rows and columns that are left.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (
                math.ceil(m / tile_m)
                * math.ceil(n / tile_n)
                * element_bytes
                * (tile_m * k + k * tile_n + 2 * tile_m * tile_n)
            ),
        ),
        variants(
            "Round the number of tiles along each axis up first, and then multiply.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (
                (math.ceil(m * k * n / tile_n) + math.ceil(k * n * m / tile_m) + 2 * m * n) * element_bytes
            ),
        ),
        variants(
            "That is the untiled product, which reads A and B for each multiplication. A tile shares what it reads.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (2 * m * n * k + 2 * m * n) * element_bytes,
            lambda m, n, k, tile_m, tile_n, element_bytes=4: 4 * m * n * k * element_bytes,
        ),
        variants(
            "Bytes are elements times the bytes of each: multiply by element_bytes.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: tiled_traffic(m, n, k, tile_m, tile_n, 1) / element_bytes,
        ),
    ),
    also_correct=(_traffic_by_walking,),
)
