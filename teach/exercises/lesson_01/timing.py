"""Lesson 01, exercise 1.4: a time with its noise."""

import statistics

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 1.4 ------------------------------------------------------------------------------------------------


def typical_time(times: list[float], warmup: int) -> tuple[float, float]:
    """The median of the times after the warm-up, and their range from fastest to slowest."""
    kept = times[warmup:]
    return statistics.median(kept), max(kept) - min(kept)


def _range(times: list[float]) -> float:
    return max(times) - min(times)


def _two_in_the_middle(times: list[float], warmup: int) -> tuple[float, float]:
    kept = sorted(times[warmup:])
    return kept[(len(kept) - 1) // 2], kept[len(kept) // 2]


def _middle_unsorted(times: list[float], warmup: int) -> tuple[float, float]:
    kept = times[warmup:]
    return (kept[(len(kept) - 1) // 2] + kept[len(kept) // 2]) / 2, _range(kept)


def _times_case(generator: torch.Generator) -> Case:
    times = 10 + torch.rand(random_whole(generator, 5, 9), generator=generator) ** 4 * 30
    times[0] += 50  # the first call is the slow one
    return Case([round(value, 2) for value in times.tolist()], warmup=random_whole(generator, 1, 3))


def _typical_time_in_numpy(times: list[float], warmup: int) -> tuple[np.float64, np.float64]:
    kept = np.asarray(times)[warmup:]
    return np.median(kept), np.ptp(kept)


TYPICAL_TIME = Exercise(
    id="1.4",
    title="A time with its noise",
    reference=typical_time,
    cases=(
        Case([9.0, 1.0, 2.0, 6.0], warmup=1),
        Case([9.0, 3.0, 1.0, 2.0, 8.0], warmup=1),
        *random_cases(8, seed=16, make=_times_case),
    ),
    mistakes=(
        Mistake(
            lambda times, warmup: (statistics.mean(times[warmup:]), _range(times[warmup:])),
            "One slow run pulls the mean up. The median does not move.",
        ),
        Mistake(
            lambda times, warmup: (statistics.median(times), _range(times)),
            "The first calls are warm-up: leave them out.",
        ),
        Mistake(
            lambda times, warmup: typical_time(sorted(times), warmup),
            "If you sort first, you drop the fastest runs. Leave out the first runs, then sort.",
        ),
        Mistake(
            lambda times, warmup: typical_time(times[::-1], warmup),
            "That leaves out the last runs. The warm-up comes first: `times[warmup:]` is the rest.",
        ),
        Mistake(
            lambda times, warmup: (statistics.median(times[:warmup]), _range(times[:warmup])),
            "Only the warm-up is kept. `times[:warmup]` is the warm-up itself, and `times[warmup:]` is the rest.",
        ),
        Mistake(
            lambda times, warmup: (min(times[warmup:]), _range(times[warmup:])),
            "The fastest run is a single run. The exercise asks for the median, which half of the runs beat.",
        ),
        Mistake(
            lambda times, warmup: typical_time(times, 1),
            "Not always one: `warmup` says how many of the first runs to leave out.",
        ),
        Mistake(
            lambda times, warmup: (times[warmup:][len(times[warmup:]) // 2], times[-1] - times[warmup]),
            "The runs are still in the order in which they happened. Sort them: then the median is in the middle, and "
            "the range is the last minus the first.",
        ),
    ),
    symptoms=(
        variants(
            "That is the middle of the runs in the order in which they happened: sort them before you take the middle.",
            _middle_unsorted,
            lambda times, warmup: (times[warmup:][(len(times[warmup:]) - 1) // 2], _range(times[warmup:])),
            item=0,
        ),
        Symptom(
            lambda got, expected, a: (
                len(a["times"][a["warmup"] :]) % 2 == 0
                and min(abs(got[0] - middle) for middle in _two_in_the_middle(**a)) < 1e-4
            ),
            "For an even number of runs the median is the mean of the two in the middle.",
            (
                lambda times, warmup: (_two_in_the_middle(times, warmup)[1], _range(times[warmup:])),
                lambda times, warmup: (_two_in_the_middle(times, warmup)[0], _range(times[warmup:])),
                lambda times, warmup: (torch.tensor(times[warmup:]).double().median(), _range(times[warmup:])),
            ),
        ),
        Symptom(
            lambda got, expected, a: any(
                abs(got[1] - spread(a["times"][a["warmup"] :])) < 1e-4
                for spread in (statistics.stdev, statistics.pstdev, statistics.variance, statistics.pvariance)
            ),
            "That is a standard deviation or a variance. The exercise asks for the range: slowest minus fastest.",
            (
                lambda times, warmup: (statistics.median(times[warmup:]), statistics.stdev(times[warmup:])),
                lambda times, warmup: (statistics.median(times[warmup:]), np.std(times[warmup:])),
                lambda times, warmup: (statistics.median(times[warmup:]), np.var(times[warmup:])),
            ),
        ),
        Symptom(
            lambda got, expected, a: (
                len(got) == 3 or isinstance(got[1], (list, tuple)) or got[1] in (max(a["times"][a["warmup"] :]), got[0])
            ),
            "The range is one number, the slowest time minus the fastest.",
            (
                lambda times, warmup: (statistics.median(times[warmup:]), max(times[warmup:])),
                lambda times, warmup: (statistics.median(times[warmup:]), (min(times[warmup:]), max(times[warmup:]))),
                lambda times, warmup: (statistics.median(times[warmup:]), min(times[warmup:]), max(times[warmup:])),
            ),
        ),
        Symptom(
            lambda got, expected, a: got == typical_time(a["times"], a["warmup"] + 1),
            "One run too many is left out: counted from 0, the first run to keep is times[warmup].",
            (lambda times, warmup: typical_time(times, warmup + 1),),
        ),
    ),
    also_correct=(_typical_time_in_numpy,),
)
