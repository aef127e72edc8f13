"""Copies of what has been written by then, and no copy of what is overwritten; others are refused at the rewrite."""

import numpy as np
import pytest
from mixing import as_integers, run_mixed

from mini_lib.loops import IllegalRewrite, compile_nest, matmul, nest, pointwise_chain, random_arguments, run, softmax

ZERO_FIRST = nest("""
for m in range(6):
    for n in range(8):
        C[m, n] = 0
        for k in range(4):
            C[m, n] += A[m, k] * B[k, n]
""")
EVERY_SECOND = nest(
    "for i in range(4):\n    T[2 * i] = X[i]\nfor j in range(4):\n    Y[j] = T[2 * j]", temporaries=["T"]
)
SUMS = nest(
    "for i in range(6):\n    T[i] = X[i]\nfor j in range(6):\n    for k in range(3):\n        T[j] += Z[k]\n"
    "for q in range(6):\n    Y[q] = T[q]",
    temporaries=["T"],
)
IN_REGISTERS = matmul(4, 4, 4).cache_write("C", at="n")
B_PACKED = matmul(4, 4, 4).reorder("n m k").cache_read("B", at="n")

# the nest, its rewrite, and whether anything is copied in
ACCEPTED = {
    "a temporary, written before it is read": (p := pointwise_chain(8), p.cache_write("T", at="i"), False),
    "its tile": (p, p.split("i", 4).cache_write("T", at="i.o"), False),
    "a tile that reaches beyond the array": (
        q := pointwise_chain(10),
        q.split("i", 4, guard=True).cache_write("T", at="i.o"),
        False,
    ),
    "loops made one": (p, p.split("i", 2).fuse("i.o i.i").cache_write("T", at="i.o.i.i"), False),
    "a sum that starts at 0": (ZERO_FIRST, ZERO_FIRST.cache_write("C", at="n", scope="register"), False),
    "a row of sums": (ZERO_FIRST, ZERO_FIRST.cache_write("C", at="m"), False),
    "a sum that goes on": (mm := matmul(4, 4, 4), mm.cache_write("C", at="n"), True),
    "a temporary that another nest has filled": (SUMS, SUMS.cache_write("T", at="j"), True),
    "a temporary, read": (p, p.cache_read("T", at="j"), True),
    "a copy of a copy": (mm, IN_REGISTERS.cache_write("C.scratch", at="k"), True),
    "the parts of softmax": (
        s := softmax(4, 8),
        s.cache_write("H", at="b").cache_write("S", at="g").cache_read("E", at="g"),
        True,
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_copy_that_can_be_made_means_the_same_and_copies_in_only_what_it_must(name):
    before, after, copies = ACCEPTED[name]
    assert any(leaf.statement.name.endswith(".in") for leaf in after.leaves) == copies
    arrays = {b.name: a for b, a in zip(before.arguments, random_arguments(before, 0).values()) if not b.temporary}
    old, new, compiled = run(before, **arrays), run(after, **arrays), compile_nest(before)(**arrays)
    for output, values in compile_nest(after)(**arrays).items():
        assert old[output].tobytes() == new[output].tobytes()
        np.testing.assert_array_equal(values, compiled[output])


REFUSED = {
    "every second element": (
        lambda: EVERY_SECOND.split("j", 2).cache_read("T", at="j.o"),
        "j.o would copy a part of T",
    ),
    "under a guard": (
        lambda: nest(
            "for i in range(4):\n    if i > 0:\n        T[i] = X[i]\n    Y[i] = 1", temporaries=["T"]
        ).cache_write("T", at="i"),
        "of which not every element is certain to be written by then; choose a loop further out",
    ),
    "read before it is written": (
        lambda: nest(
            "for i in range(4):\n    T[i] = 1\n    for j in range(3):\n        Y[i] += T[j]", temporaries=["T"]
        ).cache_write("T", at="i"),
        "no one box|certain to be written",
    ),
    "outside the loop where it lives": (
        lambda: IN_REGISTERS.cache_write("C.scratch", at="m"),
        "C.scratch is made anew in each iteration of n, and m is not inside it; choose n, or a loop inside it",
    ),
    "in another nest than where it lives": (
        lambda: B_PACKED.peel("n", 1).cache_read("B.scratch", at="n.p"),
        "B.scratch is made anew in each iteration of n|does not touch B.scratch",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_yet_is_not_copied(name):
    rewrite, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        rewrite()


# ---- local copies follow the loops that they live in


def same(before, after):
    arrays = random_arguments(before, 0)
    one, two = (run_mixed(each, **arrays) for each in (before, after))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    return True


def test_a_copy_that_is_filled_in_every_iteration_allows_any_order():
    """Each iteration fills its own copy: no other one sees it, whatever comes between."""
    mm = matmul(4, 4, 4, dtype="i64")
    moved = mm.cache_read("A", at="n").split("n", 2).reorder("n.i m n.o")
    assert moved.buffer("A.scratch").home == "n.o"
    assert same(mm, moved.parallelize("m"))


def test_what_is_peeled_has_copies_of_its_own():
    mm = matmul(4, 6, 4, dtype="i64")
    peeled = mm.cache_read("B", at="k").parallelize("m").peel("n", 1).peel("k.p", 2, end=True)
    assert {b.home for b in peeled.buffers if b.scope == "scratch"} == {"k", "k.p", "k.p.p"}
    assert same(mm, peeled)
    assert same(mm, mm.reorder("n m k").cache_read("B", at="n").peel("n", 1).parallelize("n.p"))


def test_peeling_twice_gives_every_loop_a_name_of_its_own():
    chain = nest("for i in range(9):\n    T[i] = 3 * X[i]\nfor j in range(8):\n    Y[j] = T[j] * T[j + 1]", dtype="i64")
    twice = chain.peel("j", 1, end=True).peel("j", 1)
    assert twice.loop_names == ("i", "j.p2", "j", "j.p")
    assert same(chain, twice.split("j.p", 2, guard=True).split("j.p2", 3, guard=True))


def test_lanes_do_not_share_what_is_made_anew_in_each_iteration():
    copied = pointwise_chain(8).cache_write("T", at="i")
    with pytest.raises(
        ValueError, match="T.scratch is made anew in each iteration of i, and lanes would share it"
    ) as no:
        copied.vectorize("i")
    assert not isinstance(no.value, IllegalRewrite)
    assert same(as_integers(pointwise_chain(8)), as_integers(copied.parallelize("i")))
