"""Operations compared with torchvision v2 and kornia on the same batch, and where those two differ from PIL.

PIL is what the papers were published with, and what tests/augment/test_operations_pil.py wants us to equal. Where
another library computes something else, the bound here is how far its definition may be away from that.

torchvision, uint8. Equal: translations, flip, invert, posterize, solarize, equalize. Otherwise:
- shear, rotate: places in single precision, and halves go to the even pixel. Ours are off by up to (width + height + 1)
  halves of 1/65536 (a and b are rounded once, then multiplied by up to width and height): pixels whose source is nearer
  to the border of a pixel than that, or than the 1e-3 of single precision in a grid from -1 to 1, may differ.
- brightness: the factor is rounded differently, so a product may be cut at another whole number: one level.
- auto_contrast: in single precision, so again one level.
- contrast: its mean is not rounded, up to 0.5 away; times |strength| <= 0.9 and cut: 1 + 0.45, so one level.
- color: its grey is cut, ours rounded, so up to 1 apart; times 0.9 and cut: one level.
- sharpness: its sums are rounded as ours, the blend as for brightness: one level.

kornia, floating point in [0, 1]. Equal: translations, flip, invert, posterize; solarize, whose threshold is a value
in [0, 1] compared in single precision. Its results are not cut to whole numbers: a level for that in the others, and
- contrast, color: its mean, and its grey, are not rounded: 0.9 times 0.5 more; its weights of red, green and blue are
  those of PIL to three digits: 0.9 * 255 * 0.0005 more;
- sharpness: its smooth picture is not rounded: 0.9 times 0.5 more;
- auto_contrast: stretches all channels of a picture together (normalize_min_max), so it is compared on grey pictures;
- not compared: shear, whose sign and centre are others, and equalize, which counts values in another way.
"""

import pytest
import torch

from mini_lib.augment.operations import operation_named
from tools.augment_speed import by_kornia, by_torchvision

STRENGTHS = {"posterize": (4, 7), "solarize": (255, 130, 0), "rotate": (30, -7, 90), "flip": (0,), "invert": (0,)}
STRENGTHS |= {"auto_contrast": (0,), "equalize": (0,), "translate_x": (0.4, -0.2), "translate_y": (0.4, -0.2)}
STRENGTHS |= dict.fromkeys(("shear_x", "shear_y"), (0.3, -0.1))
STRENGTHS |= dict.fromkeys(("brightness", "contrast", "color", "sharpness"), (0.9, 0.3, -0.3, -0.9))
WARPS = ("shear_x", "shear_y", "rotate")
LEVELS = dict.fromkeys(("brightness", "auto_contrast", "contrast", "color", "sharpness"), 1)


@pytest.fixture(scope="module", params=[(1, 28, 28), (3, 32, 32), (3, 27, 31)], ids=str)
def images(request):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (16, *request.param), dtype=torch.uint8, generator=random)
    images[8:] = images[8:] // 3 + 60  # of low contrast
    return images


def near_a_border(name, strength, height, width):
    """Say which pixels have a source so near to the border of a pixel that rounding decides, bool [height, width]."""
    x, y = torch.arange(width).double() + 0.5, torch.arange(height).double().view(-1, 1) + 0.5
    turn = torch.deg2rad(torch.tensor(float(strength), dtype=torch.float64))
    source_x, source_y = {
        "shear_x": lambda: (x + strength * y, y + 0 * x),
        "shear_y": lambda: (x + 0 * y, y + strength * x),
        "rotate": lambda: (
            turn.cos() * (x - width / 2) - turn.sin() * (y - height / 2) + width / 2,
            turn.sin() * (x - width / 2) + turn.cos() * (y - height / 2) + height / 2,
        ),
    }[name]()
    reach = (width + height + 1) / 2**17 + 1e-3
    return ((source_x - source_x.round()).abs() < reach) | ((source_y - source_y.round()).abs() < reach)


@pytest.mark.parametrize("name", STRENGTHS)
def test_as_torchvision(images, name):
    operation, (height, width) = operation_named(name), images.shape[2:]
    for strength in STRENGTHS[name]:
        ours = operation(images, torch.full((len(images),), float(strength)))
        theirs = by_torchvision(name, images, strength)
        apart = (ours.int() - theirs.int()).abs()
        if name in WARPS:
            borders = near_a_border(name, strength, height, width)
            assert borders.float().mean() < 0.1 or strength == 90
            apart = apart * ~borders
        assert apart.max() <= LEVELS.get(name, 0), (name, strength)


KORNIA_LEVELS = {"brightness": 1, "contrast": 1.6, "color": 1.6, "sharpness": 1.5, "auto_contrast": 1}


@pytest.mark.parametrize("name", [name for name in STRENGTHS if name not in ("shear_x", "shear_y", "equalize")])
def test_as_kornia(images, name):
    operation, (channels, height, width) = operation_named(name), images.shape[1:]
    if (name == "auto_contrast" and channels == 3) or (name == "color" and channels == 1):
        pytest.skip("defined differently for these pictures")
    for strength in STRENGTHS[name]:
        strengths = torch.full((len(images),), float(strength))
        theirs = 255 * by_kornia(name, images / 255, strengths)
        apart = (operation(images, strengths) - theirs).abs()
        if name == "rotate":
            apart = apart * ~near_a_border(name, strength, height, width)
        assert apart.max() <= KORNIA_LEVELS.get(name, 0) + 1e-3, (name, strength)
