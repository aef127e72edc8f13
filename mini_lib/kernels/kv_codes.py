"""Keys and values in few bits: groups of one token's numbers, each with a step and a lowest value in float16."""

from __future__ import annotations

import torch
from torch import Tensor


def kv_codes(x: Tensor, bits: int, group_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Round x [..., head_dim] to codes uint8 [..., head_dim * bits / 8], steps and lows float16 [..., groups]."""
    groups = x.float().unflatten(-1, (-1, group_size))
    lows = groups.amin(dim=-1).half()
    steps = ((groups.amax(dim=-1) - groups.amin(dim=-1)) / (2**bits - 1)).half()
    scaled = (groups - lows.float()[..., None]) / steps.float()[..., None]
    codes = torch.where(steps[..., None] > 0, scaled, 0).round().clamp(0, 2**bits - 1).to(torch.uint8).flatten(-2)
    if bits == 4:
        codes = codes[..., 0::2] | codes[..., 1::2] << 4
    return codes, steps, lows


def kv_values(codes: Tensor, steps: Tensor, lows: Tensor, bits: int) -> Tensor:
    """The values that codes stand for, float32 [..., head_dim]."""
    if bits == 4:
        codes = torch.stack((codes & 15, codes >> 4), dim=-1).flatten(-2)
    groups = codes.unflatten(-1, (steps.shape[-1], -1)).float()
    return (groups * steps.float()[..., None] + lows.float()[..., None]).flatten(-2)
