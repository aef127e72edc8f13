"""PACT: the point at which an activation is cut off is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.quantize.affine import fake_quantize
from mini_lib.quantize.formats import IntFormat
from mini_lib.require import positive, whole


class PACT(nn.Module):
    """Cut activations to 0 to `clip`, which is learned, and round them to a grid of 2**bits codes over that range.

    y = clip / (2**bits - 1) * round(clamp(x, 0, clip) * (2**bits - 1) / clip). Rounding is straight-through, so
    dy/dclip is 1 where x >= clip and 0 below: only values that are cut off move the clip. The paper adds an L2 penalty
    on the clip to the loss; without it, the cross-entropy alone decides where the clip settles.

    Raises:
        TypeError: `bits` is not a whole number, or `clip` not a number.
        ValueError: `bits` is not from 1 to 16, or `clip` is not positive.

    2 bits over 0 to 3 are the whole numbers:

    >>> pact = PACT(bits=2, clip=3.0)
    >>> y = pact(torch.tensor([-1.0, 1.2, 5.0, 8.0]))
    >>> y.sum().backward()
    >>> y.tolist(), pact.clip.grad.item()                        # two of them are cut off
    ([0.0, 1.0, 3.0, 3.0], 2.0)

    Source: J. Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", 2018, section 3.
    """

    def __init__(self, bits: int, clip: float = 6.0) -> None:
        super().__init__()
        bits = whole("bits", bits, low=1, high=16, fix="4 bits are 16 codes")
        clip = positive("clip", clip, fix="6.0 is a start; prepare takes it from calibration data")
        self.fmt = IntFormat(bits, signed=False)
        self.clip = nn.Parameter(torch.tensor(float(clip)))

    @property
    def scale(self) -> Tensor:
        """The step of the grid, clip / (2**bits - 1)."""
        return self.clip.detach() / self.fmt.qmax

    def forward(self, x: Tensor) -> Tensor:
        self._check_clip()
        return _PACT.apply(x, self.clip, self.scale, self.fmt.qmax)

    def grid(self) -> tuple[IntFormat, Tensor, Tensor]:
        """Return the format, the scale and the zero point 0, as they are stored.

        Raises:
            ValueError: the clip is no longer positive.
        """
        self._check_clip()
        return self.fmt, self.scale.clone(), torch.zeros((), dtype=torch.int32)

    def _check_clip(self) -> None:
        if not 0 < self.clip < torch.inf:
            raise ValueError(f"the trained clip is {self.clip.item():.4g}, not positive; lower the learning rate")

    def extra_repr(self) -> str:
        return f"bits={self.fmt.bits}, clip={self.clip.item():.4g}"


class _PACT(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, clip, scale, qmax) -> Tensor:
        ctx.save_for_backward(x, clip)
        return fake_quantize(x, scale, 0, 0, qmax)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        x, clip = ctx.saved_tensors
        return gradient * ((x > 0) & (x < clip)), (gradient * (x >= clip)).sum(), None, None
