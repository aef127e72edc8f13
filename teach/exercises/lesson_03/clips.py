"""Lesson 03, exercise 3.4: the gradient of the clip of an activation."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_03.straight import sixteenths
from teach.variants import of_tensors, variants

# 3.4 ------------------------------------------------------------------------------------------------


def clip_gradient(x: Tensor, clip: float, gradient: Tensor) -> Tensor:
    """The gradient of the loss with respect to the learned clip of an activation (PACT)."""
    return gradient[x >= clip].sum()


def _clip_gradient_by_hand(x: Tensor, clip: float, gradient: Tensor) -> float:
    return sum(slope for value, slope in zip(x.tolist(), gradient.tolist()) if value >= clip)


def _summed(kept):
    return lambda x, clip, gradient: (gradient * kept(x, clip)).sum()


def _clip_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 4, 9)
    clip = random_whole(generator, 1, 3)
    x = sixteenths(generator, size, 80)
    return Case(torch.cat([x, tensor([float(clip)])]), float(clip), sixteenths(generator, size + 1, 32))


CLIP_GRADIENT = Exercise(
    id="3.4",
    title="Where an activation ends",
    reference=clip_gradient,
    cases=(
        Case(tensor([3.0]), 2.0, tensor([1.0])),
        Case(tensor([3.0, 1.0]), 2.0, tensor([0.5, 4.0])),
        Case(tensor([3.0, 5.0, -1.0]), 2.0, tensor([0.5, -1.5, 4.0])),
        Case(tensor([2.0, 1.0]), 2.0, tensor([0.25, 4.0])),
        Case(tensor([3.0, -4.0]), 2.0, tensor([0.5, 1.0])),
        *random_cases(8, seed=34, make=_clip_case),
    ),
    mistakes=(
        Mistake(
            _summed(lambda x, clip: x < clip),
            "Those are the values that the clip does not touch. It moves the values that it has cut off: x >= clip.",
        ),
        Mistake(
            _summed(lambda x, clip: x > clip),
            "A value exactly on the clip belongs to it, as the paper has it: x >= clip.",
        ),
        Mistake(
            lambda x, clip, gradient: (x >= clip).sum(),
            "That counts the clipped values. The gradient of each says which way the clip should go.",
        ),
    ),
    symptoms=(
        of_tensors(
            lambda got, expected, a: got.ndim > 0 and abs(float(got.sum()) - float(expected)) < 1e-4,
            "The values share one clip, so its gradient is one number: the sum over the values that it cuts off.",
            (lambda x, clip, gradient: gradient * (x >= clip), lambda x, clip, gradient: gradient[x >= clip]),
        ),
        variants(
            "One clip serves all values, so its gradient is a sum over them, not a mean.",
            lambda x, clip, gradient: (gradient * (x >= clip)).mean(),
            lambda x, clip, gradient: gradient[x >= clip].mean(),
            lambda x, clip, gradient: (gradient * (x > clip)).mean(),
            lambda x, clip, gradient: gradient[x.argmax()],
        ),
        variants(
            "Between 0 and the clip the output is x itself, whatever the clip is. Only x >= clip moves the clip.",
            _summed(lambda x, clip: x > 0),
            _summed(lambda x, clip: x >= 0),
            _summed(lambda x, clip: (x > 0) & (x < clip)),
            _summed(lambda x, clip: (x >= 0) & (x <= clip)),
            _summed(lambda x, clip: x <= clip),
            _summed(lambda x, clip: x == x),
        ),
        of_tensors(
            lambda got, expected, a: got.ndim > 0,
            "The clip gets one number: which values does it cut off, and what do their gradients add up to?",
            (lambda x, clip, gradient: gradient * ((x > 0) & (x < clip)), lambda x, clip, gradient: (x >= clip) * 1.0),
        ),
        variants(
            "A negative value becomes 0 and does not reach the clip: compare x itself, not its magnitude.",
            _summed(lambda x, clip: x.abs() >= clip),
            _summed(lambda x, clip: (x >= clip) | (x <= 0)),
            _summed(lambda x, clip: (x >= clip) | (x < 0)),
            _summed(lambda x, clip: x.abs() > clip),
        ),
        variants(
            "The output is the clip there, so its slope is 1, not the clip or x.",
            lambda x, clip, gradient: (gradient * (x >= clip) * clip).sum(),
            lambda x, clip, gradient: (gradient * (x > clip) * clip).sum(),
            lambda x, clip, gradient: (gradient * (x >= clip) * x).sum(),
            lambda x, clip, gradient: (gradient * (x >= clip) * (x - clip)).sum(),
        ),
        variants(
            "The value decides whether it is cut off: compare `x` with the clip, not the gradient.",
            lambda x, clip, gradient: gradient[gradient >= clip].sum(),
            lambda x, clip, gradient: gradient[gradient > clip].sum(),
        ),
        variants(
            "Sum the *gradients* of the values that were cut off, with their signs.",
            lambda x, clip, gradient: x[x >= clip].sum(),
            lambda x, clip, gradient: gradient[x >= clip].abs().sum(),
            lambda x, clip, gradient: x.clamp(0, clip).sum(),
            lambda x, clip, gradient: clip * gradient.sum(),
        ),
    ),
    also_correct=(
        _clip_gradient_by_hand,
        lambda x, clip, gradient: np.where(x.numpy() >= clip, gradient.numpy(), 0.0).sum(),
    ),
)
