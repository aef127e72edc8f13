"""Codes of n bits that occupy n bits: back to back, lowest bit first, cut into bytes."""

import numpy as np
import torch
from torch import Tensor


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Write whole numbers from 0 to 2**bits - 1 back to back (uint8 [ceil(bits * count / 8)]).

    codes: any shape, taken in row-major order; bool counts as 0 and 1. The bits left over in the last byte are 0.

    >>> pack_bits(torch.tensor([0, 2, 1, 3]), bits=2)                    # 0 + 2*4 + 1*16 + 3*64
    tensor([216], dtype=torch.uint8)
    >>> pack_bits(torch.tensor([True, False, True]), bits=1)             # 1 + 4
    tensor([5], dtype=torch.uint8)
    """
    flat = codes.detach().reshape(-1, 1).to(torch.uint8).numpy()
    planes = flat if bits == 1 else (flat >> np.arange(bits, dtype=np.uint8)) & 1
    return torch.from_numpy(np.packbits(planes, bitorder="little"))


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """Read `count` whole numbers of `bits` bits back (uint8 [count]); the inverse of `pack_bits`.

    >>> unpack_bits(torch.tensor([216], dtype=torch.uint8), bits=2, count=4)
    tensor([0, 2, 1, 3], dtype=torch.uint8)
    """
    planes = np.unpackbits(packed.numpy(), count=bits * count, bitorder="little").reshape(count, bits)
    codes = np.zeros(count, dtype=np.uint8)
    for place in range(bits):
        codes |= planes[:, place] << np.uint8(place)
    return torch.from_numpy(codes)


def packed_bytes(count: int, bits: int) -> int:
    """Return how many bytes `count` codes of `bits` bits occupy.

    >>> packed_bytes(9, bits=1), packed_bytes(4, bits=2)
    (2, 1)
    """
    return -(-count * bits // 8)
