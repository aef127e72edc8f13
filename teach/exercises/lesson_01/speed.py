"""Lesson 01, exercises 1.5 to 1.7: the roofline, and Amdahl's law."""

import numpy as np

from mini_lib import roofline
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 1.5 ------------------------------------------------------------------------------------------------


def _intensity(numbers=lambda m, n, k: m * k + k * n + m * n, bytes_each=4):
    """An intensity with slips: of the numbers moved, and of the bytes each takes."""
    return lambda m, n, k: 2 * m * n * k / (bytes_each * numbers(m, n, k))


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
            _intensity(bytes_each=8), "It is half of the right value. A MAC is two FLOPs, and a float32 takes 4 bytes."
        ),
        Mistake(_intensity(numbers=lambda m, n, k: m * k + k * n), "The result has to be written too: m * n numbers."),
        Mistake(lambda m, n, k: 2 * m * n * k, "Those are the FLOPs. Divide them by the bytes moved."),
        Mistake(
            lambda m, n, k: 4 * (m * k + k * n + m * n), "Those are the bytes. The exercise asks for FLOPs per byte."
        ),
    ),
    symptoms=(
        variants(
            "That is per number moved. A float32 is 4 bytes.",
            _intensity(bytes_each=1),
            _intensity(numbers=lambda m, n, k: m * k + k * n, bytes_each=1),
        ),
        variants(
            "It is twice the right value. A MAC is two FLOPs, and a float32 takes 4 bytes.", _intensity(bytes_each=2)
        ),
        variants(
            "Upside down: it is FLOPs per byte, not bytes per FLOP.",
            *(lambda m, n, k, each=each: each * (m * k + k * n + m * n) / (m * n * k) for each in (0.5, 1, 2, 4, 8)),
            lambda m, n, k: 4 * (m * k + k * n) / (2 * m * n * k),
        ),
        variants(
            "Three matrices move, and each is counted once: m * k, k * n and m * n numbers, added up.",
            *(
                _intensity(numbers=numbers, bytes_each=each)
                for numbers in (
                    lambda m, n, k: m * k,
                    lambda m, n, k: m * n,
                    lambda m, n, k: k * n + m * n,
                    lambda m, n, k: m * k + m * n,
                    lambda m, n, k: m * k + k * n + 2 * m * n,
                    lambda m, n, k: k * n + 2 * m * n,
                    lambda m, n, k: m * k + 2 * m * n,
                    lambda m, n, k: m + n + k,
                    lambda m, n, k: m * k * k * n * m * n,
                )
                for each in (4, 1, 8)
            ),
            _intensity(numbers=lambda m, n, k: m * k + k * n, bytes_each=8),
        ),
        variants(
            "`a / b * c` divides by b alone: put the whole denominator into parentheses.",
            lambda m, n, k: 2 * m * n * k / 4 * (m * k + k * n + m * n),
            lambda m, n, k: m * n * k / 4 * (m * k + k * n + m * n),
            lambda m, n, k: 2 * m * n * k / 4 * m * k + k * n + m * n,
            lambda m, n, k: 2 * m * n * k / (4 * m * k + k * n + m * n),
        ),
        variants(
            "Each matrix crosses the bus once, however often its numbers are used: m * k of them, not m * n * k.",
            *(
                _intensity(numbers=numbers, bytes_each=each)
                for numbers in (lambda m, n, k: 2 * m * n * k + m * n, lambda m, n, k: m * n * k + m * n)
                for each in (4, 1)
            ),
        ),
        variants("Those are bits. A float32 has 32 bits, which are 4 bytes.", _intensity(bytes_each=32)),
        variants(
            "Here a sum of k products is k MACs, so a product of matrices has 2 * m * n * k FLOPs.",
            lambda m, n, k: m * n * (2 * k - 1) / (4 * (m * k + k * n + m * n)),
            lambda m, n, k: 2 * m * n / (4 * (m * k + k * n + m * n)),
            lambda m, n, k: 2 * m * k / (4 * (m * k + k * n + m * n)),
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
        Case(10.0, peak=100.0, bandwidth=10.0),
        Case(2.75, peak=100.0, bandwidth=10.0),
        Case(2.75, peak=25.0, bandwidth=10.0),
        Case(2.25, peak=25.0, bandwidth=10.0),
        *random_cases(
            8,
            seed=15,
            make=lambda g: Case(
                random_whole(g, 1, 20) / 4, peak=float(random_whole(g, 20, 60)), bandwidth=float(random_whole(g, 2, 20))
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
            "However many FLOPs there are per byte, the machine cannot do more than its peak.",
        ),
        Mistake(
            lambda intensity, peak, bandwidth: peak,
            "The peak is reached only if the data arrives fast enough: intensity * bandwidth is the other limit.",
        ),
        Mistake(
            lambda intensity, peak, bandwidth: 1 / (1 / peak + 1 / (intensity * bandwidth)),
            "That adds the two times. The roofline lets the machine compute and fetch at the same time.",
        ),
    ),
    symptoms=(
        variants(
            "The two limits are not added: each holds on its own, and the lower one decides.",
            lambda intensity, peak, bandwidth: peak + intensity * bandwidth,
            lambda intensity, peak, bandwidth: (peak + intensity * bandwidth) / 2,
        ),
        variants(
            "Check the units: FLOPs per byte times bytes per second are FLOPs per second.",
            lambda intensity, peak, bandwidth: min(peak, bandwidth / intensity),
            lambda intensity, peak, bandwidth: bandwidth / intensity,
            lambda intensity, peak, bandwidth: min(peak, intensity / bandwidth),
            lambda intensity, peak, bandwidth: min(peak, bandwidth),
            lambda intensity, peak, bandwidth: min(peak, intensity),
            lambda intensity, peak, bandwidth: min(peak * intensity, bandwidth),
            lambda intensity, peak, bandwidth: min(peak / intensity, bandwidth),
            lambda intensity, peak, bandwidth: bandwidth if intensity < peak / bandwidth else peak,
            lambda intensity, peak, bandwidth: intensity if intensity < peak / bandwidth else peak,
        ),
        variants(
            "That is the ridge, an intensity. The exercise asks for FLOPs per second: the lower of the roof and the "
            "slope.",
            lambda intensity, peak, bandwidth: peak / bandwidth,
            lambda intensity, peak, bandwidth: min(intensity, peak / bandwidth),
            lambda intensity, peak, bandwidth: max(intensity, peak / bandwidth),
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
            lambda share, factor: 1 - share + share / factor,
            "That is the new time, as a share of the old one. The speedup is the inverse.",
        ),
        Mistake(
            lambda share, factor: 1 / (1 - share),
            "That is the limit, where the part takes no time at all. It still takes share / factor.",
        ),
        Mistake(
            lambda share, factor: 1 / (1 - share) + share / factor,
            "`1 / a + b` divides by a alone: put both parts of the new time into parentheses.",
        ),
    ),
    symptoms=(
        variants(
            "That works with speeds. Add up times instead: the part that stays, and the part that got faster.",
            lambda share, factor: share * factor,
            lambda share, factor: 1 - share + share * factor,
            lambda share, factor: 1 + share * factor,
            lambda share, factor: 1 - share + factor,
            lambda share, factor: factor**share,
            lambda share, factor: factor * (1 - share),
        ),
        variants(
            "Being `factor` times faster divides a time: the part that took share now takes share / factor.",
            lambda share, factor: 1 / (1 - share + share * factor),
            lambda share, factor: 1 / (1 - share + factor),
            lambda share, factor: 1 / (1 - share + 1 / factor),
        ),
        variants(
            "The rest is missing: 1 - share of the time is as long as before.",
            lambda share, factor: factor / share,
            lambda share, factor: share / factor,
        ),
        variants(
            "The part that gets faster is still in the 1: only 1 - share of the time stays as it was.",
            lambda share, factor: 1 / (1 + share / factor),
        ),
        variants(
            "The two parts are swapped: it is `share` that gets faster, and 1 - share that stays.",
            lambda share, factor: 1 / (share + (1 - share) / factor),
            lambda share, factor: share + (1 - share) / factor,
            lambda share, factor: share + (1 - share) * factor,
        ),
        variants(
            "That is the share of the time that is saved. The speedup is old time / new time.",
            lambda share, factor: share - share / factor,
        ),
        variants(
            "`share` lies between 0 and 1 already: it is not a percentage, so do not divide it by 100.",
            lambda share, factor: 1 / (1 - share / 100 + share / 100 / factor),
        ),
        variants(
            "The time saved is not share / factor: that is what the part still takes. Add it to the 1 - share left.",
            lambda share, factor: 1 / (1 - share / factor),
            lambda share, factor: 1 - share / factor,
            lambda share, factor: 1 / (share - share / factor) if share else 0.0,
        ),
    ),
    also_correct=(_speedup_by_clock, lambda share, factor: np.float32(factor) / (factor * (1 - share) + share)),
)
