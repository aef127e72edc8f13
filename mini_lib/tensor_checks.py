"""Checks of tensors that are given to a public function, worded like those of `require`."""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.require import shown


def need_tensor(
    name: str,
    value: object,
    *,
    dims: int | tuple[int, ...] | None = None,
    floating: bool = True,
    finite: bool = False,
    empty: bool = False,
    fix: str,
) -> Tensor:
    """Return `value` if it is a dense tensor of real numbers, with values in memory.

    Args:
        dims: the number of its axes, or the allowed numbers; without it, any number.
        floating: its numbers must be of a floating-point type.
        finite: it must hold neither NaN nor infinity.
        empty: it may hold nothing at all.
        fix: what to do instead; the message ends with it.

    Raises:
        TypeError: it is not a tensor, or holds another type of number.
        ValueError: it is sparse, quantized by torch, or on the meta device; or has other axes, no element, NaN or
            infinity.

    >>> need_tensor("weight", [1.0, 2.0], fix="wrap it: torch.tensor(weight)")
    Traceback (most recent call last):
    TypeError: weight must be a tensor, got [1.0, 2.0]; wrap it: torch.tensor(weight)
    >>> need_tensor("weight", torch.zeros(4), dims=2, fix="[out, in]")
    Traceback (most recent call last):
    ValueError: weight must have 2 axes, got shape [4]; [out, in]
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {shown(value)}; {fix}")
    small = value.is_floating_point() and value.itemsize < 2  # torch has little arithmetic for 8-bit floats
    if value.is_quantized or value.is_complex() or small or (floating and not value.is_floating_point()):
        kind = "floating-point" if floating else "real"
        raise TypeError(f"{name} must be a tensor of {kind} numbers, got {value.dtype}; {fix}")
    if value.layout is not torch.strided or value.is_nested or value.is_meta:
        got = "on the meta device" if value.is_meta else "sparse or nested"
        raise ValueError(f"{name} must be a dense tensor with values, got one that is {got}; {fix}")
    wanted = (dims,) if isinstance(dims, int) else dims
    if wanted is not None and value.dim() not in wanted:
        axes = " or ".join(map(str, wanted))
        raise ValueError(
            f"{name} must have {axes} {'axis' if axes == '1' else 'axes'}, got shape {list(value.shape)}; {fix}"
        )
    if not (empty or value.numel()):
        raise ValueError(f"{name} must hold at least one number, got shape {list(value.shape)}; {fix}")
    if finite and not value.isfinite().all():
        raise ValueError(f"{name} must be finite, and holds NaN or infinity; {fix}")
    return value
