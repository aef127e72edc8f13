"""AugMix: several short chains of operations, mixed with each other and with the original picture.

    mixed = m * picture + (1 - m) * (w1 * chain1 + w2 * chain2 + w3 * chain3)      w ~ Dirichlet, m ~ Beta

A long chain of operations soon leaves nothing of a picture; a mean of short chains stays close to it and is still new.
The paper also asks the model for the same answer to a picture and to two mixtures of it, by a loss between their three
outputs (Jensen-Shannon). `fit` shows the model one version of each picture, so that loss is not here.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.augment.each import StrengthLimit, change_each
from mini_lib.augment.mixing import need_alpha, numpy_generator
from mini_lib.augment.operations import (
    Operation,
    auto_contrast,
    equalize,
    posterize,
    rotate,
    shear_x,
    shear_y,
    solarize,
    translate_x,
    translate_y,
)
from mini_lib.augment.pictures import on_images
from mini_lib.augment.random_policies import some_operations
from mini_lib.batch import Batch

# The paper tests on pictures corrupted in contrast, brightness, color, sharpness (blur) and by noise, and so leaves out
# the operations that are like these corruptions. Two ranges differ: posterize keeps at least 4 bits, and pictures move
# by up to a third of their side.
AUGMIX_OPERATIONS = (
    auto_contrast,
    equalize,
    replace(posterize, weakest=4, strongest=0),
    rotate,
    solarize,
    shear_x,
    shear_y,
    replace(translate_x, strongest=1 / 3),
    replace(translate_y, strongest=1 / 3),
)
TOP_SEVERITY = 10


@dataclass(frozen=True)
class AugMix:
    """Each picture is mixed with the results of `width` chains of 1 to 3 operations (of `depth`, where that is given).

    `severity` from 0.1 to 10 bounds the magnitudes: each operation of each picture draws its share of the scale
    uniformly from 0.01 to severity / 10. `alpha` is the parameter of the Dirichlet and Beta weights. Pictures are uint8
    [N, 1 or 3, height, width], and so is the mixture, rounded.

    Raises:
        TypeError: a number is not one, or something other than an `Operation` is among the operations.
        ValueError: `severity` is outside [0.1, 10], `width` or `depth` is below 1, `alpha` is not positive, or there
            is no operation.

    Source: D. Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", 2020,
    section 3 and algorithm 1.
    """

    severity: float = 3
    width: int = 3
    depth: int | None = None
    alpha: float = 1.0
    operations: tuple[Operation, ...] = AUGMIX_OPERATIONS
    guard: StrengthLimit | None = None

    def __post_init__(self) -> None:
        require.checked(self, "severity", require.positive, fix="the paper uses 3")
        if not 0.1 <= self.severity <= TOP_SEVERITY:
            raise ValueError(f"severity must be a number from 0.1 to {TOP_SEVERITY}, got {self.severity}; try 3")
        require.checked(self, "width", require.whole, low=1, fix="the paper uses 3 chains")
        if self.depth is not None:
            require.checked(self, "depth", require.whole, low=1, fix="None draws 1 to 3 for each chain")
        require.checked(self, "alpha", need_alpha, fix="the paper uses 1")
        object.__setattr__(self, "operations", some_operations(self.operations, self.guard))

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch with each picture mixed with chains of its own."""
        return on_images(batch, generator, lambda images, labels: self._changed(images, labels, generator))

    def _changed(self, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        chance = numpy_generator(generator)
        weights = torch.from_numpy(chance.dirichlet([self.alpha] * self.width, len(images))).float()
        skip = torch.from_numpy(chance.beta(self.alpha, self.alpha, len(images))).float().view(-1, 1, 1, 1)
        mixed = torch.zeros(images.shape)
        for weight in weights.T:
            mixed += weight.view(-1, 1, 1, 1) * self._chain(images, labels, generator)
        return torch.lerp(mixed, images.float(), skip).round().to(torch.uint8)

    def _chain(self, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return the pictures after one chain each; each picture draws the length of its chain."""
        count = len(images)
        depths = torch.randint(1, 4, (count,), generator=generator) if self.depth is None else torch.tensor(self.depth)
        for done in range(self.depth or 3):
            which = torch.randint(len(self.operations), (count,), generator=generator).where(depths > done, -1)
            strongest = self.severity / TOP_SEVERITY
            shares = 0.01 + (strongest - 0.01) * torch.rand(count, generator=generator)
            images = change_each(images, labels, self.operations, which, shares, generator, self.guard)
        return images
