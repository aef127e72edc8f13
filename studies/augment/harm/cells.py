"""How good a net of the study is: on test data, class by class, and on turned test digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import torch

from mini_lib.augment.search.children import Child
from mini_lib.batch import Augment, Batch
from mini_lib.data import Split
from mini_lib.fit import predict
from studies.augment.harm.arms import TURN, up_to
from studies.augment.harm.nets import Cell, Task, splits_of, standardised, train


@dataclass(frozen=True)
class Run:
    """One net: its augmentation (`arm`) and its accuracies, as shares; `per_class` is on test data.

    `turned[i][j]`: of the test digits of class i, turned by any angle, how many it recognised as class j; None where no
    digits were turned.
    """

    task: Task
    labels: int
    steps: int
    width: int
    arm: str
    seed: int
    validation: float
    test: float
    per_class: tuple[float, ...]
    turned: tuple[tuple[int, ...], ...] | None = None


@cache
def turned_test() -> Split:
    """Return the test digits, each turned by any angle up to 180 degrees to either side: the same ones for all nets."""
    test = splits_of("digits").test
    turn = standardised(up_to(TURN), "digits")
    batch = turn(Batch(test.images, test.labels), torch.Generator().manual_seed(0))
    return Split(batch.images, batch.labels)


def run_arms(
    cell: Cell,
    arms: Mapping[str, Augment | None],
    seeds: Sequence[int],
    *,
    learning_rate: float,
    batch_size: int,
    turned: Split | None = None,
) -> tuple[Run, ...]:
    """Train nets of a cell with each arm and each seed, and return their accuracies on test data.

    Nothing is chosen here. Choose by the validation accuracy.
    """
    runs = []
    for arm, augment in arms.items():
        children = train(cell, [augment] * len(seeds), seeds, learning_rate=learning_rate, batch_size=batch_size)
        runs += [judged(child, cell, arm, seed, turned) for child, seed in zip(children, seeds)]
    return tuple(runs)


def judged(child: Child, cell: Cell, arm: str, seed: int, turned: Split | None = None) -> Run:
    """Return the accuracies of a trained net on test data."""
    test = splits_of(cell.task).test
    right = predict(child.model, test.images).argmax(dim=1) == test.labels
    per_class = tuple(right[test.labels == label].double().mean().item() for label in range(10))
    confusion = None
    if turned is not None:
        taken = predict(child.model, turned.images).argmax(dim=1)
        confusion = tuple(map(tuple, (turned.labels * 10 + taken).bincount(minlength=100).reshape(10, 10).tolist()))
    return Run(
        **asdict(cell),
        arm=arm,
        seed=seed,
        validation=child.validation_accuracy,
        test=right.double().mean().item(),
        per_class=per_class,
        turned=confusion,
    )


def as_tuples(row: Mapping[str, object]) -> dict[str, object]:
    """Turn the lists of JSON back into tuples."""

    def back(value: object) -> object:
        return tuple(map(back, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value

    return {name: back(value) for name, value in row.items()}
