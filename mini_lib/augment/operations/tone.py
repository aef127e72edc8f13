"""Operations on tones: each new value of a pixel depends on its old value, and on the histogram of its channel.

On uint8, torch compares and selects one element at a time, but adds, multiplies and masks 32 at a time. That is why the
masks here are made by shifting the sign of a difference through 16 bits.
"""

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation


def _kept(images: Tensor, strengths: Tensor) -> Tensor:
    return images.clone()


def _inverted(images: Tensor, strengths: Tensor) -> Tensor:
    return ~images  # 255 - value


def _solarized(images: Tensor, strengths: Tensor) -> Tensor:
    """Invert every value from the threshold on. 255 - value is value ^ 255."""
    threshold = _per_picture(strengths.ceil())
    return images ^ _where_negative(threshold - 1 - images)


def _solarize_added(images: Tensor, strengths: Tensor) -> Tensor:
    """Brighten every value below 128, to at most 255."""
    added = torch.minimum(_per_picture(strengths.floor()), 255 - images.to(torch.int16))
    return images + (_where_negative(images.to(torch.int16) - 128) & added.to(torch.uint8))


def _posterized(images: Tensor, strengths: Tensor) -> Tensor:
    """Keep the highest bits."""
    return images & _HIGHEST_BITS.index_select(0, strengths.round().int())


def _auto_contrasted(images: Tensor, strengths: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its lightest 255."""
    low = images.amin(dim=(2, 3), keepdim=True).double()
    high = images.amax(dim=(2, 3), keepdim=True).double()
    flat = low == high
    scale = torch.full_like(low, 255) / (high - low)
    offset = torch.where(flat, 0.0, -low * scale)
    scale = torch.where(flat, 1.0, scale)
    return images.double().mul_(scale).add_(offset).to(torch.int16).to(torch.uint8)


def _equalized(images: Tensor, strengths: Tensor) -> Tensor:
    """Map the values of each channel so that all levels are about equally frequent.

    The new value counts how many steps of 1/255 of the pixels are darker. The pixels of the lightest value are left out
    of the steps.
    """
    channels = images.flatten(0, 1).flatten(1)
    count = len(channels)
    row = torch.arange(0, 256 * count, 256, dtype=torch.int32).unsqueeze(1)
    histogram = torch.bincount((channels + row).flatten(), minlength=256 * count).view(count, 256)
    darker = histogram.cumsum(dim=1).sub_(histogram)
    lightest = channels.amax(dim=1, keepdim=True).long()
    step = darker.gather(1, lightest).div_(255, rounding_mode="floor")
    table = (darker + step // 2).double().div_(step).clamp_(max=255)
    table = torch.where(step == 0, torch.arange(256), table).to(torch.int16).to(torch.uint8)
    return table.gather(1, channels.long()).view(images.shape)


def _per_picture(values: Tensor) -> Tensor:
    return values.to(torch.int16).view(-1, 1, 1, 1)


def _where_negative(values: Tensor) -> Tensor:
    """Return 255 where an int16 is negative and 0 elsewhere, uint8."""
    return (values >> 15).to(torch.uint8)


_HIGHEST_BITS = torch.tensor([0xFF00 >> bits & 0xFF for bits in range(9)], dtype=torch.uint8).view(9, 1, 1, 1)

identity = Operation("identity", _kept)
invert = Operation("invert", _inverted)
solarize = Operation("solarize", _solarized, 255.0, 0.0, "grey", limits=(0, 256))
# EfficientNet's code, the first with RandAugment: https://github.com/tensorflow/tpu, autoaugment.py.
solarize_add = Operation("solarize_add", _solarize_added, 0.0, 110.0, "grey", limits=(0, 255))
posterize = Operation("posterize", _posterized, 8.0, 4.0, "bits", whole=True, limits=(0, 8))
auto_contrast = Operation("auto_contrast", _auto_contrasted)
equalize = Operation("equalize", _equalized)
