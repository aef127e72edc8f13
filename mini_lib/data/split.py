"""The form of every set of pictures: standardised splits that share no picture; and the way back to grey values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mini_lib.require import checked, finite, of_type, positive, whole
from mini_lib.tensor_checks import need_tensor

# Mean and standard deviation of the shipped training pixels of clothing, where black is 0 and white is 1.
PIXEL_MEAN = 0.2859
PIXEL_STD = 0.3531


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures and the class of each.

    images: float32 [N, channels, height, width], labels: int64 [N], classes counted from 0.

    Raises:
        TypeError: the images or labels have another dtype.
        ValueError: the split is empty, or the labels do not match the images.

    >>> two = Split(torch.zeros(2, 1, 28, 28), torch.tensor([3, 9]))
    >>> len(two), two.first(1).labels
    (2, tensor([3]))
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        for name, value in (("images", self.images), ("labels", self.labels)):
            need_tensor(f"the {name} of a split", value, floating=False, empty=True, fix="use torch.tensor")
        if self.images.dtype != torch.float32 or self.labels.dtype != torch.int64:
            raise TypeError(
                f"a split needs float32 images and int64 labels, got {self.images.dtype} and {self.labels.dtype}; "
                "convert them with images.float() and labels.long()"
            )
        if self.images.ndim < 2 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                "a split needs images [N, ...] and one label for each, "
                f"got images {list(self.images.shape)} and labels {list(self.labels.shape)}; select both the same way"
            )
        if len(self.labels) == 0:
            raise ValueError("a split needs at least one image, got none; check how the data was selected")
        if self.labels.min() < 0:
            raise ValueError(f"labels count classes from 0, got {int(self.labels.min())}; shift them to start at 0")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Split":
        """Return the first `count` pictures as a split of their own, for a quick trial or for calibration.

        The shipped splits go through the classes in turn, so their first 10, 20, 30 ... pictures are class-balanced.

        Raises:
            TypeError: the count is not a whole number.
            ValueError: there are not that many.
        """
        count = whole("count", count, fix="how many images to take")
        if not 1 <= count <= len(self):
            raise ValueError(f"cannot take the first {count} of {len(self)} images; use a count from 1 to {len(self)}")
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class Splits:
    """Three splits that share no picture: learn from `train`, choose with `validation`, report `test` once.

    Raises:
        TypeError: one of them is not a Split.
    """

    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for field in fields(self):
            checked(self, field.name, of_type, kinds=Split, fix="use Split(images, labels)")


@dataclass(frozen=True, eq=False)
class SplitsWithReference(Splits):
    """Splits with a fourth part, `reference`, for a classifier that judges what augmentation does to the others.

    The classifier that says whether a changed picture still shows its class must not have seen that picture before.
    """

    reference: Split


def to_pixels(
    images: Tensor, mean: float | Sequence[float] = PIXEL_MEAN, std: float | Sequence[float] = PIXEL_STD
) -> Tensor:
    """Undo the standardisation, for showing pictures: black is 0 and white is 1; any shape.

    `mean` and `std` are those that the pictures were standardised with; the defaults are those of `fashion()`. For
    pictures [..., channels, height, width] they may be one per channel.

    Raises:
        TypeError: `images` is not a tensor, or `mean` or `std` is not numbers.
        ValueError: there is neither one mean or deviation for all channels nor one per channel; or a deviation is not
            above 0.

    >>> to_pixels(torch.tensor([-PIXEL_MEAN / PIXEL_STD, (1 - PIXEL_MEAN) / PIXEL_STD])).round(decimals=4)
    tensor([0., 1.])
    """
    # A pixel comes back within a rounding error, which may lie outside [0, 1]: figures dislike that.
    images = need_tensor("images", images, empty=True, fix="pass split.images")
    channels = images.shape[-3] if images.ndim > 2 else 1
    mean, std = _per_channel("mean", mean, channels, finite), _per_channel("std", std, channels, positive)
    return (images * std + mean).clamp(0, 1)


def _per_channel(
    name: str, value: float | Sequence[float], channels: int, check: Callable[..., float]
) -> float | Tensor:
    """One number for all channels, or one per channel as [channels, 1, 1], in the precision of the pictures."""
    fix = "give one number, or one per channel"
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return check(name, value, fix=fix)
    if len(value) not in (1, channels):
        raise ValueError(f"{name} must be one number, or {channels} of them, got {len(value)}; {fix}")
    return torch.tensor([check(name, one, fix=fix) for one in value], dtype=torch.float32).reshape(-1, 1, 1)


def split_of_bytes(
    pixels: np.ndarray, labels: np.ndarray, mean: float | Sequence[float], std: float | Sequence[float]
) -> Split:
    """Return a split of pictures and labels that are stored as bytes, standardised.

    pixels: uint8 [N, height, width] or [N, channels, height, width]; labels: uint8 [N]. `mean` and `std`, where black
    is 0 and white is 1, are one number each, or one per channel.

    Raises:
        TypeError: the arrays are not uint8, or `mean` or `std` is not numbers.
        ValueError: the arrays have other axes, or do not fit each other, or `mean` or `std` do not fit the channels.

    >>> split = split_of_bytes(np.array([[[0, 255]]], dtype=np.uint8), np.array([7], dtype=np.uint8), 0.5, 0.25)
    >>> split.images.tolist(), split.labels
    ([[[[-2.0, 2.0]]]], tensor([7]))
    """
    for name, array, axes in (("pixels", pixels, (3, 4)), ("labels", labels, (1,))):
        of_type(name, array, np.ndarray, fix="pass what is stored, an array of bytes")
        if array.dtype != np.uint8:
            raise TypeError(f"{name} must be of uint8, got {array.dtype}; pass what is stored, an array of bytes")
        if array.ndim not in axes:
            raise ValueError(
                f"{name} must have {' or '.join(map(str, axes))} axes, got shape {list(array.shape)}; pass "
                "pixels [N, height, width] or [N, channels, height, width] and labels [N]"
            )
    # torch takes no array with negative strides
    pixels, labels = np.ascontiguousarray(pixels), np.ascontiguousarray(labels)
    images = torch.from_numpy(pixels).to(torch.float32)
    if images.ndim == 3:
        images = images.unsqueeze(1)
    mean, std = (
        torch.as_tensor(_per_channel(name, value, images.shape[1], check), dtype=torch.float32)
        for name, value, check in (("mean", mean, finite), ("std", std, positive))
    )
    return Split(images.div_(255).sub_(mean).div_(std), torch.from_numpy(labels).to(torch.int64))
