"""Where a convolution reads: the sides of its kernel, its steps, and the border of zeros around the image."""

from __future__ import annotations

from dataclasses import dataclass

from mini_lib.require import shown, whole


@dataclass(frozen=True)
class Places:
    """Where a convolution reads: sides as (height, width).

    border: zeros (above, below), (left, right) of the image.

    Raises:
        TypeError: a side is not a whole number, or not one of a pair.
        ValueError: a side is below 1, or a border below 0.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    border: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            object.__setattr__(self, name, _pair(name, getattr(self, name), low=1))
        if not isinstance(self.border, tuple) or len(self.border) != 2:
            raise TypeError(f"border must be a pair of pairs, got {shown(self.border)}; use ((1, 1), (1, 1))")
        border = (_pair(f"border[{place}]", sides, low=0) for place, sides in enumerate(self.border))
        object.__setattr__(self, "border", tuple(border))

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides of the output for an image of these sides.

        >>> Places((3, 3), stride=(2, 2), border=((1, 1), (1, 1))).output(28, 28)
        (14, 14)
        """
        height = whole("height", height, low=0, fix="give sides in pixels")
        width = whole("width", width, low=0, fix="give sides in pixels")
        sides = zip((height, width), self.kernel, self.stride, self.dilation, self.border)
        return tuple((n + sum(b) - d * (k - 1) - 1) // s + 1 for n, k, s, d, b in sides)


def _pair(name: str, sides: object, *, low: int) -> tuple[int, ...]:
    """Two sides in pixels."""
    if not isinstance(sides, tuple) or len(sides) != 2:
        raise TypeError(f"{name} must be a pair (height, width), got {shown(sides)}; use (3, 3)")
    return tuple(whole(name, side, low=low, high=4096, fix="give sides in pixels") for side in sides)
