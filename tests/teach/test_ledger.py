"""The ledger: one row a technique, kept from lesson to lesson."""

import json
from dataclasses import asdict

import pytest

from mini_lib.measure import Row
from teach import ledger


def row(name, **more):
    return Row(name, **(dict(parameters=10, macs=20, stored_bytes=2048, median_s=2e-3, low_s=1e-3, high_s=3e-3) | more))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_an_empty_ledger_says_so():
    assert repr(ledger()) == "The ledger is empty: each lesson adds a row at its end."
    assert "The ledger is empty" in ledger()._repr_html_()


def test_rows_of_all_lessons_in_order_of_their_lesson():
    ledger(row("int4", accuracy=0.9), lesson=2)
    ledger(row("pruned"), lesson=10)
    found = ledger(row("dense"), lesson=1)
    assert found.rows == ((1, row("dense")), (2, row("int4", accuracy=0.9)), (10, row("pruned")))
    names = [line.split("  ")[0].strip() for line in repr(found).splitlines()]
    assert names == ["model", "01 dense", "02 int4", "10 pruned"]
    assert "02 int4" in found._repr_html_() and repr(ledger()) == repr(found)


def test_a_cell_that_is_run_again_replaces_its_row():
    ledger(row("dense", stored_bytes=4096), lesson=1)
    assert ledger(row("dense"), lesson=1).rows == ((1, row("dense")),)


def test_a_row_from_another_version_is_left_out_and_kept(home):
    ledger(row("dense"), lesson=1)
    (_,) = (home / "ledger").iterdir()
    (home / "ledger" / "old.json").write_text(json.dumps({"key": "old", "lesson": 1, "row": {"joules": 3}}))
    assert len(ledger().rows) == 1
    assert (home / "ledger" / "old.json").exists()


def test_a_row_that_cannot_be_saved_is_still_shown(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    found = ledger(row("dense"), lesson=1)
    assert found.rows == ((1, row("dense")),) and "The row could not be saved" in repr(found)


def test_what_is_no_row_is_refused():
    with pytest.raises(TypeError, match="row must be a measure.Row, got dict"):
        ledger({"name": "dense"}, lesson=1)
    with pytest.raises(ValueError, match="lesson is missing for the row 'dense'; give its number, such as lesson=2"):
        ledger(row("dense"))
    with pytest.raises(TypeError, match="beside must be a measure.Row, got str"):
        ledger(row("dense"), lesson=1, beside="small_cnn")


def test_a_time_is_compared_with_that_of_its_own_run():
    dense = row("dense", median_s=4e-3)
    ledger(dense, lesson=1, beside=dense)
    ledger(row("int4", median_s=1e-3), lesson=2, beside=row("dense", median_s=2e-3))  # a faster day
    found = ledger(row("alone"), lesson=3)
    assert [line[-1] for line in found.lines()] == ["time in its own run", "1", "0.50 x dense", "-"]
    assert "0.50 x dense" in repr(ledger()) and "0.50 x dense" in ledger()._repr_html_()


def test_a_row_that_cannot_be_saved_replaces_the_older_one_and_says_so_in_the_notebook(monkeypatch):
    ledger(row("dense", median_s=9e-3), lesson=1)
    monkeypatch.setattr("teach.store.save", lambda *_: (_ for _ in ()).throw(OSError("the disk is full & done")))
    found = ledger(row("dense"), lesson=1)
    assert found.rows == ((1, row("dense")),)
    assert "could not be saved: the disk is full &amp; done" in found._repr_html_()


@pytest.mark.parametrize("damage", [{"lesson": float("inf")}, {"lesson": 1e308}, {"row": 3}])
def test_a_damaged_row_is_left_out(home, damage):
    ledger(row("dense"), lesson=1)
    whole = {"lesson": 2, "row": asdict(row("a"))}
    (home / "ledger" / "damaged.json").write_text(json.dumps({"key": "x"} | whole | damage))
    assert len(ledger().rows) == 1 and repr(ledger())


def test_a_damaged_comparison_leaves_the_row(home):
    ledger(row("dense"), lesson=1, beside=row("dense"))
    (path,) = (home / "ledger").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"beside": "small_cnn"}))
    assert ledger().lines()[1][-1] == "-"


def test_a_lessons_number_is_whole():
    with pytest.raises(TypeError, match="lesson must be a whole number"):
        ledger(row("dense"), lesson="2")
