"""The shipped digits are what they claim to be, and a missing file says how to get it back."""

import pytest
import torch

from mini_lib import _assets, data
from mini_lib.data import mnist

SIZES = {"train": 1_500, "validation": 500, "test": 1_500, "reference": 1_500}


@pytest.fixture(scope="module")
def splits():
    return data.digits()


@pytest.mark.parametrize("part", SIZES)
def test_every_part_has_as_many_of_each_class_in_turn(splits, part):
    split = getattr(splits, part)
    assert split.images.shape == (SIZES[part], 1, 28, 28)
    assert split.labels.tolist() == [*range(10)] * (SIZES[part] // 10)


def test_no_picture_occurs_twice(splits):
    pictures = [image.numpy().tobytes() for part in SIZES for image in getattr(splits, part).images]
    assert len(set(pictures)) == len(pictures) == 5_000


def test_training_pixels_have_mean_0_and_standard_deviation_1(splits):
    # The constants have four decimals, so each is within 5e-5 of the truth: in units of the deviation, 5e-5 / 0.3092.
    pixels = splits.train.images.double()
    assert pixels.mean().item() == pytest.approx(0, abs=1.7e-4)
    assert pixels.std().item() == pytest.approx(1, abs=1.7e-4)


def test_to_pixels_gives_back_the_bytes(splits):
    stored = _assets.read_arrays(mnist.DIGITS_FILE, mnist.DIGITS_SHA256, "")["test_images"]
    pixels = data.to_pixels(splits.test.images, data.DIGIT_MEAN, data.DIGIT_STD)
    assert torch.equal((pixels * 255).round().to(torch.uint8).squeeze(1), torch.from_numpy(stored))


def test_the_rows_are_those_of_the_file_that_is_sorted_by_class():
    stored = _assets.read_arrays(mnist.DIGITS_FILE, mnist.DIGITS_SHA256, "")
    rows = [row for part in SIZES for row in stored[f"{part}_index"].tolist()]
    assert sorted(rows) == list(range(5_000))
    for part in SIZES:
        assert (stored[f"{part}_index"] // 500).tolist() == stored[f"{part}_labels"].tolist()


def test_missing_digits_say_how_to_get_them_back(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "DIGITS_FILE", tmp_path / "digits.npz.xz")
    with pytest.raises(ValueError, match=r"digits\.npz\.xz is missing; to get it back, run `git restore mini_lib/"):
        data.digits()
