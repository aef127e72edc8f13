"""Lesson 03, exercise 3.7: a product of bits."""

import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 3.7 ------------------------------------------------------------------------------------------------


def dot_of_bits(a: int, b: int, n: int) -> int:
    """The dot product of two vectors of n signs, each stored as the bits of an integer (1 is +1, 0 is -1)."""
    return n - 2 * ((a ^ b) & ((1 << n) - 1)).bit_count()


def _dot_sign_by_sign(a: int, b: int, n: int) -> int:
    signs = [[1 if (bits >> at) & 1 else -1 for at in range(n)] for bits in (a, b)]
    return sum(x * y for x, y in zip(*signs))


def _dot_by_xnor(a: int, b: int, n: int) -> int:
    same = ~(a ^ b) & ((1 << n) - 1)
    return 2 * bin(same).count("1") - n


def _ones(bits: int) -> int:
    return bin(bits).count("1")


def _masked(wrong):
    """The same slip in an answer that leaves the bits above the lowest n out."""
    return lambda a, b, n: wrong(a & ((1 << n) - 1), b & ((1 << n) - 1), n)


def _slips(says, *wrong):
    """The variants of a slip, with the bits above the lowest n and without them."""
    return variants(says, *map(_masked, wrong), *wrong)


def _bits_case(generator: torch.Generator) -> Case:
    n = random_whole(generator, 5, 16)
    a, b = (random_whole(generator, 0, 2**n - 1) for _ in range(2))
    return Case(a, b, n)


DOT_OF_BITS = Exercise(
    id="3.7",
    title="A product of bits",
    reference=dot_of_bits,
    cases=(
        Case(1, 1, 1),
        Case(1, 0, 1),
        Case(0, 0, 2),
        Case(0b101, 0b110, 3),
        Case(0b0011, 0b0001, 4),
        Case(0b1101, 0b0001, 2),
        Case(0b01, 0b110, 2),
        *random_cases(8, seed=37, make=_bits_case),
    ),
    mistakes=(
        Mistake(
            _masked(lambda a, b, n: _ones(a & b)),
            "`&` counts where both are +1. But -1 times -1 is +1 as well: count where the two signs are the same.",
        ),
        Mistake(
            lambda a, b, n: 2 * _ones(~(a ^ b)) - n,
            "In Python, ~x is negative: it has endless ones on the left. Keep the lowest n bits: ~x & ((1 << n) - 1).",
        ),
        Mistake(
            lambda a, b, n: n - 2 * _ones(a ^ b),
            "Bits above the lowest n do not belong to the vectors: cut them off with `& ((1 << n) - 1)`.",
        ),
        Mistake(
            lambda a, b, n: n - 2 * _ones((a & ((1 << n) - 1)) ^ b),
            "The higher bits of `b` still count: keep only the lowest n, of both numbers or of their XOR.",
        ),
        Mistake(
            lambda a, b, n: n - 2 * _ones(a ^ (b & ((1 << n) - 1))),
            "The higher bits of `a` still count: keep only the lowest n, of both numbers or of their XOR.",
        ),
        Mistake(
            lambda a, b, n: n - 2 * _ones((a ^ b) & ((1 << (n - 1)) - 1)),
            "The mask is one bit too narrow: (1 << n) - 1 has the lowest n.",
        ),
        Mistake(
            _masked(lambda a, b, n: n - 2 * bin(a ^ b).count("0")),
            '`bin` leaves out zeros on the left, and the 0 of its own "0b" is counted as well. Count the ones.',
        ),
        Mistake(
            lambda a, b, n: n - 2 * _ones((a ^ b) & ((2 << n) - 1)),
            "The mask is one bit too wide: (1 << n) - 1 has the lowest n.",
        ),
        Mistake(
            lambda a, b, n: n - 2 * _ones((a ^ b) & (1 << n)),
            "`1 << n` is a single bit, the one above the lowest n. The mask of the lowest n is (1 << n) - 1.",
        ),
    ),
    symptoms=(
        _slips(
            "That is the number of signs that agree. Each sign that differs also subtracts 1: n - 2 * (number that "
            "differ).",
            lambda a, b, n: n - _ones(a ^ b),
        ),
        _slips(
            "The sign is flipped: XOR is 1 where the signs differ, and there the product is -1.",
            lambda a, b, n: 2 * _ones(a ^ b) - n,
        ),
        _slips(
            "That counts the places where the signs differ. The product is the number that agree minus the number "
            "that differ.",
            lambda a, b, n: _ones(a ^ b),
        ),
        _slips(
            "One place is left out, or one too many is counted: n signs are at places 0 to n - 1.",
            *(
                lambda a, b, n, first=first, more=more: sum(
                    1 - 2 * (((a ^ b) >> at) & 1) for at in range(first, n + more)
                )
                for first, more in ((1, 0), (0, -1), (0, 1), (1, 1))
            ),
        ),
        _slips(
            "A zero on the left is a -1 like any other: the length is n, not that of the number.",
            lambda a, b, n: max(a, b).bit_length() - 2 * _ones(a ^ b),
            lambda a, b, n: max(a, b).bit_length() - 2 * _ones((a ^ b) & ((1 << n) - 1)),
            lambda a, b, n: min(a, b).bit_length() - 2 * _ones(a ^ b),
            lambda a, b, n: (a ^ b).bit_length() - 2 * _ones(a ^ b),
            lambda a, b, n: len(bin(a ^ b)) - 2 - 2 * _ones(a ^ b),
            lambda a, b, n: sum(1 if x == y else -1 for x, y in zip(bin(a)[2:], bin(b)[2:])),
            lambda a, b, n: bin(a ^ b)[2:].count("0") - _ones(a ^ b),
        ),
        _slips(
            "A product of signs is -1 where they differ, and XOR marks these places; AND and OR mark others.",
            lambda a, b, n: n - 2 * _ones(a | b),
            lambda a, b, n: n - 2 * _ones(a & b),
            lambda a, b, n: 2 * _ones(a & b) - n,
            lambda a, b, n: 2 * _ones(a | b) - n,
            lambda a, b, n: _ones(a & b) - _ones(a ^ b),
            lambda a, b, n: _ones(a & b) - (n - _ones(a | b)),
        ),
        _slips(
            "Count the *ones* in the number that XOR gives: do not use its value or its length.",
            lambda a, b, n: n - 2 * (a ^ b),
            lambda a, b, n: n - 2 * (a ^ b).bit_length(),
            lambda a, b, n: a ^ b,
            lambda a, b, n: n - (a ^ b),
        ),
        _slips(
            "Each place that differs turns a +1 into a -1, a loss of 2: n - 2 * (number that differ).",
            lambda a, b, n: n + 2 * _ones(a ^ b),
            lambda a, b, n: n - 4 * _ones(a ^ b),
            lambda a, b, n: (n - 2) * _ones(a ^ b),
            lambda a, b, n: 2 * n - 2 * _ones(a ^ b),
            lambda a, b, n: n - _ones(a ^ b) / 2,
            lambda a, b, n: n + _ones(a ^ b),
        ),
        _slips(
            "The arguments are not numbers to calculate with, but rows of bits: multiply sign by sign, and add up.",
            lambda a, b, n: a * b,
            lambda a, b, n: (2 * _ones(a) - n) * (2 * _ones(b) - n),
            lambda a, b, n: _ones(a * b),
            lambda a, b, n: 2 * _ones(a * b) - n,
            lambda a, b, n: _ones(a) * _ones(b),
        ),
    ),
    also_correct=(_dot_sign_by_sign, _dot_by_xnor),
)
