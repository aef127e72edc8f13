"""How a net of a study is trained: the same for every arm, so that only the ticket differs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mini_lib.require import checked, of_type, one_of, positive, share, whole
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class Recipe:
    """A training by steps: how many, how large a batch, which optimizer, and the learning rate at each step.

    The rate climbs in a straight line over `warmup_steps`, and falls to a tenth at each step of `drops`. `momentum` is
    for "sgd" only. Accuracy on validation data is measured at the steps of `evaluate_at` and at the end. The defaults
    are those of the paper for this net, apart from its 50,000 steps.

    Raises:
        TypeError: a field is not a number.
        ValueError: a count is below its minimum, a rate is not positive, an optimizer is unknown, or a step is past the
            end.

    Source: J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", 2019, figure 2 (LeNet: Adam, 1.2e-3, batches of 60).

    >>> recipe = Recipe(steps=100, warmup_steps=10, drops=(50,), learning_rate=0.1)
    >>> [round(recipe.rate_at(step), 4) for step in (0, 9, 49, 50)]
    [0.01, 0.1, 0.1, 0.01]
    """

    steps: int
    batch_size: int = 60
    learning_rate: float = 1.2e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    warmup_steps: int = 0
    drops: tuple[int, ...] = ()
    evaluate_at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checked(self, "steps", whole, low=1, fix="a small net learns in a few thousand")
        checked(self, "batch_size", whole, low=1, fix="the paper has 60")
        checked(self, "warmup_steps", whole, low=0, fix="0 starts at the full rate")
        checked(self, "learning_rate", positive, fix="try 1.2e-3")
        checked(self, "optimizer", one_of, choices=("adam", "sgd"), fix="the paper has 'adam' for this net")
        checked(self, "momentum", share, zero=True, one=False, fix="0.9 is usual")
        for name in ("drops", "evaluate_at"):
            given = of_type(name, getattr(self, name), (tuple, list), fix="name the steps in a tuple")
            steps = [whole(f"each of {name}", step, fix="name steps, counted from 1") for step in given]
            if any(not 0 < step <= self.steps for step in steps):
                raise ValueError(f"{name} must lie in 1 to {self.steps} (the steps), got {given}")
            object.__setattr__(self, name, tuple(steps))
        object.__setattr__(self, "evaluate_at", tuple(sorted({*self.evaluate_at, self.steps})))

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warmth = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.learning_rate * warmth * 0.1 ** sum(step >= drop for drop in self.drops)

    def make_optimizer(self, weights: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Return a fresh optimizer over `weights`: without weight decay, which would act on pruned weights too.

        Both rules treat each weight separately. So it does not matter whether a tensor holds one net or many.

        Raises:
            TypeError: the weights are not tensors of floating-point numbers.
            ValueError: there is none.
        """
        fix = "pass model.parameters()"
        weights = [need_tensor("each weight", one, fix=fix) for one in of_type("weights", weights, Iterable, fix=fix)]
        if not weights:
            raise ValueError(f"weights must hold at least one tensor, got none; {fix}")
        if self.optimizer == "adam":
            return torch.optim.Adam(weights, lr=self.learning_rate, fused=True)
        return torch.optim.SGD(weights, lr=self.learning_rate, momentum=self.momentum, fused=True)


def batch_order(count: int, recipe: Recipe, seed: int) -> Tensor:
    """Return which of `count` pictures each batch holds: int64 [steps, batch_size].

    The pictures come in a fresh random order for each epoch, one epoch after the other; a batch may hold the end of
    one and the start of the next.

    Raises:
        TypeError, ValueError: `count` is not a whole number of 1 or more, or `seed` is not a whole number.

    >>> order = batch_order(4, Recipe(steps=4, batch_size=2), seed=0)
    >>> order.shape, sorted(order[:2].flatten().tolist())
    (torch.Size([4, 2]), [0, 1, 2, 3])
    """
    count = whole("count", count, low=1, fix="pass len(splits.train)")
    of_type("recipe", recipe, Recipe, fix="use Recipe(steps=...)")
    chance = torch.Generator().manual_seed(whole("seed", seed, fix="the same seed gives the same order"))
    wanted = recipe.steps * recipe.batch_size
    epochs = [torch.randperm(count, generator=chance) for _ in range(math.ceil(wanted / count))]
    return torch.cat(epochs)[:wanted].reshape(recipe.steps, recipe.batch_size)
