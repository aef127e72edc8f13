"""Uniform grids: value = scale * (code - zero_point).

Values to codes, codes to values, and both in one step. These functions follow torch's arithmetic to the last bit: it
multiplies by the float32 reciprocal of the scale, where dividing would round some ties the other way, and rounds half
to even. The scale and the zero point are chosen in `formats/integer.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import (
    FLOAT_DTYPES,
    as_numbers,
    fits,
    need_codes,
    need_ends,
    need_scale,
    need_zero_point,
)
from mini_lib.require import whole
from mini_lib.tensor_checks import need_tensor


def to_codes(x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int) -> Tensor:
    """Return the nearest codes: clamp(round(x / scale) + zero_point, qmin, qmax), as int32 of the shape of `x`.

    `scale` and `zero_point` must broadcast against `x`.

    Raises:
        TypeError: `x` does not hold floats, or the grid is not made of numbers.
        ValueError: `x` holds NaN, for which there is no code; a scale is not finite, positive and normal; a zero point
            lies outside the codes; or the shapes do not broadcast.

    >>> x = torch.tensor([-1.0, 0.25, 0.5, 0.75, 9.0])      # in steps: -2, 0.5, 1, 1.5, 18
    >>> to_codes(x, torch.tensor(0.5), torch.tensor(0), -7, 7)       # 0.5 and 1.5 go to the even code
    tensor([-2,  0,  1,  2,  7], dtype=torch.int32)

    Source: Jacob 2018, equation 12.
    """
    _need_floats(x)
    if bool(x.isnan().any()):
        raise ValueError("x holds NaN, for which there is no code; find out where it comes from")
    qmin, qmax = need_ends(qmin, qmax)
    scale, zero_point = need_scale(scale), need_zero_point(zero_point, qmin, qmax)
    _need_broadcast(x, scale, zero_point)
    return nearest_codes(x, scale, zero_point, qmin, qmax)


def nearest_codes(x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int) -> Tensor:
    """Do the same as `to_codes`, for a caller who knows that the grid is valid and `x` holds no NaN.

    >>> nearest_codes(torch.tensor([0.3, 9.0]), torch.tensor(0.5), torch.tensor(0), -7, 7)
    tensor([1, 7], dtype=torch.int32)
    """
    return _grid_position(x, scale, zero_point, qmin, qmax).to(torch.int32)


def from_codes(codes: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Return the values that codes stand for, scale * (code - zero_point), as float32.

    Raises:
        TypeError: the codes are not whole numbers, or the scale or the zero point is not a number.
        ValueError: the shapes do not broadcast.

    >>> from_codes(torch.tensor([0, 1, 3]), torch.tensor(0.5), torch.tensor(1))
    tensor([-0.5000,  0.0000,  1.0000])

    Source: Jacob 2018, equation 1.
    """
    need_codes("codes", codes)
    scale, zero_point = as_numbers("scale", scale), as_numbers("zero_point", zero_point)
    _need_broadcast(codes, scale, zero_point)
    return values_of(codes, scale, zero_point)


def values_of(codes: Tensor, scale: Tensor, zero_point: Tensor | int) -> Tensor:
    """Do the same as `from_codes`, for a caller who knows that the codes and the grid are valid.

    >>> values_of(torch.tensor([3]), torch.tensor(0.5), 1)
    tensor([1.])
    """
    return (codes - zero_point).float() * scale.float()


def fake_quantize(
    x: Tensor, scale: Tensor | float, zero_point: Tensor | int, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    """Round `x` to the grid and back: the values that the network sees once `x` is quantized. Same shape and dtype.

    scale, zero_point: single numbers, or 1-D with one entry for each index along `axis`.
    Bit-equal to torch.fake_quantize_per_tensor_affine and torch.fake_quantize_per_channel_affine, with two exceptions:
    a NaN stays a NaN, where torch returns the lowest value of the grid; and beyond 2**63 steps a value saturates, where
    torch's per-channel kernel overflows and sends it to the lowest code.

    Raises:
        TypeError: `x` does not hold floats, or the grid is not made of numbers.
        ValueError: a scale is not finite, positive and normal, a zero point lies outside the codes, or the number of
            scales is not the size of the axis.

    >>> fake_quantize(torch.tensor([-1.0, 0.3, 2.5]), scale=0.5, zero_point=0, qmin=-2, qmax=1)
    tensor([-1.0000,  0.5000,  0.5000])
    >>> fake_quantize(torch.tensor([[0.6], [0.6]]), torch.tensor([0.5, 1.0]), torch.tensor([0, 0]), -2, 1, axis=0)
    tensor([[0.5000],
            [1.0000]])

    Source: Jacob 2018, section 3; Nagel 2021, equation 2.4-2.7.
    """
    _need_floats(x)
    qmin, qmax = need_ends(qmin, qmax)
    scale, zero_point = need_scale(scale), need_zero_point(zero_point, qmin, qmax)
    if axis is not None:
        scale, zero_point = _along(axis, scale, x), _along(axis, zero_point, x)
    elif scale.numel() != 1 or zero_point.numel() != 1:
        raise ValueError(f"got {scale.numel()} scales and no axis; name the axis that they belong to")
    steps = _grid_position(x, scale, zero_point, qmin, qmax) - zero_point
    if axis is None:
        steps = steps.float()  # as torch does; it matters for float64, whose product stays float64 per channel
    return (steps * scale).to(x.dtype)


def _grid_position(x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int) -> Tensor:
    wide = x if x.dtype == torch.float64 else x.float()  # 16-bit floats are rounded once, at the end
    # Adding the zero point turns -0.0 into +0.0, as a whole number would.
    return torch.clamp(torch.round(wide * (1.0 / scale.float())) + zero_point, qmin, qmax)


def _need_floats(x: object) -> None:
    need_tensor("x", x, floating=False, empty=True, fix="give floats, such as torch.tensor([1.0, 2.0])")
    if x.dtype not in FLOAT_DTYPES:
        raise TypeError(f"x must hold floats, got {x.dtype}; call .float() on it first")


def _need_broadcast(x: Tensor, scale: Tensor, zero_point: Tensor) -> None:
    if not fits(x.shape, scale.shape, zero_point.shape):
        raise ValueError(
            f"a scale of shape {list(scale.shape)} and a zero point of shape {list(zero_point.shape)} do not broadcast "
            f"against shape {list(x.shape)}; give single numbers, or one per row as [rows, 1]"
        )


def _along(axis: int, values: Tensor, x: Tensor) -> Tensor:
    axis = whole("axis", axis, fix="0 is the output channel")
    if not -x.dim() <= axis < x.dim():
        raise ValueError(f"axis {axis} is out of range for a tensor of shape {tuple(x.shape)}")
    if values.shape != (x.shape[axis],):
        raise ValueError(
            f"axis {axis} of a tensor of shape {tuple(x.shape)} needs {x.shape[axis]} scales and zero points, "
            f"got shape {tuple(values.shape)}"
        )
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.view(shape)
