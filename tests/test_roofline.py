"""The roofline worked by hand, and the machine measured with a clock that the test holds."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import latency as timing
from mini_lib import roofline
from mini_lib.costs import LayerCost, layer_costs
from mini_lib.roofline import Machine, arithmetic_intensity, layer_intensity, matmul_intensity

LAPTOP = Machine(peak_flops_per_s=100e9, bandwidth_bytes_per_s=20e9)


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture
def one_second_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run seems to take exactly a second, so a rate is the work that is claimed for one run."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))


def test_the_roof_worked_by_hand() -> None:
    assert LAPTOP.ridge == 5.0
    assert LAPTOP.attainable_flops_per_s(0) == 0
    assert LAPTOP.attainable_flops_per_s(2.5) == 50e9
    assert LAPTOP.attainable_flops_per_s(5.0) == 100e9
    assert LAPTOP.attainable_flops_per_s(float("inf")) == 100e9


rates = st.floats(1e6, 1e15)


@settings(deadline=None)
@given(rates, rates, st.floats(1e-3, 1e6))
def test_at_the_roof_work_takes_the_longer_of_computing_and_moving(peak: float, bandwidth: float, intensity: float):
    # One byte takes 1 / bandwidth to move, and its FLOPs intensity / peak to compute.
    least_s = max(1 / bandwidth, intensity / peak)
    # Each side rounds once or twice, by at most 2^-53 = 1.1e-16 each: together below 1e-15.
    assert intensity / Machine(peak, bandwidth).attainable_flops_per_s(intensity) == pytest.approx(least_s, rel=1e-15)


def test_a_machine_prints_its_limits_with_units() -> None:
    machine = Machine(1.234e12, 45.67e9, torch.bfloat16, threads=8)
    assert str(machine) == "1234 GFLOP/s, 45.7 GB/s, ridge at 27.0 FLOP/byte (bfloat16, 8 threads)"


def test_intensity_worked_by_hand() -> None:
    assert arithmetic_intensity(macs=0, moved_bytes=8) == 0
    assert arithmetic_intensity(macs=12, moved_bytes=8) == 3.0
    # 2 * 2*3*4 FLOPs on 2*4 + 4*3 + 2*3 = 26 numbers of 2 bytes.
    assert matmul_intensity(2, 3, 4, element_bytes=2) == 48 / 52


sizes = st.integers(1, 40)


@settings(deadline=None)
@given(sizes, sizes, sizes)
def test_a_linear_layer_has_the_intensity_of_its_matrix_product(m: int, n: int, k: int) -> None:
    [cost] = layer_costs(nn.Linear(k, n, bias=False), torch.zeros(m, k))
    assert layer_intensity(cost) == matmul_intensity(m, n, k)


def test_a_depthwise_convolution_has_less_intensity_than_a_full_one() -> None:
    x = torch.zeros(1, 16, 8, 8)
    [full] = layer_costs(nn.Conv2d(16, 16, 3, padding=1, bias=False), x)
    [depthwise] = layer_costs(nn.Conv2d(16, 16, 3, padding=1, bias=False, groups=16), x)
    # 64 places, 2 FLOPs, 9 taps, on 2 * 1024 activations and the weights, 4 bytes each.
    assert layer_intensity(full) == 64 * 2 * 9 * 16 * 16 / (4 * (2048 + 9 * 16 * 16))
    assert layer_intensity(depthwise) == 64 * 2 * 9 * 16 / (4 * (2048 + 9 * 16))


def test_the_peak_is_the_flops_of_the_fastest_product(one_second_a_run: None) -> None:
    # At a second a run the largest product is the fastest: 2 * 8^3 FLOPs.
    assert roofline.measure_peak_flops_per_s(sizes=(4, 8, 2), repeats=2) == 1024


def test_the_bandwidth_counts_each_byte_read_and_written(one_second_a_run: None) -> None:
    assert roofline.measure_bandwidth_bytes_per_s(buffer_bytes=4000, repeats=2) == 8000


def test_the_buffer_is_four_times_the_caches_and_never_above_512_mib(
    one_second_a_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "last_level_cache_bytes", lambda: 2**20)
    assert roofline.measure_bandwidth_bytes_per_s() == 2 * 4 * 2**20
    monkeypatch.setattr(roofline, "last_level_cache_bytes", lambda: 2**40)
    monkeypatch.setattr(torch, "zeros", lambda size, dtype: torch.empty(size, dtype=dtype, device="meta"))
    assert roofline.measure_bandwidth_bytes_per_s() == 2 * 512 * 2**20


def test_the_best_of_several_runs_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Start and end of each run: a warm-up, then runs of 4, 2 and 8 seconds.
    ticks = iter([0, 0, 0, 4, 4, 6, 6, 14])
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))
    assert roofline.measure_bandwidth_bytes_per_s(buffer_bytes=400, repeats=3) == 400


def test_a_measured_machine_states_what_it_was_measured_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "measure_peak_flops_per_s", lambda dtype: 3.0)
    monkeypatch.setattr(roofline, "measure_bandwidth_bytes_per_s", lambda: 2.0)
    assert roofline.measure_machine(torch.bfloat16) == Machine(3.0, 2.0, torch.bfloat16, torch.get_num_threads())


def test_this_machine_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "last_level_cache_bytes", lambda: 4 * 2**20)  # to be quick: this test reads no rate
    machine = roofline.measure_machine()
    assert 0 < machine.peak_flops_per_s < float("inf")
    assert 0 < machine.bandwidth_bytes_per_s < float("inf")
    assert machine.dtype is torch.float32


def write_cache(root: Path, processor: int, index: int, level: int, shared: str, size: str) -> None:
    folder = root / f"cpu{processor}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in (("level", str(level)), ("shared_cpu_list", shared), ("size", size)):
        (folder / name).write_text(f"{text}\n")


def test_the_last_level_caches_are_added_up_each_once(tmp_path: Path) -> None:
    # Four processors; each has its own level 2, each pair shares a level 3.
    for processor in range(4):
        write_cache(tmp_path, processor, 2, 2, str(processor), "1024K")
        write_cache(tmp_path, processor, 3, 3, "0-1" if processor < 2 else "2-3", "8192K")
    (tmp_path / "cpu0" / "cache" / "index4").mkdir()  # a cache that does not tell its size
    assert roofline.last_level_cache_bytes(tmp_path) == 2 * 8 * 2**20


def test_bad_input_is_refused() -> None:
    with pytest.raises(
        ValueError, match=says("peak_flops_per_s must be a finite number above 0, got 0; use measure_machine()")
    ):
        Machine(0, 1e9)
    with pytest.raises(
        ValueError, match=says("bandwidth_bytes_per_s must be a finite number above 0, got nan; use measure_machine()")
    ):
        Machine(1e9, float("nan"))
    with pytest.raises(
        ValueError, match=says("intensity must be a finite number of 0 or more, got -1; use arithmetic_intensity()")
    ):
        LAPTOP.attainable_flops_per_s(-1)
    with pytest.raises(
        ValueError, match=says("moved_bytes must be a finite number above 0, got 0; count what is read and written")
    ):
        arithmetic_intensity(macs=1, moved_bytes=0)
    with pytest.raises(ValueError, match="^moved_bytes must be a finite number above 0, got 0;"):
        layer_intensity(LayerCost("0", "Identity", 0, 0, 0, 0, 0))
    with pytest.raises(
        ValueError, match=says("n must be a whole number of 1 or more, got -3; pass the sizes of [m, k] x [k, n]")
    ):
        matmul_intensity(2, -3, 4)
    with pytest.raises(ValueError, match="^element_bytes must be a finite number above 0, got 0;"):
        matmul_intensity(2, 3, 4, element_bytes=0)
    with pytest.raises(
        ValueError, match=says("dtype must be a floating-point type, got torch.int8; use torch.float32")
    ):
        roofline.measure_machine(torch.int8)
    with pytest.raises(
        ValueError, match=says("each of sizes must be a whole number of 1 or more, got 0; use (512, 1024, 1536)")
    ):
        roofline.measure_peak_flops_per_s(sizes=(0,))
    message = "repeats must be a whole number of 1 or more, got 0; use 30 for a stable median"
    with pytest.raises(ValueError, match=says(message)):
        roofline.measure_peak_flops_per_s(repeats=0)
    with pytest.raises(
        ValueError,
        match=says(
            "buffer_bytes must be a whole number from 4 to 1099511627776, got 0; use four times the last-level cache"
        ),
    ):
        roofline.measure_bandwidth_bytes_per_s(buffer_bytes=0)
