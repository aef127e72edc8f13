"""Fashion-MNIST, the course's pictures: the part that is shipped, or all of it from a folder you have.

The data: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017 (arXiv:1708.07747), MIT licence. What is shipped, and how it was made, is described in
`mini_lib/assets/README.md`.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from mini_lib import _assets
from mini_lib.data.split import PIXEL_MEAN, PIXEL_STD, Split, Splits, split_of_bytes
from mini_lib.require import of_type

FASHION_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FASHION_FILE = _assets.ASSETS / "fashion.npz.xz"
FASHION_SHA256 = "721f751263960a76e10d889cfee6c12f82880bea59d57b8fb93a8f67987ebfcd"
_GET_FASHION = (
    "run `git restore mini_lib/assets/fashion.npz.xz` in the course's folder, "
    "or regenerate it with `python tools/make_fashion_subset.py FOLDER`"
)


def fashion() -> Splits:
    """Return the shipped part of Fashion-MNIST: 16,000 / 2,000 / 4,000 pictures, with classes of equal size.

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
            split_of_bytes(shipped[f"{part}_images"], shipped[f"{part}_labels"], PIXEL_MEAN, PIXEL_STD)
            for part in ("train", "validation", "test")
        )
    )


def full_fashion(root: str | Path) -> Splits:
    """Return all of Fashion-MNIST from a folder you have: 58,000 / 2,000 / 10,000 pictures.

    The validation pictures are the same 2,000 as in `fashion()`, and no test picture of `fashion()` is trained on.
    `root` is the folder given to `torchvision.datasets.FashionMNIST`, or one that holds the four IDX files themselves,
    gzipped or not (Debian's package dataset-fashion-mnist puts them in /usr/share/datasets/fashion-mnist).

    Raises:
        TypeError: `root` is not a path.
        ValueError: a file is missing, damaged, or not Fashion-MNIST in its original order.
    """
    of_type("root", root, (str, Path), fix="give the folder that holds the files")
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
        return split_of_bytes(arrays[part, "images"][where], arrays[part, "labels"][where], PIXEL_MEAN, PIXEL_STD)

    return Splits(split("train", is_training), split("train", held_out), split("t10k", slice(None)))


def read_shipped() -> dict[str, np.ndarray]:
    """Return the shipped arrays as they are stored: `{train,validation,test}_{images,labels,index}`.

    Images are uint8 [N, 28, 28], labels uint8 [N]; the index is each picture's place in the original file, uint16 [N].

    Raises:
        ValueError: the file is missing or damaged.
    """
    return _assets.read_arrays(FASHION_FILE, FASHION_SHA256, _GET_FASHION)


def read_idx(path: Path) -> np.ndarray:
    """Return the bytes of an IDX file (the format of MNIST), gzipped or not, as uint8 of the shape it states.

    Raises:
        TypeError: `path` is not a path.
        ValueError: the file is missing, or not a whole IDX file of bytes.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "File formats".
    """
    path = Path(of_type("path", path, (str, Path), fix="give the file's path"))
    if not path.is_file():
        raise ValueError(f"{path} is not a file; {_GET_FULL}")
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
    """Return the file `name`, gzipped or not, in one of the two layouts in use."""
    for folder in (root, root / "FashionMNIST" / "raw"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise ValueError(f"{root} has no {name} or {name}.gz; {_GET_FULL}")
