"""Label safety: which operation, at which strength, changes the class of a picture. Turned round, a 6 is a 9.

A classifier that was trained on clean pictures of another split judges each picture before and after. It is only a
measuring instrument: a strange picture may mislead it although a person would still see the same digit. So a safety of
0.95 is good evidence, and a low one is a warning: look at the pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mini_lib.augment.guard import Guard, Limit
from mini_lib.augment.operations import Operation
from mini_lib.augment.operations.operation import need_operation
from mini_lib.augment.pictures import logits_of, need_pictures, one_or_each, per_channel
from mini_lib.batch import Batch
from mini_lib.columns import aligned
from mini_lib.copying import need_module
from mini_lib.data import PIXEL_MEAN, PIXEL_STD
from mini_lib.require import finite, of_type, positive, shown, whole
from mini_lib.require import share as check_share


@dataclass(frozen=True, eq=False)
class LabelSafety:
    """How often pictures were still recognised as their class, per operation, strength and class.

    `strengths` [operations][shares] are in the operation's unit. `counts` int64 [operations, shares, classes, classes]:
    how many pictures of the row's class were recognised as the column's class.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    strengths: tuple[tuple[float, ...], ...]
    units: tuple[str, ...]
    counts: Tensor

    @property
    def kept(self) -> Tensor:
        """The share of pictures that kept their class, [operations, shares, classes]."""
        return self.counts.diagonal(dim1=2, dim2=3) / self.counts.sum(dim=3)

    def limits(self, *, at_least: float = 0.95, per_class: bool = True) -> Mapping[str, Limit | tuple[Limit, ...]]:
        """Return each operation's strength up to which at least this share of pictures kept their class, for `Guard`.

        All weaker strengths that were measured must be as safe: an 8 is an 8 again at 180 degrees, but not at 90. The
        limit is None where even the weakest strength is not safe. Limits are per class, or one for the pictures of all
        classes together.

        Raises:
            TypeError: `at_least` is not a number.
            ValueError: it is outside (0, 1].
        """
        of_type("per_class", per_class, bool, fix="False gives one limit for all classes together")
        at_least = check_share("at_least", at_least, fix="0.95 lets one picture of twenty change")
        kept = self.kept if per_class else _kept_together(self.counts)
        # [operations, classes]: how many strengths, from the weakest on, are safe.
        safe = (kept >= at_least).long().cumprod(dim=1).sum(dim=1)
        limits = {}
        for name, strengths, row in zip(self.names, self.strengths, safe.tolist()):
            each = tuple(strengths[count - 1] if count else None for count in row)
            limits[name] = each if per_class else each[0]
        return limits

    def guard(
        self, *, at_least: float = 0.95, per_class: bool = True, beyond: Literal["cut", "rescale"] = "cut"
    ) -> Guard:
        """Return a guard with the `limits` and their units.

        Raises:
            TypeError: `at_least` is not a number.
            ValueError: it is outside (0, 1], or `beyond` is neither "cut" nor "rescale".
        """
        return Guard(self.limits(at_least=at_least, per_class=per_class), dict(zip(self.names, self.units)), beyond)

    def __str__(self) -> str:
        """A table: for each operation and strength the share kept, and the class that suffers most."""
        lines = [("operation", "strength", "unit", "kept", "worst class", "kept", "taken for")]
        together = _kept_together(self.counts)[..., 0]
        for place, (name, unit) in enumerate(zip(self.names, self.units)):
            for at, strength in enumerate(self.strengths[place]):
                worst = int(self.kept[place, at].argmin())
                others = self.counts[place, at, worst].clone()
                others[worst] = -1
                lines.append(
                    (
                        name,
                        f"{strength:g}",
                        unit,
                        f"{together[place, at]:.0%}",
                        str(worst),
                        f"{self.kept[place, at, worst]:.0%}",
                        str(int(others.argmax())),
                    )
                )
        return aligned(lines, left=(0, 2))


def label_safety(
    reference: nn.Module,
    pictures: Tensor,
    labels: Tensor,
    operations: Sequence[Operation],
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0),
    *,
    mean: float | Sequence[float] = PIXEL_MEAN,
    std: float | Sequence[float] = PIXEL_STD,
    seed: int = 0,
) -> LabelSafety:
    """Return how often `reference` still recognises a changed picture as its class.

    `reference` gives logits [N, classes] for pictures standardised by `mean` and `std`, and was not trained on these
    pictures. pictures: uint8 [N, channels, height, width], labels: int64 [N]. Only pictures that it gets right
    unchanged are counted: of the others it can tell nothing. A signed operation is applied with both signs; one that
    draws a place draws it by `seed`.

    Raises:
        TypeError: the reference is not a module, pictures or labels have another dtype, or something other than an
            operation is among the operations.
        ValueError: the reference cannot take the pictures, pictures and labels do not match, there is no operation, two
            have one name, a share is outside (0, 1] or no larger than the one before, or the reference recognises
            no picture of a class.
    """
    _check(operations)
    shares, seed = _rising(shares), whole("seed", seed, low=0, fix="any whole number will do")
    mean, std = one_or_each("mean", mean, finite), one_or_each("std", std, positive)
    recognised = _recognised(reference, pictures, labels, mean, std)
    images, truth = recognised.images, recognised.labels
    classes = logits_of(reference, _standardised(images[:1], mean, std)).shape[1]
    counts = torch.zeros(len(operations), len(shares), classes, classes, dtype=torch.int64)
    for place, operation in enumerate(operations):
        for at, share in enumerate(shares):
            generator = torch.Generator().manual_seed(seed)
            strength = float(operation.strength(share))
            for signed in (strength, -strength) if operation.signed else (strength,):
                changed = operation(images, signed, generator)
                taken = logits_of(reference, _standardised(changed, mean, std)).argmax(dim=1)
                cells = (truth * classes + taken).bincount(minlength=classes**2)
                counts[place, at] += cells.reshape(classes, classes)
    return LabelSafety(
        names=tuple(operation.name for operation in operations),
        shares=shares,
        strengths=tuple(tuple(float(operation.strength(share)) for share in shares) for operation in operations),
        units=tuple(operation.unit for operation in operations),
        counts=counts,
    )


def _recognised(reference: nn.Module, pictures: Tensor, labels: Tensor, mean: object, std: object) -> Batch:
    """Return the pictures that the reference gets right as they are, with their labels."""
    need_module(reference)
    need_pictures(pictures)
    batch = Batch(pictures, labels)
    if labels.ndim != 1 or not len(labels):
        raise TypeError(f"label safety needs one class per picture, int64 [N], got {list(labels.shape)}; mix nothing")
    logits = logits_of(reference, _standardised(pictures, mean, std))
    right = logits.argmax(dim=1) == labels
    missing = [label for label in range(logits.shape[1]) if not right[labels == label].any()]
    if missing:
        raise ValueError(
            f"the reference recognises no picture of class {missing[0]}; give pictures of every class, "
            "and a reference that was trained on pictures standardised in the same way"
        )
    return Batch(batch.images[right], labels[right])


def _kept_together(counts: Tensor) -> Tensor:
    """Return the share of the pictures of all classes together that kept their class, [operations, shares, 1]."""
    return (counts.diagonal(dim1=2, dim2=3).sum(dim=2) / counts.sum(dim=(2, 3)))[..., None]


def _standardised(pictures: Tensor, mean: float | Sequence[float], std: float | Sequence[float]) -> Tensor:
    images = pictures.float()
    mean, std = per_channel(mean, std, images)
    return (images / 255 - mean) / std


def _check(operations: Sequence[Operation]) -> None:
    of_type("operations", operations, (list, tuple), fix="use [rotate], say")
    for operation in operations:
        need_operation(operation)
    names = [operation.name for operation in operations]
    if len(set(names)) < len(names):
        raise ValueError(f"operations must differ in name, since a guard goes by it, got {names}; measure them apart")
    if not operations:
        raise ValueError("label safety needs at least one operation, got none; give AUTOAUGMENT_OPERATIONS, say")


def _rising(shares: Sequence[float]) -> tuple[float, ...]:
    """The shares as plain numbers, after a check that they rise."""
    of_type("shares", shares, (list, tuple), fix="use [0.5, 1.0], say")
    found = tuple(check_share("each of the shares", one, fix="1 is the strongest of a scale") for one in shares)
    if not found or list(found) != sorted(set(found)):
        raise ValueError(f"shares must rise from the weakest to the strongest, got {shown(list(found))}; sort them")
    return found
