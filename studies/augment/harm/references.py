"""Label safety of the study's operations, judged by two kinds of classifiers trained on the reference pictures.

The *clean* judge has seen unchanged pictures. It cannot tell a picture that has become another class from one that is
only strange to it. So there is a second opinion, an *experienced* judge per operation: it was trained with that
operation on half of the same pictures. A picture that it still assigns to another class can no longer be recognised by
such a net.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import Literal

import torch

from mini_lib.augment import Guard, LabelSafety, TrivialAugment, identity, label_safety
from mini_lib.augment.operations import Operation
from studies.augment.harm.arms import STRENGTHS, TURN
from studies.augment.harm.nets import Cell, Task, pixels_of, splits_of, standardisation_of, train

Judge = Literal["clean", "experienced"]
JUDGES: tuple[Judge, ...] = ("clean", "experienced")
ANGLE_SHARES = tuple(step / 12 for step in range(1, 13))  # every 15 degrees


@dataclass(frozen=True)
class Measured:
    """The opinion of a judge on pictures that an operation changed with one strength.

    `counts[i][j]`: how many pictures of class i were recognised as class j, of those that the judge got right before.
    """

    task: Task
    judge: Judge
    operation: str
    strength: float
    unit: str
    counts: tuple[tuple[int, ...], ...]

    @property
    def kept(self) -> float:
        """The share of pictures that kept their class."""
        return sum(row[label] for label, row in enumerate(self.counts)) / sum(map(sum, self.counts))

    @property
    def kept_per_class(self) -> tuple[float, ...]:
        """The share of the pictures of each class that kept it."""
        return tuple(row[label] / sum(row) for label, row in enumerate(self.counts))


def measure_safety(
    task: Task, *, width: int, labels: int, pictures: int, steps: int, learning_rate: float, batch_size: int, seed: int
) -> tuple[Measured, ...]:
    """Train judges on the first `labels` reference pictures; let them judge the first `pictures` training pictures."""
    operations = [operation for operation, _ in STRENGTHS]
    augments = [None, *(TrivialAugment((operation, identity)) for operation in operations)]
    judges = train(
        Cell(task, labels, steps, width),
        augments,
        [seed] * len(augments),
        learning_rate=learning_rate,
        batch_size=batch_size,
        part="reference",
    )
    clean, *experienced = (judge.model for judge in judges)
    train_split = splits_of(task).train.first(pictures)
    images, mean_std = pixels_of(train_split, task), standardisation_of(task)
    rows = []
    for (operation, shares), own in zip(STRENGTHS, experienced):
        for judge, model in zip(JUDGES, (clean, own)):
            shares = ANGLE_SHARES if operation == TURN else shares
            safety = label_safety(
                model, images, train_split.labels, [operation], shares, mean=mean_std[0], std=mean_std[1], seed=seed
            )
            for at, strength in enumerate(safety.strengths[0]):
                counts = tuple(map(tuple, safety.counts[0, at].tolist()))
                rows.append(Measured(task, judge, operation.name, strength, operation.unit, counts))
    return tuple(rows)


def guards_of(rows: tuple[Measured, ...], at_least: float) -> dict[str, Guard]:
    """Return the guards against turning that follow from the judges' opinions, by name: a limit for each digit.

    Raises:
        ValueError: the rows hold no turned digits.
    """
    guards = {}
    for judge in JUDGES:
        turned = [row for row in rows if (row.task, row.judge, row.operation) == ("digits", judge, "rotate")]
        if not turned:
            raise ValueError(f"there are no turned digits judged by the {judge} judge; measure them first")
        safety = LabelSafety(
            names=("rotate",),
            shares=tuple(row.strength / TURN.strongest for row in turned),
            strengths=(tuple(row.strength for row in turned),),
            units=(turned[0].unit,),
            counts=torch.tensor([[row.counts for row in turned]]),
        )
        name = f"180 degrees, limits per class by the {judge} judge"
        guards[name] = safety.guard(at_least=at_least, beyond="rescale")
    return guards


def safety_at(rows: tuple[Measured, ...], task: Task, judge: Judge, operation: Operation, strength: float) -> Measured:
    """Return the row of an operation and strength.

    Raises:
        ValueError: there is none.
    """
    for row in rows:
        same_strength = isclose(row.strength, strength, rel_tol=1e-4)  # the record is rounded
        if (row.task, row.judge, row.operation) == (task, judge, operation.name) and same_strength:
            return row
    raise ValueError(f"there is no {operation.name} {strength:g} on {task} by the {judge} judge; measure it first")
