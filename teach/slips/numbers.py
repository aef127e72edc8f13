"""Slips of numbers: right but for a factor, a rounding, a sign, a step of one, or a function of the right value.

Each rule is a function of what is wrong. It returns a clause, or "" where it does not explain every failing case.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from teach.slips.seen import CASES, Wrong, aligned, close, enough, leaves

LEAST = 1e-3  # next to 1: a value far below it would be lost in the sum, and any 1 would look like it
Pairs = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Through:
    """What every right value went through, as a function and in words."""

    function: Callable[[torch.Tensor], torch.Tensor]
    says: str


# In order: of two that explain an answer, the first is named.
FUNCTIONS = (
    Through(lambda x: -x, "has the wrong sign"),
    Through(torch.abs, "has lost its sign: your value is positive where the right one is negative"),
    Through(
        lambda x: torch.where((x >= 0) & (x <= 1), 1 - x, math.nan),
        "is 1 minus the right value: return the other share",
    ),
    Through(lambda x: 1 / x, "is the reciprocal, 1 / x, of the right value: swap numerator and denominator"),
    Through(
        lambda x: x**2, "is the square of the right value: a square root is missing, or there is one square too many"
    ),
    Through(
        lambda x: x**0.5, "is the square root of the right value: a square is missing, or there is one root too many"
    ),
    Through(torch.log, "is the natural logarithm of the right value: `exp` is missing, or there is one `log` too many"),
    Through(torch.exp, "is `exp` of the right value: `log` is missing, or there is one `exp` too many"),
    Through(torch.log2, "is the base-2 logarithm of the right value: `2 **` is missing"),
)

UNITS = {  # what a factor usually comes from: the sentence where a value is too large, and where it is too small
    2: ("Is something counted twice?", "Does something count twice, such as a multiplication and its addition?"),
    4: ("Look for a factor of 2 that you apply twice, or for the 4 bytes of a float32.",) * 2,
    8: ("A byte has 8 bits: are these bits instead of bytes?", "A byte has 8 bits: are these bytes instead of bits?"),
    32: ("A float32 has 32 bits: did you mix up bits and elements?",) * 2,
    60: ("Did you mix up minutes and seconds?",) * 2,
    100: ("Is this a percentage instead of a share?", "Is this a share instead of a percentage?"),
    1000: ("Check the unit: thousands (kilo, milli).",) * 2,
    1024: ("Check the unit: KiB or bytes?",) * 2,
    3600: ("Did you mix up hours and seconds?",) * 2,
    10**6: ("Check the unit: millions (mega, micro).",) * 2,
    1024**2: ("Check the unit: MiB or bytes?",) * 2,
    10**9: ("Check the unit: billions (giga, nano).",) * 2,
    1024**3: ("Check the unit: GiB or bytes?",) * 2,
    10**12: ("Check the unit: trillions (tera, pico).",) * 2,
}
MIXED = {1.024: "kB and KiB", 1.024**2: "MB and MiB", 1.024**3: "GB and GiB"}


def factor(wrong: Wrong) -> str:
    """Every value is N times too large, or too small, for one whole N."""
    pairs = _pairs(wrong)
    if len(pairs) < CASES or not _telling(pairs):
        return ""
    ratio = next(iter(_ratios(pairs)), 0.0)
    if not 0 < ratio < math.inf or not all(bool(close(mine, ratio * right).all()) for mine, right in pairs):
        return ""
    size, large = max(ratio, 1 / ratio), ratio > 1
    than = "too large" if large else "too small"
    for mixed, units in MIXED.items():
        if math.isclose(size, mixed, rel_tol=1e-5):
            return f"{wrong.when}{wrong.it} is {mixed:.4g} times {than}: {units} are mixed up"
    whole = round(size)
    if whole < 2 or not math.isclose(size, whole, rel_tol=1e-5):
        return ""
    usual = UNITS.get(whole, ("", ""))[0 if large else 1]
    root = math.isqrt(whole)
    if not usual and root >= 8 and root**2 == whole and root in UNITS:
        usual = f"That is {root:,} squared: do you multiply where you must divide, or the reverse?"
    return f"{wrong.when}{wrong.it} is {'always ' if not wrong.when else ''}{whole:,} times {than}. {usual}".strip()


def through(wrong: Wrong) -> str:
    """Every right value went through one function: its sign is lost, or it is 1 - x, a reciprocal, a root."""
    pairs = _pairs(wrong)
    for one in FUNCTIONS:
        if pairs and _explains(one.function, pairs):
            return f"{wrong.when}{wrong.it} {one.says}"
    return ""


def signs(wrong: Wrong) -> str:
    """The magnitudes are right, and some signs are not."""
    pairs = _pairs(wrong)
    if pairs and all(bool(close(mine.abs(), right.abs()).all()) for mine, right in pairs) and _telling(pairs):
        return f"{wrong.when}{wrong.it} has the right magnitude but the wrong sign"
    return ""


def by_one(wrong: Wrong) -> str:
    """Every value is 1 too large, or 1 too small."""
    pairs = _pairs(wrong)
    if len(pairs) < CASES or not _telling(pairs) or not all(bool((right.abs() > LEAST).any()) for _, right in pairs):
        return ""
    for step, than in ((1, "large"), (-1, "small")):
        if all(bool(close(mine, right + step).all()) for mine, right in pairs):
            whole = all(bool((right == right.round()).all()) for _, right in pairs)
            if not whole:
                look = "look for a 1 that is added or subtracted"
            else:
                look = (
                    "check the rounding, and whether the ends count"
                    if wrong.passing
                    else "check whether the ends count"
                )
            return f"{wrong.when}{wrong.it} is {'' if wrong.passing else 'always '}1 too {than}: {look}"
    return ""


def rounded(wrong: Wrong) -> str:
    """The exact value is wanted and a rounded one is returned, or the other way round."""
    pairs = _pairs(wrong)
    if not pairs or not _telling(pairs):
        return ""
    ways = {"cut": (torch.floor, torch.trunc), "rounded": (torch.round,), "rounded up": (torch.ceil,)}
    fits = [way for way, functions in ways.items() if any(_explains(f, pairs) for f in functions)]
    if fits:
        return f"{wrong.when}{wrong.it} is {' or '.join(fits)} to a whole number: return the exact value"
    for digits in range(1, 6):
        if _explains(lambda x, n=digits: (x * 10**n).round() / 10**n, pairs):
            return f"{wrong.when}{wrong.it} is rounded to {digits} decimal{'s' * (digits > 1)}: return the exact value"
    if any(isinstance(leaf, float) for one in wrong.failing for leaf in leaves(one.expected)):
        return ""
    ways = {"down": (torch.floor, torch.trunc), "to the nearest": (torch.round,), "up": (torch.ceil,)}
    turned = [(right, mine) for mine, right in pairs]
    fits = [way for way, functions in ways.items() if any(_gives(f, turned) for f in functions)]
    if fits and all(bool((mine != mine.round()).any()) for mine, _ in pairs):
        how = f"round it {fits[0]}" if len(fits) == 1 else "round it"
        return f"{wrong.when}{wrong.it} is not a whole number yet: {how}"
    return ""


def _pairs(wrong: Wrong) -> Pairs:
    """What was returned and what is right in the failing cases, as tensors; empty where one of them is no numbers."""
    pairs = [aligned(one.got, one.expected) for one in wrong.failing]
    usable = [pair for pair in pairs if pair is not None and pair[0].numel()]
    return usable if len(usable) == len(wrong.failing) else []


def _telling(pairs: Pairs) -> bool:
    """Whether the values that differ from the right ones are enough to tell a slip from a coincidence."""
    return enough([right[~close(mine, right)] for mine, right in pairs])


def _gives(function: Callable[[torch.Tensor], torch.Tensor], pairs: Pairs) -> bool:
    return all(bool(close(mine, function(right)).all()) for mine, right in pairs)


def _explains(function: Callable[[torch.Tensor], torch.Tensor], pairs: Pairs) -> bool:
    return _gives(function, pairs) and _telling(
        [(mine[mine.isfinite()], right[mine.isfinite()]) for mine, right in pairs]
    )


def _ratios(pairs: Pairs) -> list[float]:
    """The ratio in the first place of each case that is not zero."""
    found = []
    for mine, right in pairs:
        places = (right != 0).nonzero()
        found += [float(mine[places[0]] / right[places[0]])] if len(places) else []
    return found
