"""The caches: traces worked by hand, pycachesim and cachegrind as oracles, and plain Python against C."""

import ctypes
import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib import native
from mini_lib.loops.caches import cache as cache_module
from mini_lib.loops.caches import fast_cache
from mini_lib.loops.caches.cache import Cache, LevelStats, Trace, check_levels, simulate_plain
from mini_lib.loops.caches.fast_cache import level_stats, new_state, simulate_caches, simulate_compiled

BOTH = pytest.mark.parametrize("run", [simulate_plain, simulate_compiled])


@st.composite
def traces(draw, most=120, sizes=(1, 4, 8, 70, 200), far=2**40):
    """Accesses of a few kilobytes, some of them far away, some across two lines or more."""
    address = st.integers(0, 3000) | st.integers(far, far + 700)
    access = st.tuples(address, st.sampled_from(sizes), st.booleans())
    return Trace.of(draw(st.lists(access, max_size=most)))


@st.composite
def stacks(draw, most=3, line_bytes=(16, 64)):
    """One to three levels; nothing says that a lower level is the larger one."""
    line = draw(st.sampled_from(line_bytes))
    shapes = draw(st.lists(st.tuples(st.sampled_from([1, 2, 4, 16]), st.integers(1, 5)), min_size=1, max_size=most))
    return [Cache(sets * ways * line, ways, line) for sets, ways in shapes]


# --- worked by hand ------------------------------------------------------------------------------------------------


@BOTH
def test_three_lines_in_turns_through_two_ways_miss_each_time(run):
    """Lines 0, 2, 4 of a cache with 2 sets of 2 ways: the line that comes next was evicted just before."""
    stats = run(Trace.of_reads([0, 128, 256] * 5), Cache(256, ways=2)).levels[0]
    assert (stats.references, stats.misses, stats.fills, stats.write_backs) == (15, 15, 15, 0)
    # with a third way they all fit
    assert run(Trace.of_reads([0, 128, 256] * 5), Cache(384, ways=3)).levels[0].misses == 3


@BOTH
def test_a_direct_mapped_conflict(run):
    """4 sets: lines 0 and 4 share one and evict each other, line 1 stays."""
    result = run(Trace.of_reads([0, 64, 256, 64, 0, 64, 256]), Cache(256, ways=1), record=True)
    assert result.served_by.tolist() == [2, 2, 2, 1, 2, 1, 2]
    assert result.served_by.dtype == np.int8


@BOTH
def test_the_least_recently_used_goes_not_the_oldest(run):
    """One set of two ways. 0 1 0 2: 1 goes, since 0 was used again; first in, first out would drop 0."""
    result = run(Trace.of_reads([0, 64, 0, 128, 0, 64]), Cache(128, ways=2), record=True)
    assert result.served_by.tolist() == [2, 2, 1, 2, 1, 2]


@BOTH
def test_a_straddling_access_is_one_reference_and_one_miss(run):
    """Bytes 60 to 67 lie in lines 0 and 1. Both are fetched; afterwards each is there."""
    trace = Trace.of([(60, 8, False), (0, 8, False), (64, 8, False), (124, 8, False), (60, 8, False)])
    result = run(trace, Cache(512, ways=2), record=True)
    assert result.served_by.tolist() == [2, 1, 1, 2, 1]  # the fourth: line 1 is there, line 2 is not
    stats = result.levels[0]
    assert (stats.references, stats.misses, stats.fills) == (5, 2, 3)


@BOTH
def test_the_level_below_sees_the_whole_of_a_straddling_access(run):
    """After lines 0, 2, 4 a first level of 2 x 1 holds 4; line 0 is read across to line 1, and both miss.

    Then 60..67 again hits; then line 0 is evicted by line 2, and 60..67 misses for line 0 alone, but the
    second level is asked for both lines, so that line 1 becomes recent there.
    """
    first, second = Cache(128, ways=1), Cache(128, ways=2)  # second: one set with two lines
    trace = Trace.of([(60, 8, False), (60, 8, False), (128, 8, False), (64, 8, False), (60, 8, False)])
    result = run(trace, [first, second], record=True)
    # second level: {0, 1}; 2 in, 0 out -> {1, 2}; then line 0 in, line 1 or 2 out
    assert result.served_by.tolist() == [3, 1, 3, 1, 3]
    assert [level.references for level in result.levels] == [5, 3]
    # 0, 1, 2 were filled; the last access fills 0 (evicting 1, the oldest) and then 1 again (evicting 2)
    assert result.levels[1].fills == 5


@BOTH
def test_writes_allocate_and_changed_lines_go_down_once(run):
    """A direct-mapped cache of one line: write 0, write 0, read 1 (line 0 goes down), read 0."""
    trace = Trace.of([(0, 8, True), (8, 8, True), (64, 8, False), (0, 8, False)])
    stats = run(trace, Cache(64, ways=1)).levels[0]
    assert stats == LevelStats(Cache(64, 1), reads=2, writes=2, read_misses=2, write_misses=1, fills=3, write_backs=1)
    assert (stats.filled_bytes, stats.written_back_bytes, stats.moved_bytes) == (192, 64, 256)
    assert stats.miss_ratio == 0.75


@BOTH
def test_a_changed_line_goes_through_the_levels(run):
    """First level of one line, second of two in one set.

    write 0; read 1: 0 goes down into the second level, which holds it. read 2: the second level drops 0,
    which is changed, to memory. Write 2, read 3, read 4 (drops 1 and 2 in the second level).
    """
    trace = Trace.of([(0, 8, True), (64, 8, False), (128, 8, False), (128, 8, True), (192, 8, False), (256, 8, False)])
    first, second = run(trace, [Cache(64, 1), Cache(128, 2)]).levels
    assert (first.write_backs, first.dirty_lines) == (2, 0)  # lines 0 and 2
    assert (second.write_backs, second.dirty_lines) == (2, 0)  # both went on
    assert (second.reads, second.writes) == (4, 1)  # the write that missed is a write here too
    assert second.fills == 5


@BOTH
def test_a_changed_line_that_the_level_below_has_dropped_goes_on_to_memory(run):
    """The first level has two lines in one set, the second one line: it forgets line 0 when line 1 comes."""
    trace = Trace.of([(0, 8, True), (64, 8, False), (128, 8, False)])
    first, second = run(trace, [Cache(128, 2), Cache(64, 1)]).levels
    assert first.write_backs == 1 and second.write_backs == 1
    assert second.dirty_lines == 0


@BOTH
def test_what_is_changed_at_the_end_is_said(run):
    stats = run(Trace.of([(0, 8, True), (60, 8, True), (512, 8, False)]), Cache(1024, 2)).levels[0]
    assert (stats.dirty_lines, stats.write_backs) == (2, 0)


@BOTH
def test_no_access_at_all(run):
    result = run(Trace.of([]), [Cache(1024, 2), Cache(2048, 2)], record=True)
    assert [level.references for level in result.levels] == [0, 0]
    assert len(result.served_by) == 0 and result.levels[0].miss_ratio == 0


# --- plain Python and C ---------------------------------------------------------------------------------------------


@given(traces(), stacks())
def test_plain_and_compiled_say_the_same(trace, levels):
    plain, compiled = (simulate_plain(trace, levels, record=True), simulate_compiled(trace, levels, record=True))
    assert plain.levels == compiled.levels
    assert plain.served_by.tolist() == compiled.served_by.tolist()
    assert simulate_compiled(trace, levels).levels == compiled.levels
    assert simulate_compiled(trace, levels).served_by is None is simulate_plain(trace, levels).served_by


def test_plain_and_compiled_say_the_same_of_a_long_trace():
    """Sixty thousand accesses: steps of all sizes through three levels, of which the last has twelve ways."""
    rng = np.random.default_rng(3)
    addresses = np.abs(np.cumsum(rng.integers(-3, 4, 60_000) * 8 ** rng.integers(0, 5, 60_000)))
    trace = Trace(addresses, rng.choice([4, 8, 64], 60_000), rng.random(60_000) < 0.4)
    levels = [Cache(2048, 4), Cache(16 * 1024, 8), Cache(96 * 1024, 12)]
    plain = simulate_plain(trace, levels)
    assert plain.levels == simulate_compiled(trace, levels).levels
    assert all(0.02 < level.miss_ratio < 0.9 and level.write_backs for level in plain.levels)


def test_without_a_compiler_the_plain_one_answers(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    trace = Trace.of_reads([0, 128, 256] * 5)
    assert simulate_caches(trace, Cache(256, ways=2)).levels[0].misses == 15
    with pytest.raises(native.NoCompiler):
        fast_cache._replay.__wrapped__()
    monkeypatch.setattr(cache_module, "MOST_PLAIN_ACCESSES", 14)
    with pytest.raises(ValueError, match="the trace has 15 accesses, and plain Python takes 14 at most; install a C"):
        simulate_caches(trace, Cache(256, ways=2))


def test_a_generated_program_calls_touch_at_each_access():
    """The same nest as a trace and as a C function that includes the source and has no trace."""
    source = (
        fast_cache.SOURCE
        + """
    void column_sum(cachesim *state, int64_t n, int8_t *served_by) {
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < n; i++) {
                *served_by++ = cachesim_touch(state, 8 * (i * n + j), 8, 0);
                *served_by++ = cachesim_touch(state, 1 << 20 | 8 * j, 8, 1);
            }
    }
    """
    )
    n, levels = 20, [Cache(512, 2), Cache(2048, 4)]
    served_by = np.zeros(2 * n * n, dtype=np.int8)
    state = new_state(levels)
    native.load(source, flags=("-O2", "-Wall", "-Wextra", "-Werror")).column_sum(
        ctypes.c_void_p(state.ctypes.data), ctypes.c_int64(n), ctypes.c_void_p(served_by.ctypes.data)
    )
    trace = Trace.of(
        access for j in range(n) for i in range(n) for access in [(8 * (i * n + j), 8, False), (2**20 | 8 * j, 8, True)]
    )
    wanted = simulate_plain(trace, levels, record=True)
    assert level_stats(state, levels) == wanted.levels
    assert served_by.tolist() == wanted.served_by.tolist()


# --- oracles --------------------------------------------------------------------------------------------------------


def of_pycachesim(trace: Trace, levels: list[Cache]) -> list[tuple[int, int]]:
    """(misses, dirty evictions) of each level as pycachesim counts them. It keeps 32 bits of a line's number."""
    assert not len(trace) or trace.addresses.max() < 2**31
    if os.environ.get("CI"):  # there, a missing oracle is a failure
        import cachesim
    else:
        cachesim = pytest.importorskip("cachesim", reason="pip install -e '.[sources]' (needs a C compiler)")
    memory = cachesim.MainMemory()
    below, made = None, []
    for number, level in reversed(list(enumerate(levels))):
        below = cachesim.Cache(
            f"L{number}",
            level.sets,
            level.ways,
            level.line_bytes,
            "LRU",
            write_back=True,
            write_allocate=True,
            load_from=below,
            store_to=below,
        )
        made.insert(0, below)
    memory.load_to(made[-1])
    memory.store_from(made[-1])
    simulator = cachesim.CacheSimulator(made[0], memory)
    for address, size, write in zip(trace.addresses.tolist(), trace.sizes.tolist(), trace.writes.tolist(), strict=True):
        (simulator.store if write else simulator.load)(address, size)
    return [(level.stats()["MISS_count"], level.stats()["EVICT_count"]) for level in made]


@given(traces(sizes=(1,), most=300, far=2**20), st.sampled_from([1, 2, 8]))
def test_a_direct_mapped_cache_is_as_pycachesim_says(trace, sets):
    """Misses and changed lines, with writes: where there is one way, no order matters."""
    stats = simulate_caches(trace, Cache(sets * 16, 1, 16)).levels[0]
    assert [(stats.misses, stats.write_backs)] == of_pycachesim(trace, [stats.cache])


def changed_by_definition(touches: list[tuple[int, bool]], cache: Cache) -> tuple[int, int]:
    """Changed lines that left the cache and that are still in it, without a simulation.

    A line stays from one touch to the next if fewer than `ways` other lines of its set are touched in
    between. A stay that sees a write is one changed line; it has ended if as many or more follow it.
    """
    left = still = 0
    for line in {line for line, _ in touches}:
        ours = [(one == line, one, write) for one, write in touches if (one - line) % cache.sets == 0]
        changed, others = False, set()
        for it_is_ours, one, write in ours:
            if not it_is_ours:
                others.add(one)
                continue
            if len(others) >= cache.ways:
                left += changed
                changed = False
            changed, others = changed or write, set()
        ended = len(others) >= cache.ways
        left, still = left + (changed and ended), still + (changed and not ended)
    return left, still


@given(traces(), stacks(most=1))
def test_changed_lines_are_as_they_are_defined(trace, levels):
    cache, columns = levels[0], (trace.addresses, trace.sizes, trace.writes)
    touches = [
        (line, write)
        for address, size, write in zip(*map(np.ndarray.tolist, columns), strict=True)
        for line in range(address // cache.line_bytes, (address + size - 1) // cache.line_bytes + 1)
    ]
    stats = simulate_caches(trace, cache).levels[0]
    assert (stats.write_backs, stats.dirty_lines) == changed_by_definition(touches, cache)


@given(traces(sizes=(1,), most=300, far=2**20), stacks(most=3))
def test_one_to_three_levels_are_as_pycachesim_says(trace, levels):
    """Reads alone: there a store that hits does not make its line recent, and a write-back does, in the level below.

    Our misses do not depend on what is written, so the trace with its writes must give them as well.
    """
    reads = replace(trace, writes=np.zeros(len(trace), dtype=bool))
    wanted = [misses for misses, _ in of_pycachesim(reads, levels)]
    assert [level.misses for level in simulate_caches(reads, levels).levels] == wanted
    assert [level.misses for level in simulate_caches(trace, levels).levels] == wanted


STEP_BYTES, STEPS, TURNS = 60, 400, 5
WALK = f"""
#include <stdio.h>
#include <string.h>
static _Alignas(4096) char data[{STEP_BYTES * STEPS + 64}];
static char other[1 << 18];
__attribute__((noinline)) long walk(void) {{
    long total = 0;
    for (int turn = 0; turn < {TURNS}; turn++)
        for (int i = 0; i < {STEPS}; i++) {{
            total += *(volatile long *)(data + {STEP_BYTES} * ((i * 7) % {STEPS}));
            *(volatile long *)(data + {STEP_BYTES} * i) = total;
        }}
    return total;
}}
int main(void) {{
    memset(data, 1, sizeof data);
    for (unsigned i = 0; i < sizeof other; i += 64) ((volatile char *)other)[i]++;
    printf("%p", (void *)data);
    for (unsigned i = 0; i < sizeof other; i += 64) ((volatile char *)other)[i]++;
    return (int)walk() & 1;
}}
"""


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.parametrize("levels", [[Cache(4096, 1), Cache(16 * 1024, 2)], [Cache(8192, 2), Cache(16 * 1024, 16)]])
def test_straddling_accesses_are_as_cachegrind_says(tmp_path, levels):
    """Eight bytes at every 60th: many lie across two lines. Counted within the function alone, cold at its start.

    The function itself reads its return address and may save registers: a few references to the stack that
    the trace has not. Each may miss, and make each line of its set one step older, once: at most `ways` of
    them are then evicted one touch too early. In the last level so does each line of instructions.
    """
    program = native.build_program(WALK, tmp_path, flags=("-O1", "-g"))
    shapes = [f"--{name}={level.size_bytes},{level.ways},64" for name, level in zip(("D1", "LL"), levels, strict=True)]
    out = tmp_path / "cachegrind.out"
    done = subprocess.run(
        ["valgrind", "--tool=cachegrind", "--cache-sim=yes", *shapes, f"--cachegrind-out-file={out}", program],
        capture_output=True,
        text=True,
        check=False,
    )
    counted = np.zeros(9, dtype=int)
    inside = False
    for line in out.read_text().splitlines():
        if line.startswith("fn="):
            inside = line == "fn=walk"
        elif inside and re.match(r"\d", line):
            counted += np.array(line.split()[1:], dtype=int)
    instruction_misses = counted[1]
    reads, read_misses, read_misses_ll, writes, write_misses, write_misses_ll = counted[3:].tolist()
    base = int(done.stdout, 16)
    trace = Trace.of(
        access
        for _ in range(TURNS)
        for i in range(STEPS)
        for access in [(base + STEP_BYTES * (i * 7 % STEPS), 8, False), (base + STEP_BYTES * i, 8, True)]
    )
    first, last = simulate_caches(trace, levels).levels
    foreign = reads - first.reads + writes - first.writes
    assert 0 <= foreign <= 16
    assert abs(read_misses + write_misses - first.misses) <= foreign * (1 + levels[0].ways)
    deep = read_misses_ll + write_misses_ll
    assert abs(deep - last.misses) <= (foreign + instruction_misses) * (1 + levels[1].ways)
    assert first.misses > 3000 and 1500 < last.misses < first.misses - 500


# --- properties -----------------------------------------------------------------------------------------------------


@given(traces(), stacks())
def test_each_level_sees_the_misses_of_the_one_above(trace, levels):
    result = simulate_caches(trace, levels, record=True)
    above = len(trace)
    for number, stats in enumerate(result.levels, start=1):
        assert stats.references == above
        assert stats.misses == np.count_nonzero(result.served_by > number)
        assert stats.writes == np.count_nonzero(trace.writes & (result.served_by >= number))
        above = stats.misses
        assert 0 <= stats.dirty_lines <= min(stats.fills, stats.cache.lines)


@given(traces(), st.integers(0, 3), st.integers(1, 4))
def test_with_more_ways_nothing_is_lost(trace, log_sets, ways):
    """A set of more ways holds what the same set of fewer ways holds (Mattson 1970): no new miss."""
    small, large = (
        simulate_caches(trace, Cache(2**log_sets * n * 64, n), record=True).served_by for n in (ways, ways + 1)
    )
    assert np.all(large <= small)


@given(traces(sizes=(1, 8, 64)), stacks(line_bytes=(64,)), st.integers(0, 5))
def test_moving_everything_by_all_sets_changes_nothing(trace, levels, times):
    """The sets repeat with a period of sets * line_bytes, and nothing else of the address matters."""
    period = max(level.sets for level in levels) * 64
    moved = replace(trace, addresses=trace.addresses + times * period)
    assert simulate_caches(moved, levels).levels == simulate_caches(trace, levels).levels


@given(traces(), st.integers(1, 4))
def test_a_changed_line_is_sent_down_or_still_there(trace, ways):
    """Without evictions the dirty lines are the lines written; with them, each is sent at least once."""
    written = {
        line
        for address, size, write in zip(trace.addresses.tolist(), trace.sizes.tolist(), trace.writes, strict=True)
        if write
        for line in range(address // 64, (address + size - 1) // 64 + 1)
    }
    huge = simulate_caches(trace, Cache(512 * 64, 512)).levels[0]
    assert (huge.dirty_lines, huge.write_backs) == (len(written), 0)
    small = simulate_caches(trace, Cache(2 * ways * 64, ways)).levels[0]
    assert len(written) <= small.dirty_lines + small.write_backs
    assert small.fills - small.write_backs >= small.dirty_lines


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((32.0 * 1024, 8), TypeError, "size_bytes must be a whole number of 1 or more, got 32768.0; 32 KiB are"),
        ((1024, True), TypeError, "ways must be a whole number of 1 or more, got True; 32 KiB are"),
        ((1024, 0), ValueError, "ways must be a whole number of 1 or more, got 0"),
        ((1024, 2, 48), ValueError, "line_bytes must be a power of two, got 48; use 64"),
        ((1000, 2), ValueError, r"size_bytes must be ways \* line_bytes \* a power of two, got 1000 = 128 \* 7.8125; "
                                "use 512 or another ways"),
        ((3072, 8), ValueError, r"got 3072 = 512 \* 6; use 2048 or another ways"),
        ((64, 2), ValueError, "use 128 or another ways"),
    ],
)  # fmt: skip
def test_a_cache_that_cannot_be_says_why(arguments, error, message):
    with pytest.raises(error, match=message):
        Cache(*arguments)


def test_the_sizes_that_are_proposed_are_caches():
    for size, ways, line in [(1000, 2, 64), (3072, 8, 64), (64, 2, 64), (10**6, 12, 32)]:
        with pytest.raises(ValueError) as caught:
            Cache(size, ways, line)
        proposed = int(re.search(r"use (\d+)", str(caught.value))[1])
        assert Cache(proposed, ways, line).size_bytes <= max(size, ways * line)
    assert Cache(48 * 1024, 12).sets == 64 and Cache(np.int64(1024), 2) == Cache(1024, 2)


def test_levels_that_do_not_fit_together():
    cache = Cache(1024, 2)
    assert check_levels(cache) == (cache,) == check_levels([cache])
    with pytest.raises(TypeError, match=r"a level must be a Cache, got 1024; write Cache\(32 \* 1024, 8\)"):
        check_levels([1024])
    for levels, count in (([], 0), ([cache] * 4, 4)):
        with pytest.raises(ValueError, match=f"levels must be 1 to 3 caches, got {count}"):
            simulate_caches(Trace.of([]), levels)
    with pytest.raises(ValueError, match="must share one line_bytes, got 64, 32; use 64 for all"):
        new_state([cache, Cache(1024, 2, 32)])


@pytest.mark.parametrize(
    ("addresses", "sizes", "writes", "error", "message"),
    [
        ([0.5], [8], [True], TypeError, "addresses must be integers, got float64"),
        ([0], [8], [1], TypeError, "writes must be booleans, got int64"),
        ([0, 8], [8], [True, True], ValueError, r"sizes has shape \(1,\), and addresses \(2,\)"),
        ([0, 8], [8, 8], [True], ValueError, r"writes has shape \(1,\), and addresses \(2,\)"),
        ([[0]], [[8]], [[True]], ValueError, "one value for each access"),
        ([0, -8], [8, 8], [True, True], ValueError, "addresses must lie from 0 to 2305843009213693952, got -8"),
        ([2**62], [8], [True], ValueError, "got 4611686018427387904"),
        ([0], [0], [True], ValueError, "sizes must lie from 1 to 2147483647, got 0"),
    ],
)
def test_a_trace_that_cannot_be_says_why(addresses, sizes, writes, error, message):
    with pytest.raises(error, match=message):
        Trace(addresses, sizes, writes)
