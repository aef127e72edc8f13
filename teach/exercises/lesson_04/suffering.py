"""Lesson 04, exercise 4.4: what a layer suffers, measured by the outputs."""

import math

import numpy as np
import torch
from torch import Tensor, tensor
from torch.nn import functional as F

from mini_lib.quantize import mixed
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 4.4 ------------------------------------------------------------------------------------------------


def output_divergence(logits: Tensor, changed: Tensor) -> Tensor:
    """The mean over the images of KL(p || q): p the probabilities before, q those after."""
    before, after = logits.log_softmax(dim=1), changed.log_softmax(dim=1)
    return (before.exp() * (before - after)).sum(dim=1).mean()


def _divergence_of_torch(logits: Tensor, changed: Tensor) -> Tensor:
    return F.kl_div(changed.log_softmax(1), logits.log_softmax(1), reduction="batchmean", log_target=True)


def _divergence_by_hand(logits: Tensor, changed: Tensor) -> float:
    rows = []
    for before, after in zip(logits.numpy().astype(np.float64), changed.numpy().astype(np.float64)):
        p, q = np.exp(before) / np.exp(before).sum(), np.exp(after) / np.exp(after).sum()
        rows.append(sum(a * np.log(a / b) for a, b in zip(p, q)))
    return sum(rows) / len(rows)


def _over_images(logits: Tensor, changed: Tensor) -> Tensor:
    return output_divergence(logits.T, changed.T)


def _logits_case(generator: torch.Generator) -> Case:
    images, classes = random_whole(generator, 2, 5), random_whole(generator, 3, 6)
    logits = 2 * torch.randn(images, classes, generator=generator)
    return Case(logits, logits + torch.randn(images, classes, generator=generator))


def _terms(logits: Tensor, changed: Tensor, axis: int) -> Tensor:
    """p * (log p - log q), element by element, with the softmax along one axis."""
    return logits.softmax(axis) * (logits.log_softmax(axis) - changed.log_softmax(axis))


OUTPUT_DIVERGENCE = Exercise(
    id="4.4",
    title="How far the outputs move",
    reference=output_divergence,
    cases=(
        Case(tensor([[0.0, 0.0]]), tensor([[1.0986123, 0.0]])),
        Case(tensor([[2.0, 0.0]]), tensor([[0.0, 1.0]])),
        Case(tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]), tensor([[0.0, 1.5, 1.0], [1.0, 0.0, 0.5]])),
        *random_cases(8, seed=44, make=_logits_case),
    ),
    # KL is a small difference of logarithms: each is off by a few units of 2**-24 of numbers up to about 16.
    atol=2.0**-19,
    mistakes=(
        Mistake(
            lambda logits, changed: output_divergence(changed, logits),
            "The two are swapped. The weights p are the probabilities of the *unchanged* model: the question is how "
            "much of its answer is lost.",
        ),
        Mistake(
            lambda logits, changed: output_divergence(logits, changed) * len(logits),
            "That is the sum over the images. Divide by their number.",
        ),
        Mistake(
            lambda logits, changed: output_divergence(logits, changed) / logits.shape[1],
            "That divides by the number of classes too. Sum over the classes, and take the mean over the images: in "
            'torch that is reduction="batchmean", not "mean".',
        ),
        Mistake(
            _over_images,
            "The softmax runs over the images. Each image has its own probabilities, one per class: axis 1.",
        ),
        Mistake(
            lambda logits, changed: -(logits.softmax(1) * changed.log_softmax(1)).sum(1).mean(),
            "That is the cross-entropy. It also counts how unsure the unchanged model is: subtract log q from log p.",
        ),
        Mistake(
            lambda logits, changed: (logits - changed).square().sum(1).mean(),
            "That is the distance of the logits. The same distance matters little where a class is certain, and much "
            "where two are close: compare probabilities.",
        ),
        Mistake(
            lambda logits, changed: output_divergence(logits, changed) / np.log(2),
            "That is in bits, with logarithms to base 2. Here the natural logarithm is asked for, as in the loss.",
        ),
        Mistake(
            lambda logits, changed: (logits.softmax(1) * (logits - changed)).sum(1).mean(),
            "Logits are not yet logarithms of probabilities: use log_softmax of both.",
        ),
    ),
    symptoms=(
        variants(
            "`F.kl_div(input, target)` takes the *logarithms* of the changed probabilities first, and then the "
            "unchanged probabilities: log_softmax of `changed`, softmax of `logits`.",
            *(
                lambda logits, changed, give=give, how=how: F.kl_div(*give(logits, changed), reduction=how)
                for how in ("batchmean", "sum")
                for give in (
                    lambda p, q: (q.softmax(1), p.softmax(1)),
                    lambda p, q: (p.softmax(1), q.softmax(1)),
                    lambda p, q: (q, p),
                    lambda p, q: (q, p.softmax(1)),
                    lambda p, q: (q.log_softmax(1), p),
                    lambda p, q: (q.log_softmax(1), p.log_softmax(1)),
                )
            ),
        ),
        variants(
            "The softmax is taken along the wrong axis. Each image has its own probabilities, one per class, which "
            "add up to 1: axis 1.",
            lambda logits, changed: _terms(logits, changed, 0).sum(1).mean(),
            lambda logits, changed: _terms(logits, changed, 0).sum(),
            lambda logits, changed: _terms(logits, changed, 0).mean(),
            lambda logits, changed: output_divergence(logits.flatten()[None], changed.flatten()[None]),
        ),
        variants(
            "Sum over the classes of each image first, axis 1, and then take the mean over the images.",
            lambda logits, changed: _terms(logits, changed, 1).sum(0).mean(),
        ),
        variants(
            "Each difference log p - log q is weighted by p, the probability of that class in the unchanged model.",
            *(
                lambda logits, changed, weigh=weigh: (
                    (weigh(logits, changed) * (logits.log_softmax(1) - changed.log_softmax(1))).sum(1).mean()
                )
                for weigh in (
                    lambda p, q: 1,
                    lambda p, q: q.softmax(1),
                    lambda p, q: p.log_softmax(1),
                    lambda p, q: p,
                    lambda p, q: 1 / p.shape[1],
                )
            ),
            lambda logits, changed: (logits.log_softmax(1) - changed.log_softmax(1)).abs().sum(1).mean(),
        ),
        variants(
            "KL(p || q) is not symmetric, and must not be made symmetric: only p, of the unchanged model, is a weight.",
            lambda logits, changed: (output_divergence(logits, changed) + output_divergence(changed, logits)) / 2,
            lambda logits, changed: output_divergence(logits, changed) + output_divergence(changed, logits),
        ),
        variants(
            "That measures a distance, squared or absolute. A divergence weighs log p - log q by p.",
            *(
                lambda logits, changed, size=size, add=add: add(size(logits.softmax(1) - changed.softmax(1)))
                for size in (torch.square, torch.abs)
                for add in (lambda d: d.sum(1).mean(), torch.mean)
            ),
            lambda logits, changed: (logits - changed).square().mean(),
            lambda logits, changed: (logits - changed).abs().sum(1).mean(),
            lambda logits, changed: (logits - changed).abs().mean(),
        ),
        variants(
            "The logarithms are those of the probabilities: log_softmax of the logits, once.",
            lambda logits, changed: (logits.exp() * (logits - changed)).sum(1).mean(),
            lambda logits, changed: output_divergence(logits.softmax(1), changed.softmax(1)),
            lambda logits, changed: (logits.softmax(1) * (logits - changed)).sum(1).sum(),
            lambda logits, changed: (logits.softmax(1) * (logits - changed)).mean(),
        ),
        variants(
            "The differences log p - log q have signs, and some of them cancel: take no magnitudes.",
            lambda logits, changed: (
                (logits.softmax(1) * (logits.log_softmax(1) - changed.log_softmax(1)).abs()).sum(1).mean()
            ),
        ),
        variants(
            "The weights p multiply a difference of *logarithms*, log p - log q, not a difference of probabilities.",
            lambda logits, changed: (logits.softmax(1) * (logits.softmax(1) - changed.softmax(1))).sum(1).mean(),
        ),
        variants(
            "All classes count, each with its probability, not just the first choice.",
            lambda logits, changed: F.cross_entropy(changed, logits.argmax(1)),
            lambda logits, changed: (
                F.cross_entropy(changed, logits.argmax(1)) - F.cross_entropy(logits, logits.argmax(1))
            ),
        ),
        variants(
            "Take the mean over the images, not the largest or the middle one.",
            lambda logits, changed: _terms(logits, changed, 1).sum(1).amax(),
            lambda logits, changed: _terms(logits, changed, 1).sum(1).median(),
        ),
        Symptom(
            lambda got, expected, given: (
                len(got) == len(given["logits"]) and math.isclose(sum(got) / len(got), expected, abs_tol=1e-5)
            ),
            "Those are the divergences of the images, one for each. Take their mean.",
            [lambda logits, changed: _terms(logits, changed, 1).sum(1)],
        ),
    ),
    also_correct=(_divergence_of_torch, _divergence_by_hand),
    forbidden=(mixed.kl_divergence,),
)
