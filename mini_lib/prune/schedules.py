"""How density falls over the steps of pruning: at once, by a constant share, or first fast, then slowly."""

from collections.abc import Iterable
from itertools import pairwise

from mini_lib.prune.checks import check_density
from mini_lib.require import share, whole

_MOST_ROUNDS = 100_000  # more than any schedule: 10**9 by mistake would fill the memory


def one_shot(density: float) -> tuple[float, ...]:
    """Return the schedule that prunes once.

    >>> one_shot(0.2)
    (0.2,)
    """
    return (check_density(density),)


def geometric(rate: float, rounds: int) -> tuple[float, ...]:
    """Return densities that fall by the same share `rate` of what remains, in each of `rounds` rounds.

    Source: J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", 2019, section 1: with rate 0.2, (1 - 0.2)^n.

    >>> [round(density, 3) for density in geometric(rate=0.2, rounds=3)]
    [0.8, 0.64, 0.512]
    """
    rate = share("rate", rate, one=False, fix="0.2 takes a fifth of what remains in each round")
    densities = tuple((1 - rate) ** done for done in range(1, _rounds(rounds) + 1))
    if not densities[-1]:
        raise ValueError(f"{rounds} rounds at rate {rate:g} leave a density of 0; use fewer rounds")
    return densities


def iterative(density: float, rounds: int) -> tuple[float, ...]:
    """Return densities that fall to `density` in `rounds` equal ratios.

    >>> [round(step, 3) for step in iterative(0.25, rounds=2)]
    [0.5, 0.25]
    """
    density, rounds = check_density(density), _rounds(rounds)
    return (*(density ** (done / rounds) for done in range(1, rounds)), density)


def cubic(density: float, rounds: int, start: float = 1.0) -> tuple[float, ...]:
    """Return densities that fall from `start` to `density` along a cubic curve: fast while there is much to take.

    After the share t of the rounds the sparsity is s_f + (s_i - s_f) (1 - t)^3.

    Source: M. Zhu, S. Gupta, "To Prune, or Not to Prune", 2017, section 3, equation 1.

    Halfway, only (1/2)^3 = 1/8 of the way is left, so 0.2 + 0.8 / 8 = 0.3:

    >>> [round(step, 3) for step in cubic(0.2, rounds=2)]
    [0.3, 0.2]
    """
    density, start, rounds = check_density(density), check_density(start, "start"), _rounds(rounds)
    if start < density:
        raise ValueError(f"start must be at least density, got {start:g} below {density:g}; pruning only takes away")
    return (*(density + (start - density) * (1 - done / rounds) ** 3 for done in range(1, rounds)), density)


def check_falling(densities: Iterable[float]) -> tuple[float, ...]:
    """Return densities as a tuple after checking that each lies in (0, 1] and none is above the one before it.

    Raises:
        TypeError: `densities` is a single number.
        ValueError: there is none, one lies outside (0, 1], or they rise: a pruned weight does not come back.

    >>> check_falling([0.5, 0.2])
    (0.5, 0.2)
    """
    if not isinstance(densities, Iterable):
        raise TypeError(f"densities must be several, got {densities!r}; for a single one use one_shot(0.2)")
    found = tuple(densities)
    if not found:
        raise ValueError("densities hold none; give at least one, such as one_shot(0.2)")
    found = tuple(check_density(density) for density in found)
    for before, after in pairwise(found):
        if after > before:
            raise ValueError(
                f"densities must not rise, got {after:g} after {before:g}; a pruned weight does not come back"
            )
    return found


def _rounds(rounds: int) -> int:
    rounds = whole("rounds", rounds, low=1, fix="one_shot is a single round")
    if rounds > _MOST_ROUNDS:
        raise ValueError(f"rounds must be at most {_MOST_ROUNDS:,}, got {rounds:,}; each is a training")
    return rounds
