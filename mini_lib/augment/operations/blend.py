"""Operations that move a picture towards or away from a poorer version of itself: contrast and the like.

(Paul Haeberli and Douglas Voorhies, "Image Processing by Interpolation and Extrapolation", 1994.)
"""

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation


def _brightened(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend with black."""
    return _pixels(images.float().mul_(_factor(strengths)))


def _contrasted(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend with the mean grey of the picture."""
    values = images.float()
    pixels = images.shape[2] * images.shape[3]
    exact = torch.float32 if 255 * pixels < 2**24 else torch.float64  # these are still sums of whole numbers
    mean = _grey(values).sum(dim=(1, 2, 3), keepdim=True, dtype=exact).double().div_(pixels)
    return _blended(mean.add_(0.5).floor_().float(), values, strengths)


def _colored(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend with the grey of each pixel."""
    if images.shape[1] == 1:
        return images.clone()
    values = images.float()
    return _blended(_grey(values), values, strengths)


def _sharpened(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend with the smoothed picture."""
    if min(images.shape[2:]) < 3:
        return images.clone()
    values = images.float()
    return _blended(_smoothed(values), values, strengths)


def _blended(poorer: Tensor, values: Tensor, strengths: Tensor) -> Tensor:
    """Return poorer + (1 + strength) (values - poorer), rounded to single precision twice, as PIL does.

    The result overwrites `values`, which must be nobody else's tensor: a new one would cost as much as the arithmetic.
    """
    return _pixels(values.sub_(poorer).mul_(_factor(strengths)).add_(poorer))


def _factor(strengths: Tensor) -> Tensor:
    return (1 + strengths).float().view(-1, 1, 1, 1)


def _pixels(values: Tensor) -> Tensor:
    """Return floats as pixels, cut to whole numbers. Through int16 is four times as fast as directly."""
    return values.to(torch.int16).clamp_(0, 255).to(torch.uint8)


def _grey(values: Tensor) -> Tensor:
    """Return the luminance of ITU-R 601 as PIL rounds it; each term is a whole number below 2**24, so it is exact."""
    if values.shape[1] == 1:
        return values
    red, green, blue = values.split(1, dim=1)
    grey = (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471).add_(32768)
    return grey.mul_(1 / 65536).to(torch.int16).float()


def _smoothed(values: Tensor) -> Tensor:
    """Return the mean of 3 x 3 pixels with a weight of 5 for the middle one; the border stays as it is.

    All pictures form one row of pixels here, in which the neighbour below is `width` away. Only at the border, which is
    restored, are neighbours in the row not neighbours in the picture. Sums are whole numbers, so adding 0.5 before the
    division by 13 keeps the value to be cut at least 1/26 away from a whole number, and PIL's single precision gives
    the same.
    """
    width = values.shape[3]
    row = values.flatten()
    three = row[:-2] + row[1:-1]
    three += row[2:]
    nine = three[: -2 * width] + three[width:-width]
    nine += three[2 * width :]
    middle = slice(width + 1, len(row) - width - 1)
    nine.add_(row[middle], alpha=4).add_(6.5).mul_(1 / 13)
    smooth = torch.empty_like(row)
    smooth[middle] = nine.to(torch.int16)
    smooth = smooth.view(values.shape)
    for side in ((..., 0, slice(None)), (..., -1, slice(None)), (..., 0), (..., -1)):
        smooth[side] = values[side]
    return smooth


_FACTOR = "of the factor"
brightness = Operation("brightness", _brightened, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
contrast = Operation("contrast", _contrasted, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
color = Operation("color", _colored, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
sharpness = Operation("sharpness", _sharpened, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
