"""Lesson 03, exercise 3.3: the gradient of the step of a grid."""

import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_03.straight import sixteenths
from teach.variants import of_tensors, variants

# 3.3 ------------------------------------------------------------------------------------------------


def step_gradient(w: Tensor, step: float, highest: int, gradient: Tensor) -> Tensor:
    """The gradient of the loss with respect to the step of a symmetric grid (LSQ, before it is scaled)."""
    learned = tensor(step, requires_grad=True)
    quantize.lsq(w, learned, -highest, highest, gradient_scale=1.0).backward(gradient)
    return learned.grad


def _step_gradient_by_hand(w: Tensor, step: float, highest: int, gradient: Tensor) -> float:
    total = 0.0
    for weight, slope in zip(w.tolist(), gradient.tolist()):
        v = weight / step
        if v >= highest:
            total += slope * highest
        elif v <= -highest:
            total -= slope * highest
        else:
            total += slope * (round(v) - v)
    return total


def _step_gradient_in_torch(w: Tensor, step: float, highest: int, gradient: Tensor) -> Tensor:
    v = w / step
    slope = torch.where(v.abs() < highest, torch.round(v) - v, v.sign() * highest)
    return (gradient * slope).sum()


def _step_gradient_by_autograd(w: Tensor, step: float, highest: int, gradient: Tensor) -> Tensor:
    learned = tensor(step, requires_grad=True)
    v = w / learned
    code = torch.where(v.abs() < highest, v + (torch.round(v) - v).detach(), (v.sign() * highest).detach())
    (code * learned).backward(gradient)  # the rule of products does the rest
    return learned.grad


def _nearer(v, step):
    return torch.round(v) - v


def _end(v, step, highest):
    return v.sign() * highest


def _slopes(inside=_nearer, outside=_end, is_inside=lambda v, w, highest: v.abs() < highest, total=torch.sum):
    """The gradient of the step with slips: in the slopes inside and beyond, in what is inside, in the total."""

    def wrong(w, step, highest, gradient):
        v = w / step
        return total(gradient * torch.where(is_inside(v, w, highest), inside(v, step), outside(v, step, highest)))

    return wrong


def _step_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 4, 8)
    weights = sixteenths(generator, size, 40)
    beyond = tensor([1.0, -1.0]) * (2.0 ** random_whole(generator, 0, 2) + 0.25)
    step = 2.0 ** -random_whole(generator, 0, 1)
    return Case(torch.cat([weights, beyond]), step, random_whole(generator, 1, 3), sixteenths(generator, size + 2, 32))


STEP_GRADIENT = Exercise(
    id="3.3",
    title="Let the step learn",
    reference=step_gradient,
    cases=(
        Case(tensor([0.75]), 1.0, 1, tensor([1.0])),
        Case(tensor([3.0]), 1.0, 1, tensor([1.0])),
        Case(tensor([-3.0]), 1.0, 1, tensor([2.0])),
        Case(tensor([1.0]), 1.0, 1, tensor([1.0])),
        Case(tensor([0.75, 3.0]), 1.0, 1, tensor([1.0, 1.0])),
        Case(tensor([1.25, -1.25]), 1.0, 1, tensor([1.0, 2.0])),
        Case(tensor([0.5, 0.75, 2.5]), 0.5, 3, tensor([1.0, 2.0, -1.0])),
        *random_cases(8, seed=33, make=_step_case),
    ),
    mistakes=(
        Mistake(
            _slopes(inside=lambda v, step: torch.round(v)),
            "That holds the code fixed. If the step grows, v = w / step shrinks as well, and the code with it: "
            "inside the grid the slope is round(v) - v.",
        ),
        Mistake(
            _slopes(outside=lambda v, step, highest: torch.zeros_like(v)),
            "A clipped weight sits at highest * step, and moves when the step grows: its slope is highest or -highest.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (
                gradient
                * torch.where(
                    torch.round(w / step).abs() <= highest,
                    torch.round(w / step) - w / step,
                    (w / step).sign() * highest,
                )
            ).sum(),
            "That rounds before it compares, as torch's own function does: up to half a step beyond the end, a clipped "
            "weight then counts as one inside. Compare v itself with highest.",
        ),
        Mistake(
            _slopes(outside=lambda v, step, highest: v.sign() * highest - v),
            "Beyond the ends the value does not depend on v: it is highest * step, and its slope has no -v.",
        ),
        Mistake(
            lambda w, step, highest, gradient: _slopes()(w, step, highest, torch.ones_like(w)),
            "That is how the values move with the step. Multiply by the gradient: how much the loss depends on each "
            "value.",
        ),
        Mistake(
            _slopes(is_inside=lambda v, w, highest: v.abs() <= highest),
            "A weight exactly at the end counts as clipped in the paper's rule: inside is |v| < highest.",
        ),
    ),
    symptoms=(
        of_tensors(
            lambda got, expected, a: got.ndim > 0 and abs(float(got.sum()) - float(expected)) < 1e-4,
            "The weights share one step, so its gradient is one number: the sum over the weights.",
            (_slopes(total=lambda each: each), _slopes(total=lambda each: each.sum(dim=0, keepdim=True))),
        ),
        variants(
            "One step serves all weights, so its gradient is a sum over them, not a mean.",
            _slopes(total=torch.mean),
            _slopes(total=torch.mean, outside=lambda v, step, highest: torch.zeros_like(v)),
            _slopes(total=torch.mean, inside=lambda v, step: torch.round(v)),
        ),
        variants(
            "The slope inside is round(v) - v: code * step is multiplied by the step too, and that part is missing.",
            _slopes(inside=lambda v, step: -v),
            _slopes(inside=lambda v, step: -v / step),
            _slopes(inside=lambda v, step: v),
        ),
        variants(
            "Inside, the slope is round(v) - v: how far rounding moved the weight, in steps, and with that sign.",
            _slopes(inside=lambda v, step: v - torch.round(v)),
            _slopes(inside=lambda v, step: (torch.round(v) - v) * step),
            _slopes(inside=lambda v, step: torch.round(v * step) - v * step),
            _slopes(inside=lambda v, step: torch.round(v) - v * step),
            _slopes(inside=lambda v, step: torch.floor(v) - v),
            _slopes(inside=lambda v, step: torch.ones_like(v)),
            _slopes(inside=lambda v, step: torch.zeros_like(v)),
            _slopes(inside=lambda v, step: (torch.round(v) - v).abs()),
        ),
        variants(
            "A weight clipped at the low end moves down when the step grows: its slope is -highest. That slope is a "
            "code, without the step.",
            _slopes(outside=lambda v, step, highest: torch.full_like(v, highest)),
            _slopes(outside=lambda v, step, highest: torch.full_like(v, highest * step)),
            _slopes(outside=lambda v, step, highest: v.sign() * highest * step),
            _slopes(outside=lambda v, step, highest: -v.sign() * highest),
        ),
        variants(
            "Beyond the ends the value is step * highest or -step * highest: differentiate with respect to the step.",
            _slopes(outside=lambda v, step, highest: v.sign()),
            _slopes(outside=lambda v, step, highest: v),
            _slopes(outside=lambda v, step, highest: torch.round(v)),
            _slopes(outside=lambda v, step, highest: v * step),
            _slopes(outside=lambda v, step, highest: torch.ones_like(v)),
            lambda w, step, highest, gradient: torch.where(
                (w / step).abs() < highest, gradient * _nearer(w / step, step), gradient.sign() * highest
            ).sum(),
        ),
        variants(
            "Compare |w / step| with highest: highest is a code, and a weight may be beyond either end.",
            _slopes(is_inside=lambda v, w, highest: w.abs() < highest),
            _slopes(is_inside=lambda v, w, highest: v < highest),
            _slopes(is_inside=lambda v, w, highest: w < highest),
        ),
        variants(
            "Compare v before it is rounded: a weight that rounds to the last code may still be inside.",
            _slopes(is_inside=lambda v, w, highest: torch.round(v).abs() < highest),
        ),
        variants(
            "The two formulas are swapped: round(v) - v is for the weights inside.",
            _slopes(is_inside=lambda v, w, highest: v.abs() >= highest),
            _slopes(is_inside=lambda v, w, highest: v.abs() > highest),
        ),
        variants(
            "Divide by the step first: v = w / step is rounded, and v is compared with highest.",
            lambda w, step, highest, gradient: _slopes()(w, 1.0, highest, gradient),
        ),
        variants(
            "Multiply each slope by its own gradient, and then add up: a product of two sums mixes them.",
            lambda w, step, highest, gradient: gradient.sum() * _slopes()(w, step, highest, torch.ones_like(w)),
        ),
        variants(
            "No further factor is asked for: the gradient of the step is the plain sum of gradient times slope.",
            lambda w, step, highest, gradient: _slopes()(w, step, highest, gradient) / (len(w) * highest) ** 0.5,
            lambda w, step, highest, gradient: _slopes()(w, step, highest, gradient) / step,
            lambda w, step, highest, gradient: _slopes()(w, step, highest, gradient) * step,
        ),
    ),
    also_correct=(_step_gradient_by_hand, _step_gradient_in_torch, _step_gradient_by_autograd),
    forbidden=(quantize.lsq,),
)
