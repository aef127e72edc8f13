"""A guard for a policy: no operation is applied more strongly than its limit, per class where the class is known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign, inf
from typing import Literal

import torch
from torch import Tensor

from mini_lib.augment.operations import Operation
from mini_lib.augment.operations.operation import need_numbers, need_operation
from mini_lib.require import finite, of_type, one_of, shown

# The largest strength that is allowed, in the operation's own unit; None where the operation is never allowed.
Limit = float | None


@dataclass(frozen=True)
class Guard:
    """The largest strength of each operation, by its name: one `Limit` for all classes, or one per class.

    Strengths are in the operation's unit (degrees, pixels, bits ...), so a limit holds for every range of magnitudes.
    `units` names these units; an operation that counts in another unit is refused. A limit on an operation without a
    strength says only whether it may be applied: any number allows it, None does not. `LabelSafety.guard` makes a guard
    from measurements.

    A strength beyond the limit becomes the limit ("cut"). Where strengths are drawn from a range, that puts many
    pictures at the limit; "rescale" shrinks the whole range so that it ends there.

    Raises:
        TypeError: a limit is not a number, or `limits` or `units` is not a dict.
        ValueError: a limit is not finite, operations have limits for different numbers of classes, or `beyond` is
            neither "cut" nor "rescale".

    >>> from mini_lib.augment.operations import rotate
    >>> guard = Guard({"rotate": (180, 30, None)})                 # digit 0 in any way, 1 a little, 2 not at all
    >>> strengths, allowed = guard.limited(rotate, torch.tensor([-90.0, -90.0, 10.0]), torch.tensor([0, 1, 2]))
    >>> strengths.tolist()[:2], allowed.tolist()
    ([-90.0, -30.0], [True, True, False])
    """

    limits: Mapping[str, Limit | Sequence[Limit]] = field(hash=False)  # equal guards still have equal hashes
    units: Mapping[str, str] = field(default_factory=dict, hash=False)
    beyond: Literal["cut", "rescale"] = "cut"

    def __post_init__(self) -> None:
        for name in ("limits", "units"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(
                    f"{name} must be a dict by operation, got {getattr(self, name)!r}; use {{'rotate': ...}}"
                )
        limits = {
            name: tuple(limit) if isinstance(limit, Sequence) and not isinstance(limit, str) else limit
            for name, limit in self.limits.items()
        }
        object.__setattr__(self, "limits", _checked(limits))
        object.__setattr__(self, "units", dict(self.units))
        one_of("beyond", self.beyond, ("cut", "rescale"), fix="'cut' changes the fewest strengths")

    def limited(self, operation: Operation, strengths: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return strengths [N] within the limits, and whether each picture may be changed by the operation, bool [N].

        Strengths are in the operation's unit; a sign stays. `labels` are classes [N] or, where pictures were mixed,
        shares of classes [N, classes]: the strictest class that has a share decides. None means that the classes are
        not known: then the strictest class of all decides.

        Raises:
            TypeError: the operation is not an `Operation`, or strengths or labels are not a tensor of numbers.
            ValueError: the guard has no limit for the operation, or none for one of the labels; or there is not one
                label for each strength.
        """
        need_operation(operation)
        self.check([operation])
        need_strengths(strengths, labels)
        reach = self._reach(operation, labels, len(strengths))
        # Strengths are counted from the harmless end of the scale; the scale of posterize runs down, from 8 bits.
        strong = strengths.double()
        start, way = (0.0, strong.sign()) if operation.signed else (operation.weakest, _way(operation))
        far = (strong - start) * way
        if self.beyond == "rescale" and operation.strongest != start:
            far = far * (reach / abs(operation.strongest - start)).clamp(0, 1)
            far = far.trunc() if operation.whole else far
        allowed = reach > -inf
        limited = (start + far.minimum(reach) * way).clamp(*operation.limits)
        return torch.where(allowed, limited, strengths).to(strengths.dtype), allowed

    def check(self, operations: Iterable[Operation]) -> None:
        """Make sure that each of these operations has a limit; one that changes nothing needs no limit.

        Raises:
            TypeError: something other than an operation is among them.
            ValueError: a limit is missing, or is in another unit than the operation's strengths.
        """
        if not isinstance(operations, Iterable):
            raise TypeError(f"operations must be a list, got {shown(operations)}; use [rotate], say")
        for operation in operations:
            need_operation(operation)
            name, unit = operation.name, self.units.get(operation.name, operation.unit)
            if name not in self.limits and name != "identity":
                raise ValueError(
                    f"the guard has no limit for {name!r}, only for {', '.join(self.limits) or 'nothing'}; "
                    "measure it with label_safety, or leave the operation out"
                )
            if unit != operation.unit:
                raise ValueError(
                    f"the guard limits {name} in {unit!r}, but this one counts in {operation.unit!r}; measure this one"
                )

    def _reach(self, operation: Operation, labels: Tensor | None, count: int) -> Tensor:
        """Return how far from `weakest` the operation may go, for each picture: -inf where it is not allowed, [N].

        It is below 0 where even the weakest strength is beyond the limit.
        """
        limit = self.limits.get(operation.name, inf)
        each = [_reach(operation, one) for one in (limit if isinstance(limit, tuple) else [limit])]
        reach = torch.tensor(each, dtype=torch.float64)
        reach = reach.floor() if operation.whole else reach  # rounding would turn half a bit more into a whole one
        if len(each) == 1 or labels is None:
            return reach.min().expand(count)
        if labels.ndim == 2 and labels.shape[1] == len(each):
            return torch.where(labels > 0, reach, inf).amin(dim=1)
        low, high = labels.aminmax() if labels.ndim == 1 and count else (0, labels.shape[-1] - 1)
        if labels.ndim == 1 and (count == 0 or 0 <= low <= high < len(each)):
            return reach[labels]
        raise ValueError(
            f"the guard has limits for classes 0 to {len(each) - 1}, got labels from {int(low)} to {int(high)}; "
            "measure them for all classes"
        )


def need_strengths(strengths: object, labels: object) -> None:
    """Refuse anything but strengths [N] with a label for each of them, or with None for the labels.

    Raises:
        TypeError: one of them is not a tensor of numbers.
        ValueError: they do not match.
    """
    given = {"strengths": strengths} | ({} if labels is None else {"labels": labels})
    for name, values in given.items():
        need_numbers(name, of_type(name, values, Tensor, fix="use torch.tensor(...)"))
    if strengths.ndim != 1 or (labels is not None and (labels.ndim not in (1, 2) or len(labels) != len(strengths))):
        raise ValueError(
            f"strengths must be [N], and labels [N] or [N, classes], got {list(strengths.shape)} and "
            f"{None if labels is None else list(labels.shape)}; give one for each picture"
        )
    if labels is not None and labels.ndim == 1 and labels.is_floating_point():
        raise TypeError(f"labels [N] must be whole numbers, got {labels.dtype}; use labels.long()")


def _reach(operation: Operation, limit: Limit) -> float:
    if limit is None:
        return -inf
    if operation.signed:
        return abs(limit)
    return 0 if operation.weakest == operation.strongest else (limit - operation.weakest) * _way(operation)


def _way(operation: Operation) -> float:
    """Return 1 where a larger strength does more, -1 where it does less."""
    return copysign(1, operation.strongest - operation.weakest)


def _checked(limits: Mapping[str, Limit | tuple[Limit, ...]]) -> dict[str, Limit | tuple[Limit, ...]]:
    """The limits as plain numbers."""

    def number(name: str, limit: Limit) -> Limit:
        return None if limit is None else finite(f"the limit of {name}", limit, fix="None never applies the operation")

    classes = {name: len(limit) for name, limit in limits.items() if isinstance(limit, tuple)}
    found = {
        name: tuple(number(name, one) for one in limit) if isinstance(limit, tuple) else number(name, limit)
        for name, limit in limits.items()
    }
    if len(set(classes.values())) > 1 or 0 in classes.values():
        raise ValueError(f"every operation needs equally many limits per class, got {classes}; give one for each class")
    return found
