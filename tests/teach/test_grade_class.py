"""A whole class, graded once: the table to the last character, and nothing left behind."""

import html
import os
import re
import socket
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
abe,abe.ipynb,90,passed,1,passed,1,passed,2,4,4,
ada,ada.ipynb,90,passed,1,passed,1,passed,2,4,4,
ann,ann.ipynb,90,not yet,0,passed,1,passed,2,3,4,Code cell 4: SyntaxError: too deeply nested for Python.; \
Code cell 5: SyntaxError: '(' was never closed (line 2: `return (weight`).
bea,bea.ipynb,90,passed,1,passed,1,passed,2,4,4,
ben,ben.ipynb,90,not attempted,0,not attempted,0,not attempted,0,0,4,
cal,cal.ipynb,90,passed,1,passed,1,passed,2,4,4,
cem,cem.ipynb,90,not yet,0,not yet,0,passed,2,2,4,
dia,dia.ipynb,90,passed,1,stopped,0,passed,2,3,4,
don,don.ipynb,90,passed,1,passed,1,passed,2,4,4,Code cell 4: it started more than 256 threads.
eli,eli.ipynb,90,passed,1,passed,1,passed,2,4,4,Code cell 4: it did not finish within 5 s.
eva,eva.ipynb,90,passed,1,passed,1,passed,2,4,4,"Code cell 4: it made more than 2000 files, or \
folders nested too deeply."
fay,fay.ipynb,90,stopped,0,passed,1,passed,2,3,4,
fin,fin.ipynb,90,passed,1,passed,1,passed,2,4,4,Code cell 4: it wrote more than 256 MiB.
gil,gil.ipynb,90,passed,1,passed,1,passed,2,4,4,
gus,gus.ipynb,90,passed,1,stopped,0,passed,2,3,4,
hal,hal.ipynb,,,,,,,,0,4,"the file is not JSON (Unterminated string starting at: line 1 column 17 (char 16)), \
expected a notebook: was the file cut off?"
hew,hew.ipynb,90,passed,1,passed,1,passed,2,4,4,Code cell 4: x;'=1+1 QQQ...
ida,ida.ipynb,90,not yet,0,passed,1,passed,2,3,4,
jon,jon.ipynb,90,passed,1,passed,1,passed,2,4,4,
joy,joy.ipynb,90,passed,1,passed,1,passed,2,4,4,
kay,kay.ipynb.txt,,,,,,,,0,4,"its name ends in .txt, expected .ipynb: rename it if it is a notebook"
kim,kim.ipynb,90,not yet,0,not yet,0,passed,2,2,4,
lea,lea.ipynb,90,not yet,0,passed,1,passed,2,3,4,
leo,leo.zip,,,,,,,,0,4,"is an archive, expected a notebook: unpack it here"
lin,lin,,,,,,,,0,4,"is a link, expected the hand-in itself: copy it here"
mia,mia.ipynb,90,not yet,0,passed,1,passed,2,3,4,"Code cell 4: PermissionError: grading lets a notebook change its own \
folder only, not CANARY (shutil.rmtree) (line 2: `shutil.rmtree('CANARY')`)."
ned,ned.ipynb,90,not yet,0,stopped,0,passed,2,2,4,Code cell 4: SystemExit (line 1: `raise SystemExit`).
ola,ola.ipynb,90,not yet,0,passed,1,passed,2,3,4,
pam,pam.ipynb,90,passed,1,passed,1,passed,2,4,4,
quin,quin.ipynb,90,not yet,0,not yet,0,not yet,0,0,4,
rex,rex.ipynb,90,stopped,0,passed,1,not yet,0,1,4,
sam,sam.ipynb,,,,,,,,0,4,holds no exercise of 90_test
tests,tests/90_test.ipynb,90,passed,1,passed,1,passed,2,4,4,
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
def book(place, seen_while_running, heard):
    hand_in(place / "canary", {"keep.txt": "keep me"})
    (place / "canary" / "keep.txt").chmod(0o640)
    os.utime(place / "canary" / "keep.txt", (10**9, 10**9))
    folder = hand_in(place / "class", class_of_notebooks(place / "canary"))
    (folder / "lin").symlink_to(place / "canary")
    (place / "tmp").mkdir()

    def progress(done: int, all: int) -> None:
        seen_while_running.append((done, all, len(processes_of_this_test())))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(place / "tmp"))
        return grade_class(folder, [lesson(place)], limits=LIMITS, jobs=2, progress=progress)


@pytest.fixture(scope="module")
def heard(place):
    """A socket of somebody else's, bound before the class is graded."""
    (place / "canary").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(place / "canary" / "s"))
        ear.setblocking(False)
        yield ear


@pytest.fixture(scope="module")
def out(book, place):
    write(book, place / "out")
    return place / "out"


def test_the_table_is_right(out, place):
    text = (out / "grades.csv").read_text(encoding="utf-8-sig")
    text = text.replace(str(place / "canary"), "CANARY")
    assert re.sub("Q{277}", "QQQ", text) == TABLE  # hew: a note has 300 characters, 3 of them dots, 20 before the Qs


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
    assert [(done, all) for done, all, _ in seen_while_running] == [(n, 40) for n in range(1, 41)]


def test_nothing_is_changed_outside(book, place):
    assert sorted(path.name for path in (place / "canary").iterdir()) == ["keep.txt", "s"]
    about = (place / "canary" / "keep.txt").stat()
    assert (about.st_mode & 0o777, about.st_mtime, about.st_uid, about.st_nlink) == (0o640, 1e9, os.getuid(), 1)
    assert (place / "canary" / "keep.txt").read_text() == "keep me"
    assert os.listxattr(place / "canary" / "keep.txt") == []
    assert sorted(path.relative_to(place / "class").as_posix() for path in (place / "class").rglob("*.*")) == sorted(
        class_of_notebooks(place / "canary")
    )


def test_nothing_is_left_lying(book, place):
    assert list((place / "tmp").iterdir()) == []


def test_nothing_is_said_to_others(book, heard):
    with pytest.raises(BlockingIOError):
        heard.recv(10)


def test_the_kernel_keeps_the_rules_here(book):
    assert book.protections == {"memory", "files", "processes and network"}


def test_the_report_says_what_a_teacher_asks(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    plain = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))
    assert "40 submissions; 34 graded, 6 not: see below." in plain
    assert (
        "90.1 The largest magnitude 56% 19 10 2 3" in plain
    )  # 19 of 34 passed, 10 not yet, 2 not attempted, 3 stopped
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
