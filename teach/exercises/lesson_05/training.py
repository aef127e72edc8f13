"""Lesson 05, exercises 5.3 and 5.4: training with a mask, and how fast the density falls."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

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
            "Masked only at the end, the weights that stay were "
            "trained to work beside weights that are then taken away.",
        ),
        Mistake(
            lambda *arguments: _train(*arguments, last=True),
            "Between the first step and the last, pruned weights are back, and the others adapt to them. "
            "Mask after each step.",
        ),
        Mistake(
            _mask_by_value,
            "A weight that happens to be zero is not pruned. The mask says what stays; do not read it off the values.",
        ),
        Mistake(
            lambda weight, mask, *others: train_pruned(weight, ~mask, *others),
            "That keeps what is to go: True in a mask means that the weight stays.",
        ),
    ),
    also_correct=(_train_pruned_by_gradient, _train_pruned_by_hand),
    forbidden=(prune.masked, prune.apply_mask),
)

# 5.4 ------------------------------------------------------------------------------------------------


def falling_densities(target: float, rounds: int) -> list[float]:
    """Densities after each round: fast at first, slowly at the end, along a cubic curve from 1 to `target`."""
    return [target + (1 - target) * (1 - done / rounds) ** 3 for done in range(1, rounds + 1)]


def _falling_exactly(target: float, rounds: int) -> list[Fraction]:
    sparsity = 1 - Fraction(target)
    return [1 - sparsity * (1 - Fraction(rounds - done, rounds) ** 3) for done in range(1, rounds + 1)]


def _compounded(target: float, rounds: int) -> list[float]:
    density, densities = 1.0, []
    for done in range(1, rounds + 1):
        density = target + (density - target) * (1 - done / rounds) ** 3
        densities.append(density)
    return densities


FALLING_DENSITIES = Exercise(
    id="5.4",
    title="Fast at first",
    reference=falling_densities,
    cases=(
        Case(0.5, 1),
        Case(0.2, 2),
        Case(0.1, 4),
        *random_cases(8, seed=54, make=lambda g: Case(random_whole(g, 1, 18) / 20, random_whole(g, 3, 7))),
    ),
    mistakes=(
        Mistake(
            lambda target, rounds: [1 - (1 - target) * done / rounds for done in range(1, rounds + 1)],
            "That falls by the same amount each round. Early on there is much that nobody needs: let it fall fast "
            "at first.",
        ),
        Mistake(
            lambda target, rounds: [1 - (1 - target) * (done / rounds) ** 3 for done in range(1, rounds + 1)],
            "That falls slowly at first and fast at the end, when what is left is needed most. The cube is of the "
            "share left.",
        ),
        Mistake(
            lambda target, rounds: [target + (1 - target) * (1 - done / rounds) ** 2 for done in range(1, rounds + 1)],
            "That is the square of what is left of the way. It is to be the cube.",
        ),
        Mistake(
            lambda target, rounds: [target + (1 - target) * (1 - done / rounds) ** 3 for done in range(rounds)],
            "That starts with a round that prunes nothing, and never comes to the target. Count rounds that are "
            "done: 1 to `rounds`.",
        ),
        Mistake(
            lambda target, rounds: [1 - density for density in falling_densities(target, rounds)],
            "Those are sparsities, the shares that are gone. A density is the share that stays.",
        ),
        Mistake(
            lambda target, rounds: [target ** (done / rounds) for done in range(1, rounds + 1)],
            "That takes the same share of what remains in each round. It is another schedule: see `iterative`.",
        ),
        Mistake(
            _compounded,
            "The way is measured from the start, density 1, in every round; not from where the last round ended.",
        ),
    ),
    also_correct=(
        _falling_exactly,
        lambda target, rounds: target + (1 - target) * np.linspace(1, 0, rounds + 1)[1:] ** 3,
    ),
    forbidden=(prune.cubic,),
)
