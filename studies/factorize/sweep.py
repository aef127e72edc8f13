"""Accuracy by rank: trained models taken apart at several ranks, before and after fine-tuning, with their control.

The control is the dense model with the same fine-tuning, since more training may help even an unchanged model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from mini_lib.data import Split, Splits
from mini_lib.factorize.methods import Method, Rank, data_aware_svd, matrix_ranks, plain_svd, tucker, tucker_ranks
from mini_lib.factorize.model import factorize
from mini_lib.factorize.moments import input_moments
from mini_lib.fit import accuracy, fit
from mini_lib.fold import fold_batch_norm
from mini_lib.measure import macs, parameters, stored_bytes
from mini_lib.require import checked, share, whole
from mini_lib.second_moments import Moments
from studies.factorize.nets import INNER_LAYERS

METHODS = ("svd", "data-aware svd", "tucker-2")
DENSE = "dense"
EXAMPLE_SHAPE = (1, 1, 28, 28)


@dataclass(frozen=True)
class Sweep:
    """The ranks and methods to try, and how the models are fine-tuned.

    `fractions` are those of full rank, in all `layers` alike. Fine-tuning is one epoch on the first `pictures` of the
    training data; `calibration` is how many of them the data-aware method uses. The learning rate was chosen on
    validation data with seed 0, from .001, .002 and .003: the largest that cost the dense control less than half a
    point.

    Raises:
        TypeError: a number is of another type.
        ValueError: there is no method or an unknown one, no fraction or one outside (0, 1), no layer, or `pictures` or
            `calibration` is below 1.
    """

    methods: tuple[str, ...] = METHODS
    fractions: tuple[float, ...] = (0.125, 0.25, 0.375, 0.5, 0.75)
    layers: tuple[str, ...] = INNER_LAYERS
    pictures: int = 16_000
    learning_rate: float = 0.002
    calibration: int = 512

    def __post_init__(self) -> None:
        for name in ("methods", "fractions", "layers"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one, got none")
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown:
            raise ValueError(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
        fix = "1 is the dense control"
        fractions = tuple(share("each of fractions", one, one=False, fix=fix) for one in self.fractions)
        object.__setattr__(self, "fractions", fractions)
        for name in ("pictures", "calibration"):
            checked(self, name, whole, low=1, fix="use 512 or more")


# Short enough for a lesson: one model, two ranks, a quarter of the pictures.
QUICK = Sweep(methods=("svd", "data-aware svd"), fractions=(0.25, 0.5), pictures=4_000)


@dataclass(frozen=True)
class Run:
    """One model at one rank: its costs, and its accuracy before and after fine-tuning."""

    seed: int
    method: str
    fraction: float
    parameters: int
    macs: int
    stored_bytes: int
    validation_before: float
    validation_after: float
    test_before: float
    test_after: float


def run_sweep(
    sweep: Sweep, model: nn.Module, splits: Splits, seed: int, progress: Callable[[Run], None] | None = None
) -> tuple[Run, ...]:
    """Return the runs of one trained model: the dense control first, then each method at each fraction.

    Batch norms are folded first. `seed` is written into the runs and decides the order of the pictures in fine-tuning.
    Nothing is chosen here; choose a rank by the validation accuracy.

    Raises:
        ValueError: the model is in training mode or lacks one of the layers, or as `factorize` and `fit`.
    """
    dense = fold_batch_norm(model)
    tune = splits.train.first(sweep.pictures)
    images = splits.train.first(sweep.calibration).images
    moments = {}
    if "data-aware svd" in sweep.methods:
        moments = input_moments(dense, images.split(128), lambda name, module: name in sweep.layers)
    runs = []
    for method, fraction in [(DENSE, 1.0), *((m, f) for f in sweep.fractions for m in sweep.methods)]:
        cheaper = dense if method == DENSE else apart(dense, method, fraction, sweep.layers, moments)
        runs.append(_run(cheaper, tune, splits, seed, sweep.learning_rate, method, fraction))
        if progress is not None:
            progress(runs[-1])
    return tuple(runs)


def apart(
    dense: nn.Module,
    method: str,
    fraction: float,
    layers: tuple[str, ...] = INNER_LAYERS,
    moments: Mapping[str, Moments] | None = None,
    tucker_by: Literal["hosvd", "hooi"] = "hooi",
) -> nn.Module:
    """Return `dense` with the layers taken apart by a method of `METHODS` at this fraction of their full rank.

    A layer that would cost more afterwards is left as it is. Only the data-aware method needs `moments`.

    Raises:
        ValueError: there is no such method, or as `factorize`.

    >>> from mini_lib.zoo import small_cnn
    >>> [tuple(part.weight.shape) for part in apart(small_cnn().eval(), "svd", 0.25).conv3]
    [(16, 32, 3, 3), (64, 16, 1, 1)]
    """
    ways: dict[str, tuple[Method, Callable[..., dict[str, Rank]]]] = {
        "svd": (plain_svd, matrix_ranks),
        "data-aware svd": (data_aware_svd(moments or {}), matrix_ranks),
        "tucker-2": (tucker(tucker_by), tucker_ranks),
    }
    if method not in ways:
        raise ValueError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    way, ranks_at = ways[method]
    ranks = ranks_at(dense, fraction, lambda name, module: name in layers)
    return factorize(dense, torch.zeros(EXAMPLE_SHAPE), ranks, method=way).model


def _run(
    model: nn.Module, tune: Split, splits: Splits, seed: int, learning_rate: float, method: str, fraction: float
) -> Run:
    tuned = fit(model, tune, splits.validation, epochs=1, seed=seed, learning_rate=learning_rate)
    return Run(
        seed=seed,
        method=method,
        fraction=fraction,
        parameters=parameters(model),
        macs=macs(model, torch.zeros(EXAMPLE_SHAPE)),
        stored_bytes=stored_bytes(model),
        validation_before=accuracy(model, splits.validation),
        validation_after=tuned.history[-1].validation_accuracy,
        test_before=accuracy(model, splits.test),
        test_after=accuracy(tuned.model, splits.test),
    )
