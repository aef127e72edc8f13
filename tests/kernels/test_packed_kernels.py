"""Products with packed matrices: integers exact in every instruction set, floats within a derived bound."""

import gc
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib import kernels, native
from mini_lib.kernels import (
    PACKED_WIDTHS,
    PackedMatrix,
    Places,
    bind_packed_linear,
    bind_read,
    instruction_sets,
    most_columns,
    pack_matrix,
    pack_signs,
    packed_convolution,
    packed_integers,
    packed_linear,
    xnor_product,
)

SETS = instruction_sets()
EPS = 2.0**-24  # half a unit in the last place of float32


def some_matrix(bits, rows, groups, size, seed=0, affine=True):
    """A packed matrix, and the same in float64 from the definition: scale * (code - zero)."""
    chance = torch.Generator().manual_seed(seed)
    codes = torch.randint(2**bits, (rows, groups * size), generator=chance)
    scales = torch.rand(rows, groups, generator=chance) + 0.1
    if bits == 1:
        zeros, steps = 0, 2 * codes - 1
    else:
        zeros = torch.randint(2**bits, (rows, groups), generator=chance) if affine else 2 ** (bits - 1)
        steps = codes - (zeros.repeat_interleave(size, 1) if affine else zeros)
    bias = torch.randn(rows, generator=chance)
    dense = steps.double() * scales.double().repeat_interleave(size, 1)
    return pack_matrix(codes, scales, zeros, bits, bias), dense, codes


def rounded(x):
    """What the kernels are to make of a vector: int8 with the scale max |x| / 127, in float64."""
    step = x.abs().amax(-1, keepdim=True).double() / 127
    return torch.round(x.double() / step) * step


def bound(dense, x, groups):
    """The error of float32 against exact arithmetic on the rounded x.

    Each group adds a conversion, a product and a sum; the step and the bias add four more roundings; each is at most
    EPS of a number below sum |w| |x|. Besides, x * (127 / max) carries two roundings, so where x lies that close to the
    middle between two steps it may go to the other one. The tests draw x off the middles, except where it is whole.
    """
    return (3 * groups + 8) * EPS * (rounded(x).abs() @ dense.abs().T + 5)


def off_the_middles(shape, chance):
    """Numbers within a quarter of a step of whole steps; the largest is 127 steps."""
    steps = torch.randint(-126, 127, shape, generator=chance) + (torch.rand(shape, generator=chance) - 0.5) / 2
    steps[..., 0] = 127
    return steps * 0.037


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("bits", PACKED_WIDTHS)
@pytest.mark.parametrize(
    "rows, groups, size", [(1, 1, 1), (5, 1, 37), (33, 3, 40), (48, 2, 96), (16, 5, 9), (17, 1, 700)]
)
def test_floats(bits, rows, groups, size, instructions):
    chance = torch.Generator().manual_seed(rows)
    for affine in (True, False):
        matrix, dense, _ = some_matrix(bits, rows, groups, size, affine=affine)
        for count in (*range(1, 10), 13):
            x = off_the_middles((count, groups * size), chance)
            got = packed_linear(matrix, x, instructions)
            want = rounded(x) @ dense.T + matrix.bias.double()
            assert (got - want).abs().le(bound(dense, x, groups)).all()
            # and against the product with x itself: half a step per input, as the docstring promises
            top = x.abs().amax(1, keepdim=True).double()
            promised = top / 254 * dense.abs().sum(1) + bound(dense, x, groups)
            assert (got - (x.double() @ dense.T + matrix.bias)).abs().le(promised).all()


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_scales_are_exact(dtype, instructions):
    """Codes of 1 and an input of 127: what comes out is 127 times the scale, from the least to the largest."""
    scales = torch.tensor([2.0**-24, 3 * 2.0**-24, 2.0**-14, 0.1, 1.0, 65504.0, 0.001]).to(dtype)[:, None]
    matrix = pack_matrix(torch.ones(7, 1, dtype=torch.int64), scales, 0, 2)
    assert matrix.stored_bytes == 16 * (4 + 2)
    got = packed_linear(matrix, torch.tensor([[127.0]]), instructions)
    assert torch.equal(got, 127 * scales.float().T)
    assert torch.equal(matrix.unpacked()[1], scales) and torch.equal(matrix.dense(), scales.float())


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("bits", PACKED_WIDTHS)
@given(rows=st.integers(1, 40), size=st.integers(1, 90), count=st.integers(1, 10), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_integers_are_exact(bits, instructions, rows, size, count, seed):
    matrix, _, codes = some_matrix(bits, rows, 1, size, seed)
    x = torch.randint(-128, 128, (count, size), generator=torch.Generator().manual_seed(seed)).to(torch.int8)
    steps = 2 * codes - 1 if bits == 1 else codes - matrix.unpacked()[2].long()
    assert torch.equal(packed_integers(matrix, x, instructions).long(), x.long() @ steps.T)


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("bits", PACKED_WIDTHS)
def test_the_largest_sums_fit(bits, instructions):
    """Codes, zeros and activations at their ends, in the longest group that is allowed (at most 100,000 columns).

    Products are at most top * 128, and so is what a column adds to the start value: both together fit for all columns.
    """
    size = min(most_columns(bits), 100_000)
    top = 2**bits - 1
    for code, zero, activation in [(top, 0, -128), (0, top, -128), (top, 0, 127), (0, top, 127), (top, top, -128)]:
        zero = 0 if bits == 1 else zero
        matrix = pack_matrix(torch.full((2, size), code), torch.ones(2, 1), zero, bits)
        step = 2 * code - 1 if bits == 1 else code - zero
        got = packed_integers(matrix, torch.full((1, size), activation, dtype=torch.int8), instructions)
        assert got.tolist() == [[step * activation * size] * 2]
    assert 2 * top * 128 * most_columns(bits) < 2**31


@pytest.mark.parametrize("bits", PACKED_WIDTHS)
@given(rows=st.integers(1, 40), groups=st.integers(1, 4), size=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_the_layout_gives_back_what_was_packed(bits, rows, groups, size, seed):
    matrix, dense, codes = some_matrix(bits, rows, groups, size, seed)
    again, _, _ = matrix.unpacked()
    assert torch.equal(again.flatten(1).long(), codes)
    assert torch.equal(matrix.dense(), dense.float())
    tiles, unit = -(-rows // 16), {8: 4, 4: 8, 3: 32, 2: 16, 1: 32}[bits]
    filled = groups * -(-size // unit) * unit
    zeros_bytes = 0 if bits == 1 else 1
    assert matrix.stored_bytes == tiles * 16 * (filled * bits // 8 + groups * (4 + zeros_bytes)) + rows * 4


def test_the_layout_by_hand():
    """Row 0 of 4 bits: columns 0 to 3 are the low halves of the four bytes, columns 4 to 7 the high ones."""
    codes = torch.zeros(2, 8, dtype=torch.int64)
    codes[0] = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8])
    words = pack_matrix(codes, torch.ones(2, 1), 0, 4).codes.flatten()
    assert int(words[0]) == 0x84736251 - 2**32
    assert words[1:].tolist() == [0] * 15


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("places, sides", [
    (Places((3, 3), border=((1, 1), (1, 1))), (7, 6)),
    (Places((3, 3), (2, 2), border=((1, 1), (1, 1))), (9, 8)),
    (Places((1, 1)), (5, 3)),
    (Places((2, 5), (1, 3), (2, 1), ((0, 1), (2, 0))), (6, 9)),
    (Places((3, 2), (2, 1), (1, 2)), (8, 8)),
    (Places((1, 11), border=((0, 0), (5, 5))), (2, 12)),
])  # fmt: skip
def test_convolutions(places, sides, instructions):
    chance = torch.Generator().manual_seed(3)
    for bits, channels, groups in ((4, 3, 1), (3, 2, 2), (8, 1, 1)):
        kernel = places.kernel[0] * places.kernel[1]
        matrix, dense, _ = some_matrix(bits, 19, groups, channels * kernel // groups)
        x = off_the_middles((3, channels * sides[0] * sides[1]), chance)
        (top, bottom), (left, right) = places.border
        image = torch.nn.functional.pad(rounded(x).view(3, channels, *sides), (left, right, top, bottom))
        weight = dense.view(19, channels, *places.kernel)
        want = torch.nn.functional.conv2d(image, weight, matrix.bias.double(), places.stride, 0, places.dilation)
        largest = x.abs().amax() * dense.abs().sum(1).amax() + 5
        got = packed_convolution(matrix, x.view(3, channels, *sides), places, instructions)
        assert got.shape == want.shape and (got - want).abs().max() <= (3 * groups + 8) * EPS * largest


@pytest.mark.parametrize("instructions", SETS)
def test_what_is_not_finite_shows(instructions):
    matrix, _, _ = some_matrix(4, 3, 1, 20)
    x = torch.ones(4, 20)
    x[1, 3], x[2, 4], x[3] = float("nan"), float("-inf"), 0
    y = packed_linear(matrix, x, instructions)
    assert y[1:3].isnan().all() and y[0].isfinite().all() and torch.equal(y[3], matrix.bias)


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e30, 3e38])
def test_tiny_and_huge_inputs(size, instructions):
    matrix = pack_matrix(torch.tensor([[1], [2]]), torch.full((2, 1), 0.01), 0, 8)
    y = packed_linear(matrix, torch.tensor([[size]]), instructions).double()
    allowed = 2.0**-101 / 127 * 0.02 + size * 1e-6  # below 2**-100 the step stays as it is
    assert (y - torch.tensor([0.01, 0.02]).double() * size).abs().max() <= allowed


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_bound_product_is_the_same_on_any_number_of_threads(threads, instructions):
    if threads > 1 and instructions != "torch" and not native.find_compiler().openmp:
        with pytest.raises(native.NoCompiler, match="has no OpenMP here; install gcc"):
            bind_packed_linear(MATRIX, torch.ones(1, 32), torch.empty(1, 3), threads, instructions)
        return
    for rows in (1, 100):  # fewer tiles than threads, and more
        matrix, _, _ = some_matrix(4, rows, 3, 40)
        x, y = torch.randn(2, 120), torch.empty(2, rows)
        call = bind_packed_linear(matrix, x, y, threads, instructions)
        codes = matrix.codes
        del matrix
        gc.collect()
        for _ in range(2):
            assert call() is None
            again = some_matrix(4, rows, 3, 40)[0]
            assert torch.equal(codes, again.codes)
            assert torch.equal(y, packed_linear(again, x, instructions))
            x.mul_(-0.3)


def test_threads_where_the_compiler_has_no_openmp(monkeypatch):
    serial = replace(native.find_compiler(), openmp=False)
    monkeypatch.setattr(native, "find_compiler", lambda: serial)
    with pytest.raises(native.NoCompiler, match="has no OpenMP here; install gcc"):
        bind_packed_linear(some_matrix(3, 5, 1, 37)[0], torch.ones(1, 37), torch.empty(1, 5), 7, SETS[0])


@pytest.mark.parametrize("instructions", SETS)
def test_what_fills_a_unit_does_not_count(instructions):
    """One column of eight is used; the seven others hold codes of 15, and scratch memory holds anything."""
    matrix = pack_matrix(torch.ones(16, 1, dtype=torch.int64), torch.ones(16, 1), 0, 4)
    matrix.codes.bitwise_or_(-16)
    for _ in range(20):
        _ = [torch.full((size,), 0x55, dtype=torch.uint8) for size in (300, 400, 500, 600)]
        assert packed_linear(matrix, torch.tensor([[127.0]]), instructions).tolist() == [[127.0] * 16]


def test_no_compiler_gives_the_same(monkeypatch):
    matrix, _, _ = some_matrix(3, 20, 2, 33)
    x = off_the_middles((5, 66), torch.Generator().manual_seed(0))
    signs = pack_signs(torch.randn(3, 70))
    here, agree = packed_linear(matrix, x, SETS[0]), xnor_product(signs, signs, 70)

    def none():
        raise native.NoCompiler("no C compiler works")

    monkeypatch.setattr(native, "find_compiler", none)
    instruction_sets.cache_clear()
    try:
        assert instruction_sets() == ("torch",)
        torch.testing.assert_close(packed_linear(matrix, x), here, rtol=0, atol=1e-4)
        assert torch.equal(xnor_product(signs, signs, 70), agree)
        with pytest.raises(ValueError, match="instructions must be 'torch', got 'vnni'"):
            packed_linear(matrix, x, "vnni")
    finally:
        instruction_sets.cache_clear()


def test_the_tensors_may_change_and_go():
    """A call reads the tensors as they are then, and its result outlives everything."""
    matrix, _, _ = some_matrix(8, 4, 1, 12)
    x = torch.full((1, 12), 2.0)
    first = packed_linear(matrix, x)
    matrix.bias.add_(1)
    second = packed_linear(matrix, x)
    kept = first.clone()
    del x, matrix
    gc.collect()
    _ = [torch.full((4,), 9.0) for _ in range(50)]
    assert torch.equal(first, kept)
    torch.testing.assert_close(second, first + 1, rtol=0, atol=1e-4)


@given(rows=st.integers(1, 9), columns=st.integers(1, 150), count=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_signs(rows, columns, count, seed):
    chance = np.random.default_rng(seed)
    w, x = chance.integers(0, 2, (rows, columns)) * 2 - 1, chance.integers(0, 2, (count, columns)) * 2 - 1
    got = xnor_product(pack_signs(torch.from_numpy(w)), pack_signs(torch.from_numpy(x)), columns)
    assert got.tolist() == (x @ w.T).tolist()


# --- what is refused -----------------------------------------------------------------------------------------------

MATRIX = some_matrix(4, 3, 2, 16)[0]
CODES, SCALES = torch.zeros(3, 8, dtype=torch.int64), torch.ones(3, 1)


IMAGE, KERNEL = torch.ones(1, 2, 3, 9), Places((4, 4))
ONE_TILE = torch.zeros(1, 1, 1, 1, 16, dtype=torch.int32)
WORDS = torch.zeros(2, 1, dtype=torch.int64)
LONG = torch.zeros(1, 40_000, dtype=torch.int64)
INT8 = torch.ones(2, 32, dtype=torch.int8)
X, Y = torch.ones(2, 32), torch.ones(2, 3)


@pytest.mark.parametrize("call, kind, message", [
    (lambda: packed_linear(MATRIX, torch.ones(2, 31)), ValueError, "x must have shape [any, 32], got [2, 31]"),
    (lambda: packed_linear(MATRIX, torch.ones(2, 32).double()), TypeError, "x must be torch.float32, got"),
    (lambda: packed_linear(MATRIX, torch.ones(32, 2).T), ValueError, "x must be contiguous on the CPU"),
    (lambda: packed_linear(MATRIX, torch.ones(2, 32), "sse9"), ValueError, "got 'sse9'; the others"),
    (lambda: bind_packed_linear(MATRIX, Y, Y), ValueError, "x must have shape [any, 32], got [2, 3]"),
    (lambda: bind_packed_linear(MATRIX, X, Y[:1]), ValueError, "y must have shape [2, 3], got [1, 3]"),
    (lambda: bind_packed_linear(MATRIX, X, Y, 0), ValueError, "threads must be a whole number from 1 to 256, got 0"),
    (lambda: packed_integers(MATRIX, torch.ones(2, 32)), TypeError, "x must be torch.int8"),
    (lambda: packed_integers(MATRIX, INT8), ValueError, "one group, got 2"),
    (lambda: packed_convolution(MATRIX, torch.ones(1, 3, 9, 9), KERNEL), ValueError, "x must have 2 channels, got 3"),
    (lambda: packed_convolution(MATRIX, IMAGE, KERNEL), ValueError, "does not fit an image of 3 x 9"),
    (lambda: pack_matrix(CODES, SCALES, 0, 5), ValueError, "bits must be 8, 4, 3, 2 or 1, got 5"),
    (lambda: pack_matrix(CODES + 16, SCALES, 0, 4), ValueError, "codes must be whole numbers from 0 to 15"),
    (lambda: pack_matrix(CODES - 1, SCALES, 0, 4), ValueError, "codes must be whole numbers from 0 to 15"),
    (lambda: pack_matrix(CODES.float(), SCALES, 0, 4), ValueError, "codes must be whole numbers"),
    (lambda: pack_matrix(CODES, SCALES, 16, 4), ValueError, "zeros must be a whole number from 0 to 15"),
    (lambda: pack_matrix(CODES, torch.ones(3, 3), 0, 4), ValueError, "scales must be [3, a divisor of 8], got [3, 3]"),
    (lambda: pack_matrix(CODES, SCALES, 1, 1), ValueError, "codes of 1 bit stand for -1 and 1 and have no zero"),
    (lambda: pack_matrix(CODES, SCALES, 0, 4, torch.ones(4)), ValueError, "bias must have shape [3], got [4]"),
    (lambda: pack_matrix(LONG, torch.ones(1, 1), 0, 8), ValueError,
     "a group of 40,000 columns of 8 bits may not fit a sum of 32 bits; use groups of at most 32,767"),
    (lambda: PackedMatrix(4, 3, 1, 8, ONE_TILE[..., :15], torch.ones(1, 1, 16)), ValueError,
     "codes must have shape [1, 1, 1, 1, 16], got [1, 1, 1, 1, 15]"),
    (lambda: PackedMatrix(4, 17, 1, 8, ONE_TILE, torch.ones(1, 1, 16)), ValueError,
     "codes must have shape [2, 1, 1, 1, 16]"),
    (lambda: pack_signs(torch.tensor([[float("nan")]])), ValueError, "a NaN has no sign"),
    (lambda: xnor_product(WORDS, WORDS, 65), ValueError, "weights must have shape [any, 2], got [2, 1]"),
    (lambda: bind_read(torch.zeros(100, dtype=torch.uint8), WORDS[:1, 0]), ValueError, "a multiple of 256 bytes"),
])  # fmt: skip
def test_what_does_not_fit_never_reaches_c(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_c_is_shipped_and_stands_alone():
    assert kernels.PACKED_WIDTHS == (8, 4, 3, 2, 1)
    assert SETS[-3:] == ("portable", "plain", "torch")


# --- what a hostile user tries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("instructions", instruction_sets())
@pytest.mark.parametrize("flush", [False, True])
def test_every_float16_is_read_as_it_is(instructions, flush):
    # All 65,536: negative ones, those below 2^-14 (also where the processor takes such fp32 for 0), infinity, NaN.
    scales = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16)[:, None]
    packed = pack_matrix(torch.ones(2**16, 1, dtype=torch.int64), scales, 0, 4)
    torch.set_flush_denormal(flush)
    try:
        found = packed_linear(packed, torch.tensor([[127.0]]), instructions)
    finally:
        torch.set_flush_denormal(False)
    # 127 steps of 1, and a number of 11 bits: exact
    assert torch.equal(found[0].nan_to_num(-7.0), (127 * scales[:, 0].float()).nan_to_num(-7.0))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda matrix: matrix.scales.double(), TypeError),
        (lambda matrix: matrix.scales[:, :1].clone(), ValueError),
        (lambda matrix: matrix.scales[:0].clone(), ValueError),
    ],
)
def test_a_tensor_that_was_put_elsewhere_is_checked_again(change, error):
    packed = pack_matrix(torch.ones(3, 8, dtype=torch.int64), torch.ones(3, 2), 0, 4)
    packed.scales.data = change(packed)
    with pytest.raises(error, match="scales must"):
        packed_linear(packed, torch.ones(1, 8))
    packed.scales.data = torch.full((1, 2, 16), 2.0)
    assert packed_linear(packed, torch.full((1, 8), 127.0)).tolist() == [[8 * 2 * 127.0] * 3]


@pytest.mark.parametrize(
    ("sides", "error"),
    [
        ({"border": ((-1, 0), (0, 0))}, ValueError),
        ({"border": ((0, 0), (0, -1))}, ValueError),
        ({"stride": (0, 1)}, ValueError),
        ({"dilation": (1, -1)}, ValueError),
        ({"kernel": (0, 2)}, ValueError),
        ({"kernel": 2}, TypeError),
        ({"stride": (1.0, 1)}, TypeError),
        ({"border": (1, 1)}, TypeError),
    ],
)
def test_places_that_lie_outside(sides, error):
    with pytest.raises(error, match=f"{next(iter(sides))}.* must be"):
        Places(**{"kernel": (2, 2), **sides})


@pytest.mark.parametrize("instructions", instruction_sets())
def test_an_image_without_pixels(instructions):
    packed = pack_matrix(torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 1), 0, 4)
    with pytest.raises(ValueError, match="images must have a pixel or more, got 0 x 4; leave them out"):
        packed_convolution(packed, torch.ones(1, 1, 0, 4), Places((2, 2), border=((1, 1), (1, 1))), instructions)


def test_parts_that_do_not_fit_together():
    codes, scales = torch.ones(20, 48, dtype=torch.int64), torch.ones(20, 2)
    for zeros, error in (
        (torch.ones(17, 2, dtype=torch.int64), ValueError),  # 17 rows would be filled up with 0
        (torch.tensor(8), ValueError),
        (8.0, TypeError),
        (True, TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error, match=r"^zeros must "):
            pack_matrix(codes, scales, zeros, 4)
    for bad, error in ((codes[0], ValueError), (codes[:, :0], ValueError), ([[1]], TypeError), (None, TypeError)):
        with pytest.raises(error, match=r"^codes must "):
            pack_matrix(bad, scales, 8, 4)
    for bits in (True, 4.0, None):  # True is 1 to Python
        with pytest.raises(TypeError, match="bits must be a whole number"):
            pack_matrix(codes, scales, 0, bits)
    assert (
        pack_matrix(codes, scales, np.int64(8), np.int8(4)).stored_bytes
        == pack_matrix(codes, scales, 8, 4).stored_bytes
    )
    packed = pack_matrix(codes, scales, 8, 4)
    for name, value, error in (("rows", -5, ValueError), ("rows", 20.0, TypeError), ("size", 0, ValueError)):
        with pytest.raises(error, match=f"{name} must be a whole number"):
            replace(packed, **{name: value})


def test_signs_of_nothing():
    assert pack_signs(torch.zeros(0, 70)).shape == (0, 2)
    with pytest.raises(TypeError, match=r"values must be a tensor, got \[\[1.0\]\]; give a matrix"):
        pack_signs([[1.0]])


# --- rows of a matrix -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", PACKED_WIDTHS)
@given(rows=st.integers(1, 40), groups=st.integers(1, 3), size=st.integers(1, 40), data=st.data())
@settings(max_examples=20)
def test_rows_alone_are_those_of_the_whole(bits, rows, groups, size, data):
    matrix, dense, _ = some_matrix(bits, rows, groups, size, affine=data.draw(st.booleans()))
    index = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), max_size=6)), dtype=torch.int64)
    assert torch.equal(matrix.dense_rows(index), dense.float()[index])
    assert torch.equal(matrix.dense_rows(index.int()), dense.float()[index])


def test_rows_that_are_not_there_are_refused():
    matrix, _, _ = some_matrix(4, 20, 1, 8)
    for index in ([-1], [0, 20], [31]):  # the tiles have room for 32
        with pytest.raises(ValueError, match=re.escape("rows are numbered 0 to 19, got ")):
            matrix.dense_rows(torch.tensor(index))
    with pytest.raises(TypeError, match=re.escape("index must be torch.int64 or torch.int32, got torch.float32")):
        matrix.dense_rows(torch.tensor([1.0]))
    with pytest.raises(ValueError, match=re.escape("index must have shape [any], got [1, 1]")):
        matrix.dense_rows(torch.tensor([[1]]))
