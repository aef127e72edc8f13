"""The learned step of a grid: positive, always a value that can be stored, and exactly its start until it learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.quantize.train.ste import straight_through

SMALLEST = torch.finfo(torch.float32).tiny  # below it 1 / step overflows


class LearnedStep(nn.Module):
    """A step `start * exp(growth)`, rounded to the dtype in which it is stored. Training learns `growth`, from 0.

    Adam moves a parameter by about the learning rate in each update, whatever the size of its gradient. A step of 0.002
    would turn negative after two updates of 0.001; its logarithm changes by a share, and the step stays positive. A
    growth of 0 is the starting grid to the last bit, so weight decay pulls a step back to its start.

    Args:
        start: the steps to begin with, of any shape.
        dtype: float32, float16 or bfloat16.
        learned: whether `growth` is trained.

    >>> step = LearnedStep(torch.tensor([0.5]), torch.float32)
    >>> step()
    tensor([0.5000], grad_fn=<MulBackward0>)

    Source: the logarithm: S. Jain et al., "Trained Quantization Thresholds for Accurate and Efficient Fixed-Point
    Inference of Deep Neural Networks", 2020, section 3.
    """

    def __init__(self, start: Tensor, dtype: torch.dtype, learned: bool = True) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("start", start)
        self.growth = nn.Parameter(torch.zeros_like(start), requires_grad=learned)

    def forward(self) -> Tensor:
        step = self.start * self.growth.exp()
        return step if self.dtype == torch.float32 else straight_through(step.detach().to(self.dtype).float(), step)

    def settled(self) -> Tensor:
        """Return the step as it is stored, float32.

        Raises:
            ValueError: one is not finite, or so small that it cannot be divided by.
        """
        step = self().detach()
        if not bool((step.isfinite() & (step >= SMALLEST)).all()):
            raise ValueError(
                f"a trained step is {step.min():.4g} to {step.max():.4g}, and must be finite and at least "
                f"{SMALLEST:.2g}; lower the learning rate, or use scale_dtype=torch.float32"
            )
        return step
