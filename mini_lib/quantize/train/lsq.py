"""Learned step size quantization: the step of a grid is a parameter, and has a gradient of its own.

With Qn codes below zero and Qp above, the value of x on a grid of step s is s * round(clip(x / s, -Qn, Qp)). Treat the
rounding as straight-through, and differentiate the rest:

    dy/ds = round(x / s) - x / s    where -Qn < x / s < Qp           dy/dx = 1 there
            -Qn or Qp               where x is cut off               dy/dx = 0 there

Inside, the step's gradient depends on how far x lies from its code: near the border between two codes its sign flips.
Outside, it is the whole distance that the end of the grid moves.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from mini_lib.quantize.formats import IntFormat
from mini_lib.quantize.observers import checked_rows
from mini_lib.quantize.validate import as_numbers, fits
from mini_lib.require import positive, whole
from mini_lib.tensor_checks import need_tensor


def lsq(x: Tensor, step: Tensor, qmin: int | Tensor, qmax: int | Tensor, gradient_scale: float = 1.0) -> Tensor:
    """Round `x` to the codes qmin to qmax times `step`, with the paper's gradients for `x` and for `step`.

    The value is `fake_quantize(x, step, 0, qmin, qmax)` to the last bit. For a grid with a zero point z, pass
    qmin - z and qmax - z. torch's `_fake_quantize_learnable_per_tensor_affine` rounds before it compares: an x up to
    half a step beyond the last code counts as inside. There it gives dy/dx = 1 and dy/ds = qmax - x / s, between -1/2
    and 0, where the paper gives 0 and qmax. Everywhere else the two agree.

    Args:
        x: float32 of any shape.
        step: positive, float32; broadcasts against `x`, so [channels, 1] is one step per row.
        qmin, qmax: the lowest and the highest code, numbers or tensors that broadcast.
        gradient_scale: multiplies the step's gradient, see `lsq_gradient_scale`.

    Raises:
        TypeError: `x` or `step` is not a tensor of floats.
        ValueError: a step is not above 0, or does not fit `x`.

    x / s = 0.4, 1.8, 2.5 on codes -1 to 2: gradients 0 - 0.4, 2 - 1.8 and 2, together 1.8:

    >>> x, step = torch.tensor([0.2, 0.9, 1.25], requires_grad=True), torch.tensor(0.5, requires_grad=True)
    >>> y = lsq(x, step, -1, 2, gradient_scale=1.0)
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist(), round(step.grad.item(), 4)
    ([0.0, 1.0, 1.0], [1.0, 1.0, 0.0], 1.8)

    Source: S. Esser et al., "Learned Step Size Quantization", 2020, section 2, equations 1 to 5.
    """
    for name, value in (("x", x), ("step", step)):
        need_tensor(name, value, empty=True, fix="use a tensor of floats, torch.tensor([...])")
    for name, value in (("qmin", qmin), ("qmax", qmax), ("gradient_scale", gradient_scale)):
        as_numbers(name, value)
    if isinstance(qmin, Tensor) or isinstance(qmax, Tensor):  # torch clamps to two numbers, or to two tensors
        qmin, qmax = as_numbers("qmin", qmin), as_numbers("qmax", qmax)
    if not fits(x.shape, step.shape, *(end.shape for end in (qmin, qmax) if isinstance(end, Tensor))):
        raise ValueError(f"a step of shape {list(step.shape)} does not fit x {list(x.shape)}; give one, or one per row")
    if (step <= 0).any():
        raise ValueError(
            f"a step must be above 0, got {step.min():.4g}; learn its logarithm, or lower the learning rate"
        )
    return _LSQ.apply(x, step, qmin, qmax, gradient_scale)


def lsq_gradient_scale(values: int, qmax: int) -> float:
    """Return 1 / sqrt(values * qmax), which makes a step's update as large, relative to its size, as that of a weight.

    `values` is how many numbers share the step. The factor matters to plain gradient descent. Adam divides each
    gradient by its own size, so a constant factor does not change its updates.

    >>> lsq_gradient_scale(100, qmax=1)
    0.1

    Source: Esser 2020, section 2.2.
    """
    values = whole("values", values, low=1, fix="count the numbers that share the step")
    qmax = positive("qmax", qmax, fix="the highest code")
    return 1 / sqrt(values * qmax)


def lsq_range(rows: Tensor, fmt: IntFormat, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Choose the range that the paper's first step reaches: the step is 2 * mean |x| / sqrt(Qp), per row.

    It is an observer, like `min_max` and `mse`.

    Raises:
        TypeError, ValueError: as `min_max`.

    The mean of |x| is 2 and Qp = 1, so the step is 4 and the grid reaches from -4 to 4:

    >>> lsq_range(torch.tensor([[1.0, -3.0]]), IntFormat(2))
    (tensor([-4.]), tensor([4.]))

    Source: Esser 2020, section 2.1.
    """
    rows, often = checked_rows(rows, fmt, counts)
    mean = (rows.abs().double() * often).sum(dim=1) / often.sum(dim=1)
    reach = (
        (2 * mean * sqrt(fmt.qmax)).clamp(max=torch.finfo(torch.float32).max).float()
    )  # 2 * mean / sqrt(Qp), Qp times
    return -reach * (rows.amin(dim=1) < 0), reach


class _LSQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, step, qmin, qmax, gradient_scale) -> Tensor:
        steps = x * (1.0 / step)
        codes = steps.round().clamp_(qmin, qmax).add_(0.0)  # -0.0 becomes 0.0
        ctx.save_for_backward(steps, codes)
        ctx.ends, ctx.gradient_scale, ctx.step_shape = (qmin, qmax), gradient_scale, step.shape
        return codes * step

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        steps, codes = ctx.saved_tensors
        inside = (steps > ctx.ends[0]) & (steps < ctx.ends[1])
        to_x = gradient * inside
        # codes * gradient everywhere, less steps * gradient inside
        to_step = (codes * gradient).sub_(steps * to_x) if ctx.needs_input_grad[1] else None
        if to_step is not None:
            to_step = to_step.sum_to_size(ctx.step_shape) * ctx.gradient_scale
        return to_x, to_step, None, None, None
