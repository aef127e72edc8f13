"""Mixup and SamplePairing: each picture becomes a weighted mean of itself and another one of its batch.

Mixup mixes the labels in the same proportion; SamplePairing leaves them alone. Mixed labels are shares, one per class.
Pictures may be uint8 (the mean is rounded) or floating point of any unit, since a mean is the same in each.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib import require
from mini_lib.augment.pictures import need_generator, need_pictures, on_images
from mini_lib.batch import Batch


@dataclass(frozen=True)
class Mixup:
    """Each picture is mixed with another one of the batch, and its labels with the other's in the same proportion.

    `Mixup(alpha, classes)(batch, generator)` returns a `Batch` with labels float32 [N, classes]. Each picture draws its
    share from Beta(alpha, alpha), and a partner (a permutation of the batch). A small alpha leaves most pictures nearly
    as they are; at alpha = 1 every share is equally likely.

    Raises:
        TypeError: a number is not one; and from the call: it gets no `Batch`, which it needs since labels are mixed
            too.
        ValueError: `alpha` is not positive or `classes` below 2; and from the call: a label is `classes` or more.

    >>> pair = Batch(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1]))
    >>> mixed = Mixup(1.0, classes=2)(pair, torch.Generator().manual_seed(0))
    >>> torch.equal(mixed.images.flatten(), mixed.labels[:, 1])    # as much of picture 1 as of its label
    True

    Source: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018, section 2.
    """

    alpha: float
    classes: int

    def __post_init__(self) -> None:
        check_mixer(self)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with each picture and its labels mixed with another."""
        labels = shares_of(batch, self.classes, generator, "Mixup")
        partner = torch.randperm(len(labels), generator=generator)
        weight = draw_beta(self.alpha, len(labels), generator)
        return Batch(
            weighted_mean(batch.images, batch.images[partner], weight),
            torch.lerp(labels[partner], labels, weight[:, None]),
        )


@dataclass(frozen=True)
class SamplePairing:
    """Each picture is mixed with another one of the batch, whose share is `weight`, and keeps its label.

    Raises:
        TypeError: `weight` is not a number; and from the call: `batch` holds no pictures.
        ValueError: `weight` is outside [0, 1]; and from the call: the pictures have another shape.

    >>> pair = torch.tensor([0, 100], dtype=torch.uint8).view(2, 1, 1, 1)
    >>> sorted(SamplePairing(0.3)(pair, torch.Generator().manual_seed(0)).flatten().tolist()) in ([0, 100], [30, 70])
    True

    Source: H. Inoue, "Data Augmentation by Pairing Samples for Images Classification", 2018, section 3.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        require.checked(self, "weight", require.share, zero=True, fix="the paper takes the mean of both, 0.5")

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch with each picture mixed with another."""
        return on_images(batch, generator, lambda images, labels: self._changed(images, generator), any_unit=True)

    def _changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        partner = torch.randperm(len(images), generator=generator)
        return weighted_mean(images, images[partner], torch.full((len(images),), 1 - self.weight))


def weighted_mean(images: Tensor, others: Tensor, weight: Tensor) -> Tensor:
    """Return `weight[i]` of picture i and the rest of the other picture i, rounded where pictures are uint8.

    >>> weighted_mean(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), torch.tensor([0.25])).item()
    0.75
    """
    if images.dtype == torch.uint8:
        return weighted_mean(images.float(), others.float(), weight).round().to(torch.uint8)
    return torch.lerp(others, images, weight.to(images.dtype)[:, None, None, None])


def draw_beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` draws from Beta(alpha, alpha), float32. Torch's own draws use only the global random state."""
    return torch.from_numpy(numpy_generator(generator).beta(alpha, alpha, count)).float()


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Return a NumPy generator seeded by a draw from torch's: it has the distributions that torch cannot seed."""
    return np.random.default_rng(torch.randint(2**63 - 1, (), generator=generator).item())


def shares_of(batch: Batch, classes: int, generator: torch.Generator, mixer: str) -> Tensor:
    """Return the labels of a batch as shares, float32 [N, classes], after checking all that a mixer needs.

    Labels that are already shares, of pictures mixed before, stay as they are: mixing twice mixes their shares.

    Raises:
        TypeError: it is not a `Batch`, or a picture or the generator is of another type.
        ValueError: a label is `classes` or more, mixed labels have another number of classes, or the shape of the
            pictures is not [N, 1 or 3, height, width].

    >>> shares_of(Batch(torch.zeros(1, 1, 2, 2), torch.tensor([2])), 3, torch.Generator(), "Mixup")
    tensor([[0., 0., 1.]])
    """
    if not isinstance(batch, Batch):
        raise TypeError(
            f"{mixer} mixes labels as it mixes pictures, so it needs a Batch, got {type(batch).__name__}; "
            "use Batch(images, labels)"
        )
    need_generator(generator)
    need_pictures(batch.images, any_unit=True)
    if batch.labels.ndim == 2:
        if batch.labels.shape[1] != classes:
            raise ValueError(
                f"{mixer} was made for {classes} classes, got labels that are shares of {batch.labels.shape[1]}; "
                "give both the same number of classes"
            )
        return batch.labels.float()
    highest = int(batch.labels.max()) if len(batch) else 0
    if highest >= classes:
        raise ValueError(f"{mixer} was made for labels from 0 to {classes - 1}, got {highest}; give it more classes")
    return F.one_hot(batch.labels, classes).float()


def need_alpha(name: str, alpha: object, *, fix: str) -> float:
    """Return alpha, if it is above 0 and a share can be drawn for it: up to 10^9, where all shares are halves.

    Raises:
        TypeError: it is not a number.
        ValueError: it is 0 or less, or above 10^9.
    """
    number = require.positive(name, alpha, fix=fix)
    if number > 1e9:
        raise ValueError(f"{name} must be a number of 1e9 or less, got {require.shown(number)}; {fix}")
    return number


def check_mixer(mixer: object) -> None:
    """Refuse settings of a mixer that are out of range, and keep them as plain numbers.

    Raises:
        TypeError: one of them is not a number.
        ValueError: `alpha` is not positive, or `classes` below 2.
    """
    require.checked(mixer, "alpha", need_alpha, fix="0.2 is common for Mixup, 1 for CutMix")
    require.checked(mixer, "classes", require.whole, low=2, fix="give the number of classes of the data")
