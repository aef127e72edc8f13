"""Lesson 06, exercise 6.4: how a ticket keeps its zeros while it learns."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases

Weights = dict[str, Tensor]


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


def _moves_by_gradient(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = (momentum * velocity + gradient) * mask
    return (weight - learning_rate * gradient) * mask, velocity


def _no_mask(weight, gradient, velocity, mask, learning_rate, momentum):
    velocity = momentum * velocity + gradient
    return weight - learning_rate * velocity, velocity


def _step_case(generator: torch.Generator) -> Case:
    weight, gradient, velocity = torch.randn(3, 6, generator=generator).round(decimals=2)
    mask = torch.rand(6, generator=generator) < 0.5
    return Case(weight, gradient, velocity, mask, learning_rate=0.5, momentum=0.9)


def _only_the_kept(weight, gradient, velocity, mask, learning_rate, momentum):
    return tuple(one[mask] for one in masked_step(weight, gradient, velocity, mask, learning_rate, momentum))


def _tripled(weight_masked, velocity_masked):
    """A wrong answer with another slip beside the missing mask: it counts the gradient three times."""

    def wrong(weight, gradient, velocity, mask, learning_rate, momentum):
        velocity = momentum * velocity + 3 * gradient
        weight = weight - learning_rate * velocity
        return weight * mask if weight_masked else weight, velocity * mask if velocity_masked else velocity

    return wrong


def _inverted(weight, gradient, velocity, mask, learning_rate, momentum):
    return masked_step(weight, gradient, velocity, ~mask, learning_rate, momentum)


def _keeps_old_velocity(weight, gradient, velocity, mask, learning_rate, momentum):
    found, faster = masked_step(weight, gradient, velocity, mask, learning_rate, momentum)
    return found, torch.where(mask, faster, velocity)


def _loose(values: Tensor, given: dict) -> bool:
    """Whether a pruned place is not zero."""
    return bool(values[~given["mask"]].any())


def _kept(says: str, *steps) -> Symptom:
    """The symptom that the kept places moved as by `step(w, g, v, rate, momentum)`, whatever happened to the others."""

    def shows(got, expected, given):
        if all(torch.allclose(one, other) for one, other in zip(got, expected)):
            return False
        keep = given["mask"]
        names = "weight", "gradient", "velocity", "learning_rate", "momentum"
        right = [one[keep] for one in expected]
        mine = [one[keep] for one in got]
        if keep.any() and all(torch.allclose(one, other) for one, other in zip(mine, right)):
            return False
        found = (step(*(given[name] for name in names)) for step in steps)
        return any(all(torch.allclose(one, other[keep]) for one, other in zip(mine, pair)) for pair in found)

    def example(step):
        def wrong(weight, gradient, velocity, mask, learning_rate, momentum):
            return tuple(one * mask for one in step(weight, gradient, velocity, learning_rate, momentum))

        return wrong

    return Symptom(shows, says, [example(step) for step in steps])


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
            "The weights are right. But the pruned ones keep their velocity from before they were pruned: mask all "
            "of it, not only the gradient.",
        ),
        Mistake(_frozen, "The pruned weights are frozen where they were. They must be zero: mask the weights as well."),
        Mistake(
            _moves_by_gradient,
            "The weights move by the gradient alone. A step is learning_rate times the new velocity, which remembers "
            "earlier gradients as well.",
        ),
        Mistake(
            _forgets_momentum,
            "The old velocity is lost. The weights that stay keep their momentum: velocity = momentum * velocity + "
            "gradient.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: got[0].shape == (int(given["mask"].sum()),) != expected[0].shape,
            "The pruned weights are left out. They stay in their places, as zeros: multiply by the mask.",
            [_only_the_kept],
        ),
        Symptom(
            lambda got, expected, given: (
                not got[0][given["mask"]].any()
                and not got[1][given["mask"]].any()
                and not torch.equal(got[1], expected[1])
            ),
            "The mask is the wrong way round: True means kept.",
            [_inverted],
        ),
        _kept(
            "The learning rate belongs to the step alone: weight - learning_rate * velocity. The velocity adds up "
            "gradients as they are.",
            lambda w, g, v, rate, momentum: (w + momentum * v - rate * g, momentum * v - rate * g),
            lambda w, g, v, rate, momentum: (w - momentum * v - rate * g, momentum * v + rate * g),
            lambda w, g, v, rate, momentum: (w - rate * (momentum * v + rate * g), momentum * v + rate * g),
            lambda w, g, v, rate, momentum: (w - rate * rate * (momentum * v + g), rate * (momentum * v + g)),
        ),
        _kept(
            "The learning rate is missing: a step is learning_rate * velocity.",
            lambda w, g, v, rate, momentum: (w - momentum * v - g, momentum * v + g),
        ),
        _kept(
            "A step goes against the velocity: subtract it.",
            lambda w, g, v, rate, momentum: (w + rate * (momentum * v + g), momentum * v + g),
            lambda w, g, v, rate, momentum: (w - rate * (momentum * v - g), momentum * v - g),
        ),
        _kept(
            "The weights move by the *new* velocity: update it first, then take the step with it.",
            lambda w, g, v, rate, momentum: (w - rate * v, momentum * v + g),
            lambda w, g, v, rate, momentum: (w - rate * v, v),
            lambda w, g, v, rate, momentum: (w - rate * (momentum * v + g), v),
            lambda w, g, v, rate, momentum: (w - rate * momentum * v, momentum * v + g),
        ),
        _kept(
            "That is Nesterov's step. Here the weights move by the velocity alone: weight - learning_rate * velocity.",
            lambda w, g, v, rate, momentum: (w - rate * (g + momentum * (momentum * v + g)), momentum * v + g),
        ),
        _kept(
            "The velocity is momentum times the old one plus the gradient, the whole of it: "
            "velocity = momentum * velocity + gradient.",
            lambda w, g, v, rate, momentum: (w - rate * (v + momentum * g), v + momentum * g),
            lambda w, g, v, rate, momentum: (
                w - rate * (momentum * v + (1 - momentum) * g),
                momentum * v + (1 - momentum) * g,
            ),
            lambda w, g, v, rate, momentum: (w - rate * (v + g), v + g),
            lambda w, g, v, rate, momentum: (w - rate * momentum * (v + g), momentum * (v + g)),
            lambda w, g, v, rate, momentum: (w - rate * momentum * v, momentum * v),
        ),
        Symptom(
            lambda got, expected, given: _loose(got[0], given) and not _loose(got[1], given),
            "A pruned weight is not zero. Mask the weights too, after the step, and not only the velocity.",
            [_tripled(False, True)],
        ),
        Symptom(
            lambda got, expected, given: _loose(got[1], given) and not _loose(got[0], given),
            "The velocity of a pruned weight is not zero. Mask all of the new velocity, and not only the gradient or "
            "the old velocity.",
            [_keeps_old_velocity],
        ),
        Symptom(
            lambda got, expected, given: _loose(got[0], given) or _loose(got[1], given),
            "Both the value and the velocity of a pruned weight must be zero after the step: mask both at the end.",
            [_tripled(False, False)],
        ),
    ),
    also_correct=(_step_by_hand, _step_in_numpy),
)
