"""Lesson 05, exercise 5.7: from which density on zeros save time."""

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole

Times = list[tuple[float, float]]  # at each density, the low and the high end of the measured times


def crossover(densities: list[float], dense: Times, sparse: Times) -> float | None:
    """The highest density at and below which the sparse kernel is always faster beyond the spread."""
    found = None
    for density, (dense_low, _), (_, sparse_high) in sorted(zip(densities, dense, sparse)):
        if sparse_high >= dense_low:
            break
        found = density
    return found


def _crossover_in_numpy(densities: list[float], dense: Times, sparse: Times) -> np.float64 | None:
    order = np.argsort(densities)
    faster = np.array(sparse)[order, 1] < np.array(dense)[order, 0]
    count = int(np.logical_and.accumulate(faster).sum())
    return np.array(densities)[order][count - 1] if count else None


def _crossover_from_above(densities: list[float], dense: Times, sparse: Times) -> float | None:
    slower = [d for d, (low, _), (_, high) in zip(densities, dense, sparse) if not high < low]
    left = [d for d in densities if all(d < other for other in slower)]
    return max(left) if left else None


def _swept(densities: list[float], dense: Times, sparse: Times, wins) -> float | None:
    """The crossover where `wins((low, high) of dense, (low, high) of sparse)` says who is faster."""
    found = None
    for density, one, other in sorted(zip(densities, dense, sparse)):
        if not wins(one, other):
            break
        found = density
    return found


def _race_case(generator: torch.Generator) -> Case:
    densities = [0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05]
    cost = random_whole(generator, 12, 40) / 10  # of a weight in the sparse kernel, in those of the dense one
    dense, sparse_times = [], []
    for density in densities:
        one, other = (0.7 + 0.6 * torch.rand(2, generator=generator)).tolist()  # a noisy machine
        middle = cost * density * other + 0.1
        dense.append((round(0.9 * one, 2), round(1.1 * one, 2)))
        sparse_times.append((round(0.85 * middle, 2), round(1.25 * middle, 2)))
    return Case(densities, dense, sparse_times)


def _as_if(says: str, *wrong) -> Symptom:
    """The symptom that the crossover, or None, is what one of `wrong` finds."""
    return Symptom(lambda got, expected, given: got != expected and got in [one(**given) for one in wrong], says, wrong)


def _highest_win(densities: list[float], dense: Times, sparse: Times, wins) -> float | None:
    return max((d for d, one, other in zip(densities, dense, sparse) if wins(one, other)), default=None)


def _from_the_top(densities: list[float], dense: Times, sparse: Times, otherwise: float | None) -> float | None:
    """The last density from above before one at which the sparse kernel is not faster."""
    faster = [high < low for (low, _), (_, high) in zip(dense, sparse)]
    return next((([otherwise, *densities][at]) for at, wins in enumerate(faster) if not wins), densities[-1])


def _all_or_none(densities: list[float], dense: Times, sparse: Times) -> float | None:
    return densities[0] if all(high < low for (low, _), (_, high) in zip(dense, sparse)) else None


def _first_slower(densities: list[float], dense: Times, sparse: Times, otherwise: float | None) -> float | None:
    """The lowest density at which the sparse kernel is not faster."""
    rows = list(zip(densities, dense, sparse))[::-1]
    return next((d for d, (low, _), (_, high) in rows if not high < low), otherwise)


CROSSOVER = Exercise(
    id="5.7",
    title="From which density on is it faster?",
    reference=crossover,
    cases=(
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(1.4, 1.5), (0.4, 0.5)]),
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(0.7, 1.3), (0.4, 0.5)]),
        Case([0.5, 0.2, 0.1], [(1.0, 1.1), (1.0, 1.1), (1.0, 1.1)], [(0.8, 0.9), (1.2, 1.3), (0.4, 0.5)]),
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(1.4, 1.5), (1.0, 1.2)]),
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(0.9, 1.0), (0.4, 0.5)]),
        Case([0.5, 0.1], [(1.0, 1.1), (1.0, 1.1)], [(0.8, 0.9), (0.4, 0.5)]),
        Case([0.4, 0.2], [(2.0, 2.5), (2.0, 2.5)], [(3.0, 3.5), (2.0, 3.0)]),
        Case([0.6, 0.3], [(1.5, 1.6), (1.5, 1.6)], [(1.8, 1.9), (1.4, 1.7)]),
        *random_cases(10, seed=57, make=_race_case),
    ),
    mistakes=(
        Mistake(
            lambda densities, dense, sparse: max(densities),
            "Fewer multiplications do not yet mean less time. Look at the times.",
        ),
        Mistake(
            lambda densities, dense, sparse: _swept(densities, dense, sparse, lambda d, s: sum(s) < sum(d)),
            "The two ranges overlap there, so the difference may be chance. Faster means that the high end is below "
            "the other's low end.",
        ),
        Mistake(
            lambda densities, dense, sparse: _swept(densities, dense, sparse, lambda d, s: s[0] < d[1]),
            "That compares the best run of one with the worst of the other. Ask for the reverse: high end below "
            "low end.",
        ),
        Mistake(
            lambda densities, dense, sparse: max(
                (d for d, one, other in zip(densities, dense, sparse) if other[1] < one[0]), default=None
            ),
            "Further down it is slower again, so that one win was luck. It must be faster at every density below "
            "as well.",
        ),
        Mistake(
            lambda densities, dense, sparse: min(
                (d for d, one, other in zip(densities, dense, sparse) if other[1] < one[0]), default=None
            ),
            "That is the lowest density. The exercise asks for the highest density at and below which it is always "
            "faster.",
        ),
        Mistake(
            lambda densities, dense, sparse: _swept(densities, dense, sparse, lambda d, s: s[1] <= d[0]),
            "Where the two ranges touch, it is not yet faster: <, not <=.",
        ),
        Mistake(
            lambda densities, dense, sparse: crossover(densities, dense, sparse) or 0.0,
            "Where it is never faster there is no such density: return None. Zero would be a density.",
        ),
        Mistake(
            lambda densities, dense, sparse: crossover(densities[1:], dense[1:], sparse[1:]),
            "It may be faster at the highest density as well: look at all of them.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: expected is None and got is not None,
            "Where the sparse kernel is not faster even at the lowest density, there is no crossover: return None.",
            [lambda densities, dense, sparse: crossover(densities, dense, sparse) or densities[-1]],
        ),
        _as_if(
            "Faster beyond the spread means that the high end of the sparse kernel's times is *below* the low end of "
            "the dense one's.",
            *(
                lambda densities, dense, sparse, wins=wins: _swept(densities, dense, sparse, wins)
                for wins in (lambda d, s: s[0] < d[0], lambda d, s: s[1] < d[1])
            ),
            *(
                lambda densities, dense, sparse, wins=wins: _highest_win(densities, dense, sparse, wins)
                for wins in (
                    lambda d, s: s[0] < d[0],
                    lambda d, s: s[1] < d[1],
                    lambda d, s: sum(s) < sum(d),
                    lambda d, s: s[0] < d[1],
                )
            ),
        ),
        _as_if(
            "One slower density does not rule out those below it. Begin at the lowest density, and go up while the "
            "sparse kernel is faster.",
            lambda densities, dense, sparse: _from_the_top(densities, dense, sparse, None),
            _all_or_none,
        ),
        _as_if(
            "The two kernels are swapped: the sparse one has to be the faster.",
            lambda densities, dense, sparse: crossover(densities, sparse, dense),
            lambda densities, dense, sparse: _highest_win(densities, sparse, dense, lambda d, s: s[1] < d[0]),
        ),
        _as_if(
            "That is the density at which it is no longer faster. The exercise asks for the last one, going up, at "
            "which it still is.",
            lambda densities, dense, sparse: _first_slower(densities, dense, sparse, None),
            lambda densities, dense, sparse: _first_slower(densities, dense, sparse, densities[0]),
        ),
        Symptom(
            lambda got, expected, given: isinstance(got, (list, tuple)),
            "Return a single density: the highest of those.",
            [
                lambda densities, dense, sparse: [
                    d for d in densities[::-1] if d <= (crossover(densities, dense, sparse) or 0)
                ]
            ],
        ),
        Symptom(
            lambda got, expected, given: 0 < got < 1 and got not in given["densities"],
            "Return one of the densities, not a value between two of them.",
            [
                lambda densities, dense, sparse: (
                    crossover(densities, dense, sparse) and crossover(densities, dense, sparse) - 0.01
                )
            ],
        ),
        Symptom(
            lambda got, expected, given: (
                isinstance(got, int) and expected is not None and given["densities"][got] == expected
            ),
            "That is the place of the density in the list. Return the density.",
            [
                lambda densities, dense, sparse: (
                    None
                    if crossover(densities, dense, sparse) is None
                    else densities.index(crossover(densities, dense, sparse))
                )
            ],
        ),
    ),
    also_correct=(_crossover_in_numpy, _crossover_from_above),
)
