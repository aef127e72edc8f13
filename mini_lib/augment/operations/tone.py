"""Operations on tones: each new value of a pixel depends on its old value, and on the histogram of its picture."""

import torch
from torch import Tensor

from mini_lib.augment.operations.operation import Operation


def _kept(images: Tensor, strengths: Tensor) -> Tensor:
    return images.clone()


def _inverted(images: Tensor, strengths: Tensor) -> Tensor:
    return 255 - images


def _solarized(images: Tensor, strengths: Tensor) -> Tensor:
    """Invert every value from the threshold on."""
    threshold = _per_picture(strengths.ceil())
    light = images >= threshold.clamp(max=255).to(torch.uint8)
    return torch.where(light & (threshold < 256), 255 - images, images)


def _solarize_added(images: Tensor, strengths: Tensor) -> Tensor:
    """Brighten the dark half."""
    added = _per_picture(strengths.floor()).to(torch.uint8)
    return torch.where(images < 128, images + torch.minimum(added, 255 - images), images)


def _posterized(images: Tensor, strengths: Tensor) -> Tensor:
    """Keep the highest bits."""
    kept = 256 - 2 ** (8 - strengths.round())
    return images & _per_picture(kept).to(torch.uint8)


def _auto_contrasted(images: Tensor, strengths: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its lightest 255."""
    low = images.amin(dim=(2, 3), keepdim=True).double()
    high = images.amax(dim=(2, 3), keepdim=True).double()
    scale = torch.where(high > low, 255.0 / (high - low), 1.0)
    offset = torch.where(high > low, -low * scale, 0.0)
    return (images * scale + offset).clamp(0, 255).to(torch.uint8)


def _equalized(images: Tensor, strengths: Tensor) -> Tensor:
    """Map the values so that about equally many pixels of each channel have each of them."""
    channels = images.flatten(0, 1).flatten(1).long()
    histogram = torch.zeros(len(channels), 256, dtype=torch.int64)
    histogram.scatter_add_(1, channels, torch.ones_like(channels))
    cumulated = histogram.cumsum(dim=1)
    last = histogram.gather(1, channels.amax(dim=1, keepdim=True)) if channels.numel() else histogram[:, :1]
    step = (channels.shape[1] - last) // 255
    table = (step // 2 + cumulated - histogram).div(step.clamp(min=1), rounding_mode="floor").clamp(max=255)
    table = torch.where(step > 0, table, torch.arange(256))
    return table.gather(1, channels).to(torch.uint8).view(images.shape)


def _per_picture(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


identity = Operation("identity", _kept)
invert = Operation("invert", _inverted)
solarize = Operation("solarize", _solarized, 255.0, 0.0, "grey", limits=(0, 256))
solarize_add = Operation("solarize_add", _solarize_added, 0.0, 110.0, "grey", limits=(0, 255))
posterize = Operation("posterize", _posterized, 8.0, 4.0, "bits", whole=True, limits=(0, 8))
auto_contrast = Operation("auto_contrast", _auto_contrasted)
equalize = Operation("equalize", _equalized)
