"""The calculator's panel in JupyterLab in a real browser: it answers, obeys keys, says what helps, asks no network."""

import os
from pathlib import Path

import nbformat
import pytest
from browser_support import NotebookPage, browser_page, find_chromium, jupyterlab

NOTEBOOK = """\
from teach.widgets.calculator import calculator
calculator(model="Llama-3-8B", device="H100-SXM-80GB")
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The notebook, run once, in a browser; and what was watched meanwhile."""
    chromium = find_chromium()
    served, private = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("private")
    cell = nbformat.v4.new_code_cell(NOTEBOOK, id="panel")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), served / "panel.ipynb")
    with jupyterlab(served, private) as lab, browser_page(chromium) as (page, watched):
        notebook = NotebookPage(page, lab, "panel.ipynb")
        notebook.select("panel")
        notebook.command("notebook:run-cell")
        page.locator(".calculator svg").wait_for()
        page.set_default_timeout(15_000)
        yield notebook, watched, lab


@pytest.fixture
def panel(opened, request):
    """The panel as it begins; a picture of it is kept afterwards where COURSE_SCREENSHOTS names a folder."""
    shown = opened[0].page.locator(".calculator")
    control(shown, "Model").select_option(label="LLaMA-3-8B, 8.0 billion")
    control(shown, "How many devices").press("Home")
    control(shown, "Batch").press("Home")
    said(shown, "LLaMA-3-8B on 1 x H100-SXM-80GB: 15.2 of 80.0 GiB")
    yield shown
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        opened[0].page.screenshot(path=Path(folder) / f"{request.node.name}.png")


def control(panel, label):
    return panel.get_by_label(label, exact=True)


def said(panel, words):
    """Wait until the panel says these words."""
    panel.get_by_role("status").filter(has_text=words).wait_for()


def test_every_control_is_found_by_its_label(panel):
    for label in ("Model", "Device", "Weights", "KV cache, bits", "Engines of"):
        assert control(panel, label).evaluate("element => element.tagName") == "SELECT"
    for label in ("How many devices", "Batch", "Prompt, tokens", "Output, tokens"):
        assert control(panel, label).get_attribute("type") == "range"
    assert control(panel, "Prompt, tokens").get_attribute("aria-valuetext") == "1,024"
    assert panel.get_by_role("img").get_attribute("aria-label").startswith("Memory: weights 15.0")


def test_a_key_moves_a_slider_and_the_answer_follows(panel, opened):
    page = opened[0].page
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before, cells = page.evaluate(active), len(opened[0].cells())
    dot = panel.locator("svg circle").get_attribute("cx")
    batch = control(panel, "Batch")
    for key in ("ArrowRight", "ArrowRight", "b"):  # in the notebook, b adds a cell
        batch.press(key)
    assert batch.get_attribute("aria-valuetext") == "3"
    panel.locator(f"svg circle:not([cx='{dot}'])").wait_for()
    assert (page.evaluate(active), len(opened[0].cells())) == (before, cells)


def test_what_does_not_fit_is_mended_by_a_button(panel, opened):
    control(panel, "Model").select_option(label="LLaMA-3-70B, 70.6 billion")
    said(panel, "It does not fit: ")
    assert panel.locator("svg circle").count() == 0
    panel.get_by_role("button", name="2 devices").press("Enter")
    said(panel, "LLaMA-3-70B on 2 x H100-SXM-80GB: ")
    assert control(panel, "How many devices").get_attribute("aria-valuetext") == "2"
    assert opened[0].page.evaluate("document.activeElement.labels[0].textContent") == "How many devices"


def test_the_switch_of_generations_changes_speed_and_engine(panel):
    row = panel.locator(".numbers tbody tr")
    engine, before = panel.get_by_role("status").locator(".engine"), row.inner_text()
    assert engine.filter(has_text="Engine: TensorRT-LLM 2025.").count() == 1
    switch = control(panel, "Engines of")
    switch.select_option(label="2023")
    engine.filter(has_text="Engine: TensorRT-LLM 2023.").wait_for()
    assert row.inner_text() != before
    switch.select_option(label="2025")
    engine.filter(has_text="Engine: TensorRT-LLM 2025.").wait_for()
    assert row.inner_text() == before


def test_nothing_left_the_machine_and_nothing_was_complained_of(opened):
    _, watched, lab = opened
    assert len(watched.requests) > 20
    assert watched.leaving(lab.url) == []
    assert watched.complaints == []
