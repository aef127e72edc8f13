"""The notebooks themselves are run by nbval (see conftest.py at the top). Here: that this proves what it should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from teach.build import command
from teach.build.execute import execute

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))
WHOLE_LESSON = re.search(r'^WHOLE_LESSON = "(\w+)"', (ROOT / "conftest.py").read_text(encoding="utf-8"), re.MULTILINE)[
    1
]
GUARD = ROOT / "lessons" / f"{WHOLE_LESSON}.ipynb"

REACHES_OUT = {  # 192.0.2.1 and 2001:db8::1 are addresses that nobody has (RFC 5737, RFC 3849)
    "a connection": 'socket.create_connection(("192.0.2.1", 80), timeout=1)',
    "a connection over IPv6": 'socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80, 0, 0))',
    "a name": 'socket.getaddrinfo("example.org", 80)',
    "a datagram": 'socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))',
    "a page": 'urllib.request.urlopen("http://192.0.2.1/", timeout=1)',
    "an asynchronous page": 'await asyncio.open_connection("192.0.2.1", 80)',
}
IN_ANOTHER_PROCESS = """\
code = 'import socket; socket.create_connection(("192.0.2.1", 80), timeout=1)'
child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
raise OSError(child.stderr[-200:])"""
STAYS_HOME = """\
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()"""
OF_ITS_OWN = "assert not os.path.exists(os.environ['COURSE_HOME'])"  # there is one, of the user's, and it is not this
UNSOLVED = """\
from teach import check
from teach.exercises import exercises_of, lessons
check(exercises_of(lessons()[0])[0].id)"""


PICKED = {  # the cells of a lesson, and whether they run there: some, of which the other two need nothing
    "imports": ("import math", True),
    "demonstration": ("1 / 0", False),
    "exercise": ("def half(x):\n    raise NotImplementedError", True),
    "check": ("assert math.pi > 3 and half", True),
    "measurement": ("half(2)", False),
}


def notebook(path: Path, *cells: str, tags: tuple[str, ...] = ()) -> None:
    """A notebook of these code cells, not executed; each with a tag, where there are any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nodes = [nbformat.v4.new_code_cell(cell, id=f"cell-{n}") for n, cell in enumerate(cells)]
    for node, tag in zip(nodes, tags):
        node.metadata["tags"] = [tag]
    nbformat.write(nbformat.v4.new_notebook(cells=nodes), path)


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> str:
    """What pytest, as this project sets it up, says of notebooks that reach out, stay at home, or are not solved."""
    folder = tmp_path_factory.mktemp("notebooks")
    imports = "import asyncio, os, socket, subprocess, sys, urllib.request"
    tries = [*REACHES_OUT.values(), IN_ANOTHER_PROCESS]
    cells = (f"{imports}; {OF_ITS_OWN}", STAYS_HOME, *tries)
    notebook(folder / "lessons" / "01_net.ipynb", *cells, tags=("check",) * len(cells))
    for name in ("lessons/04_picked.ipynb", "solutions/04_picked.ipynb", f"lessons/{WHOLE_LESSON}.ipynb"):
        notebook(folder / name, *(text for text, _ in PICKED.values()), tags=tuple(PICKED))
    notebook(folder / "lessons" / "03_open.ipynb", UNSOLVED)
    notebook(folder / "solutions" / "03_open.ipynb", UNSOLVED)
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-n0", "-rA", "--color=no"]
    done = subprocess.run(
        [*command, f"--rootdir={ROOT}", f"--config-file={ROOT / 'pyproject.toml'}", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COURSE_HOME": str(folder)},
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # nbval colours its tracebacks


def outcome(tried: str, cell: str) -> str:
    """How one cell ended: PASSED or FAILED."""
    (found,) = set(re.findall(rf"^(PASSED|FAILED|ERROR) \S*{re.escape(cell)}(?: -|$)", tried, flags=re.MULTILINE))
    return found


def test_the_machine_itself_can_be_reached(tried):
    assert outcome(tried, "lessons/01_net.ipynb::Cell 1") == "PASSED"


@pytest.mark.parametrize("way", [*REACHES_OUT, "another process"])
def test_no_other_machine_can_be_reached(way, tried):
    cell = 2 + [*REACHES_OUT, "another process"].index(way)
    assert outcome(tried, f"lessons/01_net.ipynb::Cell {cell}") == "FAILED"
    assert tried.count("OSError: no network in the tests: socket.") >= len(REACHES_OUT)


def test_each_notebook_has_a_progress_folder_of_its_own(tried):
    assert outcome(tried, "lessons/01_net.ipynb::Cell 0") == "PASSED"


def test_a_pending_check_fails_in_solutions_and_is_quiet_in_lessons(tried):
    assert outcome(tried, "lessons/03_open.ipynb::Cell 0") == "PASSED"
    assert outcome(tried, "solutions/03_open.ipynb::Cell 0") == "FAILED"
    assert "NotPassed" in tried


@pytest.mark.parametrize("cell", PICKED)
def test_of_a_lesson_run_the_cells_that_an_answer_can_reach(cell, tried):
    number = list(PICKED).index(cell)
    assert (
        bool(re.search(rf" \S*lessons/04_picked.ipynb::Cell {number}(?: -|$)", tried, re.MULTILINE)) is PICKED[cell][1]
    )
    for whole in ("solutions/04_picked.ipynb", f"lessons/{WHOLE_LESSON}.ipynb"):
        assert outcome(tried, f"{whole}::Cell {number}") == ("PASSED" if PICKED[cell][1] else "FAILED")


def test_what_is_left_out_is_counted(tried):
    assert re.search(r"^=+ .*\b2 deselected\b", tried, flags=re.MULTILINE)


@pytest.mark.parametrize("name, ran, all_cells", [("01_net", 9, 9), ("04_picked", 3, 5), (WHOLE_LESSON, 5, 5)])
def test_how_long_a_notebook_took_and_how_much_of_it_ran_is_said(name, ran, all_cells, tried):
    line = rf"^ +\d+\.\d s  \S*lessons/{name}.ipynb: {ran} of {all_cells} code cells$"
    assert re.search(line, tried, flags=re.MULTILINE)


def test_the_guard_is_a_lesson_with_exercises_checks_and_cells_besides():
    tags = [set(cell.metadata.get("tags", ())) for cell in nbformat.read(GUARD, as_version=4).cells]
    assert {"exercise", "check", "widget"} <= set().union(*tags) and set() in tags


@pytest.mark.parametrize("path", LESSONS[:1], ids=lambda path: path.stem)
def test_an_unsolved_lesson_fails_where_checks_are_strict(path):
    lesson = nbformat.read(path, as_version=4)
    first = next(cell.id for cell in lesson.cells if "check" in cell.metadata.get("tags", ()))
    with pytest.raises(ValueError, match=f"(?s)cell {first} did not run: .*NotPassed: "):
        execute(lesson)


def test_every_notebook_is_as_its_source_says(capsys):
    status = command.main(["--check"])
    assert capsys.readouterr().err == ""
    assert status == 0
