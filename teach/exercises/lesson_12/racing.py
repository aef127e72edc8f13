"""Lesson 12, exercise 12.6: which children are trained on, and what all of it costs."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 12.6 -----------------------------------------------------------------------------------------------


def halving(accuracies: Tensor, steps: list[int]) -> tuple[int, int]:
    """The child that is left when half of them are dropped after each stage but the last, and all steps trained."""
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


def _billed(bill):
    """A wrong answer: the right child, and `bill(children, steps)`."""
    return lambda accuracies, steps: (halving(accuracies, steps)[0], bill(len(accuracies), steps))


def _halved_first(count, steps):
    """The bill where half of them go before each stage but the last."""
    left = [max(1, count // 2 ** min(stage + 1, len(steps) - 1)) for stage in range(len(steps))]
    return sum(one * (now - before) for one, before, now in zip(left, [0, *steps], steps))


def _first_left(accuracies, steps):
    """The best of the stage before the last, which no ranking after the last stage has replaced."""
    alive = list(range(len(accuracies)))
    for stage in range(len(steps) - 1):
        alive = sorted(alive, key=lambda child, stage=stage: -float(accuracies[child][stage]))[: len(alive) // 2]
    return alive[0], halving(accuracies, steps)[1]


def _halved_once(accuracies, steps):
    alive = sorted(range(len(accuracies)), key=lambda child: -float(accuracies[child][0]))[: len(accuracies) // 2]
    trained = len(accuracies) * steps[0] + len(alive) * (steps[-1] - steps[0])
    return max(alive, key=lambda child: float(accuracies[child][-1])), trained


HALVING = Exercise(
    id="12.6",
    title="Half of the children go",
    reference=halving,
    cases=(
        Case(_RACE, [10, 30]),
        Case(tensor([[0.5, 0.6], [0.3, 0.7]]), [10, 20]),
        Case(tensor([[0.2, 0.3, 0.4], [0.3, 0.2, 0.6], [0.1, 0.7, 0.8], [0.4, 0.5, 0.5]]), [10, 20, 40]),
        Case(tensor([[0.6, 0.62, 0.8], [0.4, 0.64, 0.7], [0.1, 0.7, 0.9], [0.2, 0.3, 0.6]]), [10, 20, 30]),
        Case(tensor([[0.5, 0.6, 0.8], [0.4, 0.9, 0.7], [0.1, 0.7, 0.9], [0.2, 0.3, 0.6]]), [10, 20, 30]),
        *random_cases(6, seed=126, make=_race_case),
    ),
    mistakes=(
        Mistake(
            _first_left,
            "The steps are right. The child is the best of those left after an earlier stage: rank them once more, by "
            "the accuracies of the last one.",
        ),
        Mistake(
            _halved(lambda accuracies, child, stage: float(accuracies[child][0])),
            "Every stage ranks by the accuracies of the first one. After a stage, rank by the accuracy of that stage.",
        ),
        Mistake(
            _everyone_to_the_end,
            "That is the bill without halving. The dropped children are not trained any further: after each stage "
            "only half as many children make the next steps.",
        ),
        Mistake(
            _halved(cost=lambda alive, reached, reaches: len(alive) * reaches),
            "Each stage is billed from step 0. The children train on from where they were: a stage costs the *new* "
            "steps, steps[i] - steps[i - 1].",
        ),
        Mistake(
            _halved(lambda accuracies, child, stage: float(accuracies[child][-1])),
            "That child is best at the end, but it is stopped earlier, and its later accuracies stay unknown. After a "
            "stage, rank the remaining children by the accuracy of that stage.",
        ),
        Mistake(
            _halved(lambda accuracies, child, stage: -float(accuracies[child][stage])),
            "The better half was dropped, and the worse one was trained on: keep the children with the highest "
            "accuracies.",
        ),
        Mistake(
            _halves_at_the_end,
            "The first children were dropped before they were trained. All train for the first stage; the ranking "
            "comes after it.",
        ),
        Mistake(
            _halved(keep=lambda n: 1),
            "That keeps only the best child after the first stage. Early accuracies are rough: half of the children "
            "are dropped, and the others get more time.",
        ),
        Mistake(
            _place_among_those_left,
            "That is the child's place among the remaining ones. Return its number in the whole table: remember the "
            "numbers of the children, not only their rows.",
        ),
        Mistake(
            _halved(_rank_of_means),
            "The children were ranked by the mean of all their stages so far. After a stage, only the accuracy of "
            "that stage counts.",
        ),
        Mistake(
            lambda accuracies, steps: halving(accuracies, steps)[::-1],
            "The two values are swapped: first the number of the child, then the steps.",
        ),
    ),
    symptoms=(
        variants(
            "The child is right, but the steps count only one child: each child that is trained in a stage pays for "
            "it.",
            _billed(lambda count, steps: steps[-1]),
            _billed(lambda count, steps: sum(steps)),
            _billed(lambda count, steps: steps[-1] - steps[0]),
        ),
        variants(
            "The child is right, but the bill begins with half of the children. All train in the first stage; half of "
            "them are dropped after it.",
            _billed(_halved_first),
        ),
        variants(
            "The child is right, but the last stage is not paid for. The remaining children train in it too.",
            _billed(
                lambda count, steps: sum(
                    count // 2**stage * (now - before)
                    for stage, (before, now) in enumerate(zip([0, *steps], steps[:-1]))
                )
            ),
        ),
        variants(
            "The child is right, but every stage is billed as if it were as long as the first. A stage has steps[i] - "
            "steps[i - 1] new steps.",
            _billed(lambda count, steps: sum(count // 2**stage * steps[0] for stage in range(len(steps)))),
        ),
        variants(
            "Children are dropped only after the first stage. Drop half of them after each stage but the last.",
            _halved_once,
        ),
        variants(
            "Only one child is dropped after each stage. Drop half of the remaining ones.",
            _halved(keep=lambda n: n - 1),
        ),
        Symptom(
            lambda got, expected, arguments: got[0] == expected[0] + 1 and got[1] == expected[1],
            "The children are numbered from 0: the first row is child 0.",
            (lambda accuracies, steps: (halving(accuracies, steps)[0] + 1, halving(accuracies, steps)[1]),),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got[0], float) and got[0] % 1 and got[1] == expected[1],
            "The first value is an accuracy. Return the number of the child.",
            (
                lambda accuracies, steps: (
                    float(accuracies[halving(accuracies, steps)[0]][-1]),
                    halving(accuracies, steps)[1],
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: got[0] is None or len(got) != 2,
            "Half of them are dropped after the last stage as well, and none may be left. After it, choose the best "
            "of the remaining ones.",
            (lambda accuracies, steps: (None, halving(accuracies, steps)[1]),),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[0] == expected[0] and got[1] != expected[1],
            "The child is right, and the steps are not. Each stage costs its new steps, for every child that is still "
            "there.",
            (lambda accuracies, steps: (halving(accuracies, steps)[0], 3 * halving(accuracies, steps)[1]),),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[1] == expected[1] and got[0] != expected[0],
            "The steps are right, and the child is not. After a stage the better half stays, by the accuracies of "
            "that stage; at the end the best remaining child wins.",
            (
                lambda accuracies, steps: (
                    (halving(accuracies, steps)[0] + 2) % len(accuracies),
                    halving(accuracies, steps)[1],
                ),
            ),
        ),
    ),
    also_correct=(_halving_in_numpy, _halving_in_torch),
)
