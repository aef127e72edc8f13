"""The shipped pictures are what they claim to be, the full set is read right, and each bad input is named."""

import gzip
import hashlib
import re
import struct

import numpy as np
import pytest
import torch
from torchvision_support import import_torchvision

from mini_lib import _assets, data
from mini_lib.data import Split, fashion_mnist
from studies.tickets.results import RECORDED_FOLDER

SIZES = {"train": 16_000, "validation": 2_000, "test": 4_000}


@pytest.fixture(scope="module")
def shipped():
    return data.read_shipped()


@pytest.fixture(scope="module")
def splits():
    return data.fashion()


@pytest.mark.parametrize("part", SIZES)
def test_splits_are_standardised_tensors_with_as_many_of_each_class(splits, part):
    split = getattr(splits, part)
    assert split.images.shape == (SIZES[part], 1, 28, 28)
    assert split.images.dtype == torch.float32
    assert split.labels.dtype == torch.int64
    assert split.labels.bincount().tolist() == [SIZES[part] // 10] * 10


def test_the_first_pictures_are_class_balanced(splits):
    for split in (splits.train, splits.validation, splits.test):
        assert split.first(30).labels.bincount().tolist() == [3] * 10


def test_no_picture_occurs_twice(shipped):
    pictures = [image.tobytes() for part in SIZES for image in shipped[f"{part}_images"]]
    assert len(set(pictures)) == len(pictures) == 22_000


def test_training_and_validation_pictures_come_from_different_places(shipped):
    train, validation = set(shipped["train_index"].tolist()), set(shipped["validation_index"].tolist())
    assert len(train) == 16_000 and len(validation) == 2_000 and not train & validation
    assert max(train | validation) < 60_000
    test = set(shipped["test_index"].tolist())
    assert len(test) == 4_000 and max(test) < 10_000


def test_training_pixels_have_mean_0_and_standard_deviation_1(splits):
    # The constants have four decimals, so each is within 5e-5 of the truth. In units of the standard deviation (0.35)
    # the mean may be off by 5e-5 / 0.35 = 1.5e-4, and so may the standard deviation's ratio to 1.
    pixels = splits.train.images.double()
    assert pixels.mean().item() == pytest.approx(0, abs=1.5e-4)
    assert pixels.std().item() == pytest.approx(1, abs=1.5e-4)


def test_to_pixels_gives_back_the_bytes(splits, shipped):
    pixels = data.to_pixels(splits.validation.images)
    assert pixels.min() >= 0 and pixels.max() <= 1
    assert np.array_equal((pixels * 255).round().to(torch.uint8).squeeze(1).numpy(), shipped["validation_images"])


def test_first_takes_the_front():
    split = Split(torch.arange(6.0).reshape(3, 2), torch.tensor([2, 0, 1]))
    assert split.first(2).images.tolist() == [[0, 1], [2, 3]]
    assert split.first(2).labels.tolist() == [2, 0]
    assert len(split.first(3)) == 3


@pytest.mark.parametrize("folder", [_assets.ASSETS, RECORDED_FOLDER], ids=["mini_lib/assets", "studies/records"])
def test_the_table_of_shipped_files_lists_each_with_its_hash(folder):
    table = (folder / "README.md").read_text(encoding="utf-8")
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md"]
    assert files
    for path in files:
        name = path.relative_to(folder).as_posix()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert re.search(rf"^\| `{re.escape(name)}` \|.*`{digest}`", table, re.MULTILINE), f"{name} is not in the table"
    assert len(re.findall(r"`[0-9a-f]{64}`", table)) == len(files)
    assert "MIT" in table


def test_shipped_data_is_below_10_mb():
    assert data.FASHION_FILE.stat().st_size < 10_000_000


# Bad input


def test_a_missing_file_says_how_to_get_it_back(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "FASHION_FILE", tmp_path / "fashion.npz.xz")
    with pytest.raises(ValueError, match=r"fashion\.npz\.xz is missing; to get it back, run `git restore mini_lib/"):
        data.fashion()


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw[:100] + b"x" + raw[101:], lambda raw: b""])
def test_a_damaged_file_is_never_read(tmp_path, monkeypatch, damage):
    path = tmp_path / "fashion.npz.xz"
    path.write_bytes(damage(data.FASHION_FILE.read_bytes()))
    monkeypatch.setattr(fashion_mnist, "FASHION_FILE", path)
    message = r"is damaged: its \d+ bytes have sha256 \w{12}\.\.\., expected 721f.*; to get it back, run `git restore"
    with pytest.raises(ValueError, match=message):
        data.fashion()


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64), ValueError, r"got images \[3, 4\] and labels \[2\]"),
        (torch.zeros(3, 4), torch.zeros(3, 1, dtype=torch.int64), ValueError, r"one label for each, got .*\[3, 1\]"),
        (torch.tensor(1.0), torch.tensor(1), ValueError, r"got images \[\] and labels \[\]"),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), ValueError, "at least one image, got none"),
        (torch.zeros(1, 4), torch.tensor([-1]), ValueError, "count classes from 0, got -1"),
        (torch.zeros(1, 4), torch.tensor([1.0]), TypeError, r"got torch.float32 and torch.float32; .*labels.long\(\)"),
        (torch.zeros(1, 4, dtype=torch.uint8), torch.tensor([1]), TypeError, r"got torch.uint8 .*images.float\(\)"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        Split(images, labels)


@pytest.mark.parametrize("count", [0, -1, 4])
def test_first_refuses_what_is_not_there(count):
    split = Split(torch.zeros(3, 2), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=rf"cannot take the first {count} of 3 images; use a count from 1 to 3"):
        split.first(count)


# The full set, in a folder. The one written here has the real pictures where they are shipped, black ones elsewhere.


def idx(array):
    return struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def torchvision_root(shipped, tmp_path_factory):
    root = tmp_path_factory.mktemp("full")
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for source, count, parts in (("train", 60_000, ("train", "validation")), ("t10k", 10_000, ("test",))):
        images = np.zeros((count, 28, 28), dtype=np.uint8)
        labels = np.zeros(count, dtype=np.uint8)
        for part in parts:
            images[shipped[f"{part}_index"]] = shipped[f"{part}_images"]
            labels[shipped[f"{part}_index"]] = shipped[f"{part}_labels"]
        (raw / f"{source}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{source}-labels-idx1-ubyte").write_bytes(idx(labels))
    return root


@pytest.fixture(scope="module")
def torchvision():
    """The torchvision package."""
    return import_torchvision()


@pytest.fixture(scope="module")
def full(torchvision_root):
    return data.full_fashion(torchvision_root)


def test_the_full_set_holds_out_the_same_validation_pictures(full, splits):
    assert (len(full.train), len(full.validation), len(full.test)) == (58_000, 2_000, 10_000)
    assert torch.equal(full.validation.images, splits.validation.images)
    assert torch.equal(full.validation.labels, splits.validation.labels)


def test_the_full_set_is_what_torchvision_reads(full, torchvision_root, shipped, torchvision):
    for train, ours in ((True, full.train), (False, full.test)):
        theirs = torchvision.datasets.FashionMNIST(str(torchvision_root), train=train)
        keep = torch.ones(len(theirs), dtype=torch.bool)
        if train:
            keep[shipped["validation_index"].astype(np.int64)] = False
        assert torch.equal((data.to_pixels(ours.images) * 255).round().to(torch.uint8).squeeze(1), theirs.data[keep])
        assert torch.equal(ours.labels, theirs.targets[keep])


def test_gzipped_files_in_the_folder_itself_are_read_too(torchvision_root, tmp_path, full):
    # The layout of Debian's package.
    for path in (torchvision_root / "FashionMNIST" / "raw").iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    again = data.full_fashion(tmp_path)
    assert torch.equal(again.train.images, full.train.images)
    assert torch.equal(again.test.labels, full.test.labels)


def test_a_folder_without_the_set_says_how_to_get_it(tmp_path):
    message = "nowhere has no train-images-idx3-ubyte or .*gz; to get Fashion-MNIST, run `apt install"
    with pytest.raises(ValueError, match=message):
        data.full_fashion(tmp_path / "nowhere")


@pytest.fixture
def broken_root(torchvision_root, tmp_path):
    """A folder whose files are those of the full set until a test replaces one."""
    for path in (torchvision_root / "FashionMNIST" / "raw").iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def put(root, name, content):
    (root / name).unlink(missing_ok=True)
    (root / name).write_bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((5, 28, 28), np.uint8)), r"holds \[5, 28, 28\] values, expected \[60000, 28, 28\]"),
        (idx(np.zeros((5, 28, 28), np.uint8))[:-1], r"train-images-idx3-ubyte is not a whole IDX file"),
        (b"hello", r"is not a whole IDX file \(it does not start as an IDX file of bytes\); to get Fashion"),
        (b"\0\0\x08", r"is not a whole IDX file"),
        (b"", r"is not a whole IDX file"),
        (idx(np.zeros((60_000, 28, 28), np.uint8)), r"does not hold Fashion-MNIST in its original order"),
    ],
)
def test_another_or_a_broken_file_is_refused(broken_root, content, message):
    put(broken_root, "train-images-idx3-ubyte", content)
    with pytest.raises(ValueError, match=message):
        data.full_fashion(broken_root)


@pytest.mark.parametrize(
    "damage", [lambda gz: gz[:-9], lambda gz: gz[:12] + b"\xff\xff" + gz[14:], lambda gz: b"not gzipped"]
)
def test_a_broken_gzip_file_is_refused(tmp_path, damage):
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(damage(gzip.compress(idx(np.arange(100, dtype=np.uint8)))))
    with pytest.raises(ValueError, match=r"ubyte\.gz is not a whole IDX file \(.+\); to get Fashion-MNIST"):
        data.read_idx(path)


def test_read_idx_reads_a_file_written_by_hand(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    assert data.read_idx(path).tolist() == [[1, 2, 3], [4, 5, 6]]
