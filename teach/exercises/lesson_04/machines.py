"""Lesson 04, exercise 4.6: what a layer costs on a machine."""

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

Rates = dict[int, float]

# 4.6 ------------------------------------------------------------------------------------------------


def layer_seconds(macs: int, weights: int, bits: int, macs_per_s: Rates, bytes_per_s: float) -> float:
    """The time of a layer on the narrowest unit that is wide enough: computing, or reading weights of that width."""
    unit = min(width for width in macs_per_s if width >= bits)
    return max(macs / macs_per_s[unit], weights * unit / 8 / bytes_per_s)


def _seconds_by_search(macs, weights, bits, macs_per_s, bytes_per_s):
    for width in sorted(macs_per_s):
        if width >= bits:
            computing, reading = macs / macs_per_s[width], weights * width / (8 * bytes_per_s)
            break
    return reading if reading > computing else computing


def _seconds_in_numpy(macs, weights, bits, macs_per_s, bytes_per_s):
    widths = np.sort(list(macs_per_s))
    unit = int(widths[np.searchsorted(widths, bits)])
    return np.maximum(macs / macs_per_s[unit], weights / 8 * unit / bytes_per_s)


def _on_unit(choose):
    """A wrong answer: the right one, but for the unit that `choose(widths, bits)` picks."""

    def wrong(macs, weights, bits, macs_per_s, bytes_per_s):
        unit = choose(macs_per_s, bits)
        return max(macs / macs_per_s[unit], weights * unit / 8 / bytes_per_s)

    return wrong


def _unit(macs_per_s: Rates, bits: int) -> int:
    return min(width for width in macs_per_s if width >= bits)


def _interpolated(macs, weights, bits, macs_per_s, bytes_per_s):
    widths = sorted(macs_per_s)
    rate = np.interp(bits, widths, [macs_per_s[width] for width in widths])
    return max(macs / rate, weights * _unit(macs_per_s, bits) / 8 / bytes_per_s)


def _seconds_case(generator: torch.Generator) -> Case:
    rate = float(random_whole(generator, 1, 9)) * 1e9
    macs, weights = random_whole(generator, 1, 40) * 100_000, random_whole(generator, 1, 40) * 100_000
    rates = {4: 4 * rate, 8: 2 * rate, 16: rate}
    return Case(macs, weights, random_whole(generator, 2, 16), rates, random_whole(generator, 1, 12) * 1e9)


LAYER_SECONDS = Exercise(
    id="4.6",
    title="What a bit costs on a machine with fixed widths",
    reference=layer_seconds,
    cases=(
        Case(1_000_000, 300_000, 4, {4: 4e9, 8: 2e9}, 1e9),
        Case(1_000_000, 300_000, 5, {4: 4e9, 8: 2e9}, 1e9),
        Case(1_000_000, 400_000, 5, {4: 4e9, 8: 2e9}, 0.5e9),
        Case(1_000_000, 1_000_000, 3, {4: 4e9, 8: 2e9}, 1e9),
        Case(4_000_000, 1_000_000, 6, {4: 4e9, 8: 2e9}, 1e9),
        *random_cases(10, seed=46, make=_seconds_case),
    ),
    mistakes=(
        Mistake(
            _on_unit(lambda rates, bits: min(rates, key=lambda width: (abs(width - bits), width))),
            "That takes the unit whose width is nearest. A 5-bit code does not fit into a 4-bit unit: take the "
            "narrowest one that is wide enough.",
        ),
        Mistake(
            _on_unit(lambda rates, bits: min((w for w in rates if w > bits), default=max(rates))),
            "A code that has exactly the width of a unit fits into it: >= and not >.",
        ),
        Mistake(
            _on_unit(lambda rates, bits: max(rates)),
            "That always takes the widest unit. A narrower one that is wide enough multiplies faster.",
        ),
        Mistake(
            _on_unit(lambda rates, bits: min(rates)),
            "That always takes the narrowest unit, and a wider code does not fit into it.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: min(
                macs / macs_per_s[_unit(macs_per_s, bits)], weights * _unit(macs_per_s, bits) / 8 / bytes_per_s
            ),
            "That is the shorter of the two times. The layer is done when both are: the longer one counts.",
        ),
        Mistake(_interpolated, "There is no unit between two widths: 5 bits take as long to multiply as 8."),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: (
                macs / macs_per_s[_unit(macs_per_s, bits)] + weights * _unit(macs_per_s, bits) / 8 / bytes_per_s
            ),
            "That adds the two times. The machine reads the next weights while it computes, so the longer of the two "
            "counts.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: macs / macs_per_s[_unit(macs_per_s, bits)],
            "The weights must be read as well, and a layer with few MACs per weight waits for them.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: weights * _unit(macs_per_s, bits) / 8 / bytes_per_s,
            "That is reading alone. A layer with many MACs per weight waits for the arithmetic.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs / macs_per_s[_unit(macs_per_s, bits)], weights * bits / 8 / bytes_per_s
            ),
            "That reads `bits` bits per weight. The unit takes codes of its own width, so the weights are stored that "
            "wide: five bits take the room of eight.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs / macs_per_s[_unit(macs_per_s, bits)], weights * _unit(macs_per_s, bits) / bytes_per_s
            ),
            "That takes bits for bytes. A byte has 8 of them.",
        ),
    ),
    also_correct=(_seconds_by_search, _seconds_in_numpy),
)
