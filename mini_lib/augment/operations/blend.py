"""Operations that blend a picture with a poorer version of itself, or move it away from that: contrast and the like."""

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation


def _brightened(images: Tensor, strengths: Tensor) -> Tensor:
    return _blended(torch.zeros((), dtype=torch.uint8), images, strengths)


def _contrasted(images: Tensor, strengths: Tensor) -> Tensor:
    total = _grey(images).sum(dim=(1, 2, 3), keepdim=True)
    pixels = images.shape[2] * images.shape[3]
    return _blended((2 * total + pixels) // (2 * pixels), images, strengths)


def _colored(images: Tensor, strengths: Tensor) -> Tensor:
    return _blended(_grey(images), images, strengths)


def _sharpened(images: Tensor, strengths: Tensor) -> Tensor:
    return _blended(_smoothed(images), images, strengths)


def _blended(poorer: Tensor, images: Tensor, strengths: Tensor) -> Tensor:
    """Return poorer + (1 + strength) (images - poorer), computed in single precision and cut to whole numbers."""
    factor = (1 + strengths).float().view(-1, 1, 1, 1)
    poorer = poorer.float()
    return (poorer + factor * (images.float() - poorer)).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Return the luminance of ITU-R 601 as PIL rounds it, [N, 1, height, width]."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.int().split(1, dim=1)
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


def _smoothed(images: Tensor) -> Tensor:
    """Return the mean of 3 x 3 pixels in which the middle counts 5 times; the border stays as it is."""
    smooth = images.int()
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return smooth
    rows = smooth[:, :, :-2] + smooth[:, :, 1:-1] + smooth[:, :, 2:]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = smooth[:, :, 1:-1, 1:-1]
    smooth = smooth.clone()
    smooth[:, :, 1:-1, 1:-1] = (box + 4 * inner + 6) // 13
    return smooth


_FACTOR = "of the factor"
brightness = Operation("brightness", _brightened, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
contrast = Operation("contrast", _contrasted, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
color = Operation("color", _colored, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
sharpness = Operation("sharpness", _sharpened, 0.0, 0.9, _FACTOR, signed=True, limits=(-1, 9))
