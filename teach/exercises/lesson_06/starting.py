"""Lesson 06, exercises 6.3 and 6.4: from where a ticket starts, and how it keeps its zeros while it learns."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, random_cases

Weights = dict[str, Tensor]

# 6.3 ------------------------------------------------------------------------------------------------


def reset(initial: Weights, trained: Weights, mask: Weights) -> Weights:
    """The start of a ticket: all parameters as they were drawn, zeros where the mask says so."""
    return {name: value * mask[name] if name in mask else value.clone() for name, value in initial.items()}


def _reset_with_where(initial: Weights, trained: Weights, mask: Weights) -> Weights:
    start = {}
    for name in initial:
        keep = mask.get(name, torch.ones_like(initial[name], dtype=torch.bool))
        start[name] = torch.where(keep, initial[name], 0.0)
    return start


def _reset_in_numpy(initial: Weights, trained: Weights, mask: Weights) -> dict[str, np.ndarray]:
    start = {name: value.numpy().copy() for name, value in initial.items()}
    for name, keep in mask.items():
        start[name][~keep.numpy()] = 0
    return start


def _reset_in_place(initial: Weights, trained: Weights, mask: Weights) -> Weights:
    for name, keep in mask.items():
        initial[name].mul_(keep)
    return initial


def _net_case(generator: torch.Generator) -> Case:
    shapes = {"linear1.weight": (3, 4), "linear1.bias": (3,), "linear2.weight": (2, 3), "linear2.bias": (2,)}
    initial = {name: torch.randn(shape, generator=generator).round(decimals=2) for name, shape in shapes.items()}
    mask = {name: torch.rand(shapes[name], generator=generator) < 0.5 for name in ("linear1.weight", "linear2.weight")}
    before = {name: keep | (torch.rand(keep.shape, generator=generator) < 0.5) for name, keep in mask.items()}
    trained = {  # under the mask of the round before, which kept more
        name: (value + torch.randn(value.shape, generator=generator).round(decimals=2)) * before.get(name, tensor(True))
        for name, value in initial.items()
    }
    return Case(initial, trained, mask)


RESET = Exercise(
    id="6.3",
    title="Back to the start",
    reference=reset,
    cases=(
        Case({"weight": tensor([0.1, -0.2])}, {"weight": tensor([0.5, -0.9])}, {"weight": tensor([True, True])}),
        Case(
            {"weight": tensor([[0.4, -0.2]]), "bias": tensor([0.3])},
            {"weight": tensor([[0.1, -0.9]]), "bias": tensor([0.7])},
            {"weight": tensor([[False, True]])},
        ),
        *random_cases(6, seed=63, make=_net_case),
    ),
    mistakes=(
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] if name in mask else value.clone() for name, value in trained.items()
            },
            "Those are the trained weights. A ticket starts from the weights as they were drawn, before any training.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] if name in mask else trained[name].clone() for name, value in initial.items()
            },
            "The biases are those after training. They go back to the start too, although nothing of them is pruned.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] for name, value in initial.items() if name in mask
            },
            "The biases are missing. They are not in the mask, since "
            "nothing of them is pruned, but the net needs them.",
        ),
        Mistake(
            lambda initial, trained, mask: {name: value.clone() for name, value in initial.items()},
            "The mask is forgotten: that is the dense net again, as it was drawn.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * ~mask[name] if name in mask else value.clone() for name, value in initial.items()
            },
            "The mask is turned round: True is what stays.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: torch.where(mask[name], value, trained[name]) if name in mask else value.clone()
                for name, value in initial.items()
            },
            "Where the mask says no, the start is zero, and not what training left there.",
        ),
        Mistake(
            _reset_in_place,
            "It writes into the initial weights themselves. The next "
            "round, and every control, still needs them: work on a copy.",
        ),
    ),
    also_correct=(_reset_with_where, _reset_in_numpy),
    forbidden=(prune.apply_mask,),
)

# 6.4 ------------------------------------------------------------------------------------------------


def masked_step(
    weight: Tensor, gradient: Tensor, velocity: Tensor, mask: Tensor, learning_rate: float, momentum: float
) -> tuple[Tensor, Tensor]:
    """One step of SGD with momentum that leaves the pruned weights, and their velocity, at zero."""
    velocity = (momentum * velocity + gradient) * mask
    return (weight - learning_rate * velocity) * mask, velocity


def _step_by_hand(weight, gradient, velocity, mask, learning_rate, momentum):
    weights, velocities = [], []
    for w, g, v, keep in zip(weight.tolist(), gradient.tolist(), velocity.tolist(), mask.tolist()):
        velocities.append(momentum * v + g if keep else 0.0)
        weights.append(w - learning_rate * velocities[-1] if keep else 0.0)
    return weights, velocities


def _step_in_numpy(weight, gradient, velocity, mask, learning_rate, momentum):
    faster = np.where(mask, momentum * velocity.numpy() + gradient.numpy(), 0)
    return np.where(mask, weight.numpy() - learning_rate * faster, 0), faster


def _mask_before(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = momentum * velocity + gradient
    return weight * mask - learning_rate * velocity, velocity


def _mask_on_gradient(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = momentum * velocity + gradient * mask
    return weight * mask - learning_rate * velocity, velocity


def _velocity_free(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = momentum * velocity + gradient
    return (weight - learning_rate * velocity) * mask, velocity


def _decaying_velocity(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = momentum * velocity + gradient * mask
    return (weight - learning_rate * velocity) * mask, velocity


def _frozen(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = (momentum * velocity + gradient) * mask
    return weight - learning_rate * velocity, velocity


def _forgets_momentum(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = gradient * mask
    return (weight - learning_rate * velocity) * mask, velocity


def _no_mask(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = momentum * velocity + gradient
    return weight - learning_rate * velocity, velocity


def _step_case(generator: torch.Generator) -> Case:
    weight, gradient, velocity = torch.randn(3, 6, generator=generator).round(decimals=2)
    mask = torch.rand(6, generator=generator) < 0.5
    return Case(weight, gradient, velocity, mask, learning_rate=0.5, momentum=0.9)


MASKED_STEP = Exercise(
    id="6.4",
    title="A step that keeps the zeros",
    reference=masked_step,
    cases=(
        Case(tensor([1.0, 0.0]), tensor([2.0, 2.0]), tensor([0.0, 0.0]), tensor([True, False]), 0.5, 0.0),
        Case(tensor([1.0, 0.0]), tensor([2.0, 2.0]), tensor([4.0, 4.0]), tensor([True, False]), 0.25, 0.5),
        Case(tensor([1.0, 3.0]), tensor([2.0, 0.0]), tensor([0.0, 0.0]), tensor([True, False]), 0.5, 0.5),
        *random_cases(8, seed=64, make=_step_case),
    ),
    mistakes=(
        Mistake(_no_mask, "The mask is not used at all: the pruned weights train on as if nothing had happened."),
        Mistake(
            _mask_before,
            "The mask goes stale: it is applied before the step, and the step moves the pruned weights away from zero "
            "again.",
        ),
        Mistake(
            _mask_on_gradient,
            "Masking the gradient is not enough. The velocity still remembers "
            "earlier gradients, and goes on moving the pruned weights.",
        ),
        Mistake(
            _velocity_free, "The weights are right. But the velocity of the pruned ones goes on growing: mask it too."
        ),
        Mistake(
            _decaying_velocity,
            "The weights are right. But the pruned ones keep the velocity of the time before they were pruned: mask "
            "all of it, not only the gradient.",
        ),
        Mistake(_frozen, "The pruned weights are frozen where they were. They must be zero: mask the weights as well."),
        Mistake(
            _forgets_momentum,
            "The old velocity is lost. What stays keeps its momentum: velocity = momentum * velocity + gradient.",
        ),
    ),
    also_correct=(_step_by_hand, _step_in_numpy),
)
