"""Double quantization: the scales of NF4 blocks are numbers too, and 8 bits per scale are enough.

One fp32 absmax for 64 weights costs half a bit per weight. Subtract the mean of these scales, quantize the rest to 8
bits in blocks of 256, and they cost 8/64 + 32/(64 * 256) = 0.127 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

NESTED_BLOCK = 256
SMALLEST_ABSMAX = 1e-38  # bitsandbytes uses it instead of a smaller absmax, so that its reciprocal is finite


@cache
def dynamic_values() -> Tensor:
    """Return the 256 values of the 8-bit dynamic type, ascending (float32).

    A byte is a sign, a unary exponent (as many zeros as the power of ten) and a fraction in the remaining bits: small
    numbers have a small relative error, large ones a small absolute error.

    >>> values = dynamic_values()
    >>> len(values), values[127].item(), values[-1].item(), values[128].item()     # (0.1 + 1) / 2 * 1e-6
    (256, 0.0, 1.0, 5.500000384017767e-07)

    Source: Dettmers 2016, "8-Bit Approximations for Parallelism in Deep Learning" (dynamic tree quantization).
    """
    values = [0.0, 1.0]
    for fraction_bits in range(7):
        edges = torch.linspace(0.1, 1, 2**fraction_bits + 1, dtype=torch.float32)
        means = (edges[:-1] + edges[1:]) / 2.0
        values += (10 ** (fraction_bits - 6) * means).tolist()
        values += (-(10 ** (fraction_bits - 6)) * means).tolist()
    return torch.tensor(sorted(values), dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class DoubleQuantized:
    """Scales in 8 bits: offset + absmax of their block * dynamic_values()[code].

    codes: uint8 [n]; absmax: float32 [ceil(n / 256)]; offset: float32 (), the mean of the scales.

    Source: Dettmers 2023, "QLoRA", section 3, Double Quantization.
    """

    codes: Tensor
    absmax: Tensor
    offset: Tensor

    @staticmethod
    def of(scales: Tensor) -> DoubleQuantized:
        """Quantize scales (float32 [n]).

        >>> DoubleQuantized.of(torch.tensor([1.0, 2.0, 3.0])).codes      # mean 2; -1, 0, 1
        tensor([  0, 127, 255], dtype=torch.uint8)
        """
        offset = scales.mean()
        rows = torch.nn.functional.pad(scales - offset, (0, -scales.numel() % NESTED_BLOCK)).view(-1, NESTED_BLOCK)
        absmax = rows.abs().amax(dim=1)
        scaled = (rows * (1.0 / absmax.clamp(min=SMALLEST_ABSMAX))[:, None]).reshape(-1)[: scales.numel()]
        values = dynamic_values()
        codes = torch.bucketize(scaled, (values[:-1] + values[1:]) / 2)
        return DoubleQuantized(codes.to(torch.uint8), absmax, offset)

    def dequantize(self) -> Tensor:
        """Return the scales that the codes stand for (float32 [n])."""
        absmax = self.absmax.repeat_interleave(NESTED_BLOCK)[: self.codes.numel()]
        return dynamic_values()[self.codes.int()] * absmax + self.offset

    def parts(self) -> dict[str, Tensor]:
        """Return the tensors that are stored, by name."""
        return {"scale_codes": self.codes, "scale_absmax": self.absmax, "scale_offset": self.offset}

    @staticmethod
    def from_parts(parts: dict[str, Tensor]) -> DoubleQuantized:
        """Read stored tensors back; the inverse of `parts`."""
        return DoubleQuantized(parts["scale_codes"], parts["scale_absmax"], parts["scale_offset"])
