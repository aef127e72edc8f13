"""Cutout and CutMix: which pixels are covered, label shares counted pixel by pixel, and bad input."""

import pytest
import torch
from drawn import generator, is_likely

from mini_lib.augment import CutMix, Cutout
from mini_lib.augment.boxes import boxes
from mini_lib.batch import Batch

COUNT = 4000


def covered(mask):
    """Height and width of the box of each mask: the rows and columns that it touches."""
    return mask.any(dim=3).sum(dim=(1, 2)), mask.any(dim=2).sum(dim=(1, 2))


# --- boxes ---------------------------------------------------------------------------------------------------------


def by_definition(height, width, sides, centre):
    """The pixels of a box around a centre that lie in the picture, one by one."""
    first = [place - side // 2 for place, side in zip(centre, sides)]
    return {
        (row, column)
        for row in range(first[0], first[0] + sides[0])
        for column in range(first[1], first[1] + sides[1])
        if 0 <= row < height and 0 <= column < width
    }


@pytest.mark.parametrize("sides", [(1, 1), (2, 3), (4, 4), (5, 2), (9, 9), (0, 3)])
def test_every_box_is_the_box_of_a_centre_in_the_picture(sides):
    images = torch.zeros(400, 1, 4, 5)
    masks = boxes(images, *(torch.full((400,), side) for side in sides), generator())
    found = {frozenset(map(tuple, mask[0].nonzero().tolist())) for mask in masks}
    expected = {frozenset(by_definition(4, 5, sides, (row, column))) for row in range(4) for column in range(5)}
    assert found == expected  # 400 draws miss one of 20 centres with probability below 20 * (19/20)^400 = 3e-8


def test_every_picture_draws_its_own_centre_evenly():
    """Boxes of one pixel show their centres."""
    ones = torch.ones(COUNT, dtype=torch.int64)
    masks = boxes(torch.zeros(COUNT, 1, 4, 5), ones, ones, generator())
    for count in masks.sum(dim=0).flatten().tolist():
        assert is_likely(count, COUNT, 1 / 20)


# --- Cutout --------------------------------------------------------------------------------------------------------


def test_cutout_fills_a_square_in_all_channels_and_leaves_the_rest():
    images = torch.randint(1, 256, (COUNT, 3, 6, 6), generator=generator(), dtype=torch.uint8)
    cut = Cutout(3)(images, generator())
    mask = (cut != images).any(dim=1, keepdim=True)
    assert torch.equal(cut, images.masked_fill(mask, 0))  # images have no 0: what changed is 0 in all channels
    heights, widths = covered(mask)
    # A side of 3 is clipped to 2 where the centre lies at a border: 2 of 6 places.
    for side in (heights, widths):
        assert set(side.tolist()) == {2, 3}
        assert is_likely((side == 2).sum().item(), COUNT, 2 / 6)


def test_cutout_fills_in_the_pictures_unit():
    labels = torch.arange(2)
    grey = Cutout(9, fill=128)(Batch(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), labels), generator())
    assert (grey.images == 128).all() and torch.equal(grey.labels, labels)
    standardised = Cutout(9)(torch.ones(2, 1, 3, 3), generator())
    assert standardised.dtype == torch.float32 and (standardised == 0).all()


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: Cutout(0), ValueError, "size must be a whole number of 1 or more, got 0; give the side of the square"),
        (lambda: Cutout(2.5), TypeError, "size must be a whole number of 1 or more, got 2.5"),
        (lambda: Cutout(2, fill=float("nan")), ValueError, "fill must be a finite number, got nan"),
        (
            lambda: Cutout(2, fill=0.5)(torch.zeros(1, 1, 3, 3, dtype=torch.uint8), generator()),
            ValueError,
            "uint8 pictures hold whole numbers from 0 to 255, got fill 0.5",
        ),
        (lambda: Cutout(2)(torch.zeros(3, 3), generator()), ValueError, "pictures must have shape"),
    ],
)
def test_wrong_cutouts_say_what_to_do(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)


# --- CutMix --------------------------------------------------------------------------------------------------------


def test_labels_follow_the_pixels_really_pasted():
    """Pictures are flat in their class's number: the pixels of each class, counted, are its share."""
    labels = torch.arange(COUNT) % 4
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 7, 5)
    mixed = CutMix(1.0, classes=4)(Batch(images, labels), generator())
    counted = torch.stack([(mixed.images == one).sum(dim=(1, 2, 3)) for one in range(4)], dim=1)
    # A share is a whole number of 35 pixels, from a mean in float32: two roundings of numbers below 1.
    assert (mixed.labels * 35 - counted).abs().max() < 35 * 2 * 2**-24 * 2
    assert mixed.labels.dtype == torch.float32


def test_what_is_pasted_is_a_box_of_the_partner_at_the_same_place():
    images = torch.arange(2 * 6 * 6, dtype=torch.float32).view(2, 1, 6, 6)
    for seed in range(20):
        mixed = CutMix(1.0, classes=2)(Batch(images, torch.tensor([0, 1])), generator(seed)).images
        pasted = mixed != images
        assert torch.equal(mixed, torch.where(pasted, images.flip(0), images))
        heights, widths = covered(pasted)
        assert torch.equal(pasted.sum(dim=(1, 2, 3)), heights * widths)  # full, so a box


def test_every_picture_draws_its_share_from_a_beta_and_its_centre_from_all():
    """Beta(1, 1) is even: a box has side k of 21 pixels where k <= 21 sqrt(share) < k + 1, so with the probability
    ((k + 1)^2 - k^2) / 21^2, and each centre clips it to its own height. All heights are thus known in advance.
    """
    size = 21
    expected = [0.0] * (size + 1)
    for side in range(size):
        for centre in range(size):
            height = len(range(max(centre - side // 2, 0), min(centre - side // 2 + side, size)))
            expected[height] += ((side + 1) ** 2 - side**2) / size**2 / size
    assert sum(expected) == pytest.approx(1)
    images = torch.arange(COUNT).float().view(-1, 1, 1, 1).repeat(1, 1, size, size)
    mixed = CutMix(1.0, classes=2)(Batch(images, torch.arange(COUNT) % 2), generator())
    heights, _ = covered(mixed.images != images)  # a picture that is its own partner, one in 4000, shows no box
    for height, probability in enumerate(expected):
        assert is_likely((heights == height).sum().item(), COUNT, probability), height


def test_mixing_twice_keeps_the_labels_right():
    labels = torch.arange(400) % 4
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 1, 1).expand(-1, 1, 6, 6)
    once = CutMix(1.0, classes=4)(Batch(images, labels), generator())
    twice = CutMix(1.0, classes=4)(once, generator(1))
    assert torch.allclose(twice.labels.sum(dim=1), torch.ones(400), atol=2**-22)
    assert ((twice.labels > 0).sum(dim=1) > 2).any()
