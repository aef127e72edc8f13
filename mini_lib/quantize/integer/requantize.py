"""Requantization: from int32 accumulators to 8-bit codes, by one integer multiplication and one shift.

An accumulator counts units of scale_a * scale_w, and a code of the next layer steps of scale_out. Their ratio is the
real number M = scale_a * scale_w / scale_out, which is mostly small. An integer machine writes it as M0 * 2**-n, with
M0 from 0.5 to 1 as a 31-bit fraction:

    code = round(accumulator * M0 * 2**-n) + zero_point            multiplier = round(2**31 * M0), shift = n

The product of two 32-bit numbers is exact in 64 bits, and here it is rounded **once**, half to even, like all rounding
in this library. The original kernels (gemmlowp) round twice, both times half away from zero: first to the upper 32 bits
of the doubled product, the "rounding doubling high multiply", then in the shift by n. Where the first rounding ends at
a half, the second rounds it again; so about one code in 2**(n+1) comes out one higher in magnitude.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import as_numbers, fits, need_ends
from mini_lib.require import whole
from mini_lib.tensor_checks import need_tensor


def multiplier_and_shift(real: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return int32 `multiplier` from 2**30 to 2**31 - 1 and `shift` such that real = multiplier * 2**-(31 + shift).

    The multiplier is rounded to nearest, so the relative error is at most 2**-31. A number below 2**-32 takes every
    int32 to less than a half, which rounds to 0: it becomes multiplier 0 and shift 0.

    Raises:
        ValueError: a number is not above 0, is not finite, or is 2**29 or more.

    >>> multiplier_and_shift(0.75)                               # 0.75 * 2**0
    (tensor(1610612736, dtype=torch.int32), tensor(0, dtype=torch.int32))
    >>> multiplier_and_shift(torch.tensor([0.1875, 3.0]))        # 0.75 * 2**-2, 0.75 * 2**2
    (tensor([1610612736, 1610612736], dtype=torch.int32), tensor([ 2, -2], dtype=torch.int32))

    Source: Jacob 2018, section 2.2, equation 6.
    """
    real = as_numbers("a multiplier", real).double()
    if not bool(((real > 0) & (real < 2.0**29)).all()):
        raise ValueError(
            f"a multiplier must be above 0 and below 2**29, got {real.min():.4g} to {real.max():.4g}; it is "
            "scale_a * scale_w / scale_out"
        )
    mantissa, exponent = torch.frexp(real)
    multiplier = torch.round(torch.ldexp(mantissa, torch.tensor(31))).long()
    full = multiplier == 2**31  # a mantissa that rounds up to 1
    multiplier = torch.where(full, 2**30, multiplier)
    shift = -(exponent + full.int())
    tiny = real < 2.0**-32
    return multiplier.masked_fill(tiny, 0).to(torch.int32), shift.masked_fill(tiny, 0).to(torch.int32)


def requantize(accumulator: Tensor, multiplier: Tensor, shift: Tensor, zero_point: int, qmin: int, qmax: int) -> Tensor:
    """Return the codes clamp(round(accumulator * multiplier * 2**-(31 + shift)) + zero_point, qmin, qmax), as int32.

    Rounded once, half to even. A ReLU before the grid is the clamp with qmin = zero_point.

    Args:
        accumulator: int32.
        multiplier, shift: from `multiplier_and_shift`; they must broadcast against the accumulator.

    Raises:
        TypeError: the accumulator is not int32, or the multiplier, the shift or a code is not whole.
        ValueError: qmin is above qmax, a shift is one that `multiplier_and_shift` never gives, or shapes do not fit.

    >>> half = multiplier_and_shift(0.5)
    >>> requantize(torch.tensor([3, 5, -3, 400], dtype=torch.int32), *half, zero_point=10, qmin=0, qmax=100)
    tensor([ 12,  12,   8, 100], dtype=torch.int32)

    Source: Jacob 2018, sections 2.2 and 2.4.
    """
    if not isinstance(accumulator, Tensor) or accumulator.dtype != torch.int32:
        raise TypeError(f"an accumulator is an int32 tensor, got {_kind(accumulator)}; integer_matmul gives one")
    for name, value in (("multiplier", multiplier), ("shift", shift)):
        if (
            not isinstance(value, Tensor)
            or value.is_floating_point()
            or value.is_complex()
            or value.dtype == torch.bool
        ):
            raise TypeError(f"{name} must be an int32 tensor, got {_kind(value)}; multiplier_and_shift gives it")
    for value in (accumulator, multiplier, shift):
        need_tensor("a tensor", value, floating=False, empty=True, fix="give int32 tensors with values")
    _need_broadcast(accumulator, multiplier, shift)
    if shift.numel() and not -30 <= shift.min() <= shift.max() <= 31:
        raise ValueError(f"shift must be -30 to 31, got {shift.min()} to {shift.max()}; multiplier_and_shift gives it")
    qmin, qmax = need_ends(qmin, qmax)
    zero_point = whole("zero_point", zero_point, low=-(2**31), high=2**31 - 1, fix="it is the code of zero")
    product = accumulator.long() * multiplier.long()  # below 2**31 * 2**31 = 2**62
    places = 31 + shift.long()  # 1 to 62
    half = torch.ones_like(places) << (places - 1)
    odd = (product >> places) & 1  # >> rounds down; with half less one added it rounds half down, with an odd one up
    return ((product + half - 1 + odd >> places) + zero_point).clamp(qmin, qmax).to(torch.int32)


def _need_broadcast(accumulator: Tensor, multiplier: Tensor, shift: Tensor) -> None:
    if not fits(accumulator.shape, multiplier.shape, shift.shape):
        raise ValueError(
            f"multiplier {list(multiplier.shape)} and shift {list(shift.shape)} do not fit an accumulator of shape "
            f"{list(accumulator.shape)}; give single numbers, or one per channel as [channels, 1, 1]"
        )


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
