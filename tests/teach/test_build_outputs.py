"""The outputs that a solution keeps, and those for which it is refused."""

from pathlib import Path

import nbformat
import pytest

from teach.build import outputs


def one_output(output) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("x", id="some-cell", outputs=[output])
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})


def test_widgets_and_progress_bars_are_taken_out_and_their_pictures_stay():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "IntSlider(value=2)"}
    display, stream = "display_data", "stream"
    drawn = nbformat.v4.new_output(display, data=view | {"image/png": "QUJD"}, metadata={"image/png": {"alt": "a"}})
    bar = nbformat.v4.new_output(stream, name="stderr", text="\r 10%|#    | 1/10 [00:01<00:09]\r100%\n")
    for output, left in [
        (nbformat.v4.new_output(display, data=view), []),
        (bar, []),
        (drawn, [["image/png", "text/plain"]]),
    ]:
        notebook = one_output(output)
        outputs.clean(notebook)
        assert [sorted(kept.data) for kept in notebook.cells[0].outputs] == left
        assert "widgets" not in notebook.metadata


def test_text_in_pieces_is_kept_as_one():
    notebook = one_output(nbformat.v4.new_output("stream", name="stdout", text="a"))
    notebook.cells[0].outputs.append(nbformat.v4.new_output("stream", name="stdout", text="b\n"))
    outputs.clean(notebook)
    assert [output.text for output in notebook.cells[0].outputs] == ["ab\n"]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            nbformat.v4.new_output("stream", name="stderr", text="UserWarning: old\n"),
            "wrote to stderr: 'UserWarning: old'",
        ),
        (
            nbformat.v4.new_output("stream", name="stdout", text="<Thing at 0x7f00deadbeef>"),
            "shows 'at 0x7f00deadbeef'",
        ),
        (nbformat.v4.new_output("stream", name="stdout", text="/the/house/solutions/a.py"), "shows '/the/house/'"),
        (
            nbformat.v4.new_output("display_data", data={"text/html": f"<b>{Path.home()}/x</b>"}),
            "true on this machine only",
        ),
        (nbformat.v4.new_output("display_data", data={"text/plain": "3/9 [00:12<00:24]"}), "shows '00:12<00:24'"),
        (nbformat.v4.new_output("display_data", data={"image/png": "QUJD"}), "image/png without alternative text"),
        (
            nbformat.v4.new_output("display_data", data={"text/html": "<p><img src='data:x' alt=''>"}),
            "an HTML picture without alt",
        ),
        (nbformat.v4.new_output("error", ename="OSError", evalue="no"), "raised OSError: no"),
    ],
)
def test_outputs_that_are_refused(output, sentence):
    (found,) = outputs.problems(one_output(output), Path("/the/house"))
    assert found.startswith("cell some-cell: ")
    assert sentence in found


def test_outputs_that_are_kept():
    for data in (
        {"text/plain": "<Figure size 640x480 with 1 Axes>"},
        {"text/html": "<img src='data:AA/tmp/A' alt='4 bits: 0.912'>"},
    ):
        assert outputs.problems(one_output(nbformat.v4.new_output("display_data", data=data)), Path("/the/house")) == []
