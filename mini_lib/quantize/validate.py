"""The checks that every quantizer makes on the numbers it is given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mini_lib.require import finite, of_type, whole
from mini_lib.tensor_checks import need_tensor

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def finite_float32(name: str, values: object, *, dims: int | None = None) -> Tensor:
    """Return the values as float32, detached, if they are a dense tensor of finite floats.

    Raises:
        TypeError: `values` is not a tensor, or does not hold floats.
        ValueError: it is empty, holds NaN or infinity, or goes beyond what float32 holds; or as `need_tensor`.
    """
    if isinstance(values, Tensor) and values.dtype not in FLOAT_DTYPES:
        raise TypeError(f"{name} must hold floats, got {values.dtype}; call .float() on it first")
    need_tensor(name, values, dims=dims, empty=True, fix="give floats, such as torch.tensor([1.0, 2.0])")
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
    return finite_float32("rows", rows, dims=2)


def need_codes(name: str, codes: object) -> Tensor:
    """Return the codes if they are a dense tensor of whole numbers.

    Raises:
        TypeError: they are not a tensor, or not whole numbers.
        ValueError: as `need_tensor`.
    """
    need_tensor(name, codes, floating=False, empty=True, fix="to_codes gives codes")
    if codes.is_floating_point() or codes.dtype == torch.bool:
        raise TypeError(f"{name} must be codes, whole numbers, got {codes.dtype}; to_codes gives them")
    return codes


def need_scale(scale: Tensor | float) -> Tensor:
    """Return the scales as float32 if 1 / scale is finite.

    Raises:
        TypeError: they are not numbers.
        ValueError: one is not finite, positive and normal.
    """
    scale = as_numbers("scale", scale).detach().float()
    if not bool((scale.isfinite() & (scale >= torch.finfo(torch.float32).tiny)).all()):
        raise ValueError(
            f"every scale must be finite and at least 1.2e-38, got {scale.min():.4g} to {scale.max():.4g}; "
            "choose_qparams gives valid scales"
        )
    return scale


def as_numbers(name: str, value: object) -> Tensor:
    """Return a number, or a tensor of numbers, as a tensor.

    Raises:
        TypeError: it is neither.
        ValueError: as `need_tensor`.
    """
    if not isinstance(value, Tensor):
        fix = "give a number or a tensor of numbers"
        number = value if isinstance(value, float) else finite(name, value, fix=fix)
        number = number if isinstance(number, float) else whole(name, number, fix=fix)
        value = torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else torch.int64)
    need_tensor(name, value, floating=False, fix="give a number or a tensor of numbers")
    if value.dtype == torch.bool or (value.is_floating_point() and value.dtype not in FLOAT_DTYPES):
        raise TypeError(f"{name} must be a number or a tensor of numbers, got {value.dtype}; cast it first")
    return value


def fits(shape: Sequence[int], *others: Sequence[int]) -> bool:
    """Return whether tensors of these shapes can be used with one of `shape` without making it larger.

    >>> fits((2, 3), (2, 1), ()), fits((2, 3), (3, 1)), fits((1, 3), (2, 3))
    (True, False, False)
    """
    try:
        return torch.broadcast_shapes(shape, *others) == tuple(shape)
    except RuntimeError:
        return False


def need_whole_numbers(name: str, value: object) -> Tensor:
    """Return a whole number, or a tensor of them, in int64.

    Raises:
        TypeError: it is neither.
        ValueError: as `need_tensor`.
    """
    if not isinstance(value, Tensor):
        value = torch.tensor(whole(name, value, fix="give a whole number or a tensor of them"))
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, got {value.dtype}; round them first")
    return need_tensor(name, value, floating=False, fix="give a whole number or a tensor of them").long()


def need_range(found: object) -> tuple[Tensor, Tensor]:
    """Return the result of an observer if it is the low and the high end of a range for each row.

    Raises:
        TypeError: it is something else.
        ValueError: it is not two tensors, or an end has no values.
    """
    fix = "return two tensors: the low and the high end of each row"
    ends = of_type("what the observer found", found, (tuple, list), fix=fix)
    if len(ends) != 2:
        raise ValueError(f"what the observer found must be two tensors, got {len(ends)}; {fix}")
    low, high = (need_tensor("an end of the observer's range", end, fix=fix) for end in ends)
    return low, high


def need_ends(qmin: object, qmax: object) -> tuple[int, int]:
    """Return the lowest and the highest code of a grid, of at most 32 bits.

    Raises:
        TypeError: one is not a whole number.
        ValueError: qmin is above qmax.
    """
    qmin = whole("qmin", qmin, low=-(2**31), high=2**31 - 1, fix="it is the lowest code, -7 for int4")
    qmax = whole("qmax", qmax, low=-(2**31), high=2**31 - 1, fix="it is the highest code, 7 for int4")
    if qmin > qmax:
        raise ValueError(f"qmin must be at most qmax, got {qmin} and {qmax}; they are the ends of the grid")
    return qmin, qmax


def need_zero_point(zero_point: Tensor | int, qmin: int, qmax: int) -> Tensor:
    """Return the zero points if they are codes.

    Raises:
        TypeError: they are not numbers.
        ValueError: one is not a whole number from qmin to qmax.
    """
    zero_point = as_numbers("zero_point", zero_point).detach()
    if not bool(((zero_point >= qmin) & (zero_point <= qmax) & (zero_point == zero_point.round())).all()):
        raise ValueError(f"zero_point must be a code, {qmin} to {qmax}; otherwise 0 is not on the grid")
    return zero_point


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
