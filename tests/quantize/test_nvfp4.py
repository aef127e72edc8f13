"""NVFP4 against torchao, to the last bit, and its two levels of scales by hand."""

import pytest
import torch
from oracles import oracle

from mini_lib.quantize import E4M3, MXFP4, NVFP4Format, format_from_json, format_to_json, from_parts, quantize

FMT = NVFP4Format()


def theirs(weight):
    """torchao's tensor scale, codes, scale codes and values of a matrix whose rows are whole blocks."""
    nv = oracle("torchao.prototype.mx_formats.nvfp4_tensor")
    tensor_scale = nv.per_tensor_amax_to_scale(weight.abs().max())
    scale, data = nv.nvfp4_quantize(weight, 16, tensor_scale)
    codes = torch.stack([data & 15, data >> 4], dim=-1).flatten(-2)
    values = nv.NVFP4Tensor.to_nvfp4(weight, 16, tensor_scale).dequantize(torch.float32)
    return tensor_scale, codes.int(), scale.view(torch.uint8).reshape(-1), values


def test_by_hand():
    # The largest of all is 2688 = 448 * 6, so the tensor scale is 1 and the first block's scale 448. The second block's
    # largest is 9, so its scale is 9 / 6 = 1.5, exactly a float: 1.5 * 2**0 is 0_0111_100.
    weight = torch.zeros(32)
    weight[[0, 1, 2]] = torch.tensor([2688.0, -224.0, 100.0])  # 6, -0.5 and 0.22, which is nearer to 0
    weight[[16, 17, 18]] = torch.tensor([9.0, -3.0, 2.0])  # 6, -2 and 1.33, which is nearer to 1.5
    q = quantize(weight, FMT)
    assert q.fields["tensor_scale"].item() == 1
    assert q.fields["scale_codes"].tolist() == [0b0_1111_110, 0b0_0111_100] and q.scale.tolist() == [448.0, 1.5]
    assert q.codes[[0, 1, 2, 16, 17, 18]].tolist() == [7, 8 + 1, 0, 7, 8 + 4, 3]
    assert q.dequantize()[[0, 1, 2, 16, 17, 18]].tolist() == [2688.0, -224.0, 0.0, 9.0, -3.0, 2.25]


def test_bit_equal_to_torchao():
    generator = torch.Generator().manual_seed(0)
    for case in range(100):
        rows, blocks = (int(torch.randint(1, 9, (), generator=generator)) for _ in range(2))
        size = 10.0 ** float(torch.randint(-30, 30, (), generator=generator))
        weight = torch.randn(rows, blocks * 16, generator=generator) * size
        if case % 3 == 0:  # blocks of very different sizes, down to such that their scale is the smallest
            weight = weight * (10.0 ** -(4 * torch.rand(rows, blocks, generator=generator))).repeat_interleave(16, 1)
        if case % 4 == 0:
            weight[1:, :16] = 0
        q = quantize(weight, FMT)
        tensor_scale, codes, scale_codes, values = theirs(weight)
        assert torch.equal(q.fields["tensor_scale"], tensor_scale), case
        assert torch.equal(q.fields["scale_codes"], scale_codes), case
        assert torch.equal(q.codes, codes) and torch.equal(q.dequantize(), values), case


def test_four_and_a_half_bits_and_one_float():
    weight = torch.randn(64, 64)
    assert quantize(weight, FMT).stored_bytes == 64 * 64 * 4.5 / 8 + 4
    assert quantize(weight, FMT).bits_per_weight == 4.5 + 32 / 64**2
    ragged = quantize(torch.randn(3, 11), FMT)  # 33 weights: 17 bytes, three blocks, and the fp32
    assert ragged.stored_bytes == 17 + 3 + 4 and ragged.dequantize().shape == (3, 11)


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 3.4e38])
def test_zeros_and_extremes(size):
    weight = torch.zeros(3, 16)
    weight[0, 0], weight[1, 3] = size, -size / 2
    q = quantize(weight, FMT)
    values = q.dequantize()
    assert values.isfinite().all() and (values[weight == 0] == 0).all()
    if size > 1e-40:  # 1e-45 is nothing against the smallest tensor scale
        # the block scale is a float with 3 bits of mantissa: the largest lands within 1/16 of 6, and on 6
        assert values[0, 0] == pytest.approx(size, rel=1 / 16) and values[1, 3] == pytest.approx(-size / 2, rel=1 / 16)


def test_a_block_too_small_keeps_the_smallest_normal_scale():
    weight = torch.zeros(2, 16)
    weight[0, 0], weight[1, 0] = 2688.0, 2.0**-6 / 4  # in units of the tensor scale; a step of the smallest is 2**-7
    q = quantize(weight, FMT)
    assert E4M3.values[q.fields["scale_codes"].int()].tolist() == [448, 2.0**-6]
    assert q.dequantize()[1, 0] == 0  # a tie between 0 and half of 2**-6, and 0 is even


@pytest.mark.parametrize("shape", [(1,), (15,), (17,), (4, 3, 3, 3), (2, 64)])
def test_parts_and_back(shape):
    q = quantize(torch.randn(shape, generator=torch.Generator().manual_seed(0)), FMT)
    assert {name: (part.dtype, tuple(part.shape)) for name, part in q.parts().items()} == FMT.layout(shape)
    back = from_parts(q.parts(), FMT, shape)
    assert back.fields.keys() == q.fields.keys()
    assert all(torch.equal(back.fields[name], q.fields[name]) for name in q.fields)
    assert format_from_json(format_to_json(FMT)) == FMT


def test_a_scale_with_a_mantissa_pays():
    """Half a bit per weight more in scales, and on normal weights less error than MXFP4 with either rounding."""
    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    error = {fmt: float((quantize(weight, fmt).dequantize() - weight).square().mean()) for fmt in (FMT, MXFP4)}
    assert error[FMT] < error[MXFP4]
