"""MXFP8 and MXFP4 against torchao, to the last bit, and each way of choosing a block's power of two by hand."""

import re
from math import prod

import pytest
import torch
from oracles import oracle

from mini_lib import measure, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    MXFP4,
    MXFP8,
    FP8Format,
    MXFormat,
    NVFP4Format,
    format_from_json,
    format_to_json,
    from_parts,
    load_model,
    quantize,
    quantize_weights,
    save_model,
    stored_size,
)

ELEMENTS = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "e2m1": torch.float4_e2m1fn_x2}


def theirs(weight, fmt):
    """torchao's codes, scale codes and values of a matrix whose rows are whole blocks."""
    mx, config = oracle("torchao.prototype.mx_formats.mx_tensor"), oracle("torchao.prototype.mx_formats.config")
    dtype, mode = ELEMENTS[fmt.element], config.ScaleCalculationMode(fmt.scale_rounding)
    scale, data = mx.to_mx(weight, dtype, fmt.block_size, mode)
    codes = data.view(torch.uint8)
    if fmt.bits == 4:
        codes = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(-2)
    values = mx.to_dtype(data, scale, dtype, fmt.block_size, torch.float32)
    return codes.int(), scale.view(torch.uint8).reshape(-1), values


def test_by_hand():
    # Blocks of 4. The largest is 5 = 1.25 * 2**2 and the floats end at 1.5 * 2**2, so the power is 2**0: code 127.
    # 5 is a tie between 4 and 6, and 4 has the even code; 2.5 one between 2 and 3; -0.2 is nearer to 0.
    # Then 7 * 2**-3: the power is 2**-3, code 124. 7 saturates, -3 and 1 are there, 0.25 is a tie with 0.
    q = quantize(torch.tensor([5.0, 2.5, -0.2, 0.0, 0.875, -0.375, 0.125, 0.03125]), MXFormat("e2m1", block_size=4))
    assert q.fields["scale_codes"].tolist() == [127, 124] and q.scale.tolist() == [1.0, 0.125]
    assert q.codes.tolist() == [6, 4, 8, 0, 7, 8 + 5, 2, 0]
    assert q.dequantize().tolist() == [4.0, 2.0, 0.0, 0.0, 0.75, -0.375, 0.125, 0.0]
    assert {name: part.tolist() for name, part in q.parts().items()} == {
        "codes": [6 + 16 * 4, 8, 7 + 16 * 13, 2],
        "scale_codes": [127, 124],
    }


@pytest.mark.parametrize(
    "largest, floor, even, rceil",
    [
        (4.0, 0, 0, 0),  # the floats of E2M1 end at 6, and the last power of two is 4
        (6.0, 0, 0, 0),
        (6.5, 0, 0, 1),  # nothing saturates with rceil
        (6.999, 0, 0, 1),
        (7.0, 0, 1, 1),  # with one bit of mantissa, 7 rounds up to 8
        (8.0, 1, 1, 1),
        (3.0, -1, -1, -1),
        (3.1, -1, -1, 0),
    ],
)
def test_how_the_power_follows_from_the_largest_weight(largest, floor, even, rceil):
    weight = torch.tensor([largest, -0.1])
    powers = {rounding: quantize(weight, MXFormat("e2m1", 2, rounding)).scale.log2().item() for rounding in ROUNDINGS}
    assert powers == {"floor": floor, "even": even, "rceil": rceil}


ROUNDINGS = ("floor", "even", "rceil")


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_bit_equal_to_torchao(element, rounding):
    fmt = MXFormat(element, scale_rounding=rounding)
    generator = torch.Generator().manual_seed(0)
    for case in range(40):
        rows, blocks = (int(torch.randint(1, 9, (), generator=generator)) for _ in range(2))
        # up to 2**-100 of 1: torchao does not take apart what is below 2**-126, see the next test
        sizes = 2.0 ** torch.randint(-100, 100, (rows, blocks, 1), generator=generator)
        weight = (torch.randn(rows, blocks, 32, generator=generator) * sizes).flatten(1)
        if case % 4 == 0:
            weight[:, :32] = 0
        q = quantize(weight, fmt)
        codes, scale_codes, values = theirs(weight, fmt)
        assert torch.equal(q.fields["scale_codes"], scale_codes), case
        assert torch.equal(q.codes, codes) and torch.equal(q.dequantize(), values), case


@pytest.mark.parametrize("element", ELEMENTS)
def test_every_code_of_a_scale_and_every_code_of_an_element(element):
    """Each value of the element, times each power from 2**-126 up that keeps it finite, is written as itself."""
    fmt = MXFormat(element)
    values = fmt.minifloat.values
    values = values[values.isfinite()]
    top = int(torch.tensor(fmt.minifloat.largest).log2())
    powers = 2.0 ** torch.arange(-126, 128 - top)
    every = powers[:, None] * torch.cat([values, torch.zeros(-len(values) % 32)])
    # the largest float comes first in each block, so that the block has its power
    blocks = torch.cat([every.amax(dim=1, keepdim=True).expand(-1, 32).unsqueeze(1), every.view(len(every), -1, 32)], 1)
    blocks[:, 1:, 0] = blocks[:, 0, :1]
    q = quantize(blocks, fmt)
    assert torch.equal(q.dequantize(), blocks)
    assert q.fields["scale_codes"].unique().tolist() == list(range(1, 255 - top))


@pytest.mark.parametrize("fmt", [MXFP8, MXFP4, MXFormat("e5m2", scale_rounding="rceil")], ids=str)
def test_blocks_of_zeros_and_of_extremes(fmt):
    weight = torch.zeros(5, 32)
    weight[1:, 0] = torch.tensor([1e-45, 1e-38, 3.4e38, -3.4e38])
    q = quantize(weight, fmt)
    assert q.fields["scale_codes"][0] == 0 and (q.dequantize()[0] == 0).all()
    assert q.dequantize().isfinite().all() and (q.dequantize()[:, 1:] == 0).all()
    assert q.dequantize()[3, 0] == -q.dequantize()[4, 0] >= 2.0**127
    # 1e-38 is the largest of its block, or, since no scale is below 2**-127, in units of 2**-127: 1.7
    assert (q.dequantize()[2, 0] - 1e-38).abs() <= 1e-38 / 4


def test_what_saturates_with_floor_does_not_with_rceil():
    weight = torch.tensor([7.9] + [0.1] * 31)
    assert quantize(weight, MXFP4).dequantize()[0] == 6
    assert quantize(weight, MXFormat("e2m1", scale_rounding="rceil")).dequantize()[0] == 8
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    for element in ELEMENTS:
        q = quantize(weight, MXFormat(element, scale_rounding="rceil"))
        assert (weight.abs().view(-1, 32) <= (q.scale * q.fmt.minifloat.largest)[:, None]).all()


def test_bits_per_weight_with_the_scales():
    weight = torch.randn(64, 64)
    assert quantize(weight, MXFP8).bits_per_weight == 8 + 8 / 32 == 8.25
    assert quantize(weight, MXFP4).bits_per_weight == 4 + 8 / 32 == 4.25
    ragged = quantize(torch.randn(3, 11), MXFP4)  # 33 weights: 17 bytes and two blocks
    assert ragged.stored_bytes == 17 + 2 and ragged.dequantize().shape == (3, 11)


@pytest.mark.parametrize("fmt", [MXFP8, MXFP4, MXFormat("e5m2", 16, "even")], ids=str)
@pytest.mark.parametrize("shape", [(1,), (31,), (33,), (4, 3, 3, 3), (2, 64)])
def test_parts_and_back(fmt, shape):
    q = quantize(torch.randn(shape, generator=torch.Generator().manual_seed(0)), fmt)
    assert {name: (part.dtype, tuple(part.shape)) for name, part in q.parts().items()} == fmt.layout(shape)
    back = from_parts(q.parts(), fmt, shape)
    assert back.fields.keys() == q.fields.keys()
    assert all(torch.equal(back.fields[name], q.fields[name]) for name in q.fields)
    assert format_from_json(format_to_json(fmt)) == fmt


def test_labels():
    assert MXFormat("e5m2", 16, "even").label == "mxfp8 e5m2 per block of 16, even"
    assert repr(quantize(torch.ones(64), MXFP4)) == "QTensor(mxfp4, shape=(64,), bits_per_weight=4.25)"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(element="e3m2"), "element must be 'e4m3', 'e5m2' or 'e2m1', got 'e3m2'; e2m1 is that of MXFP4"),
        (dict(block_size=0), "block_size must be a whole number of 1 or more, got 0; the specification has 32"),
        (dict(scale_rounding="ceil"), "scale_rounding must be 'floor', 'even' or 'rceil', got 'ceil'; OCP has 'floor'"),
    ],
)
def test_what_is_refused(arguments, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        MXFormat(**arguments)


WEIGHTS = {"conv1": 16 * 9, "conv2": 32 * 144, "conv3": 64 * 288, "conv4": 64 * 576, "linear": 640}
SCALES = {  # bytes of the scales of a layer of n weights
    FP8Format(): lambda n: 4,
    MXFP8: lambda n: -(-n // 32),
    MXFP4: lambda n: -(-n // 32),
    NVFP4Format(): lambda n: -(-n // 16) + 4,
}


@pytest.mark.parametrize("fmt", SCALES, ids=lambda fmt: fmt.label)
def test_a_whole_model_is_quantized_saved_loaded_and_measured(fmt, tmp_path):
    model = fold_batch_norm(zoo.load("small_cnn", seed=0))
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    small = quantize_weights(model, fmt)
    weights = {name: prod(layer.weight_shape) for name, layer in small.named_children() if name in WEIGHTS}
    assert weights == WEIGHTS
    biases = 4 * (16 + 32 + 64 + 64 + 10)
    assert measure.stored_bytes(small) == biases + sum(n * fmt.bits // 8 + SCALES[fmt](n) for n in WEIGHTS.values())
    size = save_model(small, tmp_path / "model.safetensors")
    assert size == stored_size(small) and size.payload_bytes == measure.stored_bytes(small)
    loaded = load_model(tmp_path / "model.safetensors", zoo.small_cnn)
    assert loaded.conv2.weight_fmt == fmt and torch.equal(loaded(images), small(images))
