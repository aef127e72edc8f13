"""Distillation by itself: a small float student from scratch, with many labels and with few.

The student is a CNN with half the channels of `small_cnn`. It is trained plainly, with label smoothing, with a teacher
of its own size (the student that was trained plainly, on the same pictures) and with the ensemble. With few labels a
teacher can do one more thing: give answers where there is no label. So two arms see many pictures and no labels at all,
for equally many steps: one with the ensemble, and its control with the plain student as the teacher.

The ensemble was trained on all 16,000 labels. A student with few labels that it helps has indirectly learned from those
labels too; the teacher of the same size has seen only the student's labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from mini_lib.data import Split, Splits
from mini_lib.distill import distillation
from mini_lib.fit import Loss, cross_entropy, fit
from mini_lib.fold import fold_batch_norm
from mini_lib.require import checked, positive, share, whole
from studies.bits.study import FLOAT, Run, judged
from studies.bits.teachers import ENSEMBLE, HELPS, PLAIN, SAME_SIZE, Remembered, ensemble_for, losses
from studies.factorize.nets import plain_cnn

HALF_WIDTHS = (8, 16, 32, 32)  # small_cnn has (16, 32, 64, 64)
UNLABELLED = {teacher: f"{teacher}, no labels" for teacher in (SAME_SIZE, ENSEMBLE)}


@dataclass(frozen=True)
class Schooling:
    """How students are trained: on the first `pictures` with their labels, `epochs` times.

    `unlabelled` is how many pictures the arms without labels see, repeated for the same number of steps; 0 leaves these
    arms out. The learning rate and weight decay are those that the zoo was trained with.

    Raises:
        TypeError: a setting is of another type.
        ValueError: a setting is out of range, or `unlabelled` pictures cannot be seen a whole number of times.
    """

    pictures: int
    epochs: int
    unlabelled: int = 0
    widths: tuple[int, int, int, int] = HALF_WIDTHS
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    temperature: float = 2.0
    share: float = 0.9
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        for name in ("pictures", "epochs", "batch_size"):
            checked(self, name, whole, low=1, fix="see the schoolings of the record")
        checked(self, "unlabelled", whole, low=0, fix="0 leaves the arms without labels out")
        if self.unlabelled and self.pictures * self.epochs % self.unlabelled:
            raise ValueError(
                f"{self.pictures} pictures seen {self.epochs} times are no whole number of times {self.unlabelled}; "
                "use a divisor of their product"
            )
        checked(self, "learning_rate", positive, fix="0.01 is a good start")
        checked(self, "share", share, zero=True, fix="0.9 listens to the teacher most")


def arms_of(schooling: Schooling) -> tuple[str, ...]:
    """Return the arms of a schooling, in the order in which they run.

    >>> arms_of(Schooling(pictures=1_000, epochs=2, unlabelled=2_000))[-2:]
    ('same-size teacher, no labels', 'ensemble teacher, no labels')
    """
    return (*HELPS, *(UNLABELLED.values() if schooling.unlabelled else ()))


def run_students(
    schooling: Schooling, seed: int, splits: Splits, progress: Callable[[Run], None] | None = None
) -> tuple[Run, ...]:
    """Return the runs of a student that starts from `seed`, one for each of `arms_of`. Nothing is chosen here.

    Raises:
        ValueError: as `fit`, or there is no checkpoint of this seed to leave out of the ensemble.
    """
    runs = []
    for arm, model in _students(schooling, seed, splits):
        runs.append(judged(fold_batch_norm(model), splits, seed=seed, width=FLOAT, arm=arm))
        if progress is not None:
            progress(runs[-1])
    return tuple(runs)


def _students(schooling: Schooling, seed: int, splits: Splits) -> Iterator[tuple[str, nn.Module]]:
    def trained(train: Split, epochs: int, loss: Loss) -> nn.Module:
        return fit(
            plain_cnn(schooling.widths, seed),
            train,
            splits.validation,
            epochs=epochs,
            seed=seed,
            learning_rate=schooling.learning_rate,
            batch_size=schooling.batch_size,
            weight_decay=schooling.weight_decay,
            loss=loss,
        ).model

    labelled, ensemble = splits.train.first(schooling.pictures), ensemble_for(seed)
    plain = trained(labelled, schooling.epochs, cross_entropy)
    yield PLAIN, plain
    helps = losses(
        plain,
        ensemble,
        labelled,
        temperature=schooling.temperature,
        share=schooling.share,
        smoothing=schooling.smoothing,
    )
    for arm in HELPS[1:]:
        yield arm, trained(labelled, schooling.epochs, helps[arm])
    if schooling.unlabelled:
        many = splits.train.first(schooling.unlabelled)
        epochs = schooling.pictures * schooling.epochs // schooling.unlabelled
        for teacher, model in ((SAME_SIZE, plain), (ENSEMBLE, ensemble)):
            answers = Remembered(model, many.images)
            loss = distillation(answers, temperature=schooling.temperature, share=1.0)
            yield UNLABELLED[teacher], trained(many, epochs, loss)
