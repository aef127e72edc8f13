"""The grid of each weight, fixed before any weight is rounded: the values that it can take.

Rounding to nearest asks once which value is nearest. Second-order rounding asks again when other weights have been
rounded and this one has moved; so the scales are chosen first, from the original weight, and then kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.quantize.affine import nearest_codes, values_of
from mini_lib.quantize.formats import BinaryFormat, FloatFormat, Format, IntFormat, Observer, TernaryFormat
from mini_lib.quantize.qtensor import QTensor, quantize

MOST_LEVELS = 256  # a table of all values of all weights must fit into memory


class Grid(ABC):
    """The values that each weight can take, in ascending places; `at` picks columns, the last axis of the weights."""

    @abstractmethod
    def nearest(self, weights: Tensor, at: slice | int = slice(None)) -> Tensor:
        """Return the place (int32) of the value nearest to each weight of the columns `at`."""

    @abstractmethod
    def neighbours(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places next below and next above each weight; beyond an end of the grid, both are that end."""

    @abstractmethod
    def values(self, places: Tensor, at: slice | int = slice(None)) -> Tensor:
        """Return the values at these places, float64."""

    @abstractmethod
    def codes(self, places: Tensor) -> Tensor:
        """Return the format's codes (int32) for the values at these places."""


@dataclass(frozen=True, eq=False)
class _Uniform(Grid):
    """scale * (place - zero_point), with a scale and a zero point for each weight; a place is the code itself."""

    scale: Tensor
    zero_point: Tensor
    qmin: int
    qmax: int

    def nearest(self, weights: Tensor, at: slice | int = slice(None)) -> Tensor:
        # in float32, like `quantize`: where nothing has moved, the codes are the same, even at ties
        return nearest_codes(weights.float(), self.scale[..., at], self.zero_point[..., at], self.qmin, self.qmax)

    def neighbours(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        below = (weights / self.scale.double()).floor() + self.zero_point
        low, high = (place.clamp(self.qmin, self.qmax).to(torch.int32) for place in (below, below + 1))
        return low, high

    def values(self, places: Tensor, at: slice | int = slice(None)) -> Tensor:
        return values_of(places, self.scale[..., at], self.zero_point[..., at]).double()

    def codes(self, places: Tensor) -> Tensor:
        return places


@dataclass(frozen=True, eq=False)
class _Table(Grid):
    """Any values: `levels`, ascending along the last axis, for each weight; and the codes that stand for them."""

    levels: Tensor
    level_codes: Tensor

    def nearest(self, weights: Tensor, at: slice | int = slice(None)) -> Tensor:
        return (self.levels[..., at, :] - weights[..., None]).abs().argmin(dim=-1).to(torch.int32)

    def neighbours(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        above = torch.searchsorted(self.levels, weights[..., None].contiguous(), right=True)[..., 0]
        last = self.levels.isfinite().sum(dim=-1) - 1
        low, high = (place.clamp(min=0).minimum(last).to(torch.int32) for place in (above - 1, above))
        return low, high

    def values(self, places: Tensor, at: slice | int = slice(None)) -> Tensor:
        return self.levels[..., at, :].gather(-1, places.long()[..., None])[..., 0]

    def codes(self, places: Tensor) -> Tensor:
        return self.level_codes.gather(-1, places.long()[..., None])[..., 0]


def fixed_grid(
    weight: Tensor, fmt: Format, observer: Observer, lay: Callable[[Tensor], Tensor]
) -> tuple[QTensor, Grid]:
    """Return `weight` rounded to nearest, and the grid on which its values lie; `lay` changes the layout of the grid.

    Raises:
        TypeError: as `quantize`.
        ValueError: as `quantize`; or the format has too many values for a table, or none but a float type's.

    >>> from mini_lib.quantize.observers import min_max
    >>> q, grid = fixed_grid(torch.tensor([[3.0, -1.2]]), IntFormat(3), min_max, torch.flatten)
    >>> grid.values(grid.nearest(torch.tensor([0.6, 9.0]))).tolist()
    [1.0, 3.0]
    """
    rounded = quantize(weight, fmt, observer)
    if isinstance(fmt, IntFormat):
        zero_point = torch.zeros_like(rounded.scale, dtype=torch.int32) if fmt.symmetric else rounded.zero_point
        scale, zero_point = (
            fmt.granularity.unrows(each.reshape(-1, 1).expand(-1, weight.numel() // each.numel()), rounded.shape)
            for each in (rounded.scale.float(), zero_point)
        )
        return rounded, _Uniform(lay(scale), lay(zero_point), fmt.qmin, fmt.qmax)
    numbers = _code_numbers(fmt)
    levels = torch.stack([lay(_all_of_code(rounded, number)) for number in numbers], dim=-1)
    # a code may stand for NaN or infinity, which no weight has
    levels, order = levels.where(levels.isfinite(), torch.inf).sort(dim=-1, stable=True)
    return rounded, _Table(levels, torch.tensor(numbers, dtype=torch.int32)[order])


def _all_of_code(rounded: QTensor, number: int) -> Tensor:
    """The value of the weight if it had this code everywhere, float64."""
    codes = torch.full_like(rounded.codes, number)
    return rounded.fmt.decode(rounded.fields | {"codes": codes}, rounded.shape).double()


def _code_numbers(fmt: Format) -> list[int]:
    if isinstance(fmt, TernaryFormat | BinaryFormat):
        return [-1, 0, 1] if isinstance(fmt, TernaryFormat) else [-1, 1]
    if isinstance(fmt, FloatFormat) or fmt.bits != int(fmt.bits) or 2**fmt.bits > MOST_LEVELS:
        raise ValueError(
            f"{fmt.label} has no table of at most {MOST_LEVELS} values to choose from; use an integer grid, or another "
            "format of 8 bits or fewer"
        )
    return [*range(fmt.qmin, fmt.qmin + 2 ** int(fmt.bits))]
