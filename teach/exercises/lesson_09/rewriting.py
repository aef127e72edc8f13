"""Lesson 09, exercises 9.3 and 9.4: an uneven split, a legal order."""

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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
            "The last iterations are lost: when n / factor leaves a remainder, one more outer iteration is needed for "
            "it.",
        ),
        Mistake(
            lambda n, factor: (n // factor, n % factor),
            "Those are the iterations that would be *lost*. Take one more outer iteration; then count the surplus.",
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
            "Count the surplus: outer * factor iterations run, and n are needed.",
        ),
        Mistake(
            lambda n, factor: (-(-n // factor), factor - n % factor),
            "When factor divides n, nothing is left over and nothing is skipped: 0, not a whole inner loop.",
        ),
        Mistake(
            lambda n, factor: (-(-n // factor), 0), "The last inner loop goes beyond n. The guard skips that part."
        ),
    ),
    symptoms=(
        variants(
            "The outer loop runs a whole number of times and has to cover all n: round n / factor up.",
            lambda n, factor: (round(n / factor), round(n / factor) * factor - n),
            lambda n, factor: (n / factor, n / factor * factor - n),
            lambda n, factor: (n / factor, -n % factor),
            lambda n, factor: (round(n / factor), max(0, round(n / factor) * factor - n)),
            lambda n, factor: (round(n / factor), abs(round(n / factor) * factor - n)),
        ),
        variants(
            "The factor is the length of the *inner* loop. The outer loop runs once for each piece of that length, "
            "until all n are covered.",
            lambda n, factor: (factor, -n % factor),
            lambda n, factor: (factor, -(-n // factor) * factor - n),
        ),
        variants(
            "The second number is how many iterations are skipped: the outer * factor that run, minus the n that are "
            "needed.",
            lambda n, factor: (-(-n // factor), factor),
            lambda n, factor: (-(-n // factor), n),
            lambda n, factor: (-(-n // factor), -(-n // factor) * factor),
            lambda n, factor: (-(-n // factor), int(n % factor != 0)),
            lambda n, factor: (-(-n // factor), n // factor),
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
        Case([(1, -1), (1, 0)], (1, 0)),
        Case([(0, 1, -1)], (2, 0, 1)),
        Case([(1, 0, -1)], (1, 2, 0)),
        Case([(1, 0, 0, -1)], (1, 2, 3, 0)),
        *random_cases(12, seed=94, make=_distances),
    ),
    mistakes=(
        Mistake(
            lambda distances, order: all(step >= 0 for distance in distances for step in distance),
            "A negative step does no harm after a positive one: an outer loop has already put the two in order.",
        ),
        Mistake(
            lambda distances, order: all(tuple(distance) >= (0,) * len(order) for distance in distances),
            "By that rule, every order is legal. Put the steps of a distance into the new order: the first of them "
            "that is not 0 has to be positive.",
        ),
        Mistake(
            lambda distances, order: all(distance[order[0]] >= 0 for distance in distances),
            "If the new outermost loop makes no step (0), the next loop decides.",
        ),
        Mistake(
            lambda distances, order: all(distance[order[0]] > 0 for distance in distances),
            "The outermost loop does not have to make a step. Where it makes none (0), the next loop decides.",
        ),
        Mistake(
            lambda distances, order: any(_first_step(distance, order) >= 0 for distance in distances),
            "One broken dependence is enough to change the result: all of them must point forward.",
        ),
        Mistake(
            lambda distances, order: all(_first_step(distance, order) > 0 for distance in distances),
            "A distance of all zeros stays within one iteration, and no order of loops can break it.",
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
        Mistake(
            lambda distances, order: all(_first_step(distance, order[::-1]) >= 0 for distance in distances),
            "The *first* step that is not 0 decides, and the outermost loop comes first.",
        ),
        Mistake(
            lambda distances, order: all(tuple(distance[::-1]) >= (0,) * len(distance) for distance in distances),
            "That always reverses the loops. `order` says which loop comes first, second, and so on.",
        ),
        Mistake(
            lambda distances, order: tuple(order) == tuple(sorted(order)),
            "Many new orders are legal as well. Look at the distances: does one of them point backward now?",
        ),
        Mistake(
            lambda distances, order: all(max((d[loop] for loop in order), key=abs) >= 0 for d in distances),
            "The largest step does not decide, however long it is. The outermost one that is not 0 does.",
        ),
        Mistake(
            lambda distances, order: all((distance[order[0]], distance[order[1]]) >= (0, 0) for distance in distances),
            "That looks at two loops only. There may be more, and the first step that is not 0 may be further in.",
        ),
        Mistake(
            lambda distances, order: _first_step(distances[0], order) >= 0,
            "That looks at the first distance only. Every one of them must point forward.",
        ),
        Mistake(
            lambda distances, order: _first_step(distances[-1], order) >= 0,
            "The last distance decides alone. One that points backward is enough, wherever it is in the list.",
        ),
        Mistake(
            lambda distances, order: not all(_first_step(distance, order) >= 0 for distance in distances),
            "That is the opposite: True means that the order is legal.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: isinstance(got, list) and len(got) == len(arguments["distances"]),
            "That is one answer for each distance. Return one for all of them: every distance must point forward.",
            examples=(lambda distances, order: [_first_step(distance, order) >= 0 for distance in distances],),
        ),
    ),
    also_correct=(_is_legal_by_looking, _is_legal_by_number),
)
