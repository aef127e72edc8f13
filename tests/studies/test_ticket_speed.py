"""The rows of the comparison of ways to train: what is timed and how it is shared among nets. No time is asserted."""

import pytest
import tiny_tickets as tiny

from mini_lib.latency import Latency
from mini_lib.prune.tickets import Recipe
from studies.tickets.speed import Way, compare_ways


def test_a_row_for_each_way():
    seen = []
    ways = compare_ways(
        Recipe(steps=2, batch_size=8),
        together=(2, 3),
        processes=2,
        repeats=2,
        build=tiny.build,
        load_data=tiny.pictures,
        progress=seen.append,
    )
    assert set(seen) == {way.name for way in ways} and len(seen) >= 4 * (1 + 2)  # a turn thrown away, and two
    assert [(way.name, way.nets) for way in ways] == [
        ("one by one", 1),
        ("2 together", 2),
        ("3 together", 3),
        ("2 processes, 2 together in each", 4),
    ]
    assert all(len(way.time_s.times_s) == 2 and min(way.time_s.times_s) > 0 for way in ways)


def test_a_ratio_is_the_median_of_the_ratios_of_one_turn_each():
    slow, fast = Way("slow", 1, Latency((2.0, 8.0, 3.0))), Way("fast", 4, Latency((1.0, 1.0, 1.0)))
    assert fast.times_faster_than(slow) == 3.0 and slow.times_faster_than(fast) == 1 / 3
    # The medians alone say 3 / 1. In each turn but one it was 2, and a turn on a slow machine does not decide.
    assert Way("other", 1, Latency((1.0, 4.0, 1.0))).times_faster_than(slow) == 2.0


@pytest.mark.parametrize("given", [{"together": ()}, {"processes": 0}])
def test_nothing_to_time(given):
    with pytest.raises(ValueError, match="^give one count or more in together, and a process, got "):
        compare_ways(Recipe(steps=2), **given)
