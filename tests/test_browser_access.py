"""What a lesson shows is for everyone: axe finds nothing serious, keys reach everything, a figure fits one screen.

axe-core looks at Markdown and outputs only: the rest of the page is JupyterLab's own.
"""

import shutil
from pathlib import Path

import pytest
from browser_support import NotebookPage, browser_page, find_chromium, jupyterlab

from teach.grading.gradebook import Gradebook, Row
from teach.grading.lesson import find_lessons
from teach.grading.limits import Limits
from teach.grading.marks import Mark
from teach.grading.report import SIGNS, report

LESSONS = Path(__file__).parents[1] / "lessons"
OURS = {"include": [[".jp-RenderedMarkdown"], [".jp-OutputArea-output"]]}
THEMES = ("JupyterLab Light", "JupyterLab Dark")
# Cells out of sight are drawn too, so that axe finds them.
ALL_DRAWN = """() => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.notebookConfig = { ...notebook.notebookConfig, windowingMode: 'none' };
}"""
TALL = """\
from matplotlib import pyplot
from teach import explore
words = {"bits": "bits per weight", "share": "share of weights kept", "rank": "rank of the layer"}
explore(lambda bits, share, rank: pyplot.figure(figsize=(8, 9)), alt=lambda bits, share, rank: f"Empty at {bits}.",
        labels=words, bits=(2, 4), share=(0.5, 1.0), rank=(1, 2))
"""
IN_SIGHT = """() => {
  const figure = document.querySelector('[data-under=test] .explore');
  figure.scrollIntoView({ block: 'start' });
  const page = figure.closest('.jp-WindowedPanel-outer').getBoundingClientRect();
  const sliders = figure.querySelector('.sliders').getBoundingClientRect();
  const picture = figure.querySelector('img').getBoundingClientRect();
  return [page.top <= sliders.top + 1, sliders.bottom <= picture.top, picture.bottom <= page.bottom,
    picture.width > 200, picture.right <= page.right];
}"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A running JupyterLab that serves two lessons, and a page of a browser."""
    chromium = find_chromium()
    served, private = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("private")
    for name in ("01_measure.ipynb", "02_bits.ipynb"):
        shutil.copy(LESSONS / name, served)
    with jupyterlab(served, private) as lab, browser_page(chromium) as (page, _):
        yield lab, page


@pytest.fixture(scope="module", params=["01_measure.ipynb", "02_bits.ipynb"])
def lesson(request, opened):
    """A lesson with every cell run once, in a window of its own."""
    lab, first = opened
    page = first.context.browser.new_page(viewport={"width": 1280, "height": 900})
    notebook = NotebookPage(page, lab, request.param)
    page.evaluate(ALL_DRAWN)
    notebook.command("notebook:run-all-cells")
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .explore img").first.wait_for()
    yield notebook
    page.close()


def serious(page, where=None):
    """What axe calls serious or critical: the rule, and the elements that break it."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe comes with the packages of the tests"
    )
    found = axe.Axe().run(page, context=where).response["violations"]
    return [
        (rule["id"], [(node["html"][:200], node["failureSummary"][:300]) for node in rule["nodes"][:5]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious_in_a_lesson(theme, lesson):
    page = lesson.page
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    page.locator("#jupyterlab-splash").wait_for(state="detached")
    assert page.locator(".jp-OutputArea-output [role=status]").count() > 5  # panels
    assert serious(page, OURS) == []


def test_axe_finds_a_planted_breach(opened):
    page = opened[1].context.browser.new_page()
    page.set_content("<html lang='en'><title>a</title><main><img src='a.png'><p style='color:#aaa'>pale</p></main>")
    assert {rule for rule, _ in serious(page)} == {"image-alt", "color-contrast"}
    page.close()


def reach(page, selector, most=40):
    """Press Tab until what has the focus is a `selector`; returns whether it was reached."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return True
    return False


def cell_with(lesson, words):
    """The cell whose source has these words."""
    ask = """words => window.jupyterapp.shell.currentWidget.content.widgets
      .find(cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().includes(words))?.model.id"""
    return lesson.select(lesson.page.evaluate(ask, words))


def test_keys_reach_a_slider_and_move_it_and_it_says_what_it_shows(lesson):
    cell = cell_with(lesson, "explore(")
    assert reach(lesson.page, "[data-under=test] .explore input")
    slider, figure = cell.get_by_role("slider").first, cell.locator(".explore img")
    assert slider.evaluate("slider => slider.labels[0].textContent.length") > 3
    before, described = slider.get_attribute("aria-valuetext"), figure.get_attribute("alt")
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") != before
    assert figure.get_attribute("alt") != described
    assert cell.locator(".explore .said").inner_text() == figure.get_attribute("alt")


def test_keys_reach_the_button_of_a_prediction(lesson):
    cell_with(lesson, "predict(")
    assert reach(lesson.page, "[data-under=test] .jp-OutputArea-output button")
    assert lesson.page.evaluate("document.activeElement.textContent") == "Commit"


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (800, 600)])
def test_sliders_and_a_tall_figure_fit_one_screen(width, height, lesson):
    page = lesson.page
    last = [cell["id"] for cell in lesson.cells() if cell["type"] == "code"][-1]
    if not page.locator("[data-tall]").count():
        lesson.write(last, TALL)
        lesson.run(last)
        page.get_by_label("rank of the layer").wait_for()
        page.evaluate("document.querySelector('[data-under=test]').dataset.tall = 'yes'")
    page.set_viewport_size({"width": width, "height": height})
    lesson.select(last)
    page.wait_for_timeout(300)
    assert page.evaluate(IN_SIGHT) == [True] * 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_teachers_report(scheme, opened):
    page = opened[1].context.browser.new_page()
    page.emulate_media(color_scheme=scheme)
    lesson = find_lessons()[0]
    states = [*SIGNS, *SIGNS, *SIGNS]
    marks = tuple(
        Mark(exercise.id, state, 0, 1, f"Not {exercise.id}: use `1`.", exercise.mistakes[0].says)
        for exercise, state in zip(lesson.exercises, states, strict=False)
    )
    rows = (Row("Ada", "ada.ipynb", lesson, marks, ("A note.",)), Row("Bo", "bo.ipynb", notes=("It is empty.",)))
    page.set_content(report(Gradebook(rows, (lesson,), Limits(), frozenset())))
    assert page.get_by_role("row").count() > 5
    assert page.get_by_role("cell", name="not yet", exact=True).count() > 0  # the word, where the eye sees a cross
    assert serious(page) == []
    page.close()
