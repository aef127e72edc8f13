"""The ladder: one format for each number of bits, from 32 down to 1."""

from __future__ import annotations

import torch

from mini_lib.quantize.formats import BinaryFormat, FloatFormat, Format, IntFormat
from mini_lib.quantize.granularity import Granularity, PerChannel
from mini_lib.quantize.validate import require_whole_number

LADDER = (32, 16, 8, 4, 3, 2, 1)


def rung(bits: int, granularity: Granularity = PerChannel(0)) -> Format:
    """The format of one rung of the ladder.

    32 is fp32 and 16 is bf16; 2 to 15 are symmetric integer grids; 1 is binary. Grids and binary have
    one scale for each `granularity`, an output channel unless told otherwise.

    >>> [rung(bits).label for bits in (32, 16, 4, 1)]
    ['fp32', 'bf16', 'int4 per channel', 'binary per channel']

    Raises: TypeError or ValueError for a number of bits that is no rung.
    """
    require_whole_number("bits", bits)
    if bits == 32:
        return FloatFormat(torch.float32)
    if bits == 16:
        return FloatFormat(torch.bfloat16)
    if 2 <= bits <= 15:
        return IntFormat(bits, granularity=granularity)
    if bits == 1:
        return BinaryFormat(granularity)
    raise ValueError(f"the ladder has no rung of {bits} bits; use 32, 16, any of 15 to 2, or 1")
