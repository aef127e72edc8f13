"""Uniform grids: value = scale * (code - zero_point).

Three steps, each a function: choose the scale and the zero point from the range of the values, turn
values into codes, turn codes back into values. They follow torch's arithmetic to the last bit: it
multiplies by the float32 reciprocal of the scale, where dividing would round some ties the other way,
and rounds half to even.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.formats import IntFormat
from mini_lib.quantize.validate import FLOAT_DTYPES, finite_float32, require_bits


def symmetric_scale(weight: Tensor, bits: int) -> Tensor:
    """The step of the symmetric signed grid that just reaches the largest magnitude of `weight`.

    >>> symmetric_scale(torch.tensor([-1.0, 0.5]), bits=2)     # codes -1, 0, 1: the step is 1
    tensor(1.)
    >>> symmetric_scale(torch.tensor([3.5, -1.0]), bits=4)     # codes -7 to 7: 3.5 / 7
    tensor(0.5000)

    Raises: ValueError for fewer than 2 bits, and for an empty or not finite `weight`.

    Source: Nagel 2021, section 2.2.1.
    """
    require_bits(bits, low=2)
    weight = finite_float32("weight", weight)
    scale, _ = choose_qparams(weight.min(), weight.max(), IntFormat(bits))
    return scale


def affine_scale(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The step and the zero point of the unsigned affine grid that covers `weight` and 0.

    >>> scale, zero_point = affine_scale(torch.tensor([-1.0, 0.0, 2.0]), bits=2)  # 4 codes, 3 steps
    >>> scale, zero_point                          # -1 is code 0, 0 is code 1, 2 is code 3
    (tensor(1.), tensor(1, dtype=torch.int32))

    Raises: as `symmetric_scale`.

    Source: Jacob 2018, section 2.1.
    """
    weight = finite_float32("weight", weight)
    return choose_qparams(weight.min(), weight.max(), IntFormat(bits, symmetric=False, signed=False))


def choose_qparams(low: Tensor, high: Tensor, fmt: IntFormat) -> tuple[Tensor, Tensor]:
    """The scale (float32) and zero point (int32) of the grids that cover `low` to `high`, one grid an element.

    The range is first widened to hold 0, so that 0 is exactly a code. An all-zero range gets scale 1.
    A scale is never zero: a range too small for a normal number gets the smallest one.
    With a 16-bit scale_dtype, the scale is one that this dtype holds exactly.

    >>> low, high = torch.tensor([-1.0, 0.5]), torch.tensor([2.0, 1.5])
    >>> choose_qparams(low, high, IntFormat(2, symmetric=False, signed=False))   # 3 / 3; 1.5 / 3
    (tensor([1.0000, 0.5000]), tensor([1, 0], dtype=torch.int32))
    >>> choose_qparams(low, high, IntFormat(3))                                  # 2 / 3; 1.5 / 3
    (tensor([0.6667, 0.5000]), tensor([0, 0], dtype=torch.int32))

    Raises: ValueError if a range is not finite or its low end lies above its high end, if the grid is
    unsigned and symmetric but `low` is negative, or if a scale does not fit the scale_dtype.

    Source: Jacob 2018, sections 2.1 and 3.1; Krishnamoorthi 2018, section 2.1.
    """
    low, high = low.detach().float(), high.detach().float()
    if not bool((low.isfinite() & high.isfinite() & (low <= high)).all()):
        raise ValueError("every range must be finite with its low end first; got NaN, infinity, or low above high")
    low, high = low.clamp(max=0), high.clamp(min=0)
    if fmt.symmetric:
        if not fmt.signed and bool((low < 0).any()):
            raise ValueError(
                f"an unsigned symmetric grid has no negative code, but the values go down to {low.min():.4g}; "
                "use signed=True or symmetric=False"
            )
        largest = torch.maximum(-low, high)
        scale = _storable(largest / fmt.qmax, largest, fmt.scale_dtype)
        return scale, torch.zeros_like(scale, dtype=torch.int32)
    steps = fmt.qmax - fmt.qmin
    scale = (high - low) / steps
    scale = torch.where(scale.isfinite(), scale, high / steps - low / steps)  # high - low may overflow
    scale = _storable(scale, torch.maximum(-low, high), fmt.scale_dtype)
    zero_point = fmt.qmin - torch.round(low / scale)
    return scale, zero_point.clamp(fmt.qmin, fmt.qmax).to(torch.int32)


def _storable(scale: Tensor, largest: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest scale that `dtype` holds: positive, finite, and with a finite reciprocal."""
    # fp16 scales may be subnormal (their reciprocal, taken in fp32, is finite); fp32 and bf16 ones may not.
    smallest = 2.0**-24 if dtype == torch.float16 else torch.finfo(torch.float32).tiny
    stored = scale.clamp(min=smallest).to(dtype).float()
    if not bool(stored.isfinite().all()):
        raise ValueError(
            f"a scale of {scale.max():.4g} does not fit {dtype} (at most {torch.finfo(dtype).max:.4g}); "
            "use scale_dtype=torch.float32"
        )
    return torch.where(largest == 0, torch.ones_like(stored), stored)


def to_codes(x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int) -> Tensor:
    """The nearest codes: clamp(round(x / scale) + zero_point, qmin, qmax), as int32 of the shape of `x`.

    `scale` and `zero_point` must broadcast against `x`.

    >>> x = torch.tensor([-1.0, 0.25, 0.5, 0.75, 9.0])      # in steps: -2, 0.5, 1, 1.5, 18
    >>> to_codes(x, torch.tensor(0.5), torch.tensor(0), -7, 7)       # 0.5 and 1.5 go to the even code
    tensor([-2,  0,  1,  2,  7], dtype=torch.int32)

    Source: Jacob 2018, equation 12.
    """
    return _grid_position(x, scale, zero_point, qmin, qmax).to(torch.int32)


def from_codes(codes: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """The values that codes stand for, scale * (code - zero_point), as float32.

    >>> from_codes(torch.tensor([0, 1, 3]), torch.tensor(0.5), torch.tensor(1))
    tensor([-0.5000,  0.0000,  1.0000])

    Source: Jacob 2018, equation 1.
    """
    return (codes - zero_point).float() * scale.float()


def fake_quantize(
    x: Tensor, scale: Tensor | float, zero_point: Tensor | int, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    """Round `x` to the grid and back: what the network sees once `x` is quantized. Same shape and dtype.

    scale, zero_point: single numbers, or 1-D with one entry for each index along `axis`.
    Bit-equal to torch.fake_quantize_per_tensor_affine and torch.fake_quantize_per_channel_affine, with two
    exceptions: a NaN stays a NaN, where torch returns the lowest value of the grid; and beyond 2**63 steps
    a value saturates, where torch's per-channel kernel overflows and sends it to the lowest code.

    >>> fake_quantize(torch.tensor([-1.0, 0.3, 2.5]), scale=0.5, zero_point=0, qmin=-2, qmax=1)
    tensor([-1.0000,  0.5000,  0.5000])
    >>> fake_quantize(torch.tensor([[0.6], [0.6]]), torch.tensor([0.5, 1.0]), torch.tensor([0, 0]), -2, 1, axis=0)
    tensor([[0.5000],
            [1.0000]])

    Raises: TypeError if `x` holds no floats; ValueError if a scale is not finite and positive (and normal), if a zero
    point lies outside the codes, or if the number of scales is not the size of the axis.

    Source: Jacob 2018, section 3; Nagel 2021, equation 2.4-2.7.
    """
    if x.dtype not in FLOAT_DTYPES:
        raise TypeError(f"x must hold floats, got {x.dtype}; call .float() on it first")
    scale = torch.as_tensor(scale).detach().float()
    zero_point = torch.as_tensor(zero_point).detach()
    if not bool((scale.isfinite() & (scale >= torch.finfo(torch.float32).tiny)).all()):
        raise ValueError(
            f"every scale must be finite and at least 1.2e-38, got {scale.min():.4g} to {scale.max():.4g}; "
            "choose_qparams gives such scales"
        )
    if not bool(((zero_point >= qmin) & (zero_point <= qmax)).all()):
        raise ValueError(f"zero_point must be a code, {qmin} to {qmax}; otherwise 0 is not on the grid")
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


def _along(axis: int, values: Tensor, x: Tensor) -> Tensor:
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
