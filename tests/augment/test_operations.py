"""Scales as torchvision publishes them, strengths per picture, the place of cutout, bilinear warps, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision_support import import_torchvision

from mini_lib.augment.operations import (
    AUTOAUGMENT_OPERATIONS,
    RANDAUGMENT_OPERATIONS,
    WIDE_OPERATIONS,
    Cover,
    Operation,
    Warp,
    brightness,
    color,
    contrast,
    cutout,
    flip,
    invert,
    operation_named,
    posterize,
    rotate,
    sharpness,
    shear_x,
    solarize,
    solarize_add,
    translate_x,
    translate_y,
    warped_with,
)

EVERY = {operation.name: operation for operation in (*AUTOAUGMENT_OPERATIONS, *RANDAUGMENT_OPERATIONS)}
EVERY |= {"flip": flip, "solarize_add": solarize_add}
WARPS = [operation for operation in EVERY.values() if isinstance(operation.pixels, Warp)]


def some_pictures(count=6, channels=3, height=11, width=14, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, height, width), dtype=torch.uint8, generator=random)


def in_the_middle(operation):
    return operation.strength(0.5) if operation.weakest != operation.strongest else None


def published(name, sides):
    autoaugment = import_torchvision().transforms
    if name == "wide":
        return autoaugment.TrivialAugmentWide()._augmentation_space(31)
    bins, policy = (10, autoaugment.AutoAugment) if name == "AutoAugment" else (31, autoaugment.RandAugment)
    return policy()._augmentation_space(bins, sides)


@pytest.mark.parametrize(
    ("name", "operations"),
    [("AutoAugment", AUTOAUGMENT_OPERATIONS), ("RandAugment", RANDAUGMENT_OPERATIONS), ("wide", WIDE_OPERATIONS)],
)
@pytest.mark.parametrize("sides", [(28, 28), (32, 48), (331, 331), (224, 662)])
def test_scales_are_the_published_ones(name, operations, sides):
    """torchvision's magnitudes are in single precision: up to 2**-23 of the end of a scale away."""
    table = published(name, sides)
    operations = {operation.name.replace("_", ""): operation for operation in operations if operation is not cutout}
    assert list(operations) == [other.lower() for other in table]
    for other, (magnitudes, signed) in table.items():
        operation, top = operations[other.lower()], len(magnitudes) - 1 if magnitudes.ndim else 0
        assert operation.signed == signed
        assert (operation.weakest == operation.strongest) == (magnitudes.ndim == 0)
        for magnitude in range(top and top + 1):
            theirs, ours = float(magnitudes[magnitude]), operation.strength(magnitude / top)
            if operation.name.startswith("translate") and operation.unit != "pixels":
                ours *= sides[1] if operation is translate_x else sides[0]
            assert ours == pytest.approx(theirs, abs=2**-23 * float(magnitudes.max()))


@pytest.mark.parametrize("top", [9, 30])
def test_translations_by_as_many_pixels_as_published_for_any_side(top):
    """A picture with one white column: where it lies afterwards says how far it went, in pixels cut towards 0."""
    strengths = translate_x.strength(torch.arange(top + 1) / top)
    for side in (*range(3, 64), 331, 662, 993):
        picture = torch.zeros(top + 1, 1, 1, side, dtype=torch.uint8)
        picture[..., 0] = 255
        went = translate_x(picture, strengths).argmax(dim=3).flatten()
        theirs = torch.linspace(0.0, 150.0 / 331.0 * side, top + 1)
        assert went.tolist() == [int(pixels) for pixels in theirs.tolist()], side
        went_down = translate_y(picture.transpose(2, 3), strengths).argmax(dim=2).flatten()
        assert torch.equal(went, went_down)


@pytest.mark.parametrize("name", EVERY)
def test_each_picture_has_its_own_strength(name):
    """A batch with a strength per picture is what the pictures are one by one; an empty batch stays empty."""
    operation, images = EVERY[name], some_pictures()
    strengths = operation.strength(torch.linspace(0, 1, len(images)))
    if operation.signed:
        strengths[::2] *= -1

    def chance():
        return torch.Generator().manual_seed(5)

    together = operation(images, strengths, chance())
    if not operation.draws:
        alone = [operation(images[row : row + 1], float(strengths[row])) for row in range(len(images))]
        assert torch.equal(together, torch.cat(alone))
        assert torch.equal(operation(images, strengths[0]), operation(images, strengths[:1].expand(len(images))))
        strided = images.transpose(2, 3).contiguous().transpose(2, 3)
        assert torch.equal(together, operation(strided, strengths))
    assert operation(images[:0], strengths[:0], chance()).shape == (0, 3, 11, 14)
    assert torch.equal(together, operation(images, strengths, chance()))
    assert together.is_contiguous()


def test_by_hand():
    tones = torch.tensor([0, 100, 127, 128, 200, 255], dtype=torch.uint8).view(6, 1, 1, 1)

    def changed(operation, strength):
        return operation(tones, strength).flatten().tolist()

    assert changed(invert, None) == [255, 155, 128, 127, 55, 0]
    assert changed(solarize, 128) == [0, 100, 127, 127, 55, 0]
    assert changed(solarize, 256) == [0, 100, 127, 128, 200, 255]
    assert changed(solarize, 127.5) == [0, 100, 127, 127, 55, 0]
    assert changed(solarize_add, 110) == [110, 210, 237, 128, 200, 255]
    assert changed(solarize_add, 200) == [200, 255, 255, 128, 200, 255]
    assert changed(posterize, 1) == [0, 0, 0, 128, 128, 128]
    assert changed(posterize, 0) == [0] * 6
    assert changed(posterize, 8) == tones.flatten().tolist()
    one_row = torch.tensor([[1, 2, 3, 4]], dtype=torch.uint8).expand(1, 1, 4, 4)
    # About the upper left corner: the middle of a pixel in row y comes from 0.9 (y + 0.5) further right.
    assert shear_x(one_row, 0.9)[0, 0].tolist() == [[1, 2, 3, 4], [2, 3, 4, 0], [3, 4, 0, 0], [4, 0, 0, 0]]
    assert rotate(one_row, 90.0)[0, 0].tolist() == [[4] * 4, [3] * 4, [2] * 4, [1] * 4]  # counterclockwise


@pytest.mark.parametrize("sides", [(28, 28), (27, 31), (1, 6)], ids=str)
def test_cutout_hangs_over_the_border(sides):
    """The square of the generator's next two draws, by slices that stop at the border, as in the authors' code."""
    height, width = sides
    images = some_pictures(60, 3, height, width)
    lengths = torch.arange(60) % (min(sides) + 1)
    covered = cutout(images, lengths / min(sides), torch.Generator().manual_seed(1))
    random = torch.Generator().manual_seed(1)
    rows, columns = (torch.randint(side, (60, 1), generator=random).flatten().tolist() for side in sides)
    areas = []
    for image, length, y, x, got in zip(images, lengths.tolist(), rows, columns, covered, strict=True):
        expected = image.clone()
        top, left = y - length // 2, x - length // 2
        expected[:, max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)] = 128
        assert torch.equal(got, expected)
        areas.append((max(0, top), max(0, left)) == (top, left))
    assert 0 < sum(areas) < 60 or height == 1  # some hang over, some do not
    assert (replace(cutout, pixels=Cover(fill=0))(images, 1.0, torch.Generator()) == 0).any()


def test_cutout_covers_the_centre_and_each_place_alike():
    """1 pixel of 3 x 3, 9,000 draws: each place 1,000 times, give or take 5 standard deviations, 5 * 29.8."""
    white = torch.full((9000, 1, 3, 3), 255, dtype=torch.uint8)
    places = (cutout(white, 1 / 3, torch.Generator().manual_seed(0)) == 128).sum(dim=0)
    assert int(places.sum()) == 9000
    assert (places - 1000).abs().max() < 150


@pytest.mark.parametrize("operation", WARPS, ids=lambda operation: operation.name)
@pytest.mark.parametrize(("channels", "sides"), [(1, (28, 28)), (3, (27, 31))], ids=str)
def test_bilinear_as_pil_but_for_a_level(operation, channels, sides):
    """PIL mixes in double precision and cuts, we mix in single precision and cut.

    Three mixes of values up to 255 are off by less than 6 * 255 * 2**-24 < 1e-4 in all. So the two differ only where a
    whole number lies between them: by one level. Where the source lies in the picture, both decide in double precision;
    0.987 keeps it off the border itself, where the last bit decides.
    """
    strengths = torch.linspace(-0.987, 0.987, 21, dtype=torch.float64) * operation.strongest
    smooth = warped_with(operation, interpolation="bilinear", fill=77)
    images = some_pictures(len(strengths), channels, *sides)
    warped = smooth(images, strengths)
    height, width = sides
    for image, strength, got in zip(images, strengths.tolist(), warped, strict=True):
        entries = operation.pixels.source(torch.tensor([strength], dtype=torch.float64), height, width)
        matrix = [float(entry) for entry in entries]
        picture = Image.fromarray(image[0].numpy() if channels == 1 else image.permute(1, 2, 0).numpy())
        fill = 77 if channels == 1 else (77, 77, 77)
        how = (Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        moved = picture.transform(picture.size, *how, fillcolor=fill)
        expected = torch.from_numpy(np.array(moved)).view(height, width, channels).permute(2, 0, 1)
        assert (got.int() - expected.int()).abs().max() <= 1
    if not operation.name.startswith("translate"):  # by whole pixels: there is nothing to interpolate
        assert not torch.equal(warped, warped_with(operation, fill=77)(images, strengths))


def test_operations_by_name():
    for name, operation in EVERY.items():
        assert operation_named(name) is operation
    with pytest.raises(ValueError, match=r"no operation is called 'rotatte'; the nearest are rotate$"):
        operation_named("rotatte")
    with pytest.raises(ValueError, match=r"no operation is called 'ShearX'; the nearest are shear_x, shear_y"):
        operation_named("ShearX")
    with pytest.raises(ValueError, match=r"no operation is called 'blur'; there are auto_contrast, brightness, "):
        operation_named("blur")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(2, 3, 4, 4), TypeError, "pictures must be uint8, 0 for black to 255 for white, got torch.float32"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), ValueError, r"must have shape .*, got \[3, 4, 4\]"),
        (torch.zeros(2, 4, 4, 4, dtype=torch.uint8), ValueError, r"1 or 3 channels.*, got \[2, 4, 4, 4\]"),
        (torch.zeros(2, 3, 0, 4, dtype=torch.uint8), ValueError, r"must have shape .*, got \[2, 3, 0, 4\]"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8, device="meta"), ValueError, "CPU, got them on meta; use"),
        ("pictures", TypeError, "got str"),
    ],
)
def test_pictures_that_are_none(name, images, error, message):
    with pytest.raises(error, match=message):
        EVERY[name](images, in_the_middle(EVERY[name]), torch.Generator())


@pytest.mark.parametrize(
    ("operation", "strength", "error", "message"),
    [
        (rotate, None, ValueError, r"the strength of rotate must be given, a number or a tensor \[2\]; use "),
        (rotate, "30", TypeError, r"the strength of rotate must be a finite number, got '30'; .* or a tensor \[2\]"),
        (rotate, True, TypeError, r"the strength of rotate must be a finite number, got True"),
        (rotate, torch.ones(2, dtype=torch.bool), TypeError, r"must be real numbers on the CPU, got torch.bool on cpu"),
        (rotate, torch.ones(2) * 1j, TypeError, r"must be real numbers on the CPU, got torch.complex64"),
        (rotate, torch.ones(2, device="meta"), TypeError, r"must be real numbers on the CPU, got .* on meta"),
        (rotate, torch.ones(3), ValueError, r"must be one number or have shape \[2\], got \[3\]"),
        (rotate, torch.ones(2, 1), ValueError, r"must be one number or have shape \[2\], got \[2, 1\]"),
        (rotate, 361, ValueError, r"rotate must be finite and in \[-360, 360\] degrees, got 361; its "),
        (rotate, torch.tensor([0, torch.nan]), ValueError, r"finite and in \[-360, 360\] degrees, got nan"),
        (invert, torch.inf, ValueError, r"the strength of invert must be a finite number, got inf"),
        (invert, torch.tensor(torch.inf), ValueError, r"the strength of invert must be finite .*, got inf"),
        (contrast, -1.5, ValueError, r"contrast must be finite and in \[-1, 9\] of the factor, got -1.5"),
        (posterize, 9, ValueError, r"posterize must be finite and in \[0, 8\] bits, got 9; its scale runs from 8 to 4"),
        (translate_x, torch.tensor([0.2, -3]), ValueError, r"in \[-1, 1\] of the width, got -3"),
        (solarize, 257, ValueError, r"in \[0, 256\] grey, got 257"),
        (cutout, 1.2, ValueError, r"in \[0, 1\] of the side, got 1.2"),
        (cutout, 0.5, TypeError, r"cutout draws for each picture and needs a torch.Generator, got NoneType"),
    ],
)
def test_strengths_that_are_none(operation, strength, error, message):
    with pytest.raises(error, match=message):
        operation(some_pictures(2), strength)


@pytest.mark.parametrize("operation", WARPS, ids=lambda operation: operation.name)
def test_a_strength_that_is_learned_is_a_number_here(operation):
    pictures, strength = some_pictures(2), torch.tensor([0.25, 0.5])
    assert torch.equal(operation(pictures, strength.clone().requires_grad_()), operation(pictures, strength))


def test_a_pixel_function_that_writes_to_its_strengths_does_not_change_the_next_call():
    def doubled(images, strengths):
        seen.append(strengths.mul_(2).item())
        return images

    seen = []
    for strength in (3.0, 3.0, None, None):
        Operation("doubled", doubled, 1.0, 1.0)(some_pictures(1), strength)
    assert seen == [6, 6, 2, 2]


@pytest.mark.parametrize("operation", [brightness, contrast, color, sharpness], ids=lambda operation: operation.name)
def test_a_sign_that_is_drawn_stays_within_the_limits(operation):
    with pytest.raises(ValueError, match=r"must lie in \[-1, 9\], got -5.0 \(its sign is drawn\); change the scale"):
        replace(operation, strongest=5.0)
    assert replace(operation, strongest=5.0, signed=False).strength(1.0) == 5


def test_scales_that_are_none():
    for share in ("0.5", None, True, [0.5]):
        with pytest.raises(TypeError, match=r"a share of the scale of rotate must be a number in \[0, 1\], got "):
            rotate.strength(share)
    with pytest.raises(ValueError, match=r"a share of the scale of rotate must lie in \[0, 1\], got 1.5"):
        rotate.strength(1.5)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got -0.5"):
        rotate.strength(torch.tensor([0.5, -0.5]))
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got nan"):
        rotate.strength(torch.tensor([0.5, torch.nan]))
    assert rotate.strength(torch.zeros(0)).shape == (0,)
    with pytest.raises(ValueError, match=r"strongest of rotate must lie in \[-360, 360\], got 999"):
        replace(rotate, strongest=999)
    with pytest.raises(TypeError, match=r"weakest of rotate must be a finite number, got 'none'"):
        replace(rotate, weakest="none")
    with pytest.raises(TypeError, match=r"pixels must be callable, got 3; pass a function of pictures"):
        Operation("three", 3)
    with pytest.raises(ValueError, match=r"interpolation must be 'nearest' or 'bilinear', got 'cubic'"):
        warped_with(rotate, interpolation="cubic")
    with pytest.raises(ValueError, match=r"fill must be a whole number from 0 to 255, got 256"):
        warped_with(rotate, fill=256)
    with pytest.raises(TypeError, match=r"invert interpolates nothing"):
        warped_with(invert)
    with pytest.raises(ValueError, match=r"fill must be a whole number from 0 to 255, got -1"):
        Cover(fill=-1)
