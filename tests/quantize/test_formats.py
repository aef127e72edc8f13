"""Formats and granularities: what they mean, what they refuse, and that text keeps them."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    IntFormat,
    NF4Format,
    PerChannel,
    PerGroup,
    PerTensor,
    TernaryFormat,
    format_from_json,
    format_to_json,
)


def refused(error, text):
    return pytest.raises(error, match=re.escape(text))


# ------------------------------------------------------------------------------------------ grids


@pytest.mark.parametrize(
    "bits, symmetric, signed, qmin, qmax",
    [
        (2, True, True, -1, 1),
        (4, True, True, -7, 7),
        (8, True, True, -127, 127),
        (16, True, True, -32767, 32767),
        (1, False, True, -1, 0),
        (4, False, True, -8, 7),
        (8, False, True, -128, 127),
        (16, False, True, -32768, 32767),
        (1, False, False, 0, 1),
        (4, True, False, 0, 15),
        (8, False, False, 0, 255),
        (16, False, False, 0, 65535),
    ],
)
def test_the_codes_of_a_grid(bits, symmetric, signed, qmin, qmax):
    fmt = IntFormat(bits, symmetric, signed)
    assert (fmt.qmin, fmt.qmax) == (qmin, qmax)


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_grid_never_has_more_codes_than_its_bits_can_name(bits):
    for symmetric, signed in ((False, False), (False, True), (True, False), *([(True, True)] if bits > 1 else [])):
        fmt = IntFormat(bits, symmetric, signed)
        given_up = 1 if symmetric and signed else 0
        assert fmt.qmax - fmt.qmin + 1 == 2**bits - given_up
        assert fmt.qmin <= 0 <= fmt.qmax


@pytest.mark.parametrize("kind", [IntFormat, CodebookFormat])
@pytest.mark.parametrize(
    "bits, error, text",
    [
        (0, ValueError, "bits must be a whole number from 1 to 16, got 0; 4 bits are 16 codes"),
        (17, ValueError, "bits must be a whole number from 1 to 16, got 17; 4 bits are 16 codes"),
        (-4, ValueError, "bits must be a whole number from 1 to 16, got -4; 4 bits are 16 codes"),
        (2.5, TypeError, "bits must be a whole number from 1 to 16, got 2.5; 4 bits are 16 codes"),
        (4.0, TypeError, "bits must be a whole number from 1 to 16, got 4.0; 4 bits are 16 codes"),
        (True, TypeError, "bits must be a whole number from 1 to 16, got True; 4 bits are 16 codes"),
        ("4", TypeError, "bits must be a whole number from 1 to 16, got '4'; 4 bits are 16 codes"),
    ],
)
def test_unknown_bits_are_refused(kind, bits, error, text):
    with refused(error, text):
        kind(bits)


def test_one_bit_symmetric_signed_names_the_ways_out():
    with refused(ValueError, "has only the code 0; use BinaryFormat() for -1 and +1, or symmetric=False"):
        IntFormat(1)


def test_other_bad_settings_are_refused_by_name():
    with refused(ValueError, "scale_dtype must be torch.float32, torch.float16 or torch.bfloat16, got torch.int8; "):
        IntFormat(4, scale_dtype=torch.int8)
    with refused(ValueError, "dtype must be torch.float32, torch.float16 or torch.bfloat16, got torch.float64; "):
        FloatFormat(torch.float64)
    with refused(TypeError, "granularity must be PerTensor(), PerChannel(axis) or PerGroup(size), got 'channel'"):
        IntFormat(4, granularity="channel")
    with refused(TypeError, "granularity must be PerTensor(), PerChannel(axis) or PerGroup(size), got"):
        TernaryFormat(granularity=PerChannel)  # the class, where an object is meant
    with refused(ValueError, "init must be 'linear' or 'kmeans++', got 'random'; 'linear' needs no seed"):
        CodebookFormat(4, init="random")
    with refused(ValueError, "iterations must be a whole number of 1 or more, got 0; 100 is usual"):
        CodebookFormat(4, iterations=0)
    with refused(ValueError, "block_size must be a whole number of 1 or more, got 0; use 64"):
        NF4Format(block_size=0)
    with refused(TypeError, "block_size must be a whole number of 1 or more, got 64.0; use 64"):
        NF4Format(block_size=64.0)


def test_labels_say_what_a_table_needs():
    labels = [
        FloatFormat().label,
        FloatFormat(torch.float16).label,
        IntFormat(8).label,
        IntFormat(4, granularity=PerGroup(128)).label,
        IntFormat(8, symmetric=False, signed=False).label,
        CodebookFormat(4).label,
        NF4Format(double_quantize=True).label,
        TernaryFormat(PerChannel(1)).label,
        BinaryFormat().label,
    ]
    assert labels == [
        "fp32",
        "fp16",
        "int8 per tensor",
        "int4 per group of 128",
        "uint8 affine per tensor",
        "codebook of 16",
        "nf4 per block of 64, double",
        "ternary per channel of axis 1",
        "binary per channel",
    ]


# ------------------------------------------------------------------------------------ granularity


def test_rows_by_hand():
    weight = torch.arange(12.0).view(2, 3, 2)
    assert PerTensor().rows(weight).tolist() == [list(range(12))]
    assert PerChannel(0).rows(weight).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert PerChannel(1).rows(weight).tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert PerChannel(-1).rows(weight).tolist() == PerChannel(2).rows(weight).tolist()
    assert PerGroup(3).rows(weight).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert PerGroup(2).rows(torch.arange(4.0)).tolist() == [[0, 1], [2, 3]]


def test_scale_shapes():
    conv = (16, 8, 3, 3)
    assert PerTensor().scale_shape(conv) == ()
    assert PerChannel(0).scale_shape(conv) == (16,)
    assert PerChannel(-3).scale_shape(conv) == (8,)
    assert PerGroup(9).scale_shape(conv) == (16, 8)
    assert PerGroup(32).scale_shape((10, 64)) == (10, 2)
    assert PerGroup(5).scale_shape((10,)) == (2,)


@st.composite
def tensors_and_granularities(draw):
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    weight = torch.arange(float(torch.Size(shape).numel())).view(shape)
    if draw(st.booleans()):
        weight = weight.transpose(0, -1)
    run = weight[0].numel() if weight.dim() > 1 else weight.numel()
    sizes = [size for size in range(1, run + 1) if run % size == 0]
    granularity = draw(
        st.one_of(
            st.just(PerTensor()),
            st.integers(-weight.dim(), weight.dim() - 1).map(PerChannel),
            st.sampled_from(sizes).map(PerGroup),
        )
    )
    return weight, granularity


@given(tensors_and_granularities())
@settings(max_examples=200)
def test_rows_come_back_in_place(case):
    weight, granularity = case
    shape = tuple(weight.shape)
    rows = granularity.rows(weight)
    assert rows.dim() == 2 and rows.shape[0] == torch.Size(granularity.scale_shape(shape)).numel()
    assert torch.equal(granularity.unrows(rows, shape), weight)


def test_a_group_that_does_not_divide_names_one_that_does():
    with refused(ValueError, "group_size 48 does not divide the last axis (256); use a divisor such as 32 or 64"):
        PerGroup(48).rows(torch.zeros(4, 256))
    with refused(
        ValueError, "group_size 32 does not divide the flattened input axes (8 x 3 x 3 = 72); use a divisor such as 24"
    ):
        PerGroup(32).rows(torch.zeros(4, 8, 3, 3))
    with refused(
        ValueError, "group_size 128 does not divide the flattened input axes (1 x 3 x 3 = 9); use a divisor such as 9"
    ):
        PerGroup(128).scale_shape((16, 1, 3, 3))
    with refused(ValueError, "group_size 2 does not divide the last axis (5); use a divisor such as 1"):
        PerGroup(2).rows(torch.zeros(5))


def test_bad_group_sizes_and_axes_are_refused():
    with refused(ValueError, "group_size must be a whole number of 1 or more, got 0; use one such as 32 or 128"):
        PerGroup(0)
    with refused(TypeError, "group_size must be a whole number of 1 or more, got 32.0; use one such as 32 or 128"):
        PerGroup(32.0)
    with refused(TypeError, "axis must be a whole number, got None; 0 is the output channel"):
        PerChannel(None)
    with refused(ValueError, "axis 2 is out of range for a tensor of shape (4, 3); use -2 to 1"):
        PerChannel(2).rows(torch.zeros(4, 3))
    with refused(ValueError, "axis -3 is out of range for a tensor of shape (4, 3); use -2 to 1"):
        PerChannel(-3).rows(torch.zeros(4, 3))
    with refused(ValueError, "axis 0 is out of range for a tensor of shape (); use PerTensor()"):
        PerChannel(0).rows(torch.tensor(1.0))


# ------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    "fmt",
    [
        FloatFormat(torch.bfloat16),
        IntFormat(4, granularity=PerGroup(128), scale_dtype=torch.float16),
        IntFormat(7, symmetric=False, signed=False, granularity=PerChannel(-1)),
        CodebookFormat(3, "kmeans++", 7, 11),
        NF4Format(32, double_quantize=True),
        TernaryFormat(PerChannel(1), torch.bfloat16),
        BinaryFormat(PerTensor()),
    ],
)
def test_a_format_survives_as_text(fmt):
    assert format_from_json(format_to_json(fmt)) == fmt


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "null",
        "[]",
        "{}",
        '{"kind": "IntFormat"}',
        '{"kind": "Virus", "bits": 4}',
        '{"kind": "IntFormat", "bits": 4, "colour": 1}',
        '{"kind": "PerGroup", "size": 32}',
        '{"kind": "IntFormat", "bits": 4, "scale_dtype": "fp8"}',
        '{"kind": "IntFormat", "bits": 99}',
        '{"kind": "IntFormat", "bits": "4"}',
        '{"kind": ["IntFormat"], "bits": 4}',
    ],
)
def test_text_that_is_no_format_is_refused(text):
    with pytest.raises(
        ValueError, match="not a format written by format_to_json: |bits must be .* from 1 to 16, got 99"
    ):
        format_from_json(text)


def test_only_formats_are_written():
    with refused(TypeError, "fmt must be a format such as IntFormat(4) or NF4Format(), got 4"):
        format_to_json(4)
    with refused(TypeError, "fmt must be a format such as IntFormat(4) or NF4Format(), got PerGroup(size=32)"):
        format_to_json(PerGroup(32))
