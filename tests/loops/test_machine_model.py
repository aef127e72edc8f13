"""The cost model: counted by hand on small nests, then held against itself where the answer's direction is known."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roofline_bound import roofline_seconds

from mini_lib import native
from mini_lib.loops import conv2d, gauss_seidel, matmul, nest, reduction, softmax, transpose
from mini_lib.loops.caches.cache import Cache
from mini_lib.loops.caches.trace import misses
from mini_lib.loops.ir import Loop
from mini_lib.loops.machine import model
from mini_lib.loops.machine.block import Block, written_out
from mini_lib.loops.machine.estimate import estimate_time
from mini_lib.loops.machine.model import MachineModel, measure_machine_model, this_machine
from mini_lib.loops.machine.sample import quick_misses
from mini_lib.loops.machine.traffic import Traffic, jump_share, mean_trips, traffic
from mini_lib.loops.machine.work import Work

# round numbers, so that every expected value can be worked out in the head
MACHINE = MachineModel(
    caches=(Cache(1024, 2), Cache(8192, 4)),
    stream_cycles=(2, 10),
    jump_cycles=(4, 40),
    back_cycles=(6, 50),
    frequency_hz=1e9,
    vector_bytes=32,
    vector_registers=16,
    issue=4,
    loads=2,
    stores=1,
    arithmetic=2,
    latency_cycles=4,
    vector_latency_cycles=4,
    forward_cycles=5,
    entry_cycles=5,
    window=100,
)
SAXPY = nest("for i in range(n):\n    y[i] += 3 * x[i]", n=1024)


def kinds(program, machine=MACHINE):
    work = estimate_time(program, machine).work
    return work.loads, work.stores, work.arithmetic


def test_saxpy_is_two_loads_one_store_two_operations_each():
    assert kinds(SAXPY) == (2048, 1024, 2048)


def test_eight_lanes_take_an_eighth_of_the_instructions():
    assert kinds(SAXPY.split("i", 8).vectorize("i.i")) == (256, 128, 256)


def test_sixteen_lanes_on_a_machine_with_eight_save_nothing_more():
    assert kinds(SAXPY.split("i", 16).vectorize("i.i")) == (256, 128, 256)


def test_lanes_that_do_not_lie_side_by_side_are_collected_one_by_one():
    loads, stores, moves = kinds(transpose(8, 8).vectorize("n"))
    assert (loads, stores, moves) == (8, 64, 64)  # a row at once; 8 stores a row, each taken out of the vector


def test_a_register_buffer_is_not_loaded_or_stored():
    summed = matmul(2, 2, 8).cache_write("C", at="n", scope="register")
    loads, stores, arithmetic = kinds(summed)
    assert (loads, stores) == (4 + 2 * 32, 4)  # C once each; A and B for all of 2*2*8 products
    assert arithmetic == 64


def test_more_register_buffers_than_registers_go_to_memory_in_part():
    def tile(rows):
        nest = matmul(rows, 8, 8).reorder("k m n").vectorize("n").unroll("m")
        body = nest.split("k", 8).cache_write("C", at="k.o", scope="register")
        return kinds(body)[1]

    assert tile(8) == 8  # 8 of 16 registers: only the copy back
    assert tile(64) > 64  # 13 are free for 64: most are stored in each round


def test_lanes_across_register_variables_are_put_in_and_taken_out_one_by_one():
    wide = matmul(8, 4, 8).reorder("k n m").split("k", 8).vectorize("m")
    apart = wide.unroll("n").cache_write("C", at="k.o", scope="register")
    # 8 rounds: 8 lanes of A in, then 4 times product and sum, and 8 lanes of C in and out
    assert kinds(apart)[2] == 8 * (8 + 4 * (2 + 8 + 8))


def test_what_unrolled_copies_share_is_loaded_once_into_a_register():
    jammed = matmul(4, 4, 8).unroll_and_jam("n", 4).cache_write("C", at="n.o", scope="register")
    loads, _, _ = kinds(jammed)
    assert loads == 16 + 4 * 8 * (4 + 1)  # C; then B four times and A once for each of 4*8 rounds


def test_a_store_that_may_overlap_makes_copies_load_again():
    shared = matmul(4, 4, 8).unroll_and_jam("n", 4)  # C is in memory: it may be A, as far as C's rules go
    loads, _, _ = kinds(shared)
    assert loads == 4 * 8 * (4 + 4 + 4)


def test_a_guard_is_a_compare_and_a_jump():
    plain, guarded = nest("for i in range(9):\n    y[i] = x[i]"), None
    guarded = plain.split("i", 4, guard=True)
    inner = guarded.body[0].body[0]
    copies, _ = written_out(inner.body)
    with_guard = Block(guarded, MACHINE, copies, inner).work()
    copies, _ = written_out(plain.body[0].body)
    without = Block(plain, MACHINE, copies, plain.body[0]).work()
    assert with_guard.other - without.other == 2


def test_a_sum_in_memory_waits_for_store_and_addition_each_time():
    wide_window = replace(MACHINE, window=1)  # nothing overlaps
    cost = estimate_time(reduction(1000), wide_window)
    assert cost.chain_cycles + cost.issue_cycles + cost.loop_cycles == 1000 * (4 + 5) + 5
    assert cost.bound == "chain"


def test_a_sum_in_a_register_waits_for_the_addition_only():
    one = nest("for j in range(1):\n    for i in range(n):\n        s[j] += x[i]", n=1000)
    cost = estimate_time(one.cache_write("s", at="j", scope="register"), MACHINE)
    # 1000 additions of 4 cycles; the loops' two entries, and the outer loop's round of 2 instructions at 4 a cycle
    # with the copies of s: 1 load, 1 store, 1 store a cycle at most
    assert cost.core_cycles == 1000 * 4 + 5 + 5 + 1 + 0.5


@given(st.sampled_from([1, 2, 4, 8]))
@settings(deadline=None, max_examples=4)
def test_independent_sums_hide_the_latency(sums):
    rows = nest("for i in range(64):\n    for j in range(8):\n        s[j] += x[i, j]")
    part = rows.split("j", sums).reorder("j.o i j.i").unroll("j.i")
    part = part.cache_write("s", at="j.o", scope="register")
    cost = estimate_time(part, replace(MACHINE, window=1))
    # the chain of 64 rounds is the same 4 cycles a round however many sums go along with it
    rounds = 64 * (8 // sums)
    throughput = rounds * max(4.0, sums / 2, (2 * sums + 1 + 2) / 4)
    # the entries, and the outer rounds with their copies of s
    entries = 5 + (8 // sums) * (5 + max(sums, 0) + 0.5 + 0.5)
    assert throughput <= cost.core_cycles <= throughput + entries + 8


def test_a_chain_that_the_next_entry_goes_on_with_is_not_hidden_by_the_window():
    same = nest("for a in range(64):\n    for i in range(4):\n        s[0] += x[a, i]")
    other = nest("for a in range(64):\n    for i in range(4):\n        s[a] += x[a, i]")
    assert estimate_time(same, MACHINE).chain_cycles > 2 * estimate_time(other, MACHINE).chain_cycles


def test_a_recurrence_over_distance_two_waits_half_as_long():
    def chain(distance):
        program = nest(f"for i in range({distance}, 64):\n    a[i] = a[i - {distance}] + 1")
        copies, _ = written_out(program.body[0].body)
        return Block(program, MACHINE, copies, program.body[0]).chain_cycles()

    assert chain(1) == 9  # add 4, forward 5
    assert chain(2) == 4.5
    assert Block(SAXPY, MACHINE, written_out(SAXPY.body[0].body)[0], SAXPY.body[0]).chain_cycles() == 0


def test_unrolling_saves_counters_and_jumps():
    rolled, unrolled = (estimate_time(SAXPY, MACHINE), estimate_time(SAXPY.split("i", 4).unroll("i.i"), MACHINE))
    assert unrolled.work.other < rolled.work.other / 2
    assert kinds(SAXPY.split("i", 4).unroll("i.i")) == (2048, 1024, 2048)


def test_a_parallel_loop_is_shared_among_cores_and_costs_a_fork():
    four = replace(MACHINE, cores=4)
    big = matmul(256, 16, 16)
    shared, alone = estimate_time(big.parallelize("m"), four), estimate_time(big, four)
    assert alone.core_cycles / 4 < shared.core_cycles < alone.core_cycles / 4 + 11_000
    assert shared.work == alone.work


def test_traffic_of_a_copy_is_its_lines_once_and_none_of_them_jumps():
    copied = traffic(nest("for i in range(n):\n    y[i] = x[i]", n=4096), MACHINE)
    # 2 * 256 lines; of y's 256 changed ones all but the cache's own 16 (at most) have gone down
    assert copied.fills == (512, 512) and copied.jump_share == copied.back_share == 0
    assert 256 - 16 <= copied.write_backs[0] <= 256


def test_arrays_that_fit_stay_in_the_cache_from_run_to_run():
    small = traffic(nest("for i in range(n):\n    y[i] = x[i]", n=64), MACHINE)
    assert small.fills == (0, 0)  # 512 bytes in 1024


def test_down_a_column_every_line_is_a_jump():
    assert jump_share(transpose(256, 256)) == pytest.approx(16 / 17)
    assert jump_share(transpose(256, 256), stores_only=True) == 1
    assert jump_share(transpose(256, 256).reorder("n m"), stores_only=True) == 0


def test_tiles_make_short_runs_and_packing_makes_long_ones():
    tiled = matmul(64, 64, 64).tile("m n", 16).reorder("m.i k n.i")
    packed = tiled.cache_read("B", at="n.o")

    def jumps(program, buffer):
        from mini_lib.loops.machine.traffic import _runs

        return [
            _runs(program, load, leaf)[0]
            for leaf in program.leaves
            for load in leaf.statement.loads
            if load.buffer == buffer
        ]

    assert jumps(tiled, "B") == [64]  # 16 floats, then the next row
    assert jumps(packed, "B.scratch") == [64 * 64]


def test_a_line_costs_what_the_machine_says():
    moved = Traffic((10, 4), (5, 1), jump_share=0.5, back_share=1.0)
    assert moved.cycles(MACHINE) == (10 * 3 + 5 * 6, 4 * 25 + 1 * 50)


def test_the_sample_stands_for_the_whole():
    program = matmul(64, 64, 64)
    whole, part = traffic(program, MACHINE, sample=None), traffic(program, MACHINE, sample=100_000)
    for a, b in zip(whole.fills, part.fills, strict=True):
        # the rest repeats the sampled rows but for the lines that are fetched once: 3 arrays of 256 lines
        assert abs(a - b) <= max(3 * 256, 0.05 * a)


def test_padding_pays_where_rows_fall_into_one_set():
    column = transpose(64, 256).reorder("n m")  # rows of 1024 bytes, a cache of 1024: one set
    padded = column.pad("A", axis=1, elements=16)
    assert estimate_time(padded, MACHINE).cycles < estimate_time(column, MACHINE).cycles / 2


def test_triangles_count_half():
    triangle = nest("for i in range(9):\n    for j in range(i + 1):\n        a[i] += b[i, j]")
    loops = triangle.leaves[0].loops
    assert all(isinstance(loop, Loop) for loop in loops)
    assert mean_trips(loops) == [9, 5]
    assert kinds(triangle)[1] == 45


def test_roofline_is_the_larger_of_arithmetic_and_bytes():
    machine = replace(MACHINE, arithmetic=2)  # 2 * 8 lanes at 1 GHz; 64 bytes in 10 cycles
    assert roofline_seconds(matmul(64, 64, 64), machine) == pytest.approx(2 * 64**3 / 16e9)
    assert roofline_seconds(transpose(64, 64), machine) == pytest.approx(2 * 64 * 64 * 4 / 6.4e9)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda mm: mm,
        lambda mm: mm.reorder("m k n"),
        lambda mm: mm.split("n", 8).reorder("m n.o k n.i").vectorize("n.i"),
        lambda mm: mm.unroll_and_jam("m", 4),
    ],
)
def test_no_schedule_beats_the_roofline(schedule):
    nest = schedule(matmul(32, 32, 32))
    assert estimate_time(nest, MACHINE).seconds >= 2 * 32**3 / MACHINE.peak_flops_per_s


PROGRAMS = [
    matmul(12, 16, 8).tile("m n", 4).fuse("m.o n.o"),
    matmul(8, 16, 8).reorder("m k n").split("n", 8).vectorize("n.i"),
    matmul(8, 16, 8).split("n", 8).reorder("m n.o k n.i").vectorize("n.i").cache_read("B", at="n.o"),
    transpose(20, 20).split("n", 8, guard=True).vectorize("n.i"),
    transpose(16, 16).split("n", 8).vectorize("n.i"),
    gauss_seidel(12, 12).skew("j", by="i").reorder("j.s i"),
    softmax(6, 16),
    conv2d(4, 2, 6, 6).cache_write("Y", at="x", scope="register"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_the_walked_table_sees_what_the_compiled_program_sees(program):
    levels = Cache(512, 2), Cache(4096, 4)
    assert quick_misses(program, *levels) == misses(program, *levels)


def test_without_a_compiler_the_misses_are_counted_in_python(monkeypatch):
    expected = quick_misses(PROGRAMS[0], Cache(512, 2))

    def none():
        raise native.NoCompiler("none")

    monkeypatch.setattr(native, "find_compiler", none)
    assert quick_misses(PROGRAMS[0], Cache(512, 2)) == expected


@pytest.mark.parametrize(
    "given_, message",
    [
        ({"stream_cycles": (1.0,)}, "stream_cycles must have a cost for each of the 2 caches"),
        ({"jump_cycles": (1.0, 0.0)}, "each of jump_cycles must be a finite number above 0"),
        ({"frequency_hz": 0}, "frequency_hz must be a finite number above 0, got 0"),
        ({"window": -1}, "window must be a whole number of 1 or more"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(given_, message):
    with pytest.raises(ValueError, match=message):
        MachineModel(**given_)


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(ValueError, match="sample must be 1 access or more"):
        traffic(SAXPY, MACHINE, sample=0)


def test_this_machine_is_one_that_can_be():
    machine = this_machine()
    assert machine.cores >= 1 and len(machine.caches) in (1, 2)
    measured = measure_machine_model()  # the numbers are the machine's; only their form is asserted
    assert measured.caches == machine.caches and measured is measure_machine_model()


def test_work_adds_up_and_its_busiest_unit_decides():
    work = Work(loads=4, stores=3, arithmetic=2)
    assert (work + work).instructions == (work * 2).instructions == 18
    assert Work(loads=4).cycles(MACHINE) == 2 and Work(stores=3).cycles(MACHINE) == 3
    assert Work(other=8).cycles(MACHINE) == 2


def test_the_estimate_says_what_binds():
    text = str(estimate_time(transpose(64, 64), MACHINE))
    assert "bound by memory" in text and "cycles" in text


@pytest.mark.parametrize(
    ("processor", "has", "expected"),
    [
        ("AMD64", {"__AVX512F__", "__AVX__"}, (64, 32)),
        ("x86_64", {"__AVX__"}, (32, 16)),
        ("x86_64", set(), (16, 16)),
        ("i686", None, (16, 16)),
        ("arm64", set(), (16, 32)),
    ],
)
def test_an_x86_machine_is_one_without_linux_too(processor, has, expected, monkeypatch, tmp_path):
    """Where there is no /proc/cpuinfo, the compiler says what the processor can do; without a compiler, the least."""

    def has_instructions(name):
        if has is None:
            raise native.NoCompiler("none")
        return name in has

    monkeypatch.setattr(model, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(model.platform, "machine", lambda: processor)
    monkeypatch.setattr(model.native, "has_instructions", has_instructions)
    machine = this_machine()
    assert (machine.vector_bytes, machine.vector_registers) == expected
