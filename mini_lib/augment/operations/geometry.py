"""Operations that move pixels: each pixel of the result is fetched from a place in the picture, its source."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation, need_operation, need_strength_of_each
from mini_lib.kernels import mirrored, warp_nearest
from mini_lib.require import callable_, checked, one_of, whole

# A number that is the same for all pictures, or one per picture, float64 [N].
Entry = float | Tensor


@dataclass(frozen=True)
class Warp:
    """Fetch each pixel (x, y) of the result from the source (a x + b y + c, d x + e y + f) of its picture.

    `source(strengths, height, width)` returns a to f; (0, 0) is the upper left corner of the upper left pixel. Pixels
    from outside the picture get the grey value `fill`.

    Raises:
        TypeError: `source` cannot be called, or `fill` is not a whole number.
        ValueError: the interpolation is unknown, or `fill` is not a grey value.
    """

    source: Callable[[Tensor, int, int], tuple[Entry, Entry, Entry, Entry, Entry, Entry]]
    interpolation: str = "nearest"
    fill: int = 0

    def __post_init__(self) -> None:
        callable_("source", self.source, fix="pass a function (strengths, height, width) -> (a, b, c, d, e, f)")
        one_of("interpolation", self.interpolation, ("nearest", "bilinear"), fix="published policies use 'nearest'")
        checked(self, "fill", whole, low=0, high=255, fix="0 is black")

    def __call__(self, images: Tensor, strengths: Tensor) -> Tensor:
        """Return the pictures, warped.

        Raises:
            TypeError: the pictures are not uint8, or the strengths are not floats.
            ValueError: the pictures have another shape, or there is not one strength for each.
        """
        need_strength_of_each(images, strengths)
        entries = self.source(strengths, images.shape[2], images.shape[3])
        each = [one if isinstance(one, Tensor) else torch.full_like(strengths, one) for one in entries]
        matrix = torch.stack(each)
        return (warp_nearest if self.interpolation == "nearest" else _bilinear)(images, matrix, self.fill)


def warped_with(operation: Operation, *, interpolation: str = "nearest", fill: int = 0) -> Operation:
    """Return an operation that moves pixels, with another interpolation or another grey to fill with.

    Raises:
        TypeError: it is not an operation that moves pixels by a `Warp`, or `fill` is not a whole number.
        ValueError: the interpolation is unknown, or `fill` is not a grey value.

    >>> black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    >>> warped_with(translate_x, fill=128)(black_and_white, 0.5).flatten()
    tensor([128,   0], dtype=torch.uint8)
    """
    need_operation(operation)
    if not isinstance(operation.pixels, Warp):
        raise TypeError(f"{operation.name} interpolates nothing; use an operation with a Warp, such as rotate")
    return replace(operation, pixels=replace(operation.pixels, interpolation=interpolation, fill=fill))


def _bilinear(images: Tensor, matrix: Tensor, fill: int) -> Tensor:
    """Mix the four pixels whose centres surround the source, as PIL does; the edge pixels continue beyond the edge."""
    count, channels, height, width = images.shape
    a, b, c, d, e, f = matrix.view(6, count, 1, 1)
    x = torch.arange(width, dtype=torch.float64) + 0.5
    y = torch.arange(height, dtype=torch.float64).view(-1, 1) + 0.5
    x_source, y_source = a * x + b * y + c, d * x + e * y + f
    inside = (x_source >= 0) & (x_source < width) & (y_source >= 0) & (y_source < height)
    left, top = (x_source - 0.5).floor(), (y_source - 0.5).floor()
    x_share = (x_source - 0.5 - left).float().unsqueeze(1)
    y_share = (y_source - 0.5 - top).float().unsqueeze(1)

    def corner(right: int, below: int) -> Tensor:
        index = (top + below).clamp(0, height - 1) * width + (left + right).clamp(0, width - 1)
        index = index.long().view(count, 1, height * width).expand(-1, channels, -1)
        return images.flatten(2).gather(2, index).view(images.shape).float()

    upper_left, lower_left = corner(0, 0), corner(0, 1)
    upper = upper_left + (corner(1, 0) - upper_left) * x_share
    lower = lower_left + (corner(1, 1) - lower_left) * x_share
    mixed = (upper + (lower - upper) * y_share).to(torch.int16)
    return torch.where(inside.unsqueeze(1), mixed, fill).to(torch.uint8)


def _flipped(images: Tensor, strengths: Tensor) -> Tensor:
    return mirrored(images)


def _shear_x(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    return 1, strengths, 0, 0, 1, 0


def _shear_y(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    return 1, 0, 0, strengths, 1, 0


def _translation_x(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    return _translation_x_in_pixels(strengths * width, height, width)


def _translation_y(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    return _translation_y_in_pixels(strengths * height, height, width)


def _translation_x_in_pixels(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    return 1, 0, -_whole_pixels(strengths), 0, 1, 0


def _translation_y_in_pixels(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    return 1, 0, 0, 0, 1, -_whole_pixels(strengths)


def _whole_pixels(pixels: Tensor) -> Tensor:
    """Cut towards 0, as the published policies do; the factor makes up for strengths in single precision."""
    return (pixels * (1 + 2**-22)).trunc()


def _rotation(strengths: Tensor, height: int, width: int) -> tuple[Entry, ...]:
    """Turn counterclockwise about the centre: a pixel comes from where the clockwise turn takes it."""
    angle = strengths * (pi / 180)
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


flip = Operation("flip", _flipped)
shear_x = Operation("shear_x", Warp(_shear_x), 0.0, 0.3, "of the height", signed=True, limits=(-2, 2))
shear_y = Operation("shear_y", Warp(_shear_y), 0.0, 0.3, "of the width", signed=True, limits=(-2, 2))
translate_x = Operation(
    "translate_x", Warp(_translation_x), 0.0, 150 / 331, "of the width", signed=True, limits=(-1, 1)
)
translate_y = Operation(
    "translate_y", Warp(_translation_y), 0.0, 150 / 331, "of the height", signed=True, limits=(-1, 1)
)
rotate = Operation("rotate", Warp(_rotation), 0.0, 30.0, "degrees", signed=True, limits=(-360, 360))

_in_pixels = {"strongest": 32.0, "unit": "pixels", "limits": (-8192, 8192)}
wide_translate_x = replace(translate_x, pixels=Warp(_translation_x_in_pixels), **_in_pixels)
wide_translate_y = replace(translate_y, pixels=Warp(_translation_y_in_pixels), **_in_pixels)
