"""A nest's log: steps, elements and hits worked by hand, and refusals."""

import pytest

from mini_lib.loops import matmul, transpose
from mini_lib.loops.caches.cache import Cache
from teach import animate, log_of


def test_a_walk_down_the_columns_misses_and_a_walk_along_the_rows_does_not():
    # f64, 8 x 8: a row is one line. B is written by columns: with 4 lines of cache, each store misses again
    cache = Cache(4 * 64, ways=4)
    log = log_of(transpose(8, 8, dtype="f64"), cache)
    by_array = {
        name: int((log.served_by[log.array == position] > 0).sum())
        for position, name in enumerate(array.name for array in log.arrays)
    }
    assert by_array == {"A": 8, "B": 64}
    assert "B" in animate(log, cache).alt


def test_vectors_show_as_wide_accesses_and_padding_moves_addresses_not_elements():
    log = log_of(transpose(2, 8).reorder("n m").reorder("m n").vectorize("n").pad("A", 1, 8), Cache(512, ways=8))
    first, second = (log.array == 1).nonzero()[0][:2]  # the loads of A: 8 elements side by side
    assert log.elements[first] == 8 and log.index[second] == 8 and log.address[second] - log.address[first] == 64
    assert log.loop_names == ("m", "n") and log.loops[0] == (0, 0)


def test_registers_do_not_appear_and_a_loop_that_is_not_around_is_none():
    log = log_of(matmul(2, 2, 2).cache_write("C", at="n", scope="register"), Cache(512, ways=8))
    assert [array.name for array in log.arrays] == ["C", "A", "B"]
    assert log.loops[0] == (0, 0, None) and log.loops[1] == (0, 0, 0)


def test_too_much_to_watch_is_refused_with_the_count():
    with pytest.raises(
        ValueError, match=r"makes 131,072 accesses in memory, and an animation shows 1 to 4,096; make the sizes"
    ):
        log_of(matmul(32, 32, 32), Cache(512, ways=8))
