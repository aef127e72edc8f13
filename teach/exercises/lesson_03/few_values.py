"""Lesson 03, exercises 3.5 to 3.7: three values, two values, and products of bits."""

from itertools import product

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 3.5 ------------------------------------------------------------------------------------------------


def best_scale(w: Tensor, codes: Tensor) -> Tensor:
    """The scale of each row with the least squared error, for codes that are given."""
    return (w * codes).sum(dim=1) / (codes * codes).sum(dim=1)


def _best_scale_by_least_squares(w: Tensor, codes: Tensor) -> np.ndarray:
    rows = zip(w.double().numpy(), codes.double().numpy())
    return np.array([np.linalg.lstsq(code[:, None], row, rcond=None)[0][0] for row, code in rows])


def _best_scale_by_hand(w: Tensor, codes: Tensor) -> list[float]:
    rows = zip(w.tolist(), codes.tolist())
    return [sum(v * c for v, c in zip(row, code)) / sum(c * c for c in code) for row, code in rows]


def _scale_case(generator: torch.Generator) -> Case:
    highest = random_whole(generator, 1, 3)
    w = torch.randn(3, 6, generator=generator).round(decimals=2)
    codes = torch.clamp(torch.round(w * highest), -highest, highest)
    codes[:, 0] = highest  # at least one is not 0, and one may not have the sign of its weight
    return Case(w, codes)


BEST_SCALE = Exercise(
    id="3.5",
    title="The best scale for given codes",
    reference=best_scale,
    cases=(
        Case(tensor([[1.0, -3.0]]), tensor([[1.0, -1.0]])),
        Case(tensor([[1.0, -3.0, 0.5, 3.5]]), tensor([[0.0, -1.0, 0.0, 1.0]])),
        Case(tensor([[2.0, 0.5], [4.0, -2.0]]), tensor([[1.0, 1.0], [1.0, -1.0]])),
        Case(tensor([[5.0, 1.0]]), tensor([[2.0, 1.0]])),
        *random_cases(8, seed=35, make=_scale_case),
    ),
    mistakes=(
        Mistake(
            lambda w, codes: w.abs().mean(dim=1),
            "That is right where all codes are -1 or 1. A weight with code 0 stays 0 whatever the scale, and must not "
            "count; one with code 2 counts more.",
        ),
        Mistake(
            lambda w, codes: (w * codes).mean(dim=1),
            "Divide by the sum of the squared codes, not by the number of weights: that includes the zeros.",
        ),
        Mistake(
            lambda w, codes: w.abs().amax(dim=1) / codes.abs().amax(dim=1),
            "That scale just reaches the largest weight, too long for the others. Ask for the least squared error.",
        ),
        Mistake(
            lambda w, codes: w.norm(dim=1) / codes.norm(dim=1),
            "That gives the codes the length of w. The nearest point on a line is a projection: "
            "(w · codes) / (codes · codes).",
        ),
        Mistake(
            lambda w, codes: w.abs().sum(dim=1) / codes.abs().sum(dim=1),
            "All magnitudes over all codes: weights with code 0 still count here. Multiply each weight by its code.",
        ),
        Mistake(
            lambda w, codes: (w * codes).sum(dim=1) / codes.abs().sum(dim=1),
            "Square the codes below the line as well: a weight with code 2 counts there four times, not twice.",
        ),
        Mistake(
            lambda w, codes: (w * codes).sum() / (codes * codes).sum(),
            "That is one scale for all rows. Each row, an output channel, has its own.",
        ),
    ),
    also_correct=(_best_scale_by_least_squares, _best_scale_by_hand),
)

# 3.6 ------------------------------------------------------------------------------------------------


def best_ternary(w: Tensor) -> Tensor:
    """The codes -1, 0 and 1 with the least squared error, each set of codes with its own best scale."""
    size = w.abs().sort(descending=True).values
    gain = size.cumsum(0) ** 2 / torch.arange(1, len(w) + 1)
    threshold = size[gain.argmax()]
    return torch.where(w.abs() >= threshold, w.sign(), 0.0)


def _error(w: Tensor, codes: Tensor) -> float:
    scale = (w * codes).sum() / (codes * codes).sum()
    return ((w - scale * codes) ** 2).sum().item()


def _best_ternary_by_trying_each(w: Tensor) -> list[int]:
    tries = [tensor(codes, dtype=torch.float64) for codes in product((-1, 0, 1), repeat=len(w)) if any(codes)]
    best = min(tries, key=lambda codes: (round(_error(w.double(), codes), 9), -float(w.double() @ codes)))
    return best.int().tolist()


def _best_ternary_by_thresholds(w: Tensor) -> Tensor:
    tries = [w.sign() * (w.abs() >= threshold) for threshold in w.abs()]
    return min(tries, key=lambda codes: _error(w.double(), codes.double()))


def _keep_if(kept: Tensor, w: Tensor) -> Tensor:
    return w.sign() * kept


def _ternary_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 4, 7)
    w = torch.randn(size, generator=generator).round(decimals=2)
    return Case(w + w.sign() * torch.arange(1, size + 1) / 1000)  # no two magnitudes are equal


BEST_TERNARY = Exercise(
    id="3.6",
    title="Three values: which weights become zero?",
    reference=best_ternary,
    cases=(
        Case(tensor([3.0, 1.0])),
        Case(tensor([3.0, -2.0])),
        Case(tensor([0.5, -3.0, 1.0, 4.0])),
        Case(tensor([1.0, -1.25, 1.5, 5.0])),
        Case(tensor([2.0, -1.75, 1.5, -0.25])),
        *random_cases(8, seed=36, make=_ternary_case),
    ),
    mistakes=(
        Mistake(
            lambda w: _keep_if(w.abs() > 0.7 * w.abs().mean(), w),
            "0.7 times the mean magnitude is the rule of thumb for many weights with a bell-shaped histogram. Here you "
            "can do better: try every threshold, each with its best scale.",
        ),
        Mistake(
            lambda w: w.sign(),
            "That has no zeros: two values, not three. A small weight is nearer to 0 than to the scale. The gain is "
            "divided by k, the number of weights kept; otherwise it always grows.",
        ),
        Mistake(
            lambda w: _keep_if(w.abs() >= w.abs().max() / 2, w),
            "That rounds to the grid whose scale is the largest weight. But the scale is free: it follows from codes.",
        ),
        Mistake(
            lambda w: _keep_if(w.abs() >= w.abs().max(), w),
            "Only the largest is kept. With k weights kept, the gain is (sum of their magnitudes)² / k: summed, then "
            "squared, then divided by k, which begins at 1.",
        ),
        Mistake(
            lambda w: _keep_if(w.abs() >= w.abs().median(), w),
            "Half of them is a guess. Which share is best depends on the weights: try every threshold.",
        ),
        Mistake(lambda w: best_ternary(w).abs(), "Those codes have lost their signs: a negative weight gets -1."),
    ),
    also_correct=(_best_ternary_by_trying_each, _best_ternary_by_thresholds),
    forbidden=(quantize.ternarize,),
)

# 3.7 ------------------------------------------------------------------------------------------------


def dot_of_bits(a: int, b: int, n: int) -> int:
    """The dot product of two vectors of n signs, each stored as the bits of an integer (1 is +1, 0 is -1)."""
    return n - 2 * (a ^ b).bit_count()


def _dot_sign_by_sign(a: int, b: int, n: int) -> int:
    signs = [[1 if (bits >> at) & 1 else -1 for at in range(n)] for bits in (a, b)]
    return sum(x * y for x, y in zip(*signs))


def _dot_by_xnor(a: int, b: int, n: int) -> int:
    same = ~(a ^ b) & ((1 << n) - 1)
    return 2 * bin(same).count("1") - n


def _ones(bits: int) -> int:
    return bin(bits).count("1")


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
        *random_cases(8, seed=37, make=_bits_case),
    ),
    mistakes=(
        Mistake(
            lambda a, b, n: _ones(a & b),
            "`&` counts where both are +1. But -1 times -1 is +1 as well: count where the two signs are the same.",
        ),
        Mistake(
            lambda a, b, n: n - _ones(a ^ b),
            "That is how many signs agree. Each that differs also takes 1 away: n - 2 * (number that differ).",
        ),
        Mistake(
            lambda a, b, n: 2 * _ones(a ^ b) - n,
            "The sign is turned: XOR is 1 where the signs differ, and there the product is -1.",
        ),
        Mistake(
            lambda a, b, n: _ones(a ^ b),
            "That counts the places where the signs differ. The product is those that agree minus those that differ.",
        ),
        Mistake(
            lambda a, b, n: 2 * _ones(~(a ^ b)) - n,
            "In Python, ~x is negative: ones without end on the left. Keep the lowest n bits: ~x & ((1 << n) - 1).",
        ),
        Mistake(
            lambda a, b, n: max(a, b).bit_length() - 2 * _ones(a ^ b),
            "A zero on the left is a -1 like any other: the length is n, not that of the number.",
        ),
    ),
    also_correct=(_dot_sign_by_sign, _dot_by_xnor),
)
