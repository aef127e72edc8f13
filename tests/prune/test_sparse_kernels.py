"""Kernels in C against exact products: whole numbers bit by bit, real numbers within the bound of any summation."""

import gc
import re

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib import native
from mini_lib.measure import Latency
from mini_lib.prune.sparse import (
    KERNELS,
    Comparison,
    KernelSweep,
    KernelTime,
    bind,
    compare_kernels,
    crossover,
    matvec,
    sweep_kernels,
    to_bitmap,
    to_blocks,
    to_csr,
    to_n_of_m,
)
from mini_lib.prune.sparse import compare as compare_module
from mini_lib.prune.sparse.compare import EVICTING_BYTES
from mini_lib.prune.sparse.crossover import Crossover

BLOCKS = ((4, 4), (16, 1), (1, 16), (32, 1), (8, 2), (2, 3), (3, 1))
FORMATS = {"dense": lambda weight: weight, "bitmap": to_bitmap, "CSR": to_csr} | {
    f"blocks {r}x{c}": lambda weight, block=(r, c): to_blocks(weight, block) for r, c in BLOCKS
}  # fmt: skip
PATTERNS = ((2, 4), (1, 2), (1, 4), (4, 8), (3, 5), (2, 6))  # 2:4 has kernels of its own
SHAPES = ((1, 1), (1, 37), (4, 16), (5, 33), (17, 48), (23, 100), (64, 256))


def flag_sets():
    """What selects between the ways in which a kernel is written: plain C, AVX2 where the CPU has it, and the best."""
    sets = {"plain": ("-O2",), "native": None}
    if "avx2" in cpu_features() and "fma" in cpu_features():
        sets["avx2"] = ("-O3", "-mavx2", "-mfma")
    return sets


def cpu_features():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return set(file.read().split())
    except OSError:
        return set()


FLAGS = flag_sets()


def random_weight(rows, columns, density, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=chance) * (torch.rand(rows, columns, generator=chance) < density)


def n_of_m_weight(rows, groups, n, m, seed=0):
    """Random weights of which n of each m, at random places, are not zero, but some groups are half empty."""
    chance = torch.Generator().manual_seed(seed)
    order = torch.rand(rows, groups, m, generator=chance).argsort(-1)
    weight = torch.randn(rows, groups, m, generator=chance) * (order < n)
    weight[torch.rand(rows, groups, generator=chance) < 0.2] *= torch.arange(m) % 2
    return weight.view(rows, groups * m)


def assert_within_bound(got, weight, x):
    """A sum of n products in any order is off by at most n u / (1 - n u) * sum |w| |x|, u = 2**-24 (Higham 2002, 3.1).

    With n u below 1/2 that is less than 2 n u = n * 2**-23. The exact value is taken in float64, whose own error is
    2**29 times smaller; one more n covers it.
    """
    exact = weight.double() @ x.double()
    bound = (weight.shape[1] + 1) * 2.0**-23 * (weight.double().abs() @ x.double().abs())
    assert got.shape == exact.shape and got.dtype == torch.float32
    assert ((got.double() - exact).abs() <= bound).all()


# --- exact products ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_kernel_is_within_the_bound(name, flags):
    for shape in SHAPES:
        for density in (0.0, 0.1, 0.6, 1.0):
            weight, x = (
                random_weight(*shape, density),
                torch.randn(shape[1], generator=torch.Generator().manual_seed(1)),
            )
            assert_within_bound(matvec(FORMATS[name](weight), x, flags=flags), weight, x)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("n, m", PATTERNS)
def test_every_pattern_is_within_the_bound(n, m, flags):
    for rows, groups in ((1, 1), (3, 2), (5, 4), (4, 7), (7, 8), (6, 16), (9, 33), (2, 64)):
        weight, x = (
            n_of_m_weight(rows, groups, n, m),
            torch.randn(groups * m, generator=torch.Generator().manual_seed(1)),
        )
        assert_within_bound(matvec(to_n_of_m(weight, n, m), x, flags=flags), weight, x)


@st.composite
def whole_numbers(draw):
    """A matrix and a vector of small whole numbers, whose products and sums fp32 holds exactly: 60 * 9 * 9 < 2**24."""
    rows, columns = draw(st.integers(1, 20)), draw(st.integers(1, 60))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = chance.integers(-9, 10, (rows, columns)) * (
        chance.random((rows, columns)) < draw(st.sampled_from([0.05, 0.3, 1]))
    )
    return weight, chance.integers(-9, 10, columns)


@given(whole_numbers(), st.sampled_from(list(FORMATS)), st.sampled_from(list(FLAGS)))
@settings(max_examples=300)
def test_whole_numbers_are_exact(case, name, flags):
    weight, x = case
    got = matvec(
        FORMATS[name](torch.tensor(weight, dtype=torch.float32)),
        torch.tensor(x, dtype=torch.float32),
        flags=FLAGS[flags],
    )
    assert got.tolist() == (weight @ x).tolist()
    assert got.tolist() == (scipy.sparse.csr_matrix(weight) @ x).tolist()


@given(
    st.sampled_from(PATTERNS), st.integers(1, 12), st.integers(1, 30), st.integers(0, 999), st.sampled_from(list(FLAGS))
)
@settings(max_examples=150)
def test_whole_numbers_in_patterns_are_exact(pattern, rows, groups, seed, flags):
    weight = (9 * n_of_m_weight(rows, groups, *pattern, seed=seed)).round().clamp(-9, 9)
    x = torch.randint(-9, 10, (weight.shape[1],), generator=torch.Generator().manual_seed(seed)).float()
    got = matvec(to_n_of_m(weight, *pattern), x, flags=FLAGS[flags])
    assert got.tolist() == (weight.numpy().astype(int) @ x.numpy().astype(int)).tolist()


def test_columns_that_need_four_bytes():
    weight = torch.zeros(3, 70_000)
    weight[0, 69_999], weight[2, 65_536], weight[2, 0] = 2.0, 3.0, 4.0
    x = torch.arange(70_000.0)
    for matrix in (to_csr(weight), to_blocks(weight, (1, 1)), to_bitmap(weight)):
        assert matvec(matrix, x).tolist() == [2 * 69_999, 0, 3 * 65_536]


def test_each_column_finds_its_number():
    """Column by column: the one weight of each row must meet its own x, whichever lane it lies in."""
    weight, x = torch.eye(80), torch.arange(1.0, 81.0)
    for name, encode in FORMATS.items():
        assert matvec(encode(weight), x).tolist() == x.tolist(), name
    for flags in FLAGS.values():
        assert matvec(to_n_of_m(weight), x, flags=flags).tolist() == x.tolist()


# --- numbers that are not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_nan_reaches_the_rows_that_have_a_weight_there(flags):
    """Dense: 0 * NaN = NaN in every row. Sparse: a row without a weight in that column never sees it."""
    weight, x = torch.zeros(4, 64), torch.ones(64)
    weight[0, 5], weight[1, 6], weight[2, :4] = 1.0, 1.0, 1.0
    for bad in (float("nan"), float("inf")):
        x[5] = bad
        assert matvec(weight, x, flags=flags).isfinite().tolist() == [False] * 4
        for encode in (to_bitmap, to_csr):
            assert matvec(encode(weight), x, flags=flags).isfinite().tolist() == [False, True, True, True]
        # a block stores row 1's zero in column 5
        assert matvec(to_blocks(weight, (1, 4)), x, flags=flags).isfinite().tolist() == [False, False, True, True]
        assert matvec(to_blocks(weight, (2, 1)), x, flags=flags).isfinite().tolist() == [False, False, True, True]


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_nan_is_left_out_in_every_lane(flags):
    """Of 53 columns, that no vector and no byte divides, each in turn has a NaN and no weight; of 64, likewise."""
    for column, columns in ((place, count) for count in (53, 64) for place in range(count)):
        weight, x = torch.ones(3, columns), torch.ones(columns)
        weight[:, column], x[column] = 0.0, float("nan")
        for encode in (to_bitmap, to_csr):
            assert matvec(encode(weight), x, flags=flags).tolist() == [columns - 1.0] * 3


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_two_of_four_multiplies_the_zeros_that_it_stores(flags):
    # row 0 has its two weights elsewhere in the group of the NaN; row 1 fills its group up with the zero at place 0
    weight, x = torch.zeros(2, 64), torch.ones(64)
    weight[0, 1], weight[0, 2], weight[1, 3] = 1.0, 1.0, 1.0
    x[0] = float("nan")
    assert matvec(to_n_of_m(weight), x, flags=flags).isfinite().tolist() == [True, False]


def test_denormals_are_kept():
    weight, x = torch.full((1, 64), 2.0**-140), torch.full((64,), 1.0)
    for encode in (FORMATS["dense"], to_csr, to_bitmap, to_blocks):
        assert matvec(encode(weight), x).item() == 2.0**-134
    assert matvec(to_n_of_m(weight * (torch.arange(64) % 2)), x).item() == 2.0**-135
    assert torch.tensor([2.0**-140]).mul(1.0).item() > 0  # the process still keeps them, too


# --- bind ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_bound_call_keeps_what_it_needs_and_sees_x_change(name):
    weight = random_weight(10, 21, 0.5)
    x = torch.ones(21)
    call = bind(FORMATS[name](weight), x)
    first = call().clone()
    assert_within_bound(first, weight, torch.ones(21))
    x.mul_(2)
    gc.collect()
    _ = [torch.full((10, 21), 9.0) for _ in range(20)]  # where freed memory would be used again
    assert torch.equal(call(), 2 * first)


def test_matvec_returns_a_new_tensor_each_time():
    weight, x = to_csr(torch.eye(3)), torch.ones(3)
    first = matvec(weight, x)
    matvec(weight, 5 * x)
    assert first.tolist() == [1, 1, 1]


@pytest.mark.parametrize("matrix, x, kind, message", [
    ("W", torch.ones(3), TypeError, "matrix must be a tensor, Bitmap, CSR, BlockCSR or NofM, got str"),
    (torch.eye(3), torch.ones(4), ValueError, "x must be a vector of 3 numbers, got shape [4]"),
    (to_csr(torch.eye(3)), torch.ones(3, 1), ValueError, "x must be a vector of 3 numbers, got shape [3, 1]"),
    (to_csr(torch.eye(3)), torch.ones(3).double(), TypeError, "x must be a float32 tensor, got torch.float64"),
    (to_csr(torch.eye(3)), [1.0] * 3, TypeError, "x must be a float32 tensor, got list"),
    (to_csr(torch.eye(3)), torch.ones(6)[::2], ValueError, "x must be contiguous"),
    (to_csr(torch.eye(3)), torch.ones(3, requires_grad=True), ValueError, "x.detach()"),
    (to_csr(torch.eye(3).half()), torch.ones(3), TypeError, "compute in float32, got values of torch.float16"),
    (torch.ones(3), torch.ones(3), ValueError, "must be a matrix [rows, columns], got shape [3]"),
])  # fmt: skip
def test_what_the_kernels_refuse(matrix, x, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        matvec(matrix, x)


def test_without_a_compiler_it_says_how_to_get_one(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(native.NoCompiler, match="install|unset"):
        matvec(torch.eye(2), torch.ones(2), flags=("-O1",))


# --- comparisons ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caches", ["warm", "cold"])
def test_bytes_and_densities_of_a_comparison_by_hand(caches):
    result = compare_kernels(32, 64, 0.25, repeats=2, warmup=0, caches=caches)
    # 2,048 weights, 512 of them kept; 128 blocks of 16, 32 kept; torch's indexes take 8 bytes
    assert {kernel.name: kernel.stored_bytes for kernel in result.kernels} == {
        "dense": 8192,
        "torch dense": 8192,
        "CSR": 33 * 4 + 512 * 6,
        "torch CSR": 33 * 8 + 512 * 12,
        "bitmap": 256 + 512 * 4,
        "blocks 4x4": 9 * 4 + 32 * 66,
        "blocks 16x1": 3 * 4 + 32 * 66,
        "2:4": 1024 * 4 + 256,
    }
    assert [kernel.density for kernel in result.kernels] == [0.25] * 7 + [0.5]
    assert all(len(kernel.latency.times_s) == 2 for kernel in result.kernels)
    assert result["CSR"] is result.kernels[2]
    lines = str(result).splitlines()
    assert len(lines) == 1 + len(KERNELS) and len({len(line) for line in lines}) == 1


def test_all_kernels_of_a_comparison_multiply_right(monkeypatch):
    """The calls that are timed are run here instead, and looked at."""
    results = {}

    def run_once(calls, **_):
        results.update({name: call() for name, call in calls.items()})
        return {name: Latency((1.0,)) for name in calls}

    weights = []
    original = compare_module._Weights.scattered
    monkeypatch.setattr(
        compare_module._Weights, "scattered", lambda self: weights.append(original(self)) or weights[-1]
    )
    monkeypatch.setattr(compare_module, "compare_latency", run_once)
    compare_kernels(40, 24, 0.3, seed=3)
    x = torch.randn(24, generator=torch.Generator().manual_seed(3))
    assert int((weights[0] != 0).sum()) == round(0.3 * 40 * 24)
    assert all(weight is weights[0] for weight in weights)
    for name in ("dense", "torch dense", "CSR", "torch CSR", "bitmap"):
        assert_within_bound(results[name], weights[0], x)
    assert list(results)[:4] == ["before dense", "dense", "before torch dense", "torch dense"]
    compare_kernels(40, 24, 0.3, caches="cold")
    assert results["before dense"].item() == EVICTING_BYTES // 4


def test_dense_is_always_there_and_first_and_other_blocks_can_be_asked_for():
    result = compare_kernels(8, 8, 1.0, kernels=("blocks 2x8", "dense", "CSR", "CSR"), repeats=1)
    assert [kernel.name for kernel in result.kernels] == ["dense", "blocks 2x8", "CSR"]


def test_torch_gets_its_threads_back():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        compare_kernels(4, 4, 1.0, kernels=(), repeats=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("arguments, kind, message", [
    ({"density": 0}, ValueError, "density must lie in (0, 1], got 0; 0.2 keeps a fifth of the weights"),
    ({"density": 1.5}, ValueError, "density must lie in (0, 1], got 1.5"),
    ({"density": float("nan")}, ValueError, "density must lie in (0, 1], got nan"),
    ({"rows": 0}, ValueError, "each of shape must be a whole number of 1 or more, got 0"),
    ({"kernels": ("CSC",)}, ValueError, "there is no kernel 'CSC'; there are dense, torch dense, CSR"),
    ({"kernels": ("blocks 4",)}, ValueError, "there is no kernel 'blocks 4'"),
    ({"kernels": ("blocks 0x4",)}, ValueError, "there is no kernel 'blocks 0x4'"),
    ({"kernels": "CSR"}, TypeError, "kernels must be a sequence of names, got 'CSR'; write ('CSR',)"),
    ({"caches": "hot"}, ValueError, "caches must be 'warm' or 'cold', got 'hot'"),
    ({"columns": 6, "kernels": ("2:4",)}, ValueError, "2:4 needs columns that 4 divides, got 6"),
    ({"repeats": 0}, ValueError, "repeats must be a whole number of 1 or more, got 0"),
])  # fmt: skip
def test_what_a_comparison_refuses(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        compare_kernels(**{"rows": 8, "columns": 8, "density": 0.5} | arguments)


# --- crossovers ----------------------------------------------------------------------------------------------------


def test_crossover_by_hand():
    # equal at a measured density
    assert crossover([0.1, 0.2, 0.5], [0.5, 1.0, 2.0]) == pytest.approx(0.2)
    # from .1 (1/4) to .4 (2): the ratio grows as density**1.5, so it is 1 at .1 * 4**(2/3)
    assert crossover([0.1, 0.4], [0.25, 2.0]) == pytest.approx(0.1 * 4 ** (2 / 3))
    # the first crossing counts; what happens behind it does not
    assert crossover([0.1, 0.2, 0.3, 0.4], [0.5, 2.0, 0.5, 2.0]) == pytest.approx(0.1 * 2**0.5)
    assert crossover([0.1, 0.2], [1.0, 0.5]) is None
    assert crossover([0.1], [0.5]) == float("inf")


@given(st.floats(0.01, 1.0), st.floats(0.2, 3.0))
@settings(max_examples=100)
def test_a_power_law_is_met_exactly(at, power):
    """Time that grows as a power of the density is a straight line on logarithmic scales."""
    densities = [0.001, 0.03, 0.2, 0.7, 1.5]
    assert crossover(densities, [(density / at) ** power for density in densities]) == pytest.approx(at, rel=1e-9)


@pytest.mark.parametrize("densities, ratios, message", [
    ([], [], "give one ratio for each density, got 0 densities and 0 ratios"),
    ([0.1, 0.2], [1.0], "got 2 densities and 1 ratios"),
    ([0.2, 0.1], [1.0, 2.0], "densities must rise, got [0.2, 0.1]"),
    ([0.1, 0.1], [1.0, 2.0], "densities must rise"),
    ([0.0, 0.1], [1.0, 2.0], "must be a finite number above 0"),
    ([0.1, 0.2], [0.0, 2.0], "must be a finite number above 0"),
])  # fmt: skip
def test_crossovers_that_make_no_sense(densities, ratios, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        crossover(densities, ratios)


def made_up_sweep():
    """Three turns at three densities: dense takes 4 ms, and CSR takes density * 8 ms, plus and minus a quarter."""
    comparisons = []
    for density in (0.1, 0.5, 1.0):
        csr = tuple(8e-3 * density * factor for factor in (0.75, 1.0, 1.25))
        comparisons.append(
            Comparison(
                10,
                10,
                density,
                (
                    KernelTime("dense", density, 400, Latency((4e-3,) * 3)),
                    KernelTime("torch dense", density, 400, Latency((5e-3,) * 3)),
                    KernelTime("CSR", density, round(600 * density) + 44, Latency(csr)),
                    *([KernelTime("2:4", 0.5, 213, Latency((2e-3,) * 3))] if density == 0.5 else []),
                ),
            )
        )
    return KernelSweep(tuple(comparisons))


def test_a_sweep_by_hand():
    sweep = made_up_sweep()
    # the ratio is 2 * density; its 10th and 90th percentile are .8 and 1.2 of that
    crossing = sweep.crossover("CSR")
    assert [crossing.median, crossing.low, crossing.high] == pytest.approx([0.5, 0.5 / 1.2, 0.5 / 0.8])
    assert str(crossing) == "0.50 (0.42-0.62)"
    lines = [line.split() for line in str(sweep).splitlines()]
    assert ["CSR", "0.800", "4.00", "8.00"] in lines
    assert ["CSR", "5.00", "1.00", "0.50", "0.50", "(0.42-0.62)"] in lines
    assert ["CSR", "0.102", "0.336", "0.629"] in lines  # 104, 344 and 644 bytes in KiB
    assert ["torch", "dense", "0.80", "0.80", "0.80"] in lines
    assert ["2:4", "-", "2.00", "-"] in lines
    assert [len(line) for line in lines].count(0) == 2
    for name in ("2:4", "dense", "torch dense", "CSC"):
        with pytest.raises(ValueError, match=f"'{name}' has no crossover here; CSR has one"):
            sweep.crossover(name)


def test_how_a_crossover_is_written():
    assert str(Crossover(None, None, None)) == "never"
    assert str(Crossover(float("inf"), float("inf"), float("inf"))) == "all"
    assert str(Crossover(0.04, None, float("inf"))) == "0.040 (never-all)"


def test_a_sweep_measures_what_was_asked():
    seen = []
    sweep = sweep_kernels(
        16, 32, (0.1, 0.5), kernels=("2:4", "bitmap"), repeats=1, progress=lambda *at: seen.append(at)
    )
    assert [[kernel.name for kernel in one.kernels] for one in sweep.comparisons] == [
        ["dense", "bitmap"],
        ["dense", "2:4", "bitmap"],
    ]
    assert seen == [(1, 2), (2, 2)]
    for densities in ((), (0.5, 0.1)):
        with pytest.raises(ValueError, match="densities must be one or more that rise"):
            sweep_kernels(4, 4, densities)
