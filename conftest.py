"""Every notebook is a test (nbval): a kernel of its own, no network, a progress folder of its own, solutions strictly.

This file is at the top since pytest asks only the conftest files above a test, and notebooks lie beside tests/.
"""

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

# Sources of lessons are run as notebooks, and the network guard would shut off the tests themselves.
collect_ignore_glob = ["solutions/*.py", "tests/no_network/*"]

NO_NETWORK = Path(__file__).parent / "tests" / "no_network"


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


def pytest_terminal_summary(terminalreporter):
    """Say how long each notebook took: two minutes are the most that a lesson may ask of a learner."""
    duration_s = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            name, _, cell = getattr(report, "nodeid", "").partition("::")
            if name.endswith(".ipynb") and cell:
                duration_s[name] += report.duration
    if duration_s:
        terminalreporter.section("notebooks")
    for name, seconds in sorted(duration_s.items()):
        terminalreporter.line(f"{seconds:6.1f} s  {name}")
