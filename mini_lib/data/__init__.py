"""The course's pictures, split into training, validation and test data. Nothing is ever downloaded.

Clothes (Fashion-MNIST) and digits (MNIST) are shipped; CIFAR-10 is read from a folder, for those who have it.
"""

from mini_lib.data.cifar import CIFAR_CLASSES, CIFAR_MEAN, CIFAR_STD, cifar10
from mini_lib.data.fashion_mnist import FASHION_CLASSES, FASHION_FILE, fashion, full_fashion, read_idx, read_shipped
from mini_lib.data.mnist import DIGIT_MEAN, DIGIT_STD, DIGITS_FILE, digits
from mini_lib.data.split import PIXEL_MEAN, PIXEL_STD, Split, Splits, SplitsWithReference, split_of_bytes, to_pixels
