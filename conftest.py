"""Every notebook is a test (nbval): a kernel of its own, no network, a progress folder of its own, solutions strictly.

A solution runs whole. A lesson has the same cells but for the answers, and the builder refuses a cell that stands on an
answer (`learners_names` in teach/build/rules.py); so of a lesson run only the cells that an answer can reach: its first
cell (the imports), the exercises and the checks. One lesson runs whole, to guard the rule.

This file is at the top since pytest asks only the conftest files above a test, and notebooks lie beside tests/.
"""

import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

# Where Python is told not to keep compiled code, each of some hundred processes (kernels, workers, cluster nodes) would
# compile torch and the rest anew, seconds each. Code is kept for this one run, outside the folders of the sources.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    compiled = tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True)  # gone with the process
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = compiled.name
    sys.dont_write_bytecode = False

# Sources of lessons are run as notebooks, and the network guard would shut off the tests themselves.
collect_ignore_glob = ["solutions/*.py", "tests/no_network/*"]

NO_NETWORK = Path(__file__).parent / "tests" / "no_network"
# The guard is one of the two quickest lessons; the other, 01, runs whole in a browser (tests/test_browser.py).
WHOLE_LESSON = "13_llm_cost"


def pytest_addoption(parser):
    """`python3 course.py test lessons --whole-lessons` runs every cell of every lesson."""
    parser.addoption("--whole-lessons", action="store_true", help="run all cells of the lessons in lessons/")


def pytest_collection_modifyitems(config, items):
    """Leave out the cells of a lesson that do there what they do in its solution; pytest counts them as deselected."""
    if config.getoption("whole_lessons"):
        return
    left_out = [item for item in items if is_cell_of_a_lesson(item) and not can_differ_from_the_solution(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def is_cell_of_a_lesson(item):
    """Whether a test is a code cell of a notebook in lessons/, other than that which runs whole."""
    path = item.path
    return path.suffix == ".ipynb" and path.parent.name == "lessons" and path.stem != WHOLE_LESSON


def can_differ_from_the_solution(item):
    """Whether a cell is an exercise or a check, or the imports that these need: a lesson's first code cell."""
    return item.cell_num == 0 or {"exercise", "check"} & set(item.cell.metadata.get("tags", ()))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    """Give a notebook's kernel its environment: it starts in the set-up of the notebook's first cell."""
    if item.path.suffix != ".ipynb":
        return (yield)
    from teach.build.execute import switches

    notebook = item.parent
    if not hasattr(notebook, "home"):
        notebook.home = tempfile.TemporaryDirectory(prefix="lesson-")  # gone with the process
    environment = switches(Path(notebook.home.name), strict=item.path.parent.name == "solutions", static=False)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(NO_NETWORK), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return (yield)


def pytest_terminal_summary(terminalreporter, config):
    """Say of each notebook how long it took (two minutes are the most for a learner) and how many of its cells ran."""
    duration_s, ran, where = defaultdict(float), defaultdict(set), {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            name, _, cell = getattr(report, "nodeid", "").partition("::")
            if name.endswith(".ipynb") and hasattr(report, "duration"):
                duration_s[name] += report.duration
                ran[name].add(cell)
                where[name] = config.rootpath / report.location[0]
    if duration_s:
        terminalreporter.section("notebooks")
    for name, seconds in sorted(duration_s.items()):
        cells = json.loads(where[name].read_text(encoding="utf-8"))["cells"]
        code_cells = sum(cell["cell_type"] == "code" for cell in cells)
        terminalreporter.line(f"{seconds:6.1f} s  {name}: {len(ran[name])} of {code_cells} code cells")
