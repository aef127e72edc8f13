"""Packed storage: codes of n bits, masks and trits, in no more bytes than they need.

A machine addresses bytes, so a 3-bit code kept in a byte of its own saves nothing. Here the codes are stored back to
back as one long string of bits, lowest bit first, cut into bytes: n * count bits in exactly ceil(n * count / 8) bytes.
Eight codes of 3 bits fill three bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mini_lib import require
from mini_lib.tensor_checks import need_tensor

POWERS_OF_3 = np.array([1, 3, 9, 27, 81], dtype=np.uint8)  # 3**5 = 243 values fit in a byte (256)


def packed_bytes(count: int, bits: int) -> int:
    """Return how many bytes `count` codes of `bits` bits occupy.

    Raises:
        TypeError: a number is not a whole one.
        ValueError: `count` is below 0, or `bits` is not from 1 to 16.

    >>> packed_bytes(8, bits=3), packed_bytes(9, bits=3)      # 24 bits; 27 bits
    (3, 4)
    """
    return -(-_count(count) * _bits(bits) // 8)


def packed_trit_bytes(count: int) -> int:
    """Return how many bytes `count` trits occupy, five to a byte.

    Raises:
        TypeError: `count` is not a whole number.
        ValueError: it is below 0.

    >>> packed_trit_bytes(5), packed_trit_bytes(6)
    (1, 2)
    """
    return -(-_count(count) // len(POWERS_OF_3))


def pack(codes: Tensor, bits: int) -> Tensor:
    """Write codes from 0 to 2**bits - 1 back to back into bytes (uint8 [ceil(bits * count / 8)]).

    codes: whole numbers of any shape, taken in row-major order. The first code lies in the lowest bits of the first
    byte; the bits left over in the last byte are 0.

    Raises:
        TypeError: `bits` is not a whole number, or the codes are not.
        ValueError: `bits` is not from 1 to 16, or a code does not fit.

    >>> pack(torch.tensor([1, 2, 3]), bits=4)      # 1 + 2*16 = 33, then 3
    tensor([33,  3], dtype=torch.uint8)
    >>> pack(torch.tensor([1, 0, 1, 1]), bits=1)   # 1 + 4 + 8
    tensor([13], dtype=torch.uint8)
    """
    bits = _bits(bits)
    flat = _whole_codes(codes, 2**bits - 1, f"{bits}-bit codes")
    if bits <= 8:
        return torch.from_numpy(_eights(flat, bits)[: packed_bytes(len(flat), bits)])
    flat = flat.astype(np.uint16)
    places = np.empty((len(flat), bits), dtype=np.uint8)  # row i: the bits of code i
    for place in range(bits):
        places[:, place] = (flat >> place) & 1
    return torch.from_numpy(np.packbits(places, bitorder="little"))


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """Read `count` codes of `bits` bits back (int32 [count]); the inverse of `pack`.

    Raises:
        TypeError: `bits` is not a whole number, or `packed` does not hold bytes.
        ValueError: `bits` is not from 1 to 16, or `packed` is not the bytes that `count` codes occupy.

    >>> unpack(torch.tensor([33, 3], dtype=torch.uint8), bits=4, count=3)
    tensor([1, 2, 3], dtype=torch.int32)
    """
    bits, count = _bits(bits), _count(count)
    _check_bytes(packed, packed_bytes(count, bits), f"{count} codes with bits={bits}")
    if bits <= 8:
        return torch.from_numpy(_from_eights(packed.cpu().numpy(), bits)[:count])
    places = np.unpackbits(packed.cpu().numpy(), count=bits * count, bitorder="little").reshape(count, bits)
    codes = np.zeros(count, dtype=np.int32)
    for place in range(bits):
        codes |= places[:, place].astype(np.int32) << place
    return torch.from_numpy(codes)


def _eights(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of at most 8 bits, eight at a time: they fill `bits` bytes, the low ones of a word of 64 bits."""
    lines = np.zeros((-(-len(codes) // 8), 8), dtype=np.uint8)
    lines.reshape(-1)[: len(codes)] = codes
    words = np.zeros(len(lines), dtype="<u8")
    for place in range(8):
        words |= lines[:, place].astype("<u8") << np.uint64(bits * place)
    return np.ascontiguousarray(words.view(np.uint8).reshape(-1, 8)[:, :bits]).reshape(-1)


def _from_eights(packed: np.ndarray, bits: int) -> np.ndarray:
    """The inverse: int32, with up to seven codes of 0 after the last one."""
    lines = np.zeros((-(-len(packed) // bits), 8), dtype=np.uint8)
    whole, left = divmod(len(packed), bits)
    lines[:whole, :bits] = packed[: whole * bits].reshape(-1, bits)
    if left:
        lines[whole, :left] = packed[whole * bits :]
    words, codes = lines.reshape(-1).view("<u8"), np.empty((len(lines), 8), dtype=np.int32)
    for place in range(8):
        codes[:, place] = (words >> np.uint64(bits * place)) & np.uint64(2**bits - 1)
    return codes.reshape(-1)


def pack_mask(mask: Tensor) -> Tensor:
    """Write a mask (bool of any shape, row-major) with one bit per element (uint8 [ceil(count / 8)]).

    Raises:
        TypeError: the mask does not hold bools.

    >>> pack_mask(torch.tensor([True, False, True]))             # 1 + 4
    tensor([5], dtype=torch.uint8)
    """
    need_tensor("mask", mask, floating=False, empty=True, fix="compare first, such as weight != 0")
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask must be torch.bool, got {mask.dtype}; compare first, such as mask != 0")
    return pack(mask.to(torch.uint8), bits=1)


def unpack_mask(packed: Tensor, count: int) -> Tensor:
    """Read a mask of `count` elements back (bool [count]); the inverse of `pack_mask`.

    Raises:
        TypeError: `packed` does not hold bytes.
        ValueError: `packed` is not the bytes that `count` bits occupy.

    >>> unpack_mask(torch.tensor([5], dtype=torch.uint8), count=3)
    tensor([ True, False,  True])
    """
    return unpack(packed, bits=1, count=count).bool()


def pack_trits(codes: Tensor) -> Tensor:
    """Write codes 0, 1 and 2 five to a byte (uint8 [ceil(count / 5)]): 1.6 bits each, where log2(3) is 1.585.

    Raises:
        TypeError: the codes are not whole numbers.
        ValueError: a code is not 0, 1 or 2.

    >>> pack_trits(torch.tensor([2, 1, 0, 0, 1, 2]))     # 2 + 1*3 + 1*81 = 86, then 2
    tensor([86,  2], dtype=torch.uint8)
    """
    flat = _whole_codes(codes, 2, "trits").astype(np.uint8)
    padded = np.zeros((packed_trit_bytes(len(flat)), len(POWERS_OF_3)), dtype=np.uint8)
    padded.reshape(-1)[: len(flat)] = flat
    return torch.from_numpy(padded @ POWERS_OF_3)


def unpack_trits(packed: Tensor, count: int) -> Tensor:
    """Read `count` codes 0, 1 and 2 back (int32 [count]); the inverse of `pack_trits`.

    Raises:
        TypeError: `packed` does not hold bytes.
        ValueError: `packed` is not the bytes that `count` trits occupy.

    >>> unpack_trits(torch.tensor([86, 2], dtype=torch.uint8), count=6)
    tensor([2, 1, 0, 0, 1, 2], dtype=torch.int32)
    """
    count = _count(count)
    _check_bytes(packed, packed_trit_bytes(count), f"{count} trits")
    trits = packed.cpu().numpy()[:, None] // POWERS_OF_3 % 3
    return torch.from_numpy(trits.reshape(-1)[:count].astype(np.int32))


def _bits(bits: int) -> int:
    return require.whole("bits", bits, low=1, high=16, fix="4 bits hold the codes 0 to 15")


def _count(count: int) -> int:
    return require.whole("count", count, low=0, fix="count the codes, codes.numel()")


def _whole_codes(codes: Tensor, highest: int, what: str) -> np.ndarray:
    if isinstance(codes, Tensor) and codes.is_complex():  # the same message as for other types that are not whole
        raise TypeError(f"codes must be whole numbers, got {codes.dtype}; convert them with .to(torch.int32)")
    need_tensor("codes", codes, floating=False, empty=True, fix="give whole numbers, such as torch.tensor([1, 2])")
    if codes.dtype.is_floating_point or codes.dtype.is_complex or codes.dtype == torch.bool:
        raise TypeError(f"codes must be whole numbers, got {codes.dtype}; convert them with .to(torch.int32)")
    flat = codes.reshape(-1).cpu().numpy()
    if len(flat) and not (flat.min() >= 0 and flat.max() <= highest):
        raise ValueError(
            f"{what} go from 0 to {highest}, got {flat.min()} to {flat.max()}; "
            "subtract the lowest code of the grid first"
        )
    return flat


def _check_bytes(packed: Tensor, expected: int, what: str) -> None:
    need_tensor("packed", packed, floating=False, empty=True, fix="pass what was packed")
    if packed.dtype != torch.uint8:
        raise TypeError(f"packed codes are bytes (torch.uint8), got {packed.dtype}; pass what was packed")
    if tuple(packed.shape) != (expected,):
        raise ValueError(
            f"{what} occupy {expected} bytes, got a tensor of shape {tuple(packed.shape)}; pass all that was packed"
        )
