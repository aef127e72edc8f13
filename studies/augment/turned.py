"""A task whose right augmentation is known: training pictures stand upright, validation and test pictures do not.

Those are turned by up to 72 degrees in either direction, and half of them are inverted. So what helps is to turn and to
invert; a search that works must find that, from validation accuracies alone.
"""

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.augment.chain import Standardised
from mini_lib.augment.operations import WIDE_OPERATIONS, invert, rotate, warped_with
from mini_lib.augment.search import SearchSpace
from mini_lib.batch import Batch
from mini_lib.data import Split, Splits

DEGREES = 72.0


def turned_and_inverted(
    splits: Splits,
    *,
    train_pictures: int = 2000,
    validation_pictures: int = 500,
    test_pictures: int = 2000,
    degrees: float = DEGREES,
    seed: int = 0,
) -> Splits:
    """Return the first pictures of each part, those to validate and to test on turned, and half of them inverted.

    Each picture draws its angle evenly from [-degrees, degrees], and whether it is inverted.

    Raises:
        ValueError: there are not that many pictures, or `degrees` is not positive.
    """
    require.positive("degrees", degrees, fix="72 turns by a fifth of a circle at most")
    chance = torch.Generator().manual_seed(seed)
    disturb = Standardised(Disturbance(degrees))
    turned = [
        Split(*_parts(disturb(Batch(part.images, part.labels), chance)))
        for part in (splits.validation.first(validation_pictures), splits.test.first(test_pictures))
    ]
    return Splits(splits.train.first(train_pictures), *turned)


class Disturbance:
    """What the pictures of the task have been through: the oracle, as an augmentation."""

    def __init__(self, degrees: float = DEGREES) -> None:
        self.degrees = degrees

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the pictures, uint8 [N, 1 or 3, height, width], each turned, and half of them inverted."""
        angles = (2 * torch.rand(len(batch), generator=generator) - 1) * self.degrees
        pictures = _smoothly_turned(batch.images, angles.double())
        inverted = torch.rand(len(batch), generator=generator) < 0.5
        return Batch(torch.where(inverted.view(-1, 1, 1, 1), 255 - pictures, pictures), batch.labels)


_smoothly_turned = warped_with(rotate, interpolation="bilinear")


def _parts(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.images, batch.labels


# As wide as TrivialAugment's ranges, and inverting, which is in AutoAugment's space and not in that one.
TURNED_SPACE = SearchSpace(
    operations=(*WIDE_OPERATIONS[1:], invert), probabilities=(0.5, 1.0), magnitudes=(1, 3, 5, 7, 9), steps=2
)
