"""Make pictures/lesson.png, the picture of a lesson in the README: an exercise with its message, a figure that moves.

    python tools/readme_picture.py                     # needs chromium and the packages of the tests

JupyterLab is opened on a copy of lesson 02. A wrong answer is typed into exercise 2.1 and checked; then the slider of
the third section is moved.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "pictures" / "lesson.png"
LESSON = "02_bits.ipynb"
WIDTH, HEIGHT = 1000, 900  # of the browser's window
GAP = 16  # pixels between the two views
COLOURS = 192

# The answer forgets that the largest weight may be negative, which is the second mistake of exercise 2.1.
WRONG = '''\
def symmetric_scale(weight, bits):
    """The scale of the symmetric signed grid that just reaches the largest magnitude.

    weight: a tensor of any shape; bits: 2 or more. Returns one number.
    """
    return weight.max() / (2 ** (bits - 1) - 1)
'''
TYPE = """([id, text]) => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets;
  cells.find(cell => cell.model.id === id).model.sharedModel.setSource(text);
}"""
SPAN = """ids => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets;
  const boxes = ids.map(id => cells.find(cell => cell.model.id === id).node.getBoundingClientRect());
  return [boxes[0].top, boxes[boxes.length - 1].bottom];
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
            page.evaluate(TYPE, ["ex-2-1", WRONG])
            notebook.command("notebook:run-all-cells")
            page.locator(".jp-NotebookPanel .explore img").nth(1).wait_for()  # the second figure that moves
            exercise = view(page, notebook, ["ex-2-1", "check-2-1"])
            slider = notebook.select("fig-clipping").locator("input[type=range]")
            for _ in range(2):
                slider.press("ArrowRight")
            moved = view(page, notebook, ["fig-clipping"])
    sheet = Image.new("RGB", (WIDTH, exercise.height + GAP + moved.height), "#d0d0d0")
    sheet.paste(exercise, (0, 0))
    sheet.paste(moved, (0, exercise.height + GAP))
    PICTURE.parent.mkdir(exist_ok=True)
    sheet.quantize(COLOURS).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {sheet.width} x {sheet.height} pixels, {PICTURE.stat().st_size:,} bytes")


def view(page, notebook, ids: list[str]) -> Image.Image:
    """The part of the window that shows these cells, which follow one another."""
    notebook.select(ids[0])
    page.wait_for_timeout(1000)
    top, bottom = page.evaluate(SPAN, ids)
    clip = {"x": 0, "y": top, "width": WIDTH, "height": min(bottom, HEIGHT) - top}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


if __name__ == "__main__":
    main()
