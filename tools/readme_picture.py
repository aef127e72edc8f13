"""Make pictures/lesson.png, the picture of a lesson in the README: an exercise with its message, and a figure that moves.

    python tools/readme_picture.py                     # needs chromium and the packages of the tests

JupyterLab is opened on a copy of lesson 01. A wrong answer is typed into exercise 1.1 and checked; then a slider of the
second section is moved.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "pictures" / "lesson.png"
LESSON = "01_measure.ipynb"
WIDTH, HEIGHT = 1000, 900  # of the browser's window
GAP = 16  # pixels between the two views
COLOURS = 192

# The answer forgets that groups split the channels, which is the first mistake of exercise 1.1.
WRONG = """\
def conv_parameters(inputs, outputs, kernel, groups=1, bias=True):
    weights = outputs * inputs * kernel * kernel
    return weights + (outputs if bias else 0)
"""
TYPE = """([id, text]) => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets;
  cells.find(cell => cell.model.id === id).model.sharedModel.setSource(text);
}"""


def main() -> None:
    """Take both views and write the picture."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser_support import NotebookPage, browser_page, find_chromium, jupyterlab

    with tempfile.TemporaryDirectory() as folder:
        served, private = Path(folder) / "served", Path(folder) / "private"
        served.mkdir()
        private.mkdir()
        shutil.copy(ROOT / "lessons" / LESSON, served / LESSON)
        with jupyterlab(served, private) as lab, browser_page(find_chromium(), WIDTH, HEIGHT) as (page, _):
            notebook = NotebookPage(page, lab, LESSON)
            if page.locator(".jp-SideBar .lm-mod-current").count():
                notebook.command("application:toggle-left-area")
            page.evaluate(TYPE, ["ex-1-1", WRONG])
            notebook.command("notebook:run-all-cells")
            exercise = view(page, [notebook.select("ex-1-1"), notebook.select("check-1-1")])
            figure = notebook.select("fig-median")
            figure.locator("input[type=range]").press("ArrowRight")
            moved = view(page, [figure.locator(".jp-OutputArea")])
    sheet = Image.new("RGB", (WIDTH, exercise.height + GAP + moved.height), "#d0d0d0")
    sheet.paste(exercise, (0, 0))
    sheet.paste(moved, (0, exercise.height + GAP))
    PICTURE.parent.mkdir(exist_ok=True)
    sheet.quantize(COLOURS).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {sheet.width} x {sheet.height} pixels, {PICTURE.stat().st_size:,} bytes")


def view(page, cells) -> Image.Image:
    """The part of the window that holds these cells, which lie one under the other."""
    cells[0].scroll_into_view_if_needed()
    boxes = [cell.bounding_box() for cell in cells]
    top, bottom = min(box["y"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    clip = {"x": 0, "y": max(top - 8, 0), "width": WIDTH, "height": min(bottom, HEIGHT) - max(top - 8, 0)}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


if __name__ == "__main__":
    main()
