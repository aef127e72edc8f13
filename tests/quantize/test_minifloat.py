"""Small floats: every code against torch, torchao and the tables of the papers, and rounding at every midpoint."""

import math

import pytest
import torch
from oracles import oracle

from mini_lib.quantize import E2M1, E4M3, E5M2

TYPES = {"E4M3": (E4M3, torch.float8_e4m3fn), "E5M2": (E5M2, torch.float8_e5m2)}
ALL = pytest.mark.parametrize("kind", [E4M3, E5M2, E2M1], ids=["E4M3", "E5M2", "E2M1"])


def finite_codes(kind) -> torch.Tensor:
    """The codes of the positive numbers, upwards."""
    codes = torch.arange(2 ** (kind.bits - 1))
    return codes[kind.values[codes].isfinite()]


def test_the_table_of_the_paper():
    """Micikevicius 2022, table 1: code in binary, and its value."""
    e4m3, e5m2 = E4M3.values, E5M2.values
    assert e4m3[0b0_1111_110] == 448 == E4M3.largest == 1.75 * 2**8
    assert e4m3[0b0_0001_000] == 2**-6 and e4m3[0b0_0000_111] == 0.875 * 2**-6 and e4m3[0b0_0000_001] == 2**-9
    assert [code for code in range(256) if e4m3[code].isnan()] == [0b0_1111_111, 0b1_1111_111]
    assert not e4m3.isinf().any()
    assert e5m2[0b0_11110_11] == 57_344 == E5M2.largest == 1.75 * 2**15
    assert e5m2[0b0_00001_00] == 2**-14 and e5m2[0b0_00000_11] == 0.75 * 2**-14 and e5m2[0b0_00000_01] == 2**-16
    assert (e5m2[0b0_11111_00], e5m2[0b1_11111_00]) == (math.inf, -math.inf)
    assert e5m2.isnan().sum() == 6 and e5m2[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]].isnan().all()


def test_the_sixteen_values_of_e2m1():
    """OCP 2023, section 5.3.3, and torchao's own decoding of each code."""
    values = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    assert E2M1.values.tolist() == values + [-value for value in values]
    kernels = oracle("torchao.prototype.mx_formats.kernels")
    codes = torch.arange(16, dtype=torch.uint8)
    assert torch.equal(kernels.f4_unpacked_to_f32(codes), E2M1.values)
    assert torch.equal(kernels.f32_to_f4_unpacked(E2M1.values).int(), E2M1.encode(E2M1.values))


@pytest.mark.parametrize("name", TYPES)
def test_every_code_means_what_it_means_to_torch(name):
    kind, dtype = TYPES[name]
    theirs = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    assert torch.equal(kind.values.isnan(), theirs.isnan())
    known = ~theirs.isnan()
    assert torch.equal(kind.values[known], theirs[known])
    assert torch.equal(torch.signbit(kind.values[known]), torch.signbit(theirs[known]))


@ALL
def test_every_number_is_written_as_its_own_code(kind):
    codes = finite_codes(kind)
    both = torch.cat([codes, codes + 2 ** (kind.bits - 1)])
    assert len(codes) == 2 ** (kind.bits - 1) - len(kind.specials)
    assert torch.equal(kind.encode(kind.values[both]), both.int())  # -0.0 keeps its sign


@ALL
def test_every_midpoint_goes_to_the_even_code_and_its_neighbours_to_the_nearest(kind):
    codes = finite_codes(kind).int()
    below, above = codes[:-1], codes[1:]
    middle = (kind.values[below] + kind.values[above]) / 2  # exact: one more bit than the mantissa
    even = torch.where(below % 2 == 0, below, above)
    sign = 2 ** (kind.bits - 1)
    assert torch.equal(kind.encode(middle), even) and torch.equal(kind.encode(-middle), even + sign)
    assert torch.equal(kind.encode(middle.nextafter(torch.tensor(0.0))), below)
    assert torch.equal(kind.encode(middle.nextafter(torch.tensor(math.inf))), above)


@ALL
def test_what_is_too_large_saturates(kind):
    highest = int(finite_codes(kind)[-1])
    values = torch.tensor([kind.largest, kind.largest * 1.001, kind.largest * 1.2, 3e38, math.inf])
    assert kind.encode(values).tolist() == [highest] * 5
    assert kind.encode(-values).tolist() == [highest + 2 ** (kind.bits - 1)] * 5


@ALL
def test_what_is_too_small_becomes_a_zero_of_its_sign(kind):
    smallest = kind.values[1]
    values = torch.tensor([0.0, 1e-45, float(smallest) / 2])  # half of the smallest is a tie, and 0 is even
    assert kind.encode(values).tolist() == [0, 0, 0]
    assert kind.encode(-values).tolist() == [2 ** (kind.bits - 1)] * 3


def test_nan():
    nan = torch.tensor([1.0, math.nan])
    assert E4M3.encode(nan).tolist() == [0x38, 0x7F] and E5M2.encode(nan).tolist() == [0x3C, 0x7F]
    assert E4M3.values[0x7F].isnan() and E5M2.values[0x7F].isnan()
    with pytest.raises(ValueError, match="x holds NaN, which no code of 4 bits stands for; find out where it comes"):
        E2M1.encode(nan)


@pytest.mark.parametrize("name", TYPES)
def test_random_floats_of_every_size_are_rounded_as_torch_rounds_them(name):
    kind, dtype = TYPES[name]
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(-(2**31), 2**31 - 1, (500_000,), generator=generator)
    x = patterns.to(torch.int32).view(torch.float32)  # every exponent is as likely as any other
    x = torch.cat([x[x.abs() <= kind.largest], torch.randn(100_000, generator=generator)])
    assert len(x) > 300_000
    assert torch.equal(kind.encode(x), x.to(dtype).view(torch.uint8).int())


def test_what_is_no_tensor_is_refused_by_encode():
    with pytest.raises(TypeError, match="x must be a tensor, got .1.0.; use a tensor of floats"):
        E4M3.encode([1.0])
