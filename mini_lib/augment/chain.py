"""Augmentations combined: several one after the other, and one on standardised pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.augment.pictures import need_generator, need_pictures, one_or_each, per_channel
from mini_lib.batch import Augment, Batch
from mini_lib.data import PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True, init=False)
class Chain:
    """Several augmentations one after the other, used as one: `Chain(first, second)(batch, generator)`.

    Raises:
        TypeError: one of them cannot be called.
        ValueError: there is none.

    >>> both = Chain(lambda images, _: images + 1, lambda images, _: images * 2)
    >>> both(torch.tensor([3]), torch.Generator())
    tensor([8])
    """

    augments: tuple[Augment, ...]

    def __init__(self, *augments: Augment) -> None:
        for augment in augments:
            _need_augment("each part of a chain", augment)
        if not augments:
            raise ValueError("a chain needs at least one augmentation, got none; for no augmentation use augment=None")
        object.__setattr__(self, "augments", augments)

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch after all augmentations, in order."""
        for augment in self.augments:
            batch = augment(batch, generator)
        return batch


@dataclass(frozen=True)
class Standardised:
    """An augmentation of uint8 pictures, applied to standardised ones: back to bytes, changed, standardised again.

    The pictures are floating point [N, channels, height, width], (byte / 255 - mean) / std, as those of `fashion()`;
    mean and std are one number each, or one per channel. A picture that the augmentation leaves alone comes back bit
    for bit.

    Raises:
        TypeError: `augment` cannot be called, or a mean or std is not a number; and from the call: the pictures are not
            float32 or float64, or the augmentation returned something other than uint8.
        ValueError: a std is not positive; and from the call: with this mean and std the pictures are not bytes, or they
            have another number of channels.

    >>> grey = (torch.full((1, 1, 1, 1), 100.0) / 255 - PIXEL_MEAN) / PIXEL_STD
    >>> dark = Standardised(lambda pixels, _: pixels // 2)(grey, torch.Generator())
    >>> ((dark * PIXEL_STD + PIXEL_MEAN) * 255).round()
    tensor([[[[50.]]]])
    """

    augment: Augment
    mean: float | tuple[float, ...] = PIXEL_MEAN
    std: float | tuple[float, ...] = PIXEL_STD

    def __post_init__(self) -> None:
        _need_augment("augment", self.augment)
        for name, check in (("mean", require.finite), ("std", require.positive)):
            object.__setattr__(self, name, one_or_each(name, getattr(self, name), check))

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch, standardised as it was, with its pictures changed by the augmentation."""
        need_generator(generator)
        images = batch.images if isinstance(batch, Batch) else batch
        pixels = self._to_bytes(images)
        changed = self.augment(Batch(pixels, batch.labels) if isinstance(batch, Batch) else pixels, generator)
        if isinstance(changed, Batch):
            return Batch(self._standardise(changed.images, images.dtype), changed.labels)
        return self._standardise(changed, images.dtype)

    def _to_bytes(self, images: Tensor) -> Tensor:
        need_pictures(images, any_unit=True)
        if images.dtype not in (torch.float32, torch.float64):  # half precision cannot hold a grey level to within 0.01
            raise TypeError(
                f"Standardised takes standardised pictures in float32 or float64, got {images.dtype}; "
                "uint8 pictures go to the augmentation itself"
            )
        mean, std = per_channel(self.mean, self.std, images)
        exact = (images * std + mean) * 255
        pixels = exact.round()
        # A rounding error is below 1e-4 of a grey level; a wrong mean or std leaves most pixels far from whole levels.
        if not (((exact - pixels).abs() < 0.01) & (pixels >= 0) & (pixels <= 255)).all():
            raise ValueError(
                f"these are not bytes standardised with mean {self.mean} and std {self.std}: turned back, their pixels "
                f"go from {exact.min():.2f} to {exact.max():.2f}, expected whole numbers from 0 to 255; give the mean "
                "and std of this data, and mix pictures (Mixup, say) after this or inside it"
            )
        return pixels.to(torch.uint8)

    def _standardise(self, pixels: Tensor, dtype: torch.dtype) -> Tensor:
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8:
            got = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
            raise TypeError(f"an augmentation in Standardised must give uint8 pictures, got {got}; round them in it")
        images = pixels.to(dtype)
        mean, std = per_channel(self.mean, self.std, images)
        return images.div_(255).sub_(mean).div_(std)


def _need_augment(name: str, augment: object) -> None:
    if not callable(augment):
        raise TypeError(f"{name} must be callable as augment(batch, generator), got {augment!r}; use a Policy, say")
