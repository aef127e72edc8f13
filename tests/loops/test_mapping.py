"""Mappings: worked by hand, against a unit that is really run block by block, and compared with each other."""

import re
from collections.abc import Callable
from itertools import permutations
from math import isclose

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.loops.machine.mapping import (
    ARM_SDOT,
    AVX2_FP32,
    AVX512_VNNI,
    SYSTOLIC_128,
    TENSOR_CORE,
    UNITS,
    Mapping,
    MatrixUnit,
    Problem,
    best_mapping,
    conv2d_as_matmul,
    mappings,
)  # fmt: skip

SIZES = st.integers(1, 20)
SIDES = st.integers(1, 6)


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_ten_rows_on_eight_lanes():
    rows = Mapping(Problem(m=10, n=1, k=1), AVX2_FP32, ("n", "m", "k"))
    assert rows.padded_shape == {"m": 16, "n": 1, "k": 1, "groups": 1}
    assert (rows.calls, rows.utilization) == (2, 10 / 16)


def test_a_layer_on_a_tensor_core():
    # 14 x 14 pixels, 64 channels, 32 * 9 taps: 196 rows are 13 blocks of 16, with 12 rows of
    # padding; 64 columns are 8 blocks, 288 taps are 18 blocks.
    layer = Mapping(conv2d_as_matmul(32, 64, (3, 3), (14, 14)), TENSOR_CORE)
    assert layer.blocks == {"m": 13, "n": 8, "k": 18, "groups": 1}
    assert layer.padded_shape == {"m": 208, "n": 64, "k": 288, "groups": 1}
    assert (layer.calls, layer.cycles) == (13 * 8 * 18, 8 * 13 * 8 * 18)
    assert layer.utilization == layer.share_of_peak == 196 / 208


def test_the_peaks_are_the_published_ones():
    # Two FMA of 8 lanes; 64 int8 products; two of 16; 256 FMA a cycle; 128 * 128 cells.
    peaks = [unit.macs_per_cycle for unit in (AVX2_FP32, AVX512_VNNI, ARM_SDOT, TENSOR_CORE, SYSTOLIC_128)]
    assert peaks == [16, 64, 32, 256, 128 * 128]


def test_a_systolic_array_waits_for_weights_when_few_rows_pass():
    # One row passes a block in a cycle, but the next block of weights takes 128 to come in.
    def share(rows: int) -> float:
        return Mapping(Problem(m=rows, n=256, k=256), SYSTOLIC_128).share_of_peak

    assert [share(rows) for rows in (1, 64, 128, 200)] == [1 / 128, 1 / 2, 1, 1]
    alone = Mapping(Problem(m=1, n=256, k=256), SYSTOLIC_128)
    assert (alone.calls, alone.cycles, alone.utilization) == (4, 4 * 128, 1)


def test_depthwise_reaches_one_lane_of_a_unit_that_shares_its_operands():
    depthwise = conv2d_as_matmul(64, 64, (4, 4), (16, 16), groups=64)
    assert depthwise == Problem(m=256, n=1, k=16, groups=64)
    # One column of 8; the 256 rows and 16 taps fill their axes.
    assert best_mapping(depthwise, [TENSOR_CORE]).utilization == 1 / 8
    # The array has 128 columns and 16 of its 128 rows of taps are used.
    assert best_mapping(depthwise, [SYSTOLIC_128]).utilization == 1 / 128 * 16 / 128
    # Lanes with their own operands can each take a pixel or a channel.
    assert best_mapping(depthwise, [AVX2_FP32]).utilization == 1
    # An ordinary layer of the same channels fills the tensor core.
    assert best_mapping(conv2d_as_matmul(64, 64, (4, 4), (16, 16)), [TENSOR_CORE]).utilization == 1


def test_the_better_way_round_is_found():
    # Eight rows fill half of the sixteen, or all of the eight when the product is transposed.
    narrow = Problem(m=8, n=16, k=16)
    table = mappings(narrow, [TENSOR_CORE])
    assert [(one.loops, one.utilization) for one in table] == [(("n", "m", "k"), 1.0), (("m", "n", "k"), 0.5)]
    assert best_mapping(narrow, [TENSOR_CORE]) == table[0]


@given(SIZES, SIZES, SIZES, SIZES)
def test_all_legal_ways_are_in_the_table_or_come_to_the_same(m: int, n: int, k: int, groups: int):
    problem = Problem(m, n, k, groups)
    for unit in UNITS:
        table = mappings(problem, [unit])
        assert [one.share_of_peak for one in table] == sorted((one.share_of_peak for one in table), reverse=True)
        for loops in permutations(("m", "n", "k", "groups"), 3):
            allowed = loops[2] == "k" and (unit.own_operands or "groups" not in loops)
            if allowed:
                way = Mapping(problem, unit, loops)
                assert any(way.blocks == one.blocks and way.cycles == one.cycles for one in table)
            else:
                assert all(one.loops != loops for one in table)


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, st.integers(1, 3), SIDES, SIDES, SIDES, st.booleans(), st.integers(0, 2**32 - 1))
def test_a_unit_that_is_really_run_computes_the_product_in_as_many_calls(
    m: int, n: int, k: int, groups: int, side_m: int, side_n: int, side_k: int, swapped: bool, seed: int
):
    problem, unit = (Problem(m, n, k, groups), MatrixUnit("unit", side_m, side_n, side_k, 3, "int", "int"))
    mapping = Mapping(problem, unit, ("n", "m", "k") if swapped else ("m", "n", "k"))
    random = np.random.default_rng(seed)
    a, b = random.integers(-9, 9, (groups, m, k)), random.integers(-9, 9, (groups, k, n))
    expected = a @ b
    if swapped:  # the product's transpose
        a, b = b.transpose(0, 2, 1), a.transpose(0, 2, 1)
    rows, columns = a.shape[1], b.shape[2]
    padded = [-(-size // side) * side for size, side in ((rows, side_m), (columns, side_n), (k, side_k))]
    full_a, full_b = (np.zeros((groups, padded[0], padded[2]), int), np.zeros((groups, padded[2], padded[1]), int))
    full_a[:, :rows, :k], full_b[:, :k, :columns] = a, b
    full_c = np.zeros((groups, padded[0], padded[1]), int)
    calls = 0
    for group in range(groups):
        for i in range(0, padded[0], side_m):
            for j in range(0, padded[1], side_n):
                for l in range(0, padded[2], side_k):  # noqa: E741
                    left = full_a[group, i : i + side_m, l : l + side_k]
                    right = full_b[group, l : l + side_k, j : j + side_n]
                    full_c[group, i : i + side_m, j : j + side_n] += left @ right
                    calls += 1
    found = full_c[:, :rows, :columns]
    assert np.array_equal(found.transpose(0, 2, 1) if swapped else found, expected)
    shape = mapping.padded_shape
    assert [shape["n"], shape["m"], shape["k"]] == [padded[swapped ^ 1], padded[swapped], padded[2]]
    assert mapping.calls == calls and mapping.cycles == 3 * calls
    assert mapping.utilization == problem.macs / (calls * side_m * side_n * side_k)
    # The unit never waits, so both say the same; they divide by 3 in another order, a rounding.
    assert isclose(mapping.utilization, mapping.share_of_peak, rel_tol=1e-15) and 0 < mapping.utilization <= 1


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_a_convolution_has_the_sizes_of_unfold(groups: int, ins: int, outs: int, kernel: int, batch: int):
    conv = torch.nn.Conv2d(groups * ins, groups * outs, (kernel, 2), groups=groups)
    image = torch.zeros(batch, groups * ins, 6, 5)
    out = conv(image)
    problem = conv2d_as_matmul(groups * ins, groups * outs, (kernel, 2), out.shape[2:], groups=groups, batch=batch)
    taps, pixels = torch.nn.functional.unfold(image, (kernel, 2)).shape[1:]
    assert problem == Problem(m=batch * pixels, n=outs, k=taps // groups, groups=groups)
    assert problem.macs == out.numel() * conv.weight[0].numel()


BAD = [
    (lambda: MatrixUnit("u", 0, 1, 1, 1, "", ""), ValueError,
     "m of 'u' must be a whole number of 1 or more, got 0; use 1 for no such axis"),
    (lambda: MatrixUnit("u", 1, 1, 1, 0, "", ""), ValueError,
     "cycles must be a finite number above 0, got 0; pass the cycles of one call"),
    (lambda: MatrixUnit("u", 1, 1, 1, 1, "", "", weight_cycles=-1), ValueError,
     "weight_cycles must be a finite number of 0 or more, got -1; use 0 for none"),
    (lambda: Problem(1, 1, 0), ValueError, "k must be a whole number of 1 or more, got 0; pass a size of 1 or more"),
    (lambda: Problem(1, 1.0, 1), TypeError, "n must be a whole number of 1 or more, got 1.0; pass a size of 1 or more"),
    (lambda: conv2d_as_matmul(6, 6, (3, 3), (8, 8), groups=4), ValueError,
     "groups 4 does not divide in_channels 6 and out_channels 6; use a common divisor, or 6 for depthwise"),
    (lambda: conv2d_as_matmul(6, 6, (3, 0), (8, 8)), ValueError,
     "kernel[1] must be a whole number of 1 or more, got 0; pass a size of 1 or more"),
    (lambda: Mapping(Problem(1, 1, 1), TENSOR_CORE, ("m", "k", "n")), ValueError,
     "loops ('m', 'k', 'n') cannot lie on (m, n, k) of 'Tensor core m16n8k16': the unit sums over its k axis, so the "
     "problem's summed loop k must lie there; see mappings(problem, units) for those that can"),
    (lambda: Mapping(Problem(1, 1, 1), TENSOR_CORE, ("m", "groups", "k")), ValueError,
     "loops ('m', 'groups', 'k') cannot lie on (m, n, k) of 'Tensor core m16n8k16': the lanes of a matrix unit share "
     "their operands, and groups share none; see mappings(problem, units) for those that can"),
    (lambda: Mapping(Problem(1, 1, 1), AVX2_FP32, ("m", "m", "k")), ValueError,
     "loops ('m', 'm', 'k') cannot lie on (m, n, k) of 'AVX2 FMA': give three different ones of m, n, k, groups; "
     "see mappings(problem, units) for those that can"),
    (lambda: best_mapping(Problem(1, 1, 1), []), ValueError,
     "units must hold at least one MatrixUnit, got none; pass UNITS"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", BAD)
def test_bad_input_is_refused_with_a_reason(call: Callable, kind: type, message: str):
    with pytest.raises(kind, match=says(message)):
        call()
