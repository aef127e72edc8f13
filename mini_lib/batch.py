"""One training batch: pictures with their labels, and the function type of an augmentation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures and their labels: one class each, or shares of several classes where pictures were mixed.

    images: [N, channels, height, width]; labels: int64 [N], classes counted from 0, or floating point [N, classes],
    whose rows add up to 1.

    Raises:
        TypeError: the two are not tensors, or the labels have another dtype.
        ValueError: the labels do not match the images, a class is negative, or shares do not add up to 1.

    >>> half_and_half = Batch(torch.zeros(1, 1, 28, 28), torch.tensor([[0.5, 0.0, 0.5]]))
    >>> half_and_half.main_labels, Batch(torch.zeros(2, 1, 28, 28), torch.tensor([3, 9])).main_labels
    (tensor([0]), tensor([3, 9]))
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        for name, value in (("images", self.images), ("labels", self.labels)):
            need_tensor(f"the {name} of a batch", value, floating=False, empty=True, fix="use torch.tensor")
        soft = self.labels.ndim == 2 and self.labels.is_floating_point()
        if not soft and self.labels.dtype != torch.int64:
            raise TypeError(
                f"labels must be int64 [N] or floating point [N, classes], got {self.labels.dtype} "
                f"{list(self.labels.shape)}; convert classes with labels.long()"
            )
        if (
            min(self.images.ndim - 1, self.labels.ndim) < 1
            or len(self.labels) != len(self.images)
            or (not soft and self.labels.ndim != 1)
        ):
            raise ValueError(
                "a batch needs images [N, ...] and one label for each, "
                f"got images {list(self.images.shape)} and labels {list(self.labels.shape)}; select both the same way"
            )

        if len(self.labels) and not soft and self.labels.min() < 0:
            raise ValueError(f"labels count classes from 0, got {int(self.labels.min())}; shift them to start at 0")
        if soft and not ((self.labels >= 0).all() and ((self.labels.sum(dim=1) - 1).abs() < 0.01).all()):
            raise ValueError(
                "labels as shares must be 0 or more and add up to 1 for each picture, got rows that add up to "
                f"{self.labels.sum(dim=1)[:3].tolist()} ...; divide them by their sum"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def main_labels(self) -> Tensor:
        """The class of each picture, int64 [N]; of a mixed picture, the one with the largest share."""
        return self.labels.argmax(dim=1) if self.labels.ndim == 2 else self.labels


def need_batch(augmented: object) -> Batch:
    """Return the result of an augmentation if it is a batch.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(augmented, Batch):
        raise TypeError(f"augment must give a Batch, got {type(augmented).__name__}; use Batch(images, batch.labels)")
    return augmented


# Changes a batch before the model sees it. All randomness comes from the generator.
Augment = Callable[[Batch, torch.Generator], Batch]
