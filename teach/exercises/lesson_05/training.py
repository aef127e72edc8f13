"""Lesson 05, exercise 5.3: training with a mask."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 5.3 ------------------------------------------------------------------------------------------------

Gradient = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Slope:
    """The gradient of a bowl whose lowest point is at `lowest`: curvature @ (w - lowest).

    >>> Slope(tensor([[2.0, 1.0], [1.0, 2.0]]), tensor([3.0, 0.0]))(tensor([4.0, 0.0]))
    tensor([2., 1.])
    """

    curvature: Tensor
    lowest: Tensor

    def __call__(self, weight: Tensor) -> Tensor:
        return self.curvature @ (weight - self.lowest)

    def __repr__(self) -> str:
        return f"{_short(self.curvature.tolist())} @ (w - {_short(self.lowest.tolist())})"


def _short(numbers: list) -> str:
    return str(numbers).replace(".0,", ",").replace(".0]", "]")


def train_pruned(weight: Tensor, mask: Tensor, gradient: Gradient, learning_rate: float, steps: int) -> Tensor:
    """The weights after steps of gradient descent; masked weights are zero before, between and after the steps."""
    weight = weight * mask
    for _ in range(steps):
        weight = (weight - learning_rate * gradient(weight)) * mask
    return weight


def _train_pruned_by_gradient(weight, mask, gradient, learning_rate, steps):
    weight = torch.where(mask, weight, 0.0)
    for _ in range(steps):
        weight = weight - learning_rate * torch.where(mask, gradient(weight), 0.0)
    return weight


def _train_pruned_by_hand(weight, mask, gradient, learning_rate, steps):
    values = [value if stays else 0.0 for value, stays in zip(weight.tolist(), mask.tolist())]
    for _ in range(steps):
        slopes = gradient(tensor(values)).tolist()
        for at, stays in enumerate(mask.tolist()):
            values[at] -= learning_rate * slopes[at] if stays else 0.0
    return values


def _train(weight, mask, gradient, learning_rate, steps, *, first=True, before=False, of_gradient=False, last=False):
    """Training with the mask in some of the places where people put it."""
    weight = weight * mask if first else weight
    for _ in range(steps):
        weight = weight * mask if before else weight
        slope = gradient(weight)
        weight = weight - learning_rate * (slope * mask if of_gradient else slope)
    return weight * mask if last else weight


def _mask_by_value(weight, mask, gradient, learning_rate, steps):
    weight = weight * mask
    for _ in range(steps):
        weight = (weight - learning_rate * gradient(weight)) * (weight != 0)
    return weight


def _not_at_the_start(weight, mask, gradient, learning_rate, steps):
    for _ in range(steps):
        weight = (weight - learning_rate * gradient(weight)) * mask
    return weight


def _at_a_falling_rate(weight, mask, gradient, learning_rate, steps):
    weight = weight * mask
    for done in range(steps):
        weight = (weight - learning_rate / 2**done * gradient(weight)) * mask
    return weight


def _all_weights(weight, mask, gradient, learning_rate, steps):
    return [train_pruned(weight, mask, gradient, learning_rate, done) for done in range(1, steps + 1)]


def _descent_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 3, 5)
    root = torch.randn(size, size, generator=generator)
    curvature = root @ root.T / size + torch.eye(size)  # no weight can be moved without moving what suits the others
    mask = torch.rand(size, generator=generator) < 0.5
    mask[:2] = tensor([True, False])
    weight, lowest = torch.randn(2, size, generator=generator).round(decimals=2)
    return Case(weight, mask, Slope(curvature.round(decimals=2), lowest), 0.1, random_whole(generator, 2, 4))


_TWO = Slope(tensor([[2.0, 1.0], [1.0, 2.0]]), tensor([3.0, 1.0]))

TRAIN_PRUNED = Exercise(
    id="5.3",
    title="What is pruned stays pruned",
    reference=train_pruned,
    cases=(
        Case(tensor([1.0, 2.0]), tensor([True, False]), _TWO, 0.5, 0),
        Case(tensor([1.0, 2.0]), tensor([True, False]), _TWO, 0.5, 1),
        Case(tensor([1.0, 2.0]), tensor([True, False]), _TWO, 0.5, 2),
        Case(tensor([0.0, 2.0]), tensor([True, False]), _TWO, 0.5, 2),
        *random_cases(8, seed=53, make=_descent_case),
    ),
    mistakes=(
        Mistake(
            lambda *arguments: _train(*arguments),
            "The mask was applied once, and went stale: the first step gives pruned weights a value again. "
            "Mask after each step.",
        ),
        Mistake(
            lambda *arguments: _train(*arguments, before=True),
            "The last step fills pruned weights again. Mask after the step, not only before it.",
        ),
        Mistake(
            lambda *arguments: _train(*arguments, first=False, of_gradient=True),
            "Without a gradient pruned weights are frozen, not gone: they keep their values. Set them to zero first.",
        ),
        Mistake(
            lambda *arguments: _train(*arguments, first=False, last=True),
            "If you mask only at the end, the weights that stay were trained to work alongside weights that are then "
            "taken away.",
        ),
        Mistake(
            lambda *arguments: _train(*arguments, last=True),
            "Between the first step and the last, pruned weights come back, and the others adapt to them. Mask after "
            "each step.",
        ),
        Mistake(
            _mask_by_value,
            "A weight that happens to be zero is not pruned. The mask says what stays; do not read it off the values.",
        ),
        Mistake(
            lambda weight, mask, *others: train_pruned(weight, ~mask, *others),
            "That keeps the weights that should go: True in a mask means that the weight stays.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: len(got) == int(given["mask"].sum()) != len(given["mask"]),
            "The pruned weights are left out. They stay in their places, as zeros: multiply by the mask.",
            [lambda weight, mask, *others: train_pruned(weight, mask, *others)[mask]],
        ),
        Symptom(
            lambda got, expected, given: (
                not torch.as_tensor(got)[given["mask"]].any() and bool(torch.as_tensor(got)[~given["mask"]].any())
            ),
            "The mask is the wrong way round: True means that a weight stays.",
            [
                lambda weight, mask, gradient, learning_rate, steps: _train(
                    weight, ~mask, gradient, learning_rate, steps, last=True
                )
            ],
        ),
        Symptom(
            lambda got, expected, given: (
                isinstance(got, (list, tuple)) and all(len(row) == len(given["weight"]) for row in got)
            ),
            "Return the weights after the last step, not those after every step.",
            [_all_weights],
        ),
        variants("The learning rate stays the same in all steps.", _at_a_falling_rate),
        variants(
            "The number of steps is not right: with `steps` = 0 the weights are only masked, and each step after "
            "that moves them once.",
            *(
                lambda weight, mask, gradient, learning_rate, steps, made=made: train_pruned(
                    weight, mask, gradient, learning_rate, made(steps)
                )
                for made in (lambda n: 1, lambda n: n - 1, lambda n: n + 1, lambda n: n + 2, lambda n: 0)
            ),
        ),
        variants(
            "A step goes *against* the gradient: subtract it.",
            lambda weight, mask, gradient, learning_rate, steps: train_pruned(
                weight, mask, gradient, -learning_rate, steps
            ),
            lambda weight, mask, gradient, learning_rate, steps: _train(weight, mask, gradient, -learning_rate, steps),
        ),
        variants(
            "A step is learning_rate times the gradient.",
            *(
                lambda weight, mask, gradient, learning_rate, steps, rate=rate: train_pruned(
                    weight, mask, gradient, rate(learning_rate, steps), steps
                )
                for rate in (lambda r, n: 1.0, lambda r, n: 1 / r, lambda r, n: r * n)
            ),
        ),
        variants(
            "Mask the weights before the first step too: its gradient is that at the pruned weights.", _not_at_the_start
        ),
        variants(
            "The gradient changes as the weights move. Ask for it in each step, at the weights as they are then: "
            "pruned ones at zero.",
            lambda weight, mask, gradient, learning_rate, steps: (
                (weight - steps * learning_rate * gradient(weight)) * mask
            ),
            lambda weight, mask, gradient, learning_rate, steps: (
                (weight - steps * learning_rate * gradient(weight * mask)) * mask
            ),
            lambda weight, mask, gradient, learning_rate, steps: _train(
                weight, mask, gradient, learning_rate, steps, first=False, of_gradient=True, last=True
            ),
        ),
        Symptom(
            lambda got, expected, given: bool(torch.as_tensor(got)[~given["mask"]].any()),
            "A pruned weight is not zero. Mask the weights before the first step, and after every step.",
            [
                lambda weight, mask, *others: _train(weight, mask, *others, first=False),
                lambda weight, mask, *others: _train(weight, ~mask, *others, first=False, of_gradient=True),
            ],
        ),
    ),
    also_correct=(_train_pruned_by_gradient, _train_pruned_by_hand),
    forbidden=(prune.masked, prune.apply_mask),
)
