"""The course's pictures: Fashion-MNIST, split into training, validation and test data. Nothing is ever downloaded.

The data: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017 (arXiv:1708.07747), MIT licence. What is shipped, and how it was made, is in `assets/README.md`.
"""

import gzip
import io
import lzma
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mini_lib import _assets

FASHION_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
# Mean and standard deviation of the shipped training pixels, where black is 0 and white is 1.
PIXEL_MEAN = 0.2859
PIXEL_STD = 0.3531

FASHION_FILE = _assets.ASSETS / "fashion.npz.xz"
FASHION_SHA256 = "721f751263960a76e10d889cfee6c12f82880bea59d57b8fb93a8f67987ebfcd"
_GET_FASHION = (
    "run `git restore mini_lib/assets/fashion.npz.xz` in the course's folder, "
    "or regenerate it with `python tools/make_fashion_subset.py FOLDER`"
)


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures and the class of each.

    images: float32 [N, channels, height, width], labels: int64 [N], classes counted from 0.

    Raises:
        TypeError: another dtype.
        ValueError: an empty split, or labels that do not match the images.

    >>> two = Split(torch.zeros(2, 1, 28, 28), torch.tensor([3, 9]))
    >>> len(two), two.first(1).labels
    (2, tensor([3]))
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.float32 or self.labels.dtype != torch.int64:
            raise TypeError(
                f"a split needs float32 images and int64 labels, got {self.images.dtype} and {self.labels.dtype}; "
                "convert them with images.float() and labels.long()"
            )
        if self.images.ndim < 2 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                "a split needs images [N, ...] and one label for each, "
                f"got images {list(self.images.shape)} and labels {list(self.labels.shape)}; select both the same way"
            )
        if len(self.labels) == 0:
            raise ValueError("a split needs at least one image, got none; check how the data was selected")
        if self.labels.min() < 0:
            raise ValueError(f"labels count classes from 0, got {int(self.labels.min())}; shift them to start at 0")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Split":
        """Return the first `count` pictures as a split of their own, for a quick trial or for calibration.

        The shipped splits go through the classes in turn, so their first 10, 20, 30 ... pictures are class-balanced.

        Raises:
            ValueError: there are not that many.
        """
        if not 1 <= count <= len(self):
            raise ValueError(f"cannot take the first {count} of {len(self)} images; use a count from 1 to {len(self)}")
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class Splits:
    """Three splits that share no picture: learn from `train`, choose with `validation`, report `test` once."""

    train: Split
    validation: Split
    test: Split


def fashion() -> Splits:
    """Return the shipped part of Fashion-MNIST: 16,000 / 2,000 / 4,000 pictures, as many of each class.

    Images are standardised: float32 [N, 1, 28, 28], mean 0 and standard deviation 1 over the training pixels.
    Training and validation pictures come from the original training file, test pictures from the original test file.

    Raises:
        ValueError: the shipped file is missing or damaged.

    >>> splits = fashion()
    >>> len(splits.train), len(splits.validation), len(splits.test)
    (16000, 2000, 4000)
    >>> FASHION_CLASSES[splits.test.labels[3]]
    'dress'
    """
    shipped = read_shipped()
    return Splits(
        *(
            Split(_standardise(shipped[f"{part}_images"]), _labels(shipped[f"{part}_labels"]))
            for part in ("train", "validation", "test")
        )
    )


def full_fashion(root: str | Path) -> Splits:
    """Return all of Fashion-MNIST from a folder you have: 58,000 / 2,000 / 10,000 pictures.

    The validation pictures are the same 2,000 as in `fashion()`, and no test picture of `fashion()` is trained on.
    `root` is the folder given to `torchvision.datasets.FashionMNIST`, or one that holds the four IDX files themselves,
    gzipped or not (Debian's package dataset-fashion-mnist puts them in /usr/share/datasets/fashion-mnist).

    Raises:
        ValueError: a file is missing, damaged, or not Fashion-MNIST in its original order.
    """
    arrays = {}
    for part, kind, shape in (
        ("train", "images-idx3", (60_000, 28, 28)),
        ("train", "labels-idx1", (60_000,)),
        ("t10k", "images-idx3", (10_000, 28, 28)),
        ("t10k", "labels-idx1", (10_000,)),
    ):
        path = _find_idx(Path(root), f"{part}-{kind}-ubyte")
        array = read_idx(path)
        if array.shape != shape:
            raise ValueError(f"{path} holds {list(array.shape)} values, expected {list(shape)}; {_GET_FULL}")
        arrays[part, kind[:6]] = array

    shipped = read_shipped()
    held_out = shipped["validation_index"]
    if not np.array_equal(arrays["train", "images"][held_out], shipped["validation_images"]):
        raise ValueError(f"{root} does not hold Fashion-MNIST in its original order; {_GET_FULL}")
    is_training = np.ones(60_000, dtype=bool)
    is_training[held_out] = False

    def split(part: str, where: np.ndarray | slice) -> Split:
        return Split(_standardise(arrays[part, "images"][where]), _labels(arrays[part, "labels"][where]))

    return Splits(split("train", is_training), split("train", held_out), split("t10k", slice(None)))


def to_pixels(images: Tensor) -> Tensor:
    """Undo the standardisation, for showing pictures: black is 0 and white is 1; any shape.

    >>> to_pixels(torch.tensor([-PIXEL_MEAN / PIXEL_STD, (1 - PIXEL_MEAN) / PIXEL_STD])).round(decimals=4)
    tensor([0., 1.])
    """
    # A pixel comes back within a rounding error, which may lie outside [0, 1]: figures dislike that.
    return (images * PIXEL_STD + PIXEL_MEAN).clamp(0, 1)


def read_shipped() -> dict[str, np.ndarray]:
    """Return the shipped arrays as they are stored: `{train,validation,test}_{images,labels,index}`.

    Images are uint8 [N, 28, 28], labels uint8 [N]; the index is each picture's place in the original file, uint16 [N].

    Raises:
        ValueError: the file is missing or damaged.
    """
    content = lzma.decompress(_assets.read_verified(FASHION_FILE, FASHION_SHA256, _GET_FASHION))
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def read_idx(path: Path) -> np.ndarray:
    """Return the bytes of an IDX file (the format of MNIST), gzipped or not, as uint8 of the shape it states.

    Raises:
        ValueError: the file is not a whole IDX file of bytes.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "File formats".
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        # Two zero bytes, the type (8 is unsigned byte), the number of axes, then each axis as a big-endian int32.
        if content[:3] != b"\0\0\x08":
            raise ValueError("it does not start as an IDX file of bytes")
        axes = content[3]
        shape = np.frombuffer(content, dtype=">i4", count=axes, offset=4)
        return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
    except (ValueError, IndexError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not a whole IDX file ({error}); {_GET_FULL}") from error


_GET_FULL = (
    "to get Fashion-MNIST, run `apt install dataset-fashion-mnist` and give /usr/share/datasets/fashion-mnist, "
    "or run `torchvision.datasets.FashionMNIST(folder, download=True)` once and give that folder"
)


def _find_idx(root: Path, name: str) -> Path:
    """Return the file `name`, gzipped or not, in one of the two layouts that are about."""
    for folder in (root, root / "FashionMNIST" / "raw"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise ValueError(f"{root} has no {name} or {name}.gz; {_GET_FULL}")


def _standardise(pixels: np.ndarray) -> Tensor:
    """Turn bytes [N, 28, 28] into standardised float32 [N, 1, 28, 28]."""
    images = torch.from_numpy(pixels).unsqueeze(1).to(torch.float32)
    return images.div_(255).sub_(PIXEL_MEAN).div_(PIXEL_STD)


def _labels(labels: np.ndarray) -> Tensor:
    return torch.from_numpy(labels).to(torch.int64)
