"""A stand-in until the operations are merged: the interface, with the simplest pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Operation:
    """An operation on pictures."""

    name: str
    change: Callable[[Tensor, Tensor], Tensor]
    weakest: float = 0.0
    strongest: float = 0.0
    unit: str = ""
    signed: bool = False

    def strength(self, share: float | Tensor) -> float | Tensor:
        """Return the strength at a share of the scale."""
        return self.weakest + (self.strongest - self.weakest) * share

    def __call__(self, images: Tensor, strength: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the pictures changed."""
        strength = torch.as_tensor(strength, dtype=torch.float32).expand(len(images)).view(-1, 1, 1, 1)
        return self.change(images, strength)


def operation_named(name: str) -> Operation:
    """Return the operation of a name.

    Raises:
        ValueError: there is none.
    """
    for operation in (*AUTOAUGMENT_OPERATIONS, identity):
        if operation.name == name:
            return operation
    raise ValueError(f"no operation {name}")


def _as_it_is(images: Tensor, strength: Tensor) -> Tensor:
    return images.clone()


identity = Operation("identity", _as_it_is)
invert = Operation("invert", lambda images, strength: 255 - images)
solarize = Operation("solarize", lambda images, s: torch.where(images >= s, 255 - images, images), 255.0, 0.0, "grey")
shear_x = Operation("shear_x", _as_it_is, 0.0, 0.3, "", True)
shear_y = Operation("shear_y", _as_it_is, 0.0, 0.3, "", True)
translate_x = Operation("translate_x", _as_it_is, 0.0, 150 / 331, "side", True)
translate_y = Operation("translate_y", _as_it_is, 0.0, 150 / 331, "side", True)
rotate = Operation("rotate", _as_it_is, 0.0, 30.0, "degrees", True)
posterize = Operation("posterize", _as_it_is, 8.0, 4.0, "bits")
auto_contrast = Operation("auto_contrast", _as_it_is)
equalize = Operation("equalize", _as_it_is)
brightness = Operation("brightness", _as_it_is, 0.0, 0.9, "", True)
contrast = Operation("contrast", _as_it_is, 0.0, 0.9, "", True)
color = Operation("color", _as_it_is, 0.0, 0.9, "", True)
sharpness = Operation("sharpness", _as_it_is, 0.0, 0.9, "", True)
AUTOAUGMENT_OPERATIONS = (
    shear_x, shear_y, translate_x, translate_y, rotate, auto_contrast, invert, equalize, solarize, posterize,
    contrast, color, brightness, sharpness,
)  # fmt: skip
RANDAUGMENT_OPERATIONS = (identity, *(one for one in AUTOAUGMENT_OPERATIONS if one is not invert))
WIDE_OPERATIONS = tuple(replace(one, strongest=135.0) if one is rotate else one for one in RANDAUGMENT_OPERATIONS)
