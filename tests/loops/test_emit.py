"""The C text does what the interpreter does, bit by bit, and says it readably."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import programs
from tolerance import float_tolerance

from mini_lib import native
from mini_lib.loops import matmul, pointwise_chain, reduction, softmax, transpose
from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.codegen.emit import to_c
from mini_lib.loops.codegen.execute import compile_nest, time_native
from mini_lib.loops.ir import Buffer, Constant, Load, Loop, Op, Program, Statement
from mini_lib.loops.meaning.interpret import random_arguments, run
from tools.cachegrind_cases import cases

EXACT = ("-O1", "-ffp-contract=off")  # each operation rounds, as in the interpreter
CASES = tuple(cases())  # proving them legal takes longer than compiling one
# the first schedule of each kernel is the kernel as it is written
PLAIN = {kernel: nest for kernel, _, nest in reversed(CASES)}


def loop(name, trips, *body, kind="serial"):
    return Loop(name, (Affine(),), (Affine((), trips),), tuple(body), kind)


def equal_bits(ours, theirs):
    assert ours.keys() == theirs.keys()
    return all(
        (ours[name].view(np.uint8) == theirs[name].view(np.uint8)).all()
        or np.array_equal(ours[name], theirs[name], equal_nan=True)
        for name in ours
    )


# ---- the text


def test_the_text_of_a_register_tile():
    nest = matmul(4, 16, 8).tile({"m": 2, "n": 8}).reorder("m.o n.o k m.i n.i")
    nest = nest.unroll("m.i").vectorize("n.i").cache_write("C", at="n.o", scope="register")
    lines = [line.strip() for line in to_c(nest).splitlines()]
    # two rows of one vector each: no array, no address
    assert "f32x8 C_register_0_0, C_register_1_0;" in lines
    assert "for (int k = 0; k < 8; k++) {" in lines
    updates = [line for line in lines if "+=" in line]
    assert updates == [
        "C_register_0_0 += A[16*m_o + k] * load_f32x8(&B[16*k + 8*n_o]);",
        "C_register_1_0 += A[8*(2*m_o + 1) + k] * load_f32x8(&B[16*k + 8*n_o]);",
    ]
    assert "store_f32x8(&C[32*m_o + 8*n_o], C_register_0_0);" in lines


def test_an_uneven_split_has_its_guard():
    text = to_c(transpose(4, 6).split("n", 4, guard=True))
    assert "if (n_i + 4*n_o < 6) B[4*(4*n_o + n_i) + m] = A[6*m + 4*n_o + n_i];" in text


def test_a_parallel_loop_has_its_own_scratch():
    text = to_c(matmul(4, 8, 2).reorder("n m k").cache_read("B", at="n").parallelize("n"))
    head, _, tail = text.partition("#pragma omp parallel for")
    assert "B_scratch" not in head and "_Alignas(64) float B_scratch[2];" in tail
    serial = to_c(matmul(4, 8, 2).reorder("n m k").cache_read("B", at="n"))
    assert "static _Alignas(64) float B_scratch[2];" in serial


def test_names_that_c_keeps_for_itself():
    source = Statement("S0", "int", (affine("m.o"),), Load("exp", (affine("m.o"),)))
    inner = loop("m.o", 4, source)
    other = loop("m_o", 4, Statement("S1", "int", (affine("m_o"),), Load("exp", (affine("m_o"),))))
    program = Program("double", (Buffer("int", (4,)), Buffer("exp", (4,))), (inner, other))
    text = to_c(program)
    assert "void double_(float *int_, const float *exp_)" in text
    assert "for (int m_o_2 = 0;" in text
    x = np.float32([1, 2, 3, 4])
    assert compile_nest(program)(int=np.zeros(4, np.float32), exp=x)["int"].tolist() == x.tolist()


def test_volatile_loads_come_one_by_one_in_order():
    lines = [line.strip() for line in to_c(matmul(2, 2, 2), volatile=True).splitlines()]
    at = lines.index("float x = C[2*m + n];")
    assert lines[at + 1 : at + 4] == [
        "float x_2 = A[2*m + k];",
        "float x_3 = B[2*k + n];",
        "C[2*m + n] = x + x_2 * x_3;",
    ]
    assert "volatile float *C, volatile const float *A" in to_c(matmul(2, 2, 2), volatile=True)


def test_pointers_that_are_promised_not_to_overlap():
    text = to_c(matmul(2, 2, 2), restrict=True)
    assert "void matmul(float *restrict C, const float *restrict A, const float *restrict B) {" in text
    assert "restrict" not in to_c(matmul(2, 2, 2))
    with pytest.raises(TypeError, match="restrict must be"):
        to_c(matmul(2, 2, 2), restrict="yes")


# ---- the values


def test_what_the_compiler_does_with_that_promise_changes_no_value():
    plain = matmul(8, 16, 8, dtype="i32")  # whole numbers: any order of the sums gives the same
    padded = plain.pad("A", axis=1, elements=3).pad("C", axis=1, elements=5)
    tiled = padded.tile({"m": 4, "n": 8}).reorder("m.o n.o k m.i n.i")
    copied = tiled.cache_write("C", at="n.o").cache_read("B", at="n.o")
    arrays = random_arguments(plain, seed=3)
    expected = run(plain, **arrays)
    for nest in (plain, padded, copied):
        assert equal_bits(compile_nest(nest, flags=("-O3",), restrict=True)(**arrays), expected)


def test_fusing_leaves_what_a_hand_would_calculate():
    nest = pointwise_chain(8).fusion("i", "j")
    x = np.arange(-4, 4, dtype=np.float32)
    y = compile_nest(nest)(Y=np.zeros(8, np.float32), X=x)["Y"]
    assert y.tolist() == [0, 0, 0, 0, 1, 3, 5, 7]  # max(2x + 1, 0)


@pytest.mark.parametrize(
    ("kernel", "nest"), [pytest.param(kernel, nest, id=f"{kernel}: {name}") for kernel, name, nest in CASES]
)
def test_every_schedule_equals_its_kernel(kernel, nest):
    """Legal rewrites keep the order of each element's operations: not one bit differs."""
    plain = PLAIN[kernel]
    arrays = random_arguments(plain, seed=3)
    left = {buffer.name: arrays[buffer.name] for buffer in nest.arguments}
    assert equal_bits(compile_nest(nest, flags=EXACT)(**left), compile_nest(plain, flags=EXACT)(**arrays))


@settings(max_examples=60)
@given(programs(dtypes=("i32", "i64", "u64", "i8")), st.integers(0, 9))
def test_integers_equal_the_interpreters(program, seed):
    arrays = random_arguments(program, seed)
    assert equal_bits(run(program, **arrays), compile_nest(program)(**arrays))


@settings(max_examples=40)
@given(
    programs(dtypes=("i32", "i64", "u64", "i8", "f32"), mixed=True, operations=("+", "-", "*", "max")),
    st.integers(0, 9),
)
def test_arrays_of_several_types_equal_the_interpreters(program, seed):
    arrays = random_arguments(program, seed)
    assert equal_bits(run(program, **arrays), compile_nest(program, flags=EXACT)(**arrays))


@settings(max_examples=40)
@given(programs(dtypes=("f32", "f64"), operations=("+", "-", "*", "/", "max", "min")), st.integers(0, 9))
def test_floats_equal_the_interpreters(program, seed):
    arrays = random_arguments(program, seed)
    assert equal_bits(run(program, **arrays), compile_nest(program, flags=EXACT)(**arrays))


@settings(max_examples=30)
@given(programs(dtypes=("i32", "f64"), operations=("+", "-", "*")))
def test_volatile_changes_nothing(program):
    arrays = random_arguments(program, 1)
    plain = compile_nest(program, flags=EXACT)
    volatile = compile_nest(program, flags=EXACT, volatile=True)
    assert "volatile" in volatile.source and "volatile float" not in plain.source
    assert equal_bits(plain(**arrays), volatile(**arrays))


@settings(max_examples=25)
@given(programs(dtypes=("f32", "f64"), operations=("+", "-", "*", "max", "min", "exp")), st.integers(0, 9))
def test_fused_operations_and_another_exp_stay_within_the_bound(program, seed):
    """The bound (see tolerance.py): each operation rounds once, or is part of a fused one."""
    arrays = random_arguments(program, seed)
    exact, bound = run(program, **arrays), float_tolerance(program, **arrays)
    fast = (*native.native_flags(), "-ffp-contract=fast")
    for name, result in compile_nest(program, flags=fast)(**arrays).items():
        known = np.isfinite(bound[name]) & np.isfinite(exact[name])
        off = np.abs(result[known].astype(np.float64) - exact[name][known].astype(np.float64))
        assert (off <= bound[name][known]).all()


def test_widths_other_than_the_machines_and_lanes_with_gaps():
    """16 lanes that gather a column and scatter a row of a strided array; lanes that reverse."""
    a, b = affine("i"), affine("j")
    body = Statement("S0", "Y", (b, a), Op("*", (Load("X", (a, b)), Load("X", (a, -b + 15)))))
    buffers = (Buffer("Y", (16, 4), "f64"), Buffer("X", (4, 16), "f64"))
    program = Program("gather", buffers, (loop("i", 4, loop("j", 16, body, kind="vector")),))
    x = np.random.default_rng(0).normal(size=(4, 16))
    y = compile_nest(program)(Y=np.zeros((16, 4)), X=x)["Y"]
    assert np.array_equal(y, (x * x[:, ::-1]).T)


def test_lanes_load_before_any_stores():
    """X[i + 1] = X[i] on 4 lanes moves all up by one; one after the other copies the first."""
    shift = Statement("S0", "X", (affine("i") + 1,), Load("X", (affine("i"),)))
    x = np.arange(5, dtype=np.int32)
    for kind, expected in (("vector", [0, 0, 1, 2, 3]), ("serial", [0, 0, 0, 0, 0])):
        program = Program("shift", (Buffer("X", (5,), "i32"),), (loop("i", 4, shift, kind=kind),))
        assert run(program, X=x)["X"].tolist() == expected
        assert compile_nest(program)(X=x)["X"].tolist() == expected


def test_small_integers_are_widened_with_their_sign():
    product = Op("*", (Load("A", (affine("i"),)), Load("B", (affine("i"),))))
    body = Statement("S0", "C", (affine("i"),), Op("+", (Load("C", (affine("i"),)), product)))
    buffers = (Buffer("C", (4,), "i32"), Buffer("A", (4,), "i8"), Buffer("B", (4,), "i8"))
    a, b, c = np.int8([-128, 127, 5, -1]), np.int8([-128, -128, 7, 1]), np.int32([1, 1, 1, 1])
    for kind in ("serial", "vector", "unrolled"):
        program = Program("dot", buffers, (loop("i", 4, body, kind=kind),))
        assert compile_nest(program)(C=c, A=a, B=b)["C"].tolist() == [16385, -16255, 36, 0]
        assert run(program, C=c, A=a, B=b)["C"].tolist() == [16385, -16255, 36, 0]


def test_a_row_of_several_vectors_in_registers():
    """8 x 16 elements in rows of two vectors; then one lane of a vector is read on its own."""
    nest = matmul(8, 32, 4).tile({"m": 4, "n": 16}).reorder("m.o n.o k m.i n.i").split("n.i", 8)
    nest = nest.unroll("m.i").unroll("n.i.o").vectorize("n.i.i")
    nest = nest.cache_write("C", at="n.o", scope="register")
    assert "f32x8 C_register_0_0, C_register_0_1, C_register_1_0" in to_c(nest)
    arrays = random_arguments(nest, 6)
    assert equal_bits(compile_nest(nest, flags=EXACT)(**arrays), run(nest, **arrays))

    r, lane, one = Load("r", (affine("i"),)), Load("r", (Affine((), 5),)), affine("j")
    body = (
        loop("i", 8, Statement("S0", "r", (affine("i"),), Load("x", (affine("i"),))), kind="vector"),
        loop("i", 8, Statement("S1", "r", (affine("i"),), Op("*", (r, lane))), kind="vector"),
        loop("j", 8, Statement("S2", "y", (one,), Load("r", (one,))), kind="unrolled"),
    )
    buffers = (Buffer("x", (8,), "i32"), Buffer("y", (8,), "i32"))
    program = Program("scale", (*buffers, Buffer("r", (8,), "i32", scope="register")), body)
    x = np.arange(8, dtype=np.int32)
    assert "y[3] = r_0[3];" in to_c(program)
    assert compile_nest(program)(x=x, y=0 * x)["y"].tolist() == (5 * x).tolist()


def test_parallel_loops_give_the_same_result():
    nest = matmul(16, 16, 16).tile("m n", 4).parallelize("m.o").cache_write("C", at="n.o")
    arrays = random_arguments(nest, 5)
    compiled = compile_nest(nest, flags=EXACT)
    compiled.use_threads(2)
    assert equal_bits(compiled(**arrays), run(matmul(16, 16, 16), **arrays))


def test_padding_and_order_of_axes_do_not_show():
    nest = transpose(6, 5).pad("A", axis=1, elements=3).layout("B", (1, 0))
    a = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    b = np.zeros((5, 6), np.float32)
    assert np.array_equal(compile_nest(nest)(A=a, B=b)["B"], a.T)
    assert not b.any()  # the caller's array is left alone
    assert compile_nest(nest).prepare(A=a, B=b).storage["A"].size == 6 * 8


def test_repeated_runs_work_in_place():
    summed = compile_nest(reduction(4)).prepare(s=np.zeros(1, np.float32), x=np.ones(4, np.float32))
    summed.run(times=3)
    assert summed.outputs()["s"].tolist() == [12.0]


def test_a_softmax_is_one():
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    arrays = {name: np.zeros((3, 8), np.float32) for name in "YE"}
    one = np.zeros(3, np.float32)
    y = compile_nest(softmax(3, 8))(X=x, **arrays, H=one, S=one)["Y"]
    exact = np.exp(x.astype(float)) / np.exp(x.astype(float)).sum(axis=1, keepdims=True)
    # the exponent errs by u*|x - max| < 8u, exp by 4u, the sum of 8 by 7u and as its terms do,
    # the division by u: less than 32u
    assert (np.abs(y - exact) <= 32 * 2**-24 * exact).all()


def test_time_is_measured():
    latency = time_native(matmul(8, 8, 8), repeats=3)
    assert len(latency.times_s) == 3 and latency.median_s > 0


# ---- what is refused

BEYOND = Program("beyond", (Buffer("X", (4,)),), (loop("i", 5, Statement("S0", "X", (affine("i"),), Constant(1))),))

COPY = Statement("S0", "X", (affine("i"),), Load("X", (affine("i"),)))
THREE_LANES = Program("copy", (Buffer("X", (3,)),), (loop("i", 3, COPY, kind="vector"),))
COLUMN = matmul(4, 8, 2).reorder("n m k").cache_write("C", at="n", scope="register")
LARGE = matmul(1024, 4, 1024).reorder("n m k").cache_read("A", at="n").parallelize("n")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: to_c(COLUMN), "C.register[m, 0] lies in registers, and registers have no addresses: unroll loop m"),
        (lambda: to_c(THREE_LANES), "a vector of 3 f32 is not possible; vectorize a loop of 2, 4, 8, 16"),
        (
            lambda: to_c(matmul(256, 256, 4).unroll("m").unroll("n")),
            "unrolling n writes out 65536 copies, more than 20000",
        ),
        (lambda: to_c(LARGE), "scratch buffer A.scratch takes 4194304 bytes for each thread"),
        (lambda: time_native(matmul(4, 4, 4), repeats=0), "repeats must be a whole number of 1 or more, got 0; use 5"),
        (
            lambda: to_c(matmul(2, 2, 2), static=True, restrict=True),
            "with static=True the function takes none; got static=True and restrict=True; leave restrict out",
        ),
        (lambda: compile_nest(BEYOND), "S0 reaches i = 4 in X, which has 4 elements there; change the subscript"),
        (lambda: compile_nest(matmul(2, 2, 2))(A=np.zeros((2, 2), np.float32)), "matmul needs an array for C"),
    ],
)
def test_what_cannot_be_said_in_c_is_refused(make, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()
