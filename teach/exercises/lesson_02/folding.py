"""Lesson 02, exercise 2.8: batch norm, folded into the convolution before it."""

import math
import operator

import numpy as np
import torch
from torch import tensor

from mini_lib.fold import fold_batch_norm, fold_pair
from teach.exercise import Case, Exercise, Mistake, random_cases
from teach.exercises.lesson_02.grids import weights
from teach.variants import variants


def _factor(gamma, variance, eps):
    return gamma / torch.sqrt(variance + eps)


def fold(weight, bias, mean, variance, gamma, beta, eps):
    """The weight and bias of one convolution that is equivalent to the convolution followed by batch norm."""
    factor = _factor(gamma, variance, eps)
    return weight * factor[:, None, None, None], (bias - mean) * factor + beta


def _fold_by_hand(weight, bias, mean, variance, gamma, beta, eps):
    folded_weight, folded_bias = weight.double().clone(), []
    for channel in range(len(bias)):
        factor = gamma[channel].item() / math.sqrt(variance[channel].item() + eps)
        folded_weight[channel] *= factor
        folded_bias.append((bias[channel].item() - mean[channel].item()) * factor + beta[channel].item())
    return folded_weight, folded_bias


def _fold_in_numpy(weight, bias, mean, variance, gamma, beta, eps):
    factor = gamma.numpy() / np.sqrt(variance.numpy() + eps)
    return np.einsum("oikl,o->oikl", weight.numpy(), factor), (bias.numpy() - mean.numpy()) * factor + beta.numpy()


_OUTPUT = operator.itemgetter((slice(None), None, None, None))
_INPUT = operator.itemgetter((None, slice(None), None, None))


def _folded(factor=_factor, axes=_OUTPUT, bias=lambda b, m, k, beta: (b - m) * k + beta):
    """A fold with slips: of the factor, the axis that it is lined up with, the new bias."""
    own = bias

    def wrong(weight, bias, mean, variance, gamma, beta, eps):
        scaled = factor(gamma, variance, eps)
        return weight * axes(scaled), own(bias, mean, scaled, beta)

    return wrong


def _norm_case(generator: torch.Generator, channels: int = 2) -> Case:
    weight = weights(channels, channels, 2, 2, generator=generator)  # square: a wrong axis still broadcasts
    bias, mean, beta = torch.randn(3, channels, generator=generator)
    variance, gamma = torch.rand(2, channels, generator=generator) * 2 + 0.1
    return Case(weight, bias, mean, variance, gamma, beta, eps=0.01)


def _one_channel(eps: float = 0.0, **changed: float) -> Case:
    values = dict(weight=2.0, bias=0.0, mean=0.0, variance=4.0, gamma=1.0, beta=0.0) | changed
    weight = torch.full((1, 1, 1, 1), values.pop("weight"))
    return Case(weight, *(tensor([value]) for value in values.values()), eps=eps)


FOLD = Exercise(
    id="2.8",
    title="Fold batch norm into the convolution",
    reference=fold,
    cases=(
        _one_channel(),
        _one_channel(variance=3.0, eps=1.0),
        _one_channel(mean=1.0),
        _one_channel(bias=3.0, beta=0.5),
        *random_cases(8, seed=29, make=_norm_case),
    ),
    mistakes=(
        Mistake(
            _folded(factor=lambda g, v, e: g / (v + e)),
            "Batch norm divides by the standard deviation: the square root of the variance.",
        ),
        Mistake(
            _folded(factor=lambda g, v, e: g / torch.sqrt(v)),
            "Something is missing: batch norm divides by sqrt(variance + eps).",
        ),
        Mistake(
            _folded(bias=lambda b, m, k, beta: b - m * k + beta),
            "The convolution's own bias goes through batch norm too: it is scaled together with the mean.",
        ),
        Mistake(
            _folded(bias=lambda b, m, k, beta: beta - m * k),
            "The convolution's own bias is lost. Batch norm comes after it, so (bias - mean) gets scaled.",
        ),
        Mistake(
            _folded(bias=lambda b, m, k, beta: (b + m) * k + beta),
            "Batch norm subtracts the mean: here its sign is flipped.",
        ),
    ),
    symptoms=(
        variants(
            "Two arguments are swapped: gamma multiplies, and beta is added at the end.",
            lambda weight, bias, mean, variance, gamma, beta, eps: fold(weight, bias, mean, variance, beta, gamma, eps),
        ),
        variants(
            "This is the mean of the *output*: it belongs in the bias, and the weight is only scaled.",
            lambda weight, bias, mean, variance, gamma, beta, eps: fold(
                weight - mean[:, None, None, None], bias, mean, variance, gamma, beta, eps
            ),
            item=0,
        ),
        variants(
            "The standard deviation is the square root of variance + eps: take the root once, of the sum.",
            _folded(factor=lambda g, v, e: g / v),
            _folded(factor=lambda g, v, e: g / (v + e) ** 2),
            _folded(factor=lambda g, v, e: 1 / (v + e)),
            item=0,
        ),
        variants(
            "`eps` is added to the variance, under the square root.",
            _folded(factor=lambda g, v, e: g / (torch.sqrt(v) + e)),
            _folded(factor=lambda g, v, e: g / torch.sqrt(v) + e),
            _folded(factor=lambda g, v, e: g / torch.sqrt((v - e).abs())),
            _folded(factor=lambda g, v, e: g / torch.sqrt(v + e**2)),
            item=0,
        ),
        variants(
            "The factor is gamma divided by the standard deviation: gamma appears in it once, in the numerator.",
            _folded(factor=lambda g, v, e: 1 / torch.sqrt(v + e)),
            _folded(factor=lambda g, v, e: g * g / torch.sqrt(v + e)),
            _folded(factor=lambda g, v, e: g * torch.sqrt(v + e)),
            _folded(factor=lambda g, v, e: torch.sqrt(v + e) / g),
            _folded(factor=lambda g, v, e: torch.sqrt(v + e)),
            _folded(factor=lambda g, v, e: g),
            item=0,
        ),
        variants(
            "The factor belongs to the output channel, axis 0: factor[:, None, None, None]. Broadcasting lined it up "
            "with another axis.",
            _folded(axes=lambda k: k),
            _folded(axes=_INPUT),
            _folded(axes=lambda k: k[:, None]),
            _folded(axes=lambda k: k[None, None, :, None]),
            item=0,
        ),
        variants(
            "The weight is scaled too: batch norm multiplies the whole output of the convolution.",
            _folded(axes=lambda k: 1.0),
            item=0,
        ),
        variants(
            "`beta` is added last, once, and as it is: (bias - mean) * factor + beta.",
            _folded(bias=lambda b, m, k, beta: (b - m + beta) * k),
            _folded(bias=lambda b, m, k, beta: (b - m) * k),
            _folded(bias=lambda b, m, k, beta: (b - m) * k - beta),
            _folded(bias=lambda b, m, k, beta: b * k - m * k),
            _folded(bias=lambda b, m, k, beta: b - m * k),
            item=1,
        ),
        variants(
            "The mean is subtracted before the scaling, so it is scaled together with the bias.",
            _folded(bias=lambda b, m, k, beta: b * k - m + beta),
            _folded(bias=lambda b, m, k, beta: b * k + beta),
            _folded(bias=lambda b, m, k, beta: (m - b) * k + beta),
            _folded(bias=lambda b, m, k, beta: b - m + beta),
            item=1,
        ),
        variants(
            "The new bias has three parts: the convolution's own bias and the mean, both scaled, and beta.",
            _folded(bias=lambda b, m, k, beta: b),
            _folded(bias=lambda b, m, k, beta: beta),
            _folded(bias=lambda b, m, k, beta: b + beta),
            _folded(bias=lambda b, m, k, beta: b * k),
            _folded(bias=lambda b, m, k, beta: beta - m),
            _folded(bias=lambda b, m, k, beta: beta + m * k),
            item=1,
        ),
    ),
    also_correct=(_fold_by_hand, _fold_in_numpy),
    forbidden=(fold_batch_norm, fold_pair),
)
