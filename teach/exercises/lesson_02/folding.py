"""Lesson 02, exercise 2.8: batch norm, folded into the convolution before it."""

import math

import numpy as np
import torch
from torch import tensor

from mini_lib.fold import fold_batch_norm, fold_pair
from teach.exercise import Case, Exercise, Mistake, random_cases
from teach.exercises.lesson_02.grids import weights


def _factor(gamma, variance, eps):
    return gamma / torch.sqrt(variance + eps)


def fold(weight, bias, mean, variance, gamma, beta, eps):
    """The weight and bias of one convolution that does what convolution, then batch norm, did."""
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


def _norm_case(generator: torch.Generator, channels: int = 3) -> Case:
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
            lambda weight, bias, mean, variance, gamma, beta, eps: fold(
                weight, bias, mean, variance**2, gamma, beta, eps=0.0
            ),
            "Batch norm divides by the standard deviation: the square root of the variance.",
        ),
        Mistake(
            lambda weight, bias, mean, variance, gamma, beta, eps: fold(
                weight, bias, mean, variance, gamma, beta, eps=0.0
            ),
            "Something is missing: batch norm divides by sqrt(variance + eps).",
        ),
        Mistake(
            lambda weight, bias, mean, variance, gamma, beta, eps: (
                weight * _factor(gamma, variance, eps),
                (bias - mean) * _factor(gamma, variance, eps) + beta,
            ),
            "Broadcasting lined the factor up with the last axis. It belongs "
            "to the output channel, axis 0: factor[:, None, None, None].",
        ),
        Mistake(
            lambda weight, bias, mean, variance, gamma, beta, eps: (
                weight * _factor(gamma, variance, eps)[:, None, None, None],
                bias - mean * _factor(gamma, variance, eps) + beta,
            ),
            "The convolution's own bias goes through batch norm too: it is scaled together with the mean.",
        ),
        Mistake(
            lambda weight, bias, mean, variance, gamma, beta, eps: (
                weight * _factor(gamma, variance, eps)[:, None, None, None],
                beta - mean * _factor(gamma, variance, eps),
            ),
            "The convolution's own bias is lost. With batch norm behind it, it is (bias - mean) that gets scaled.",
        ),
        Mistake(
            lambda weight, bias, mean, variance, gamma, beta, eps: (
                weight * _factor(gamma, variance, eps)[:, None, None, None],
                (bias + mean) * _factor(gamma, variance, eps) + beta,
            ),
            "Batch norm takes the mean away: its sign is turned.",
        ),
    ),
    also_correct=(_fold_by_hand, _fold_in_numpy),
    forbidden=(fold_batch_norm, fold_pair),
)
