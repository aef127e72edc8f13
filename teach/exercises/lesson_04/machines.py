"""Lesson 04, exercise 4.6: what a layer costs on a machine."""

import math

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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
    if random_whole(generator, 0, 1):
        rates = dict(reversed(rates.items()))  # the narrowest unit is not always the first
    return Case(macs, weights, random_whole(generator, 2, 16), rates, random_whole(generator, 1, 12) * 1e9)


def _reading(size, together=max):
    """A wrong answer: a weight takes `size(unit, bits)` bytes."""

    def wrong(macs, weights, bits, macs_per_s, bytes_per_s):
        unit = _unit(macs_per_s, bits)
        return together(macs / macs_per_s[unit], weights * size(unit, bits) / bytes_per_s)

    return wrong


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
        Case(1_000_000, 300_000, 4, {8: 2e9, 4: 4e9}, 1e9),
        Case(1, 3, 4, {4: 4e9, 8: 2e9}, 1.0),
        Case(1_000_000, 1, 4, {4: 1e9, 8: 2e9}, 1e9),
        *random_cases(10, seed=46, make=_seconds_case),
    ),
    mistakes=(
        Mistake(
            _on_unit(lambda rates, bits: min(rates, key=lambda width: (abs(width - bits), width))),
            "A 5-bit code does not fit into a 4-bit unit, however close it is: take the narrowest unit that is wide "
            "enough.",
        ),
        Mistake(
            _on_unit(lambda rates, bits: min((w for w in rates if w > bits), default=max(rates))),
            "A code that has exactly the width of a unit fits into it: >=, not >.",
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
            "That is the reading time alone. A layer with many MACs per weight waits for the arithmetic.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs / macs_per_s[_unit(macs_per_s, bits)], weights * bits / 8 / bytes_per_s
            ),
            "That reads `bits` bits per weight. The unit takes codes of its own width, so the weights are stored "
            "that wide: five bits take the space of eight.",
        ),
        Mistake(
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs / macs_per_s[_unit(macs_per_s, bits)], weights * _unit(macs_per_s, bits) / bytes_per_s
            ),
            "That mistakes bits for bytes. A byte has 8 of them.",
        ),
        Mistake(
            _on_unit(lambda rates, bits: max((w for w in rates if w >= bits), key=rates.get)),
            "That takes the fastest unit. Take the narrowest of the units that are wide enough, whatever its rate.",
        ),
        Mistake(_reading(lambda u, b: u // 8), "Four bits are half a byte: divide with `/`, not with `//`."),
    ),
    symptoms=(
        variants(
            "The widths may come in any order. Take the smallest of those that are wide enough.",
            _on_unit(lambda rates, bits: next(width for width in rates if width >= bits)),
        ),
        variants(
            "Bits and bytes are mixed up: a weight of `unit` bits takes unit / 8 bytes.",
            *(_reading(size) for size in (lambda u, b: b, lambda u, b: 8 * u, lambda u, b: 8 * b, lambda u, b: 8)),
            _reading(lambda u, b: u, lambda computing, reading: computing + reading),
        ),
        variants(
            "The weights are stored at the width of the unit that multiplies them: unit / 8 bytes for each.",
            *(_reading(size) for size in (lambda u, b: 1, lambda u, b: 4, lambda u, b: -(-b // 8), lambda u, b: 2)),
            _reading(lambda u, b: b / 8, lambda computing, reading: computing + reading),
            _reading(lambda u, b: b / 8, min),
        ),
        variants(
            "A unit of fixed width is no faster for narrower codes: its rate depends only on its own width.",
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs / (macs_per_s[_unit(macs_per_s, bits)] * _unit(macs_per_s, bits) / bits),
                weights * _unit(macs_per_s, bits) / 8 / bytes_per_s,
            ),
        ),
        variants(
            "The rates count MACs, and so does `macs`: nothing has to be doubled.",
            lambda macs, weights, bits, macs_per_s, bytes_per_s: layer_seconds(
                2 * macs, weights, bits, macs_per_s, bytes_per_s
            ),
            lambda macs, weights, bits, macs_per_s, bytes_per_s: 2 * macs / macs_per_s[_unit(macs_per_s, bits)],
        ),
        variants(
            "That reads something other than the weights: each of the `weights` is read once, and nothing else.",
            lambda macs, weights, bits, macs_per_s, bytes_per_s: layer_seconds(
                macs, macs, bits, macs_per_s, bytes_per_s
            ),
            lambda macs, weights, bits, macs_per_s, bytes_per_s: layer_seconds(
                macs, macs + weights, bits, macs_per_s, bytes_per_s
            ),
        ),
        variants(
            "That is upside down: seconds are an amount divided by a rate.",
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs_per_s[_unit(macs_per_s, bits)] / macs, bytes_per_s / (weights * _unit(macs_per_s, bits) / 8)
            ),
            lambda macs, weights, bits, macs_per_s, bytes_per_s: macs_per_s[_unit(macs_per_s, bits)] / macs,
            lambda macs, weights, bits, macs_per_s, bytes_per_s: max(
                macs * macs_per_s[_unit(macs_per_s, bits)], weights * _unit(macs_per_s, bits) / 8 * bytes_per_s
            ),
        ),
        Symptom(
            lambda got, expected, given: len(got) == 2 and math.isclose(max(got), expected, rel_tol=1e-5),
            "Those are the two times. Return the longer one.",
            [
                lambda macs, weights, bits, macs_per_s, bytes_per_s: (
                    macs / macs_per_s[_unit(macs_per_s, bits)],
                    weights * _unit(macs_per_s, bits) / 8 / bytes_per_s,
                )
            ],
        ),
    ),
    also_correct=(_seconds_by_search, _seconds_in_numpy),
)
