"""Cutout: a square of each picture, at a random place, is covered with grey."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation, need_strength_of_each
from mini_lib.augment.pictures import need_generator
from mini_lib.require import checked, whole


@dataclass(frozen=True)
class Cover:
    """Cover a square whose side is a share of the shorter side of the picture; its centre is drawn from all pixels.

    Near the edge a part of the square is outside, so that less is covered (Terrance DeVries and Graham W. Taylor,
    "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, section 3.2).

    Raises:
        TypeError: `fill` is not a whole number.
        ValueError: `fill` is not a grey value.
    """

    fill: int = 128

    def __post_init__(self) -> None:
        checked(self, "fill", whole, low=0, high=255, fix="128 is grey")

    def __call__(self, images: Tensor, strengths: Tensor, generator: torch.Generator) -> Tensor:
        """Return the pictures, each with its square covered.

        Raises:
            TypeError: the pictures are not uint8, the strengths are not floats, or there is no generator to draw from.
            ValueError: the pictures have another shape, or there is not one strength for each.
        """
        need_strength_of_each(images, strengths)
        need_generator(generator)
        count, _, height, width = images.shape
        side = (strengths * min(height, width) + 1e-4).long().unsqueeze(1)
        rows = _covered(side, height, torch.randint(height, (count, 1), generator=generator))
        columns = _covered(side, width, torch.randint(width, (count, 1), generator=generator))
        covered = (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)
        return images * (1 - covered) + covered * self.fill


def _covered(side: Tensor, length: int, centre: Tensor) -> Tensor:
    """Return 1 for each place along a side of the picture that the square covers and 0 elsewhere, uint8 [N, length]."""
    first = centre - side // 2
    place = torch.arange(length)
    return ((place >= first) & (place < first + side)).to(torch.uint8)


# 60 of the 331 pixels of the pictures that AutoAugment was published with, as for translate_x and translate_y.
cutout = Operation("cutout", Cover(), 0.0, 60 / 331, "of the side", draws=True, limits=(0, 1))
