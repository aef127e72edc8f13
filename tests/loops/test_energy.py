"""Energy: the published figures, sums worked by hand, and what the interpolation must keep."""

import dataclasses
import re
from collections.abc import Callable
from math import isclose, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.loops.machine.energy import HOROWITZ_45NM, Energy, energy_j

KB = 1024
PJ = 1e-12


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_the_figures_are_those_of_the_paper():
    # Horowitz, ISSCC 2014, figure 1.1.9: picojoules, and the memory for 64 bits.
    published = {"int8": (0.03, 0.2), "int32": (0.1, 3.1), "fp16": (0.4, 1.1), "fp32": (0.9, 3.7)}
    expected = {f"{kind}_add": add * PJ for kind, (add, _) in published.items()}
    expected |= {f"{kind}_mul": multiply * PJ for kind, (_, multiply) in published.items()}
    assert HOROWITZ_45NM.operation_j.keys() == expected.keys()
    for name, joules in expected.items():  # 0.03 * 1e-12 and 0.03e-12 differ by a rounding or two
        assert isclose(HOROWITZ_45NM.operation_j[name], joules, rel_tol=1e-15)
    assert HOROWITZ_45NM.access_bytes * 8 == 64
    for size_kb, picojoules in {8: 10, 32: 20, 1024: 100}.items():
        assert isclose(HOROWITZ_45NM.cache_access_j(size_kb * KB), picojoules * PJ, rel_tol=1e-15)
    assert HOROWITZ_45NM.dram_j == (1.3e-9, 2.6e-9)


def test_an_energy_worked_by_hand():
    # 1000 int8 multiply-adds into int32: 200 + 100 pJ. 17 bytes from a cache are 3 accesses of 8
    # bytes: 60 pJ. One byte from DRAM is an access, too: 1300 to 2600 pJ.
    used = energy_j({"int8_mul": 1000, "int32_add": 1000}, {32 * KB: 17}, dram_bytes=1)
    assert list(used.parts_j) == ["int8_mul", "int32_add", "cache 32 KB", "DRAM"]
    picojoules = [(low / PJ, high / PJ) for low, high in used.parts_j.values()]
    assert picojoules == [pytest.approx(pair) for pair in [(200, 200), (100, 100), (60, 60), (1300, 2600)]]
    assert used.low_j / PJ == pytest.approx(1660) and used.high_j / PJ == pytest.approx(2960)


def test_nothing_costs_nothing():
    assert energy_j({}, {}, dram_bytes=0) == Energy({"DRAM": (0.0, 0.0)})


def test_a_dram_access_costs_hundreds_of_multiply_adds():
    dram = energy_j({}, {}, dram_bytes=8)
    multiply_add = energy_j({"fp32_mul": 1, "fp32_add": 1}, {}, dram_bytes=0)
    # 1.3 nJ / 4.6 pJ = 282.6 and 2.6 nJ / 4.6 pJ = 565.2
    assert 282 < dram.low_j / multiply_add.high_j < 283
    assert 565 < dram.high_j / multiply_add.low_j < 566


@given(st.integers(8 * KB, 1024 * KB - 1))
def test_a_larger_cache_never_costs_less(size_bytes: int):
    one, two = (HOROWITZ_45NM.cache_access_j(size) for size in (size_bytes, size_bytes + 1))
    # A few roundings of logarithms and powers, far below one part in 1e12.
    assert 10 * PJ * (1 - 1e-12) <= one <= two * (1 + 1e-12) <= 100 * PJ * (1 + 2e-12)


def test_between_two_sizes_energy_is_a_straight_line_on_logarithmic_axes():
    # 20 pJ at 32 KB and 100 pJ at 1 MB: five doublings, so each costs a factor of 5 ** (1 / 5).
    for doublings in range(6):
        found = HOROWITZ_45NM.cache_access_j(32 * KB * 2**doublings)
        assert isclose(found, 20 * PJ * 5 ** (doublings / 5), rel_tol=1e-12)
    assert isclose(HOROWITZ_45NM.cache_access_j(16 * KB), sqrt(10 * 20) * PJ, rel_tol=1e-12)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_sum_is_the_sum_of_its_parts(multiplies: int, cache_bytes: int, dram_bytes: int):
    used = energy_j({"fp16_mul": multiplies}, {8 * KB: cache_bytes}, dram_bytes)
    assert used.low_j == sum(low for low, _ in used.parts_j.values())
    assert used.high_j == sum(high for _, high in used.parts_j.values())
    assert used.low_j <= used.high_j


def changed(**fields: object) -> Callable[[], object]:
    return lambda: dataclasses.replace(HOROWITZ_45NM, **fields)


BAD = [
    (lambda: energy_j({"fp64_mul": 1}, {}, 0), ValueError,
     "operation 'fp64_mul' is not in the table '45 nm, 0.9 V', which has int8_add, int32_add, fp16_add, fp32_add, "
     "int8_mul, int32_mul, fp16_mul, fp32_mul; use one of these"),
    (lambda: energy_j({"fp32_mul": -1}, {}, 0), ValueError,
     "operations['fp32_mul'] must be a whole number of 0 or more, got -1; pass how often it is done"),
    (lambda: energy_j({}, {4096: 8}, 0), ValueError,
     "a cache of 4096 bytes is outside the table '45 nm, 0.9 V', which goes from 8192 to 1048576; "
     "take the nearer of the two and say so"),
    (lambda: energy_j({}, {32768: -8}, 0), ValueError,
     "cache_bytes[32768] must be a whole number of 0 or more, got -8; pass the bytes moved"),
    (lambda: energy_j({}, {}, 0.5), TypeError,
     "dram_bytes must be a whole number of 0 or more, got 0.5; pass the bytes moved"),
    (lambda: HOROWITZ_45NM.cache_access_j(0), ValueError,
     "size_bytes must be a whole number of 1 or more, got 0; pass the size of the cache in bytes"),
    (changed(dram_j=(2e-9, 1e-9)), ValueError,
     "dram_j must be (low, high), got (2e-09, 1e-09); pass the lower figure first"),
    (changed(operation_j={"fp32_mul": 0}), ValueError,
     "operation_j['fp32_mul'] must be a finite number above 0, got 0; pass joules"),
    (changed(cache_j={}), ValueError, "cache_j must hold at least one cache, got none; pass {size_bytes: j}"),
    (changed(access_bytes=0), ValueError,
     "access_bytes must be a whole number of 1 or more, got 0; pass the bytes of one access"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", BAD)
def test_bad_input_is_refused_with_a_reason(call: Callable, kind: type, message: str):
    with pytest.raises(kind, match=says(message)):
        call()
