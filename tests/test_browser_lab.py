"""`course.py lab` in a real browser: one JupyterLab per folder, links, autosave, news, boxes around takeaways."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser_support import NO_NETWORK, Lab, NotebookPage, browser_page, find_chromium, free_port

ROOT = Path(__file__).parents[1]
# The real command, with the Python of this test in the place of an environment that would have to be filled.
COMMAND = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from launcher import environment, program
environment.prepare = lambda *_, **__: Path(sys.executable)
sys.exit(program.main(["lab", "--no-browser", *sys.argv[2:]]))
"""
TEXT = """\
# A lesson

> **Takeaway.** A box.

**In the library.** [costs.py](../mini_lib/costs.py) · **Next:** [02](02_next.ipynb)

| a | b | c |
| - | - | - |
| {wide} | {wide} | {wide} |
""".format(wide="x" * 60)


def publish(house, name, text=TEXT):
    """Put a lesson into the course: a page of text, an empty code cell, and one whose code is folded."""
    cells = [
        {"cell_type": "markdown", "id": "text", "metadata": {}, "source": text},
        {"cell_type": "code", "id": "answer", "metadata": {}, "source": "", "outputs": [], "execution_count": None},
        {
            "cell_type": "code",
            "id": "folded",
            "metadata": {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]},
            "source": "def draw(bits):\n    return bits\n",
            "outputs": [],
            "execution_count": None,
        },
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (house / "lessons").mkdir(exist_ok=True)
    (house / "lessons" / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A course of two lessons, in a folder with a space and a letter beyond ASCII, and one file of a library."""
    house = tmp_path_factory.mktemp("a") / "my cöurse"
    shutil.copytree(ROOT / "launcher", house / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    (house / "mini_lib").mkdir()
    (house / "mini_lib" / "costs.py").write_text('"""What a model costs."""\n', encoding="utf-8")
    for name in ("01_start", "02_next"):
        publish(house, name)
    return house


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The environment variables of every start: nothing outside a temporary folder, and no network."""
    private = tmp_path_factory.mktemp("private")
    names = ("_CONFIG_DIR", "_DATA_DIR", "_RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    folders = {f"JUPYTER{name}": str(private / name.strip("_").lower()) for name in names}
    path = os.pathsep.join(filter(None, [str(NO_NETWORK), str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | folders | {"IPYTHONDIR": str(private / "ipython"), "PYTHONPATH": path}


def command(house, *options):
    """The words that start the lab."""
    return [sys.executable, "-P", "-c", COMMAND, str(house), *options]


@contextmanager
def started(house, variables):
    """A running `course.py lab`: the process, and its JupyterLab. Both are gone afterwards."""
    lab = Lab(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16))
    options = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={lab.url.rpartition(':')[2]}"]
    options += [f"--IdentityProvider.token={lab.token}", "--LabApp.expose_app_in_browser=True"]
    with open(house.parent / "lab.log", "wb") as log:
        process = subprocess.Popen(command(house, *options), env=variables, stdout=log, stderr=log)
    try:
        while not asks(lab, "api/status"):
            assert process.poll() is None, (house.parent / "lab.log").read_text(errors="replace")
            time.sleep(0.1)
        yield process, lab
    finally:
        asks(lab, "api/shutdown", method="POST")
        process.wait(30)


def asks(lab, path, method="GET", body=None):
    """What the server answers, as an HTTP status; 0 where there is none."""
    headers = {"Authorization": f"token {lab.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{lab.url}/{path}", data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def second_start(house, variables):
    """Start the lab again; returns what it says."""
    done = subprocess.run(
        command(house), env=variables, capture_output=True, encoding="utf-8", errors="replace", timeout=120
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def opened(house, variables):
    """The first lesson, open in a browser."""
    with started(house, variables) as (process, lab), browser_page(find_chromium()) as (page, watched):
        yield NotebookPage(page, lab, "01_start.ipynb"), watched, lab, process


def current(page, path):
    """Wait until the document of this path is in front."""
    page.wait_for_function("path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=path)


def click(page, words):
    """Click a link of the document that is in front."""
    page.locator(".jp-RenderedMarkdown:visible").get_by_role("link", name=words).first.click()


def test_a_copy_that_was_only_opened_is_not_changed(opened, house):
    """An update may still refresh it in place; it is not the learner's by a look alone."""
    notebook = opened[0]
    assert notebook.page.evaluate("window.jupyterapp.shell.currentWidget.context.model.dirty")  # its kernel is noted
    notebook.command("docmanager:save")
    notebook.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert (house / "work" / "01_start.ipynb").read_bytes() == (house / "lessons" / "01_start.ipynb").read_bytes()


def test_next_and_the_files_of_the_library_open(opened):
    page = opened[0].page
    click(page, "02")
    current(page, "02_next.ipynb")
    click(page, "costs.py")
    current(page, "mini_lib/costs.py")
    page.get_by_text("What a model costs.").first.wait_for()


def test_a_file_of_the_library_cannot_be_changed_and_leaves_nothing_in_the_learners_folder(opened, house):
    _, _, lab, _ = opened
    body = json.dumps({"type": "file", "format": "text", "content": "x"}).encode()
    for path in ("mini_lib/costs.py", "mini_lib/new.py"):
        assert asks(lab, f"api/contents/{path}", "PUT", body) == 403
    assert asks(lab, "api/contents/mini_lib/costs.py", "DELETE") == 403
    assert asks(lab, "api/contents/mini_lib/costs.py", "PATCH", b'{"path": "mine.py"}') == 403
    assert asks(lab, "api/contents/mini_lib/costs.py/checkpoints", "POST") == 403
    assert asks(lab, "api/contents/mini_lib/../../lab.log") == 404
    assert asks(lab, "api/contents/launcher/lock.py") == 404  # no lesson links there
    assert (house / "mini_lib" / "costs.py").read_text() == '"""What a model costs."""\n'
    assert not (house / "work" / "mini_lib").exists()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_takeaway_is_a_box_and_a_wide_table_scrolls_in_itself(opened, theme):
    page = opened[0].page
    page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', {path})", "01_start.ipynb")
    current(page, "01_start.ipynb")
    page.set_viewport_size({"width": 800, "height": 900})
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    page.wait_for_timeout(500)  # the theme's colours fade in
    box = page.locator(".jp-RenderedMarkdown blockquote:visible").first
    style = (
        "node => (({borderTopStyle, borderRightStyle, backgroundColor, color}) => "
        "[borderTopStyle, borderRightStyle, backgroundColor, color])(getComputedStyle(node))"
    )
    *border, background, ink = box.evaluate(style)
    assert border == ["solid", "solid"]
    assert contrast(background, ink) >= 4.5  # WCAG 2.2, 1.4.3
    table = page.locator(".jp-RenderedMarkdown table:visible").first
    assert table.evaluate("node => node.scrollWidth > node.clientWidth")
    assert table.evaluate("node => node.getBoundingClientRect().right <= innerWidth")
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"lab-{theme.split()[1].lower()}.png")


def contrast(*colours):
    """The contrast of two CSS colours, by WCAG 2.2."""

    def luminance(colour):
        numbers = [float(number) for number in re.findall(r"[\d.]+", colour)][:3]
        shares = numbers if colour.startswith("color(") else [number / 255 for number in numbers]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


def test_a_second_start_names_the_running_lab_and_ends(opened, house, variables):
    _, _, lab, _ = opened
    stale = Path(variables["JUPYTER_RUNTIME_DIR"], "jpserver-0.json")  # its server was killed, and its port is free
    stale.write_text(
        json.dumps({"url": f"http://127.0.0.1:{free_port()}/", "token": "x", "root_dir": str(house / "work")})
    )
    said = second_start(house, variables)
    assert f"already runs on this folder: {lab.url}/lab/tree/01_start.ipynb?token={lab.token}\n" in said
    assert "choose File > Shut Down in JupyterLab, or press Ctrl-C twice" in said


def test_an_answer_is_on_disk_without_a_save_and_survives_a_kill_and_the_orphan_is_named(opened, house, variables):
    notebook, watched, lab, process = opened
    notebook.write("answer", "my_answer = 1")
    copy = house / "work" / "01_start.ipynb"
    # JupyterLab's own interval is 120 s: a minute is enough only for ours of 15.
    for _ in range(600):
        if "my_answer = 1" in copy.read_text(encoding="utf-8"):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    process.wait()
    assert "my_answer = 1" in copy.read_text(encoding="utf-8")
    assert watched.leaving(lab.url) == []
    said = second_start(house, variables)
    assert f"not from a terminal of course.py: {lab.url}/lab/tree/01_start.ipynb?token={lab.token}\n" in said


def test_news_are_seen_in_the_browser_and_the_last_lesson_is_one_click_away(house, variables, opened):
    """The last test of the file: it ends the JupyterLab of the others."""
    notebook, _, lab, _ = opened
    asks(lab, "api/shutdown", method="POST")
    while asks(lab, "api/status"):
        time.sleep(0.1)
    copy = house / "work" / "01_start.ipynb"
    copy.write_text(copy.read_text(encoding="utf-8").replace("# A lesson", "# My notes"), encoding="utf-8")
    publish(house, "01_start", "A new version.")
    with started(house, variables) as (_, lab):
        page = notebook.page
        page.set_viewport_size({"width": 800, "height": 900})
        page.goto(f"{lab.url}/?token={lab.token}")
        page.get_by_role("heading", name="News of the course").wait_for()
        if folder := os.environ.get("COURSE_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "lab-news.png")
        assert "Yours is unchanged." in page.locator(".jp-MarkdownViewer").inner_text()
        page.locator(".jp-MarkdownViewer").get_by_role("link", name="01_start.ipynb").last.click()
        current(page, "01_start.ipynb")
