"""Lesson 09, exercise 9.5: the largest tile that fits."""

from math import isqrt

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def largest_tile(cache_bytes: int, element_bytes: int, line_bytes: int) -> int:
    """The side of the largest square tile, in whole lines, of which three fit into a cache."""
    per_line = line_bytes // element_bytes
    return isqrt(cache_bytes // (3 * element_bytes)) // per_line * per_line


def _largest_by_trying(cache_bytes: int, element_bytes: int, line_bytes: int) -> int:
    side = 0
    while 3 * (side + line_bytes // element_bytes) ** 2 * element_bytes <= cache_bytes:
        side += line_bytes // element_bytes
    return side


def _largest_by_floats(cache_bytes: int, element_bytes: int, line_bytes: int) -> np.float64:
    lines = np.arange(1, 1000)
    sides = lines * line_bytes / element_bytes
    return sides[3 * sides**2 * element_bytes <= cache_bytes].max()


def _side(bytes_of_a_tile: float, element_bytes: int, line_bytes: int) -> int:
    per_line = line_bytes // element_bytes
    return isqrt(int(bytes_of_a_tile) // element_bytes) // per_line * per_line


def _rounded(side: float, step: int) -> int:
    return int(side // step * step)


def _cache(generator: torch.Generator) -> Case:
    size = 1024 * (8, 16, 32, 48, 64, 128, 256, 512)[random_whole(generator, 0, 7)]
    return Case(size, (2, 4, 8)[random_whole(generator, 0, 2)], (32, 64)[random_whole(generator, 0, 1)])


LARGEST_TILE = Exercise(
    id="9.5",
    title="The largest tile that fits",
    reference=largest_tile,
    cases=(
        Case(3072, 4, 64),
        Case(32 * 1024, 4, 64),
        Case(32 * 1024, 8, 64),
        Case(48 * 1024, 4, 64),
        *random_cases(8, seed=95, make=_cache),
    ),
    mistakes=(
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: _side(cache_bytes, element_bytes, line_bytes),
            "That leaves room for one tile. A, B and C each have one in the cache at the same time.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: isqrt(cache_bytes // (3 * element_bytes)),
            "A line comes as a whole or not at all: make the side a multiple of the elements in a line.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: _side(
                cache_bytes // 3 * element_bytes, element_bytes, line_bytes
            ),
            "An element takes element_bytes, so fewer of them fit than there are bytes: divide by it.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: (
                _side(cache_bytes / 3, element_bytes, line_bytes) + line_bytes // element_bytes
            ),
            "Rounded up, the three tiles no longer fit. Round down.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: (
                2 ** (isqrt(cache_bytes // (3 * element_bytes)).bit_length() - 1)
            ),
            "A tile does not have to be a power of two: any multiple of the elements in a line will do.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: (
                cache_bytes // (3 * element_bytes) // (line_bytes // element_bytes) * (line_bytes // element_bytes)
            ),
            "That is how many elements a tile may have. Its side is the square root.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: _side((cache_bytes - 1) / 3, element_bytes, line_bytes),
            "Three tiles that fill the cache exactly still fit: <= and not <.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: largest_tile(cache_bytes, element_bytes, 16 * element_bytes),
            "A line does not always hold 16 elements. It holds line_bytes // element_bytes of them.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: largest_tile(cache_bytes, 4, line_bytes),
            "An element is not always 4 bytes. Use element_bytes.",
        ),
    ),
    symptoms=(
        variants(
            "A tile is square, with side * side elements: take the square root.",
            lambda cache_bytes, element_bytes, line_bytes: cache_bytes // (3 * element_bytes),
            lambda cache_bytes, element_bytes, line_bytes: cache_bytes / (3 * element_bytes),
            lambda cache_bytes, element_bytes, line_bytes: _rounded(
                (cache_bytes / element_bytes) ** (1 / 3), line_bytes // element_bytes
            ),
            lambda cache_bytes, element_bytes, line_bytes: _rounded(
                (cache_bytes / element_bytes / 3) ** (1 / 3), line_bytes // element_bytes
            ),
        ),
        variants(
            "The side is a whole number of lines: round it down to a multiple of line_bytes // element_bytes.",
            lambda cache_bytes, element_bytes, line_bytes: (cache_bytes / (3 * element_bytes)) ** 0.5,
        ),
        variants(
            "The side is a number of elements, and a line holds line_bytes // element_bytes of them, not line_bytes.",
            lambda cache_bytes, element_bytes, line_bytes: _rounded(
                (cache_bytes / (3 * element_bytes)) ** 0.5, line_bytes
            ),
        ),
        variants(
            "That is the side in lines, or in bytes. Return it in elements.",
            lambda cache_bytes, element_bytes, line_bytes: (
                largest_tile(cache_bytes, element_bytes, line_bytes) // (line_bytes // element_bytes)
            ),
            lambda cache_bytes, element_bytes, line_bytes: (
                largest_tile(cache_bytes, element_bytes, line_bytes) * element_bytes
            ),
        ),
        variants(
            "That is larger than what fits. Round the side down, not up.",
            lambda cache_bytes, element_bytes, line_bytes: (
                -_rounded(-((cache_bytes / (3 * element_bytes)) ** 0.5), line_bytes // element_bytes)
            ),
            lambda cache_bytes, element_bytes, line_bytes: (
                round((cache_bytes / (3 * element_bytes)) ** 0.5 / (line_bytes // element_bytes))
                * (line_bytes // element_bytes)
            ),
        ),
        variants(
            "Three tiles are in the cache at the same time: one of A, one of B and one of C.",
            lambda cache_bytes, element_bytes, line_bytes: _side(cache_bytes / 2, element_bytes, line_bytes),
            lambda cache_bytes, element_bytes, line_bytes: _side(cache_bytes / 4, element_bytes, line_bytes),
        ),
        variants(
            "Three tiles of side * side elements fit. Divide by 3 first, and take the root of that.",
            lambda cache_bytes, element_bytes, line_bytes: _side(cache_bytes / 9, element_bytes, line_bytes),
            lambda cache_bytes, element_bytes, line_bytes: _rounded(
                isqrt(cache_bytes // element_bytes) // 3, line_bytes // element_bytes
            ),
        ),
        variants(
            "That is the number of elements in the tile, or in all three. Return the side of one.",
            lambda cache_bytes, element_bytes, line_bytes: largest_tile(cache_bytes, element_bytes, line_bytes) ** 2,
            lambda cache_bytes, element_bytes, line_bytes: (
                3 * largest_tile(cache_bytes, element_bytes, line_bytes) ** 2
            ),
        ),
        Symptom(
            lambda got, expected, arguments: got % (arguments["line_bytes"] // arguments["element_bytes"]) != 0,
            "The side is not a whole number of lines: round it down to a multiple of the elements in a line.",
            examples=(lambda cache_bytes, element_bytes, line_bytes: isqrt(cache_bytes // element_bytes) // 3 * 2 + 1,),
        ),
        Symptom(
            lambda got, expected, arguments: 3 * got**2 * arguments["element_bytes"] > arguments["cache_bytes"],
            "Three square tiles of that side take more bytes than the cache has.",
            examples=(
                lambda cache_bytes, element_bytes, line_bytes: 7 * largest_tile(cache_bytes, element_bytes, line_bytes),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: 0 <= got < expected,
            "A larger side would still fit: 3 * side * side elements are in the cache.",
            examples=(
                lambda cache_bytes, element_bytes, line_bytes: _side(cache_bytes / 12, element_bytes, line_bytes),
            ),
        ),
    ),
    also_correct=(_largest_by_trying, _largest_by_floats),
)
