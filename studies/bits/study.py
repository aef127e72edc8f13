"""One model at one width: rounded, trained with each kind of help, and trained for longer.

Float is a width too. Its runs take the same steps, to separate the gain of further training for any model from the gain
at few bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import nn

from mini_lib import zoo
from mini_lib.data import Splits
from mini_lib.fit import Loss, cross_entropy, fit, predict
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
from mini_lib.quantize.choice import FormatChoice
from mini_lib.quantize.train import export, prepare, reestimate_batch_norm
from mini_lib.require import checked, positive, share, whole
from studies.bits.teachers import HELPS, PLAIN, ensemble_for, losses


def ends_at_8_bits(fmt: Format) -> FormatChoice:
    """Return the choice of `fmt` for all layers of small_cnn except the first and the last, 784 of its 60,688 weights.

    >>> choice = ends_at_8_bits(TernaryFormat())
    >>> [choice(name, nn.Identity()).label for name in ("conv1", "conv2")]
    ['int8 per channel', 'ternary per tensor']
    """
    return lambda name, module: INT8 if name in ENDS else fmt


INT8 = IntFormat(8, granularity=PerChannel())
INT2 = IntFormat(2, symmetric=False, granularity=PerChannel())  # four values; a symmetric grid has three: ternary
BINARY = BinaryFormat(PerChannel())
ENDS = ("conv1", "linear")
FORMATS: Mapping[str, FormatChoice] = {
    "8": INT8,
    "4": IntFormat(4, granularity=PerChannel()),
    "3": IntFormat(3, granularity=PerChannel()),
    "2": INT2,
    "ternary": TernaryFormat(PerChannel()),
    "1": BINARY,
    "8/2/8": ends_at_8_bits(INT2),
    "8/1/8": ends_at_8_bits(BINARY),
}
FLOAT = "32"
WIDTHS = (FLOAT, *FORMATS)
# Arms: before training, and trained. A trained arm has the name of its help, or one of the last two.
AS_IT_IS, ROUNDED, ROUNDED_ANEW = "as it is", "rounded", "rounded, batch norm re-estimated"
TRAINED_ANEW, LONGER = "plain, batch norm re-estimated", "plain, twice as long"

# Chosen on validation data with seed 0, from .0003, .001 and .003 at 32, 4, 2 and 1 bits: few bits have further to go.
# .002 lies between the best rates at 2 bits (.001) and at 1 (.003).
RATES = {FLOAT: 0.0003, "8": 0.0003, "4": 0.001, "3": 0.001}
RATES |= dict.fromkeys(("2", "ternary", "1", "8/2/8", "8/1/8"), 0.002)


@dataclass(frozen=True)
class Plan:
    """How models are trained on from their checkpoints.

    `pictures` are the first of the training data, `calibration` those on which batch norm is re-estimated, and
    `learning_rates` are by width. The widths of `longer_at` are also trained for twice as many epochs, and those of
    `without_help` only plainly. Temperature and share were chosen on validation data with seed 0 at 2 bits, from (2,
    .5), (2, .9), (4, .5) and (4, .9).

    Raises:
        TypeError, ValueError: a setting is out of range, or a width is not one of `WIDTHS`.
    """

    widths: tuple[str, ...] = WIDTHS
    longer_at: tuple[str, ...] = (FLOAT, "2", "1")
    without_help: tuple[str, ...] = ("8/2/8", "8/1/8")
    pictures: int = 4_000
    epochs: int = 2
    batch_size: int = 64
    learning_rates: Mapping[str, float] = field(default_factory=RATES.copy)
    temperature: float = 2.0
    share: float = 0.9
    smoothing: float = 0.1
    calibration: int = 512

    def __post_init__(self) -> None:
        for name in ("widths", "longer_at", "without_help"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if unknown := [width for width in getattr(self, name) if width not in WIDTHS]:
                raise ValueError(f"{name} holds {unknown[0]!r}, and there are the widths {', '.join(WIDTHS)}")
        for name in ("pictures", "epochs", "batch_size", "calibration"):
            checked(self, name, whole, low=1, fix="see the plan of the record")
        rates = {
            width: positive(
                f"the learning rate at {width}", self.learning_rates.get(width), fix="0.001 is a good start"
            )
            for width in self.widths
        }
        object.__setattr__(self, "learning_rates", {**self.learning_rates, **rates})
        checked(self, "temperature", positive, fix="2 to 5 are common")
        checked(self, "share", share, zero=True, fix="0.9 listens to the teacher most")
        checked(self, "smoothing", share, zero=True, one=False, fix="0.1 is common")


@dataclass(frozen=True)
class Run:
    """One model: its width in bits, its training (`arm`), its accuracies, and the bytes of its file.

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

    >>> arms_of(Plan(), "32")
    ('as it is', 'plain', 'label smoothing', 'same-size teacher', 'ensemble teacher', 'plain, twice as long')
    """
    longer = (LONGER,) if width in plan.longer_at else ()
    helps = (PLAIN,) if width in plan.without_help else HELPS
    if width == FLOAT:
        return (AS_IT_IS, *helps, *longer)
    return (ROUNDED, ROUNDED_ANEW, *helps, TRAINED_ANEW, *longer)


def run_width(
    plan: Plan, width: str, seed: int, splits: Splits, progress: Callable[[Run], None] | None = None
) -> tuple[Run, ...]:
    """Return the runs of one checkpoint of `small_cnn` at one width, one for each of `arms_of`.

    Nothing is chosen here. Choose by the validation accuracy.

    Raises:
        ValueError: there is no such width, or no such checkpoint.
    """
    if width not in WIDTHS:
        raise ValueError(f"there is no width {width!r}; there are {', '.join(WIDTHS)}")
    runs = []
    for arm, model, trained in _models(plan, width, seed, splits):
        runs.append(judged(model, splits, seed=seed, width=width, arm=arm, trained=trained))
        if progress is not None:
            progress(runs[-1])
    return tuple(runs)


def _models(plan: Plan, width: str, seed: int, splits: Splits) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    """Yield each arm, its model as it is stored, and the fake-quant model that this was packed from, if any."""
    own = zoo.load("small_cnn", seed)
    train = splits.train.first(plan.pictures)
    calibration = splits.train.first(plan.calibration).images
    if width == FLOAT:
        yield AS_IT_IS, fold_batch_norm(own), None
    else:
        # With a scale per channel, folding scales a channel and its grid alike: both models have the same codes.
        yield ROUNDED, quantize_weights(fold_batch_norm(own), FORMATS[width], observer=mse), None
        unfolded = quantize_weights(own, FORMATS[width], observer=mse)
        yield ROUNDED_ANEW, reestimate_batch_norm(unfolded, calibration), None
    start = own if width == FLOAT else prepare(own, FORMATS[width])

    def trained(loss: Loss, epochs: int) -> tuple[nn.Module, nn.Module | None]:
        model = fit(
            start,
            train,
            splits.validation,
            epochs=epochs,
            seed=seed,
            learning_rate=plan.learning_rates[width],
            batch_size=plan.batch_size,
            loss=loss,
        ).model
        return (fold_batch_norm(model), None) if width == FLOAT else (export(model), model)

    plain = trained(cross_entropy, plan.epochs)
    yield PLAIN, *plain
    if width not in plan.without_help:
        helps = _helps(seed, splits, plan.pictures, plan.temperature, plan.share, plan.smoothing)
        for arm in HELPS[1:]:
            yield arm, *trained(helps[arm], plan.epochs)
    if width != FLOAT:
        yield TRAINED_ANEW, reestimate_batch_norm(plain[0], calibration), None
    if width in plan.longer_at:
        yield LONGER, *trained(cross_entropy, 2 * plan.epochs)


def judged(
    model: nn.Module, splits: Splits, *, seed: int, width: str, arm: str, trained: nn.Module | None = None
) -> Run:
    """Return the run of a model as it is stored, compared with the fake-quant model that it was packed from, if any."""
    parts = (splits.validation, splits.test)
    logits = [predict(model, part.images) for part in parts]
    validation, test = ((z.argmax(dim=1) == part.labels).double().mean().item() for z, part in zip(logits, parts))
    same = None if trained is None else all(torch.equal(z, predict(trained, p.images)) for z, p in zip(logits, parts))
    return Run(seed, width, arm, validation, test, file_bytes(model), same)


@lru_cache(maxsize=1)  # the widths of a seed share their teachers
def _helps(
    seed: int, splits: Splits, pictures: int, temperature: float, share: float, smoothing: float
) -> Mapping[str, Loss]:
    own, train = zoo.load("small_cnn", seed), splits.train.first(pictures)
    return losses(own, ensemble_for(seed), train, temperature=temperature, share=share, smoothing=smoothing)
