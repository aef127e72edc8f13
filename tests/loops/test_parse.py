"""Nests from functions and from text: what is read, and each refusal with its line."""

import numpy as np
import pytest

from mini_lib.loops import kernels, nest
from mini_lib.loops.ir import Buffer
from mini_lib.loops.meaning.interpret import random_arguments, run


def fir(y, x, w, N, T):
    """A filter, with a docstring that is no statement."""
    for i in range(N):
        for t in range(T):
            y[i] += w[t] * x[i + t]


def test_a_function_is_read_with_its_arguments_order_and_the_smallest_shapes():
    program = nest(fir, N=6, T=3)
    assert program.name == "fir"
    assert [(b.name, b.shape) for b in program.buffers] == [("y", (6,)), ("x", (8,)), ("w", (3,))]
    assert str(program) == "for i in range(6):\n    for t in range(3):\n        y[i] += w[t] * x[i + t]"


KERNELS = {
    "matmul": (kernels.matmul(4, 5, 3, dtype="i64"), kernels._matmul, (4, 5, 3)),
    "conv2d": (kernels.conv2d(2, 3, 4, 5, dtype="i64"), kernels._conv2d, (2, 3, 4, 5, 3)),
    "depthwise": (kernels.depthwise_conv2d(2, 4, 5, dtype="i64"), kernels._depthwise_conv2d, (2, 4, 5, 3)),
    "transpose": (kernels.transpose(4, 5, dtype="i64"), kernels._transpose, (4, 5)),
    "mttkrp": (kernels.mttkrp(2, 3, 4, 5, dtype="i64"), kernels._mttkrp, (2, 3, 4, 5)),
    "reduction": (kernels.reduction(7, dtype="i64"), kernels._reduction, (7,)),
    "pointwise": (kernels.pointwise_chain(7, dtype="i64"), kernels._pointwise_chain, (7,)),
    "jacobi": (kernels.jacobi(6, 7, dtype="f64"), kernels._jacobi, (6, 7)),
    "gauss_seidel": (kernels.gauss_seidel(6, 7, dtype="f64"), kernels._gauss_seidel, (6, 7)),
    "softmax": (kernels.softmax(3, 4, dtype="f64"), kernels._softmax, (3, 4)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_nest_does_what_python_does_with_the_very_same_function(name):
    program, function, sizes = KERNELS[name]
    arrays = random_arguments(program, seed=1)
    if program.buffers[0].dtype == "i64":  # numbers that stay small, so that Python's `max` means the same
        arrays = {key: array % 100 for key, array in arrays.items()}
    expected = {key: array.copy() for key, array in arrays.items()}
    function(*(expected[buffer.name] for buffer in program.buffers), *sizes)
    got = run(program, **arrays)
    for output in program.outputs:
        # float64 in the same order of operations: the same digits, apart from the last of exp
        np.testing.assert_allclose(got[output], expected[output], rtol=1e-15, atol=0)


def test_softmax_is_that_of_numpy():
    program = kernels.softmax(3, 4, dtype="f64")
    x = np.random.default_rng(0).normal(size=(3, 4))
    arrays = {b.name: np.zeros(b.shape) for b in program.arguments} | {"X": x}
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    # about 10 roundings of 2**-53 each on the way
    np.testing.assert_allclose(run(program, **arrays)["Y"], expected, rtol=1e-14)


def test_guards_and_triangles_are_read():
    program = nest("for i in range(4):\n  for j in range(i + 1):\n    if i + j < 5 and j >= 1:\n      A[i, j] = 1")
    assert "if i + j < 5 and j >= 1: A[i, j] = 1" in str(program)
    assert program.buffer("A").shape == (4, 3) and run(program, A=np.zeros((4, 3), "float32"))["A"].sum() == 4


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "for i in range(4):\n  A[i * i] = 1",
            r"line 2, `i \* i`: a subscript must be affine .* rewrite it with more loops",
        ),
        ("for i in range(4):\n  A[i // 2] = 1", "must be affine"),
        ("for i in range(4):\n  A[B[i]] = 1", "must be affine"),
        ("for i in range(0):\n  A[i] = 1", r"line 1, .*the loop i never runs: its range is from 0 to 0"),
        ("for i in range(5, 2):\n  A[i] = 1", "never runs"),
        (
            "for i in range(4):\n  A[i] = A[i - 1]",
            "reaches -1, below its first element 0; start the loop later or guard",
        ),
        ("for i in range(4):\n  if i > 7:\n    A[i] = 1", "this line never runs"),
        (
            "for i in range(4):\n  A[i] = 1\nfor i in range(4):\n  B[i] = 1",
            "i is used already; give the loop a name of its own",
        ),
        ("for i in range(0, 8, 2):\n  A[i] = 1", "a loop goes up by 1: multiply the subscript"),
        ("for i in [1, 2]:\n  A[i] = 1", "a loop is written `for name in range"),
        ("while True:\n  A[0] = 1", "a nest is made of `for name in range"),
        ("for i in range(4):\n  A[i] = j", "a value is made of array elements"),
        ("for i in range(4):\n  A[j] = 1", r"j is neither a loop around this line \(i\) nor a size \(none\)"),
        ("for i in range(4):\n  A[i] = exp(A[i], 2)", "exp takes 1 arguments here"),
        (
            "for i in range(4):\n  A[i, i] = A[i]",
            "A has 2 subscripts elsewhere and 1 here|A has 1 subscripts elsewhere and 2",
        ),
        ("for i in range(4):\n  A[i][0] = 1", "write all subscripts in one pair of brackets"),
        ("for i in range(4):\n  x = 1", "only elements of arrays are assigned to"),
        ("for i in range(4):\n  if i != 2:\n    A[i] = 1", "compares with <, <=, >, >= or =="),
        ("for i in range(4):\n  pass", "a nest is made of"),
    ],
)
def test_what_is_no_nest_is_refused_with_its_line(text, message):
    with pytest.raises(ValueError, match=message):
        nest(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("(" * 300 + ")" * 300, "the text must be Python, and cannot be read"),
        ("-" * 5000 + "x", "the text must be Python, and cannot be read"),
        ("for i in range(4):\n  A[i] = " + " + ".join(["B[i]"] * 500), "nested more than 100 levels deep"),
        ("for i in range(4)\n  A[i] = 1", r"line 1: the text must be Python, and cannot be read \(expected ':'\)"),
        ("A[0] = 1\0", "null bytes"),
        ("\ud800", "cannot be read"),
        ("for i in range(" + "9" * 400 + "):\n  A[i] = 1", "a bound must fit into 64 bits"),
        ("for i in range(" + "9" * 5000 + "):\n  A[i] = 1", "cannot be read"),
        ("for i in range(4, x=1):\n  A[i] = 1", "a loop goes up by 1"),
        ("for i in range(4):\n  A[i] = True", "a value is made of array elements"),
        ("for i in range(4):\n  A[i] = 1j", "a value is made of array elements"),
        ("for i in range(4):\n  A[()] = 1", "every axis needs at least one element"),
        ("", "holds no assignment"),
    ],
)
def test_what_python_or_nobody_can_read_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        nest(text)


@pytest.mark.parametrize("source", [None, 5, len, b"A[0] = 1", ["A[0] = 1"]])
def test_a_source_is_a_text_or_a_function(source):
    with pytest.raises(TypeError, match="source must be a text or a function of Python with its text, got"):
        nest(source)


def test_numbers_of_numpy_and_one_temporary_are_taken():
    program = nest("for i in range(n):\n  T[i] = 1\nfor j in range(n):\n  A[j] = T[j]", n=np.int8(100), temporaries="T")
    assert program.buffer("A").shape == (100,) and program.outputs == ("A",)
    assert nest("for i in range(3):\n  A[i] = 1", shapes={"A": np.array([4]).tolist()}).buffer("A").shape == (4,)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dtype": {"Z": "i8"}}, "Z is not an array of nest; it has A"),
        ({"n": 4}, "n is not a size of nest; it has none"),
        ({"n": 10**400}, "size n must fit into 64 bits, got a number of 401 digits"),
        ({"shapes": {"A": (0,)}}, r"shapes\['A'\] must be a whole number of 1 or more, got 0"),
        ({"dtype": {"A": ["i8"]}}, r"dtype \['i8'\]; use one of"),
        (
            {"shapes": {"A": (4,)}},
            r"A\[i\] reaches index 8 on axis 0, but A has only 4 elements there; shorten the loop",
        ),
        ({"shapes": {"A": (9, 9)}}, "A is used with 1 subscripts, but shapes says"),
        ({"shapes": {"Z": (9,)}}, "Z is not an array of nest; it has A"),
        ({"temporaries": ["Q"]}, "Q is not an array of nest; it has A"),
        ({"n": 0}, "size n must be a whole number of 1 or more, got 0"),
        ({"dtype": "f16"}, "dtype 'f16'; use one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nest("for i in range(9):\n  A[i] = 1", **options)


def test_a_triangle_may_use_a_corner_that_its_box_would_leave():
    program = nest("for i in range(4):\n  for j in range(i + 1):\n    B[i - j] = 1", shapes={"B": (4,)})
    assert program.buffer("B").shape == (4,)  # a box of i and j would reach -3


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("A", (0, 4)), "every axis needs at least one element"),
        (("A", (4, 4), "f32", (4,)), "give one stride of 1 or more for each axis"),
        (("A", (4, 4), "f32", (3, 1)), "puts two elements in one place; an axis needs a stride of at least 4"),
        (("A", (4,), "f32", (1,), "cloud"), "scope 'cloud'; use one of memory, scratch, register"),
    ],
)
def test_a_buffer_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Buffer(*arguments)
