"""The straight-through estimator: round on the way forward, and let the gradient pass as if nothing had happened.

Rounding is a staircase. Its slope is 0 on every step, so gradient descent through it never moves a weight. The
straight-through estimator uses the slope of the line that the staircase follows, 1, instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.affine import fake_quantize
from mini_lib.tensor_checks import need_tensor


def straight_through(value: Tensor, x: Tensor) -> Tensor:
    """Return `value`, to the last bit, whose gradient goes to `x` unchanged; both have one shape.

    `x + (value - x).detach()` has the same gradient, but its sum rounds, and is then not exactly `value`.

    Raises:
        TypeError: one of them is not a tensor of floats.
        ValueError: their shapes differ.

    >>> x = torch.tensor([0.3], requires_grad=True)
    >>> straight_through(torch.tensor([7.0]), x).backward()
    >>> x.grad
    tensor([1.])
    """
    for name, each in (("value", value), ("x", x)):
        need_tensor(name, each, empty=True, fix="give floats: torch.tensor(x).float()")
    if value.shape != x.shape:
        raise ValueError(f"value {list(value.shape)} and x {list(x.shape)} must have one shape; expand one of them")
    return _StraightThrough.apply(value, x)


def round_ste(x: Tensor) -> Tensor:
    """Round to the nearest whole number, half to even; the gradient passes unchanged.

    Raises:
        TypeError: `x` is not a tensor of floats.

    >>> x = torch.tensor([0.4, 1.5, -2.7], requires_grad=True)
    >>> y = round_ste(x)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([ 0.,  2., -3.]), tensor([1., 1., 1.]))

    Source: Y. Bengio, N. Leonard, A. Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for
    Conditional Computation", 2013, section 4.
    """
    need_tensor("x", x, empty=True, fix="give floats: torch.tensor(x).float()")
    return straight_through(x.detach().round(), x)


def fake_quantize_ste(
    x: Tensor, scale: Tensor | float, zero_point: Tensor | int, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    """Round `x` to the grid and back as `fake_quantize` does, to the last bit, with a gradient for `x`.

    The gradient is 1 where the *rounded* value is a code of the grid, and 0 where it was cut off. Steps of 1 from -128:
    -128.4 rounds to -128 and passes, -128.6 would be -129 and does not. torch has the same rule. `lsq` compares before
    it rounds, as in its paper: there neither passes.

    Args:
        x: floats of any shape.
        scale, zero_point, qmin, qmax, axis: as in `fake_quantize`. They get no gradient.

    Raises:
        TypeError: `x` does not hold floats.
        ValueError: as `fake_quantize`.

    >>> x = torch.tensor([-128.6, -128.4, 3.3], requires_grad=True)
    >>> fake_quantize_ste(x, 1.0, 0, -128, 127).sum().backward()
    >>> x.grad
    tensor([0., 1., 1.])

    Source: Bengio 2013, section 4; Jacob 2018, section 3.1; the mask is that of torch.fake_quantize_per_tensor_affine.
    """
    return _FakeQuantize.apply(x, scale, zero_point, qmin, qmax, axis)


def sign_ste(x: Tensor) -> Tensor:
    """Return the sign of `x`, +1 for 0; the gradient passes where |x| <= 1.

    Raises:
        TypeError: `x` is not a tensor of floats.

    >>> x = torch.tensor([-3.0, -0.5, 0.0, 1.0], requires_grad=True)
    >>> y = sign_ste(x)
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([-1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0])

    Source: M. Courbariaux et al., "Binarized Neural Networks", 2016, section 1.3, equation 4.
    """
    need_tensor("x", x, empty=True, fix="give floats: torch.tensor(x).float()")
    return _Sign.apply(x)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.abs() <= 1)
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        return gradient * inside


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, x: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        return None, gradient


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, zero_point, qmin, qmax, axis) -> Tensor:
        y = fake_quantize(x, scale, zero_point, qmin, qmax, axis)
        scale, zero_point = torch.as_tensor(scale).detach().float(), torch.as_tensor(zero_point).detach()
        if axis is not None:
            shape = [1] * x.dim()
            shape[axis] = -1
            scale, zero_point = scale.view(shape), zero_point.view(shape)
        wide = x if x.dtype == torch.float64 else x.float()
        code = torch.round(wide * (1.0 / scale)) + zero_point
        ctx.save_for_backward((code >= qmin) & (code <= qmax))
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None, None, None
