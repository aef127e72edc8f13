"""Lesson 01, exercises 1.4 to 1.7: a time with its noise, the roofline, and Amdahl's law."""

import statistics

import numpy as np
import torch

from mini_lib import roofline
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 1.4 ------------------------------------------------------------------------------------------------


def typical_time(times: list[float], warmup: int) -> tuple[float, float]:
    """The median of the times after the warm-up, and their range from fastest to slowest."""
    kept = times[warmup:]
    return statistics.median(kept), max(kept) - min(kept)


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
            lambda times, warmup: (statistics.mean(times[warmup:]), max(times[warmup:]) - min(times[warmup:])),
            "One slow run pulls the mean up. The median does not move.",
        ),
        Mistake(
            lambda times, warmup: (statistics.median(times), max(times) - min(times)),
            "The first calls are warm-up: leave them out.",
        ),
        Mistake(
            lambda times, warmup: typical_time(sorted(times), warmup),
            "Sorted first, it is the fastest runs that are dropped. Leave out the first runs, then sort.",
        ),
        Mistake(
            lambda times, warmup: (
                sorted(times[warmup:])[len(times[warmup:]) // 2],
                max(times[warmup:]) - min(times[warmup:]),
            ),
            "For an even number of runs the median is the mean of the two in the middle.",
        ),
        Mistake(
            lambda times, warmup: (statistics.median(times[warmup:]), statistics.stdev(times[warmup:])),
            "That is the standard deviation. Asked for is the range: slowest minus fastest.",
        ),
    ),
    also_correct=(_typical_time_in_numpy,),
)

# 1.5 ------------------------------------------------------------------------------------------------

MATMUL_INTENSITY = Exercise(
    id="1.5",
    title="Arithmetic intensity of a matrix product",
    function="matmul_intensity",
    reference=lambda m, n, k: roofline.matmul_intensity(m, n, k),
    forbidden=(roofline.matmul_intensity, roofline.arithmetic_intensity),
    cases=(
        Case(1, 1, 1),
        Case(1, 2, 4),
        Case(64, 64, 64),
        *random_cases(
            8, seed=14, make=lambda g: Case(random_whole(g, 1, 40), random_whole(g, 1, 40), random_whole(g, 1, 40))
        ),
    ),
    mistakes=(
        Mistake(
            lambda m, n, k: m * n * k / (4 * (m * k + k * n + m * n)),
            "Those are MACs. Intensity is FLOPs for each byte, and a MAC is two FLOPs.",
        ),
        Mistake(
            lambda m, n, k: 2 * m * n * k / (m * k + k * n + m * n),
            "That is for each number moved. A float32 is 4 bytes.",
        ),
        Mistake(
            lambda m, n, k: 2 * m * n * k / (4 * (m * k + k * n)), "The result has to be written too: m * n numbers."
        ),
        Mistake(
            lambda m, n, k: 4 * (m * k + k * n + m * n) / (2 * m * n * k),
            "Upside down: it is FLOPs for each byte, not bytes for each FLOP.",
        ),
    ),
    also_correct=(
        lambda m, n, k: np.float64(m * n * k) / (2 * m * k + 2 * k * n + 2 * m * n),
        lambda m, n, k: 1 / (2 / n + 2 / m + 2 / k),
    ),
)

# 1.6 ------------------------------------------------------------------------------------------------


def attainable(intensity: float, peak: float, bandwidth: float) -> float:
    """The FLOP/s that the roofline allows."""
    return min(peak, intensity * bandwidth)


ATTAINABLE = Exercise(
    id="1.6",
    title="Under the roofline",
    reference=attainable,
    cases=(
        Case(1.0, peak=100.0, bandwidth=10.0),
        Case(20.0, peak=100.0, bandwidth=10.0),
        *random_cases(
            8,
            seed=15,
            make=lambda g: Case(
                random_whole(g, 1, 20) / 2, peak=float(random_whole(g, 20, 60)), bandwidth=float(random_whole(g, 2, 20))
            ),
        ),
    ),
    mistakes=(
        Mistake(
            lambda intensity, peak, bandwidth: max(peak, intensity * bandwidth),
            "Both limits hold at once, so the lower one decides.",
        ),
        Mistake(
            lambda intensity, peak, bandwidth: intensity * bandwidth,
            "However many FLOPs each byte brings, the machine cannot do more than its peak.",
        ),
        Mistake(
            lambda intensity, peak, bandwidth: peak,
            "The peak is reached only if the data arrives fast enough: intensity * bandwidth is the other limit.",
        ),
        Mistake(
            lambda intensity, peak, bandwidth: min(peak, bandwidth / intensity),
            "Check the units: FLOP for each byte times bytes for each second is FLOP for each second.",
        ),
        Mistake(
            lambda intensity, peak, bandwidth: 1 / (1 / peak + 1 / (intensity * bandwidth)),
            "That adds the two times. The roofline lets the machine compute and fetch at the same time.",
        ),
    ),
    also_correct=(
        lambda intensity, peak, bandwidth: peak if intensity >= peak / bandwidth else intensity * bandwidth,
        lambda intensity, peak, bandwidth: np.minimum(np.float64(peak), intensity * bandwidth),
    ),
)

# 1.7 ------------------------------------------------------------------------------------------------


def speedup(share: float, factor: float) -> float:
    """How many times faster the whole gets when `share` of its time gets `factor` times faster."""
    return 1 / (1 - share + share / factor)


def _speedup_by_clock(share: float, factor: float) -> float:
    before = 1000.0
    after = before * (1 - share) + before * share / factor
    return before / after


SPEEDUP = Exercise(
    id="1.7",
    title="Faster as a whole",
    reference=speedup,
    cases=(
        Case(1.0, factor=4.0),
        Case(0.5, factor=2.0),
        *random_cases(
            8, seed=17, make=lambda g: Case(random_whole(g, 1, 19) / 20, factor=float(random_whole(g, 2, 9)))
        ),
    ),
    mistakes=(
        Mistake(
            lambda share, factor: factor, "Only this share of the time gets faster. The rest takes as long as before."
        ),
        Mistake(
            lambda share, factor: share * factor,
            "That weighs the speeds. Add up times instead: what stays, and what got faster.",
        ),
        Mistake(
            lambda share, factor: 1 - share + share * factor,
            "That is a mean of speeds. Add up times: 1 - share stays, and share becomes share / factor.",
        ),
        Mistake(
            lambda share, factor: 1 - share + share / factor,
            "That is the new time, as a share of the old one. How many times faster is the inverse.",
        ),
    ),
    also_correct=(_speedup_by_clock, lambda share, factor: np.float32(factor) / (factor * (1 - share) + share)),
)
