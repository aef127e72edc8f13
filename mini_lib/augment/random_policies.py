"""Policies without a search: operations drawn at random, with one strength (RandAugment) or any (TrivialAugment)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.augment.each import StrengthLimit, change_each, need_guard
from mini_lib.augment.operations import RANDAUGMENT_OPERATIONS, WIDE_OPERATIONS, Operation
from mini_lib.augment.operations.operation import need_operation
from mini_lib.augment.pictures import on_images
from mini_lib.augment.policy import need_magnitude
from mini_lib.batch import Batch

TOP_LEVEL = 30  # their magnitudes are 0 to 30


@dataclass(frozen=True)
class RandAugment:
    """Each picture goes through `count` operations, each drawn from all, at one magnitude from 0 to 30.

    The point of the paper: two numbers to tune instead of a search.

    Raises:
        TypeError: a number is not one, or something other than an `Operation` is among the operations.
        ValueError: `count` is below 1, the magnitude outside [0, 30], or there is no operation.

    Source: E. Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020,
    section 3.
    """

    count: int = 2
    magnitude: float = 9
    operations: tuple[Operation, ...] = RANDAUGMENT_OPERATIONS
    guard: StrengthLimit | None = None

    def __post_init__(self) -> None:
        require.checked(self, "count", require.whole, low=1, fix="the paper uses 1 to 3")
        require.checked(self, "magnitude", need_magnitude, top=TOP_LEVEL)
        object.__setattr__(self, "operations", some_operations(self.operations, self.guard))

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch with each picture changed by the operations that it drew."""
        return on_images(batch, generator, lambda images, labels: self._changed(images, labels, generator))

    def _changed(self, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        shares = torch.full((len(images),), self.magnitude / TOP_LEVEL)
        for _ in range(self.count):
            which = torch.randint(len(self.operations), (len(images),), generator=generator)
            images = change_each(images, labels, self.operations, which, shares, generator, self.guard)
        return images


@dataclass(frozen=True)
class TrivialAugment:
    """Each picture goes through one operation, drawn from all, at a magnitude drawn from 0 to 30: nothing to tune.

    Raises:
        TypeError: something other than an `Operation` is among the operations.
        ValueError: there is no operation.

    Source: S. Müller, F. Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021, section 3.
    """

    operations: tuple[Operation, ...] = WIDE_OPERATIONS
    guard: StrengthLimit | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", some_operations(self.operations, self.guard))

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch with each picture changed by the operation that it drew."""
        return on_images(batch, generator, lambda images, labels: self._changed(images, labels, generator))

    def _changed(self, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        which = torch.randint(len(self.operations), (len(images),), generator=generator)
        levels = torch.randint(TOP_LEVEL + 1, (len(images),), generator=generator)
        return change_each(images, labels, self.operations, which, levels / TOP_LEVEL, generator, self.guard)


def some_operations(operations: Sequence[Operation], guard: StrengthLimit | None) -> tuple[Operation, ...]:
    """Return the operations that a policy draws from as a tuple, after a check that the guard knows them all.

    Raises:
        TypeError: one of them is not an `Operation`, or `guard` is not a guard.
        ValueError: there is none, or the guard has no limit for one.
    """
    if not isinstance(operations, Sequence):
        raise TypeError(
            f"operations must be a list of operations, got {type(operations).__name__}; use (rotate, invert)"
        )
    for operation in operations:
        need_operation(operation)
    if not operations:
        raise ValueError("operations must hold at least one operation, got none; leave it out for the published list")
    need_guard(guard, operations)
    return tuple(operations)
