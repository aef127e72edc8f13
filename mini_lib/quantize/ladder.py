"""The ladder: one format for each number of bits, from 32 down to 1."""

from __future__ import annotations

import torch

from mini_lib import require
from mini_lib.quantize.formats import BinaryFormat, FloatFormat, Format, IntFormat
from mini_lib.quantize.granularity import PER_CHANNEL, Granularity

LADDER = (32, 16, 8, 4, 3, 2, 1)


def rung(bits: int, granularity: Granularity = PER_CHANNEL) -> Format:
    """Return the format of one rung of the ladder.

    32 is fp32 and 16 is bf16; 2 to 15 are symmetric integer grids; 1 is binary. The `granularity` of grids and of
    binary is one scale per output channel unless another is given.

    Raises:
        TypeError: `bits` is not a whole number.
        ValueError: no rung has this many bits.

    >>> [rung(bits).label for bits in (32, 16, 4, 1)]
    ['fp32', 'bf16', 'int4 per channel', 'binary per channel']
    """
    bits = require.whole("bits", bits, fix="use one of LADDER")
    if bits == 32:
        return FloatFormat(torch.float32)
    if bits == 16:
        return FloatFormat(torch.bfloat16)
    if 2 <= bits <= 15:
        return IntFormat(bits, granularity=granularity)
    if bits == 1:
        return BinaryFormat(granularity)
    raise ValueError(f"the ladder has no rung of {bits} bits; use 32, 16, any of 15 to 2, or 1")
