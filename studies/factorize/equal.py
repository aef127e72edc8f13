"""A MobileNet-style net and a plain one of equal MACs, trained alike: which makes better use of the same arithmetic?

A depthwise-separable net is not an approximation of a plain one. It is a different net, and the question is which of
the two learns more with the same MACs, and which of them is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mini_lib import zoo
from mini_lib.data import Splits
from mini_lib.fit import accuracy, fit
from mini_lib.fold import fold_batch_norm
from mini_lib.measure import macs, parameters, stored_bytes
from studies.factorize.nets import NARROW, plain_cnn

BUILDERS: Mapping[str, Callable[[int], nn.Module]] = {
    "depthwise_cnn": zoo.depthwise_cnn,
    "plain_cnn": lambda seed: plain_cnn(NARROW, seed),
}


@dataclass(frozen=True)
class Recipe:
    """How nets are trained: as `tools/train_zoo.py` trains `depthwise_cnn`, unless you say otherwise."""

    epochs: int = 20
    learning_rate: float = 0.01
    weight_decay: float = 0.1


@dataclass(frozen=True)
class Trained:
    """One net that was trained from scratch. Costs are those with batch norm folded, as it would be used."""

    seed: int
    net: str
    parameters: int
    macs: int
    stored_bytes: int
    validation: float
    test: float


def train(
    build: Callable[[int], nn.Module], seed: int, splits: Splits, recipe: Recipe, progress: Callable | None = None
) -> nn.Module:
    """Return a net trained from scratch by a recipe; `seed` decides its start and the order of the pictures."""
    return fit(
        build(seed),
        splits.train,
        splits.validation,
        epochs=recipe.epochs,
        seed=seed,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        progress=progress,
    ).model


def train_net(
    net: str, seed: int, splits: Splits, recipe: Recipe = Recipe(), progress: Callable | None = None
) -> Trained:
    """Train a net of `BUILDERS` from scratch and return the result.

    Raises:
        ValueError: there is no such net, or as `fit`.
    """
    if net not in BUILDERS:
        raise ValueError(f"there is no net {net!r}; there are {', '.join(BUILDERS)}")
    return judge(net, seed, train(BUILDERS[net], seed, splits, recipe, progress), splits)


def judge(net: str, seed: int, model: nn.Module, splits: Splits) -> Trained:
    """Return the costs and the accuracies of a trained net."""
    folded = fold_batch_norm(model)
    return Trained(
        seed=seed,
        net=net,
        parameters=parameters(folded),
        macs=macs(folded, torch.zeros(1, 1, 28, 28)),
        stored_bytes=stored_bytes(folded),
        validation=accuracy(folded, splits.validation),
        test=accuracy(folded, splits.test),
    )
