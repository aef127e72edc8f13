"""The trainings of this study: a small net of any width, on few labelled digits or clothes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor, nn

from mini_lib import data
from mini_lib.augment import Standardised
from mini_lib.augment.search.children import Child, ChildRecipe, train_children
from mini_lib.batch import Augment
from mini_lib.data import Split, SplitsWithReference

Task = Literal["digits", "clothes"]


@dataclass(frozen=True)
class Cell:
    """The settings that the nets of a comparison share: data, number of labels, training steps, width in channels."""

    task: Task
    labels: int
    steps: int
    width: int


def small_net(width: int, seed: int) -> nn.Sequential:
    """Return an untrained net: two 3x3 convolutions with stride 2, then one linear layer.

    The convolutions have `width` and `2 * width` channels. Takes images [N, 1, 28, 28], gives logits [N, 10]. `seed`
    decides the initial weights; the global random state is left as it was found.

    By hand, for width 2: 9*2 + 2 = 20, 9*2*4 + 4 = 76, 7*7*4*10 + 10 = 1,970:

    >>> sum(weight.numel() for weight in small_net(2, seed=0).parameters())
    2066
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(7 * 7 * 2 * width, 10),
        )


@cache
def splits_of(task: Task) -> SplitsWithReference:
    """Return the pictures of a task; for clothes, the reference part is the end of the shipped training pictures.

    >>> [len(splits_of("clothes").reference), len(splits_of("clothes").train)]
    [1500, 14500]
    """
    if task == "digits":
        return data.digits()
    clothes = data.fashion()
    images, labels = clothes.train.images, clothes.train.labels
    return SplitsWithReference(
        Split(images[:-1500], labels[:-1500]),
        clothes.validation,
        clothes.test,
        reference=Split(images[-1500:], labels[-1500:]),
    )


def standardisation_of(task: Task) -> tuple[float, float]:
    """Return the mean and the standard deviation that the pictures of a task are standardised by."""
    return (data.DIGIT_MEAN, data.DIGIT_STD) if task == "digits" else (data.PIXEL_MEAN, data.PIXEL_STD)


def standardised(augment: Augment | None, task: Task) -> Augment | None:
    """Return the augmentation for the standardised pictures of a task; None stays None."""
    return None if augment is None else Standardised(augment, *standardisation_of(task))


def pixels_of(split: Split, task: Task) -> Tensor:
    """Return the pictures of a split as bytes, uint8 [N, 1, 28, 28]."""
    return (data.to_pixels(split.images, *standardisation_of(task)) * 255).round().to(torch.uint8)


def train(
    cell: Cell,
    augments: Sequence[Augment | None],
    seeds: Sequence[int],
    *,
    learning_rate: float,
    batch_size: int,
    part: Literal["train", "reference"] = "train",
) -> list[Child]:
    """Train one net per augmentation and seed, as one grouped model.

    Nets of the same seed have the same first weights and see the same pictures in the same order.
    """
    splits = splits_of(cell.task)
    recipe = ChildRecipe(
        steps=cell.steps, batch_size=batch_size, learning_rate=learning_rate, weight_decay=0.0, batches_at_once=8
    )
    return train_children(
        partial(small_net, cell.width),
        [standardised(augment, cell.task) for augment in augments],
        getattr(splits, part).first(cell.labels),
        splits.validation,
        recipe,
        seeds,
    )
