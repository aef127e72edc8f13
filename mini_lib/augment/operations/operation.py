"""An operation: a change of pixels, and the scale of strengths on which its magnitudes lie."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite
from numbers import Real

import torch
from torch import Tensor

from mini_lib.augment.pictures import need_pictures
from mini_lib.require import callable_, finite, of_type, shown
from mini_lib.require import share as need_share
from mini_lib.tensor_checks import need_tensor

# From pictures uint8 [N, channels, height, width] and strengths float64 [N] to new pictures of the same shape. A
# function that draws gets a third argument: the generator.
Pixels = Callable[..., Tensor]


@dataclass(frozen=True)
class Operation:
    """A change of pictures, each with a strength of its own, and the scale on which its strengths are published.

    Strengths are in natural units (`unit`). The scale runs from `weakest` (share 0) to `strongest` (share 1); strengths
    outside the scale but inside `limits` are allowed too. `signed`: the strength is as often negative as positive.
    `whole`: only whole strengths have a meaning. `draws`: a part of the change is random, so it needs a generator. An
    operation whose `weakest` equals its `strongest` has no strength, and is called without one.

    Raises:
        TypeError: `pixels` cannot be called, an end of the scale is not a number, or another field has another type.
        ValueError: an end of the scale is not finite, or is outside the limits.

    >>> darker = Operation("darker", lambda images, strengths: images - 10)
    >>> darker(torch.full((2, 1, 1, 1), 30, dtype=torch.uint8)).flatten()
    tensor([20, 20], dtype=torch.uint8)
    >>> Operation("turn", lambda images, strengths: images, 0.0, 30.0, "degrees", limits=(-360, 360)).strength(0.5)
    15.0
    """

    name: str
    pixels: Pixels
    weakest: float = 0.0
    strongest: float = 0.0
    unit: str = ""
    signed: bool = False
    whole: bool = False
    draws: bool = False
    limits: tuple[float, float] = (-inf, inf)

    def __post_init__(self) -> None:
        for name, kind in {"name": str, "unit": str, "signed": bool, "whole": bool, "draws": bool}.items():
            of_type(name, getattr(self, name), kind, fix="see the fields of rotate, say")
        callable_("pixels", self.pixels, fix="pass a function of pictures and strengths")
        if not (
            isinstance(self.limits, tuple) and len(self.limits) == 2 and all(isinstance(n, Real) for n in self.limits)
        ):
            raise TypeError(f"limits of {self.name} must be a pair of numbers, got {shown(self.limits)}; use (-1, 1)")
        for end in ("weakest", "strongest"):
            value = finite(f"{end} of {self.name}", getattr(self, end), fix="both ends of the scale are numbers")
            object.__setattr__(self, end, value)
            for one in (value, -value) if self.signed else (value,):
                if not self.limits[0] <= one <= self.limits[1]:
                    raise ValueError(
                        f"{end} of {self.name} must lie in {list(self.limits)}, got {one}"
                        f"{' (its sign is drawn)' if self.signed else ''}; change the scale"
                    )

    def strength(self, share: float | Tensor) -> float | Tensor:
        """Return the strength at a share of the scale, in natural units: 0 is the weakest, 1 the strongest.

        Raises:
            TypeError: the share is neither a number nor a tensor.
            ValueError: a share is outside [0, 1].
        """
        if isinstance(share, Tensor):
            need_numbers(f"a share of the scale of {self.name}", share)
        ends = [share] if not isinstance(share, Tensor) else map(float, share.aminmax() if share.numel() else ())
        for end in ends:
            end = need_share(f"a share of the scale of {self.name}", end, zero=True, fix="1 is its end")
        strength = self.weakest + (self.strongest - self.weakest) * (share if isinstance(share, Tensor) else end)
        return _rounded(strength) if self.whole else strength

    def __call__(
        self, images: Tensor, strength: float | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return new pictures, number i changed with `strength[i]` (a single number is used for all).

        images: uint8 [N, 1 or 3, height, width]; N may be 0.

        Raises:
            TypeError: the pictures are not uint8, the strength is not a number, or there is no generator to draw from.
            ValueError: the pictures have another shape, or a strength is missing, not finite or outside the limits.
        """
        need_pictures(images)
        strengths = self._checked(strength, len(images))
        if self.draws and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"{self.name} draws for each picture and needs a torch.Generator, got {type(generator).__name__}; "
                "use torch.Generator().manual_seed(0)"
            )
        return self.unchecked(images, strengths, generator)

    def unchecked(self, images: Tensor, strengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return new pictures as a call does, for callers that have already checked pictures and strengths, float64
        [N]."""
        return self.pixels(images, strengths, generator) if self.draws else self.pixels(images, strengths)

    def _checked(self, strength: float | Tensor | None, count: int) -> Tensor:
        """Return the strengths as float64 [count]."""
        if strength is None:
            if self.weakest != self.strongest:
                raise ValueError(
                    f"the strength of {self.name} must be given, a number or a tensor [{count}]; "
                    f"use {self.name}.strength(share)"
                )
            strength = self.weakest
        if not isinstance(strength, Tensor):
            strength = finite(f"the strength of {self.name}", strength, fix=f"give a number, or a tensor [{count}]")
        elif strength.shape not in ((), (count,)):
            raise ValueError(
                f"the strength of {self.name} must be one number or have shape [{count}], "
                f"got {list(strength.shape)}; give one each"
            )
        else:
            need_numbers(f"the strength of {self.name}", strength)
        strength = strength.detach() if isinstance(strength, Tensor) else strength
        low, high = self.limits
        ends = (strength,) if not isinstance(strength, Tensor) else strength.aminmax() if strength.numel() else ()
        for end in map(float, ends):
            if not (low <= end <= high and isfinite(end)):
                raise ValueError(
                    f"the strength of {self.name} must be finite and in [{low:g}, {high:g}]"
                    f"{f' {self.unit}' if self.unit else ''}, got {end:g}; "
                    f"its scale runs from {self.weakest:g} to {self.strongest:g}"
                )
        if not isinstance(strength, Tensor) and count == 1:
            return torch.tensor([float(strength)], dtype=torch.float64)  # not cached: it could be overwritten
        if not isinstance(strength, Tensor):
            return _alike(strength, count)
        return strength.double() if strength.ndim else strength.double().expand(count)


@lru_cache
def _alike(strength: float, count: int) -> Tensor:
    """Return the same strength for all, cached for the next call; torch refuses writes to an expanded element."""
    return torch.tensor(float(strength), dtype=torch.float64).expand(count)


def need_operation(operation: object) -> None:
    """Refuse what is not an operation.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(operation, str):
        raise TypeError(f"operation must be an Operation, got the name {operation!r}; use operation_named(name)")
    if not isinstance(operation, Operation):
        raise TypeError(f"operation must be an Operation, got {shown(operation)}; use rotate, invert or another one")


def need_strength_of_each(images: object, strengths: object) -> None:
    """Refuse anything but pictures and a strength for each of them, as an operation passes them to its `pixels`.

    Raises:
        TypeError: one is not a tensor, or has another dtype.
        ValueError: one has another shape, or is not on the CPU.
    """
    need_pictures(images)
    fix = f"pass float64 [{len(images)}], one for each picture"
    need_tensor("strengths", strengths, dims=1, empty=True, fix=fix)
    if len(strengths) != len(images) or strengths.device.type != "cpu":
        raise ValueError(f"strengths must be one for each picture, got {shown(strengths)}; {fix}")


def need_numbers(name: str, values: Tensor) -> None:
    """Refuse a tensor that is not of real numbers, dense and on the CPU.

    Raises:
        TypeError: it is one.
    """
    unfit = values.is_quantized or values.dtype == torch.bool or values.is_complex() or values.layout != torch.strided
    if unfit or values.device.type != "cpu":
        got = f"{values.dtype} on {values.device}, {str(values.layout).removeprefix('torch.')}"
        raise TypeError(f"{name} must be real numbers on the CPU, got {got}; convert")


def _rounded(strength: float | Tensor) -> float | Tensor:
    return strength.round() if isinstance(strength, Tensor) else float(round(strength))
