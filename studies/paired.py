"""Is one thing better than another, seed by seed? Paired differences, their interval, a permutation test, and Holm.

Two arms of one seed share their pictures and their initial weights. The effect of the seed on both cancels in the
difference, and the test uses only the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mini_lib.fit import Spread
from mini_lib.require import share

EXACT_UP_TO = 14  # 2^14 = 16,384 ways to choose the signs; for more seeds, scipy samples them


@dataclass(frozen=True)
class Paired:
    """The differences of two arms, one for each seed.

    Raises:
        ValueError: there are fewer than two, or one is not finite.

    >>> gain = Paired((0.01, 0.02, 0.03))                     # deviations -.01, 0, .01: standard deviation .01
    >>> low, high = gain.interval()                           # .02 -+ 4.303 * .01 / sqrt(3): t of 2 degrees of freedom
    >>> round(gain.mean, 4), round(low, 4), round(high, 4)
    (0.02, -0.0048, 0.0448)
    >>> gain.p_value                                          # 2 of the 8 ways to choose signs are as far from 0
    0.25
    """

    differences: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "differences", tuple(self.differences))
        if len(self.differences) < 2:
            raise ValueError(
                f"a paired test needs at least two differences, got {len(self.differences)}; run another seed"
            )
        Spread(self.differences)  # this names the value that is not finite

    @property
    def mean(self) -> float:
        """The mean difference."""
        return Spread(self.differences).mean

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the ends of the t interval of the mean difference.

        Raises:
            ValueError: `confidence` is not between 0 and 1.
        """
        confidence = share("confidence", confidence, one=False, fix="0.95 is common")
        error = Spread(self.differences).std / math.sqrt(len(self.differences))
        half = float(stats.t.ppf((1 + confidence) / 2, df=len(self.differences) - 1)) * error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """How often a mean is at least as far from 0 if the sign of each difference is random; two-sided.

        With n seeds it is at least 2 / 2^n: .0625 for five seeds, .002 for ten.

        Source: R. A. Fisher, "The Design of Experiments", 1935, section 21.
        """
        resamples = np.inf if len(self.differences) <= EXACT_UP_TO else 2**EXACT_UP_TO
        values = np.asarray(self.differences)
        values = values / (abs(values).max() or 1)
        found = stats.permutation_test(
            (values,),
            lambda values, axis: values.mean(axis=axis).round(12),  # equal means are equal, however they were summed
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            rng=np.random.default_rng(0),
        )
        return float(found.pvalue)


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Paired:
    """Return by how much `one` exceeds `other`, seed by seed.

    Raises:
        ValueError: the two have different seeds, or fewer than two.

    >>> paired({0: 0.75, 1: 1.0}, {0: 0.5, 1: 0.5}).differences
    (0.25, 0.5)
    """
    if set(one) != set(other):
        odd = sorted(set(one) ^ set(other))
        raise ValueError(
            f"a paired test needs every seed in both arms, and {odd} are in one alone; run the missing ones"
        )
    return Paired(tuple(one[seed] - other[seed] for seed in sorted(one)))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values corrected for the number of tests: of twenty tests, one falls below .05 by chance.

    The smallest of n is multiplied by n, the next by n - 1, and so on; none may be smaller than one before it.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]         # .01 * 3, then .03 * 2, then .04 * 1, but not below .06
    [0.03, 0.06, 0.06]

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return tuple(corrected)
