"""Lesson 09, exercises 9.3 to 9.5: an uneven split, a legal order, a tile that fits."""

from math import isqrt

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 9.3 ------------------------------------------------------------------------------------------------


def guarded_split(n: int, factor: int) -> tuple[int, int]:
    """The iterations of the outer loop after a split, and how many of all iterations the guard skips."""
    outer = -(-n // factor)
    return outer, outer * factor - n


def _split_by_running(n: int, factor: int) -> list[int]:
    outer = 0
    while outer * factor < n:
        outer += 1
    return [outer, sum(i + factor * o >= n for o in range(outer) for i in range(factor))]


GUARDED_SPLIT = Exercise(
    id="9.3",
    title="A split that does not come out even",
    reference=guarded_split,
    cases=(
        Case(8, 4),
        Case(10, 4),
        Case(3, 8),
        Case(100, 16),
        *random_cases(8, seed=93, make=lambda g: Case(random_whole(g, 20, 200), random_whole(g, 2, 16))),
    ),
    mistakes=(
        Mistake(
            lambda n, factor: (n // factor, 0),
            "The last iterations are lost: when n / factor leaves a rest, one more outer iteration is needed for it.",
        ),
        Mistake(
            lambda n, factor: (n // factor, n % factor),
            "Those are the iterations that would be *lost*. Take "
            "one more outer iteration; then count what is too many.",
        ),
        Mistake(
            lambda n, factor: (n // factor + 1, (n // factor + 1) * factor - n),
            "When factor divides n, that is one outer iteration too many.",
        ),
        Mistake(
            lambda n, factor: (-(-n // factor), n % factor),
            "The last inner loop still does n % factor iterations. The guard skips the others.",
        ),
        Mistake(
            lambda n, factor: (-(-n // factor), n - -(-n // factor) * factor),
            "Count what is too many: outer * factor iterations are made, n are wanted.",
        ),
    ),
    also_correct=(_split_by_running, lambda n, factor: (np.int64(np.ceil(n / factor)), np.int64(-n % factor))),
)

# 9.4 ------------------------------------------------------------------------------------------------


def is_legal(distances: list[tuple[int, ...]], order: tuple[int, ...]) -> bool:
    """Whether every distance still points forward in time when the loops stand in a new order."""
    return all(tuple(distance[loop] for loop in order) >= (0,) * len(order) for distance in distances)


def _first_step(distance: tuple[int, ...], order: tuple[int, ...]) -> int:
    """The first entry in the new order that is not 0, or 0."""
    return next((distance[loop] for loop in order if distance[loop]), 0)


def _is_legal_by_looking(distances: list[tuple[int, ...]], order: tuple[int, ...]) -> bool:
    for distance in distances:
        for loop in order:
            if distance[loop] > 0:
                break
            if distance[loop] < 0:
                return False
    return True


def _is_legal_by_number(distances: list[tuple[int, ...]], order: tuple[int, ...]) -> np.bool_:
    weights = 1000 ** np.arange(len(order))[::-1]
    return np.bool_(all(np.dot(weights, [distance[loop] for loop in order]) >= 0 for distance in distances))


def _distances(generator: torch.Generator) -> Case:
    distances = []
    while len(distances) < random_whole(generator, 1, 2):
        distance = tuple(random_whole(generator, -1, 2) for _ in range(3))
        if distance > (0, 0, 0):  # as every distance is in the old order
            distances.append(distance)
    return Case(distances, tuple(torch.randperm(3, generator=generator).tolist()))


IS_LEGAL = Exercise(
    id="9.4",
    title="Is the new order legal?",
    reference=is_legal,
    cases=(
        Case([(1, -1)], (1, 0)),
        Case([(1, -1)], (0, 1)),
        Case([(1, 1)], (1, 0)),
        Case([(1, -2)], (0, 1)),
        Case([(0, 1)], (1, 0)),
        Case([(0, 0)], (1, 0)),
        Case([(1, 0), (0, 1)], (1, 0)),
        Case([(1, 0), (1, -1)], (1, 0)),
        Case([(0, 1, -1)], (2, 0, 1)),
        Case([(1, 0, -1)], (1, 2, 0)),
        *random_cases(12, seed=94, make=_distances),
    ),
    mistakes=(
        Mistake(
            lambda distances, order: all(step >= 0 for distance in distances for step in distance),
            "A negative step is no harm behind a positive one: an outer loop has then already put things in order.",
        ),
        Mistake(
            lambda distances, order: all(tuple(distance) >= (0,) * len(order) for distance in distances),
            "That looks at the old order, in which every distance "
            "points forward. Put its steps into the new order first.",
        ),
        Mistake(
            lambda distances, order: all(distance[order[0]] >= 0 for distance in distances),
            "If the new outermost loop makes no step (0), the next loop decides.",
        ),
        Mistake(
            lambda distances, order: all(distance[order[0]] > 0 for distance in distances),
            "The outermost loop need not make a step: where it makes none (0), the next loop decides.",
        ),
        Mistake(
            lambda distances, order: any(_first_step(distance, order) >= 0 for distance in distances),
            "One dependence that is broken is enough to change the result: all of them must point forward.",
        ),
        Mistake(
            lambda distances, order: all(_first_step(distance, order) > 0 for distance in distances),
            "A distance of all zeros lies within one iteration, and no order of loops can break it.",
        ),
        Mistake(
            lambda distances, order: all(
                tuple(distance[order.index(place)] for place in range(len(order))) >= (0,) * len(order)
                for distance in distances
            ),
            "That puts them into the inverse order: order[0] is the number of the loop that becomes the outermost.",
        ),
        Mistake(
            lambda distances, order: all(sum(distance) >= 0 for distance in distances),
            "The steps are not added up: an outer loop outweighs all inner ones.",
        ),
    ),
    also_correct=(_is_legal_by_looking, _is_legal_by_number),
)

# 9.5 ------------------------------------------------------------------------------------------------


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
            "A tile need not be a power of two: any multiple of the elements in a line will do.",
        ),
        Mistake(
            lambda cache_bytes, element_bytes, line_bytes: (
                cache_bytes // (3 * element_bytes) // (line_bytes // element_bytes) * (line_bytes // element_bytes)
            ),
            "That is how many elements a tile may have. Its side is the square root.",
        ),
    ),
    also_correct=(_largest_by_trying, _largest_by_floats),
)
