"""Cells as IPython reads them, and what they find where they run."""

import ast
import linecache
import subprocess
import sys
from pathlib import Path

import pytest

from teach.grading import child, shell
from teach.grading.cells import tree_of
from teach.grading.facts import facts_of

STRING = 's = """\n%time\n!ls\n?\n"""\n'


# What IPython makes of a cell, as Python: magics that run code are that code.
@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%time x = f()", "x = f()"),
        ("r = %time f()", "r = f()"),
        ("%%time\nx = 1", "x = 1"),
        ("%%timeit -n 3\nx = 1", "x = 1"),
        ("# first\n%%time\nx = 1", "get_ipython().run_line_magic('%time', '')\nx = 1"),
        ("%%capture out\n%time x = 1\ny = 2", "x = 1\ny = 2\nout = get_ipython().captured()"),
        ("%%capture --no-stderr out\ny = 2", "y = 2\nout = get_ipython().captured()"),
        ("%%capture\ny = 2", "y = 2"),
        ("r = %timeit -n 3 -o f()", "r = get_ipython().timed(get_ipython().clock(), f())"),
        ("r = %time a = 1; f(a)", "a = 1\nr = f(a)"),
        ("%timeit -n 10 -r 3 f()", "f()"),
        ("%lprun -f g g(1)", "g(1)"),
        ("%time a = 1; b = 2", "a = 1\nb = 2"),
        ("%time", "get_ipython().run_line_magic('time', '')"),
        ("%%time", "pass"),
        ("%%bash\nls", "get_ipython().run_cell_magic('bash', '', 'ls\\n')"),
        ("%matplotlib inline\nx = (10\n  % 3)", "get_ipython().run_line_magic('matplotlib', 'inline')\nx = 10 % 3"),
        (STRING + "%time x = 1", "s = '\\n%time\\n!ls\\n?\\n'\nx = 1"),
        ("def f():\n    %time x = 1\n    return x", "def f():\n    x = 1\n    return x"),
        ("def f():\n    !ls", "def f():\n    get_ipython().system('ls')"),
        ("files = !ls", "files = get_ipython().getoutput('ls')"),
        ("f??", "get_ipython().run_line_magic('pinfo2', 'f')"),
        ("    x = 1\n    y = 2", "x = 1\ny = 2"),
        (">>> x = 1\n... ", "x = 1"),
        ("x = await f()\n%time y = 2", "x = await f()\ny = 2"),
    ],
)
def test_a_cell_as_python(cell, python):
    assert ast.unparse(tree_of(cell)) == python


def test_python_stays_as_it_is():
    cell = "x = (10\n% 3)\n" + STRING
    assert ast.dump(tree_of(cell)) == ast.dump(ast.parse(cell))


@pytest.mark.parametrize(
    ("cell", "line"), [("%time 1\n1 / 0", 2), ("\n \n%%time\nx = 1\n1 / 0", 5), ("\n\n  1 / 0", 3)]
)
def test_lines_are_those_of_the_cell(cell, line):
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile(tree_of(cell), "cell", "exec"), {})
    assert caught.traceback[-1].lineno + 1 == line


@pytest.mark.parametrize(("cell", "error"), [("x = (", SyntaxError), ("-" * 10**6 + "1", MemoryError)])
def test_what_nobody_can_read(cell, error):
    with pytest.raises(error):
        tree_of(cell)


def test_facts_see_through_magics():
    found = facts_of("%%time\n%time x = f(y)\nfiles = !ls\nz = await g()")
    assert (found.binds, found.uses) == ({"x", "files", "z"}, {"f", "y", "g"})


# Runs in a process of its own, since it changes IPython's `get_ipython`.
NOTEBOOK = r"""
import sys, types
for name, place in (("teach", sys.argv[1]), ("teach.grading", sys.argv[1] + "/grading")):  # so it starts without torch
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [place]
import IPython
from teach.grading.cells import tree_of
from teach.grading.shell import Runner

names = {}
runner = Runner(names)
for cell in (
    "from __future__ import annotations",
    "def f(x: Nowhere): return x",
    "import asyncio\nasync def g():\n    await asyncio.sleep(0)\n    return 4",
    "x = await g()",
    "task = asyncio.create_task(g())",
    "y = await task",
    "async def h():\n    yield 7",
    "async with asyncio.Lock():\n    z = [i async for i in h()]",
    "%load_ext autoreload\nfiles = !ls\nip = get_ipython()\nip.events.register('a', f)",
    "from IPython import get_ipython as again\ncolab = 'google.colab' in str(again())\nkernel = again().kernel",
    "display(1)\nIn, Out, _",
    "%%capture out\nv = 5",
    "out.show()\nshown = out.stdout + out.stderr + str(out)",
    "import time\ntimes = %timeit -o time.sleep(0.01)\ntimed = 0.01 <= times.best <= times.average < 5",
    "%%writefile helper_of_a_cell.py\ndef seven():\n    return 7",
    "%%writefile -a helper_of_a_cell.py\n\ndef eight():\n    return 8",
    "from helper_of_a_cell import eight, seven\nhelped = seven() + eight()",
):
    runner.run(runner.compile(tree_of(cell), "cell"))
print([names[name] for name in ("x", "y", "z", "files", "colab", "kernel", "shown", "timed", "helped")])
try:
    runner.run(runner.compile(tree_of("raise SystemExit(3)"), "cell"))
except SystemExit as error:
    print(error, names["f"](5))
"""


def test_what_a_cell_finds(tmp_path):
    command = [sys.executable, "-c", NOTEBOOK, str(Path(shell.__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert (done.stderr, done.stdout) == ("", "[4, 4, [7], [], False, None, '', True, 15]\n3 5\n")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["files = !ls\nfiles[0]"], "no shell commands and few magics, so nothing was given to `files`: the"),
        (["a = %env HOME\nb = %pwd", "a.x + b.y"], "to `a` and `b`: the function's cell must not depend on it"),
        (["files = !ls\n1 / 0"], ""),
        (["files = !ls", "files = ()\nfiles[0]"], ""),
    ],
)
def test_an_error_says_what_no_command_gave(cells, reason):
    empty, names = set(), {"get_ipython": shell.Shell}
    for cell in cells:
        linecache.cache["<c>"] = (len(cell), None, cell.splitlines(keepends=True), "<c>")
        tree = tree_of(cell)
        child.note_empty_names(empty, tree)
        try:
            exec(compile(tree, "<c>", "exec"), names)
        except Exception as error:
            found = child.because(empty, error, "<c>")
    assert reason in found if reason else found == ""


def test_a_return_outside_a_function_is_an_error():
    with pytest.raises(SyntaxError, match="'return' outside function"):
        shell.Runner({}).compile(tree_of("return 1"), "cell")
