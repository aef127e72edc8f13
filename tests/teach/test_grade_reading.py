"""What the grader makes of files, folders and cells, before anything is run."""

import hashlib
import json
import os
import re
import sys
from pathlib import Path

import pytest
from grading_class.notebooks import RIGHT, as_notebook, code, lesson, lesson_cells
from hypothesis import given, settings
from hypothesis import strategies as st

from teach.grading.facts import Facts, facts_of
from teach.grading.folder import find_submissions, student_of
from teach.grading.lesson import lesson_of
from teach.grading.notebook import MOST_BYTES, MOST_CELLS, Cell, cells_of, read_notebook
from teach.grading.steps import steps_of
from teach.grading.text import harmless, shown
from teach.grading.wire import MOST_LINE_BYTES, Report, decode, encode

NOT_A_NOTEBOOK = {
    b"not json": "is not JSON (Expecting value: line 1 column 1 (char 0)), expected a notebook: was the file cut off?",
    b"\xff\xfe{\x00}\x00": "is not UTF-8 text (byte 0), expected a notebook: save it again in JupyterLab",
    b"[]": "is JSON, but a list, expected a notebook",
    b"[" * 200_000: "is JSON nested too deeply, expected a notebook",
    b'{"cells": []}': "has nbformat None, expected 4: open it in JupyterLab and save it again",
    b'{"nbformat": 3, "worksheets": []}': "has nbformat 3, expected 4: open it in JupyterLab and save it again",
    b'{"nbformat": 4, "cells": {}}': "has no list of cells, expected a notebook",
    b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": " "}]}': "has no code cell with code in it, expected a",
    b'{"nbformat": ' + b"9" * 5000 + b"}": "is not JSON (Exceeds the limit (4300 digits) for integer string conversion",
}


@pytest.mark.parametrize("content", NOT_A_NOTEBOOK, ids=lambda content: content[:20].decode("latin-1"))
def test_a_broken_file_says_what_is_wrong(content):
    with pytest.raises(ValueError) as caught:
        cells_of(content)
    assert str(caught.value).startswith(NOT_A_NOTEBOOK[content])


def test_files_that_are_not_read_at_all(tmp_path):
    def why_not(path: Path) -> str:
        with pytest.raises(ValueError) as caught:
            read_notebook(path)
        return str(caught.value)

    big, empty = tmp_path / "big.ipynb", tmp_path / "empty.ipynb"
    with big.open("wb") as file:
        file.truncate(50 * 10**6)
    empty.touch()
    assert MOST_BYTES == 33_554_432
    assert why_not(big) == "has 50 MB, expected at most 34 MB: clear its outputs"
    assert why_not(empty) == "is empty, expected a notebook: save it again"
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.ipynb")
        (tmp_path / "link.ipynb").symlink_to("/dev/zero")
        assert why_not(tmp_path / "pipe.ipynb") == "is not a regular file, expected a notebook"
        assert why_not(tmp_path / "link.ipynb") == "is a link, expected the notebook itself: copy it here"


def test_cells_are_read_as_they_lie(tmp_path):
    cells = [
        code("a", "x = 1\n"),
        {"cell_type": "markdown", "source": "y"},
        {"cell_type": "code", "source": ["z = 1\n", 5, "w = 2"]},
    ]
    (tmp_path / "a.ipynb").write_bytes(b"\xef\xbb\xbf" + as_notebook(cells).encode())  # with a byte order mark
    assert read_notebook(tmp_path / "a.ipynb") == (Cell(1, "a", "x = 1\n"), Cell(2, "", "z = 1\nw = 2"))


@pytest.mark.parametrize(
    ("file", "student"),
    [
        ("alice.ipynb", "alice"),
        ("90_test_alice.ipynb", "alice"),
        ("alice-90_test.ipynb", "alice"),
        ("90_test.ipynb", "90_test"),
        ("alice/90_test.ipynb", "alice"),
        ("alice/90_test/90_test.ipynb", "alice"),  # nbgrader's submitted/
        ("Jane Doe_4711_assignsubmission_file/90_test.ipynb", "Jane Doe"),  # Moodle, with folders
        ("Jane Doe_4711_assignsubmission_file_/90_test.ipynb", "Jane Doe"),
        ("Jane Doe_4711_assignsubmission_file_90_test.ipynb", "Jane Doe"),  # Moodle, without
        ("doejane_12345_678901_90_test.ipynb", "doejane"),  # Canvas
        ("doejane_LATE_12345_678901_90_test-1.ipynb", "doejane"),
        ("Lesson 90_s1234_attempt_2026-03-01-10-00-00_90_test.ipynb", "s1234"),  # Blackboard
    ],
)
def test_whose_a_notebook_is(file, student):
    assert student_of(file, ("90_test",)) == student


def test_submissions_are_found_in_order_and_nothing_else(tmp_path):
    names = ["bob/a.ipynb", "bob/b.ipynb", "Ann.ipynb", "zed/deep/er/c.IPYNB", "out/old.ipynb", "eve/notes.txt"]
    names += [
        "bob/.ipynb_checkpoints/a-checkpoint.ipynb",
        "__MACOSX/x.ipynb",
        ".hidden.ipynb",
        "bob/solutions/90_test.ipynb",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_submissions(tmp_path, besides=tmp_path / "out")
    assert [(one.student, one.file, one.path is None) for one in found] == [
        ("Ann", "Ann.ipynb", False),
        ("bob", "bob/a.ipynb", False),
        ("bob", "bob/b.ipynb", False),
        ("eve", "eve/", True),
        ("zed", "zed/deep/er/c.IPYNB", False),
    ]


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a folder; expected the folder of the submitted notebooks"):
        find_submissions(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "binds", "uses"),
    [
        ("import a.b, c as d\nfrom e import f", {"a", "d", "f"}, set()),
        ("x = y\nz = x", {"x", "z"}, {"y"}),
        ("x = x + 1", {"x"}, {"x"}),
        ("def f(p):\n    q = p\n    return r + q", {"f"}, {"r"}),
        ("def f():\n    global g\n    g = 1", {"f", "g"}, set()),
        ("class A:\n    b = c", {"A"}, {"c"}),
        ("from math import *", {"*"}, set()),
        ("%matplotlib inline\nx = 1", {"x"}, set()),
        ("%%time\nx = 1", {"x"}, set()),
        ("%%bash\nrm -r *", set(), set()),
        ("!pip install this\nhelp?\nx = 1", {"x"}, set()),
        ("def (", set(), set()),
        ("-" * 10**6 + "1", set(), set()),
        ("x = 1\x00", set(), set()),
    ],
)
def test_names_of_a_cell(text, binds, uses):
    facts = facts_of(text)
    assert (facts.binds, facts.uses) == (binds, uses)
    assert Facts.from_json(facts.to_json()) == facts


def test_checks_of_a_cell():
    assert facts_of('check("90.1")') == Facts(frozenset(), frozenset({"check"}), ("90.1",), True)
    assert facts_of('x = 1\ncheck("90.1")').only_checks is False
    assert facts_of("check(x)").checks == ()


def plan(cells: list[dict], tmp_path: Path) -> list[int | str]:
    """The steps of a notebook: numbers of code cells, and exercises."""
    seen = [(cell, facts_of(cell.text)) for cell in cells_of(as_notebook(cells).encode())]
    return [step.exercise or step.cell.number for step in steps_of(seen, lesson(tmp_path))]


# The lesson's code cells: 1 imports, 2 a slow demonstration, 3 BITS = 8, then 4, 6, 8 exercises and 5, 7, 9 checks.
def test_only_what_is_needed_is_run(tmp_path):
    assert plan(lesson_cells(RIGHT), tmp_path) == [1, 4, "90.1", 6, "90.2", 8, "90.3"]


def test_a_demonstration_is_run_where_an_answer_uses_its_name(tmp_path):
    assert plan(lesson_cells({"90.2": "return count * bits / BITS"}), tmp_path) == [3, 4, "90.1", 6, "90.2", 8, "90.3"]


def test_cells_of_the_learner_are_run_up_to_the_last_exercise(tmp_path):
    assert plan(lesson_cells({}, before="print(1)", after="print(2)"), tmp_path) == [4, 5, "90.1", 7, "90.2", 9, "90.3"]


def test_a_demonstration_of_an_older_lesson_is_left_out(tmp_path):
    text = "time.sleep(1000)"
    built = code(hashlib.sha256(f"code\n{text}".encode()).hexdigest()[:10] + "_2", text)
    assert plan([built, *lesson_cells({})], tmp_path) == [5, "90.1", 7, "90.2", 9, "90.3"]
    assert plan([built | {"source": text + "  # mine"}, *lesson_cells({})], tmp_path)[0] == 1


def test_cells_are_known_without_their_ids(tmp_path):
    cells = [{key: value for key, value in cell.items() if key != "id"} for cell in lesson_cells(RIGHT)]
    assert plan(cells, tmp_path) == [1, 4, "90.1", 6, "90.2", 8, "90.3"]


def test_an_exercise_is_tried_where_it_is_checked_last_or_at_the_end(tmp_path):
    cells = lesson_cells({})
    again = [*cells, code("own", 'check("90.1")')]
    assert plan(again, tmp_path) == [4, 6, "90.2", 8, "90.3", "90.1"]
    without = [cell for cell in cells if cell["id"] != "check-90-2"]
    assert plan(without, tmp_path) == [4, "90.1", 6, 7, "90.3", "90.2"]
    merged = [*cells[:4], code("ex-90-1", cells[4]["source"] + '\ncheck("90.1")'), *cells[6:]]
    assert plan(merged, tmp_path)[:3] == [1, 4, "90.1"]  # the cell now uses `check`, which cell 1 imports


def test_the_lesson_is_told_by_its_exercises(tmp_path):
    one = lesson(tmp_path)
    seen = [(cell, facts_of(cell.text)) for cell in cells_of(as_notebook(lesson_cells({})).encode())]
    assert lesson_of(seen, (one,)) == one
    assert lesson_of([(Cell(1, "", "x = 1"), facts_of("x = 1"))], (one,)) is None
    assert lesson_of([(Cell(1, "", "def largest(w): pass"), facts_of("def largest(w): pass"))], (one,)) == one


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["begin", "end"]) | st.just([[]])


@given(st.binary(max_size=40) | st.lists(ANYTHING, max_size=4).map(lambda content: json.dumps(content).encode()))
@settings(deadline=None)
def test_a_line_is_a_report_or_an_error(line):
    try:
        report = decode(line)
    except ValueError as error:
        assert "expected" in str(error) or "whose" in str(error)
    else:
        assert decode(encode(report)) == report


@pytest.mark.parametrize(
    "line",
    [
        b'["end", -1, ""]',
        b'["end", 1.0, ""]',
        b'["end", true, ""]',
        b'["end", 1, null]',
        b'["win", 1, ""]',
        b'[["end"], 1, ""]',
        b"[" * 9000,
    ],
)
def test_a_forged_line_is_refused(line):
    with pytest.raises(ValueError):
        decode(line)


def test_a_report_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=f"expected at most {MOST_LINE_BYTES}"):
        encode(Report("outcome", 1, "x" * MOST_LINE_BYTES))


FORMULAS = "=+-@＝＋－＠"


@given(st.text() | st.lists(st.sampled_from([*FORMULAS, *";|\t\n\r\"' ,x\u202e\u200b\x1b"])).map("".join))
@settings(deadline=None)
def test_no_text_becomes_a_formula(text):
    cell = harmless(text)
    assert not cell.startswith(("\t", "\r")) and len(cell.splitlines()) <= 1
    # Wherever a spreadsheet may split the line, no part is a formula, with quotes around it or without.
    assert not any(part.lstrip('" ').startswith(tuple(FORMULAS)) for part in re.split("[;|]", cell))


def test_harmless_text_stays():
    assert harmless("Zoë  O'Hara") == "Zoë O'Hara"
    assert harmless("a - b = c; d") == "a - b = c; d"
    assert harmless("\t =SUM(A1)") == "'=SUM(A1)"
    assert harmless('x;=1; "@2|+3') == "x;'=1; \"'@2|'+3"


def test_shown_text_is_visible_on_one_line_and_short():
    assert shown("a\u202eb\x00c\u200bd\x1b[2Je\u2028f") == "a b c d [2Je f"
    assert shown("ä" * 10, most=10) == "ä" * 10 and shown("ä" * 11, most=10) == "ä" * 7 + "..."
    assert len(shown("\t" * 10**7 + "x")) == 0


def test_a_notebook_of_too_many_cells():
    cells = [code("a", "x = 1")] * (MOST_CELLS + 1)
    assert len(cells_of(as_notebook(cells[1:]).encode())) == MOST_CELLS
    with pytest.raises(ValueError, match="has 2001 code cells, expected at most 2000: keep those of the lesson"):
        cells_of(as_notebook(cells).encode())
