"""The seconds of slow cells: what a build records, and what a page must say of it."""

import json
from pathlib import Path

import pytest
from build_support import SOURCE, house, run

from teach.build import pages, seconds
from teach.build.notebook import cell_ids
from teach.build.source import read_source

SLOW = """
# %% [markdown]
# Now it is done for all numbers. This takes about 8 seconds.

# %% name="out-slow"
for one in tqdm(range(9)):
    print(one)
"""


def lesson(root: Path, text: str = SOURCE + SLOW, **cells: float):
    """A lesson with a record."""
    path = house(root, text)
    stated = {"07_twice": {"total_s": 9, "cells": {name.replace("_", "-"): took for name, took in cells.items()}}}
    (path.parent / "seconds.json").write_text(json.dumps(stated))
    return read_source(path)


def said(source) -> list[str]:
    return [sentence for _, sentence in seconds.unannounced(source, cell_ids(source))]


# ---- the record


@pytest.mark.parametrize(
    ("measured", "before", "kept"),
    [
        (8.4, None, 8),
        (14.2, None, 10),
        (17, None, 20),
        (0.26, None, 0.3),
        (0.0, None, 0.0),
        (15.9, 8, 8),
        (16.1, 8, 20),
        (4.1, 8, 8),
        (3.9, 8, 4),
    ],
)
def test_a_time_has_one_digit_and_stays_while_the_new_one_is_close(measured, before, kept):
    assert seconds.settled(measured, before) == kept


def test_only_slow_cells_of_the_lesson_are_recorded_and_a_close_build_changes_nothing(tmp_path):
    source = read_source(house(tmp_path, SOURCE + SLOW))
    ids = set(cell_ids(source))
    seconds.record(source, {"out-slow": 6.4, "ex-7-1": 2.9, "claims": 50.0}, ids)
    path = source.path.parent / "seconds.json"
    assert json.loads(path.read_text()) == {"07_twice": {"cells": {"out-slow": 6}, "total_s": 9}}
    before = path.stat().st_mtime_ns, path.read_bytes()
    seconds.record(source, {"out-slow": 11.0, "ex-7-1": 3.0, "claims": 1.0}, ids)  # 14 and 11 are close to 9 and 6
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    seconds.record(source, {"out-slow": 2.9}, ids)  # less than half of 6, and slow no more
    assert json.loads(path.read_text()) == {"07_twice": {"cells": {}, "total_s": 3}}
    seconds.record(source, {"out-slow": 3.4}, ids)  # 3, rounded
    assert json.loads(path.read_text()) == {"07_twice": {"cells": {}, "total_s": 3}}


def test_a_record_leaves_those_of_other_lessons(tmp_path):
    source = read_source(house(tmp_path))
    (source.path.parent / "seconds.json").write_text('{"01_a": {"total_s": 5, "cells": {"out-a": 4}}}')
    seconds.record(source, {"ex-7-1": 20.0}, {"ex-7-1"})
    assert seconds.read(source.path.parent)["01_a"] == seconds.Seconds(5, {"out-a": 4})
    assert seconds.recorded(source) == seconds.Seconds(20, {"ex-7-1": 20})


def test_a_build_records_what_it_measured(tmp_path):
    house(tmp_path, SOURCE.replace("print(sum([2, 2]))", "import time\ntime.sleep(3.6)"))
    assert run(tmp_path) == 0
    (found,) = seconds.read(tmp_path / "solutions").values()
    assert len(found.cells) == 1 and found.total_s >= 3


def test_check_finds_a_record_of_a_cell_that_is_gone(tmp_path, capsys):
    house(tmp_path)
    assert run(tmp_path) == 0
    lesson(tmp_path, SOURCE, out_gone=9)
    assert run(tmp_path, "--check") == 1
    assert "solutions/seconds.json: there is no cell out-gone; run: python -m teach.build 07" in capsys.readouterr().err


# ---- what a page says of it


def test_a_slow_cell_with_a_bar_and_its_seconds_before_it_is_announced(tmp_path):
    assert said(lesson(tmp_path, out_slow=8)) == []


@pytest.mark.parametrize(("took", "right"), [(16, True), (17, False), (4, True), (3.9, False)])
def test_the_text_may_be_off_by_a_factor_of_two(took, right, tmp_path):
    assert bool(said(lesson(tmp_path, out_slow=took))) != right


@pytest.mark.parametrize(
    ("words", "durations"),
    [
        ("takes about 8 seconds, or about 1 second", [8, 1]),
        ("about half a minute; about a minute; about 2 minutes", [30, 60, 120]),
        ("8 seconds, in about five seconds, about 8 secondary", []),
    ],
)
def test_durations_in_a_text(words, durations):
    assert seconds.said_s(words) == durations


def test_a_slow_cell_without_a_bar(tmp_path):
    no_bar = SOURCE + SLOW.replace("tqdm(range(9))", "range(9)")
    assert said(lesson(tmp_path, no_bar, out_slow=8)) == [
        "this cell takes about 8 seconds and shows no progress; loop over tqdm(...), or hand progress= a callback"
    ]
    assert (
        said(lesson(tmp_path, no_bar.replace("    print", "    work(one, progress=bar.update)\n    print"), out_slow=8))
        == []
    )


def test_the_bar_may_be_in_a_function_that_an_earlier_cell_defined(tmp_path):
    helper = "\n# %%\ndef all_of(numbers):\n    return [one for one in tqdm(numbers)]\n"
    text = SOURCE + helper + SLOW.replace("tqdm(range(9))", "all_of(range(9))")
    assert said(lesson(tmp_path, text, out_slow=8)) == []
    assert said(lesson(tmp_path, text.replace("tqdm(numbers)", "numbers"), out_slow=8)) != []


def test_a_slow_cell_whose_text_says_no_time(tmp_path):
    silent = SOURCE + SLOW.replace(" This takes about 8 seconds.", "")
    assert said(lesson(tmp_path, silent, out_slow=8)) == [
        'this cell took about 8 seconds, and the Markdown before it says none; write "This takes about 8 seconds."'
    ]


def test_the_rule_is_one_of_those_of_a_quiet_page(tmp_path):
    source = lesson(tmp_path, SOURCE + SLOW.replace("8", "30"), out_slow=8)
    (found,) = pages.problems(source)
    assert "took about 8 seconds, and the Markdown before it says 30; write" in found
