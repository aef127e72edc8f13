"""A task whose right augmentation is known: training pictures are upright, validation and test pictures are not.

Validation and test pictures are turned by up to 72 degrees in either direction, and half of them are inverted. So
turning and inverting help, and a search that works must find that from validation accuracies alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from mini_lib import require
from mini_lib.augment.chain import Standardised
from mini_lib.augment.operations import WIDE_OPERATIONS, invert, rotate, warped_with
from mini_lib.augment.search import (
    ByChildren,
    ChildRecipe,
    ForwardSelection,
    Judged,
    SearchOutcome,
    SearchSpace,
    child_cnn,
    run_search,
    train_children,
)
from mini_lib.batch import Augment, Batch
from mini_lib.data import Split, Splits
from mini_lib.fit import Spread, accuracy

# The helpful operations are among many that do not help. The ranges are TrivialAugment's: a rotation is up to 135
# degrees.
_WIDE = {operation.name: operation for operation in WIDE_OPERATIONS}
_OPERATIONS = ("rotate", "shear_x", "translate_x", "brightness", "contrast", "sharpness", "solarize")
TURNED_SPACE = SearchSpace(
    operations=(*(_WIDE[name] for name in _OPERATIONS), invert),
    probabilities=(0.5, 1.0),
    magnitudes=(1.5, 3, 4.5, 6, 7.5, 9),
    steps=3,
)
# At twice the rate, 40 steps separate the policies of this task as well as 80 do; other tasks may need more.
TURNED_RECIPE = ChildRecipe(steps=40, learning_rate=0.02, batches_at_once=8)
FINAL_RECIPE = ChildRecipe(steps=160, batches_at_once=8)


@dataclass(frozen=True)
class Disturbance:
    """The change of this task's pictures, as an augmentation of bytes: the oracle.

    Each picture draws its angle uniformly from [-degrees, degrees], and whether it is inverted.

    Raises:
        TypeError, ValueError: `degrees` is not a finite number above 0.
    """

    degrees: float = 72.0

    def __post_init__(self) -> None:
        require.checked(self, "degrees", require.positive, fix="72 turns by a fifth of a circle at most")

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch, its pictures uint8 [N, 1 or 3, height, width] turned, and half of them inverted."""
        angles = (2 * torch.rand(len(batch), generator=generator) - 1) * self.degrees
        pictures = _turn_smoothly(batch.images, angles)
        inverted = torch.rand(len(batch), generator=generator) < 0.5
        return Batch(torch.where(inverted.view(-1, 1, 1, 1), 255 - pictures, pictures), batch.labels)


_turn_smoothly = warped_with(rotate, interpolation="bilinear")


def turned_and_inverted(
    splits: Splits,
    *,
    train_pictures: int = 2000,
    validation_pictures: int = 1000,
    test_pictures: int = 2000,
    degrees: float = 72.0,
    seed: int = 0,
) -> Splits:
    """Return the first pictures of each part; those to validate and to test on are turned, and half of them inverted.

    Pictures are standardised, as those of `fashion()`.

    Raises:
        TypeError, ValueError: there are not that many pictures, or `degrees` is not a finite number above 0.
    """
    chance, disturb = torch.Generator().manual_seed(seed), Standardised(Disturbance(degrees))

    def disturbed(part: Split) -> Split:
        batch = disturb(Batch(part.images, part.labels), chance)
        return Split(batch.images, batch.labels)

    return Splits(
        splits.train.first(train_pictures),
        disturbed(splits.validation.first(validation_pictures)),
        disturbed(splits.test.first(test_pictures)),
    )


def search_turned(
    task: Splits,
    *,
    space: SearchSpace = TURNED_SPACE,
    recipe: ChildRecipe = TURNED_RECIPE,
    trials: int = 160,
    seed: int = 0,
    progress: Callable[[Judged], None] | None = None,
) -> SearchOutcome:
    """Return the result of forward selection on the task in at most that many trials; it sees no test picture."""
    judge = ByChildren(child_cnn, task.train, task.validation, recipe, seeds=(seed,))
    return run_search(ForwardSelection(space, seed=seed), judge, trials=trials, together=16, progress=progress)


def final_accuracies(
    task: Splits,
    augments: Mapping[str, Augment | None],
    *,
    recipe: ChildRecipe = FINAL_RECIPE,
    seeds: Sequence[int] = (100, 101, 102),
) -> dict[str, Spread]:
    """Return the test accuracy of nets that are trained with each augmentation of bytes, or without any (None).

    The seeds differ from those of a search, so that no policy profits from the luck by which it was chosen.
    """
    wrapped = [None if augment is None else Standardised(augment) for augment in augments.values() for _ in seeds]
    children = train_children(child_cnn, wrapped, task.train, task.validation, recipe, [*seeds] * len(augments))
    each = len(seeds)
    return {
        name: Spread(tuple(accuracy(child.model, task.test) for child in children[each * i : each * (i + 1)]))
        for i, name in enumerate(augments)
    }
