"""Operations that move pixels: each pixel of the result is fetched from a place in the picture, its source."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation
from mini_lib.require import one_of, whole


@dataclass(frozen=True)
class Warp:
    """Fetch each pixel (x, y) of the result from the source (a x + b y + c, d x + e y + f) of its picture.

    `source(strengths, height, width)` returns a to f, float64 [N, 6]; (0, 0) is the upper left corner of the upper left
    pixel. What lies outside the picture is filled with the grey value `fill`.

    Raises:
        ValueError: the interpolation is unknown, or `fill` is no grey value.
    """

    source: Callable[[Tensor, int, int], Tensor]
    interpolation: str = "nearest"
    fill: int = 0

    def __post_init__(self) -> None:
        one_of("interpolation", self.interpolation, ("nearest", "bilinear"), fix="published policies use 'nearest'")
        whole("fill", self.fill, low=0, high=255, fix="0 is black")

    def __call__(self, images: Tensor, strengths: Tensor) -> Tensor:
        """Return the pictures, warped."""
        matrix = self.source(strengths, images.shape[2], images.shape[3])
        return (_nearest if self.interpolation == "nearest" else _bilinear)(images, matrix, self.fill)


def warped_with(operation: Operation, *, interpolation: str = "nearest", fill: int = 0) -> Operation:
    """Return an operation that moves pixels with another interpolation, or filled with another grey.

    Raises:
        TypeError: the operation does not move pixels.
        ValueError: the interpolation is unknown, or `fill` is no grey value.
    """
    if not isinstance(operation.pixels, Warp):
        raise TypeError(f"{operation.name} does not move pixels, so nothing is interpolated; use rotate or the like")
    return replace(operation, pixels=replace(operation.pixels, interpolation=interpolation, fill=fill))


def _nearest(images: Tensor, matrix: Tensor, fill: int) -> Tensor:
    """Fetch each pixel whole, by whole-number arithmetic in units of 1/65536 of a pixel, as PIL does."""
    count, channels, height, width = images.shape
    a, b, c, d, e, f = matrix.T
    x_start, y_start = _fixed(c + 0.5 * (a + b)), _fixed(f + 0.5 * (d + e))
    x, y = torch.arange(width, dtype=torch.int32), torch.arange(height, dtype=torch.int32).view(-1, 1)
    x_source = (x_start + _fixed(a) * x + _fixed(b) * y) >> 16
    y_source = (y_start + _fixed(d) * x + _fixed(e) * y) >> 16
    inside = (x_source >= 0) & (x_source < width) & (y_source >= 0) & (y_source < height)
    index = torch.where(inside, y_source * width + x_source, 0).long()
    fetched = images.flatten(2).gather(2, index.view(count, 1, -1).expand(-1, channels, -1)).view(images.shape)
    return torch.where(inside.unsqueeze(1), fetched, fill)


def _fixed(values: Tensor) -> Tensor:
    return (values * 65536 + 0.5).floor().to(torch.int32).view(-1, 1, 1)


def _bilinear(images: Tensor, matrix: Tensor, fill: int) -> Tensor:
    """Mix the four pixels whose centres surround the source, as PIL does."""
    count, channels, height, width = images.shape
    a, b, c, d, e, f = (row.view(-1, 1, 1) for row in matrix.T)
    x, y = torch.arange(width) + 0.5, torch.arange(height).view(-1, 1) + 0.5
    x_source, y_source = a * x + b * y + c, d * x + e * y + f
    inside = (x_source >= 0) & (x_source < width) & (y_source >= 0) & (y_source < height)
    x_source, y_source = x_source - 0.5, y_source - 0.5
    left, top = x_source.floor(), y_source.floor()
    x_share, y_share = (x_source - left).float().unsqueeze(1), (y_source - top).float().unsqueeze(1)

    def corner(right: int, below: int) -> Tensor:
        index = (top + below).clamp(0, height - 1) * width + (left + right).clamp(0, width - 1)
        index = index.long().view(count, 1, -1).expand(-1, channels, -1)
        return images.flatten(2).gather(2, index).view(images.shape).float()

    upper = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * x_share
    lower = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * x_share
    mixed = upper + (lower - upper) * y_share
    return torch.where(inside.unsqueeze(1), mixed.to(torch.uint8), fill)


def _flipped(images: Tensor, strengths: Tensor) -> Tensor:
    return images.flip(3)


def _matrix(strengths: Tensor, *entries: Tensor | float) -> Tensor:
    return torch.stack([torch.as_tensor(entry, dtype=torch.float64).expand(len(strengths)) for entry in entries], dim=1)


def _shear_x(strengths: Tensor, height: int, width: int) -> Tensor:
    return _matrix(strengths, 1, strengths, 0, 0, 1, 0)


def _shear_y(strengths: Tensor, height: int, width: int) -> Tensor:
    return _matrix(strengths, 1, 0, 0, strengths, 1, 0)


def _translate_x(strengths: Tensor, height: int, width: int) -> Tensor:
    return _matrix(strengths, 1, 0, -_whole_pixels(strengths * width), 0, 1, 0)


def _translate_y(strengths: Tensor, height: int, width: int) -> Tensor:
    return _matrix(strengths, 1, 0, 0, 0, 1, -_whole_pixels(strengths * height))


def _translate_x_pixels(strengths: Tensor, height: int, width: int) -> Tensor:
    return _matrix(strengths, 1, 0, -_whole_pixels(strengths), 0, 1, 0)


def _translate_y_pixels(strengths: Tensor, height: int, width: int) -> Tensor:
    return _matrix(strengths, 1, 0, 0, 0, 1, -_whole_pixels(strengths))


def _whole_pixels(pixels: Tensor) -> Tensor:
    """Cut towards 0, as the published policies do; the 1e-4 makes up for shares rounded to single precision."""
    return pixels.sign() * (pixels.abs() + 1e-4).floor()


def _rotation(strengths: Tensor, height: int, width: int) -> Tensor:
    """Turn counterclockwise about the centre: the source lies clockwise of the pixel that it goes to."""
    angle = -strengths * (pi / 180)
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    return _matrix(strengths, cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)


flip = Operation("flip", _flipped)
shear_x = Operation("shear_x", Warp(_shear_x), 0.0, 0.3, "of the height", signed=True, limits=(-2, 2))
shear_y = Operation("shear_y", Warp(_shear_y), 0.0, 0.3, "of the width", signed=True, limits=(-2, 2))
translate_x = Operation("translate_x", Warp(_translate_x), 0.0, 150 / 331, "of the width", signed=True, limits=(-1, 1))
translate_y = Operation("translate_y", Warp(_translate_y), 0.0, 150 / 331, "of the height", signed=True, limits=(-1, 1))
rotate = Operation("rotate", Warp(_rotation), 0.0, 30.0, "degrees", signed=True, limits=(-360, 360))
wide_translate_x = replace(
    translate_x, pixels=Warp(_translate_x_pixels), strongest=32.0, unit="pixels", limits=(-8192, 8192)
)
wide_translate_y = replace(
    translate_y, pixels=Warp(_translate_y_pixels), strongest=32.0, unit="pixels", limits=(-8192, 8192)
)
