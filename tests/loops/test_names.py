"""Any name of Python works in C: keywords, macros, functions of the library, our own helpers, the kernel's own name."""

import re
import subprocess

import numpy as np
import pytest

from mini_lib import native
from mini_lib.loops import Cache, compile_nest, matmul, misses, nest, to_c, trace
from mini_lib.loops.codegen.names import Names

# of each kind some, as the function, as an array and as a loop at once
WORDS = """
    linux unix _Bool bool int default INT32_MAX INT_MAX M_PI NAN __x__ _A sin expf y0 memset memcpy malloc times printf
    index load_f32x8 max_f32 floor_div state_ touch_all cachesim_touch uint32_t INLINE x x_2 a0 n é
"""


def preprocessed(*options):
    done = subprocess.run(
        [*native.find_compiler().command, *options, "-E", "-include", "stdint.h", "-include", "math.h", "-x", "c", "-"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return done.stdout


def test_no_macro_and_no_function_of_the_headers_is_left():
    """The compiler itself says what its headers declare."""
    macros = set(re.findall(r"#define (\w+)", preprocessed("-dM")))
    functions = set(re.findall(r"\b([a-z]\w+) \(", preprocessed()))
    assert len(macros) > 100 and "cos" in functions
    names = Names(matmul(1, 1, 1))
    assert not [name for name in macros | functions if names.fresh(name) == name]


def test_ordinary_names_stay():
    names = Names(matmul(1, 1, 1))
    for name in ("alpha", "Y", "m_o", "conv2d", "row_of_a"):
        assert names.fresh(name) == name
    assert names.fresh("alpha") == "alpha_2"


@pytest.mark.parametrize("way", ["function", "array", "loop"])
def test_a_nest_may_use_any_name(way):
    """All the words in one file: y[i] = 2 * x[i] on 1, 2, 3, 4."""
    lines, arrays = [], {"inputs": np.float32([1, 2, 3, 4])}
    for number, word in enumerate(WORDS.split()):
        array, loop = (word if way == "array" else f"out{number}"), (word if way == "loop" else f"row{number}")
        lines += [f"for {loop} in range(4):", f"    {array}[{loop}] = 2 * inputs[{loop}]"]
        arrays[array] = np.zeros(4, np.float32)
    program = nest("\n".join(lines))
    arrays = {buffer.name: arrays[buffer.name] for buffer in program.arguments}
    for result in compile_nest(program)(**arrays).values():
        assert result.tolist() == [2, 4, 6, 8]
    assert misses(program, Cache(1024, ways=2))[0].references == 8 * len(WORDS.split())
    if way == "function":
        for word in ("memset", "linux", "a0", "times", "sin", "x"):
            own = nest(f"def {word}(y):\n    for i in range(4):\n        y[i] = 0")
            assert compile_nest(own, flags=("-O2",))(y=np.ones(4, np.float32))["y"].tolist() == [0, 0, 0, 0]


def test_a_loop_may_be_called_like_the_kernel():
    program = nest("def i(A):\n    for i in range(3):\n        A[i] = 1")
    assert compile_nest(program)(A=np.zeros(3, np.float32))["A"].tolist() == [1, 1, 1]
    assert "void i(float *A)" in to_c(program) and len(trace(program)) == 3


@pytest.mark.parametrize(
    "text",
    [
        "for x in range(4):\n  x[x] = 1",
        "for x in range(4):\n  A[x] = 1\nfor i in range(4):\n  x[i] = 2",
        "for i in range(4):\n  x[i] = 2\nfor x in range(4):\n  A[x] = 1",
    ],
)
def test_a_name_for_two_things_is_refused(text):
    with pytest.raises(ValueError, match="x is (a loop or a size|used) already; give the .* a name of its own"):
        nest(text)
