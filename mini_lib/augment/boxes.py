"""Cutout and CutMix: a box of each picture is blanked, or filled from another picture.

Both put the centre of the box anywhere in the picture and clip the part beyond the border: near a border a box covers
fewer pixels than its size says. CutMix must therefore count the pixels that were really pasted, for its labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.augment.mixing import check_mixer, draw_beta, shares_of
from mini_lib.augment.pictures import on_images
from mini_lib.batch import Batch


def boxes(images: Tensor, heights: Tensor, widths: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mask, bool [N, 1, height, width], with one box per picture, each around a centre of its own draw.

    heights, widths: int64 [N], in pixels, before the box is clipped at the border.

    >>> boxes(torch.zeros(1, 1, 2, 2), torch.tensor([4]), torch.tensor([0]), torch.Generator()).any()
    tensor(False)
    """
    inside = []
    for size, sides in zip(images.shape[2:], (heights, widths)):
        first = torch.randint(size, (len(images),), generator=generator) - sides // 2
        places = torch.arange(size)
        inside.append((places >= first[:, None]) & (places < (first + sides)[:, None]))
    rows, columns = inside
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)


@dataclass(frozen=True)
class Cutout:
    """A square of `size` x `size` pixels of each picture is filled with `fill`; its centre is anywhere in the picture.

    Pictures are uint8 or floating point: `fill` is in their unit. Its default 0 is black in uint8 pictures; in
    standardised ones it is the mean of the training pixels, as in the paper.

    Raises:
        TypeError: `size` is not a whole number or `fill` not a number; and from the call: `batch` holds no pictures.
        ValueError: `size` is below 1; and from the call: the pictures cannot hold `fill`, or have another shape.

    >>> pictures = torch.full((1, 1, 5, 5), 9, dtype=torch.uint8)
    >>> Cutout(9)(pictures, torch.Generator().manual_seed(0)).max()       # it covers the picture, wherever its centre
    tensor(0, dtype=torch.uint8)

    Source: T. DeVries, G. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017,
    section 3.
    """

    size: int
    fill: float = 0

    def __post_init__(self) -> None:
        require.checked(self, "size", require.whole, low=1, fix="give the side of the square in pixels")
        require.checked(self, "fill", require.finite, fix="0 is black in uint8 pictures")

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch with a square cut out of each picture."""
        return on_images(batch, generator, lambda images, labels: self._changed(images, generator), any_unit=True)

    def _changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if images.dtype == torch.uint8 and self.fill not in range(256):
            raise ValueError(f"uint8 pictures hold whole numbers from 0 to 255, got fill {self.fill}; use one of those")
        sides = torch.full((len(images),), self.size)
        return images.masked_fill(boxes(images, sides, sides, generator), self.fill)


@dataclass(frozen=True)
class CutMix:
    """Each picture gets a box of another one, and its labels get the same share of the other's labels.

    `CutMix(alpha, classes)(batch, generator)` returns a `Batch` with labels float32 [N, classes]. Each picture draws a
    share from Beta(alpha, alpha), a partner (a permutation of the batch) and a centre. The box has the picture's
    proportions and that share of its area, and is clipped at the border: the labels follow the pixels that were really
    pasted.

    Raises:
        TypeError: a number is not one; and from the call: it gets no `Batch`, which it needs since labels are mixed
            too.
        ValueError: `alpha` is not positive or `classes` below 2; and from the call: a label is `classes` or more.

    Source: S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    2019, section 3.
    """

    alpha: float
    classes: int

    def __post_init__(self) -> None:
        check_mixer(self)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with a box of another picture in each of its pictures."""
        labels = shares_of(batch, self.classes, generator, "CutMix")
        images = batch.images
        side = draw_beta(self.alpha, len(images), generator).sqrt()
        partner = torch.randperm(len(images), generator=generator)
        height, width = images.shape[2:]
        pasted = boxes(images, (height * side).long(), (width * side).long(), generator)
        share = pasted.flatten(1).float().mean(dim=1, keepdim=True)
        return Batch(images[partner].where(pasted, images), (1 - share) * labels + share * labels[partner])
