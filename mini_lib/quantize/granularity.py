"""Granularity: which weights share one scale.

Every granularity does one thing: it lays a tensor out as a matrix whose rows share a scale, and puts
the rows back. The arithmetic of a grid is then always "one scale a row", and knows nothing of
channels or groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

from torch import Tensor

from mini_lib.quantize.validate import require_whole_number


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole tensor.

    >>> PerTensor().rows(torch.zeros(4, 3)).shape
    torch.Size([1, 12])
    """

    @property
    def label(self) -> str:
        return "per tensor"

    def rows(self, weight: Tensor) -> Tensor:
        """Lay `weight` out as one row."""
        return weight.reshape(1, -1)

    def unrows(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Put the row back into `shape`."""
        return rows.reshape(shape)

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scale of a tensor of this `shape`: a single number, `()`."""
        return ()


@dataclass(frozen=True)
class PerChannel:
    """One scale for every index along `axis`; axis 0 is the output channel of a torch layer.

    >>> PerChannel(axis=0).rows(torch.zeros(4, 3, 5, 5)).shape
    torch.Size([4, 75])
    >>> PerChannel(axis=-1).scale_shape((4, 3))
    (3,)

    Raises: TypeError if `axis` is not a whole number; ValueError, when it meets a tensor, if the
    tensor has no such axis.

    Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference:
    a whitepaper", section 2.6; Nagel 2021, section 2.4.2.
    """

    axis: int = 0

    def __post_init__(self):
        require_whole_number("axis", self.axis)

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
        """The shape of the scale of a tensor of this `shape`: one number a channel."""
        return (shape[self._axis(shape)],)


@dataclass(frozen=True)
class PerGroup:
    """One scale for every run of `size` weights that feed the same output.

    A linear weight [out, in] is cut along its last axis. In a convolution's weight
    [out, in, height, width] everything behind the first axis feeds the same output channel, so these
    axes are flattened first and the groups are cut from that. A 1-D tensor is one such run.
    The size must divide it: a ragged last group would be cheaper or dearer than the label says.

    >>> PerGroup(32).rows(torch.zeros(4, 64)).shape
    torch.Size([8, 32])
    >>> PerGroup(9).scale_shape((16, 8, 3, 3))            # 8 * 3 * 3 = 72 = 8 groups of 9
    (16, 8)

    Raises: TypeError or ValueError if `size` is not a positive whole number; ValueError, when it
    meets a tensor, if `size` does not divide the axis.

    Source: Dettmers 2022, "8-bit Optimizers via Block-wise Quantization"; Shen 2020, "Q-BERT"
    (group-wise quantization).
    """

    size: int

    def __post_init__(self):
        require_whole_number("group_size", self.size)
        if self.size < 1:
            raise ValueError(f"group_size is {self.size}; use a positive one such as 32 or 128")

    @property
    def label(self) -> str:
        return f"per group of {self.size}"

    def rows(self, weight: Tensor) -> Tensor:
        """Lay `weight` out with one row per group."""
        self.scale_shape(weight.shape)  # refuses a ragged group
        return weight.reshape(-1, self.size)

    def unrows(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Put one row per group back into `shape`."""
        return rows.reshape(shape)

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scale: [outputs, groups], or [groups] for a 1-D tensor."""
        outputs, run = (tuple(shape[:1]), prod(shape[1:])) if len(shape) > 1 else ((), prod(shape))
        if run % self.size:
            axes = (
                f"the last axis ({run})"
                if len(shape) <= 2
                else (f"the flattened input axes ({' x '.join(map(str, shape[1:]))} = {run})")
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


Granularity = PerTensor | PerChannel | PerGroup
