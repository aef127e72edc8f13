"""Labels for channels, and which labels stand or fall together.

Every output channel of every layer gets a number, its label. Where two channels meet, as in the sum of a residual
block, their labels are joined: neither can be removed without the other. Where something needs a channel that no layer
can lose, as the model's output does, its label is fixed, and so is every label joined to it.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Labels:
    """A growing set of labels 0, 1, 2, ..., split into classes that stand or fall together (a union-find).

    >>> labels = Labels()
    >>> left, right = labels.new(2), labels.new(2)
    >>> labels.join(left, right)
    >>> labels.classes(right)
    [0, 1]
    >>> labels.fix(right[1:], "the output")
    >>> [labels.reason(one) for one in labels.classes(left)]
    [None, 'the output']
    """

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._reasons: dict[int, str] = {}

    def new(self, count: int, reason: str | None = None) -> Tensor:
        """Return `count` new labels, each a class of its own; with a reason they are fixed."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        labels = torch.arange(start, start + count)
        if reason is not None:
            self.fix(labels, reason)
        return labels

    def join(self, left: Tensor, right: Tensor) -> None:
        """Put each label of `left` and the one at the same place of `right` into one class."""
        size = len(self._parent)
        for pair in torch.unique(left * size + right).tolist():  # each pair once, not once per pixel
            self._join(*divmod(pair, size))

    def fix(self, labels: Tensor, reason: str) -> None:
        """Note that the classes of `labels` must stay, and why. A class already fixed keeps its first reason."""
        for label in torch.unique(labels).tolist():
            self._reasons.setdefault(self._root(label), reason)

    def classes(self, labels: Tensor) -> list[int]:
        """Return the class of each label, named after its smallest label."""
        return [self._root(label) for label in labels.tolist()]

    def reason(self, label: int) -> str | None:
        """Return why the class of this label must stay, or None where it may go."""
        return self._reasons.get(self._root(label))

    def copy(self) -> Labels:
        """Return labels of the same classes, which can be joined further."""
        result = Labels()
        result._parent, result._reasons = [*self._parent], {**self._reasons}
        return result

    def _root(self, label: int) -> int:
        while self._parent[label] != label:
            self._parent[label] = self._parent[self._parent[label]]  # halve the way for the next one
            label = self._parent[label]
        return label

    def _join(self, left: int, right: int) -> None:
        first, second = sorted((self._root(left), self._root(right)))
        self._parent[second] = first
        if second in self._reasons:
            self._reasons.setdefault(first, self._reasons.pop(second))


def vary(labels: Tensor, axis: int) -> bool:
    """Return whether the labels of a value differ along this axis.

    >>> vary(torch.tensor([[1, 1], [2, 2]]), 0), vary(torch.tensor([[1, 1], [2, 2]]), 1)
    (True, False)
    """
    return labels.shape[axis] > 0 and bool((labels != labels.narrow(axis, 0, 1)).any())


def along(labels: Tensor, axis: int) -> Tensor | None:
    """Return the labels along one axis, or None where they differ along another axis too.

    >>> along(torch.tensor([[1, 1], [2, 2]]), 0)
    tensor([1, 2])
    """
    if any(vary(labels, other) for other in range(labels.dim()) if other != axis % labels.dim()):
        return None
    return labels.movedim(axis, 0).flatten(1)[:, 0] if labels.dim() > 1 else labels


def sequence(labels: Tensor) -> Tensor:
    """Return the labels in their order, without the axes along which they do not differ.

    >>> sequence(torch.tensor([[1, 1], [2, 2]]))
    tensor([1, 2])
    """
    for axis in range(labels.dim()):
        labels = labels if vary(labels, axis) else labels.narrow(axis, 0, min(1, labels.shape[axis]))
    return labels.flatten()


def spread(channels: Tensor, axis: int, shape: torch.Size) -> Tensor:
    """Return the labels of a value of this shape whose channels lie along `axis`.

    >>> spread(torch.tensor([1, 2]), 1, torch.Size([1, 2, 3]))
    tensor([[[1, 1, 1],
             [2, 2, 2]]])
    """
    view = [1] * len(shape)
    view[axis] = -1
    return channels.reshape(view).expand(shape)
