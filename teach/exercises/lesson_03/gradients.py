"""Lesson 03, exercises 3.2 to 3.4: gradients through a rounding, of its step, and of a clip."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole


def _sixteenths(generator: torch.Generator, count: int, most: int = 64) -> Tensor:
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


def _staircase_case(generator: torch.Generator) -> Case:
    bits = random_whole(generator, 2, 4)
    scale = 2.0 ** -random_whole(generator, 0, 2)
    return Case(
        _sixteenths(generator, 9), scale, -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1, _sixteenths(generator, 9, 32)
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
            lambda x, scale, lowest, highest, gradient: gradient * ((x.round() >= lowest) & (x.round() <= highest)),
            "Compare like with like: lowest and highest are codes, x is a value, and x / scale is what they limit.",
        ),
        Mistake(
            lambda x, scale, lowest, highest, gradient: gradient * ((x / scale >= lowest) & (x / scale <= highest)),
            "That compares before it rounds. What rounds to the last code has not been cut off: up to half a step "
            "beyond the end the gradient passes.",
        ),
        Mistake(
            lambda x, scale, lowest, highest, gradient: gradient.clamp(lowest * scale, highest * scale),
            "It is the value that is clipped, not the gradient. A gradient of any size passes where x is on the grid.",
        ),
        Mistake(
            lambda x, scale, lowest, highest, gradient: (
                gradient / scale * ((torch.round(x / scale) >= lowest) & (torch.round(x / scale) <= highest))
            ),
            "Going to codes divides by the scale, and going back multiplies by it: together the slope is 1.",
        ),
        Mistake(
            lambda x, scale, lowest, highest, gradient: (
                gradient * ((torch.round(x / scale) > lowest) & (torch.round(x / scale) < highest))
            ),
            "The last code belongs to the grid: a weight that rounds to it can still be moved. Use <= and >=.",
        ),
        Mistake(
            lambda x, scale, lowest, highest, gradient: (
                gradient * ((x / scale >= lowest - 0.5) & (x / scale <= highest + 0.5))
            ),
            "Exactly half-way, `round` goes to the even code: 1.5 becomes 2, which is beyond 1. Round, then compare.",
        ),
    ),
    also_correct=(_straight_through_by_hand, _straight_through_by_autograd, _straight_through_by_torch),
    forbidden=(quantize.fake_quantize_ste,),
)

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


def _slope(w, step, highest, *, rounded=False, outside=True, codes=False, only_v=False):
    """d value / d step with the slips that people make."""
    v = w / step
    code = torch.clamp(torch.round(v), -highest, highest)
    if codes:
        return code
    inside = torch.round(v).abs() <= highest if rounded else v.abs() < highest
    return torch.where(inside, (-v if only_v else code - v), code if outside else torch.zeros_like(v))


def _step_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 4, 8)
    weights = _sixteenths(generator, size, 40)
    beyond = tensor([1.0, -1.0]) * (2.0 ** random_whole(generator, 0, 2) + 0.25)
    step = 2.0 ** -random_whole(generator, 0, 1)
    return Case(torch.cat([weights, beyond]), step, random_whole(generator, 1, 3), _sixteenths(generator, size + 2, 32))


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
            lambda w, step, highest, gradient: (gradient * _slope(w, step, highest, codes=True)).sum(),
            "That holds the code fixed. If the step grows, v = w / step shrinks as well, and the code with it: "
            "inside the grid the slope is round(v) - v.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (gradient * _slope(w, step, highest, outside=False)).sum(),
            "A clipped weight sits at highest * step, and moves when the step grows: its slope is highest or -highest.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (gradient * _slope(w, step, highest, rounded=True)).sum(),
            "That rounds before it compares, as torch's own function does: up to half a step beyond the end, a clipped "
            "weight then counts as one inside. Compare v itself with highest.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (gradient * _slope(w, step, highest)).mean(),
            "One step serves all weights, so its gradient is the sum of what each of them says, not the mean.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (gradient * _slope(w, step, highest, only_v=True)).sum(),
            "The slope inside is round(v) - v: code * step is multiplied by the step too, and that part is missing.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (
                gradient * ((w / step).round().clamp(-highest, highest) - w / step)
            ).sum(),
            "Beyond the ends nothing of v is left in the value: it is highest * step, and its slope has no -v.",
        ),
        Mistake(
            lambda w, step, highest, gradient: _slope(w, step, highest).sum(),
            "That is how the values move with the step. Multiply by the gradient: how much the loss minds each value.",
        ),
        Mistake(
            lambda w, step, highest, gradient: (
                gradient
                * torch.where((w / step).abs() < highest, torch.round(w / step) - w / step, float(highest) * step)
            ).sum(),
            "A weight clipped at the low end moves down when the step grows: its slope is -highest. And it is a code, "
            "without the step.",
        ),
    ),
    also_correct=(_step_gradient_by_hand, _step_gradient_in_torch, _step_gradient_by_autograd),
    forbidden=(quantize.lsq,),
)

# 3.4 ------------------------------------------------------------------------------------------------


def clip_gradient(x: Tensor, clip: float, gradient: Tensor) -> Tensor:
    """The gradient of the loss with respect to the learned clip of an activation (PACT)."""
    return gradient[x >= clip].sum()


def _clip_gradient_by_hand(x: Tensor, clip: float, gradient: Tensor) -> float:
    return sum(slope for value, slope in zip(x.tolist(), gradient.tolist()) if value >= clip)


def _clip_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 4, 9)
    clip = random_whole(generator, 1, 3)
    x = _sixteenths(generator, size, 80)
    return Case(torch.cat([x, tensor([float(clip)])]), float(clip), _sixteenths(generator, size + 1, 32))


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
            lambda x, clip, gradient: gradient[x < clip].sum(),
            "Those are the values that the clip does not touch. It moves those that it has cut off: x >= clip.",
        ),
        Mistake(
            lambda x, clip, gradient: gradient[x > 0].sum(),
            "Between 0 and the clip the output is x itself, whatever the clip is. Only x >= clip moves the clip.",
        ),
        Mistake(
            lambda x, clip, gradient: gradient[x > clip].sum(),
            "A value exactly on the clip belongs to it, as the paper has it: x >= clip.",
        ),
        Mistake(
            lambda x, clip, gradient: (gradient * (x >= clip)).mean(),
            "One clip serves all values, so its gradient is the sum of what each of them says, not the mean.",
        ),
        Mistake(
            lambda x, clip, gradient: (x >= clip).sum(),
            "That counts the clipped values. Each of them says by its gradient which way the clip should go.",
        ),
        Mistake(
            lambda x, clip, gradient: (gradient * (x >= clip) * clip).sum(),
            "The output is the clip there, so its slope is 1, and not the clip.",
        ),
    ),
    also_correct=(
        _clip_gradient_by_hand,
        lambda x, clip, gradient: np.where(x.numpy() >= clip, gradient.numpy(), 0.0).sum(),
    ),
)
