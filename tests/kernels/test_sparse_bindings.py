"""Bindings of sparse.c by themselves: exact on whole numbers, and what they refuse before C sees it."""

import gc
import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib import kernels, native
from mini_lib.kernels import bind_bitmap, bind_blocks, bind_csr, bind_dense, bind_n_of_m, bound, need_layout

UINT8, UINT16, INT32 = torch.uint8, torch.uint16, torch.int32


def ints(numbers, dtype=INT32):
    return torch.as_tensor(np.array(numbers, dtype=np.int64)).to(dtype)


def floats(numbers):
    return torch.tensor(np.array(numbers), dtype=torch.float32)


def packed(codes, bits):
    """Codes of some bits back to back, lowest bit first: as one large number, cut into bytes."""
    number = sum(int(code) << (bits * place) for place, code in enumerate(codes))
    return torch.tensor(list(number.to_bytes(-(-len(codes) * bits // 8), "little")), dtype=UINT8)


# Each stores a matrix of whole numbers in plain Python, and binds it.


def dense(weight, x, y):
    return bind_dense(floats(weight), x, y)


def csr(weight, x, y, index=UINT16):
    starts = np.cumsum([0, *(np.count_nonzero(row) for row in weight)])
    return bind_csr(ints(starts), ints(np.nonzero(weight)[1], index), floats(weight[weight != 0]), x, y)


def csr_wide(weight, x, y):
    return csr(weight, x, y, INT32)


def blocks(weight, x, y, r=2, c=4):
    high, wide = weight.shape[0] // r, weight.shape[1] // c
    cut = {(i, j): weight[i * r : i * r + r, j * c : j * c + c] for i in range(high) for j in range(wide)}
    kept = [place for place, block in cut.items() if block.any()]
    starts = np.cumsum([0, *(sum(i == row for i, _ in kept) for row in range(high))])
    values = floats([cut[place] for place in kept]).view(-1, r, c)
    return bind_blocks(ints(starts), ints([j for _, j in kept], UINT16), values, x, y)


def bitmap(weight, x, y):
    return bind_bitmap(packed((weight != 0).flatten(), 1), floats(weight[weight != 0]), x, y)


def n_of_m(weight, x, y, n, m):
    """Of each m the first n that are not zero; what is left of the weight is what was stored."""
    places, values = [], []
    for row in weight:
        for start in range(0, len(row), m):
            group = row[start : start + m]
            here = sorted(sorted(range(m), key=lambda place: (group[place] == 0, place))[:n])
            group[[place for place in range(m) if place not in here]] = 0
            places, values = places + here, values + [group[place] for place in here]
    values = floats(values).view(len(weight), -1, n)
    return bind_n_of_m(packed(places, (m - 1).bit_length()), values, m, x, y)


BINDINGS = {
    "dense": dense,
    "csr": csr,
    "csr, wide indexes": csr_wide,
    "blocks": blocks,
    "bitmap": bitmap,
    "2:4": lambda *given: n_of_m(*given, 2, 4),
    "3:8": lambda *given: n_of_m(*given, 3, 8),
    "4:4": lambda *given: n_of_m(*given, 4, 4),
}


@pytest.mark.parametrize("name", BINDINGS)
@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 6),
    density=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_whole_numbers_are_exact(name, rows, columns, density, seed):
    chance = np.random.default_rng(seed)
    weight = chance.integers(-9, 10, (2 * rows, 8 * columns)) * (chance.random((2 * rows, 8 * columns)) < density)
    x = chance.integers(-9, 10, 8 * columns)
    y = torch.full((2 * rows,), float("nan"))
    assert BINDINGS[name](weight, floats(x), y)() is None
    assert y.tolist() == (weight @ x).tolist()


@pytest.mark.parametrize("name", BINDINGS)
def test_a_call_keeps_its_tensors_and_sees_them_change(name):
    weight = np.random.default_rng(0).integers(1, 9, (2, 8))
    x, y = torch.ones(8), torch.zeros(2)
    call = BINDINGS[name](weight, x, y)
    gc.collect()
    _ = [torch.full((2, 8), 7.0) for _ in range(20)]  # where freed memory would be used again
    call()
    first = y.clone()
    x.mul_(3)
    call()
    assert first.tolist() == weight.sum(1).tolist() and torch.equal(y, 3 * first)


def test_plain_c_gives_the_same():
    weight, x = np.random.default_rng(1).integers(-9, 10, (6, 48)), floats(np.arange(48))
    best, plain = torch.empty(6), torch.empty(6)
    bind_dense(floats(weight), x, best)()
    bind_dense(floats(weight), x, plain, flags=("-O1",))()
    assert torch.equal(best, plain)


# --- what is refused -----------------------------------------------------------------------------------------------

X, Y, STARTS = torch.ones(8), torch.ones(2), ints([0, 1, 2])
COLUMNS, TWO, BYTE = ints([0, 1], UINT16), torch.ones(2), ints([0], UINT8)


@pytest.mark.parametrize("bind, given, kind, message", [
    (bind_dense, (torch.ones(2, 7),), ValueError, "weight must have shape [2, 8], got [2, 7]"),
    (bind_dense, (torch.ones(2, 8).double(),), TypeError, "weight must be torch.float32, got torch.float64"),
    (bind_dense, (torch.ones(8, 2).T,), ValueError, "weight must be contiguous on the CPU"),
    (bind_csr, (ints([0, 2]), COLUMNS, TWO), ValueError, "starts must have shape [3], got [2]"),
    (bind_csr, (STARTS, ints([0]), TWO), ValueError, "columns must have shape [2], got [1]"),
    (bind_csr, (STARTS, COLUMNS.long(), TWO), TypeError, "columns must be torch.uint16 or torch.int32"),
    (bind_csr, (STARTS.long(), COLUMNS, TWO), TypeError, "starts must be torch.int32, got torch.int64"),
    (bind_blocks, (STARTS, COLUMNS, torch.ones(2, 4)), ValueError, "values must have shape [any, any, any]"),
    (bind_blocks, (STARTS, COLUMNS, torch.ones(2, 1, 3)), ValueError,
     "blocks of 1 x 3 must divide the lengths of y and x, got 2 and 8; pad them"),
    (bind_blocks, (STARTS, COLUMNS, torch.ones(2, 0, 4)), ValueError, "blocks of 0 x 4 must divide"),
    (bind_blocks, (STARTS, COLUMNS, torch.ones(2, 2, 4)), ValueError, "starts must have shape [2], got [3]"),
    (bind_blocks, (STARTS, COLUMNS, torch.ones(1, 1, 4)), ValueError, "columns must have shape [1], got [2]"),
    (bind_bitmap, (ints([1], UINT8), TWO), ValueError, "bits must have shape [2], got [1]"),
    (bind_bitmap, (ints([1, 2]), TWO), TypeError, "bits must be torch.uint8, got torch.int32"),
    (bind_n_of_m, (BYTE, torch.ones(2, 2, 1), 3), ValueError, "m must divide the length of x (8), got 3"),
    (bind_n_of_m, (BYTE, torch.ones(2, 2, 1), 1), ValueError, "m must be a whole number from 2 to 256"),
    (bind_n_of_m, (BYTE, torch.ones(2, 2, 1), True), TypeError, "m must be a whole number"),
    (bind_n_of_m, (BYTE, torch.ones(2, 2, 0), 4), ValueError, "of values, must be a whole number from 1 to 4"),
    (bind_n_of_m, (BYTE, torch.ones(2, 4, 1), 4), ValueError, "values must have shape [2, 2, any]"),
    (bind_n_of_m, (BYTE, torch.ones(2, 2, 2), 4), ValueError, "positions must have shape [2], got [1]"),
])  # fmt: skip
def test_what_does_not_fit_never_reaches_c(bind, given, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        bind(*given, X, Y)


@pytest.mark.parametrize(
    "x, y, kind, message",
    [
        (torch.ones(1, 8), Y, ValueError, "x must have shape [any], got [1, 8]"),
        ([1.0] * 8, Y, TypeError, "x must be torch.float32, got list"),
        (X, torch.ones(4)[::2], ValueError, "y must be contiguous"),
    ],
)
def test_vectors_that_do_not_fit(x, y, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        bind_dense(torch.ones(2, 8), x, y)


def test_a_tensor_that_fits_gives_its_shape():
    assert need_layout("w", torch.ones(2, 3), (torch.float32,), (2, None)) == (2, 3)
    with pytest.raises(ValueError, match=re.escape("w must have shape [any, 4], got [2, 3]")):
        need_layout("w", torch.ones(2, 3), (torch.float32,), (None, 4))


# --- how a kernel is compiled --------------------------------------------------------------------------------------


def test_a_kernel_is_compiled_once_for_its_defines_and_flags(monkeypatch):
    seen, run = [], native._run
    monkeypatch.setattr(native, "_run", lambda command, **how: seen.append(command) or run(command, **how))
    weight, x = np.ones((2, 8), dtype=int), torch.ones(8)
    values = torch.ones(2, 1, 7)
    flags = ("-O2", "-DONLY_IN_THIS_TEST")
    for _ in range(2):
        bind_n_of_m(packed([0, 1, 2, 3, 4, 5, 6] * 2, 3), values, 8, x, torch.empty(2), flags=flags)()
        bind_dense(floats(weight), x, torch.empty(2), flags=flags)()
    patterns, other = ([part for part in command if part.startswith("-D")] for command in seen)
    assert patterns == [flags[1], "-DN_OF_M=1", "-DN=7", "-DM=8", "-DBITS=3"] and other == [flags[1], "-DDENSE=1"]


def test_a_define_that_does_not_compile_is_an_error():
    with pytest.raises(ValueError, match="does not compile this"):
        bound("sparse.c", "csr", (), INDEX="no_such_type")


def test_the_c_text_is_shipped_with_the_package():
    """No C in Python: the files that setuptools is told of (pyproject.toml, package-data: **/*.c) hold all of it."""
    folder = files("mini_lib.kernels")
    assert "void csr(" in (folder / "sparse.c").read_text(encoding="utf-8")
    for file in folder.iterdir():
        if file.name.endswith(".py"):
            assert "#include" not in file.read_text(encoding="utf-8")
    assert kernels.__doc__.startswith("Kernels in C")


def test_a_call_keeps_the_memory_that_it_was_given():
    x, y = torch.ones(4), torch.empty(2)
    call = bind_dense(torch.ones(2, 4), x, y)
    x.data = torch.full((4,), 5.0)  # another tensor's memory under the same name
    x.add_(1)
    call()
    assert y.tolist() == [4.0, 4.0]


def test_a_block_that_would_not_fit_the_stack_is_refused():
    starts, columns = torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    with pytest.raises(
        ValueError, match="^blocks of 256 x 256 do not fit the stack; use blocks of 32,768 values at most"
    ):
        bind_blocks(starts, columns, torch.ones(1, 256, 256), torch.ones(256), torch.empty(256))


def test_flags_are_words():
    with pytest.raises(TypeError, match=r"^flags must be a sequence of strings, got '-O1'; write \('-O1',\)"):
        bind_dense(torch.ones(2, 4), torch.ones(4), torch.empty(2), flags="-O1")


# --- what C would trust -------------------------------------------------------------------------------------------

INTS, PAIR, FOUR, TWO = torch.int32, torch.tensor([3.0, 4.0]), torch.ones(4), torch.empty(2)


@pytest.mark.parametrize(
    "starts, columns, message",
    [
        ([0, 1, 3], [0, 3], "starts must rise from 0 to the number of values, 2; count the values of each row"),
        ([1, 1, 2], [0, 3], "starts must rise from 0"),
        ([0, 9, 2], [0, 3], "starts must rise from 0"),
        ([0, 1, 2], [0, 4], "columns must lie from 0 to 3, got 0 to 4; they are counted from 0"),
        ([0, 1, 2], [-1, 3], "columns must lie from 0 to 3, got -1 to 3"),
    ],
)
def test_rows_that_would_be_read_elsewhere_never_reach_c(starts, columns, message):
    starts, columns = torch.tensor(starts, dtype=INTS), torch.tensor(columns, dtype=INTS)
    with pytest.raises(ValueError, match=message):
        bind_csr(starts, columns, PAIR, FOUR, TWO)
    with pytest.raises(ValueError, match=message):
        bind_blocks(starts, columns, PAIR.view(2, 1, 1), FOUR, TWO)


def test_as_many_ones_as_values_and_positions_inside_their_group():
    with pytest.raises(ValueError, match="bits must have a one for each of 2 values, got 3"):
        bind_bitmap(torch.tensor([0b1011], dtype=torch.uint8), PAIR, FOUR, TWO)
    with pytest.raises(ValueError, match="positions must lie in a group of 3, 0 to 2, got 3; pack them again"):
        bind_n_of_m(torch.tensor([0b1100], dtype=torch.uint8), PAIR.view(2, 1, 1), 3, torch.ones(3), TWO)


def test_a_view_whose_sign_is_still_to_be_turned_is_refused():
    """The imaginary part of a conjugate: 2 in memory, which stands for -2."""
    turned = torch.tensor([1 + 2j]).conj().imag
    assert turned.item() == -2.0 and turned.is_contiguous()
    with pytest.raises(ValueError, match="x must be contiguous on the CPU, and dense; pass x.cpu"):
        bind_dense(torch.ones(1, 1), turned, torch.empty(1))
