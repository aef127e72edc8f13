"""Traces: by hand, against Python on arrays that take notes, and fast against plain."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from random_programs import programs
from test_interpret import SIZES, arguments

from mini_lib import native
from mini_lib.loops import kernels, matmul, transpose
from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.caches.cache import Cache, simulate_plain
from mini_lib.loops.caches.count import count_accesses
from mini_lib.loops.caches.trace import _record, default_bases, misses, trace, trace_plain
from mini_lib.loops.ir import Buffer, Load, Loop, Op, Program, Statement

SMALL = (Cache(256, ways=2, line_bytes=32), Cache(1024, ways=4, line_bytes=32))


class Notes:
    """An array of zeros that notes the byte address of each element that is read or written."""

    def __init__(self, buffer, base, log):
        self.buffer, self.base, self.log = buffer, base, log

    def at(self, index, is_write):
        index = index if isinstance(index, tuple) else (index,)
        offset = sum(i * stride for i, stride in zip(index, self.buffer.strides, strict=True))
        size = self.buffer.element_bytes
        self.log.append((self.base + size * offset, size, is_write))

    def __getitem__(self, index):
        self.at(index, False)
        return 0.0

    def __setitem__(self, index, value):
        self.at(index, True)


class Ones(Notes):
    """The same with ones."""

    def __getitem__(self, index):
        return super().__getitem__(index) + 1.0


def listed(found):
    columns = (found.addresses, found.sizes, found.writes)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def nested(loops, *body):
    for name, trips, kind in reversed(loops):
        body = (Loop(name, (Affine(),), (Affine((), trips),), tuple(body), kind),)
    return tuple(body)


# ---- by hand


def test_a_product_of_two_by_hand():
    """C at 0, A at 64, B at 128. For each k: C[0], A[k], B[k], then C[0] again."""
    assert listed(trace(matmul(1, 1, 2))) == [
        (0, 4, False),
        (64, 4, False),
        (128, 4, False),
        (0, 4, True),
        (0, 4, False),
        (68, 4, False),
        (132, 4, False),
        (0, 4, True),
    ]


def test_lanes_by_hand():
    """Four lanes of y[i] = x[0] + x[i] + x[6 - 2i]: one element, a wide one, four, a wide one."""
    i = affine("i")
    value = Op("+", (Op("+", (Load("x", (Affine(),)), Load("x", (i,)))), Load("x", (6 - 2 * i,))))
    body = nested([("i", 4, "vector")], Statement("S0", "y", (i,), value))
    program = Program("lanes", (Buffer("y", (4,)), Buffer("x", (8,))), body)
    x = default_bases(program)["x"]
    assert listed(trace(program)) == [
        (x, 4, False),
        (x, 16, False),
        (x + 24, 4, False),
        (x + 16, 4, False),
        (x + 8, 4, False),
        (x, 4, False),
        (0, 16, True),
    ]


def test_a_guard_on_lanes_makes_scalars():
    """Lanes 0 and 1 of 4 hold: both load before both store."""
    i = affine("i")
    statement = Statement("S0", "y", (i,), Load("x", (i,)), guards=(1 - i,))
    body = nested([("i", 4, "vector")], statement)
    program = Program("some", (Buffer("y", (4,)), Buffer("x", (4,))), body)
    assert listed(trace(program)) == [(64, 4, False), (68, 4, False), (0, 4, True), (4, 4, True)]
    assert count_accesses(program) == 4


def test_registers_and_skipped_statements_leave_no_trace():
    nest = matmul(2, 2, 4).reorder("m n k").cache_write("C", at="n", scope="register")
    # for each of 4 elements: load C, 4 times A and B, store C
    assert count_accesses(nest) == len(trace(nest)) == 4 * (1 + 8 + 1)
    i = affine("i")
    never = Statement("S0", "y", (i,), Load("y", (i,)), guards=(i - 9,))
    program = Program("never", (Buffer("y", (4,)),), nested([("i", 4, "serial")], never))
    assert len(trace(program)) == count_accesses(program) == 0


def test_bases_padding_and_order_of_axes_decide_the_addresses():
    nest = transpose(2, 2).pad("A", axis=1, elements=2).layout("B", (1, 0))
    found = trace(nest, {"A": 1000, "B": 2000})
    # A[m, n] at 1000 + 4*(4m + n); B[n, m] at 2000 + 4*(n + 2m)
    assert found.addresses.tolist() == [1000, 2000, 1004, 2004, 1016, 2008, 1020, 2012]


# ---- against Python itself


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_python_touches_the_same_elements_in_the_same_order(name, dtype):
    make, sizes = SIZES[name]
    nest, log = make(dtype), []
    notes = {b.name: Notes(b, default_bases(nest)[b.name], log) for b in nest.buffers}
    function, values = arguments(nest, sizes, notes)
    function(*values)
    assert listed(trace(nest)) == log


def test_the_chain_of_softmax_too():
    nest, log = kernels.softmax(3, 4), []
    notes = {b.name: Notes(b, default_bases(nest)[b.name], log) for b in nest.buffers}
    notes["S"].__class__ = Ones  # the last nest divides by S
    function, values = arguments(nest, {"M": 3, "N": 4}, notes)
    function(*values)
    assert listed(trace(nest)) == log


# ---- the fast ways against the plain one


@settings(max_examples=60)
@given(programs(dtypes=("i8", "f32", "f64")))
def test_counting_equals_walking(program):
    assert count_accesses(program) == len(list(trace_plain(program, default_bases(program))))


@settings(max_examples=40)
@given(programs(dtypes=("i8", "f32", "f64")))
def test_compiled_loops_equal_the_plain_trace(program):
    bases = default_bases(program)
    expected = simulate_plain(trace(program, bases), SMALL).levels
    assert misses(program, *SMALL, bases=bases) == expected


@settings(max_examples=30)
@given(programs(dtypes=("i8", "f64")))
def test_a_recorded_trace_is_the_plain_one(program):
    bases = default_bases(program)
    expected = list(trace_plain(program, bases))
    assert listed(_record(program, bases, len(expected))) == expected


def test_long_traces_are_recorded():
    nest = transpose(128, 128).tile("m n", 8)  # longer than what plain Python is asked for
    assert listed(trace(nest)) == list(trace_plain(nest, default_bases(nest)))


def test_counting_is_fast_where_nothing_depends_on_the_loops():
    assert count_accesses(matmul(4096, 4096, 4096).tile("m n k", 32)) == 4 * 4096**3
    # each row m of the lower triangle: m + 1 times load and store
    body = Statement("S0", "y", (affine("n"),), Load("y", (affine("n"),)))
    triangle = Loop("n", (Affine(),), (affine("m") + 1,), (body,))
    rows = nested([("m", 100, "serial")], triangle)
    assert count_accesses(Program("triangle", (Buffer("y", (100,)),), rows)) == 100 * 101


def test_without_a_compiler_python_does_it(monkeypatch):
    nest = matmul(8, 8, 8).tile("m n", 4)
    fast = misses(nest, *SMALL)

    def none():
        raise native.NoCompiler("no C compiler works")

    monkeypatch.setattr(native, "find_compiler", none)
    assert misses(nest, *SMALL) == fast


# ---- what is refused


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: trace(matmul(512, 512, 512)),
            "matmul makes 536,870,912 accesses, and a trace holds 20,000,000 at most; trace it at "
            "smaller sizes, or count with misses(), which keeps no trace",
        ),
        (lambda: trace(matmul(2, 2, 2), limit=31), "matmul makes 32 accesses, and a trace holds 31 at most"),
        (lambda: misses(matmul(2, 2, 2), *SMALL, bases={"A": 0}), "bases has no address for C, B"),
        (lambda: misses(matmul(2, 2, 2)), "levels must be 1 to 3 caches, got 0"),
    ],
)
def test_what_is_refused(make, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()


def test_the_trace_is_arrays():
    found = trace(matmul(2, 2, 2))
    dtypes = (found.addresses.dtype, found.sizes.dtype, found.writes.dtype)
    assert dtypes == (np.int64, np.int32, np.bool_)
