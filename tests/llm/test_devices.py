"""The devices: figures recomputed from the parts of the chips, errors, sources, and this machine as a device."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from mini_lib.llm.cost import computers, devices
from mini_lib.llm.cost.computers import M2_ULTRA_76
from mini_lib.llm.cost.device import Device, measured_device
from mini_lib.llm.cost.devices import (
    A100_SXM_80GB,
    A100_SXM_80GB_330W,
    B200,
    DEVICES,
    H100_SXM,
    L4,
    L40S,
    T4,
    find_device,
)
from mini_lib.llm.published.rows import decode_rows_2025, published_rows

GOOD = {
    "name": "toy",
    "memory_bytes": 2**30,
    "bandwidth_bytes_per_s": 2e12,
    "matmul_flops_per_s": {16: 100e12, 8: 200e12},
    "vector_flops_per_s": 10e12,
    "link_bytes_per_s": 32e9,
}

# Multiprocessors; fused multiply-adds of fp16 in their matrix units a clock, and of fp32 outside; boost clock in Hz.
# The H100 runs fp32 at 1.98 GHz and its matrix units at 1.83 GHz (its PCIe card 1.755 and 1.62).
CHIPS = {
    "A100-SXM-80GB": (108, 1024, 64, 1.41e9, 1.41e9),
    "A100-PCIe-80GB": (108, 1024, 64, 1.41e9, 1.41e9),
    "H100-SXM-80GB": (132, 2048, 128, 1.83e9, 1.98e9),
    "H100-PCIe-80GB": (114, 2048, 128, 1.62e9, 1.755e9),
    "H200-SXM-141GB": (132, 2048, 128, 1.83e9, 1.98e9),
    "MI300X": (304, 1024, 128, 2.1e9, 2.1e9),
    "T4": (40, 512, 64, 1.59e9, 1.59e9),
    "L4": (58, 512, 128, 2.04e9, 2.04e9),
    "RTX-A6000": (84, 512, 128, 1.8e9, 1.8e9),
    "RTX-6000-Ada": (142, 512, 128, 2.505e9, 2.505e9),
    "RTX-3070": (46, 512, 128, 1.725e9, 1.725e9),
    "RTX-3080-10GB": (68, 512, 128, 1.71e9, 1.71e9),
    "RTX-3090": (82, 512, 128, 1.695e9, 1.695e9),
    "RTX-4070-Ti": (60, 512, 128, 2.61e9, 2.61e9),
    "RTX-4080": (76, 512, 128, 2.505e9, 2.505e9),
    "RTX-4090": (128, 512, 128, 2.52e9, 2.52e9),
    "RTX-5090": (170, 512, 128, 2.407e9, 2.407e9),
    "RTX-PRO-6000": (188, 512, 128, 2.617e9, 2.617e9),
    "RTX-2080-Ti": (68, 512, 64, 1.635e9, 1.635e9),
    "RTX-3060-12GB": (28, 512, 128, 1.777e9, 1.777e9),
    "RTX-3090-Ti": (84, 512, 128, 1.86e9, 1.86e9),
    "RTX-4070": (46, 512, 128, 2.475e9, 2.475e9),
    "RX-7900-XTX": (96, 256, 128, 2.498e9, 2.498e9),
    "DGX-Spark": (48, 512, 128, 2.54e9, 2.54e9),
    "Ryzen-AI-Max-395": (40, 256, 128, 2.9e9, 2.9e9),
}

# Wires of the memory bus and bits a second on each. HBM of the A100 and of the PCIe cards: clock times two.
BUSES = {
    "A100-SXM-80GB": (5120, 2 * 1.593e9),
    "A100-PCIe-80GB": (5120, 2 * 1.512e9),
    "H100-PCIe-80GB": (5120, 2 * 1.593e9),
    "H100-SXM-80GB": (5120, 2 * 2.619e9),
    "MI300X": (8192, 5.2e9),
    "L40S": (384, 18e9),
    "L4": (192, 12.5e9),
    "T4": (256, 10e9),
    "RTX-A6000": (384, 16e9),
    "RTX-6000-Ada": (384, 20e9),
    "RTX-3070": (256, 14e9),
    "RTX-3080-10GB": (320, 19e9),
    "RTX-3090": (384, 19.5e9),
    "RTX-4070-Ti": (192, 21e9),
    "RTX-4080": (256, 22.4e9),
    "RTX-4090": (384, 21e9),
    "RTX-5090": (512, 28e9),
    "RTX-PRO-6000": (512, 28e9),
    "RTX-2080-Ti": (352, 14e9),
    "RTX-3060-12GB": (192, 15e9),
    "RTX-3090-Ti": (384, 21e9),
    "RTX-4070": (192, 21e9),
    "RX-7900-XTX": (384, 20e9),
    "DGX-Spark": (256, 8.533e9),
    "Ryzen-AI-Max-395": (256, 8e9),
    "M1-8": (128, 4.266e9),
    "M4-10": (128, 7.5e9),
    "M4-Pro-20": (256, 8.533e9),
    "M4-Max-40": (512, 8.533e9),
    "M5-10": (128, 9.6e9),
    "M3-Ultra-80": (1024, 6.4e9),
    "Ryzen-7-7840U": (128, 5.6e9),
    "Xeon-8480+": (8 * 64, 4.8e9),
}


@pytest.mark.parametrize("name", CHIPS)
def test_peaks_follow_from_the_chip(name):
    """Data sheets print three digits, and clocks are given to three: half a unit of each is at most 0.5 % + 0.3 %."""
    units, matmul, vector, matmul_hertz, vector_hertz = CHIPS[name]
    device = find_device(name)
    assert device.matmul_peak(16) == pytest.approx(2 * units * matmul * matmul_hertz, rel=0.008)
    assert device.vector_flops_per_s == pytest.approx(2 * units * vector * vector_hertz, rel=0.008)


@pytest.mark.parametrize("name", BUSES)
def test_bandwidth_follows_from_the_bus(name):
    """Three digits, so half a unit of the last: 0.5 %."""
    wires, bits_per_s = BUSES[name]
    assert find_device(name).bandwidth_bytes_per_s == pytest.approx(wires * bits_per_s / 8, rel=0.005)


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_half_the_bits_are_at_most_twice_as_fast(device):
    """The matrix units of all these chips do twice the products of half the bits; 1.2 % is L40S's 362 beside 733."""
    for bits, peak in device.matmul_flops_per_s.items():
        if 2 * bits in device.matmul_flops_per_s:
            assert peak / device.matmul_peak(2 * bits) == pytest.approx(2, rel=0.013)


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_orders_of_magnitude(device):
    """A slip of 1000 in a unit would show: the slowest is a Mac mini of 2020, the fastest a B200."""
    assert 8 * 2**30 <= device.memory_bytes <= 512 * 2**30
    assert 50e9 <= device.bandwidth_bytes_per_s <= 8e12 == B200.bandwidth_bytes_per_s
    assert 1e12 <= device.vector_flops_per_s <= device.matmul_peak(16) <= 2.5e15
    assert 5e9 <= device.link_bytes_per_s <= 900e9
    assert 20 <= device.watts <= 1000


def test_error_correction_takes_a_sixteenth():
    for device, sold_gib in ((L40S, 48), (L4, 24), (T4, 16)):
        assert device.memory_bytes == sold_gib * 2**30 * 15 // 16


def test_every_device_has_a_source_and_a_date():
    for device in DEVICES:
        assert device.source, device
        assert re.fullmatch(r"20\d\d(-\d\d)?", device.date), f"{device}: {device.date}"
        if device.usd_per_hour is not None:
            assert re.search(r"read 20\d\d-\d\d-\d\d$", device.price_source), device


def test_names_are_different_and_every_constant_is_listed():
    every = {**vars(devices), **vars(computers)}
    constants = [value for value in every.values() if isinstance(value, Device)]
    assert len({device.name.lower() for device in DEVICES}) == len(DEVICES) == len(constants)


def test_names_of_the_published_tables_are_found():
    for row in (*published_rows(), *decode_rows_2025()):
        assert find_device(row.device).name == row.device


def test_a_mac_of_the_same_kind_grows_with_its_generation():
    """As much bandwidth and arithmetic or more in each generation as in the last; two Max make an Ultra."""
    for kind in (("M1-8", "M2-10", "M3-10", "M4-10", "M5-10"), ("M1-Max-32", "M3-Max-40", "M4-Max-40")):
        macs = [find_device(name) for name in kind]
        for older, newer in pairwise(macs):
            assert newer.bandwidth_bytes_per_s >= older.bandwidth_bytes_per_s
            assert newer.matmul_peak(16) >= older.matmul_peak(16)
    one, two = find_device("M1-Max-32"), find_device("M1-Ultra-64")
    assert two.bandwidth_bytes_per_s == 2 * one.bandwidth_bytes_per_s
    assert two.matmul_peak(16) == 2 * one.matmul_peak(16)
    assert find_device("M5-10").matmul_peak(16) == 4 * find_device("M4-10").matmul_peak(16)


def test_a_limited_card_differs_in_its_watts_alone():
    assert replace(A100_SXM_80GB_330W, name=A100_SXM_80GB.name, watts=400, source=A100_SXM_80GB.source) == A100_SXM_80GB


def test_an_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match="no device is called 'RTX-4095'; the nearest are RTX-4090"):
        find_device("RTX-4095")
    with pytest.raises(TypeError, match="a device is found by its name, a string, got Device"):
        find_device(H100_SXM)


def test_bits_without_units_are_refused():
    message = "A100-SXM-80GB multiplies numbers of 8 or 16 bits, not of 4; set compute_bits to one of them"
    with pytest.raises(ValueError, match=message):
        A100_SXM_80GB.matmul_peak(4)
    with pytest.raises(ValueError, match="M2-Ultra-76 multiplies numbers of 16 bits, not of 8"):
        M2_ULTRA_76.ridge(8)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"memory_bytes": 0}, ValueError, "memory_bytes must be a whole number of 1 or more, got 0; 80 GiB are"),
        ({"memory_bytes": 80e9}, TypeError, "memory_bytes must be a whole number of 1 or more, got 80000000000.0"),
        ({"bandwidth_bytes_per_s": 0}, ValueError, "bandwidth_bytes_per_s must be a .*number above 0, got 0; copy it"),
        ({"bandwidth_bytes_per_s": "2 TB/s"}, TypeError, "bandwidth_bytes_per_s must be a .*number above 0"),
        ({"vector_flops_per_s": -1}, ValueError, "vector_flops_per_s must be a .*number above 0, got -1"),
        ({"link_bytes_per_s": float("inf")}, ValueError, "link_bytes_per_s must be a .*number above 0, got inf"),
        ({"watts": 0}, ValueError, "watts must be a .*number above 0, got 0; use None where it is not known"),
        (
            {"matmul_flops_per_s": 312e12},
            TypeError,
            "matmul_flops_per_s must map bits to FLOPs per second, got 312000000000000.0",
        ),
        ({"matmul_flops_per_s": {8: 2e14}}, ValueError, r"must have a figure for 16 bits, got \[8\]; attention"),
        ({"matmul_flops_per_s": {16: 0}}, ValueError, r"matmul_flops_per_s\[16\] must be a .*number above 0, got 0"),
        ({"matmul_flops_per_s": {"16": 1e12}}, TypeError, "the bits of matmul_flops_per_s must be a whole number"),
        ({"usd_per_hour": 2.0}, ValueError, "usd_per_hour and price_source go together, got 2.0 and ''; say who asks"),
        ({"price_source": "a friend"}, ValueError, "usd_per_hour and price_source go together, got None and"),
    ],
)
def test_bad_figures_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        Device(**(GOOD | change))


def test_a_device_cannot_be_changed_through_its_peaks():
    peaks = {16: 100e12}
    toy = Device(**(GOOD | {"matmul_flops_per_s": peaks}))
    peaks[16] = 1.0
    assert toy.matmul_peak(16) == 100e12
    with pytest.raises(TypeError):
        toy.matmul_flops_per_s[16] = 1.0


def test_equal_devices_are_one_in_a_set():
    assert len({Device(**GOOD), Device(**GOOD), H100_SXM}) == 2


def test_this_machine_as_a_device():
    """100 GFLOP/s over 20 GB/s is busy from 5 FLOPs a byte on, as `Machine.ridge` says."""
    machine = measured_device(100e9, 20e9, 16 * 2**30, watts=15, date="2025-01")
    assert machine.name == "this machine"
    assert (machine.memory_bytes, machine.bandwidth_bytes_per_s, machine.watts) == (16 * 2**30, 20e9, 15)
    assert machine.matmul_peak(16) == machine.vector_flops_per_s == 100e9
    assert machine.ridge(16) == 5.0
    assert machine.usd_per_hour is None
    with pytest.raises(ValueError, match="bandwidth_bytes_per_s must be a .*number above 0, got 0"):
        measured_device(100e9, 0, 2**30)
