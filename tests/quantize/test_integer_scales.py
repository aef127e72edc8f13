"""Scales at the ends of what their type holds, and grids of every kind stored and read back."""

import pytest
import torch

from mini_lib.quantize import IntFormat, PerGroup, QTensor, choose_qparams, quantize

TINY = torch.finfo(torch.float32).tiny


@pytest.mark.parametrize(
    "dtype, smallest",
    [
        (torch.float32, TINY),  # a smaller one would have no finite reciprocal
        (torch.bfloat16, TINY),
        (torch.float16, 2.0**-24),  # the smallest number above 0 that it has
    ],
)
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_range_too_small_for_the_type_gets_its_smallest_scale(dtype, smallest, symmetric):
    fmt = IntFormat(8, symmetric, scale_dtype=dtype)
    for high in (smallest / 1000, smallest, 100 * smallest):
        scale, _ = choose_qparams(torch.tensor(0.0), torch.tensor(high), fmt)
        assert scale.item() == smallest
        assert scale.to(dtype).float() == scale and (1 / scale).isfinite()
    levels = fmt.qmax if symmetric else fmt.qmax - fmt.qmin
    scale, _ = choose_qparams(torch.tensor(0.0), torch.tensor(4.0 * levels * smallest), fmt)
    assert scale.item() == 4 * smallest  # there is a choice again


@pytest.mark.parametrize("dtype, largest", [(torch.float16, 65504.0), (torch.float32, 3e38)])
def test_a_range_up_to_the_largest_scale(dtype, largest):
    fmt = IntFormat(2, scale_dtype=dtype)  # codes -1, 0, 1: the scale is the range
    assert choose_qparams(torch.tensor(0.0), torch.tensor(largest), fmt)[0].item() == pytest.approx(largest)
    if dtype == torch.float16:
        with pytest.raises(ValueError, match=r"a scale of 7e\+04 does not fit torch.float16 \(at most 6.55e\+04\)"):
            choose_qparams(torch.tensor(0.0), torch.tensor(70_000.0), fmt)


def test_a_range_wider_than_a_float_is_halved_before_it_is_taken():
    """-3e38 to 3e38 is 6e38 wide, more than float32 holds: in 4 - 1 steps of 2e38 each."""
    scale, zero_point = choose_qparams(torch.tensor(-3e38), torch.tensor(3e38), IntFormat(2, symmetric=False))
    assert scale.item() == pytest.approx(2e38, rel=1e-6)
    assert zero_point.item() in (-1, 0)  # 1.5 steps above the lowest code, -2: rounded to even, or by a hair


@pytest.mark.parametrize("fmt", [
    IntFormat(3, granularity=PerGroup(4)),
    IntFormat(3, symmetric=False, granularity=PerGroup(4)),
    IntFormat(5, symmetric=False, signed=False, scale_dtype=torch.float16),
    IntFormat(16, symmetric=False, signed=False),  # whose zero point needs all 16 bits
    IntFormat(1, symmetric=False, signed=False),
], ids=lambda fmt: fmt.label)  # fmt: skip
def test_parts_come_back_as_they_were(fmt):
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)) - 5 * (fmt.bits == 16)
    q = quantize(weight, fmt)
    parts = fmt.pack(q.fields)
    layout = fmt.layout((3, 8))
    assert {name: (part.dtype, tuple(part.shape)) for name, part in parts.items()} == layout
    back = fmt.unpack(parts, (3, 8))
    assert set(back) == set(q.fields)
    assert all(torch.equal(back[name], q.fields[name]) for name in back)
    assert torch.equal(QTensor(fmt, q.shape, back).dequantize(), q.dequantize())
