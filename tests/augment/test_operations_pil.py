"""Every operation at every published strength, pixel by pixel, compared with PIL.

Equality is exact but in one place.

Blends (brightness, contrast, color, sharpness). PIL computes poorer + factor * (picture - poorer) in single precision
and cuts. So do we, in the same order: equal on x86-64. A compiler for ARM may fuse the product and the sum, which
rounds once instead of twice: where the exact result is a whole number, PIL may then cut to the one below. One level,
and nowhere more.

Nearest warps need no tolerance: PIL adds up places in whole multiples of 1/65536 of a pixel, and so do we.
"""

import platform

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from mini_lib.augment.operations import (
    AUTOAUGMENT_OPERATIONS,
    RANDAUGMENT_OPERATIONS,
    WIDE_OPERATIONS,
    Operation,
    cutout,
    flip,
    solarize_add,
)

SIZES = [(28, 28), (32, 32), (27, 31), (33, 28), (2, 5), (1, 1)]
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "color": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}
FUSED = platform.machine().lower() not in ("x86_64", "amd64")


def pictures(count: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return noise of all levels, noise of few, gradients and one-coloured pictures in turns."""
    random = np.random.default_rng(seed)
    kinds = [
        random.integers(0, 256, (count, channels, height, width)),
        random.integers(90, 97, (count, channels, height, width)),
        np.linspace(0, random.integers(1, 256, (count, channels, 1)), height * width, axis=2).reshape(
            count, channels, height, width
        ),
        np.broadcast_to(random.integers(0, 256, (count, channels, 1, 1)), (count, channels, height, width)),
    ]
    return torch.from_numpy(np.stack([kinds[row % 4][row] for row in range(count)]).astype(np.uint8))


def to_pil(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray(picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).numpy())


def from_pil(picture: Image.Image) -> torch.Tensor:
    values = torch.from_numpy(np.array(picture))
    return values.unsqueeze(0) if values.ndim == 2 else values.permute(2, 0, 1)


def by_pil(operation: Operation, picture: Image.Image, strength: float, **how) -> Image.Image:
    """Return what PIL makes of one picture."""
    width, height = picture.size
    name = operation.name
    if name in ENHANCERS:
        return ENHANCERS[name](picture).enhance(1.0 + strength)
    if name == "rotate":
        return picture.rotate(strength, **how)
    if name in ("shear_x", "shear_y", "translate_x", "translate_y"):
        pixels = operation.unit == "pixels"
        matrix = {
            "shear_x": (1, strength, 0, 0, 1, 0),
            "shear_y": (1, 0, 0, strength, 1, 0),
            "translate_x": (1, 0, -int(strength * (1 if pixels else width)), 0, 1, 0),
            "translate_y": (1, 0, 0, 0, 1, -int(strength * (1 if pixels else height))),
        }[name]
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix, **how)
    return {
        "identity": lambda: picture.copy(),
        "flip": lambda: ImageOps.mirror(picture),
        "invert": lambda: ImageOps.invert(picture),
        "solarize": lambda: ImageOps.solarize(picture, strength),
        "solarize_add": lambda: picture.point(lambda value: min(value + int(strength), 255) if value < 128 else value),
        "posterize": lambda: ImageOps.posterize(picture, int(strength)),
        "auto_contrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
    }[name]()


TABLES = {"AutoAugment": (AUTOAUGMENT_OPERATIONS, 9), "RandAugment": (RANDAUGMENT_OPERATIONS, 30)}
TABLES |= {"wide": (WIDE_OPERATIONS, 30), "others": ((flip, solarize_add), 10)}
CASES = [
    pytest.param(operation, top, id=f"{table}-{operation.name}")
    for table, (operations, top) in TABLES.items()
    for operation in operations
    if operation is not cutout
]


def strengths_of(operation: Operation, top: int) -> torch.Tensor:
    """Return the strength of each magnitude from 0 to `top`, with both signs where the operation has them."""
    strengths = torch.tensor([operation.strength(magnitude / top) for magnitude in range(top + 1)], dtype=torch.float64)
    return torch.cat([strengths, -strengths]) if operation.signed else strengths


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("operation", "top"), CASES)
def test_as_pil_at_every_magnitude(operation, top, channels, size):
    strengths = strengths_of(operation, top)
    strengths = torch.cat([strengths, strengths.roll(1)])  # on two kinds of pictures each
    images = pictures(len(strengths), channels, *size)
    before = images.clone()
    changed = operation(images, strengths)
    expected = torch.stack(
        [
            from_pil(by_pil(operation, to_pil(image), strength))
            for image, strength in zip(images, strengths.tolist(), strict=True)
        ]
    )
    assert torch.equal(images, before)
    assert changed.dtype == torch.uint8
    difference = (changed.int() - expected.int()).abs().max()
    assert difference <= (1 if FUSED and operation.name in ENHANCERS else 0)
