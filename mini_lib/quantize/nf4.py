"""NF4, the 4-bit NormalFloat of QLoRA: equal to bitsandbytes' quantize_4bit to the last bit."""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import finite_float32

# The quantiles of a standard normal, scaled to [-1, 1], with an exact 0 (Dettmers 2023, appendix E).
NF4_VALUES = torch.tensor(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ]
)
SMALLEST = 1e-38  # what bitsandbytes takes in place of a smaller absmax, so that its reciprocal is finite


def nf4_codes(weight: Tensor, block_size: int = 64) -> tuple[Tensor, Tensor]:
    """The codes (int32, 0 to 15, shape of `weight`) and the largest magnitude of each block (float32 [blocks]).

    Blocks are runs of `block_size` weights in row-major order, whatever the shape; the last may be shorter.

    >>> codes, absmax = nf4_codes(torch.tensor([4.0, -4.0, 0.0, 0.3]))     # 0.3 / 4 = 0.075, near 0.0796
    >>> codes, absmax
    (tensor([15,  0,  7,  8], dtype=torch.int32), tensor([4.]))

    Raises: TypeError or ValueError if `weight` is not a tensor of finite floats.

    Source: Dettmers 2023, section 3.
    """
    weight = finite_float32("weight", weight)
    flat = weight.reshape(-1)
    full = flat.numel() - flat.numel() % block_size
    blocks, tail = flat[:full].view(-1, block_size), flat[full:]
    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks * (1.0 / absmax.clamp(min=SMALLEST)).unsqueeze(1)).reshape(-1)
    if tail.numel():  # bitsandbytes divides here and multiplies above
        last = tail.abs().amax().clamp(min=SMALLEST)
        absmax, scaled = torch.cat([absmax, last[None]]), torch.cat([scaled, tail / last])
    midpoints = (NF4_VALUES[:-1] + NF4_VALUES[1:]) / 2
    codes = torch.bucketize(scaled.clamp(-1, 1), midpoints, out_int32=True)
    return codes.view(weight.shape), absmax


def from_nf4_codes(codes: Tensor, absmax: Tensor, block_size: int = 64) -> Tensor:
    """The values that codes stand for, their block's absmax * NF4_VALUES[code] (float32, shape of `codes`).

    >>> from_nf4_codes(torch.tensor([15, 0, 7, 8]), torch.tensor([4.0]))     # 4 * 0.0796
    tensor([ 4.0000, -4.0000,  0.0000,  0.3183])

    Source: Dettmers 2023, section 3.
    """
    values = NF4_VALUES[codes.reshape(-1)]
    return (values * absmax.repeat_interleave(block_size)[: values.numel()]).view(codes.shape)
