"""The interpreter: by hand, against Python running the kernels themselves, and what it refuses."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerance import float_tolerance, summation_tolerance, unit_roundoff

from mini_lib.loops import kernels
from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Buffer, Constant, Load, Loop, Op, Program, Statement
from mini_lib.loops.meaning.interpret import random_arguments, run
from mini_lib.loops.meaning.numbers import wrap

# each kernel: its nest, and the sizes that the function it was read from takes
SIZES = {
    "matmul": (lambda d: kernels.matmul(3, 4, 5, dtype=d), {"M": 3, "N": 4, "K": 5}),
    "conv2d": (lambda d: kernels.conv2d(2, 3, 4, 3, dtype=d), {"OUT": 2, "IN": 3, "H": 4, "V": 3, "K": 3}),
    "depthwise_conv2d": (lambda d: kernels.depthwise_conv2d(2, 3, 4, dtype=d), {"C": 2, "H": 3, "V": 4, "K": 3}),
    "transpose": (lambda d: kernels.transpose(3, 4, dtype=d), {"M": 3, "N": 4}),
    "jacobi": (lambda d: kernels.jacobi(5, 6, dtype=d), {"M": 5, "N": 6}),
    "gauss_seidel": (lambda d: kernels.gauss_seidel(5, 6, dtype=d), {"M": 5, "N": 6}),
    "pointwise_chain": (lambda d: kernels.pointwise_chain(9, dtype=d), {"N": 9}),
    "mttkrp": (lambda d: kernels.mttkrp(2, 3, 4, 5, dtype=d), {"I": 2, "J": 3, "K": 4, "L": 5}),
    "reduction": (lambda d: kernels.reduction(9, dtype=d), {"N": 9}),
}


def one(*body, trips=4, kind="serial"):
    return Loop("i", (Affine(),), (Affine((), trips),), tuple(body), kind)


def arguments(nest, sizes, arrays):
    """The arrays and sizes in the order of the function's parameters."""
    function = getattr(kernels, f"_{nest.name}")
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return function, [sizes[name] if name in sizes else arrays[name] for name in names]


def test_a_recurrence_by_hand():
    """x[i + 1] = x[i] + x[i + 1] on 1, 2, 3, 4, 5: running sums."""
    step = Op("+", (Load("x", (affine("i"),)), Load("x", (affine("i") + 1,))))
    body = one(Statement("S0", "x", (affine("i") + 1,), step))
    program = Program("scan", (Buffer("x", (5,), "i32"),), (body,))
    x = np.int32([1, 2, 3, 4, 5])
    assert run(program, x=x)["x"].tolist() == [1, 3, 6, 10, 15]
    assert x.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_nest_means_what_its_python_function_does(name, dtype):
    """Both do the same float operations in the same order: equal to the last bit."""
    make, sizes = SIZES[name]
    nest = make(dtype)
    arrays = random_arguments(nest, seed=1)
    results = run(nest, **arrays)
    copies = {key: array.copy() for key, array in arrays.items()}
    function, values = arguments(nest, sizes, copies)
    function(*values)
    assert results.keys() == set(nest.outputs)
    for output, result in results.items():
        assert result.dtype == arrays[output].dtype
        assert np.array_equal(result, copies[output])


@pytest.mark.parametrize("name", ["matmul", "conv2d", "mttkrp", "reduction", "transpose"])
@pytest.mark.parametrize("dtype", ["i8", "i32", "i64", "u64"])
def test_integers_wrap_as_numpys_do(name, dtype):
    make, sizes = SIZES[name]
    nest = make(dtype)
    arrays = random_arguments(nest, seed=2)
    copies = {key: array.copy() for key, array in arrays.items()}
    function, values = arguments(nest, sizes, copies)
    with np.errstate(over="ignore"):
        function(*values)
    for output, result in run(nest, **arrays).items():
        assert np.array_equal(result, copies[output])


def test_softmax_is_close_to_the_formula():
    nest = kernels.softmax(3, 7)
    arrays = random_arguments(nest, seed=0)
    x = arrays["X"].astype(float)
    exact = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    off = np.abs(run(nest, **arrays)["Y"] - exact)
    assert (off <= float_tolerance(nest, **arrays)["Y"]).all()


def test_an_argument_for_which_nobody_asks_may_be_left_out():
    nest = kernels.pointwise_chain(4)
    x = np.float32([-2, -1, 0, 1])
    assert run(nest, X=x, Y=np.zeros(4, np.float32))["Y"].tolist() == [0, 0, 1, 3]


# ---- numbers


@given(st.integers(-(2**70), 2**70), st.sampled_from(["i8", "i32", "i64", "u64"]))
def test_wrapping_is_numpys_cast(value, dtype):
    numpys = {"i8": np.int8, "i32": np.int32, "i64": np.int64, "u64": np.uint64}[dtype]
    assert wrap(value, dtype) == int(np.uint64(value % 2**64).astype(numpys))


# ---- tolerances


def test_any_two_orders_of_a_sum_lie_within_the_tolerance():
    generator = np.random.default_rng(0)
    for terms in (2, 10, 1000):
        a, b = generator.normal(size=(2, terms)).astype(np.float32)
        bound = summation_tolerance(terms, float(np.abs(a * b.astype(float)).sum()), "f32")
        sums = []
        for _ in range(10):
            order, total = generator.permutation(terms), np.float32(0)
            for at in order:
                total = np.float32(total + a[at] * b[at])
            sums.append(float(total))
        assert max(sums) - min(sums) <= bound
    with pytest.raises(ValueError, match="terms must be from 0 to 16777216"):
        summation_tolerance(2**24, 1.0, "f32")


def test_the_bound_holds_the_exact_value_and_is_not_far_above():
    """Each of 16 products and 16 sums rounds once, each by at most u times the magnitude."""
    nest = kernels.matmul(4, 4, 16)
    arrays = random_arguments(nest, seed=4)
    exact = arrays["C"].astype(float) + arrays["A"].astype(float) @ arrays["B"].astype(float)
    off, bound = np.abs(run(nest, **arrays)["C"] - exact), float_tolerance(nest, **arrays)["C"]
    assert (off <= bound).all()
    magnitude = np.abs(arrays["C"]) + np.abs(arrays["A"]).astype(float) @ np.abs(arrays["B"])
    assert (bound <= 2 * 34 * unit_roundoff("f32") * magnitude).all()


def test_a_division_by_what_may_be_zero_has_no_bound():
    body = Statement("S0", "y", (affine("i"),), Op("/", (Constant(1), Load("y", (affine("i"),)))))
    program = Program("inverse", (Buffer("y", (2,)),), (one(body, trips=2),))
    bound = float_tolerance(program, y=np.float32([0, 2]))["y"]
    assert bound[0] == np.inf and 0 < bound[1] < 1e-6


# ---- what is refused

READ = one(Statement("S0", "y", (affine("i"),), Load("x", (affine("i") - 1,))))
LOCAL = one(Statement("S0", "y", (affine("i"),), Load("t", (affine("i"),))))
COPY = one(Statement("S0", "y", (affine("i"),), Load("x", (affine("i"),))))
X, Y, T = Buffer("x", (4,)), Buffer("y", (4,)), Buffer("t", (4,), scope="scratch")
ZEROS = np.zeros(4, np.float32)
MATMUL = kernels.matmul(2, 3, 4)
WHOLE = kernels.matmul(2, 2, 2, dtype="i32")
GOOD = random_arguments(MATMUL, 0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: run(Program("p", (X, Y), (READ,)), x=ZEROS, y=ZEROS),
            "S0 touches x[-1] at i=0, but x has shape (4,); change the subscript or the loop's",
        ),
        (
            lambda: run(Program("p", (T, Y), (LOCAL,)), y=ZEROS),
            "S0 reads t[0] at i=0, before anything was written there",
        ),
        (
            lambda: run(MATMUL, A=GOOD["A"], C=GOOD["C"]),
            "matmul needs an array for B; pass B= an array of shape (4, 3) and dtype float32",
        ),
        (lambda: run(MATMUL, **GOOD, D=GOOD["A"]), "matmul has no argument 'D'; it takes C, A, B"),
        (
            lambda: run(MATMUL, **{**GOOD, "A": GOOD["A"].T}),
            "A must have shape (2, 4) and dtype float32, got (4, 2) and float32",
        ),
        (lambda: run(MATMUL, **{**GOOD, "A": GOOD["A"].astype(float)}), "convert it with .astype(np.float32)"),
        (
            lambda: run(Program("p", (X, Buffer("y", (4,), "i32")), (COPY,)), x=ZEROS, y=np.zeros(4, "i4")),
            "S0 stores the floats of x in y, which is i32; give y a float dtype",
        ),
        (lambda: float_tolerance(WHOLE, **random_arguments(WHOLE, 0)), "programs of one float type, got i32"),
    ],
)
def test_what_is_refused(make, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()
