"""CIFAR-10 is read record by record; a missing or wrong file is named."""

import numpy as np
import pytest
import torch

from mini_lib import data

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Random pictures in the binary version: (folder, {name: (labels, pixels)})."""
    folder = tmp_path_factory.mktemp("cifar")
    random = np.random.RandomState(0)
    content = {}
    for name in NAMES:
        labels = random.randint(0, 10, 10_000, dtype=np.uint8)
        pixels = random.randint(0, 256, (10_000, 3072), dtype=np.uint8)
        (folder / f"{name}.bin").write_bytes(np.concatenate([labels[:, None], pixels], axis=1).tobytes())
        content[name] = labels, pixels
    return folder, content


@pytest.fixture(scope="module")
def splits(written):
    return data.cifar10(written[0])


def as_bytes(split):
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (data.CIFAR_MEAN, data.CIFAR_STD))
    return ((split.images * std + mean) * 255).round().to(torch.uint8)


def test_the_splits_share_no_picture_and_test_is_the_test_file(splits, written):
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45_000, 5_000, 10_000)
    labels = np.concatenate([written[1][name][0] for name in NAMES[:5]])
    assert splits.train.labels.tolist() == labels[:45_000].tolist()
    assert splits.validation.labels.tolist() == labels[45_000:].tolist()
    assert splits.test.labels.tolist() == written[1]["test_batch"][0].tolist()


def test_a_record_is_a_label_then_red_green_blue_row_by_row(splits, written):
    labels, pixels = written[1]["test_batch"]
    red, green, blue = as_bytes(splits.test)[7]
    assert red[0, :3].tolist() == pixels[7, :3].tolist() and red[1, 0] == pixels[7, 32]
    assert green[0, 0] == pixels[7, 1024] and blue[31, 31] == pixels[7, 3071]
    assert splits.test.labels[7] == labels[7]


def test_the_folder_above_will_do(written, tmp_path):
    (tmp_path / "cifar-10-batches-bin").symlink_to(written[0])
    assert data.cifar10(tmp_path).test.labels[:9].tolist() == written[1]["test_batch"][0][:9].tolist()


def test_to_pixels_takes_a_mean_and_std_per_channel(splits, written):
    pixels = data.to_pixels(splits.test.images[:5], data.CIFAR_MEAN, data.CIFAR_STD) * 255
    back = data.split_of_bytes(pixels.round().byte().numpy(), np.zeros(5, np.uint8), data.CIFAR_MEAN, data.CIFAR_STD)
    assert torch.equal(back.images, splits.test.images[:5])


def test_a_folder_without_it_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match=r"has no data_batch_1\.bin; to get CIFAR-10, fetch cifar-10-binary\.tar\.gz"):
        data.cifar10(tmp_path)


def test_the_version_in_pickle_is_not_read(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x03}.")
    with pytest.raises(ValueError, match=r"has no data_batch_1\.bin"):
        data.cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", r"data_batch_1\.bin has 5 bytes, expected 30,730,000 \(10,000 pictures\); to get CIFAR-10"),
        (b"\x0a" * 30_730_000, r"data_batch_1\.bin has the label 10, expected 0 to 9"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.cifar10(tmp_path)
