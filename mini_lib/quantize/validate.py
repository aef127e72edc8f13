"""The questions that every quantizer asks of what it is given."""

from __future__ import annotations

import torch
from torch import Tensor

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def require_whole_number(name: str, value: object) -> None:
    """Refuse what is not an int; True is an int to Python, but no number of bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r} ({type(value).__name__})")


def require_bits(bits: object, low: int = 1, high: int = 16) -> None:
    """Refuse a width that no packed code can have."""
    require_whole_number("bits", bits)
    if not low <= bits <= high:
        raise ValueError(f"bits must be from {low} to {high}, got {bits}")


def require_dtype(name: str, dtype: object, allowed: tuple[torch.dtype, ...]) -> None:
    """Refuse a dtype that is not on the list."""
    if dtype not in allowed:
        names = ", ".join(map(str, allowed))
        raise ValueError(f"{name} must be one of {names}; got {dtype}")


def require_floats(name: str, values: object) -> None:
    """Refuse what is no tensor of floats, or is empty, or holds NaN or infinity."""
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


def finite_float32(name: str, values: Tensor) -> Tensor:
    """The values as float32, detached, once they are known to be finite floats."""
    require_floats(name, values)
    single = values.detach().to(torch.float32)
    if values.dtype == torch.float64 and not torch.isfinite(single).all():
        raise ValueError(f"{name} goes up to {values.abs().max():.3g}, which float32 cannot hold; scale it down first")
    return single


def finite_rows(rows: Tensor) -> Tensor:
    """A matrix of finite floats as float32: one row for each scale."""
    rows = finite_float32("rows", rows)
    if rows.dim() != 2:
        raise ValueError(f"rows must be a matrix with one row for each scale, got shape {tuple(rows.shape)}")
    return rows


def cast_finite(name: str, values: Tensor, dtype: torch.dtype) -> Tensor:
    """The values in `dtype`; refuse those that would become infinite in it."""
    cast = values.to(dtype)
    if not bool(cast.isfinite().all()):
        raise ValueError(
            f"{name} is as large as {values.abs().max():.4g}, and {dtype} ends at {torch.finfo(dtype).max:.4g}; "
            "use torch.bfloat16 or torch.float32"
        )
    return cast
