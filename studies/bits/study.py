"""One model at one width: as it is rounded, as it is trained with each kind of help, and trained for longer.

Float is a width too. Its runs take the same steps, so that what training on gives to any model is told apart from what
it gives to few bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mini_lib import zoo
from mini_lib.data import Splits
from mini_lib.fit import Loss, accuracy, cross_entropy, fit, predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    BinaryFormat,
    Format,
    IntFormat,
    PerChannel,
    TernaryFormat,
    file_bytes,
    mse,
    quantize_weights,
)
from mini_lib.quantize.train import export, prepare, reestimate_batch_norm
from mini_lib.require import positive, share, whole
from studies.bits.teachers import HELPS, ensemble_for, losses

FORMATS: Mapping[str, Format] = {
    "8": IntFormat(8, granularity=PerChannel()),
    "4": IntFormat(4, granularity=PerChannel()),
    "3": IntFormat(3, granularity=PerChannel()),
    "2": IntFormat(2, granularity=PerChannel()),
    "ternary": TernaryFormat(PerChannel()),
    "1": BinaryFormat(PerChannel()),
}
FLOAT = "32"
WIDTHS = (FLOAT, *FORMATS)
# Arms: before training, and trained. A trained arm has the name of its help, or is this one.
AS_IT_IS, ROUNDED, REESTIMATED, LONGER = "as it is", "rounded", "rounded, batch norm re-estimated", "plain, twice as long"


@dataclass(frozen=True)
class Plan:
    """How models are trained on from their checkpoints, whatever their width.

    `pictures` are the first of the training data, `calibration` those on which batch norm is re-estimated. The learning
    rate, temperature and share were chosen on validation data with seed 0 at 2 bits; `longer_at` are the widths that
    are trained for twice as many epochs as well.

    Raises:
        TypeError, ValueError: a setting is out of range, or a width is not one of `WIDTHS`.
    """

    widths: tuple[str, ...] = WIDTHS
    longer_at: tuple[str, ...] = (FLOAT, "2", "1")
    pictures: int = 8_000
    epochs: int = 2
    batch_size: int = 64
    learning_rate: float = 0.001
    temperature: float = 4.0
    share: float = 0.9
    smoothing: float = 0.1
    calibration: int = 512

    def __post_init__(self) -> None:
        for name in ("widths", "longer_at"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if unknown := [width for width in getattr(self, name) if width not in WIDTHS]:
                raise ValueError(f"{name} holds {unknown[0]!r}, and there are the widths {', '.join(WIDTHS)}")
        for name in ("pictures", "epochs", "batch_size", "calibration"):
            whole(name, getattr(self, name), low=1, fix="see the plan of the record")
        positive("learning_rate", self.learning_rate, fix="0.001 is a good start")
        positive("temperature", self.temperature, fix="2 to 5 are common")
        share("share", self.share, zero=True, fix="0.9 listens to the teacher most")
        share("smoothing", self.smoothing, zero=True, one=False, fix="0.1 is common")


@dataclass(frozen=True)
class Run:
    """One model: its width in bits, what was done to it (`arm`), how accurate it is, and the bytes of its file.

    `same_predictions`: whether the packed model gives the logits of the fake-quant model that was trained, to the last
    bit, on all validation and test pictures; None where nothing was trained at few bits.
    """

    seed: int
    width: str
    arm: str
    validation: float
    test: float
    file_bytes: int
    same_predictions: bool | None = None


def arms_of(plan: Plan, width: str) -> tuple[str, ...]:
    """Return the arms of a width, in the order in which they run.

    >>> arms_of(Plan(), "4")
    ('rounded', 'rounded, batch norm re-estimated', 'plain', 'label smoothing', 'same-size teacher', 'ensemble teacher')
    """
    before = (AS_IT_IS,) if width == FLOAT else (ROUNDED, REESTIMATED)
    return (*before, *HELPS, *([LONGER] if width in plan.longer_at else []))


def run_width(
    plan: Plan, width: str, seed: int, splits: Splits, progress: Callable[[Run], None] | None = None
) -> tuple[Run, ...]:
    """Return the runs of one checkpoint of `small_cnn` at one width, one for each of `arms_of`.

    Nothing is chosen here. Whoever chooses looks at the validation accuracy.

    Raises:
        ValueError: there is no such width, or no such checkpoint.
    """
    if width not in WIDTHS:
        raise ValueError(f"there is no width {width!r}; there are {', '.join(WIDTHS)}")
    runs = []
    for arm, model, trained in _models(plan, width, seed, splits):
        same = None if trained is None else _same(model, trained, splits)
        stored = fold_batch_norm(model) if trained is None and arm != REESTIMATED else model
        runs.append(
            Run(
                seed=seed,
                width=width,
                arm=arm,
                validation=accuracy(model, splits.validation),
                test=accuracy(model, splits.test),
                file_bytes=file_bytes(stored),
                same_predictions=same,
            )
        )
        if progress is not None:
            progress(runs[-1])
    return tuple(runs)


def _models(
    plan: Plan, width: str, seed: int, splits: Splits
) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    """Yield each arm, its model as it is stored, and the fake-quant model that this was made from, if any."""
    own = zoo.load("small_cnn", seed)
    train = splits.train.first(plan.pictures)
    if width == FLOAT:
        start = own
        yield AS_IT_IS, own, None
    else:
        fmt = FORMATS[width]
        yield ROUNDED, quantize_weights(fold_batch_norm(own), fmt, observer=mse), None
        images = splits.train.first(plan.calibration).images
        yield REESTIMATED, reestimate_batch_norm(quantize_weights(own, fmt, observer=mse), images), None
        start = prepare(own, fmt)

    def trained(loss: Loss, epochs: int) -> tuple[nn.Module, nn.Module | None]:
        model = fit(
            start,
            train,
            splits.validation,
            epochs=epochs,
            seed=seed,
            learning_rate=plan.learning_rate,
            batch_size=plan.batch_size,
            loss=loss,
        ).model
        return (model, None) if width == FLOAT else (export(model), model)

    helps = losses(
        own,
        ensemble_for(seed),
        train,
        temperature=plan.temperature,
        share=plan.share,
        smoothing=plan.smoothing,
    )
    for arm, loss in helps.items():
        yield arm, *trained(loss, plan.epochs)
    if width in plan.longer_at:
        yield LONGER, *trained(cross_entropy, 2 * plan.epochs)


def _same(packed: nn.Module, trained: nn.Module, splits: Splits) -> bool:
    return all(
        torch.equal(predict(packed, part.images), predict(trained, part.images))
        for part in (splits.validation, splits.test)
    )
