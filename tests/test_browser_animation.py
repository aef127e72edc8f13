"""The cache animation in JupyterLab in a real browser: it plays, obeys keys, follows the theme, asks no network."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from browser_support import NotebookPage, browser_page, find_chromium, jupyterlab

# A matrix of 8 x 8 doubles, a line to each row, walked by columns; the cache has 4 lines.
NOTEBOOK = """\
from mini_lib.loops.caches.cache import Cache
from teach.widgets.cache_animation import AccessLog, animate

walk = [(i, j) for j in range(8) for i in range(8)]
index = [8 * i + j for i, j in walk]
address = [4096 + 8 * element for element in index]
arrays = (("A", (8, 8), 8, 4096, (8, 1)),)
log = AccessLog(arrays, [0] * 64, index, address, [False] * 64, [1] * 64, range(64), walk, ("i", "j"))
animate(log, Cache(256, ways=1, line_bytes=64))
"""
THE_WIDGET = """\
from ipywidgets.widgets.widget import _instances
[made] = [made for made in _instances.values() if type(made).__name__ == "CacheWidget"]
"""
ASK, TELL = THE_WIDGET + "made.step", THE_WIDGET + "made.step = 9"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The notebook, run once, in a browser; and what was watched meanwhile."""
    chromium = find_chromium()
    served, private = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("private")
    sources = {"animation": NOTEBOOK, "ask": ASK, "tell": TELL}
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in sources.items()]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), served / "animation.ipynb")
    with jupyterlab(served, private) as lab, browser_page(chromium) as (page, watched):
        notebook = NotebookPage(page, lab, "animation.ipynb")
        notebook.select("animation")
        notebook.command("notebook:run-cell")
        page.locator(".cache-animation canvas").first.wait_for()
        page.set_default_timeout(15_000)
        yield notebook, watched, lab


@pytest.fixture
def animation(opened, request):
    """The animation at its start; a picture of it is kept afterwards where COURSE_SCREENSHOTS names a folder."""
    shown = opened[0].page.locator(".cache-animation")
    shown.get_by_role("slider").press("Home")
    yield shown
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        opened[0].page.screenshot(path=Path(folder) / f"{request.node.name}.png")


def said(animation) -> str:
    return animation.get_by_role("status").inner_text()


def drawn(animation) -> str:
    """The picture of the arrays and the cache, as text that differs where a pixel does."""
    return animation.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")


def test_it_starts_paused_and_empty(animation):
    assert "The cache is empty: 4 sets x 1 way, lines of 64 bytes" in said(animation)
    assert animation.get_by_role("button", name="Play", exact=True).is_visible()
    assert animation.locator("canvas").first.get_attribute("aria-label").count("empty") == 4


def test_the_slider_obeys_the_keyboard_and_the_picture_follows(animation):
    slider, before = animation.get_by_role("slider"), drawn(animation)
    for _ in range(5):
        slider.press("ArrowRight")
    assert slider.input_value() == "5"
    # The fifth access goes down to A[4, 0]: by hand, line 4 goes to set 4 % 4 = 0, where line 0 was.
    assert "i = 4, j = 0" in said(animation)
    assert "Access 5 of 64: read A[4, 0]: miss, comes from memory; evicts A[0, 0:8]" in said(animation)
    assert "A[4, 0]: miss" in slider.get_attribute("aria-valuetext")
    held = animation.locator("canvas").first.get_attribute("aria-label")
    assert "set 0: A[4, 0:8]. set 1: A[1, 0:8]. set 2: A[2, 0:8]. set 3: A[3, 0:8]." in held
    assert drawn(animation) != before
    rows = animation.locator("tr").all_inner_texts()
    assert [row.split() for row in rows[1:]] == [["A", "5", "0", "5", "100", "%"], ["all", "5", "0", "5", "100", "%"]]


def test_a_key_moves_the_animation_and_not_the_notebook(animation, opened):
    page = opened[0].page
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before, cells = page.evaluate(active), len(opened[0].cells())
    slider = animation.get_by_role("slider")
    for key in ("ArrowUp", "ArrowDown", "End", "b", "c"):  # in the notebook, b adds a cell
        slider.press(key)
    assert (page.evaluate(active), len(opened[0].cells())) == (before, cells)
    assert slider.input_value() == "64"
    assert "64 misses and 0 hits so far, of 64 accesses" in animation.locator("canvas.strip").get_attribute(
        "aria-label"
    )


def test_it_plays_pauses_and_ends(animation):
    animation.get_by_role("combobox").select_option("128 a second")
    before = drawn(animation)
    play = animation.get_by_role("button", name="Play", exact=True)
    play.press("Space")
    animation.get_by_role("button", name="Pause", exact=True).wait_for()
    opened_at = animation.get_by_role("slider")
    animation.page.wait_for_function("slider => +slider.value > 0", arg=opened_at.element_handle())
    assert drawn(animation) != before
    animation.page.wait_for_function("slider => +slider.value === 64", arg=opened_at.element_handle())
    play.wait_for()  # at the end it is "Play" again, and begins anew
    animation.get_by_role("combobox").select_option("2 a second")
    play.click()
    assert int(opened_at.input_value()) < 64
    animation.get_by_role("button", name="Pause", exact=True).click()
    assert play.is_visible()


def test_the_buttons_step_and_find_the_next_miss(animation):
    slider = animation.get_by_role("slider")
    for name, at in (("On to the next miss", "1"), ("One access on", "2"), ("One access back", "1")):
        animation.get_by_role("button", name=name).click()
        assert slider.input_value() == at
    strip = animation.locator("canvas.strip")
    strip.click(position={"x": strip.bounding_box()["width"] - 6, "y": 20})
    assert slider.input_value() == "64"


def test_python_learns_where_the_slider_rests_and_can_move_it(animation, opened):
    notebook = opened[0]
    slider = animation.get_by_role("slider")
    for _ in range(7):
        slider.press("ArrowRight")
    animation.page.wait_for_timeout(400)  # it is told 200 ms after the last move
    notebook.run("ask")
    notebook.page.locator("[data-under=test] .jp-OutputArea-output", has_text=re.compile(r"^\s*7\s*$")).wait_for()
    notebook.run("tell")
    animation.page.wait_for_function("slider => slider.value === '9'", arg=slider.element_handle())
    assert "Access 9 of 64: read A[0, 1]: miss, comes from memory; evicts A[4, 0:8]" in said(animation)


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_it_takes_on_the_theme(theme, animation, opened):
    page = opened[0].page
    animation.get_by_role("slider").press("PageUp")
    before = drawn(animation)
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    page.wait_for_function(
        "before => document.querySelector('.cache-animation canvas').toDataURL() !== before", arg=before
    )
    page.locator("#jupyterlab-splash").wait_for(state="detached")


def test_who_asked_for_less_motion_gets_it_slowly(animation, opened):
    animation.get_by_role("combobox").select_option("8 a second")
    opened[0].page.emulate_media(reduced_motion="reduce")
    opened[0].run("animation")
    animation.page.wait_for_function("() => document.querySelector('.cache-animation select')?.value === '2'")
    opened[0].page.emulate_media(reduced_motion="no-preference")


def test_nothing_left_the_machine_and_nothing_was_complained_of(opened):
    _, watched, lab = opened
    assert len(watched.requests) > 20
    assert watched.leaving(lab.url) == []
    assert watched.complaints == []
