"""The ladder from 32 bits to 1, through one call."""

import re

import pytest
import torch

from mini_lib.quantize import LADDER, BinaryFormat, FloatFormat, IntFormat, PerChannel, PerTensor, quantize, rung


def test_the_seven_rungs():
    assert LADDER == (32, 16, 8, 4, 3, 2, 1)
    assert [rung(bits) for bits in LADDER] == [
        FloatFormat(torch.float32),
        FloatFormat(torch.bfloat16),
        *(IntFormat(bits, granularity=PerChannel(0)) for bits in (8, 4, 3, 2)),
        BinaryFormat(PerChannel(0)),
    ]
    assert all(rung(bits).bits == bits for bits in LADDER)


def test_the_granularity_can_be_chosen():
    assert rung(4, PerTensor()) == IntFormat(4)
    assert rung(1, PerTensor()) == BinaryFormat(PerTensor())


def test_each_rung_down_costs_fewer_bytes_and_more_error():
    weight = torch.randn(32, 288, generator=torch.Generator().manual_seed(0))
    quantized = [quantize(weight, rung(bits)) for bits in LADDER]
    sizes = [q.stored_bytes for q in quantized]
    # 9,216 weights of b bits, and a scale of 4 bytes for each of the 32 channels below 16 bits
    assert sizes == [36864, 18432, *(9216 * bits // 8 + 128 for bits in (8, 4, 3, 2, 1))]
    errors = [float((q.dequantize() - weight).square().mean()) for q in quantized]
    assert errors[0] == 0
    assert errors[:6] == sorted(errors[:6])
    assert errors[6] > errors[4]  # binary against 3 bits; min-max at 2 bits can be worse than binary


@pytest.mark.parametrize(
    "bits, error, text",
    [
        (0, ValueError, "the ladder has no rung of 0 bits; use 32, 16, any of 15 to 2, or 1"),
        (17, ValueError, "the ladder has no rung of 17 bits"),
        (64, ValueError, "the ladder has no rung of 64 bits"),
        (2.5, TypeError, "bits must be a whole number, got 2.5; use one of LADDER"),
        (True, TypeError, "bits must be a whole number, got True; use one of LADDER"),
    ],
)
def test_other_numbers_of_bits_are_no_rung(bits, error, text):
    with pytest.raises(error, match=re.escape(text)):
        rung(bits)
