"""The questions that every quantizer asks of the numbers it is given."""

from __future__ import annotations

import torch
from torch import Tensor

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def finite_float32(name: str, values: object) -> Tensor:
    """Return the values as float32, detached, if they are a tensor of finite floats.

    Raises:
        TypeError: `values` is not a tensor, or does not hold floats.
        ValueError: it is empty, holds NaN or infinity, or goes beyond what float32 holds.
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(values).__name__}; use torch.tensor(...)")
    if values.dtype not in FLOAT_DTYPES:
        raise TypeError(f"{name} must hold floats, got {values.dtype}; call .float() on it first")
    if values.numel() == 0:
        raise ValueError(f"{name} is empty (shape {tuple(values.shape)}); there is nothing to quantize")
    bad = values.numel() - int(torch.isfinite(values).sum())
    if bad:
        raise ValueError(
            f"{name} holds {bad} NaN or infinite of {values.numel()} values; "
            "no grid can hold them: find out where they come from, or replace them with torch.nan_to_num"
        )
    single = values.detach().to(torch.float32)
    if values.dtype == torch.float64 and not torch.isfinite(single).all():
        raise ValueError(f"{name} goes up to {values.abs().max():.3g}, which float32 cannot hold; scale it down first")
    return single


def finite_rows(rows: Tensor) -> Tensor:
    """Return a matrix of finite floats as float32: one row for each scale.

    Raises:
        TypeError: `rows` is not a tensor, or does not hold floats.
        ValueError: it is not a matrix, is empty, or holds NaN or infinity.
    """
    rows = finite_float32("rows", rows)
    if rows.dim() != 2:
        raise ValueError(f"rows must be a matrix with one row for each scale, got shape {tuple(rows.shape)}")
    return rows


def cast_finite(name: str, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the values in `dtype`.

    Raises:
        ValueError: a value would become infinite.
    """
    cast = values.to(dtype)
    if not bool(cast.isfinite().all()):
        raise ValueError(
            f"{name} is as large as {values.abs().max():.4g}, and {dtype} ends at {torch.finfo(dtype).max:.4g}; "
            "use torch.bfloat16 or torch.float32"
        )
    return cast
