"""Sparse storage: bytes worked out by hand, and scipy's and torch's own formats as oracles."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import zoo
from mini_lib.costs import stored_bytes
from mini_lib.prune import Mask, apply_mask, keep_top, magnitude, masked
from mini_lib.prune.sparse import (
    CSR,
    Bitmap,
    BlockCSR,
    DoesNotFit,
    NofM,
    as_matrix,
    break_even_densities,
    matvec,
    model_bytes,
    smallest_formats,
    stored_formats,
    to_bitmap,
    to_blocks,
    to_csr,
    to_n_of_m,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def random_weight(rows, columns, density, seed=0, dtype=torch.float32):
    chance = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=chance)
    return (weight * (torch.rand(rows, columns, generator=chance) < density)).to(dtype)


def n_of_m_weight(rows, groups, n, m, seed=0, dtype=torch.float32):
    """Random weights of which at most n of each m are not zero, some groups with fewer."""
    chance = np.random.default_rng(seed)
    weight = torch.zeros(rows, groups, m)
    for row in range(rows):
        for group in range(groups):
            for place in chance.choice(m, size=chance.integers(0, n + 1), replace=False):
                weight[row, group, place] = float(chance.integers(1, 100))
    return weight.view(rows, groups * m).to(dtype)


def quiet(call, *arguments):
    """Call without torch's remark that its sparse tensors are new."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse .* tensor support is in beta")
        return call(*arguments)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_bitmap_by_hand():
    # nine bits, row by row: 1 at places 1, 3 and 8, so 2 + 8 = 10 and, in the next byte, 1
    stored = to_bitmap(torch.tensor([[0.0, 5.0, 0.0], [6.0, 0.0, 0.0], [0.0, 0.0, 7.0]]))
    assert stored.bits.tolist() == [10, 1]
    assert stored.values.tolist() == [5, 6, 7]
    assert stored.stored_bytes == 2 + 3 * 4


def test_csr_by_hand():
    stored = to_csr(torch.tensor([[0.0, 0.0], [5.0, 6.0], [0.0, 7.0]], dtype=torch.float16))
    assert (stored.row_pointers.tolist(), stored.columns.tolist(), stored.values.tolist()) == (
        [0, 0, 2, 3],
        [0, 1, 1],
        [5, 6, 7],
    )
    assert stored.stored_bytes == 4 * 4 + 3 * 2 + 3 * 2


def test_blocks_by_hand_with_an_edge_that_hangs_over():
    # 3 x 5 in blocks of 2 x 2: 2 x 3 of them, and the last row and column hang over. Nonzeros at (0, 4) and (2, 0).
    weight = torch.zeros(3, 5)
    weight[0, 4], weight[2, 0] = 1.0, 2.0
    stored = to_blocks(weight, (2, 2))
    assert (stored.row_pointers.tolist(), stored.block_columns.tolist()) == ([0, 1, 2], [2, 0])
    assert stored.values.tolist() == [[[1, 0], [0, 0]], [[2, 0], [0, 0]]]
    assert stored.stored_bytes == 3 * 4 + 2 * 2 + 2 * 4 * 4
    assert (stored.block, stored.block_counts) == ((2, 2), (2, 3))


def test_two_of_four_by_hand():
    # positions 0, 2 | 1, 3 from the lowest bits up: 0 + 2*4 + 1*16 + 3*64
    stored = to_n_of_m(torch.tensor([[1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 4.0]]))
    assert stored.values.tolist() == [[[1, 2], [3, 4]]]
    assert stored.positions.tolist() == [8 + 16 + 192]
    assert stored.bits == 2
    # an empty group stores zeros at the first places, one that is half full fills up from the front
    stored = to_n_of_m(torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0]]))
    assert stored.values.tolist() == [[[0, 0], [0, 9]]]
    assert stored.positions.tolist() == [0 + 1 * 4 + 0 * 16 + 3 * 64]


@pytest.mark.parametrize("dtype, ratio", [(torch.float32, 0.53125), (torch.float16, 0.5625), (torch.bfloat16, 0.5625)])
def test_two_of_four_is_not_half(dtype, ratio):
    """.5 * (1 + 2/32) in fp32, .5 * (1 + 2/16) in 16 bits."""
    weight = n_of_m_weight(6, 16, 2, 4, dtype=dtype)
    assert to_n_of_m(weight).stored_bytes == ratio * weight.nbytes


@pytest.mark.parametrize(
    "n, m, bits", [(1, 2, 1), (1, 3, 2), (2, 4, 2), (4, 8, 3), (3, 9, 4), (16, 32, 5), (1, 256, 8)]
)
def test_a_position_takes_as_many_bits_as_name_it(n, m, bits):
    stored = to_n_of_m(n_of_m_weight(3, 5, n, m), n, m)
    assert stored.bits == bits
    assert stored.stored_bytes == 3 * 5 * n * 4 + -(-3 * 5 * n * bits // 8)


def test_bytes_at_the_size_of_a_layer_by_hand():
    # 300 x 784 = 235,200 weights, of which the first 10 in each row stay: 3,000
    weight = torch.zeros(300, 784)
    weight[:, :10] = 1.0
    weight[:, 2:4] = weight[:, 6:8] = weight[:, 10:12] = 0.0  # columns 0 1 4 5 8 9 stay: 1,800
    assert stored_formats(weight) == {
        "dense": 940_800,
        "bitmap": 29_400 + 7_200,
        "CSR": 301 * 4 + 1_800 * 6,
        "blocks 4x4": 76 * 4 + 75 * 3 * (2 + 64),
        "2:4": 117_600 * 4 + 117_600 // 4,
    }


@pytest.mark.parametrize("columns, width", [(65536, 2), (65537, 4)])
def test_columns_take_two_bytes_as_long_as_two_bytes_number_them(columns, width):
    weight = torch.zeros(2, columns)
    weight[0, 0] = weight[1, columns - 1] = 1.0
    stored = to_csr(weight)
    assert stored.stored_bytes == 3 * 4 + 2 * width + 2 * 4
    assert stored.columns.tolist() == [0, columns - 1]
    assert torch.equal(stored.dense(), weight)
    blocks = to_blocks(weight, (1, 2))  # half as many columns to number
    assert blocks.stored_bytes == 3 * 4 + 2 * 2 + 4 * 4
    assert torch.equal(blocks.dense(), weight)


# --- other implementations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows, columns, density", [(1, 1, 1.0), (7, 5, 0.3), (64, 100, 0.05), (30, 40, 1.0), (5, 9, 0.0)]
)
def test_csr_is_scipys_and_torchs(rows, columns, density):
    weight = random_weight(rows, columns, density)
    ours, scipys, torchs = to_csr(weight), scipy.sparse.csr_matrix(weight.numpy()), quiet(weight.to_sparse_csr)
    for ours_, scipys_, torchs_ in (
        (ours.row_pointers, scipys.indptr, torchs.crow_indices()),
        (ours.columns, scipys.indices, torchs.col_indices()),
        (ours.values, scipys.data, torchs.values()),
    ):
        assert ours_.tolist() == scipys_.tolist() == torchs_.tolist()


@pytest.mark.parametrize("block", [(4, 4), (16, 1), (1, 16), (2, 8), (1, 1)])
def test_blocks_are_scipys_and_torchs(block):
    weight = random_weight(32, 48, 0.03)
    ours, torchs = to_blocks(weight, block), quiet(weight.to_sparse_bsr, block)
    scipys = scipy.sparse.bsr_matrix(weight.numpy(), blocksize=block)
    scipys.sort_indices()
    for ours_, scipys_, torchs_ in (
        (ours.row_pointers, scipys.indptr, torchs.crow_indices()),
        (ours.block_columns, scipys.indices, torchs.col_indices()),
        (ours.values, scipys.data, torchs.values()),
    ):
        assert ours_.tolist() == scipys_.tolist() == torchs_.tolist()


def test_the_bitmap_is_numpys():
    weight = random_weight(9, 13, 0.4)
    assert to_bitmap(weight).bits.tolist() == np.packbits(weight.numpy() != 0, bitorder="little").tolist()


def test_positions_are_one_big_integer():
    """The definition, written differently: position i times 2**(i * bits), summed, as little-endian bytes."""
    for n, m in ((2, 4), (3, 5), (4, 8), (2, 17)):
        weight = n_of_m_weight(4, 6, n, m, seed=m)
        stored, number, at = to_n_of_m(weight, n, m), 0, 0
        for group in weight.view(-1, m).tolist():
            filled = [place for place in range(m) if group[place]]
            empty = [place for place in range(m) if not group[place]]
            for place in sorted(filled + empty[: n - len(filled)]):
                number += place << (at * stored.bits)
                at += 1
        assert bytes(stored.positions.tolist()) == number.to_bytes(len(stored.positions), "little")


# --- properties ----------------------------------------------------------------------------------------------------


@st.composite
def matrices(draw):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 24))
    numbers = st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.5, -2.0, 1e-7, 3e4])
    values = draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
    return torch.tensor(values).view(rows, columns).to(draw(st.sampled_from(DTYPES)))


def same(ours, weight):
    return ours.dtype == weight.dtype and ours.is_contiguous() and torch.equal(ours, weight)


@given(matrices(), st.tuples(st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=200)
def test_every_matrix_comes_back_and_its_bytes_are_the_formula(weight, block):
    (rows, columns), kept, value_bytes = weight.shape, int((weight != 0).sum()), weight.element_size()
    bitmap, csr, blocks = to_bitmap(weight), to_csr(weight), to_blocks(weight, block)
    assert same(bitmap.dense(), weight)
    assert same(csr.dense(), weight)
    assert same(blocks.dense(), weight)
    assert bitmap.stored_bytes == (rows * columns + 7) // 8 + kept * value_bytes
    assert csr.stored_bytes == 4 * (rows + 1) + kept * (2 + value_bytes)
    corners = {(row // block[0], column // block[1]) for row, column in (weight != 0).nonzero().tolist()}
    block_rows = (rows + block[0] - 1) // block[0]
    assert blocks.stored_bytes == 4 * (block_rows + 1) + len(corners) * (2 + block[0] * block[1] * value_bytes)


@given(
    st.integers(2, 20).flatmap(lambda m: st.tuples(st.integers(1, m - 1), st.just(m))),
    st.integers(0, 99),
    st.sampled_from(DTYPES),
)
@settings(max_examples=100)
def test_every_n_of_m_comes_back(n_of_m, seed, dtype):
    n, m = n_of_m
    weight = n_of_m_weight(3, 4, n, m, seed, dtype)
    assert same(to_n_of_m(weight, n, m).dense(), weight)


def test_two_of_four_keeps_the_smallest_values():
    weight = torch.tensor([[-3e38, 0.0, 1e-40, 0.0, 0.0, -0.0, 1e-45, 0.0]])
    assert same(to_n_of_m(weight).dense(), weight)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_stored(bad):
    weight = torch.zeros(4, 8)
    weight[1, 2] = bad
    for store in (to_bitmap, to_csr, to_blocks, to_n_of_m, stored_formats, smallest_formats_of):
        with pytest.raises(ValueError, match="weight must be finite, and holds NaN or infinity"):
            store(weight)


def smallest_formats_of(weight):
    layer = nn.Linear(8, 4)
    layer.weight.data = weight
    return smallest_formats(layer)


@pytest.mark.parametrize("column", [9, 300, 65_535])
def test_an_index_that_was_written_later_does_not_reach_the_kernel(column):
    """C would read past the end of x: what a format holds is looked at again when it is bound."""
    x, weight = torch.ones(8), torch.eye(4, 8)
    csr, blocks = to_csr(weight), to_blocks(weight, (2, 2))
    csr.columns[1] = blocks.block_columns[1] = column
    for stored in (csr, blocks):
        with pytest.raises(ValueError, match="columns must lie in 0 to"):
            matvec(stored, x)
    csr = to_csr(weight)
    csr.row_pointers[2] = -7
    with pytest.raises(ValueError, match="row_pointers must rise from 0"):
        matvec(csr, x)
    bitmap = to_bitmap(weight)
    bitmap.bits.fill_(255)
    with pytest.raises(ValueError, match=r"values must have shape \[32\], got \[4\]"):
        matvec(bitmap, x)


def test_the_weight_is_not_shared():
    weight = random_weight(4, 8, 1.0)
    stored = [to_bitmap(weight), to_csr(weight), to_blocks(weight, (2, 4))]
    before = weight.clone()
    weight.zero_()
    assert all(torch.equal(one.dense(), before) for one in stored)


def test_a_parameter_that_lies_transposed_is_stored_as_it_reads():
    weight = nn.Parameter(random_weight(8, 6, 0.5)).t()
    for stored in (to_bitmap(weight), to_csr(weight), to_blocks(weight)):
        assert torch.equal(stored.dense(), weight.detach())


# --- where a format begins to pay ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, bitmap, csr", [(torch.float32, 31 / 32, 2 / 3), (torch.float16, 15 / 16, 1 / 2)])
def test_break_even_by_hand(dtype, bitmap, csr):
    """With many columns the row pointers weigh nothing: 4 bytes on 60,000 weights are less than 1e-4 of a density."""
    densities = break_even_densities(torch.zeros(2, 60_000, dtype=dtype))
    assert densities["bitmap"] == bitmap
    assert densities["CSR"] == pytest.approx(csr, abs=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(16, 24), (40, 8), (12, 784)])
def test_break_even_is_where_bytes_cross(dtype, shape):
    """The largest count below the density takes fewer bytes than dense, and one more than that count does not."""
    densities, count = break_even_densities(torch.zeros(shape, dtype=dtype)), shape[0] * shape[1]
    for name, encode in (("bitmap", to_bitmap), ("CSR", to_csr)):
        most = max(0, int(np.ceil(densities[name] * count)) - 1)
        weight = torch.zeros(count, dtype=dtype)
        weight[:most] = 1.0
        assert encode(weight.view(shape)).stored_bytes < weight.nbytes
        weight[: most + 1] = 1.0
        assert encode(weight.view(shape)).stored_bytes >= weight.nbytes
    blocks = count // 16
    most = int(np.ceil(densities["blocks"] * blocks)) - 1
    for kept, pays in ((most, True), (most + 1, False)):
        there = (torch.arange(blocks) < kept).view(shape[0] // 4, shape[1] // 4)
        weight = there.repeat_interleave(4, 0).repeat_interleave(4, 1).to(dtype)
        assert (to_blocks(weight).stored_bytes < weight.nbytes) is pays


def test_a_format_that_cannot_hold_the_weight_is_left_out():
    assert set(stored_formats(torch.ones(2, 8))) == {"dense", "bitmap", "CSR", "blocks 4x4"}
    assert set(stored_formats(torch.zeros(2, 6))) == {"dense", "bitmap", "CSR", "blocks 4x4"}
    assert "2:4" in stored_formats(torch.zeros(2, 8))


# --- models --------------------------------------------------------------------------------------------------------


def test_a_model_by_hand():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        for weight in (model[0].weight, model[3].weight):
            weight.zero_()
            weight[0].fill_(1.0)
    # the rest: 4 + 3 biases, four vectors of 4 and a counter of the batch norm
    rest = 7 * 4 + 4 * 4 * 4 + 8
    assert model_bytes(model, to_bitmap) == rest + (72 // 8 + 18 * 4) + (48 // 8 + 16 * 4)
    assert model_bytes(model, to_csr) == rest + (5 * 4 + 18 * 6) + (4 * 4 + 16 * 6)
    assert model_bytes(model, to_csr, where=lambda name, _: name == "3") == rest + 72 * 4 + (4 * 4 + 16 * 6)
    table = smallest_formats(model)
    assert [(layer.name, layer.density, layer.smallest) for layer in table.layers] == [
        ("0.weight", 0.25, "bitmap"),
        ("3.weight", pytest.approx(1 / 3), "bitmap"),
    ]
    assert table.smallest_bytes == (9 + 72) + (6 + 64)


def test_a_mask_stores_what_its_zeros_would():
    model = zoo.small_cnn()
    mask = keep_top(magnitude(model), density=0.1, scope="layer")
    for encode in (to_bitmap, to_csr, to_blocks):
        assert model_bytes(model, encode, mask) == model_bytes(apply_mask(model, mask), encode)
    weights = [model.get_parameter(name) for name in mask]
    bits, kept = sum(-(-weight.numel() // 8) for weight in weights), mask.kept
    others = stored_bytes(model) - sum(weight.nbytes for weight in weights)
    assert model_bytes(model, to_bitmap, mask) == others + bits + 4 * kept
    assert torch.equal(model[0].weight, zoo.small_cnn()[0].weight)


def test_a_shared_weight_is_stored_once():
    layer = nn.Linear(8, 8, bias=False)
    assert model_bytes(nn.Sequential(layer, nn.ReLU(), layer), to_csr) == to_csr(layer.weight).stored_bytes


def test_no_format_below_dense_leaves_dense_the_smallest():
    table = smallest_formats(nn.Linear(8, 8))
    assert table.layers[0].smallest == "dense"
    assert "-" not in str(smallest_formats(apply_mask(nn.Linear(8, 2), Mask({"weight": torch.eye(2, 8) > 0}))))
    assert str(table).splitlines()[0].split() == [
        "bytes",
        "density",
        "dense",
        "bitmap",
        "CSR",
        "blocks",
        "4x4",
        "smallest",
    ]


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [to_bitmap, to_csr, to_blocks, to_n_of_m])
@pytest.mark.parametrize("weight, kind, message", [
    ([[1.0]], TypeError, "weight must be a tensor, got [[1.0]]; pass layer.weight"),
    (torch.ones(2, 2, dtype=torch.float64), TypeError, "must be float32, float16 or bfloat16, got torch.float64"),
    (torch.ones(4), ValueError, "weight must be a matrix [rows, columns], got shape [4]"),
    (torch.ones(1, 2, 3, 3), ValueError, "as_matrix(weight) flattens a convolution's"),
    (torch.ones(0, 4), ValueError, "at least one row and one column, got shape [0, 4]"),
])  # fmt: skip
def test_what_no_format_stores(encode, weight, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        encode(weight)


def test_a_group_that_is_too_full_is_named():
    weight = torch.zeros(3, 12)
    weight[1, 4:7] = 1.0
    weight[2] = 1.0
    with pytest.raises(
        DoesNotFit,
        match=re.escape(
            "row 1, group 1 (columns 4 to 7) has 3 nonzeros, and 2:4 stores at most 2; prune with an 2:4 mask"
        ),
    ):
        to_n_of_m(weight)
    with pytest.raises(ValueError, match="m = 4 does not divide the 6 columns; use a divisor"):
        to_n_of_m(torch.zeros(2, 6))


@pytest.mark.parametrize(
    "n, m, kind",
    [
        (0, 4, ValueError),
        (4, 4, ValueError),
        (5, 4, ValueError),
        (2, 512, ValueError),
        (2.0, 4, TypeError),
        (True, 4, TypeError),
    ],
)
def test_n_and_m_that_make_no_sense(n, m, kind):
    with pytest.raises(kind, match="use 2"):
        to_n_of_m(torch.zeros(2, 1024), n, m)


@pytest.mark.parametrize(
    "block, kind", [(4, TypeError), ((4,), TypeError), ((4.0, 4), TypeError), ((0, 4), ValueError)]
)
def test_blocks_that_make_no_sense(block, kind):
    with pytest.raises(kind, match="block must .*use"):
        to_blocks(torch.ones(4, 4), block)


def test_as_matrix_wants_outputs_and_inputs():
    with pytest.raises(ValueError, match=re.escape("at least 2 axes, [out, in, ...], got shape [3]")):
        as_matrix(torch.ones(3))
    with pytest.raises(TypeError, match=r"weight must be a tensor, got \[1.0\]"):
        as_matrix([1.0])
    weight = torch.randn(4, 3, 2, 2)
    assert torch.equal(as_matrix(weight)[2], weight[2].flatten())


UINT8, UINT16 = torch.uint8, torch.uint16


def ints(*numbers, dtype=torch.int32):
    return torch.tensor(numbers, dtype=torch.int32).to(dtype)


@pytest.mark.parametrize("build, kind, message", [
    (lambda: CSR((2, 3), ints(0, 1), ints(0, dtype=UINT16), torch.ones(1)), ValueError,
     "row_pointers must have shape [3]"),
    (lambda: CSR((1, 3), ints(0, 2), ints(0, dtype=UINT16), torch.ones(1)), ValueError,
     "rise from 0 to the number of values (1)"),
    (lambda: CSR((2, 3), ints(0, 2, 1), ints(0, dtype=UINT16), torch.ones(1)), ValueError, "row_pointers must rise"),
    (lambda: CSR((1, 3), ints(0, 1), ints(3, dtype=UINT16), torch.ones(1)), ValueError,
     "columns must lie in 0 to 2, got 3 to 3"),
    (lambda: CSR((1, 3), ints(0, 2), ints(2, 1, dtype=UINT16), torch.ones(2)), ValueError,
     "columns must rise within each row"),
    (lambda: CSR((1, 3), ints(0, 2), ints(1, 1, dtype=UINT16), torch.ones(2)), ValueError, "each at most once"),
    (lambda: CSR((1, 3), ints(0, 1), ints(0), torch.ones(1)), TypeError,
     "columns must be torch.uint16, got torch.int32"),
    (lambda: CSR((1, 3), ints(0, 1), ints(0, dtype=UINT16), torch.ones(2)), ValueError,
     "values must have shape [1], got [2]"),
    (lambda: CSR((1, 3), ints(0, 2), ints(0, 1, dtype=UINT16), torch.ones(4)[::2]), ValueError,
     "values must be contiguous"),
    (lambda: BlockCSR((2, 4), ints(0, 1), ints(2, dtype=UINT16), torch.ones(1, 2, 2)), ValueError,
     "columns must lie in 0 to 1"),
    (lambda: BlockCSR((2, 4), ints(0, 1), ints(0, dtype=UINT16), torch.ones(1, 4)), ValueError,
     "[blocks, rows of a block"),
    (lambda: Bitmap((1, 3), ints(7, dtype=UINT8), torch.ones(2)), ValueError, "values must have shape [3], got [2]"),
    (lambda: Bitmap((3, 3), ints(7, dtype=UINT8), torch.ones(3)), ValueError, "bits must have shape [2], got [1]"),
    (lambda: Bitmap((1, 3), ints(7), torch.ones(3)), TypeError, "bits must be torch.uint8, got torch.int32"),
    (lambda: Bitmap((1, 3), ints(7, dtype=UINT8), torch.ones(3).double()), TypeError, "got torch.float64"),
    (lambda: NofM((1, 4), 2, 4, ints(0b0101, dtype=UINT8), torch.ones(1, 1, 2)), ValueError,
     "positions must rise within each group"),
    (lambda: NofM((1, 3), 1, 3, ints(3, dtype=UINT8), torch.ones(1, 1, 1)), ValueError, "lie in 0 to 2"),
    (lambda: NofM((1, 4), 2, 4, ints(4, dtype=UINT8), torch.ones(1, 2)), ValueError,
     "values must have shape [1, 1, 2]"),
])  # fmt: skip
def test_parts_that_do_not_fit_together_never_reach_c(build, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        build()


def test_the_layer_that_cannot_be_stored_is_named():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(6, 2))
    with torch.no_grad():
        model[0].weight.zero_()
    with pytest.raises(DoesNotFit, match=re.escape("1.weight: m = 4 does not divide the 6 columns")):
        model_bytes(model, to_n_of_m)
    with pytest.raises(ValueError, match=re.escape("baked(model)")):
        model_bytes(masked(nn.Linear(4, 2), Mask({"weight": torch.ones(2, 4) > 0})), to_csr)
