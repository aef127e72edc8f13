"""Lesson 07, exercise 7.2: what the pair costs."""

import math

import numpy as np
import torch
from torch import nn

from mini_lib import costs
from mini_lib.factorize import cost
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def macs_of_pair(inputs: int, outputs: int, kernel: int, places: int, multiplier: int) -> int:
    """MACs of a depthwise convolution with `multiplier` kernels per channel, and of the 1x1 convolution after it."""
    middle = inputs * multiplier
    return places * (middle * kernel**2 + middle * outputs)


def _pair_by_weights(inputs, outputs, kernel, places, multiplier):
    depthwise = nn.Conv2d(inputs, inputs * multiplier, kernel, groups=inputs, bias=False)
    pointwise = nn.Conv2d(inputs * multiplier, outputs, 1, bias=False)
    return sum(places * layer.weight.numel() for layer in (depthwise, pointwise))


def _pair_in_numpy(inputs, outputs, kernel, places, multiplier):
    return np.prod([places, inputs, multiplier, kernel * kernel + outputs], dtype=np.int64)


def _pair(spatial, mixing):
    """A wrong answer: places times what `spatial` and `mixing` take for the two parts, of (M, N, K, r)."""
    return lambda inputs, outputs, kernel, places, multiplier: (
        places * (spatial(inputs, outputs, kernel, multiplier) + mixing(inputs, outputs, kernel, multiplier))
    )


def _spatial(m, n, k, r):
    return m * r * k * k


def _mixing(m, n, k, r):
    return m * r * n


def _nothing(m, n, k, r):
    return 0


def _pair_case(generator: torch.Generator) -> Case:
    inputs, outputs = random_whole(generator, 2, 9), random_whole(generator, 2, 20)
    kernel, places = random_whole(generator, 2, 5), random_whole(generator, 4, 100)
    return Case(inputs, outputs, kernel, places, multiplier=random_whole(generator, 1, 4))


MACS_OF_PAIR = Exercise(
    id="7.2",
    title="What the pair costs",
    reference=macs_of_pair,
    cases=(
        Case(1, 4, 3, 1, multiplier=1),
        Case(3, 8, 3, 64, multiplier=1),
        Case(3, 8, 3, 64, multiplier=2),
        *random_cases(8, seed=72, make=_pair_case),
    ),
    mistakes=(
        Mistake(
            _pair(_spatial, _nothing),
            "That is the depthwise part alone. It keeps the channels apart: the 1x1 convolution that mixes them is "
            "the other part, and often the more expensive one.",
        ),
        Mistake(
            _pair(_nothing, _mixing),
            "That is the pointwise part alone. Before it each channel goes through its own kernels.",
        ),
        Mistake(
            _pair(_spatial, lambda m, n, k, r: m * n),
            "The depthwise part gives inputs * multiplier channels, and the pointwise part has to read all of them.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * k * k, _mixing),
            "With a multiplier each channel goes through that many kernels, and each of them has its products.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * k * k, lambda m, n, k, r: m * n),
            "The multiplier is missing: it multiplies the channels between the two parts.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * r * k, _mixing),
            "The kernel is a square: kernel * kernel products for each channel.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: m * m * r * k * k, _mixing),
            "That first part looks at all channels. A depthwise kernel sees one: inputs // groups is 1.",
        ),
        Mistake(
            _pair(_spatial, lambda m, n, k, r: m * r * n * k * k),
            "That second part has a window. A pointwise kernel is 1x1: one product for each channel that it reads.",
        ),
        Mistake(
            _pair(_nothing, lambda m, n, k, r: m * r * k * k * n),
            "Each output reads the results of the depthwise part. The kernels are not applied again for every "
            "output: add the two parts, do not multiply them.",
        ),
        Mistake(
            _pair(lambda m, n, k, r: 2 * m * r * k * k, lambda m, n, k, r: 2 * m * r * n),
            "Those are FLOPs: a MAC is two of them.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: len(got) == 2 and sum(got) == expected,
            "Those are the MACs of the two parts. Add them up.",
            [
                lambda inputs, outputs, kernel, places, multiplier: (
                    places * inputs * multiplier * kernel**2,
                    places * inputs * multiplier * outputs,
                )
            ],
        ),
        variants(
            "Both parts run at every place of the output. `places` is their number, height times width.",
            *(
                lambda inputs, outputs, kernel, places, multiplier, of=of: of(
                    places, inputs * multiplier * kernel**2, inputs * multiplier * outputs
                )
                for of in (
                    lambda p, first, second: p * first + second,
                    lambda p, first, second: first + p * second,
                    lambda p, first, second: math.isqrt(p) * (first + second),
                    lambda p, first, second: p * p * first + p * second,
                )
            ),
        ),
        variants(
            "The depthwise part has `multiplier` kernels for each *input* channel, and each of them sees that channel "
            "alone.",
            _pair(lambda m, n, k, r: n * r * k * k, _mixing),
            _pair(lambda m, n, k, r: n * k * k, _mixing),
            _pair(lambda m, n, k, r: m * n * k * k, _mixing),
            _pair(lambda m, n, k, r: m * n * r * k * k, _mixing),
            _pair(lambda m, n, k, r: r * k * k, _mixing),
            _pair(lambda m, n, k, r: k * k, _mixing),
            _pair(lambda m, n, k, r: m * m * k * k, _mixing),
        ),
        variants(
            "The pointwise part comes after the depthwise one and does not repeat it: the products of the two parts "
            "are added, not multiplied.",
            _pair(_nothing, lambda m, n, k, r: m * r * k * k * m * r * n),
            lambda inputs, outputs, kernel, places, multiplier: (
                places * inputs * multiplier * kernel**2 * places * inputs * multiplier * outputs
            ),
        ),
        variants(
            "That is one plain convolution. Add two: the kernels of each channel separately, then the 1x1 mixing.",
            _pair(_nothing, lambda m, n, k, r: m * n * k * k),
            _pair(_nothing, lambda m, n, k, r: m * n * k * k + m * n),
        ),
        variants(
            "Between the two parts there are inputs * multiplier channels. The depthwise part makes each of them, and "
            "the pointwise part reads each of them once for every output.",
            _pair(_spatial, lambda m, n, k, r: m * n * r * r),
            _pair(lambda m, n, k, r: m * r * r * k * k, _mixing),
            _pair(lambda m, n, k, r: m * k * k // r, lambda m, n, k, r: m * n),
            _pair(lambda m, n, k, r: m * k * k / r, lambda m, n, k, r: m * n / r),
            _pair(_spatial, lambda m, n, k, r: r * n),
            _pair(_spatial, lambda m, n, k, r: m * r),
            _pair(_spatial, lambda m, n, k, r: n),
            _pair(lambda m, n, k, r: m * k * k, lambda m, n, k, r: n),
            _pair(lambda m, n, k, r: m * k * k + r, lambda m, n, k, r: m * n),
            _pair(_spatial, lambda m, n, k, r: m * n + r),
        ),
        variants(
            "The kernel is a square, and something else is wrong: the depthwise part does kernel * kernel products "
            "for each of its channels.",
            _pair(lambda m, n, k, r: m * k, lambda m, n, k, r: m * n),
            _pair(lambda m, n, k, r: m * k, _mixing),
            _pair(lambda m, n, k, r: m * r * k, lambda m, n, k, r: m * n),
            _pair(lambda m, n, k, r: m * r * 2 * k, _mixing),
        ),
        variants(
            "A bias is an addition, not a multiplication: leave it out.",
            _pair(lambda m, n, k, r: m * r * (k * k + 1), lambda m, n, k, r: n * (m * r + 1)),
            _pair(_spatial, lambda m, n, k, r: n * (m * r + 1)),
            _pair(lambda m, n, k, r: m * r * (k * k + 1), _mixing),
        ),
    ),
    also_correct=(_pair_by_weights, _pair_in_numpy),
    forbidden=(cost.depthwise_separable_macs, cost.depthwise_separable_cost, cost.convolution_macs, costs.layer_costs),
)
