"""Reuse distances and the reasons of misses: by hand, by counting sets, and against the cache simulator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.loops.caches import reuse
from mini_lib.loops.caches.cache import Cache, Trace
from mini_lib.loops.caches.classify import _KINDS, MissKinds, _compare, classify
from mini_lib.loops.caches.fast_cache import simulate_caches
from mini_lib.loops.caches.reuse import COLD, distances_plain, miss_ratio_curve, reuse_distances


@st.composite
def traces(draw, most=150):
    address = st.integers(0, 1500) | st.integers(2**40, 2**40 + 300)
    access = st.tuples(address, st.sampled_from([1, 8, 100]), st.booleans())
    return Trace.of(draw(st.lists(access, max_size=most)))


def by_definition(lines: list[int]) -> list[int]:
    """The number of distinct lines between two touches of one, counted as a set: O(n * n)."""
    distances = []
    for now, line in enumerate(lines):
        before = [at for at in range(now) if lines[at] == line]
        distances.append(len(set(lines[before[-1] + 1 : now])) if before else COLD)
    return distances


# --- distances ------------------------------------------------------------------------------------------------------


def test_distances_by_hand():
    """a b c b b a c: b saw c in between, then nothing; a saw b and c; c saw b and a."""
    lines = [3, 5, 9, 5, 5, 3, 9]
    assert distances_plain(lines).tolist() == [COLD, COLD, COLD, 1, 0, 2, 2]
    assert reuse_distances(Trace.of_reads([64 * line + line for line in lines])).tolist()[3:] == [1, 0, 2, 2]
    # with lines of 1024 bytes all of them lie in one
    assert reuse_distances(Trace.of_reads([64 * line for line in lines]), 1024).tolist() == [COLD] + [0] * 6


def test_a_straddling_access_has_the_greatest_of_its_distances():
    """Line 1, then lines 0 and 1 (0 is new), then both: 0 saw line 1 in between; so did 1 see 0."""
    trace = Trace.of([(64, 4, False), (60, 8, False), (60, 8, False), (64, 4, False), (60, 8, False)])
    assert reuse_distances(trace).tolist() == [COLD, COLD, 1, 0, 1]


@given(st.lists(st.integers(0, 12), max_size=60))
def test_distances_are_what_they_are_defined_as(lines):
    wanted = by_definition(lines)
    assert distances_plain(lines).tolist() == wanted
    assert reuse_distances(Trace.of_reads([line * 64 for line in lines])).tolist() == wanted


@given(traces(), st.sampled_from([16, 64]))
def test_plain_and_compiled_say_the_same(trace, line_bytes):
    compiled = reuse_distances(trace, line_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", "no-such-compiler")
        assert reuse_distances(trace, line_bytes).tolist() == compiled.tolist()


def test_lines_far_apart_take_no_table_of_all_between():
    """Two clusters 2**60 apart: the table would have 2**54 entries."""
    rng = np.random.default_rng(0)
    lines = rng.integers(0, 50, 4000) + 2**54 * rng.integers(0, 2, 4000)
    assert reuse_distances(Trace.of_reads(lines * 64)).tolist() == distances_plain(lines).tolist()


@given(traces(), st.integers(1, 20))
def test_a_fully_associative_cache_misses_where_the_distance_is_its_size_or_more(trace, lines):
    """The theorem that makes the distance useful (Mattson 1970), access by access."""
    served_by = simulate_caches(trace, Cache(64 * lines, ways=lines), record=True).served_by
    assert ((reuse_distances(trace) >= lines) == (served_by == 2)).all()


@given(traces())
def test_the_curve_is_the_miss_ratio_of_every_size(trace):
    sizes = list(range(1, 24, 3))
    curve = miss_ratio_curve(reuse_distances(trace), sizes)
    ratios = [simulate_caches(trace, Cache(64 * lines, ways=lines)).levels[0].miss_ratio for lines in sizes]
    assert curve.tolist() == ratios
    assert (np.diff(curve) <= 0).all()


def test_the_ends_of_the_curve():
    distances = np.array([COLD, 3, COLD, 0])
    assert miss_ratio_curve(distances, [0, 1, 3, 4, 10**9]).tolist() == [1, 0.75, 0.75, 0.5, 0.5]
    assert miss_ratio_curve(np.zeros(0, dtype=np.int64), [1, 2]).tolist() == [0, 0]
    assert miss_ratio_curve(distances, []).tolist() == []


def test_messages_of_reuse(monkeypatch):
    with pytest.raises(ValueError, match="line_bytes must be a power of two, got 48; use 64"):
        reuse_distances(Trace.of_reads([0]), 48)
    with pytest.raises(ValueError, match="line_counts must be a whole number of 0 or more, got -1"):
        miss_ratio_curve(np.array([1]), [4, -1])
    monkeypatch.setattr(reuse, "MOST_PLAIN_ACCESSES", 3)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ValueError, match="the trace touches 4 lines, and plain Python takes 3 at most; install a C"):
        reuse_distances(Trace.of_reads([0] * 4))


# --- reasons --------------------------------------------------------------------------------------------------------


def test_kinds_by_hand():
    """Direct-mapped, 4 lines. Lines 0 and 4 conflict; then 1 2 3 5 push line 0 out of any cache of 4 lines."""
    lines = [0, 4, 0, 4, 1, 2, 3, 5, 0]
    kinds, _ = _compare(Trace.of_reads([64 * n for n in lines]), Cache(256, ways=1))
    assert [_KINDS[kind] for kind in kinds] == [
        "cold",
        "cold",
        "conflict",
        "conflict",
        "cold",
        "cold",
        "cold",
        "cold",
        "capacity",
    ]


def test_a_column_of_a_power_of_two_conflicts_until_it_is_padded():
    """32 rows of 4096 bytes: all rows begin in one set of 64 sets, 8 ways. With 64 bytes more each, none does."""

    def columns(row_bytes: int) -> Trace:
        return Trace.of_reads([row * row_bytes + 8 * column for column in range(8) for row in range(32)], 8)

    cache = Cache(32 * 1024, ways=8)
    assert classify(columns(4096), cache) == MissKinds(cold=32, capacity=0, conflict=7 * 32, spared=0)
    assert classify(columns(4096 + 64), cache) == MissKinds(cold=32, capacity=0, conflict=0, spared=0)


def test_a_cycle_one_line_too_long_is_spared_by_sets():
    """5 lines in turns, 4 lines of cache: fully associative it always misses, direct-mapped 1, 2, 3 stay."""
    cycle = Trace.of_reads([64 * n for n in range(5)] * 10)
    direct = classify(cycle, Cache(256, ways=1))
    assert direct == MissKinds(cold=5, capacity=2 * 9, conflict=0, spared=3 * 9)
    assert direct.net_conflict == -27
    assert classify(cycle, Cache(256, ways=4)) == MissKinds(cold=5, capacity=5 * 9, conflict=0, spared=0)


@given(traces(), st.sampled_from([1, 2, 4]), st.integers(1, 4))
def test_the_kinds_add_up_to_both_caches(trace, sets, ways):
    cache, fully = Cache(sets * ways * 64, ways), Cache(sets * ways * 64, sets * ways)
    kinds = classify(trace, cache)
    assert kinds.misses == simulate_caches(trace, cache).levels[0].misses
    assert kinds.cold + kinds.capacity + kinds.spared == simulate_caches(trace, fully).levels[0].misses
    assert kinds.net_conflict == kinds.misses - (kinds.cold + kinds.capacity + kinds.spared)
    # an unbounded cache has the cold misses alone
    assert kinds.cold == simulate_caches(trace, Cache(512 * 64, ways=512)).levels[0].misses
    if sets == 1:
        assert kinds.conflict == kinds.spared == 0


def test_no_access_has_no_kind():
    assert classify(Trace.of([]), Cache(1024, 2)) == MissKinds(0, 0, 0, 0)
    assert _compare(Trace.of([]), Cache(1024, 2))[0].tolist() == []
