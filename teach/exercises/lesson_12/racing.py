"""Lesson 12, exercise 12.6: which children are trained on, and what all of it costs."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 12.6 -----------------------------------------------------------------------------------------------


def halving(accuracies: Tensor, steps: list[int]) -> tuple[int, int]:
    """The child that is left when half of them go after each stage but the last, and all steps trained."""
    alive, trained, reached = list(range(len(accuracies))), 0, 0
    for stage, reaches in enumerate(steps):
        trained += len(alive) * (reaches - reached)
        reached = reaches
        if stage < len(steps) - 1:
            best_first = sorted(alive, key=lambda child: -float(accuracies[child][stage]))
            alive = best_first[: len(alive) // 2]
    return max(alive, key=lambda child: float(accuracies[child][-1])), trained


def _halving_in_numpy(accuracies, steps):
    accuracies, alive, trained = accuracies.numpy(), np.arange(len(accuracies)), 0
    for stage, new in enumerate(np.diff([0, *steps])):
        trained += len(alive) * new
        order = np.argsort(-accuracies[alive, stage])
        alive = alive[order[: len(alive) // 2 if stage < len(steps) - 1 else 1]]
    return alive[0], trained


def _halving_in_torch(accuracies, steps):
    alive = torch.arange(len(accuracies))
    trained, before = 0, 0
    for stage, now in enumerate(steps):
        trained += alive.numel() * (now - before)
        before = now
        left = alive.numel() // 2 if stage + 1 < len(steps) else 1
        alive = alive[accuracies[alive, stage].topk(left).indices]
    return alive.item(), trained


def _halved(rank=lambda accuracies, child, stage: float(accuracies[child][stage]), *, cost=None, keep=lambda n: n // 2):
    """An answer with another ranking, another bill or another share that stays."""

    def answer(accuracies, steps):
        alive, trained, reached = list(range(len(accuracies))), 0, 0
        for stage, reaches in enumerate(steps):
            trained += cost(alive, reached, reaches) if cost else len(alive) * (reaches - reached)
            reached = reaches
            if stage < len(steps) - 1:
                alive = sorted(alive, key=lambda child, stage=stage: -rank(accuracies, child, stage))
                alive = alive[: max(1, keep(len(alive)))]
        return max(alive, key=lambda child: float(accuracies[child][-1])), trained

    return answer


def _everyone_to_the_end(accuracies, steps):
    return halving(accuracies, steps)[0], len(accuracies) * steps[-1]


def _halves_at_the_end(accuracies, steps):
    """The last stage is not trained by those who are left, but by half of them."""
    alive, trained, reached = list(range(len(accuracies))), 0, 0
    for stage, reaches in enumerate(steps):
        alive = sorted(alive, key=lambda child, stage=stage: -float(accuracies[child][stage]))[
            : max(1, len(alive) // 2)
        ]
        trained += len(alive) * (reaches - reached)
        reached = reaches
    return alive[0], trained


def _race_case(generator: torch.Generator) -> Case:
    """Eight children; one that starts late would win in the end, and goes early."""
    end = torch.randperm(8, generator=generator).add(1) / 10
    middle, early = (end + torch.randperm(8, generator=generator).sub(4) / size for size in (80, 30))
    accuracies = torch.stack([early * 0.5, middle * 0.75, end], dim=1).clamp(0.01, 0.99).round(decimals=4)
    late = int(end.argmax())
    accuracies[late, 0] = 0.001
    first = random_whole(generator, 1, 3) * 10
    return Case(accuracies, [first, 2 * first, 5 * first])


def _rank_of_means(accuracies, child, stage):
    return float(accuracies[child][: stage + 1].mean())


def _place_among_those_left(accuracies, steps):
    """The winner's place in a table that has been cut, in place of its number."""
    trained, reached, left = 0, 0, accuracies
    for stage, reaches in enumerate(steps):
        trained += len(left) * (reaches - reached)
        reached = reaches
        if stage < len(steps) - 1:
            left = left[left[:, stage].argsort(descending=True)[: len(left) // 2]]
    return int(left[:, -1].argmax()), trained


_RACE = tensor([[0.1, 0.9], [0.3, 0.6], [0.4, 0.5], [0.2, 0.8]])

HALVING = Exercise(
    id="12.6",
    title="Half of the children go",
    reference=halving,
    cases=(
        Case(_RACE, [10, 30]),
        Case(tensor([[0.5, 0.6], [0.3, 0.7]]), [10, 20]),
        Case(tensor([[0.2, 0.3, 0.4], [0.3, 0.2, 0.6], [0.1, 0.7, 0.8], [0.4, 0.5, 0.5]]), [10, 20, 40]),
        Case(tensor([[0.6, 0.62, 0.8], [0.4, 0.64, 0.7], [0.1, 0.7, 0.9], [0.2, 0.3, 0.6]]), [10, 20, 30]),
        *random_cases(6, seed=126, make=_race_case),
    ),
    mistakes=(
        Mistake(
            _everyone_to_the_end,
            "That is the bill without halving. Those who go are not trained any further: after each stage only half as "
            "many children make the next steps.",
        ),
        Mistake(
            _halved(cost=lambda alive, reached, reaches: len(alive) * reaches),
            "Each stage is paid for from the start. The children train on from where they were: a stage costs the "
            "*new* steps, steps[i] - steps[i - 1].",
        ),
        Mistake(
            _halved(lambda accuracies, child, stage: float(accuracies[child][-1])),
            "That child reaches most at the end, but it is stopped before, and then nobody knows what it would have "
            "reached. After a stage, rank those who are left by the accuracy of that stage.",
        ),
        Mistake(
            _halved(lambda accuracies, child, stage: -float(accuracies[child][stage])),
            "The better half went, and the worse one was trained on: keep the children with the highest accuracies.",
        ),
        Mistake(
            _halves_at_the_end,
            "The first children went before they were trained. All train for the first stage; the ranking comes after "
            "it.",
        ),
        Mistake(
            _halved(keep=lambda n: 1),
            "That keeps only the best child after the first stage. Early accuracies are rough: half of the children "
            "go, and the others get more time.",
        ),
        Mistake(
            _place_among_those_left,
            "That is the child's place among those who are left. Return its number in the whole table: remember the "
            "numbers of the children, not only their rows.",
        ),
        Mistake(
            _halved(_rank_of_means),
            "The children were ranked by the mean of all their stages so far. What counts after a stage is the "
            "accuracy of that stage.",
        ),
        Mistake(
            lambda accuracies, steps: halving(accuracies, steps)[::-1],
            "The two values are swapped: first the number of the child, then the steps.",
        ),
    ),
    also_correct=(_halving_in_numpy, _halving_in_torch),
)
