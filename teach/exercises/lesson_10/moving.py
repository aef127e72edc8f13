"""Lesson 10, exercise 10.4: the bytes that a tiled matrix product moves."""

import math

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants


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
        Case(4, 8, 1, 2, 8, element_bytes=1),
        Case(64, 64, 512, 8, 16),
        Case(10, 9, 7, 4, 4),
        *random_cases(8, seed=104, make=_tile_case),
    ),
    mistakes=(
        Mistake(
            _swapped,
            "The two are swapped. A has no axis n, so it is read again for every tile along n; B for every tile along "
            "m.",
        ),
        Mistake(_written_only, "C += ... reads the old value of C before it writes the new one: C moves twice."),
        Mistake(_c_each_k, "A tile of C stays in the cache for all of k. It is read once and written once."),
        Mistake(_once, "That reads A and B only once. Both are read again for each tile of C that needs them."),
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
            "The two tiles are swapped: tile_m cuts the axis m, and tile_n cuts n.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: tiled_traffic(m, n, k, tile_n, tile_m, element_bytes),
        ),
        variants(
            "A *and* B are read again: A for every tile along n, B for every tile along m.",
            _traffic(lambda a, b, c, down, across: a + b * down + 2 * c),
            _traffic(lambda a, b, c, down, across: a * across + b + 2 * c),
        ),
        variants(
            "That is the minimum, or less. A and B are read again for other tiles of C, and C is read and written.",
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
            "That multiplies by the *length* of a tile. Multiply by the number of tiles along the axis.",
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
            "That is the untiled product, which reads A and B for each multiplication. A tile uses each element that "
            "it reads many times.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: (2 * m * n * k + 2 * m * n) * element_bytes,
            lambda m, n, k, tile_m, tile_n, element_bytes=4: 4 * m * n * k * element_bytes,
        ),
        variants(
            "Bytes are elements times bytes per element: multiply by element_bytes.",
            lambda m, n, k, tile_m, tile_n, element_bytes=4: tiled_traffic(m, n, k, tile_m, tile_n, 1) / element_bytes,
        ),
    ),
    also_correct=(_traffic_by_walking,),
)
