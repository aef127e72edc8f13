"""Lesson 03, exercise 3.2: a gradient through a rounding."""

import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import of_tensors, variants


def sixteenths(generator: torch.Generator, count: int, most: int = 64) -> Tensor:
    """Numbers k / 16, so that nothing depends on how a float is rounded."""
    return torch.randint(-most, most + 1, (count,), generator=generator) / 16


# 3.2 ------------------------------------------------------------------------------------------------


def straight_through(x: Tensor, scale: float, lowest: int, highest: int, gradient: Tensor) -> Tensor:
    """The gradient that a rounding with the straight-through estimator passes on to x."""
    x = x.clone().requires_grad_()
    quantize.fake_quantize_ste(x, scale, 0, lowest, highest).backward(gradient)
    return x.grad


def _straight_through_by_hand(x: Tensor, scale: float, lowest: int, highest: int, gradient: Tensor) -> list[float]:
    pairs = zip(x.tolist(), gradient.tolist())
    return [slope if lowest <= round(value / scale) <= highest else 0.0 for value, slope in pairs]


def _straight_through_by_autograd(x, scale, lowest, highest, gradient):
    x = x.clone().requires_grad_()
    code = x / scale + (torch.round(x / scale) - x / scale).detach()
    (torch.clamp(code, lowest, highest) * scale).backward(gradient)  # torch's clamp has slope 1 at its ends too
    return x.grad


def _straight_through_by_torch(x, scale, lowest, highest, gradient):
    x = x.clone().requires_grad_()
    torch.fake_quantize_per_tensor_affine(x, scale, 0, lowest, highest).backward(gradient)
    return x.grad


def _where(kept, passed=lambda gradient, scale: gradient):
    """The gradient where `kept(v, lowest, highest)` says so of v = x / scale, and 0 elsewhere."""

    def wrong(x, scale, lowest, highest, gradient):
        return torch.where(kept(x / scale, lowest, highest), passed(gradient, scale), 0.0)

    return wrong


def _on_the_grid(v, lowest, highest):
    return (v.round() >= lowest) & (v.round() <= highest)


def _without_scale(kept):
    return lambda x, scale, lowest, highest, gradient: _where(kept)(x, 1.0, lowest, highest, gradient)


def _staircase_case(generator: torch.Generator) -> Case:
    bits = random_whole(generator, 2, 4)
    scale = 2.0 ** -random_whole(generator, 0, 2)
    return Case(
        sixteenths(generator, 9), scale, -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1, sixteenths(generator, 9, 32)
    )


STRAIGHT_THROUGH = Exercise(
    id="3.2",
    title="A gradient through a staircase",
    reference=straight_through,
    cases=(
        Case(tensor([0.25]), 1.0, -1, 1, tensor([3.0])),
        Case(tensor([0.25, 2.0]), 1.0, -1, 1, tensor([3.0, -2.0])),
        Case(tensor([-0.75, 0.75, 0.5]), 0.5, -1, 1, tensor([1.0, 1.0, 1.0])),
        Case(tensor([-1.0, 1.0, 1.25]), 1.0, -1, 1, tensor([0.5, -4.0, 2.0])),
        Case(tensor([-1.0, 3.25, 0.75]), 1.0, 0, 3, tensor([1.0, 2.0, 4.0])),
        Case(tensor([-0.5, 2.5]), 1.0, 0, 2, tensor([1.0, 2.0])),
        *random_cases(8, seed=32, make=_staircase_case),
    ),
    mistakes=(
        Mistake(
            lambda x, scale, lowest, highest, gradient: torch.zeros_like(x),
            "That is the true derivative: a staircase is flat, and nothing would ever learn. Pretend it is the line "
            "through its steps.",
        ),
        Mistake(
            lambda x, scale, lowest, highest, gradient: gradient,
            "Beyond the ends of the grid the value is clipped, and moving x changes nothing: the gradient is 0 there.",
        ),
        Mistake(
            _where(lambda v, lowest, highest: ~_on_the_grid(v, lowest, highest)),
            "That is reversed: the gradient passes where x is on the grid, and is 0 beyond its ends.",
        ),
        Mistake(
            _where(lambda v, lowest, highest: (v >= lowest) & (v <= highest)),
            "That compares before it rounds. A value that rounds to the last code has not been cut off: up to half a "
            "step beyond the end the gradient passes.",
        ),
        Mistake(
            _where(lambda v, lowest, highest: v.round().abs() <= highest),
            "The grid need not be symmetric: the low end is lowest, not -highest.",
        ),
        Mistake(
            _where(lambda v, lowest, highest: (v >= lowest - 0.5) & (v <= highest + 0.5)),
            "Exactly half-way, `round` goes to the even code: 1.5 becomes 2, which is beyond 1. Round, then compare.",
        ),
        Mistake(
            _where(lambda v, lowest, highest: (v > lowest - 0.5) & (v < highest + 0.5)),
            "Exactly half-way, `round` goes to the even code: 2.5 becomes 2, still on the grid. Round, then compare.",
        ),
    ),
    symptoms=(
        of_tensors(
            lambda got, expected, a: torch.as_tensor(got).ndim == 0 or len(got) < len(expected),
            "Each value of x gets a gradient, even if it is 0: do not leave out those beyond the ends, and do not sum.",
            (
                lambda x, scale, lowest, highest, gradient: gradient[_on_the_grid(x / scale, lowest, highest)],
                lambda x, scale, lowest, highest, gradient: gradient[_on_the_grid(x / scale, lowest, highest)].sum(),
            ),
        ),
        variants(
            "Compare like with like: lowest and highest are codes and x is a value, so they limit x / scale.",
            _without_scale(_on_the_grid),
            _without_scale(lambda v, lowest, highest: (v >= lowest) & (v <= highest)),
            _without_scale(lambda v, lowest, highest: (v > lowest) & (v < highest)),
            _without_scale(lambda v, lowest, highest: (v.round() > lowest) & (v.round() < highest)),
            lambda x, scale, lowest, highest, gradient: gradient * _on_the_grid(x * scale, lowest, highest),
        ),
        variants(
            "Values are cut off at both ends: compare the code with lowest and with highest.",
            _where(lambda v, lowest, highest: v.round() <= highest),
            _where(lambda v, lowest, highest: v.round() >= lowest),
        ),
        variants(
            "The last code belongs to the grid: a weight that rounds to it can still be moved. Use <= and >=.",
            _where(lambda v, lowest, highest: (v.round() > lowest) & (v.round() < highest)),
            _where(lambda v, lowest, highest: (v > lowest) & (v < highest)),
        ),
        variants(
            "The code is the *nearest* whole number: torch.round, not floor or int.",
            _where(lambda v, lowest, highest: (v.floor() >= lowest) & (v.floor() <= highest)),
            _where(lambda v, lowest, highest: (v.trunc() >= lowest) & (v.trunc() <= highest)),
        ),
        variants(
            "Going to codes divides by the scale, and going back multiplies by it: together the slope is 1.",
            _where(_on_the_grid, lambda gradient, scale: gradient / scale),
            _where(_on_the_grid, lambda gradient, scale: gradient * scale),
        ),
        variants(
            "The line through the steps has slope 1: pass the gradient on as it is, not times the code.",
            lambda x, scale, lowest, highest, gradient: (
                (x / scale).round() * _where(_on_the_grid)(x, scale, lowest, highest, gradient)
            ),
            lambda x, scale, lowest, highest, gradient: (x / scale).round() * gradient,
        ),
        variants(
            "The value is clipped, not the gradient. A gradient of any size passes where x is on the grid.",
            lambda x, scale, lowest, highest, gradient: gradient.clamp(lowest * scale, highest * scale),
            lambda x, scale, lowest, highest, gradient: gradient.clamp(lowest, highest),
            lambda x, scale, lowest, highest, gradient: gradient * _on_the_grid(gradient / scale, lowest, highest),
        ),
        variants(
            "The exercise asks for the gradient with respect to x: the one that arrives, or 0.",
            lambda x, scale, lowest, highest, gradient: (x / scale).round().clamp(lowest, highest) * scale,
            _where(_on_the_grid, lambda gradient, scale: torch.ones_like(gradient)),
            lambda x, scale, lowest, highest, gradient: x * _where(_on_the_grid)(x, scale, lowest, highest, gradient),
            lambda x, scale, lowest, highest, gradient: x - _where(_on_the_grid)(x, scale, lowest, highest, gradient),
            lambda x, scale, lowest, highest, gradient: torch.where(
                _on_the_grid(x / scale, lowest, highest), gradient, 1.0
            ),
        ),
    ),
    also_correct=(_straight_through_by_hand, _straight_through_by_autograd, _straight_through_by_torch),
    forbidden=(quantize.fake_quantize_ste,),
)
