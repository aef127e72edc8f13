"""NF4 against bitsandbytes, to the last bit, and double quantization of its scales."""

import pytest
import torch
from oracles import oracle

from mini_lib.quantize import NF4_VALUES, NF4Format, from_nf4_codes, nf4_codes, quantize
from mini_lib.quantize.formats.double_quantize import DoubleQuantized, dynamic_values

theirs = oracle("bitsandbytes.functional")


def test_by_hand():
    codes, absmax = nf4_codes(torch.tensor([4.0, -4.0, 0.0, 0.3]))
    assert codes.tolist() == [15, 0, 7, 8] and absmax.tolist() == [4.0]  # 0.3 / 4 = 0.075, nearest 0.0796
    assert torch.equal(from_nf4_codes(codes, absmax), 4 * NF4_VALUES[[15, 0, 7, 8]])


def test_the_sixteen_values_are_quantiles_of_a_normal():
    """Appendix E of the paper: 8 positive and 7 negative quantiles, evenly spaced in probability, and 0."""
    end = 0.9677083
    positive = torch.special.ndtri(torch.linspace(end, 0.5, 9, dtype=torch.float64)[:-1])
    negative = -torch.special.ndtri(torch.linspace(end, 0.5, 8, dtype=torch.float64)[:-1])
    values = torch.cat([negative, torch.zeros(1, dtype=torch.float64), positive]).sort().values / positive.max()
    # `end` has 7 digits; at the end the quantile moves by 1 / density = 14 for each unit of it: 5e-8 * 14 = 7e-7
    assert (values - NF4_VALUES).abs().max() < 7e-7
    assert NF4_VALUES[7] == 0 and NF4_VALUES[0] == -1 and NF4_VALUES[15] == 1


def bitsandbytes_nf4(weight, block_size):
    """bitsandbytes' codes, absmax and dequantized values.

    It is given the weights as one long run. The blocks are the same, but its CPU kernel (0.50, AVX-512) reads
    the wrong block's absmax where a row does not end with a block, and then contradicts its own Python version.
    """
    packed, state = theirs.quantize_4bit(weight.reshape(-1), quant_type="nf4", blocksize=block_size)
    codes = torch.stack([packed.view(-1) >> 4, packed.view(-1) & 15], dim=1).view(-1)[: weight.numel()]
    even = weight.numel() % 2 == 0  # an odd length goes through torch.compile, which needs a C++ compiler
    values = theirs.dequantize_4bit(packed, state).view(weight.shape) if even else None
    return codes.view(weight.shape).int(), state.absmax, values


def test_bit_equal_to_bitsandbytes():
    generator = torch.Generator().manual_seed(0)
    cases = dequantized = 0
    for case in range(200):
        block_size = (64, 64, 64, 128, 32)[case % 5]
        dtype = (torch.float32, torch.float16, torch.bfloat16)[case % 3]
        shape = torch.randint(1, 40, (1 + case % 4,), generator=generator).tolist()
        if len(shape) == 4:
            shape[2:] = [3, 3]
        size = 10 ** (4 * torch.rand((), generator=generator) - 3)
        weight = (torch.randn(shape, generator=generator) * size).to(dtype)
        if case % 7 == 0:
            weight = weight.transpose(0, -1)
        if case % 11 == 0:
            weight[torch.rand(weight.shape, generator=generator) < 0.5] = 0
        codes, absmax, values = bitsandbytes_nf4(weight, block_size)
        q = quantize(weight, NF4Format(block_size))
        assert torch.equal(q.codes, codes) and torch.equal(q.scale, absmax), (case, weight.shape)
        if values is not None:
            assert torch.equal(q.dequantize().to(dtype), values), (case, weight.shape)
            dequantized += 1
        cases += 1
    assert cases == 200 and dequantized > 100


def test_bit_equal_at_the_midpoints_between_values():
    """Where the last bit decides: bitsandbytes multiplies by 1 / absmax, but divides in a short block."""
    midpoints = (NF4_VALUES[:-1] + NF4_VALUES[1:]) / 2
    near = torch.cat([midpoints, midpoints.nextafter(torch.tensor(2.0)), midpoints.nextafter(torch.tensor(-2.0))])
    generator = torch.Generator().manual_seed(0)
    for absmax in [1.0, *(torch.rand(100, generator=generator) * 10).tolist()]:
        short = torch.cat([near * absmax, torch.tensor([absmax])])  # 46 values
        for weight in (short, torch.cat([short, torch.zeros(18)])):  # and a whole block
            codes, _, values = bitsandbytes_nf4(weight, 64)
            q = quantize(weight, NF4Format())
            assert torch.equal(q.codes, codes) and torch.equal(q.dequantize(), values)
            if absmax == 1:
                assert q.codes[:15].tolist() == list(range(15))  # a tie goes to the lower value


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-39, 1e-30, 3e38])
def test_zero_and_extreme_blocks(size):
    weight = torch.tensor([size, -size, 0.0, size / 2]).repeat(16)
    q = quantize(weight, NF4Format())
    codes, absmax, values = bitsandbytes_nf4(weight, 64)
    assert torch.equal(q.codes, codes) and torch.equal(q.scale, absmax) and torch.equal(q.dequantize(), values)
    assert q.dequantize().isfinite().all()
    assert (q.dequantize()[2::4] == 0).all()


def test_no_value_of_the_table_would_be_nearer():
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    q = quantize(weight, NF4Format())
    every = q.scale.view(-1, 1, 1) * NF4_VALUES
    best = (weight[..., None] - every).abs().amin(dim=-1)
    # the weight, divided by absmax, is rounded to float32 before it is compared: 2 roundings of 2**-24 on each side
    assert ((weight - q.dequantize()).abs() <= best + 4 * 2.0**-24 * q.scale[:, None]).all()


def test_four_and_a_half_bits():
    assert quantize(torch.randn(64, 64), NF4Format()).bits_per_weight == 4.5
    ragged = quantize(torch.randn(65), NF4Format())
    assert ragged.stored_bytes == 33 + 2 * 4 and ragged.dequantize().shape == (65,)


# ------------------------------------------------------------------------------ double quantization


def random_scales(generator):
    count = int(torch.randint(1, 2000, (), generator=generator))
    return torch.rand(count, generator=generator) * 10 ** (6 * torch.rand((), generator=generator) - 3)


def test_the_dynamic_type_is_bitsandbytes_own():
    assert torch.equal(dynamic_values(), theirs.create_dynamic_map())


def test_double_quantization_is_bit_equal_to_bitsandbytes_exact_path():
    """Its float64 path searches all 256 values; its float32 kernel looks them up in a coarser table."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        scales = random_scales(generator)
        ours = DoubleQuantized.of(scales)
        assert torch.equal(ours.offset, scales.mean())
        codes, absmax = torch.ops.bitsandbytes.quantize_blockwise(
            (scales - ours.offset).double(), theirs.create_dynamic_map(), 256
        )
        assert torch.equal(ours.codes, codes) and torch.equal(ours.absmax, absmax)


def test_reading_what_bitsandbytes_double_quantized_is_bit_equal_and_ours_is_never_farther():
    generator = torch.Generator().manual_seed(1)
    for _ in range(40):
        scales = random_scales(generator)
        codes, state = theirs.quantize_blockwise(scales - scales.mean(), blocksize=256)
        read = DoubleQuantized(codes, state.absmax, scales.mean()).dequantize()
        assert torch.equal(read, theirs.dequantize_blockwise(codes, state) + scales.mean())
        assert ((DoubleQuantized.of(scales).dequantize() - scales).abs() <= (read - scales).abs()).all()


def test_double_quantized_nf4_keeps_its_codes_and_costs_4_127_bits():
    weight = torch.randn(256, 1024, generator=torch.Generator().manual_seed(0))
    plain, double = quantize(weight, NF4Format()), quantize(weight, NF4Format(double_quantize=True))
    assert torch.equal(plain.codes, double.codes)
    assert double.stored_bytes == weight.numel() // 2 + 4096 + 16 * 4 + 4  # codes, scales, their absmax, offset
    # 4 + 8/64 + 32/(64*256) = 4.12695, and the one offset
    assert abs(double.bits_per_weight - 4.127) < 0.0005
    assert (double.scale / plain.scale - 1).abs().max() < 0.02


def test_equal_scales_survive_double_quantization():
    assert DoubleQuantized.of(torch.full((300,), 0.25)).dequantize().tolist() == [0.25] * 300
    q = quantize(torch.zeros(128), NF4Format(double_quantize=True))
    assert torch.equal(q.dequantize(), torch.zeros(128))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"weight is empty \(shape \(0, 4\)\)"):
        nf4_codes(torch.zeros(0, 4))
    with pytest.raises(ValueError, match="weight holds 1 NaN or infinite of 2 values"):
        nf4_codes(torch.tensor([1.0, float("inf")]))
    with pytest.raises(TypeError, match="weight must hold floats, got torch.int64; call .float"):
        nf4_codes(torch.tensor([1, 2]))
