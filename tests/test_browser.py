"""A lesson in JupyterLab in a real browser: it runs, a slider moves its figure, a wrong answer is understood."""

import os
import shutil
from pathlib import Path

import pytest
from browser_support import NotebookPage, browser_page, find_chromium, jupyterlab

LESSON = Path(__file__).parents[1] / "lessons" / "01_measure.ipynb"  # the quickest to run, and the first to be opened
WRONG_ANSWER = """\
def conv_parameters(inputs, outputs, kernel, groups=1, bias=True):
    return outputs * (inputs // groups) * kernel + (outputs if bias else 0)
"""
MISCONCEPTION = "The kernel is a square: kernel * kernel numbers."


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Lesson 01, open in a browser, every cell run once; and what was watched meanwhile."""
    chromium = find_chromium()
    served, private = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("private")
    shutil.copy(LESSON, served)
    with jupyterlab(served, private) as lab, browser_page(chromium) as (page, watched):
        notebook = NotebookPage(page, lab, LESSON.name)
        notebook.command("notebook:run-all-cells")
        yield notebook, watched, lab


@pytest.fixture
def notebook(opened, request):
    """The open notebook; a picture of it is kept afterwards where COURSE_SCREENSHOTS names a folder."""
    yield opened[0]
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        opened[0].page.screenshot(path=Path(folder) / f"{request.node.name}.png")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_browser_one_is_told_how_to_get_one_and_ci_fails(ci, outcome, monkeypatch, tmp_path):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(outcome, match="no Chromium found; install one with 'python -m playwright install chromium'"):
        find_chromium()


def test_every_cell_of_the_unsolved_lesson_ran_without_an_error(notebook):
    code = [cell for cell in notebook.cells() if cell["type"] == "code"]
    assert len(code) > 5
    assert [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"] == []
    assert [cell["count"] for cell in code] == list(range(1, len(code) + 1))


def test_a_slider_moves_and_its_figure_changes(notebook):
    live = next(
        cell["id"]
        for cell in notebook.cells()
        for output in cell["outputs"]
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
        and notebook.select(cell["id"]).locator(".explore input").count()
    )
    cell = notebook.select(live)
    slider, figure = cell.get_by_role("slider").first, cell.locator(".explore img")
    before, described = figure.get_attribute("src"), figure.get_attribute("alt")
    slider.press("ArrowRight")
    assert figure.get_attribute("src") != before
    assert figure.get_attribute("alt") != described
    notebook.page.wait_for_function("figure => figure.complete && figure.naturalWidth", arg=figure.element_handle())


def test_a_wrong_answer_is_told_its_misconception(notebook):
    # a cell that was out of sight is drawn after it has come into sight, so wait for its words (up to a minute)
    notebook.select("check-1-1").locator(".jp-OutputArea").get_by_text("Not attempted yet").first.wait_for()
    notebook.write("ex-1-1", WRONG_ANSWER)
    notebook.run("ex-1-1")
    said = notebook.run("check-1-1")
    assert "1.1 Not yet" in said
    assert MISCONCEPTION in said


def test_nothing_left_the_machine_and_nothing_was_complained_of(opened):
    _, watched, lab = opened
    assert len(watched.requests) > 20
    assert watched.leaving(lab.url) == []
    assert watched.complaints == []
