"""Pruning with training in between: remove some weights, let the others make up for them, and repeat."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn

from mini_lib.data import Split
from mini_lib.fit import accuracy, fit
from mini_lib.prune.keep import Scope, keep_top
from mini_lib.prune.mask import Mask, baked, masked
from mini_lib.prune.schedules import check_falling
from mini_lib.prune.scores import Scores, magnitude
from mini_lib.require import callable_, checked, one_of, share, whole


@dataclass(frozen=True, eq=False)
class PrunedStep:
    """One step of pruning: the mask that stayed, the model after training, and its accuracy before and after.

    `model` is a plain model in evaluation mode, with zeros where `mask` says so. Accuracies are shares in [0, 1].

    Raises:
        ValueError: an accuracy lies outside [0, 1].

    >>> mask = Mask({"weight": torch.tensor([[True, False]])})
    >>> print(PrunedStep(0.5, mask, nn.Linear(2, 1), validation_accuracy_before=0.7, validation_accuracy=0.8))
    density 50.00%: validation accuracy 70.0% pruned, 80.0% trained
    """

    density: float
    mask: Mask
    model: nn.Module
    validation_accuracy_before: float  # pruned, not yet trained
    validation_accuracy: float  # pruned and trained

    def __post_init__(self) -> None:
        for name in ("validation_accuracy_before", "validation_accuracy"):
            checked(self, name, share, zero=True, fix="give a share such as 0.9")

    def __str__(self) -> str:
        return (
            f"density {self.density:.2%}: validation accuracy {self.validation_accuracy_before:.1%} pruned, "
            f"{self.validation_accuracy:.1%} trained"
        )


def prune_and_train(
    model: nn.Module,
    train: Split,
    validation: Split,
    *,
    densities: Iterable[float],
    score: Callable[[nn.Module], Scores] = magnitude,
    scope: Scope = "global",
    epochs: int,
    seed: int,
    learning_rate: float,
    at_least: int = 0,
    progress: Callable[[PrunedStep], None] | None = None,
) -> tuple[PrunedStep, ...]:
    """Prune to one density after the other, train `epochs` after each, and return all the steps.

    A step scores the weights with `score(model)`, keeps the best of those that are left, and trains them on from their
    current values (nothing is rewound). A pruned weight never comes back. Pruning in one shot, in rounds or along a
    curve differs only in `densities`: see `schedules`. `model` should be trained; the argument stays as it is.

    `seed` decides the order of the pictures in all steps: the same seed gives the same steps, and the first steps of a
    longer schedule. `progress` is called after each step. `scope` and `at_least` are those of `keep_top`.

    Raises:
        TypeError, ValueError: densities outside (0, 1] or rising, a layer pruned to nothing, and whatever `keep_top`
            and `fit` refuse.

    >>> dots = Split(torch.tensor([[-1.0, 0.1], [1.0, 0.1]]), torch.tensor([0, 1]))    # the first pixel tells all
    >>> model = nn.Linear(2, 2)
    >>> model.weight.data = torch.tensor([[-3.0, 1.0], [3.0, 0.5]])
    >>> steps = prune_and_train(model, dots, dots, densities=[0.75, 0.5], epochs=1, seed=0, learning_rate=0.01)
    >>> [step.mask.kept for step in steps], steps[-1].validation_accuracy
    ([3, 2], 1.0)
    >>> steps[-1].mask["weight"]
    tensor([[ True, False],
            [ True, False]])

    Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", 2015, section 3;
    M. Zhu, S. Gupta, "To Prune, or Not to Prune", 2017, section 3.
    """
    falling = check_falling(densities)
    for name, split in (("train", train), ("validation", validation)):
        if not isinstance(split, Split):
            raise TypeError(f"{name} must be a data.Split, got {type(split).__name__}; use data.Split(images, labels)")
    callable_("score", score, fix="pass magnitude, say")
    one_of("scope", scope, get_args(Scope), fix="'global' ranks all weights together")
    at_least = whole("at_least", at_least, low=0, fix="1 keeps a layer alive")
    if progress is not None:
        callable_("progress", progress, fix="pass a function of a PrunedStep, or None")
    mask = None
    if scope != "global" or at_least:
        # Check before the first step whether the last one is possible: the numbers of weights depend on no score.
        shapes = {name: torch.zeros_like(values) for name, values in score(model).items()}
        keep_top(shapes, falling[-1], scope, at_least=at_least)
    order = torch.Generator().manual_seed(whole("seed", seed, fix="the same seed gives the same steps"))
    steps = []
    for density in falling:
        mask = keep_top(score(model), density, scope, among=mask, at_least=at_least)
        pruned = masked(model, mask)
        before = accuracy(pruned, validation)
        # A seed of its own for each step. seed + 1, seed + 2 would make neighbouring seeds share most of their steps.
        step_seed = int(torch.randint(2**31, (), generator=order))
        fitted = fit(pruned, train, validation, epochs=epochs, seed=step_seed, learning_rate=learning_rate)
        model = baked(fitted.model)
        steps.append(PrunedStep(density, mask, model, before, fitted.history[-1].validation_accuracy))
        if progress is not None:
            progress(steps[-1])
    return tuple(steps)
