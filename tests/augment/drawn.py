"""What the pictures of a batch drew, without looking at pixels: a guard that writes down what it is asked."""

from dataclasses import dataclass, field

import torch
from scipy.stats import binom

from mini_lib.batch import Batch


@dataclass(frozen=True)
class Recorder:
    """A guard that allows everything and notes each call: the operation's name, the strengths, the pictures.

    The label of a picture must be its number in the batch (see `numbered`).
    """

    calls: list = field(default_factory=list)

    def check(self, operations):
        pass

    def limited(self, operation, strengths, labels):
        self.calls.append((operation.name, strengths, labels))
        return strengths, torch.ones(len(strengths), dtype=torch.bool)


@dataclass(frozen=True)
class Positive:
    """A guard that turns every strength to the positive side: what is drawn as a sign does not matter."""

    def check(self, operations):
        pass

    def limited(self, operation, strengths, labels):
        return strengths.abs(), torch.ones(len(strengths), dtype=torch.bool)


def numbered(count: int) -> Batch:
    """Tiny black pictures, each labelled with its number."""
    return Batch(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.arange(count))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_likely(successes: int, trials: int, probability: float) -> bool:
    """Whether a count lies where a binomial one does, but for one chance in a million on each side.

    The bounds are quantiles of the exact distribution. The seeds are fixed, so a test that passes always passes; a test
    of 200 counts with another seed would fail wrongly with a probability below 200 * 2e-6 = 4e-4.
    """
    return binom.ppf(1e-6, trials, probability) <= successes <= binom.isf(1e-6, trials, probability)
