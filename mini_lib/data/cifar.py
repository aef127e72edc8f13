"""CIFAR-10, read from a folder you have: natural pictures in colour, the data that the published policies are for.

The data: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, chapter 3.
"""

from pathlib import Path

import numpy as np

from mini_lib.data.split import Splits, split_of_bytes
from mini_lib.require import of_type

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Mean and standard deviation of the 50,000 training pictures, per channel: red, green, blue; black is 0, white is 1.
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2470, 0.2435, 0.2616)

_PER_FILE = 10_000
_RECORD_BYTES = 1 + 3 * 32 * 32
_VALIDATION = 5_000
_GET_CIFAR = (
    "to get CIFAR-10, fetch cifar-10-binary.tar.gz (162 MB, the binary version) from "
    "www.cs.toronto.edu/~kriz/cifar.html, unpack it and give the folder cifar-10-batches-bin"
)


def cifar10(root: str | Path) -> Splits:
    """Return CIFAR-10 from a folder with its binary version: 45,000 / 5,000 / 10,000 pictures.

    Images are standardised per channel: float32 [N, 3, 32, 32]. The validation pictures are the last 5,000 of the five
    training files, with as many of each class as happen to be there. The version in Python's pickle is not read: a
    pickle can run code. `root` holds data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the folder
    cifar-10-batches-bin with them.

    Raises:
        TypeError: `root` is not a path.
        ValueError: a file is missing, or is not one of these.
    """
    of_type("root", root, (str, Path), fix="give the folder that holds the files")
    folder = Path(root) / "cifar-10-batches-bin"
    folder = folder if folder.is_dir() else Path(root)
    parts = [_read(folder / f"data_batch_{number}.bin") for number in range(1, 6)]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    test_pixels, test_labels = _read(folder / "test_batch.bin")
    train, validation = slice(None, -_VALIDATION), slice(-_VALIDATION, None)
    return Splits(
        split_of_bytes(pixels[train], labels[train], CIFAR_MEAN, CIFAR_STD),
        split_of_bytes(pixels[validation], labels[validation], CIFAR_MEAN, CIFAR_STD),
        split_of_bytes(test_pixels, test_labels, CIFAR_MEAN, CIFAR_STD),
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures uint8 [10000, 3, 32, 32] and the labels uint8 [10000] of one file.

    A record is the label, then 1,024 bytes each of red, green and blue, row by row.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}; {_GET_CIFAR}")
    content = np.fromfile(path, dtype=np.uint8)
    if content.size != _PER_FILE * _RECORD_BYTES:
        expected = _PER_FILE * _RECORD_BYTES
        raise ValueError(f"{path} has {content.size:,} bytes, expected {expected:,} (10,000 pictures); {_GET_CIFAR}")
    records = content.reshape(_PER_FILE, _RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() > 9:
        raise ValueError(f"{path} has the label {labels.max()}, expected 0 to 9; {_GET_CIFAR}")
    return records[:, 1:].reshape(_PER_FILE, 3, 32, 32), labels.copy()
