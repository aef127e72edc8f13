"""The answers of lesson 10 agree with the library, which was written and tested apart from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib import loops
from mini_lib.loops.machine.mapping import TENSOR_CORE
from teach.exercises.lesson_10 import energy, fetching, memory, moving, placing, units

WHOLE = st.integers(1, 200)
TILES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8)
RANGES = st.lists(st.tuples(WHOLE, st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=8)


@given(WHOLE, WHOLE, WHOLE)
def test_utilization_is_that_of_a_mapping(m, n, k):
    mapping = loops.Mapping(loops.Problem(m, n, k), TENSOR_CORE)
    # at most six roundings in each of the two products, 12 * 2**-53 of a value below 1
    assert units.utilization([m, n, k], [16, 8, 16]) == pytest.approx(mapping.utilization, rel=12 * 2.0**-53, abs=0)


@given(TILES)
def test_the_pipeline_is_that_of_the_timeline(tiles):
    loads, computes = zip(*tiles)
    assert fetching.pipelined_time(loads, computes) == loops.double_buffered_s(loads, computes)


@given(RANGES)
def test_the_peak_is_the_bound_of_every_plan(ranges):
    ranges = [(size, first, first + more) for size, first, more in ranges]
    live = [loops.LiveRange(str(at), *entry) for at, entry in enumerate(ranges)]
    assert memory.peak_live_bytes(ranges) == loops.plan_naive(live).bound_bytes


@given(RANGES, WHOLE)
def test_first_fit_is_free_and_nothing_lower_is(ranges, size):
    taken = [(first, first + length) for length, first, _ in ranges]
    at = placing.first_fit(size, taken)

    def is_free(start):
        return all(start + size <= first or start >= end for first, end in taken)

    assert is_free(at)
    assert not any(map(is_free, range(at)))


@pytest.mark.parametrize(("m", "n", "k", "tile"), [(32, 32, 256, 16), (32, 64, 256, 32)])
def test_the_traffic_is_that_of_a_cache_which_puts_a_line_anywhere(m, n, k, tile):
    """Whole lines are used (tiles of 16 floats and more), a tile of C fits, the panels do not.

    8 KiB are 128 lines. C's tile takes at most 32 * 32 / 16 = 64 of them, and the panel of A that the next tile would
    find again takes 16 rows * 256 / 16 = 256 lines at least. So nothing but C stays, which is what the formula says.
    """
    program = loops.matmul(m, n, k).tile({"m": tile, "n": tile}).reorder("m.o n.o k m.i n.i")
    [level] = loops.misses(program, loops.Cache(8192, ways=128))
    moved = level.moved_bytes + 64 * level.dirty_lines
    assert moving.tiled_traffic(m, n, k, tile, tile) == moved


def test_the_energy_is_that_of_the_table():
    """1000 MACs at 4.6 pJ; 80 bytes from a cache of 32 KB, ten words at 20 pJ; 8 bytes from DRAM, 1300 pJ."""
    pj = {"multiply": 3.7, "add": 0.9, "cache word": 20.0, "dram word": 1300.0}
    table = loops.energy_j({"fp32_mul": 1000, "fp32_add": 1000}, {32 * 1024: 80}, dram_bytes=8)
    expected = (4600 + 200 + 1300) * 1e-12
    # a handful of roundings on each side, each of at most 2**-53 of the value
    assert energy.layer_energy(1000, 80, 8, pj) == pytest.approx(expected, rel=2.0**-48)
    assert table.low_j == pytest.approx(expected, rel=2.0**-48)
