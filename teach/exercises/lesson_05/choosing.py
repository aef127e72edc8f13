"""Lesson 05, exercises 5.1, 5.2 and 5.8: what a weight is worth, and which weights stay."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from mini_lib.prune import second_order
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole


def _few_values(*shape: int, generator: torch.Generator) -> Tensor:
    """Random numbers of both signs, among which there are ties."""
    return torch.randint(-4, 5, shape, generator=generator) / 2


# 5.1 ------------------------------------------------------------------------------------------------


def keep_best(scores: Tensor, count: int) -> Tensor:
    """True for the `count` highest scores; among equals the one that comes first."""
    order = scores.flatten().argsort(descending=True, stable=True)
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.reshape(scores.shape)


def _keep_best_by_hand(scores: Tensor, count: int) -> Tensor:
    values = scores.flatten().tolist()
    best = sorted(range(len(values)), key=lambda at: (-values[at], at))[:count]
    return tensor([at in best for at in range(len(values))]).reshape(scores.shape)


def _keep_best_in_numpy(scores: Tensor, count: int) -> np.ndarray:
    order = np.argsort(-scores.numpy().ravel(), kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return (ranks < count).reshape(scores.shape)


def _smallest_kept(scores: Tensor, count: int) -> Tensor:
    return scores.flatten().sort(descending=True).values[count - 1]


def _last_of_equals(scores: Tensor, count: int) -> Tensor:
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[scores.flatten().argsort(stable=True)[-count:]] = True
    return mask.reshape(scores.shape)


def _scores_case(generator: torch.Generator) -> Case:
    scores = _few_values(3, 5, generator=generator)
    return Case(scores, random_whole(generator, 1, 14))


KEEP_BEST = Exercise(
    id="5.1",
    title="Keep exactly so many",
    reference=keep_best,
    cases=(
        Case(tensor([0.3, 0.9, 0.1]), 1),
        Case(tensor([0.5, 0.2, 0.5, 0.5]), 2),
        Case(tensor([-2.0, 1.0, -0.5]), 2),
        Case(tensor([[2.0, 3.0], [2.0, 1.0]]), 2),
        *random_cases(8, seed=51, make=_scores_case),
    ),
    mistakes=(
        Mistake(
            lambda scores, count: scores >= _smallest_kept(scores, count),
            "A threshold keeps all that equal it: with ties more than asked for. Rank the scores, and take the "
            "first `count`.",
        ),
        Mistake(
            lambda scores, count: scores > _smallest_kept(scores, count),
            "The threshold is the smallest score that stays, and `>` throws it out too. Rank, and take the first "
            "`count`.",
        ),
        Mistake(
            _last_of_equals,
            "Among equals the first is to stay. A rising sort, read from its end, keeps the last: sort falling, "
            "stable.",
        ),
        Mistake(
            lambda scores, count: keep_best(-scores, count),
            "Those are the worst. The higher a score, the longer the weight stays.",
        ),
        Mistake(
            lambda scores, count: ~keep_best(-scores, count), "That takes away `count`. It is the number that stays."
        ),
        Mistake(
            lambda scores, count: keep_best(scores.abs(), count),
            "The scores are ranked as they are. A score may be negative, and then it is low, however large its "
            "magnitude.",
        ),
        Mistake(
            lambda scores, count: torch.where(keep_best(scores, count), scores, 0),
            "Those are the scores that stay. A mask says only whether: True or False.",
        ),
    ),
    also_correct=(_keep_best_by_hand, _keep_best_in_numpy),
    forbidden=(prune.keep_top,),
)

# 5.2 ------------------------------------------------------------------------------------------------


def removal_costs(weight: Tensor, gradients: Tensor) -> Tensor:
    """How much the mean loss would change, to first order, if a weight became 0: |g * w|."""
    return (gradients.mean(dim=0) * weight).abs()


def _removal_costs_by_hand(weight: Tensor, gradients: Tensor) -> list[float]:
    means = [sum(column) / len(column) for column in zip(*gradients.double().tolist())]
    return [abs(w) * abs(g) for w, g in zip(weight.tolist(), means)]


def _gradients_case(generator: torch.Generator) -> Case:
    count = random_whole(generator, 2, 6)
    return Case(torch.randn(count, generator=generator), torch.randn(5, count, generator=generator))


REMOVAL_COSTS = Exercise(
    id="5.2",
    title="What a removal would cost",
    reference=removal_costs,
    cases=(
        Case(tensor([2.0]), tensor([[0.5]])),
        Case(tensor([2.0, -4.0]), tensor([[0.5, 0.25], [0.5, 0.75]])),
        Case(tensor([1.0, 3.0]), tensor([[1.0, 1.0], [-1.0, 0.0]])),
        *random_cases(8, seed=52, make=_gradients_case),
    ),
    mistakes=(
        Mistake(
            lambda weight, gradients: gradients.mean(dim=0).abs(),
            "A gradient is the change for a step of 1. The step to zero has the length |w|: multiply by it.",
        ),
        Mistake(
            lambda weight, gradients: weight.abs(),
            "That is the length of the step to zero. What the loss does along the way is in the gradient.",
        ),
        Mistake(
            lambda weight, gradients: gradients.mean(dim=0) * weight,
            "Of g * w only the size counts here: a weight whose removal changes the loss a lot is worth a lot, up "
            "or down.",
        ),
        Mistake(
            lambda weight, gradients: (gradients * weight).abs().mean(dim=0),
            "Asked for is the gradient of the mean loss. Images that pull in opposite directions cancel: mean "
            "first, then size.",
        ),
        Mistake(
            lambda weight, gradients: (gradients.sum(dim=0) * weight).abs(),
            "That is the loss summed over the images. The mean loss divides by how many there are.",
        ),
        Mistake(
            lambda weight, gradients: gradients.mean(dim=0).abs() * weight.square() / 2,
            "Half of w squared goes with the second derivative. To first order the change is g times w.",
        ),
    ),
    also_correct=(
        _removal_costs_by_hand,
        lambda weight, gradients: np.abs(gradients.numpy().astype(np.float64).mean(0)) * np.abs(weight.numpy()),
    ),
    forbidden=(prune.gradient_times_weight,),
)

# 5.8 ------------------------------------------------------------------------------------------------


def wanda_mask(weight: Tensor, inputs: Tensor, kept: int) -> Tensor:
    """True for the `kept` weights of each row with the largest |w| * norm of the input; equals in their order."""
    return _best_of_rows(weight.abs() * inputs.norm(dim=0), kept)


def _best_of_rows(scores: Tensor, kept: int) -> Tensor:
    order = scores.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order[:, :kept], True)


def _wanda_by_hand(weight: Tensor, inputs: Tensor, kept: int) -> list[list[bool]]:
    strengths = [sum(value**2 for value in column) ** 0.5 for column in zip(*inputs.tolist())]
    rows = []
    for row in weight.tolist():
        scores = [abs(w) * strength for w, strength in zip(row, strengths)]
        best = sorted(range(len(row)), key=lambda at: (-scores[at], at))[:kept]
        rows.append([at in best for at in range(len(row))])
    return rows


def _inputs_case(generator: torch.Generator) -> Case:
    # As many rows, inputs and examples: a wrong axis still broadcasts. Inputs of both signs, of very different size.
    size = random_whole(generator, 4, 6)
    inputs = torch.randn(size, size, generator=generator) * torch.logspace(-1, 1, size)
    inputs = inputs[:, torch.randperm(size, generator=generator)]
    return Case(torch.randn(size, size, generator=generator), inputs, random_whole(generator, 2, size - 2))


WANDA_MASK = Exercise(
    id="5.8",
    title="Row by row, with what comes in",
    reference=wanda_mask,
    cases=(
        Case(tensor([[3.0, -2.0]]), tensor([[1.0, 4.0]]), 1),
        Case(tensor([[5.0, 4.0], [1.0, 2.0]]), tensor([[1.0, -1.0], [1.0, 1.0]]), 1),
        Case(tensor([[1.0, 3.0], [2.0, 1.0]]), tensor([[3.0, -2.0], [3.0, 2.0]]), 1),
        *random_cases(10, seed=58, make=_inputs_case),
    ),
    mistakes=(
        Mistake(
            lambda weight, inputs, kept: keep_best(weight.abs() * inputs.norm(dim=0), kept * len(weight)),
            "That ranks the whole layer, and a row of small weights loses everything. Here each row keeps `kept` "
            "of its own.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows((weight.abs() * inputs.norm(dim=0)).T, kept).T,
            "Those compete by columns, for one input each. The weights of one output, a row, are what is compared.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs(), kept),
            "That is the magnitude alone. A small weight on a strong input may matter more than a large one on a "
            "weak input.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.mean(dim=0).abs(), kept),
            "In a mean, inputs of both signs cancel. The norm squares them first.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.square().sum(dim=0), kept),
            "A norm ends with a square root. Without it strong inputs count twice as much as they should.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight * inputs.norm(dim=0), kept),
            "A weight of -2 matters as much as one of 2: take its magnitude.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.norm(dim=1), kept),
            "That is a norm for each example. There is to be one for each input: along axis 0 of `inputs`.",
        ),
    ),
    also_correct=(
        _wanda_by_hand,
        lambda weight, inputs, kept: _best_of_rows(weight.square() * inputs.square().mean(dim=0), kept),
    ),
    forbidden=(prune.keep_top, second_order.activation_weighted),
)
