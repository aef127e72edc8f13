"""Make mini_lib/assets/fashion.npz.xz, the part of Fashion-MNIST that is shipped with the course.

    python tools/make_fashion_subset.py /usr/share/datasets/fashion-mnist

The folder holds the four original files, gzipped (Debian's package dataset-fashion-mnist installs them there).
The choice is fixed by the seed, so the pictures are the same on every machine. The compressed file's hash is printed:
it belongs in mini_lib/data/fashion_mnist.py and in mini_lib/assets/README.md.
"""

import argparse
import hashlib
import io
import lzma
from itertools import pairwise
from pathlib import Path

import numpy as np

from mini_lib import data

SEED = 0
CLASSES = 10
PER_CLASS = {"train": 1600, "validation": 200, "test": 400}


def choose(labels: np.ndarray, counts: list[int], random: np.random.RandomState) -> list[np.ndarray]:
    """Return one index array per count: that many pictures of each class, and no picture twice.

    The classes take turns (0, 1, ... 9, 0, 1, ...), so that the first 10 * k pictures are always class-balanced.
    """
    shuffled = [random.permutation(np.flatnonzero(labels == label)) for label in range(CLASSES)]
    bounds = np.cumsum([0, *counts])
    return [np.stack([indices[start:end] for indices in shuffled], axis=1).ravel() for start, end in pairwise(bounds)]


def subset(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays to store: images, labels and the place of each picture in its original file."""
    # RandomState's numbers never change; those of numpy's newer generators may change with its version.
    random = np.random.RandomState(SEED)
    sources = {}
    for part in ("train", "t10k"):
        images = data.read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = data.read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
        sources[part] = images, labels
    train, validation = choose(sources["train"][1], [PER_CLASS["train"], PER_CLASS["validation"]], random)
    (test,) = choose(sources["t10k"][1], [PER_CLASS["test"]], random)

    arrays = {}
    for name, source, index in (("train", "train", train), ("validation", "train", validation), ("test", "t10k", test)):
        images, labels = sources[source]
        arrays[f"{name}_images"] = images[index]
        arrays[f"{name}_labels"] = labels[index]
        arrays[f"{name}_index"] = index.astype(np.uint16)
    return arrays


def compress(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the arrays as an .npz inside .xz, which is a seventh smaller here than the .npz's own deflate."""
    raw = io.BytesIO()
    np.savez(raw, **arrays)
    return lzma.compress(raw.getvalue(), preset=6)


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays and print the figures to note: bytes and hash, and the brightness of the training pictures."""
    content = compress(arrays)
    path.write_bytes(content)
    pixels = arrays["train_images"] / 255
    print(f"wrote {path}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    print(f"training pixels: mean {pixels.mean():.4f}, standard deviation {pixels.std():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds train-images-idx3-ubyte.gz and its three companions")
    parser.add_argument("--out", type=Path, default=data.FASHION_FILE)
    arguments = parser.parse_args()

    arrays = subset(arguments.folder)
    write(arguments.out, arrays)


if __name__ == "__main__":
    main()
