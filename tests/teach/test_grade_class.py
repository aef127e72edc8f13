"""A whole class, graded once: the table to the last character, and nothing left behind."""

import html
import os
import re
import sys
from pathlib import Path

import pytest
from grading_class.notebooks import class_of_notebooks, lesson

from teach.grade import write
from teach.grading.gradebook import grade_class
from teach.grading.limits import GIB, Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel keeps these rules on Linux only")

# Two notebooks loop for ever: they cost 5 s each. All others take milliseconds, also on a busy machine.
LIMITS = Limits(time_s=60, step_time_s=5, memory_bytes=1 * GIB)

TABLE = """\
student,file,lesson,90.1,90.1 points,90.2,90.2 points,90.3,90.3 points,points,out_of,note
'=1+1,'=1+1.ipynb,90,passed,1,passed,1,not yet,0,2,4,
ada,ada.ipynb,90,passed,1,passed,1,passed,2,4,4,
ann,ann.ipynb,90,not yet,0,passed,1,passed,2,3,4,Code cell 4: SyntaxError: too deeply nested for Python.; \
Code cell 5: SyntaxError: '(' was never closed (line 2: `return (weight`).
ben,ben.ipynb,90,not attempted,0,not attempted,0,not attempted,0,0,4,
cem,cem.ipynb,90,not yet,0,not yet,0,passed,2,2,4,
dia,dia.ipynb,90,passed,1,stopped,0,passed,2,3,4,
eli,eli.ipynb,90,passed,1,passed,1,passed,2,4,4,Code cell 4: it did not finish within 5 s.
fay,fay.ipynb,90,stopped,0,passed,1,passed,2,3,4,
gus,gus.ipynb,90,passed,1,stopped,0,passed,2,3,4,
hal,hal.ipynb,,,,,,,,0,4,"the file is not JSON (Unterminated string starting at: line 1 column 17 (char 16)), \
expected a notebook: was the file cut off?"
ida,ida.ipynb,90,not yet,0,passed,1,passed,2,3,4,
jon,jon.ipynb,90,passed,1,passed,1,passed,2,4,4,
kim,kim.ipynb,90,not yet,0,not yet,0,passed,2,2,4,
lea,lea.ipynb,90,not yet,0,passed,1,passed,2,3,4,
mia,mia.ipynb,90,not yet,0,passed,1,passed,2,3,4,"Code cell 4: PermissionError: grading lets a notebook change its own \
folder only, not CANARY (shutil.rmtree) (line 2: `shutil.rmtree('CANARY')`)."
ned,ned.ipynb,90,not yet,0,stopped,0,passed,2,2,4,Code cell 4: SystemExit (line 1: `raise SystemExit`).
ola,ola.ipynb,90,not yet,0,passed,1,passed,2,3,4,
pam,pam.ipynb,90,passed,1,passed,1,passed,2,4,4,
quin,quin.ipynb,90,not yet,0,not yet,0,not yet,0,0,4,
rex,rex.ipynb,90,stopped,0,passed,1,not yet,0,1,4,
sam,sam.ipynb,,,,,,,,0,4,holds no exercise of 90_test
uli,uli/final version.ipynb,90,passed,1,passed,1,passed,2,4,4,
vic,vic.ipynb,90,stopped,0,passed,1,passed,2,3,4,
wim,wim.ipynb,90,not attempted,0,not attempted,0,not attempted,0,0,4,
xia,xia.ipynb,90,passed,1,passed,1,passed,2,4,4,
yan,yan/,,,,,,,,0,4,no notebook in this folder
zoe<b>,zoe<b>.ipynb,90,not yet,0,passed,1,passed,2,3,4,Code cell 4: ValueError: <script>alert(1)</script> \
(line 1: `raise ValueError('<script>alert(1)</script>')`).
"""

# What the report tells whom: (student, exercise, the beginning of the message).
TOLD = [
    ("ann", "90.1", "Its cell did not define `largest`. Code cell 5: SyntaxError: '(' was never closed (line 2:"),
    ("cem", "90.1", "The largest weight may be negative: take the largest magnitude. For `weight = [-2.0, 1.0]` you"),
    ("dia", "90.2", "At `stored_bytes(8, bits=1)`: it did not finish within 5 s."),
    ("fay", "90.1", "At `largest([1.0, 0.5])`: it ended the process (exit status 0)."),
    ("gus", "90.2", "At `stored_bytes(8, bits=1)`: it ran out of memory (limit 1 GiB)."),
    ("ida", "90.1", "`largest([1.0, 0.5])` raised PermissionError: grading starts no other process (os.fork)."),
    ("kim", "90.1", "The largest weight may be negative: take the largest magnitude."),
    ("lea", "90.1", "`largest([1.0, 0.5])` raised URLError:"),
    ("ned", "90.1", "`largest([1.0, 0.5])` raised SystemExit: 1."),
    ("ned", "90.2", "At `stored_bytes(8, bits=1)`: it raised KeyboardInterrupt."),
    ("ola", "90.1", "`largest([1.0, 0.5])` raised RecursionError: maximum recursion depth exceeded."),
    ("rex", "90.1", "At `largest([1.0, 0.5])`: it returned too much to compare (more than 20000 items or 3 MiB)."),
    ("rex", "90.3", "The values are right, but your function changed its argument `weight`"),
    ("vic", "90.1", "At `largest([1.0, 0.5])`: it crashed the process (signal 11)."),
]


def processes_of_this_test() -> list[str]:
    """Command lines of the running processes that carry the grader's mark: its own process is not one of them."""
    mark, found = f"COURSE_GRADER={os.getpid()}".encode(), []
    for about in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in about.read_bytes().split(b"\0"):
                found.append((about.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or belongs to somebody else
            continue
    return found


def hand_in(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("school")


@pytest.fixture(scope="module")
def seen_while_running():
    return []


@pytest.fixture(scope="module")
def book(place, seen_while_running):
    hand_in(place / "canary", {"keep.txt": "keep me"})
    folder = hand_in(place / "class", class_of_notebooks(place / "canary"))

    def progress(done: int, all: int) -> None:
        seen_while_running.append((done, all, len(processes_of_this_test())))

    return grade_class(folder, [lesson(place)], limits=LIMITS, jobs=2, progress=progress)


@pytest.fixture(scope="module")
def out(book, place):
    write(book, place / "out")
    return place / "out"


def test_the_table_is_right(out, place):
    text = (out / "grades.csv").read_text(encoding="utf-8-sig")
    assert text.replace(str(place / "canary"), "CANARY") == TABLE


@pytest.mark.parametrize(("student", "exercise", "beginning"), TOLD)
def test_each_student_is_told_what_happened(book, student, exercise, beginning):
    (row,) = [row for row in book.rows if row.student == student]
    (mark,) = [mark for mark in row.marks if mark.id == exercise]
    assert mark.message.startswith(beginning)


def test_nothing_is_left_running(book, seen_while_running):
    # The search finds what it looks for: while the class is graded, there are two keepers.
    assert min(count for _, _, count in seen_while_running[:-1]) >= 2
    assert processes_of_this_test() == []


def test_progress_counts_every_submission(book, seen_while_running):
    assert [(done, all) for done, all, _ in seen_while_running] == [(n, 27) for n in range(1, 28)]


def test_nothing_is_changed_outside(book, place):
    assert [path.name for path in (place / "canary").iterdir()] == ["keep.txt"]
    assert sorted(path.relative_to(place / "class").as_posix() for path in (place / "class").rglob("*.*")) == sorted(
        class_of_notebooks(place / "canary")
    )


def test_the_kernel_keeps_the_rules_here(book):
    assert book.protections == {"memory", "files", "processes and network"}


def test_the_report_says_what_a_teacher_asks(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    plain = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))
    assert "27 submissions; 24 graded, 3 not: see below." in plain
    assert "90.1 The largest magnitude 38% 9 10 2 3" in plain  # 9 of 24 passed, 10 not yet, 2 not attempted, 3 stopped
    assert "2 90.1 The largest weight may be negative: take the largest magnitude. cem, kim" in plain
    assert plain.index("2 90.1 The largest weight") < plain.index("1 90.2 A part of a byte takes a whole one")
    assert "hal (hal.ipynb): the file is not JSON" in plain
    assert "=1+1.ipynb, 2 of 4 points" in plain


def test_the_report_loads_nothing(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<img|<link|<iframe|\bsrc=|url\(|https?://[^ ]*['\"]>", text)
    assert set(re.findall(r"href='(.)", text)) == {"#"}


def test_what_learners_write_is_escaped(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<b>" not in text
    # zoe's message and the line that raised it, for the cell and for the exercise
    assert text.count("&lt;script&gt;alert(1)") == 4


def test_an_interrupted_class_leaves_nothing_running(place):
    def interrupt(done: int, all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_class(place / "class", [lesson(place)], limits=LIMITS, jobs=1, progress=interrupt)
    assert processes_of_this_test() == []
