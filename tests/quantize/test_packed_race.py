"""The race of packed kernels: who runs, what each reads, and ratios turn by turn. Times are never asserted."""

import re

import pytest

from mini_lib.latency import Latency
from mini_lib.quantize import Race, Runner, race_packed
from mini_lib.quantize.packed.race import BASELINE, READ


def test_who_runs_and_what_they_read():
    """256 x 64 in groups of 32: a scale of 4 bytes per 32 weights is 1 bit per weight."""
    race = race_packed(256, 64, repeats=2)
    bits = {one.name: 8 * one.read_bytes / (256 * 64) for one in race.runners if one.name != READ}
    best = next(name for name in bits if name.startswith("int8, ") and "torch" not in name).removeprefix("int8, ")
    assert bits["fp32, torch"] == 32 and bits["bf16, torch"] == 16 and bits[BASELINE] == 5  # two bf16 per 32 weights
    assert [bits[f"int{width}, {best}"] for width in (8, 4, 3, 2, 1)] == [9, 5, 4, 3, 2]
    assert bits[f"int4, {best}, fp16 scales"] == 4.5 and bits["signs times signs, xnor"] == 1
    assert len(str(race).splitlines()) == 1 + len(race.runners)


def test_ratios_by_hand():
    slow, fast = Runner(BASELINE, 100, Latency((4.0, 6.0, 2.0))), Runner("fast", 50, Latency((1.0, 2.0, 1.0)))
    race = Race(1, 1, (Runner(READ, 200, Latency((2.0, 2.0, 2.0))), slow, fast))
    assert race.times_faster("fast")[0] == 3.0  # of 4, 3 and 2
    assert race.share_of_limit("fast") == 0.5  # 50 bytes in 1 s of 100 bytes per second
    with pytest.raises(ValueError, match=re.escape("there is no runner 'x'; there are read only, int4, torch")):
        race["x"]


def test_what_is_refused():
    with pytest.raises(ValueError, match="group_size 48 does not divide the columns"):
        race_packed(64, 64, group_size=48)
