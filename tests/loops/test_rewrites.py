"""Every rewrite: what it makes, that it means the same to the last bit, and what it refuses.

The meaning is held with whole numbers that wrap: one swapped pair of dependent iterations changes them.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixing import as_integers, run_mixed

from mini_lib.loops import IllegalRewrite, Intrinsic, kernels, matmul, nest
from mini_lib.loops.meaning.interpret import random_arguments
from mini_lib.loops.rewrites.rewriting import begin, settle

CHAIN = """
for i in range(9):
    T[i] = 3 * X[i] + X[i + 1]
for j in range(8):
    Y[j] = T[j] * T[j + 1]
"""
CHAIN_2D = """
for i in range(10):
    for j in range(9):
        T[i, j] = X[i, j] * 3 + X[i, j + 1]
for y in range(8):
    for x in range(9):
        Y[y, x] = T[y, x] + T[y + 1, x] * T[y + 2, x]
"""


def same(before, after, seed=0):
    """Both programs give the same outputs to the last bit, from the same random arguments."""
    arrays = random_arguments(before, seed)
    kept = {buffer.name for buffer in after.arguments}  # compute_at makes an argument local
    old, new = run_mixed(before, **arrays), run_mixed(after, **{name: arrays[name] for name in kept})
    assert before.outputs and after.outputs == before.outputs
    for name in before.outputs:
        np.testing.assert_array_equal(new[name], old[name])
    return True


mm = matmul(6, 8, 4, dtype="i64")
SCHEDULES = {
    "reorder": lambda: (mm, mm.reorder("k n m")),
    "reorder two of three": lambda: (mm, mm.reorder("k m")),
    "split": lambda: (mm, mm.split("m", 3)),
    "split unevenly": lambda: (mm, mm.split("m", 4, guard=True).reorder("m.i m.o")),
    "split a triangle": lambda: (
        t := nest("for i in range(5):\n  for j in range(i, 5):\n    A[i, j] += B[j] * i0", dtype="i64", i0=3),
        t.split("j", 2, guard=True),
    ),
    "tile": lambda: (mm, mm.tile("m n k", 2).reorder("k.o m.o n.o k.i m.i n.i")),
    "tile unevenly": lambda: (mm, mm.tile({"m": 4, "n": 3}, guard=True)),
    "fuse": lambda: (mm, mm.fuse("m n").split("m.n", 5, guard=True)),
    "fuse three": lambda: (mm, mm.fuse("m n k").split("m.n.k", 6).reorder("m.n.k.o m.n.k.i")),
    "fuse loops that start late": lambda: (j := as_integers(kernels.jacobi(6, 7)), j.fuse("i j")),
    "fuse, reorder around it": lambda: (mm, mm.fuse("m n").reorder("k m.n")),
    "skew": lambda: (g := as_integers(kernels.gauss_seidel(7, 8)), g.skew("j", by="i").reorder("j.s i")),
    "skew by two": lambda: (
        g := as_integers(kernels.gauss_seidel(7, 8)),
        g.skew("j", by="i", factor=2).reorder("j.s i"),
    ),
    "skew, then parallel": lambda: (
        g := as_integers(kernels.gauss_seidel(7, 8)),
        g.skew("j", "i", 2).reorder("j.s i").parallelize("i"),
    ),
    "triangle": lambda: (
        t := nest("for i in range(5):\n  for j in range(i, 5):\n    A[i, j] += B[j] * C[i]", dtype="i64"),
        t.reorder("j i"),
    ),
    "unroll": lambda: (mm, mm.unroll("k n")),
    "unroll and jam": lambda: (mm, mm.unroll_and_jam("m", 2)),
    "unroll and jam around a vector": lambda: (
        mm,
        mm.reorder("k n").split("n", 4).vectorize("n.i").unroll_and_jam("m", 3),
    ),
    "vectorize": lambda: (mm, mm.reorder("k n").vectorize("n")),
    "parallelize": lambda: (mm, mm.parallelize("m")),
    "fusion": lambda: (c := kernels.pointwise_chain(8, dtype="i64"), c.fusion("i", "j")),
    "fusion of loops that start apart": lambda: (
        c := nest("for i in range(1, 6):\n  T[i] = X[i]\nfor j in range(2, 7):\n  Y[j] = T[j - 1]", dtype="i64"),
        c.fusion("i", "j"),
    ),
    "fission": lambda: (c := kernels.pointwise_chain(8, dtype="i64"), c.fusion("i", "j").fission("i", after="S0")),
    "peel": lambda: (mm, mm.peel("m", 2).split("m", 4)),
    "peel the end": lambda: (mm, mm.peel("n", 3, end=True).peel("n", 1)),
    "compute at": lambda: (c := nest(CHAIN, dtype="i64", temporaries=["T"]), c.compute_at("i", "j")),
    "compute at a tile": lambda: (
        c := nest(CHAIN, dtype="i64", temporaries=["T"]),
        c.split("j", 4).compute_at("i", "j.o"),
    ),
    "compute at an uneven tile": lambda: (
        c := nest(CHAIN_2D, dtype="i64", temporaries=["T"]),
        c.tile({"y": 3, "x": 4}, guard=True).compute_at("i", "x.o"),
    ),
    "cache read": lambda: (mm, mm.reorder("n m k").cache_read("B", at="n")),
    "cache read of a tile": lambda: (mm, mm.tile("m n", 2).cache_read("A", at="m.o").cache_read("B", at="n.o")),
    "cache read of an uneven tile": lambda: (mm, mm.tile("m n", 5, guard=True).cache_read("A", at="m.o")),
    "cache write": lambda: (mm, mm.cache_write("C", at="n", scope="register")),
    "cache write of an uneven tile": lambda: (mm, mm.tile("m n", 5, guard=True).cache_write("C", at="n.o")),
    "registers": lambda: (
        mm,
        mm.tile({"m": 3, "n": 8})
        .split("n.i", 4)
        .reorder("m.o n.o k m.i n.i.o n.i.i")
        .vectorize("n.i.i")
        .unroll("n.i.o m.i")
        .cache_read("B", at="n.o")
        .cache_write("C", at="n.o", scope="register")
        .parallelize("m.o"),
    ),
    "double buffer": lambda: (
        mm,
        mm.reorder("k m n")
        .split("k", 2)
        .reorder("k.o k.i m n")
        .cache_read("A", at="k.o")
        .double_buffer("k.o", "A.scratch"),
    ),
    "double buffer in a loop": lambda: (
        mm,
        mm.split("k", 1).reorder("m k.o n k.i").cache_read("B", at="k.o").double_buffer("k.o", "B.scratch"),
    ),
    "layout": lambda: (mm, mm.layout("B", (1, 0)).pad("B", 0, 3)),
    "pad": lambda: (mm, mm.pad("C", 1, 5)),
    "tensorize": lambda: (mm, mm.tile("m n k", 2).tensorize("m.i", Intrinsic("mma", matmul(2, 2, 2), 4))),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_rewrite_means_the_same_to_the_last_bit_and_leaves_its_nest_alone(name):
    before, after = SCHEDULES[name]()
    text = str(before)
    assert same(before, after) and str(before) == text
    assert (after.body, after.buffers) != (before.body, before.buffers)
    assert len({leaf.statement.name for leaf in after.leaves}) == len(after.leaves)


@given(order=st.permutations(["m.o", "m.i", "n.o", "n.i", "k.o", "k.i"]), sizes=st.tuples(*[st.integers(1, 6)] * 3))
@settings(max_examples=25, deadline=None)
def test_tiles_in_any_order_mean_the_same_or_are_refused(order, sizes):
    tiled = mm
    for loop, size in zip("mnk", sizes, strict=True):
        tiled = tiled.split(loop, size, guard=True)
    if order.index("k.i") < order.index("k.o") and 1 < sizes[2] < 4:
        with pytest.raises(IllegalRewrite):  # the sum over k in another order: a float would notice
            tiled.reorder(" ".join(order))
    else:
        assert same(mm, tiled.reorder(" ".join(order)))


def test_all_orders_of_the_matrix_product_are_legal():
    for order in itertools.permutations("mnk"):
        assert same(mm, mm.reorder(" ".join(order)))


def test_bounds_move_with_their_loops():
    wave = kernels.gauss_seidel(5, 6).skew("j", by="i").reorder("j.s i")
    # i from 1 to 4, j = j.s - i from 0 to 4: so i is at least j.s - 4 and at most j.s
    assert str(wave).splitlines()[:2] == [
        "for j.s in range(1, 9):",
        "    for i in range(max(1, j.s - 4), min(5, j.s + 1)):",
    ]


ILLEGAL = {
    "interchange": (
        lambda: kernels.gauss_seidel(8, 8).reorder("j i"),
        "flow",
        {"i": 1, "j": 1},
        {"i": 2, "j": 0},
        ("A", (1, 1)),
    ),
    "vectorize a sum": (lambda: kernels.reduction(8).vectorize("i"), "flow", {"i": 0}, {"i": 1}, ("s", (0,))),
    "parallelize a sum": (
        lambda: matmul(2, 2, 4).parallelize("k"),
        None,
        {"m": 0, "n": 0, "k": 0},
        {"m": 0, "n": 0, "k": 1},
        ("C", (0, 0)),
    ),
    "fusion": (
        lambda: nest("for i in range(4):\n  T[i] = X[i]\nfor j in range(4):\n  Y[j] = T[3 - j]").fusion("i", "j"),
        "flow",
        {"i": 2},
        {"j": 1},
        ("T", (2,)),
    ),
    "fission": (
        lambda: nest("for i in range(1, 4):\n  A[i] = B[i - 1]\n  B[i] = A[i]").fission("i", after="S0"),
        "flow",
        {"i": 1},
        {"i": 2},
        ("B", (1,)),
    ),
    "a box over what others write": (
        lambda: (
            nest("for i in range(4):\n for j in range(3):\n  A[i + 4 * j] += 1")
            .parallelize("i")
            .cache_write("A", at="i")
        ),
        None,
        None,
        None,
        ("A", (1,)),
    ),
    "a sum in blocks, inner first": (
        lambda: nest("for i in range(4):\n  s[0] += x[i]").split("i", 2).reorder("i.i i.o"),
        None,
        None,
        None,
        ("s", (0,)),
    ),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_rewrite_is_refused_with_the_two_iterations_and_the_element(name):
    rewrite, kind, first, second, element = ILLEGAL[name]
    with pytest.raises(IllegalRewrite, match="is illegal: iteration .*") as refusal:
        rewrite()
    found = refusal.value
    assert found.element == element
    assert first is None or found.first == first
    assert second is None or found.second == second
    place = f"{element[0]}[{', '.join(map(str, element[1]))}]"
    assert place in str(found)
    assert kind is None or {"flow": "reads", "anti": "writes", "output": "writes"}[kind] in str(found)


REFUSED = {
    "unknown loop": (lambda: mm.reorder("m z"), "there is no loop 'z' in matmul; its loops are m, n, k"),
    "a loop twice": (lambda: mm.reorder("m m"), "name each loop once"),
    "no loop": (lambda: mm.reorder(""), "name each loop once"),
    "uneven split": (
        lambda: mm.split("n", 3),
        r"3 does not divide the 8 iterations of n; use a divisor such as \[2, 4\].* guard=True",
    ),
    "split a prime": (lambda: matmul(7, 2, 2).split("m", 2), "peel some off first"),
    "split by nothing": (lambda: mm.split("n", 0), "factor must be a whole number of 1 or more, got 0"),
    "tile without size": (lambda: mm.tile("m n"), r"tile: say how large, such as tile\('m n', 16\)"),
    "reorder a marked loop": (
        lambda: mm.unroll("k").reorder("k n"),
        "k is unrolled already; change the order of loops first",
    ),
    "loops of two nests": (lambda: kernels.pointwise_chain(4).reorder("i j"), "only loops of one nest"),
    "imperfect nest": (
        lambda: kernels.softmax(4, 4).fusion("a", "b").reorder("a c"),
        "the loops must be nested directly. Take the rest out first",
    ),
    "fuse in another order": (lambda: mm.fuse("n m"), "here they are 'm n'. Reorder first"),
    "fuse a triangle": (
        lambda: nest("for i in range(4):\n for j in range(i+1):\n  A[i,j]=1").fuse("i j"),
        "depend on other loops; they must be numbers",
    ),
    "skew an outer loop": (lambda: mm.skew("m", by="n"), "n is not a loop around m"),
    "vectorize an outer loop": (lambda: mm.vectorize("n"), "n holds other loops; reorder it to the innermost place"),
    "vectorize six": (
        lambda: matmul(4, 6, 4).reorder("k n").vectorize("n"),
        r"n has 6 .*split\('n', 8\) and vectorize 'n.i'",
    ),
    "unroll too much": (lambda: matmul(4, 4, 1000).unroll("k"), "k has 1000 iterations; at most 256 are written out"),
    "parallel twice": (
        lambda: mm.parallelize("m").parallelize("n"),
        "n is inside m, which is parallel already; fuse the two first",
    ),
    "fusion of unequal loops": (
        lambda: nest(CHAIN).fusion("i", "j"),
        "i has 9 iterations and j has 8; peel the longer one",
    ),
    "fusion of loops apart": (
        lambda: kernels.softmax(4, 4).fusion("a", "d"),
        "d must come right after a, with nothing between",
    ),
    "fusion of nested loops": (lambda: matmul(4, 4, 4).fusion("m", "n"), "m and n are not in the same body"),
    "fission after the last": (
        lambda: kernels.pointwise_chain(4).fission("i", after="S0"),
        "must be in the body of i and not its last; it holds S0",
    ),
    "fission of a home": (
        lambda: matmul(4, 4, 4).cache_read("A", at="n").fission("n", after="A.scratch.in"),
        "A.scratch lives for one iteration of n",
    ),
    "peel everything": (lambda: mm.peel("m", 6), "count must be from 1 to 5 for the 6 iterations of m, got 6"),
    "cache read of what is written": (
        lambda: mm.cache_read("C", at="n"),
        "the body of n also writes C, .*use cache_write",
    ),
    "cache write of what is read": (lambda: mm.cache_write("A", at="n"), "does not write A; use cache_read"),
    "cache of an unknown buffer": (lambda: mm.cache_write("Q", at="n"), "has no buffer 'Q'; it has C, A, B"),
    "cache in a cloud": (
        lambda: mm.cache_read("A", at="n", scope="cloud"),
        "scope must be 'scratch' or 'register', got 'cloud'",
    ),
    "cache twice": (lambda: mm.cache_read("A", at="m").cache_read("A", at="n"), "the body of n does not touch A"),
    "cache in a vector": (lambda: mm.reorder("k n").vectorize("n").cache_read("A", at="n"), "is done all at once"),
    "no one box": (
        lambda: (
            nest("for i in range(4):\n for j in range(4):\n  A[i, j] = B[i] * B[j]")
            .reorder("i j")
            .split("j", 2)
            .cache_read("B", at="j.o")
        ),
        "no one box holds both. Choose a loop further out",
    ),
    "compute at for a result": (lambda: nest(CHAIN).compute_at("i", "j"), r"declare it with temporaries=\('T',\)"),
    "compute at of what is read elsewhere": (
        lambda: nest(CHAIN + "for z in range(9):\n    Z[z] = T[z]", temporaries=["T"]).compute_at("i", "j"),
        "S2 also uses T",
    ),
    "compute at past a change": (
        lambda: nest(
            "for i in range(4):\n  T[i] = X[i]\nfor k in range(4):\n  X[k] = 0\nfor j in range(4):\n  Y[j] = T[j]",
            temporaries=["T"],
        ).compute_at("i", "j"),
        "S1 writes X, which i reads; computed later, it would read the new",
    ),
    "compute at by other subscripts": (
        lambda: nest(
            "for i in range(4):\n  T[2 * i] = X[i]\nfor j in range(4):\n  Y[j] = T[2 * j]", temporaries=["T"]
        ).compute_at("i", "j"),
        "each axis of T must be reached by one loop of its own",
    ),
    "compute at a vector": (
        lambda: nest(CHAIN, temporaries=["T"]).vectorize("j").compute_at("i", "j"),
        "j is done all at once",
    ),
    "double buffer of a parallel loop": (
        lambda: mm.cache_read("A", at="m").parallelize("m").double_buffer("m", "A.scratch"),
        "m is parallel already",
    ),
    "double buffer of nothing": (lambda: mm.double_buffer("k", "A"), "must be a local copy that is filled first thing"),
    "layout of some axes": (lambda: mm.layout("A", (0,)), "order must name each axis of A once, from 0 to 1"),
    "pad an axis that is not": (
        lambda: mm.pad("A", 2, 8),
        "axis must be a whole number from 0 to 1, got 2; A has axes 0 to 1",
    ),
    "pad by nothing": (lambda: mm.pad("A", 1, 0), "elements must be a whole number of 1 or more, got 0"),
    "tensorize another size": (
        lambda: mm.tensorize("m", Intrinsic("mma", matmul(2, 2, 2), 4)),
        r"its loops run \[2, 2, 2\] times, and the block's \[6, 8, 4\]",
    ),
    "tensorize another kernel": (
        lambda: kernels.transpose(2, 2).tensorize(
            "m", Intrinsic("copy", nest("for a in range(2):\n for b in range(2):\n  Q[a, b] = P[a, b]"), 1)
        ),
        "subscripts of B move as",
    ),
    "tensorize another operation": (
        lambda: nest("for i in range(4):\n  y[i] = x[i] + z[i]").tensorize(
            "i", Intrinsic("mul", nest("for a in range(4):\n  q[a] = p[a] * r[a]"), 1)
        ),
        r"it computes \*, and the block \+",
    ),
    "an intrinsic of two nests": (
        lambda: Intrinsic("both", kernels.pointwise_chain(4), 1),
        "the pattern must be one nest",
    ),
    "an intrinsic in no time": (
        lambda: Intrinsic("mma", matmul(2, 2, 2), 0),
        "cycles must be a finite number above 0, got 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_with_a_way_out(name):
    rewrite, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as refusal:
        rewrite()
    assert not isinstance(refusal.value, IllegalRewrite)


def test_a_loop_is_not_split_by_a_fraction():
    with pytest.raises(TypeError, match="factor must be a whole number of 1 or more, got 2.0"):
        mm.split("n", 2.0)


def test_copies_between_registers_go_in_whole_vectors():
    fast = SCHEDULES["registers"]()[1]
    assert fast.buffer("C.register").shape == (3, 8)
    assert "for C.register.1.i in range(4):  # vectorized" in str(fast)
    assert "for C.register.1.o in range(2):  # unrolled" in str(fast)


def test_rows_that_are_padded_start_in_other_sets():
    assert kernels.transpose(512, 512).pad("A", 1, 8).buffer("A").strides == (520, 1)
    wide = nest("for i in range(2):\n for j in range(3):\n  for k in range(4):\n   A[i, j, k] = 1")
    assert wide.pad("A", 2, 1).buffer("A").strides == (15, 5, 1)  # rows of 5, planes of 3 rows
    assert wide.pad("A", 1, 2).buffer("A").strides == (20, 4, 1)  # planes of 5 rows


def test_begin_and_settle_are_each_others_inverse():
    assert settle(begin(mm)) == mm
