"""Packed storage: codes of n bits occupy n bits.

A machine addresses bytes, so a 3-bit code kept in a byte of its own has saved nothing. Here the codes
lie back to back as one long string of bits, lowest bit first, cut into bytes: n * count bits in exactly
ceil(n * count / 8) bytes. Eight codes of 3 bits fill three bytes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import require_bits

TRITS_PER_BYTE = 5  # 3**5 = 243 values fit in the 256 of a byte; 3**6 = 729 do not
POWERS_OF_3 = (1, 3, 9, 27, 81)


def packed_bytes(count: int, bits: int) -> int:
    """How many bytes `count` codes of `bits` bits occupy.

    >>> packed_bytes(8, bits=3), packed_bytes(9, bits=3)      # 24 bits; 27 bits
    (3, 4)
    """
    return -(-count * bits // 8)


def packed_trit_bytes(count: int) -> int:
    """How many bytes `count` trits occupy, five to a byte.

    >>> packed_trit_bytes(5), packed_trit_bytes(6)
    (1, 2)
    """
    return -(-count // TRITS_PER_BYTE)


def pack(codes: Tensor, bits: int) -> Tensor:
    """Write codes from 0 to 2**bits - 1 back to back into bytes (uint8 [ceil(bits * count / 8)]).

    codes: whole numbers of any shape, taken in row-major order. The first code lies in the lowest bits
    of the first byte; the bits left over in the last byte are 0.

    >>> pack(torch.tensor([1, 2, 3]), bits=4)      # 1 + 2*16 = 33, then 3
    tensor([33,  3], dtype=torch.uint8)
    >>> pack(torch.tensor([1, 0, 1, 1]), bits=1)   # 1 + 4 + 8
    tensor([13], dtype=torch.uint8)

    Raises: TypeError or ValueError for bits outside 1 to 16; TypeError if the codes are not whole
    numbers; ValueError if one does not fit.
    """
    require_bits(bits)
    flat = _whole_codes(codes, 2**bits - 1, f"{bits} bits hold").to(torch.int32)
    stream = torch.zeros(8 * packed_bytes(flat.numel(), bits), dtype=torch.uint8)
    places = stream[: bits * flat.numel()].view(-1, bits)  # row i: where the bits of code i go
    for place in range(bits):
        places[:, place] = (flat >> place) & 1
    return _combine(stream.view(-1, 8), base=2, dtype=torch.uint8)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """Read `count` codes of `bits` bits back (int32 [count]); the inverse of `pack`.

    >>> unpack(torch.tensor([33, 3], dtype=torch.uint8), bits=4, count=3)
    tensor([1, 2, 3], dtype=torch.int32)

    Raises: ValueError if `packed` is not the bytes that `count` codes occupy.
    """
    require_bits(bits)
    _require_bytes(packed, packed_bytes(count, bits), f"{count} codes of {bits} bits")
    stream = torch.stack([(packed >> place) & 1 for place in range(8)], dim=1).view(-1)
    return _combine(stream[: bits * count].view(count, bits), base=2, dtype=torch.int32)


def pack_trits(codes: Tensor) -> Tensor:
    """Write codes 0, 1 and 2 five to a byte (uint8 [ceil(count / 5)]): 1.6 bits each, where log2(3) is 1.585.

    >>> pack_trits(torch.tensor([2, 1, 0, 0, 1, 2]))     # 2 + 1*3 + 1*81 = 86, then 2
    tensor([86,  2], dtype=torch.uint8)

    Raises: TypeError if the codes are not whole numbers; ValueError if one is not 0, 1 or 2.
    """
    flat = _whole_codes(codes, 2, "a trit holds").to(torch.uint8)
    padded = torch.zeros(packed_trit_bytes(flat.numel()) * TRITS_PER_BYTE, dtype=torch.uint8)
    padded[: flat.numel()] = flat
    return _combine(padded.view(-1, TRITS_PER_BYTE), base=3, dtype=torch.uint8)


def unpack_trits(packed: Tensor, count: int) -> Tensor:
    """Read `count` codes 0, 1 and 2 back (int32 [count]); the inverse of `pack_trits`.

    >>> unpack_trits(torch.tensor([86, 2], dtype=torch.uint8), count=6)
    tensor([2, 1, 0, 0, 1, 2], dtype=torch.int32)

    Raises: ValueError if `packed` is not the bytes that `count` codes occupy.
    """
    _require_bytes(packed, packed_trit_bytes(count), f"{count} trits")
    trits = torch.stack([packed.to(torch.int32) // power % 3 for power in POWERS_OF_3], dim=1)
    return trits.view(-1)[:count].contiguous()


def _combine(digits: Tensor, base: int, dtype: torch.dtype) -> Tensor:
    """Each row of digits, lowest first, as one number."""
    number = torch.zeros(digits.shape[0], dtype=dtype)
    for place in range(digits.shape[1]):
        number += digits[:, place].to(dtype) * base**place
    return number


def _whole_codes(codes: Tensor, highest: int, holds: str) -> Tensor:
    if codes.dtype.is_floating_point or codes.dtype.is_complex or codes.dtype == torch.bool:
        raise TypeError(f"codes must be whole numbers, got {codes.dtype}")
    flat = codes.reshape(-1)
    if flat.numel() and not (int(flat.min()) >= 0 and int(flat.max()) <= highest):
        raise ValueError(
            f"{holds} the codes 0 to {highest}, got {int(flat.min())} to {int(flat.max())}; "
            "subtract the lowest code of the grid first"
        )
    return flat


def _require_bytes(packed: Tensor, expected: int, what: str) -> None:
    if packed.dtype != torch.uint8:
        raise TypeError(f"packed codes are bytes (torch.uint8), got {packed.dtype}")
    if tuple(packed.shape) != (expected,):
        raise ValueError(f"{what} occupy {expected} bytes, got a tensor of shape {tuple(packed.shape)}")
