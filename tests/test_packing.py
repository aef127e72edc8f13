"""Packed storage: Python's own integers are the oracle."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.packing import (
    pack,
    pack_mask,
    pack_trits,
    packed_bytes,
    packed_trit_bytes,
    unpack,
    unpack_mask,
    unpack_trits,
)


def packed_by_one_big_integer(codes, bits):
    """The definition, written differently: code i times 2**(i * bits), summed, as little-endian bytes."""
    number = sum(code << (i * bits) for i, code in enumerate(codes))
    return number.to_bytes((len(codes) * bits + 7) // 8, "little")


def test_by_hand():
    # 1, 2, 3 in 3 bits each: 001, 010, 011 from the lowest bit up are 0b011_010_001 = 209
    assert pack(torch.tensor([1, 2, 3]), bits=3).tolist() == [209, 0]
    assert unpack(torch.tensor([209, 0], dtype=torch.uint8), bits=3, count=3).tolist() == [1, 2, 3]
    # 16 bits: low byte first
    assert pack(torch.tensor([0x1234]), bits=16).tolist() == [0x34, 0x12]
    # 2 + 2*3 + 2*9 + 2*27 + 2*81 = 242, the largest byte that five trits make
    assert pack_trits(torch.tensor([2, 2, 2, 2, 2])).tolist() == [242]


@st.composite
def widths_and_codes(draw):
    bits = draw(st.integers(1, 16))
    return bits, draw(st.lists(st.integers(0, 2**bits - 1), max_size=70))


@given(widths_and_codes())
@settings(max_examples=400)
def test_any_width_and_length_is_the_big_integer_and_comes_back(case):
    bits, codes = case
    packed = pack(torch.tensor(codes, dtype=torch.int64), bits)
    assert bytes(packed.tolist()) == packed_by_one_big_integer(codes, bits)
    assert len(packed) == packed_bytes(len(codes), bits) == (len(codes) * bits + 7) // 8
    assert unpack(packed, bits, len(codes)).tolist() == codes


@pytest.mark.parametrize("bits", range(1, 17))
def test_every_code_of_every_width_survives(bits):
    codes = torch.arange(2**bits)
    packed = pack(codes, bits)
    assert packed.nbytes == -(-(2**bits) * bits // 8)
    assert torch.equal(unpack(packed, bits, 2**bits), codes.int())


@given(st.lists(st.integers(0, 2), max_size=60))
def test_trits_come_back_from_a_fifth_of_a_byte_each(trits):
    packed = pack_trits(torch.tensor(trits, dtype=torch.int64))
    assert len(packed) == packed_trit_bytes(len(trits)) == (len(trits) + 4) // 5
    assert [byte // 3**place % 3 for byte in packed.tolist() for place in range(5)][: len(trits)] == trits
    assert unpack_trits(packed, len(trits)).tolist() == trits


@given(st.lists(st.booleans(), max_size=60))
def test_a_mask_takes_one_bit_per_element(mask):
    packed = pack_mask(torch.tensor(mask, dtype=torch.bool))
    assert bytes(packed.tolist()) == packed_by_one_big_integer(mask, 1)
    back = unpack_mask(packed, len(mask))
    assert back.dtype == torch.bool and back.tolist() == mask


def test_shape_and_layout_of_the_codes_do_not_matter():
    codes = torch.arange(12).view(3, 4)
    assert torch.equal(pack(codes.t(), bits=4), pack(codes.t().reshape(-1), bits=4))


@pytest.mark.parametrize(
    "bits, error, text",
    [
        (0, ValueError, "bits must be a whole number from 1 to 16, got 0; 4 bits hold the codes 0 to 15"),
        (17, ValueError, "bits must be a whole number from 1 to 16, got 17; 4 bits hold"),
        (2.5, TypeError, "bits must be a whole number from 1 to 16, got 2.5; 4 bits hold"),
        (True, TypeError, "bits must be a whole number from 1 to 16, got True; 4 bits hold"),
    ],
)
def test_unknown_widths_are_refused(bits, error, text):
    with pytest.raises(error, match=re.escape(text)):
        pack(torch.tensor([0]), bits)
    with pytest.raises(error, match=re.escape(text)):
        unpack(torch.zeros(1, dtype=torch.uint8), bits, 1)


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3-bit codes go from 0 to 7, got 0 to 8; subtract the lowest code"):
        pack(torch.tensor([0, 8]), bits=3)
    with pytest.raises(ValueError, match="3-bit codes go from 0 to 7, got -1 to 1"):
        pack(torch.tensor([-1, 1]), bits=3)
    with pytest.raises(ValueError, match="trits go from 0 to 2, got -1 to 1"):
        pack_trits(torch.tensor([-1, 0, 1]))
    with pytest.raises(TypeError, match="codes must be whole numbers, got torch.float32; convert them with"):
        pack(torch.tensor([1.0]), bits=3)
    with pytest.raises(TypeError, match="codes must be whole numbers, got torch.bool; convert them with"):
        pack_trits(torch.tensor([True]))


def test_bytes_that_do_not_belong_are_refused():
    two = torch.zeros(2, dtype=torch.uint8)
    with pytest.raises(ValueError, match=re.escape("3 codes with bits=4 occupy 2 bytes, got a tensor of shape (3,)")):
        unpack(torch.zeros(3, dtype=torch.uint8), bits=4, count=3)
    with pytest.raises(ValueError, match=re.escape("11 trits occupy 3 bytes, got a tensor of shape (2,); pass all")):
        unpack_trits(two, 11)
    with pytest.raises(ValueError, match=re.escape("17 codes with bits=1 occupy 3 bytes, got a tensor of shape (2,)")):
        unpack_mask(two, 17)
    with pytest.raises(TypeError, match=re.escape("packed codes are bytes (torch.uint8), got torch.int32; pass what")):
        unpack(two.int(), bits=4, count=3)


@pytest.mark.parametrize("values", [torch.tensor([0.5, 256.0]), torch.tensor([0, 257])])
def test_a_mask_is_made_of_bools(values):
    with pytest.raises(TypeError, match=f"^a mask must be torch.bool, got {values.dtype}; compare first"):
        pack_mask(values)
