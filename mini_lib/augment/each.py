"""Each picture gets an operation of its own, and yet each operation runs only once: the basis of all policies.

The pictures are sorted by the operation that they drew, so that those with the same operation are changed together,
each with its own strength; then the original order is restored. A batch takes as many calls as there are operations,
however large it is.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mini_lib.augment.operations import Operation
from mini_lib.augment.operations.operation import need_operation
from mini_lib.augment.pictures import need_generator, need_pictures
from mini_lib.require import of_type, shown
from mini_lib.tensor_checks import need_tensor


@runtime_checkable
class StrengthLimit(Protocol):
    """The interface of a policy's `guard`, which has the last word on how strongly a picture is changed."""

    def check(self, operations: Sequence[Operation]) -> None:
        """Refuse operations that it does not know; called once, when the policy is made."""

    def limited(self, operation: Operation, strengths: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the strengths [n] that are safe, and which of the n pictures may be changed at all, bool [n].

        strengths: in the operation's unit, with their sign; labels: those of the n pictures, int64 [n] or floating
        point [n, classes], or None where only pictures were given.
        """


def need_guard(guard: object, operations: Sequence[Operation]) -> None:
    """Refuse anything but None or a guard that knows all of these operations.

    Raises:
        TypeError: it is neither.
        ValueError: the guard has no limit for one of them.
    """
    if guard is None:
        return
    if not isinstance(guard, StrengthLimit):
        raise TypeError(f"guard must be a Guard, got {guard!r}; use Guard({{'rotate': 30}}), say")
    guard.check(operations)


def change_each(
    images: Tensor,
    labels: Tensor | None,
    operations: Sequence[Operation],
    which: Tensor,
    shares: Tensor,
    generator: torch.Generator,
    guard: StrengthLimit | None = None,
) -> Tensor:
    """Return the pictures, number i changed by `operations[which[i]]` at `shares[i]` of its scale.

    images: uint8 [N, channels, height, width]; labels: as in `Batch`, or None; which: int64 [N], -1 leaves a picture
    alone; shares: floating point [N] in [0, 1]. A signed operation goes in the opposite direction in half of the
    pictures.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is not one place and one share for each picture, or a place or a share is out of range.

    >>> from mini_lib.augment.operations import invert
    >>> pictures = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1, 1)
    >>> chance = torch.Generator().manual_seed(0)
    >>> change_each(pictures, None, [invert], torch.tensor([0, -1, 0]), torch.zeros(3), chance).flatten()
    tensor([245,  20, 225], dtype=torch.uint8)
    """
    need_pictures(images)
    need_generator(generator)
    for name, values, floating in (("which", which, False), ("shares", shares, True)):
        need_tensor(name, values, dims=1, floating=floating, empty=True, fix="give one for each picture")
        if len(values) != len(images):
            raise ValueError(f"{name} must be one for each of {len(images)} pictures, got {len(values)}; draw as many")
    for operation in of_type("operations", operations, (list, tuple), fix="use [rotate], say"):
        need_operation(operation)
    if which.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"which must be whole numbers, got {which.dtype}; use which.long()")
    if len(which) and not -1 <= int(which.min()) <= int(which.max()) < len(operations):
        raise ValueError(f"which must lie from -1 to {len(operations) - 1}, got {which.tolist()[:3]} ...; draw again")
    if len(shares) and not 0 <= float(shares.min()) <= float(shares.max()) <= 1:
        raise ValueError(f"shares must lie in [0, 1], got {shares.tolist()[:3]} ...; 1 is the end of a scale")
    if guard is not None and not isinstance(guard, StrengthLimit):
        raise TypeError(f"guard must be a Guard, got {shown(guard)}; use Guard({{'rotate': 30}}), say")
    # In single precision, as in torchvision: in a blend, the last bit can decide between two grey levels.
    scales = torch.tensor([(one.weakest, one.strongest - one.weakest, 2 * one.signed) for one in operations]).float()
    weakest, length, signs = scales.index_select(0, which.clamp(min=0)).unbind(dim=1)
    signs = 1 - signs * torch.randint(2, (len(images),), generator=generator)
    strengths = ((weakest + length * shares.float()) * signs).double()
    order = which.argsort(stable=True)
    sizes = (which + 1).bincount(minlength=len(operations) + 1).tolist()  # those that come first are left alone
    # index_select copies whole rows, images[order] bytes.
    changed = list(images.index_select(0, order).split_with_sizes(sizes))
    strong = strengths.index_select(0, order).split_with_sizes(sizes)
    for number, operation in enumerate(operations, start=1):
        if sizes[number] == 0:
            continue
        each = strong[number].round() if operation.whole else strong[number]
        if guard is None:
            changed[number] = operation.unchecked(changed[number], each.double(), generator)
        else:
            rows = order[sum(sizes[:number]) :][: sizes[number]]
            each, allowed = guard.limited(operation, each, None if labels is None else labels[rows])
            changed[number][allowed] = operation(changed[number][allowed], each[allowed], generator)
    return torch.cat(changed).index_select(0, order.argsort())
