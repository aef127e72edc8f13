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


def notebook(path: Path, *cells: str) -> None:
    """A notebook of these code cells, not executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nodes = [nbformat.v4.new_code_cell(cell, id=f"cell-{n}") for n, cell in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=nodes), path)


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> str:
    """What pytest, as this project sets it up, says of notebooks that reach out, stay at home, or are not solved."""
    folder = tmp_path_factory.mktemp("notebooks")
    imports = "import asyncio, os, socket, subprocess, sys, urllib.request"
    tries = [*REACHES_OUT.values(), IN_ANOTHER_PROCESS]
    notebook(folder / "lessons" / "01_net.ipynb", f"{imports}; {OF_ITS_OWN}", STAYS_HOME, *tries)
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


def test_how_long_a_notebook_took_is_said(tried):
    assert re.search(r"^ +\d+\.\d s  \S*lessons/01_net.ipynb$", tried, flags=re.MULTILINE)


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
