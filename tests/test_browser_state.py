"""A notebook in JupyterLab never misleads: edited cells, endless loops, and predictions before their time."""

import os
from pathlib import Path

import nbformat
import pytest
from browser_support import NotebookPage, browser_page, find_chromium, jupyterlab

RIGHT = """\
def conv_parameters(inputs, outputs, kernel, groups=1, bias=True):
    return outputs * (inputs // groups) * kernel * kernel + (outputs if bias else 0)
"""
ENDLESS = """\
def conv_parameters(inputs, outputs, kernel, groups=1, bias=True):
    while True:
        try:
            kernel += 1
        except:
            pass
"""
CELLS = {
    # a limit of 20 s would be the same for the learner, and slow to test
    "start": "import teach.check, sys; sys.modules['teach.check'].LIMIT_S = 1\n"
    "from teach import check, hold, predict, reveal",
    "ex-1-1": RIGHT,
    "check-1-1": 'check("1.1")',
    "ask-a": 'predict("1.a", "How many?", unit="points")',
    "table-a": 'with hold("1.a"):\n    print("31 points in the table")',
    "tell-a": 'reveal("1.a", 31)',
    "ask-b": 'predict("1.b", "Which one?", choices=["the large one", "the small one"])',
    "tell-b": 'reveal("1.b", "the small one")',
}
CHANGED = "Run the cell of conv_parameters, then run this one."


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The notebook of `CELLS`, open in a browser, every cell run once; and what was watched meanwhile."""
    chromium = find_chromium()
    served, private = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("private")
    cells = [nbformat.v4.new_code_cell(text, id=name) for name, text in CELLS.items()]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), served / "state.ipynb")
    with jupyterlab(served, private) as lab, browser_page(chromium) as (page, watched):
        notebook = NotebookPage(page, lab, "state.ipynb")
        notebook.command("notebook:run-all-cells")
        yield notebook, watched, lab


@pytest.fixture
def notebook(opened, request):
    """The open notebook; a picture of it is kept afterwards where COURSE_SCREENSHOTS names a folder."""
    yield opened[0]
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        opened[0].page.screenshot(path=Path(folder) / f"{request.node.name}.png")


def output(notebook, cell_id):
    """Where the output of a cell is on the page."""
    return notebook.select(cell_id).locator(".jp-OutputArea")


def saved(notebook, cell_id):
    """What the notebook would keep of a cell's output, as text."""
    (cell,) = (cell for cell in notebook.cells() if cell["id"] == cell_id)
    return [shown["data"]["text/plain"] for shown in cell["outputs"]]


def test_run_all_reveals_no_prediction(notebook):
    for cell_id in ("tell-a", "tell-b"):
        output(notebook, cell_id).get_by_role("button", name="Show").wait_for()
        assert "Commit to a guess above, or choose “Show me”." in output(notebook, cell_id).inner_text()
        assert "measured" not in output(notebook, cell_id).inner_text()
        assert "measured" not in "".join(saved(notebook, cell_id))
    assert "Hidden until you commit a guess for prediction 1.a" in output(notebook, "table-a").inner_text()
    assert "31 points" not in "".join(saved(notebook, "table-a"))


def test_a_committed_guess_reveals_the_measurement_below(notebook):
    form = output(notebook, "ask-a")
    form.get_by_placeholder("a number").fill("3")
    form.get_by_role("button", name="Commit").click()
    told = output(notebook, "tell-a")
    told.get_by_text("31 points").first.wait_for()
    assert "3 points" in told.inner_text() and told.get_by_role("button").count() == 0
    # kept with the notebook: who opens it without a kernel sees it too
    assert saved(notebook, "tell-a")[0].startswith("Prediction 1.a: you said 3 points, measured 31 points")
    output(notebook, "table-a").get_by_text("31 points in the table").wait_for()
    assert saved(notebook, "table-a") == ["31 points in the table\n"]


def test_show_me_reveals_it_and_marks_a_guess_made_afterwards(notebook):
    output(notebook, "tell-b").get_by_role("button", name="Show").click()
    output(notebook, "tell-b").get_by_text("“the small one”").first.wait_for()
    form = output(notebook, "ask-b")
    form.get_by_label("the small one").check()
    form.get_by_role("button", name="Commit").click()
    form.get_by_text("guessed after the measurement was shown").wait_for()
    assert "Guessed after the measurement was shown." in notebook.run("tell-b")


def test_a_cell_that_is_edited_and_not_run_is_not_judged(notebook):
    def states():
        """Where the verdict and the word of a change are on the page."""
        check = output(notebook, "check-1-1")
        return check.get_by_text("1.1 Passed"), check.locator(".course-changed")

    states()[0].wait_for()
    notebook.write("ex-1-1", RIGHT + "# a change")
    passed, changed = states()
    changed.wait_for()
    assert not passed.is_visible()
    notebook.run("check-1-1")
    passed, changed = states()
    changed.wait_for()
    assert not passed.is_visible()
    assert CHANGED in output(notebook, "check-1-1").aria_snapshot()  # what a screen reader reads
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        notebook.page.screenshot(path=Path(folder) / "changed.png")
    notebook.run("ex-1-1")
    passed, changed = states()
    passed.wait_for()
    assert not changed.is_visible()


def test_a_cell_that_failed_is_not_judged(notebook):
    notebook.write("ex-1-1", "def conv_parameters(inputs:\n    return 3")
    notebook.run("ex-1-1")
    said = notebook.run("check-1-1")
    assert "1.1 Not judged" in said and "1.1 Passed" not in said
    assert "The cell of conv_parameters did not run: it stopped with SyntaxError" in said


def test_an_endless_loop_ends_with_a_sentence(notebook):
    notebook.write("ex-1-1", ENDLESS)
    notebook.run("ex-1-1")
    said = notebook.run("check-1-1")
    assert "1.1 Not yet" in said and "it did not finish within 1 s." in said
    assert "of your cell" in said
    notebook.write("ex-1-1", RIGHT)
    check = output(notebook, "check-1-1")
    check.locator(".course-changed").wait_for()
    assert check.get_by_text("1.1 Not yet").is_visible()  # it is read while the cell is mended
    notebook.run("ex-1-1")
    assert "1.1 Passed" in notebook.run("check-1-1")


def test_nothing_left_the_machine_and_nothing_was_complained_of(opened):
    _, watched, lab = opened
    assert watched.leaving(lab.url) == []
    assert watched.complaints == []
