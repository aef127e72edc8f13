"""A check after a cell that failed: in a real kernel, with cells as people write them."""

import nbformat
import pytest
from nbclient import NotebookClient

from teach.build.execute import _this_python, switches
from teach.history import stopped_with
from teach.progress import PASSED as PASSES

HEAD = "def conv_parameters(inputs, outputs, kernel, groups=1, bias=True):\n"
RIGHT = HEAD + "    return outputs * (inputs // groups) * kernel * kernel + (outputs if bias else 0)\n"
WRONG = RIGHT.replace("kernel * kernel", "kernel")
LAMBDA = "conv_parameters = lambda inputs, outputs, kernel, groups=1, bias=True: "
DECORATOR = "def plain(f):\n    def g(*args, **more):\n        return f(*args, **more)\n    return g"
PASSED, NOT_YET, FAILED = "1.1 passed.", "1.1 not yet.", "The cell of `conv_parameters` did not run: it stopped with "

CASES = {
    "cannot be read": ([RIGHT, "def conv_parameters(:"], FAILED + "SyntaxError: invalid syntax (line 1)."),
    "indented wrongly": ([RIGHT, "  def conv_parameters(x):\n return 3"], FAILED + "IndentationError"),
    "a string without an end": ([RIGHT, HEAD + "    '''Parameters."], FAILED + "SyntaxError"),
    "a line above it fails": ([RIGHT, "1 / 0\n" + WRONG], FAILED + "ZeroDivisionError: division by zero."),
    "a default is unknown": ([RIGHT, WRONG.replace("groups=1", "groups=g")], FAILED + "NameError"),
    "a decorator is unknown": ([RIGHT, "@unknown\n" + WRONG], FAILED + "NameError"),
    "under a magic": ([RIGHT, "%%time\ndef conv_parameters(:"], FAILED + "SyntaxError"),
    "an async one": ([RIGHT, "async def conv_parameters(:"], FAILED + "SyntaxError"),
    "a lambda": ([RIGHT, LAMBDA + "outputs *"], FAILED + "SyntaxError"),
    "between two of them": (["\n\n" + RIGHT + "1 / 0\n" + WRONG], FAILED + "ZeroDivisionError"),
    "another cell ran since": ([RIGHT, "def conv_parameters(:", "1 + 1"], FAILED + "SyntaxError"),
    "none was there before": (["def conv_parameters(:"], FAILED + "SyntaxError"),
    "a line below it fails": ([RIGHT, WRONG + "1 / 0"], NOT_YET),
    "mended": ([RIGHT, "def conv_parameters(:", RIGHT], PASSED),
    "written anew in another cell": ([WRONG, "1 + 1", RIGHT], PASSED),
    "twice in one cell": ([WRONG + RIGHT], PASSED),
    "timed": (["%%time\n" + RIGHT], PASSED),
    "captured": (["%%capture\n" + RIGHT], PASSED),
    "decorated": ([DECORATOR, "@plain\n" + RIGHT], PASSED),
    "assigned": ([WRONG, LAMBDA + "outputs * (inputs // groups) * kernel**2 + outputs * bias"], PASSED),
    "another cell fails": ([RIGHT, "dict(\n    conv_parameters=1 / 0)"], PASSED),
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Runs cells in one real kernel; returns what the last of them printed."""
    folder = tmp_path_factory.mktemp("kernel")
    client = NotebookClient(nbformat.v4.new_notebook(), km=_this_python(), timeout=60, allow_errors=True)

    def run(*cells: str) -> str:
        client.nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
        client.reset_execution_trackers()
        for at, cell in enumerate(client.nb.cells):
            client.execute_cell(cell, at)
        return "".join(shown.get("text", "") for shown in client.nb.cells[-1].outputs)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in switches(folder, strict=False, static=False).items():
            patch.setenv(name, value)
        with client.setup_kernel():
            run("from teach import check")
            yield run


@pytest.mark.parametrize("name", CASES)
def test_the_newest_cell_counts(kernel, name, monkeypatch):
    cells, said = CASES[name]
    kernel("globals().pop('conv_parameters', None)")
    found = kernel(*cells, "print(check('1.1'))")
    assert said in found
    if said.startswith(FAILED):
        assert found.startswith("1.1 not judged.") and found.endswith(" Fix it, run it, then run this one.\n")


def test_what_was_not_judged_is_not_recorded(tmp_path, kernel):
    kernel(f"import os; os.environ['COURSE_HOME'] = {str(tmp_path)!r}")
    kernel(RIGHT, "def conv_parameters(:", "check('1.1')")
    assert list(tmp_path.rglob("*.json")) == []
    kernel(RIGHT, "check('1.1')")
    assert [path.parent.name for path in tmp_path.rglob("*.json")] == [PASSES]


def test_without_a_notebook_there_is_no_newest_cell():
    assert stopped_with("conv_parameters", None) is None
