"""Lesson 02, exercise 2.6: stored bytes."""

import math

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 2.6 ------------------------------------------------------------------------------------------------


def stored_bytes(count: int, bits: int, group_size: int, scale_bits: int = 16) -> int:
    """Bytes of `count` codes of `bits` bits and one scale for every group."""
    return math.ceil(count * bits / 8) + (count // group_size) * scale_bits // 8


def _stored_bytes_by_packing(count: int, bits: int, group_size: int, scale_bits: int = 16) -> np.int64:
    code_bits = np.zeros(count * bits, dtype=np.uint8)
    scales = np.zeros((count // group_size) * (scale_bits // 8), dtype=np.uint8)
    return np.int64(np.packbits(code_bits).nbytes + scales.nbytes)


def _storage_case(generator: torch.Generator) -> Case:
    group = random_whole(generator, 3, 15)
    scale_bits = 8 * 2 ** random_whole(generator, 0, 2)
    return Case(group * random_whole(generator, 2, 9), random_whole(generator, 1, 7), group, scale_bits=scale_bits)


def _stored(
    codes=lambda count, bits, group: math.ceil(count * bits / 8),
    scales=lambda count, group, each: count // group * each // 8,
):
    """Stored bytes with slips: those of the codes, and those of the scales."""

    def wrong(count, bits, group_size, scale_bits=16):
        return codes(count, bits, group_size) + scales(count, group_size, scale_bits)

    return wrong


STORED_BYTES = Exercise(
    id="2.6",
    title="Bytes that are really stored",
    reference=stored_bytes,
    cases=(
        Case(64, 4, 32),
        Case(10, 3, 5),
        Case(3, 3, 3),
        Case(9, 1, 3, scale_bits=8),
        Case(64, 4, 8),
        Case(256, 4, 128, scale_bits=32),
        *random_cases(8, seed=27, make=_storage_case),
    ),
    mistakes=(
        Mistake(
            _stored(scales=lambda count, group, each: 0),
            "The scales are stored too, one for every group: without them the codes cannot be read.",
        ),
        Mistake(
            lambda count, bits, group_size, scale_bits=16: (
                count // group_size * math.ceil((group_size * bits + scale_bits) / 8)
            ),
            "The codes of all groups are packed one after the other: round up once, at the end, not in each group.",
        ),
        Mistake(
            _stored(codes=lambda count, bits, group: 0),
            "Those are the scales alone. The codes are stored too: count * bits of them.",
        ),
    ),
    symptoms=(
        variants(
            "A file has whole bytes: when the codes do not fill the last byte, it is stored all the same. Round up.",
            _stored(codes=lambda count, bits, group: count * bits // 8),
            _stored(codes=lambda count, bits, group: round(count * bits / 8)),
            _stored(codes=lambda count, bits, group: count * bits / 8),
            _stored(codes=lambda count, bits, group: group * bits // 8 * (count // group)),
        ),
        variants(
            "Rounding up adds nothing where the codes exactly fill their bytes: add 1 only where bits are left over.",
            _stored(codes=lambda count, bits, group: count * bits // 8 + 1),
        ),
        variants(
            "That gives every code whole bytes of its own. Packed, codes of n bits take n bits each.",
            _stored(codes=lambda count, bits, group: count),
            _stored(codes=lambda count, bits, group: math.ceil(count / (8 // bits))),
            _stored(codes=lambda count, bits, group: count * 2**bits // 8),
            _stored(codes=lambda count, bits, group: math.ceil(count * 2**bits / 8)),
            _stored(codes=lambda count, bits, group: count, scales=lambda count, group, each: each // 8),
            _stored(codes=lambda count, bits, group: count, scales=lambda count, group, each: 0),
            _stored(codes=lambda count, bits, group: count * 4),
        ),
        variants(
            "Those are bits. A byte has 8, for the codes and for the scales.",
            _stored(lambda count, bits, group: count * bits, lambda count, group, each: count // group * each),
            _stored(lambda count, bits, group: count * bits),
            _stored(scales=lambda count, group, each: count // group * each),
            _stored(lambda count, bits, group: count * bits, lambda count, group, each: 0),
        ),
        variants(
            "There is one scale for each of the count // group_size groups.",
            _stored(scales=lambda count, group, each: each // 8),
            _stored(scales=lambda count, group, each: count * each // 8),
            _stored(scales=lambda count, group, each: group * each // 8),
            _stored(scales=lambda count, group, each: (count // group + 1) * each // 8),
            _stored(lambda count, bits, group: count * bits // 8, lambda count, group, each: each // 8),
            lambda count, bits, group_size, scale_bits=16: (count * bits + scale_bits) // 8,
        ),
        variants(
            "A scale takes `scale_bits` bits, whatever the number is: 16 is only the default.",
            *(_stored(scales=lambda count, group, each, of=of: count // group * of) for of in (1, 2, 4)),
        ),
        variants(
            "A scale is not a code: it takes scale_bits bits, not `bits`.",
            lambda count, bits, group_size, scale_bits=16: math.ceil((count + count // group_size) * bits / 8),
        ),
        variants(
            "A symmetric grid has no zero points: there is one scale per group, and nothing else.",
            _stored(scales=lambda count, group, each: 2 * (count // group) * each // 8),
        ),
        variants(
            "Those are the bits per weight. The exercise asks for the bytes of all weights.",
            lambda count, bits, group_size, scale_bits=16: bits + scale_bits / group_size,
            lambda count, bits, group_size, scale_bits=16: (bits + scale_bits / group_size) / 8,
        ),
    ),
    also_correct=(
        _stored_bytes_by_packing,
        lambda count, bits, group_size, scale_bits=16: -(-count * bits // 8) + count / group_size * (scale_bits / 8),
    ),
)
