"""Granularity: which weights share one scale.

Every granularity does one thing: it lays a tensor out as a matrix in which each row shares one scale, and puts the rows
back. The arithmetic of a grid is then always "one scale per row", and does not have to know about channels or groups.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import isqrt, prod

from torch import Tensor

from mini_lib import require


class Granularity(ABC):
    """Which weights share one scale: each derived dataclass is one way of cutting a tensor into rows."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in tables."""

    @abstractmethod
    def rows(self, weight: Tensor) -> Tensor:
        """Lay `weight` out as a matrix with one row per scale."""

    def unrows(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Put the rows back into `shape`; the inverse of `rows`."""
        return rows.reshape(shape)

    @abstractmethod
    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the scales of a tensor of this `shape`, as they are stored."""


@dataclass(frozen=True)
class PerTensor(Granularity):
    """One scale for the whole tensor.

    >>> import torch
    >>> PerTensor().rows(torch.zeros(4, 3)).shape
    torch.Size([1, 12])
    """

    @property
    def label(self) -> str:
        return "per tensor"

    def rows(self, weight: Tensor) -> Tensor:
        """Lay `weight` out as one row."""
        return weight.reshape(1, -1)

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `()`: the scale is a single number."""
        return ()


@dataclass(frozen=True)
class PerChannel(Granularity):
    """One scale for every index along `axis`; axis 0 is the output channel of a torch layer.

    >>> import torch
    >>> PerChannel(axis=0).rows(torch.zeros(4, 3, 5, 5)).shape
    torch.Size([4, 75])
    >>> PerChannel(axis=-1).scale_shape((4, 3))
    (3,)

    Raises:
        TypeError: `axis` is not a whole number.
        ValueError: once it is applied to a tensor, the tensor has no such axis.

    Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference: a whitepaper", section
    2.6; Nagel 2021, section 2.4.2.
    """

    axis: int = 0

    def __post_init__(self):
        require.checked(self, "axis", require.whole, fix="0 is the output channel")

    @property
    def label(self) -> str:
        return "per channel" if self.axis == 0 else f"per channel of axis {self.axis}"

    def _axis(self, shape: tuple[int, ...]) -> int:
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(
                f"axis {self.axis} is out of range for a tensor of shape {tuple(shape)}; "
                + (f"use {-len(shape)} to {len(shape) - 1}" if shape else "use PerTensor()")
            )
        return self.axis % len(shape)

    def rows(self, weight: Tensor) -> Tensor:
        """Lay `weight` out with one row per channel."""
        axis = self._axis(weight.shape)
        return weight.movedim(axis, 0).reshape(weight.shape[axis], -1)

    def unrows(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Put one row per channel back into `shape`."""
        axis = self._axis(shape)
        others = [size for at, size in enumerate(shape) if at != axis]
        return rows.reshape(shape[axis], *others).movedim(0, axis).contiguous()

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(channels,)`: one scale per channel."""
        return (shape[self._axis(shape)],)


@dataclass(frozen=True)
class PerGroup(Granularity):
    """One scale for every run of `size` weights that feed the same output.

    A linear weight [out, in] is cut along its last axis. In a convolution's weight [out, in, height, width] all axes
    after the first feed the same output channel, so these axes are flattened before the groups are cut. A 1-D tensor is
    one such run. The size must divide the run: a shorter last group would not cost what the label says.

    >>> import torch
    >>> PerGroup(32).rows(torch.zeros(4, 64)).shape
    torch.Size([8, 32])
    >>> PerGroup(9).scale_shape((16, 8, 3, 3))            # 8 * 3 * 3 = 72 = 8 groups of 9
    (16, 8)

    Raises:
        TypeError: `size` is not a whole number.
        ValueError: `size` is below 1, or, once it is applied to a tensor, does not divide the axis.

    Source: Dettmers 2022, "8-bit Optimizers via Block-wise Quantization"; Shen 2020, "Q-BERT" (group-wise
    quantization).
    """

    size: int

    def __post_init__(self):
        size = require.whole("group_size", self.size, low=1, fix="use one such as 32 or 128")
        object.__setattr__(self, "size", size)

    @property
    def label(self) -> str:
        return f"per group of {self.size}"

    def rows(self, weight: Tensor) -> Tensor:
        """Lay `weight` out with one row per group."""
        self.scale_shape(weight.shape)  # refuses a ragged group
        return weight.reshape(-1, self.size)

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(outputs, groups)`, or `(groups,)` for a 1-D tensor."""
        outputs, run = (tuple(shape[:1]), prod(shape[1:])) if len(shape) > 1 else ((), prod(shape))
        if run % self.size:
            axes = (
                f"the last axis ({run})"
                if len(shape) <= 2
                else f"the flattened input axes ({' x '.join(map(str, shape[1:]))} = {run})"
            )
            raise ValueError(f"group_size {self.size} does not divide {axes}; {_divisors(run, self.size)}")
        return (*outputs, run // self.size)


def _divisors(run: int, size: int) -> str:
    """Name the divisors of `run` that are nearest to `size`, powers of two first."""
    small = [d for d in range(1, isqrt(run) + 1) if run % d == 0]
    every = sorted({*small, *(run // d for d in small)})
    powers = [d for d in every if d & (d - 1) == 0]
    below = max(d for d in every if d <= size)
    choices = [d for d in powers if d > 4 and size / 2 < d < size * 2] or [below]
    return "use a divisor such as " + " or ".join(map(str, sorted(choices)))


PER_TENSOR, PER_CHANNEL = PerTensor(), PerChannel(0)  # the default of the formats
