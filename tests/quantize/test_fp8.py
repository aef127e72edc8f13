"""FP8 against torch and torchao, to the last bit, and the bytes that it takes."""

import re

import pytest
import torch
from oracles import oracle

from mini_lib.quantize import FP8Format, PerChannel, PerGroup, PerTensor, format_from_json, format_to_json, quantize

DTYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def test_by_hand():
    # The largest is 896, so the scale is 2: halves of 896, -448, 2 and 1 are 448 (1.75 * 2**8), -224, 1 and 0.5.
    q = quantize(torch.tensor([896.0, -448.0, 2.0, 1.0, 0.0]), FP8Format())
    assert q.scale.item() == 2
    assert q.codes.tolist() == [0b0_1111_110, 0b1_1110_110, 0b0_0111_000, 0b0_0110_000, 0]
    assert q.dequantize().tolist() == [896.0, -448.0, 2.0, 1.0, 0.0]
    assert q.stored_bytes == 5 + 4


@pytest.mark.parametrize("element", DTYPES)
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerGroup(16)], ids=str)
@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e4, 1e36])
def test_bit_equal_to_torchao(element, granularity, size):
    theirs = oracle("torchao.quantization.quant_primitives")
    weight = torch.randn(24, 48, generator=torch.Generator().manual_seed(0)) ** 3 * size
    q = quantize(weight, FP8Format(element, granularity))
    block = {"PerTensor": [24, 48], "PerChannel": [1, 48], "PerGroup": [1, 16]}[type(granularity).__name__]
    scale = theirs._choose_scale_float8(weight, block, DTYPES[element])
    floats = theirs._quantize_affine_float8(weight, scale, DTYPES[element])
    assert torch.equal(q.scale.reshape(scale.shape), scale)
    assert torch.equal(q.codes, floats.view(torch.uint8).int())
    assert torch.equal(q.dequantize(), theirs._dequantize_affine_float8(floats, scale))


@pytest.mark.parametrize("element", DTYPES)
def test_the_packed_codes_are_the_bytes_of_torchs_type(element):
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    q = quantize(weight, FP8Format(element))
    assert torch.equal(q.parts()["codes"].view(DTYPES[element]), (weight / q.scale).to(DTYPES[element]).reshape(-1))


@pytest.mark.parametrize("element, bits", [("e4m3", 3), ("e5m2", 2)])
def test_an_error_is_a_share_of_the_weight_itself(element, bits):
    """From the largest weight down to 2**-14 of it at the least, the floats are normal: half a step is 2**-(bits + 1).

    The division by the scale, and the product with it, are rounded to float32: 2**-23 of the weight at most.
    """
    weight = torch.logspace(-14, 0, 5000, base=2.0)
    errors = (quantize(weight, FP8Format(element)).dequantize() - weight).abs() / weight
    assert errors.max() <= 2.0 ** -(bits + 1) + 2.0**-23


def test_a_row_of_zeros_and_one_of_tiny_numbers():
    weight = torch.tensor([[0.0, -0.0, 0.0], [1e-45, -1e-40, 0.0], [3e38, -1.0, 0.0]])
    q = quantize(weight, FP8Format("e4m3", PerChannel(0)))
    assert q.scale.tolist()[0] == 1 and q.dequantize()[0].tolist() == [0, 0, 0]
    assert q.dequantize().isfinite().all()
    # 1e-40 is nothing against the smallest scale, the smallest normal number 1.2e-38: the step there is 2**-9 of it
    assert (q.dequantize()[1] - weight[1]).abs().max() <= 2.0**-9 * 2.0**-126
    assert q.dequantize()[2, 0] == pytest.approx(3e38, rel=2**-4)


def test_eight_bits_and_the_scales():
    weight = torch.randn(16, 64)
    assert quantize(weight, FP8Format()).bits_per_weight == 8 + 32 / (16 * 64)
    assert quantize(weight, FP8Format("e5m2", PerChannel(0))).bits_per_weight == 8 + 32 / 64
    assert FP8Format("e5m2", PerGroup(32)).label == "fp8 e5m2 per group of 32"


def test_text_keeps_it():
    fmt = FP8Format("e5m2", PerChannel(0))
    assert format_to_json(fmt) == (
        '{"kind": "FP8Format", "element": "e5m2", "granularity": {"kind": "PerChannel", "axis": 0}}'
    )
    assert format_from_json(format_to_json(fmt)) == fmt


def test_what_is_refused():
    says = "element must be 'e4m3' or 'e5m2', got 'e2m1'; e4m3 is for weights"
    with pytest.raises(ValueError, match=re.escape(says)):
        FP8Format("e2m1")
    with pytest.raises(TypeError, match="granularity must be PerTensor"):
        FP8Format("e4m3", 32)
