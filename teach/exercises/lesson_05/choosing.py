"""Lesson 05, exercises 5.1 and 5.2: what a weight is worth, and which weights stay."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def _few_values(*shape: int, generator: torch.Generator) -> Tensor:
    """Random numbers of both signs, among which there are ties."""
    return torch.randint(-4, 5, shape, generator=generator) / 2


# 5.1 ------------------------------------------------------------------------------------------------


def keep_best(scores: Tensor, count: int) -> Tensor:
    """True for the `count` highest scores; among equal scores the one that comes first."""
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


def _differ_at_the_threshold(got: Tensor, expected: Tensor, given: dict) -> bool:
    """Whether the two differ only in scores that equal the smallest one that stays."""
    found = given["scores"][got != expected]
    return bool((found == given["scores"][expected].min()).all())


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
            "A threshold keeps every score that equals it: with ties, more than `count`. Rank the scores, and take "
            "the first `count`.",
        ),
        Mistake(
            lambda scores, count: scores > _smallest_kept(scores, count),
            "The threshold is the smallest score that stays, and `>` throws it out too. Rank, and take the first "
            "`count`.",
        ),
        Mistake(
            _last_of_equals,
            "Among equal scores, the first one stays. An ascending sort, read from its end, keeps the last: use a "
            "stable descending sort.",
        ),
        Mistake(
            lambda scores, count: keep_best(-scores, count),
            "Those are the worst. The higher a score, the longer the weight stays.",
        ),
        Mistake(lambda scores, count: ~keep_best(-scores, count), "That takes away `count`. That many should stay."),
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
    symptoms=(
        Symptom(
            lambda got, expected, given: got.shape != expected.shape and torch.equal(got.flatten(), expected.flatten()),
            "The right places, but flat: give the mask the shape of `scores`.",
            [lambda scores, count: keep_best(scores.flatten(), count)],
        ),
        Symptom(
            lambda got, expected, given: got.dtype != torch.bool and got.numel() == given["count"] != expected.numel(),
            "Those are the places or the scores that stay. A mask has an entry for every score: True or False.",
            [
                lambda scores, count: scores.flatten().argsort(descending=True)[:count],
                lambda scores, count: scores.flatten().sort(descending=True).values[:count],
            ],
        ),
        variants(
            "Those are the lowest scores. The highest ones stay.",
            lambda scores, count: scores <= scores.flatten().sort().values[count - 1],
            lambda scores, count: _last_of_equals(-scores, count),
        ),
        variants(
            "`count` is how many scores stay, not how many go.",
            lambda scores, count: keep_best(scores, scores.numel() - count),
            lambda scores, count: scores > scores.flatten().sort().values[count - 1],
        ),
        variants(
            "`argsort` gives the place of the highest score, then that of the second, and so on: these are not ranks. "
            "Set the mask to True at the first `count` of these places.",
            *(
                lambda scores, count, falling=falling: (
                    scores.flatten().argsort(descending=falling, stable=True) < count
                ).reshape(scores.shape)
                for falling in (True, False)
            ),
        ),
        variants(
            "A negative score is low, however large its magnitude: rank the scores as they are.",
            lambda scores, count: scores.abs() >= _smallest_kept(scores.abs(), count),
            lambda scores, count: _last_of_equals(scores.abs(), count),
        ),
        Symptom(
            lambda got, expected, given: (
                not torch.equal(got, expected)
                and int(got.sum()) == int(expected.sum())
                and torch.equal(given["scores"][got].sort().values, given["scores"][expected].sort().values)
            ),
            "The number is right, but among equal scores yours are not the first ones: use a stable descending sort.",
            [
                lambda scores, count: keep_best(
                    scores + 1e-6 * torch.sin(9.0 * torch.arange(scores.numel())).reshape(scores.shape), count
                )
            ],
        ),
        Symptom(
            lambda got, expected, given: abs(int(got.sum()) - given["count"]) == 1,
            "That is one too many or one too few: exactly `count` scores stay.",
            [lambda scores, count: keep_best(scores, count + 1), lambda scores, count: keep_best(scores, count - 1)],
        ),
        Symptom(
            lambda got, expected, given: _differ_at_the_threshold(got, expected, given) and got.sum() < expected.sum(),
            "Fewer than `count` stay: a threshold drops equal scores together. Rank them, and take the first `count`.",
            [lambda scores, count: scores > scores.flatten().sort(descending=True).values[count]],
        ),
        Symptom(
            lambda got, expected, given: (
                (
                    not torch.equal(got, expected)
                    and torch.equal(got.flatten(), torch.arange(got.numel()) < given["count"])
                )
                or (
                    not torch.equal(got, expected)
                    and torch.equal(got.flatten(), torch.arange(got.numel()) >= got.numel() - given["count"])
                )
            ),
            "That takes the first or the last places, whatever their scores are. Sort the scores to find the highest.",
            [lambda scores, count: (torch.arange(scores.numel()) < count).reshape(scores.shape)],
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
            "That is the length of the step to zero. The gradient says how the loss changes along the way.",
        ),
        Mistake(
            lambda weight, gradients: gradients.mean(dim=0) * weight,
            "Only the size of g * w counts here: a weight whose removal changes the loss a lot is worth a lot, up or "
            "down.",
        ),
        Mistake(
            lambda weight, gradients: (gradients * weight).abs().mean(dim=0),
            "The exercise asks for the gradient of the mean loss. Images that pull in opposite directions cancel: "
            "mean first, then size.",
        ),
        Mistake(
            lambda weight, gradients: (gradients.sum(dim=0) * weight).abs(),
            "That is the loss summed over the images. The mean loss divides by their number.",
        ),
        Mistake(
            lambda weight, gradients: gradients.mean(dim=0).abs() * weight.square() / 2,
            "Half of w squared belongs to the second derivative. To first order the change is g times w.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: torch.as_tensor(got).ndim == 2,
            "Those are numbers for each image. Take the mean of the gradients over the images, axis 0: one cost for "
            "each weight.",
            [lambda weight, gradients: (gradients * weight).abs()],
        ),
        Symptom(
            lambda got, expected, given: torch.as_tensor(got).ndim == 0,
            "That is one number. Return a cost for each weight.",
            [lambda weight, gradients: (gradients.mean(0) * weight).abs().sum()],
        ),
        variants(
            "Images that pull in opposite directions cancel in the mean loss: take the mean of the gradients before "
            "you take magnitudes or squares.",
            lambda weight, gradients: (gradients * weight).abs().sum(0),
            lambda weight, gradients: gradients.norm(dim=0) * weight.abs(),
            lambda weight, gradients: gradients.square().mean(0).sqrt() * weight.abs(),
            lambda weight, gradients: gradients.abs().mean(0),
        ),
        variants(
            "Squares belong to the second order. To first order the change is |g * w|, with g and w once each.",
            lambda weight, gradients: gradients.mean(0).abs() * weight.square(),
            lambda weight, gradients: gradients.square().mean(0) * weight.square() / 2,
            lambda weight, gradients: gradients.square().mean(0) * weight.square(),
            lambda weight, gradients: (gradients * weight).square().sum(0),
            lambda weight, gradients: (gradients.mean(0) * weight).square() / 2,
        ),
        variants(
            "Each weight has a gradient of its own. Take the mean over the images, axis 0, and not over the weights.",
            lambda weight, gradients: (gradients.mean() * weight).abs(),
            lambda weight, gradients: (gradients.sum() * weight).abs(),
        ),
        variants(
            "That uses one image only. The mean loss is over all images.",
            lambda weight, gradients: (gradients[0] * weight).abs(),
            lambda weight, gradients: (gradients[-1] * weight).abs(),
        ),
        variants(
            "A change downwards counts as much as one upwards: take the magnitude, not only the positive part.",
            lambda weight, gradients: (gradients.mean(0) * weight).clamp(min=0),
            lambda weight, gradients: (-gradients.mean(0) * weight).clamp(min=0),
        ),
        variants(
            "A gradient is the change per step of 1, and the step to zero has the length |w|: multiply the two.",
            lambda weight, gradients: (gradients.mean(0) / weight).abs(),
            lambda weight, gradients: (weight / gradients.mean(0)).abs(),
            lambda weight, gradients: gradients.mean(0).abs() + weight.abs(),
            lambda weight, gradients: (gradients.mean(0) + weight).abs(),
            lambda weight, gradients: gradients.mean(0),
        ),
    ),
    also_correct=(
        _removal_costs_by_hand,
        lambda weight, gradients: np.abs(gradients.numpy().astype(np.float64).mean(0)) * np.abs(weight.numpy()),
    ),
    forbidden=(prune.gradient_times_weight,),
)
