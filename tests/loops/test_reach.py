"""Index arithmetic beyond 32 bits is right everywhere, and beyond 64 bits it is refused."""

import numpy as np
import pytest

from mini_lib.loops import Cache, compile_nest, count_accesses, dependences, matmul, misses, nest, run, to_c, trace
from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.caches.trace import trace_plain
from mini_lib.loops.ir import Buffer
from mini_lib.loops.legality.feasible import System, extremes, solve
from mini_lib.loops.reach import MAX_INT64, largest_index

GUARD = nest("for i in range(3):\n  for j in range(3):\n    if 1000000007 * i + 1000000009 * j < 1:\n      A[i, j] = 1")
LATE = nest("for i in range(3000000000, 3000000004):\n    A[i - 3000000000] += 1")
FAR = nest("for i in range(4):\n    if 1000000000 * i <= 2000000000:\n        A[i] += 2147483647 * B[i]", dtype="i64")


@pytest.mark.parametrize(
    ("program", "expected"), [(GUARD, [[1]]), (LATE, [1, 1, 1, 1]), (FAR, [2147483647, 2147483647, 2147483647])]
)
def test_a_program_whose_numbers_need_64_bits(program, expected):
    """By hand: only 0 + 0 is below 1; 3,000,000,000 and the next three; 2,000,000,000 is the third."""
    dtype = np.int64 if program is FAR else np.float32
    arrays = {b.name: np.full(b.shape, b.name == "B", dtype) for b in program.arguments}
    assert run(program, **arrays)["A"].tolist() == expected
    assert compile_nest(program)(**arrays)["A"].tolist() == expected
    assert "int64_t" in to_c(program)


def test_what_fits_into_32_bits_stays_there():
    assert "int64_t" not in to_c(matmul(512, 512, 512).tile("m n k", 16))
    last, beyond = (nest(f"for i in range({stop - 4}, {stop}):\n    A[0] = 1") for stop in (2**31 - 2, 2**31 - 1))
    assert "for (int i" in to_c(last) and "for (int64_t i" in to_c(beyond)  # one more must fit too


def test_traces_and_caches_see_every_access():
    """Four elements of one line, each loaded and stored."""
    [level] = misses(LATE, Cache(1024, ways=2))
    assert (level.references, level.misses) == (8, 1) and count_accesses(LATE) == 8
    assert trace(LATE).addresses.tolist() == [0, 0, 4, 4, 8, 8, 12, 12]
    assert [address for address, _, _ in trace_plain(LATE, {"A": 0})] == [0, 0, 4, 4, 8, 8, 12, 12]
    assert count_accesses(GUARD) == 1


def test_the_largest_number_counts_sums_on_the_way():
    """1000000007 * 2 + 1000000009 * 2 - 0, and one more for the comparison."""
    assert largest_index(GUARD) == 2 * 1000000007 + 2 * 1000000009 + 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: nest(f"for i in range({MAX_INT64}):\n    A[0] = 1"),
        lambda: nest(f"for i in range({10**30}):\n    A[0] = 1"),
        lambda: nest(f"for i in range(4):\n    if {MAX_INT64} * i < 1:\n        A[i] = 1"),
        lambda: nest("for i in range(n):\n    A[n * i] = 1", n=2**40),
        lambda: matmul(4, 4, 4).skew("n", by="m", factor=2**62).skew("k", by="n.s", factor=4),
        lambda: Buffer("A", (2**32, 2**32), "f64"),
    ],
)
def test_what_needs_more_than_64_bits_is_refused(make):
    with pytest.raises(ValueError, match="64 bits"):
        make()


def test_large_numbers_are_judged_in_whole_numbers():
    """10**9 * i + (10**9 + 1) * j = 10**18 + 1 has the points (10**9 - j, ...) only where j = 1 mod 10**9."""
    i, j = affine("i"), affine("j")
    box = {"i": (0, 2 * 10**9), "j": (0, 2 * 10**9)}
    row = i * 10**9 + j * (10**9 + 1) - Affine((), 10**18 + 1)
    assert solve(System(box, equal=(row,))) == {"i": 10**9 - 1, "j": 1}
    assert solve(System(box, equal=(row, j - 2))) is None
    assert extremes(System({"i": (0, 10**12)}, at_least=(10**15 - i * 1001,)), i * 3 + 1) == (
        1,
        3 * (10**15 // 1001) + 1,
    )


def test_rewrites_are_judged_with_large_numbers():
    """A[i - 3000000000] never meets another iteration; A[0] meets all of them."""
    assert LATE.parallelize("i") and LATE.split("i", 2).reorder("i.i i.o")
    assert not [one for one in dependences(LATE) if one.carrier]
    with pytest.raises(ValueError, match="is illegal"):
        nest("for i in range(3000000000, 3000000004):\n    A[0] += B[i - 3000000000]").parallelize("i")
