"""How far the calculator is from published measurements, and that its constants are few and each is needed.

The bars of the errors are those that the calculator promises, not what it happens to reach.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.efficiency import IDEAL
from mini_lib.llm.cost.engines import GENERATION_2023
from mini_lib.llm.published.fit import CONSTANTS_2023, ComparedRow, compare, fit_engines, median_error, predicted_s
from mini_lib.llm.published.rows import halves, published_rows

ENGINES = {engine.name: engine for engine in GENERATION_2023}
ROWS = published_rows()
CALIBRATION, HELD_OUT = halves(ROWS)


def in_parallel(row):
    return row.kind == "throughput" and row.tensor_parallel > 1


def of_kind(kind):
    return lambda row: row.kind == kind


def loss(checks):
    """What the fit makes small: squares of small errors, distances of large ones (soft_l1 with a scale of 5%)."""
    return sum(0.05**2 * ((1 + (np.log1p(one.error) / 0.05) ** 2) ** 0.5 - 1) for one in checks)


@pytest.fixture(scope="module")
def fitted():
    return fit_engines(CALIBRATION, CONSTANTS_2023)


@pytest.fixture(scope="module")
def exchanged():
    return compare(CALIBRATION, fit_engines(HELD_OUT, CONSTANTS_2023))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.configuration)
def test_the_ideal_bounds_every_published_row(row):
    assert predicted_s(row, IDEAL) <= row.seconds


@pytest.mark.parametrize(
    "where, bar",
    [(lambda row: True, 0.10), (in_parallel, 0.20), (of_kind("decode"), 0.15), (of_kind("ttft"), 0.15)],
    ids=["all rows", "throughput, tensor parallel", "decode", "time to first token"],
)
def test_rows_that_were_not_fitted_are_predicted(where, bar):
    assert median_error(compare(HELD_OUT, ENGINES), where) <= bar


@pytest.mark.parametrize(
    "where, bar",
    [(lambda row: True, 0.10), (in_parallel, 0.20), (of_kind("decode"), 0.15), (of_kind("ttft"), 0.15)],
    ids=["all rows", "throughput, tensor parallel", "decode", "time to first token"],
)
def test_it_was_not_luck_of_the_split(where, bar, exchanged):
    """Fitted on the half that was held out, the constants predict the other half as well."""
    assert median_error(exchanged, where) <= bar


def test_the_shipped_constants_are_what_the_fit_gives(fitted):
    for row in ROWS:
        assert predicted_s(row, ENGINES[row.engine]) == pytest.approx(predicted_s(row, fitted[row.engine]), rel=0.01)


def test_the_fit_does_not_depend_on_the_order_of_rows(fitted):
    backwards = fit_engines(CALIBRATION[::-1], CONSTANTS_2023)
    for row in ROWS:  # the search ends where a step gains less than a hundred-millionth of the loss
        assert predicted_s(row, backwards[row.engine]) == pytest.approx(predicted_s(row, fitted[row.engine]), rel=1e-3)


@pytest.mark.parametrize("place", range(len(CONSTANTS_2023)), ids=[constant for constant, *_ in CONSTANTS_2023])
def test_every_constant_earns_its_place(place, fitted):
    """Without it, and all others fitted anew, the loss of the calibration half is at least a tenth higher.

    A constant that explains nothing still makes up for the chance of about one row, and there are 86.
    """
    without = fit_engines(CALIBRATION, CONSTANTS_2023[:place] + CONSTANTS_2023[place + 1 :])
    assert loss(compare(CALIBRATION, without)) > 1.1 * loss(compare(CALIBRATION, fitted))


def test_constants_are_few():
    assert len(CONSTANTS_2023) <= 8
    assert len(CALIBRATION) >= 10 * len(CONSTANTS_2023)
    assert set(ENGINES) == {row.engine for row in ROWS}


def test_nothing_but_the_fitted_constants_differs_from_the_ideal():
    for engine, efficiency in ENGINES.items():
        own = {name: getattr(efficiency, name) for name, engines, *_ in CONSTANTS_2023 if engine in engines}
        ideal = replace(IDEAL, unfused=1.0, **own)
        for field in fields(ideal):
            assert getattr(efficiency, field.name) == getattr(ideal, field.name)


# the split ---------------------------------------------------------------------------------------------


@given(row=st.sampled_from(ROWS), seconds=st.floats(1e-6, 1e3), source=st.text())
def test_neither_the_figure_nor_who_measured_it_chooses_the_half(row, seconds, source):
    assert replace(row, seconds=seconds, source=source).calibrates == row.calibrates


@given(rows=st.permutations(ROWS))
def test_the_order_does_not_choose_the_half(rows):
    calibration, held_out = halves(rows)
    assert set(calibration) == set(CALIBRATION) and set(held_out) == set(HELD_OUT)


def test_the_same_run_lands_on_the_same_half():
    sides = {}
    for row in ROWS:
        sides.setdefault(row.configuration, set()).add(row.calibrates)
    assert all(len(side) == 1 for side in sides.values())


def test_the_halves_are_about_halves_and_each_has_every_kind():
    # 168 fair coins lie within five standard deviations (6.5 each) of 84
    assert abs(len(CALIBRATION) - len(ROWS) / 2) < 5 * (len(ROWS) / 4) ** 0.5
    for half in (CALIBRATION, HELD_OUT):
        assert {row.kind for row in half} == {"throughput", "ttft", "decode"}
        assert {row.engine for row in half} == set(ENGINES)


# the tools ---------------------------------------------------------------------------------------------


def test_an_error_by_hand():
    row = ROWS[0]
    slow, fast = ComparedRow(row, 1.25 * row.seconds, 0), ComparedRow(row, 0.9 * row.seconds, 0)
    assert slow.error == pytest.approx(0.25)
    assert fast.error == pytest.approx(-0.1)
    assert median_error([slow, fast]) == pytest.approx((0.25 + 0.1) / 2)


def test_a_fit_finds_constants_that_made_the_figures():
    """Figures that the calculator made itself, with constants unlike the first guesses."""
    true = {
        engine: replace(
            IDEAL,
            matmul_16=0.5,
            matmul_8=0.4,
            bandwidth=0.7,
            launch_s=90e-6,
            prefill_launch_s=300e-6,
            kv_reread=0.2,
            collective_s=0 if engine == "gpt-fast 2023" else 5e-6,
            unpack_ops=20 if "Metal" in engine else 0,
            unfused=1.0,
        )
        for engine in ENGINES
    }
    found = fit_engines(
        [replace(row, seconds=predicted_s(row, true[row.engine])) for row in CALIBRATION], CONSTANTS_2023
    )
    for engine, efficiency in found.items():
        for name, engines, *_ in CONSTANTS_2023:
            if engine in engines:
                assert getattr(efficiency, name) == pytest.approx(getattr(true[engine], name), rel=1e-3)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="need at least 8 rows for 8 constants, got 7; add rows"):
        fit_engines(ROWS[:7], CONSTANTS_2023)


def test_a_median_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no row is left to take a median of; widen `where`"):
        median_error(compare(ROWS[:3], ENGINES), lambda row: False)
