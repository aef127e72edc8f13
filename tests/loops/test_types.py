"""What integers and floats hold, and what is refused because they do not: in the interpreter and in C alike."""

import numpy as np
import pytest

from mini_lib.loops import compile_nest, kernels, nest, run, to_c
from mini_lib.loops.affine import affine
from mini_lib.loops.ir import Buffer, Constant, Load, Loop, Op, Program, Statement
from mini_lib.loops.meaning.types import require_types

EXACT = ("-O1", "-ffp-contract=off")


def both(text, dtype, **arrays):
    """What the interpreter and compiled C make of y."""
    program = nest(text, dtype=dtype)
    arrays["y"] = np.zeros(program.buffer("y").shape, arrays["x"].dtype)
    plain, compiled = run(program, **arrays)["y"], compile_nest(program, flags=EXACT)(**arrays)["y"]
    assert plain.tobytes() == compiled.tobytes()
    return plain.tolist()


def line(value):
    return f"for i in range(4):\n    y[i] = {value}"


REFUSED = {
    "x[i] / 4": ("i8", "line 2, `y[i] = x[i] / 4`: the statement divides in y, which is i8, and whole numbers "),
    "exp(x[i])": ("i32", "takes exp in y, which is i32, and whole numbers have no exponential here; give y a float"),
    "x[i] * 0.5": ("i64", "has the number 0.5 in y, which is i64, for whole numbers; give y a float dtype"),
    "max(x[i], 1e999)": ("i64", "has the number inf in y, which is i64 and holds -9223372036854775808 to "),
    "x[i] + 128": ("i8", "has the number 128 in y, which is i8 and holds -128 to 127; use another number, or another"),
    "x[i] + -1": ("u64", "has the number -1 in y, which is u64 and holds 0 to 18446744073709551615"),
    "x[i] + " + "9" * 400: ("f64", "has a number of 400 digits, which no float can hold; use a smaller one"),
    "max(x[i], z[i])": (
        {"y": "i8", "x": "i8", "z": "i32"},
        "compares elements of z (i32) in y, which is i8 and cannot",
    ),
    "min(x[i], z[i])": ({"y": "i64", "x": "i64", "z": "u64"}, "give y the dtype 'u64'"),
    "x[i] + z[i]": ({"y": "i8", "x": "i8"}, "stores the floats of z in y, which is i8; give y a float dtype"),
}


@pytest.mark.parametrize("value", REFUSED)
def test_what_a_type_cannot_calculate_is_refused(value):
    dtype, message = REFUSED[value]
    with pytest.raises(ValueError) as refusal:
        nest(line(value), dtype=dtype)
    assert message in str(refusal.value)


def test_a_program_made_by_hand_is_refused_too():
    half = Statement("S0", "y", (affine("i"),), Op("/", (Load("y", (affine("i"),)), Constant(2))))
    program = Program("half", (Buffer("y", (4,), "i8"),), (Loop("i", (affine(0),), (affine(4),), (half,)),))
    y = np.ones(4, np.int8)
    for refused in (lambda: run(program, y=y), lambda: compile_nest(program), lambda: to_c(program)):
        with pytest.raises(ValueError, match="^S0 divides in y, which is i8"):
            refused()
    require_types(Program("half", (Buffer("y", (4,)),), program.body))


@pytest.mark.parametrize("kernel", ["jacobi", "gauss_seidel", "softmax"])
def test_kernels_that_divide_are_for_floats(kernel):
    with pytest.raises(ValueError, match="give . a float dtype"):
        getattr(kernels, kernel)(4, 4, dtype="i32")


def test_small_integers_wrap():
    """100 + 100 is 200 - 256, 16 * 16 is 256 - 256, -128 - 1 is 127, and a comparison sees what has wrapped."""
    x = np.int8([100, 16, -128, -1])
    assert both(line("x[i] + x[i]"), "i8", x=x) == [-56, 32, 0, -2]
    assert both(line("x[i] * x[i]"), "i8", x=x) == [16, 0, 0, 1]
    assert both(line("x[i] - 1"), "i8", x=x) == [99, 15, 127, -2]
    assert both(line("-x[i]"), "i8", x=x) == [-100, -16, -128, 1]
    assert both(line("max(x[i] - 1, -128)"), "i8", x=x) == [99, 15, 127, -2]
    assert both(line("min(x[i], -100)"), "i8", x=x) == [-100, -100, -128, -100]


def test_large_integers_keep_every_digit():
    """2**53 + 1 has no double."""
    x = np.int64([0, 1, 2**62, -1])
    assert both(line(f"x[i] + {2**53 + 1}"), "i64", x=x)[:2] == [2**53 + 1, 2**53 + 2]
    u = np.uint64([0, 1, 2**63, 2**64 - 1])
    assert both(line(f"max(x[i], {2**63})"), "u64", x=u) == [2**63, 2**63, 2**63, 2**64 - 1]
    assert str(nest(line(f"x[i] + {2**53 + 1}"), dtype="i64")).endswith("x[i] + 9007199254740993")


def test_integers_round_once_on_their_way_to_f32():
    """2**60 + 2**36 + 1 lies above the middle of 2**60 and 2**60 + 2**37; a double on the way would lose it."""
    program = nest(line("x[i]"), dtype={"y": "f32", "x": "i64"})
    arrays = {"x": np.int64([2**60 + 2**36 + 1, 2**60 + 2**36, -(2**63), 2**63 - 1]), "y": np.zeros(4, np.float32)}
    for values in (run(program, **arrays)["y"], compile_nest(program)(**arrays)["y"]):
        assert values.tolist() == [2**60 + 2**37, 2**60, -(2**63), 2**63]


def test_a_constant_beyond_f32_is_an_infinity_as_in_c():
    x = np.float32([1, -3.4e38, np.inf, -np.inf])
    assert both(line("max(x[i], -1e39)"), "f32", x=x) == x.tolist()
    assert both(line("min(x[i], 1e39) + 0"), "f32", x=x) == x.tolist()
    assert both(line("max(x[i], 1e39)"), "f32", x=x) == [np.inf] * 4
    assert both(line("x[i] * 1e-50"), "f32", x=x)[:2] == [0, 0]


def test_max_and_min_are_those_of_python_for_nan_and_for_signed_zeros():
    """Of two that do not compare, and of two equal ones, the first stays."""
    values = np.float32([np.nan, 1, 0.0, -0.0])
    x, z = (each.ravel() for each in np.meshgrid(values, values))
    arrays = {"x": x, "z": z, "y": np.zeros(16, np.float32)}
    for name, function in (("max", max), ("min", min)):
        program = nest(f"for i in range(16):\n    y[i] = {name}(x[i], z[i])")
        expected = np.float32([function(a, b) for a, b in zip(x, z, strict=True)])
        for one in (program, program.vectorize("i")):
            assert run(one, **arrays)["y"].tobytes() == expected.tobytes()
            assert compile_nest(one, flags=EXACT)(**arrays)["y"].tobytes() == expected.tobytes()


def test_a_minus_keeps_the_sign_of_zero():
    x = np.float32([0.0, -0.0, 1, -2])
    assert str(both(line("-x[i]"), "f32", x=x)) == "[-0.0, 0.0, -1.0, 2.0]"
    assert str(nest(line("-x[i] * -(x[i] + 3)"))).endswith("y[i] = -x[i] * -(x[i] + 3)")
    assert str(nest(line("-3 - x[i]"))).endswith("y[i] = -3 - x[i]")
