"""What `--check` finds: edits by hand, stale notebooks, notebooks without a source."""

import json
from pathlib import Path

import nbformat
import pytest
from build_support import SOURCE, house, run


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """A built house that the test may spoil."""
    house(tmp_path)
    for name in ("lessons/07_twice.ipynb", "solutions/07_twice.ipynb", "solutions/seconds.json"):
        (tmp_path / name).write_bytes((built / name).read_bytes())
    return tmp_path


def test_what_was_just_built_is_as_its_source_says(copy, capsys):
    assert run(copy, "--check") == 0
    assert "every notebook is as its source says" in capsys.readouterr().out


def edit(path: Path, change) -> None:
    notebook = json.loads(path.read_text())
    change(notebook)
    path.write_text(json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def word(notebook):
    notebook["cells"][0]["source"] = "# How much is thrice as much?"


def tag(notebook):
    notebook["cells"][1]["metadata"] = {"tags": ["nbval-skip"]}


def cell_id(notebook):
    notebook["cells"][0]["id"] = "mine"


def order(notebook):
    notebook["cells"].reverse()


def one_more(notebook):
    notebook["cells"].append(nbformat.v4.new_markdown_cell("More.", id="more"))


def output(notebook):
    notebook["cells"][1]["outputs"] = [nbformat.v4.new_output("stream", name="stderr", text="old")]


def grow(notebook):
    notebook["cells"][1]["outputs"] = [nbformat.v4.new_output("stream", text="x" * 1_000_000)]


def older(notebook):
    notebook["nbformat_minor"] = 6


def kernel(notebook):
    notebook["metadata"]["kernelspec"]["name"] = "python3.11"


@pytest.mark.parametrize(
    ("change", "folder", "sentence"),
    [
        (word, "lessons", "differs in its source"),
        (word, "solutions", "differs in its source"),
        (tag, "lessons", "differs in its metadata"),
        (tag, "solutions", "differs in its metadata"),
        (cell_id, "lessons", "cells not in the source: ['mine']"),
        (order, "solutions", "the same cells in another order"),
        (one_more, "lessons", "cells not in the source: ['more']"),
        (output, "lessons", "the same cells, but not the same file"),
        (older, "lessons", "the same cells, but not the same file"),
        (kernel, "lessons", "its metadata are not those that the builder writes"),
        (kernel, "solutions", "its metadata are not those that the builder writes"),
        (output, "solutions", "cell ea2e4ef258: wrote to stderr: 'old'"),
        (grow, "solutions", "a notebook stays under 1000000"),
    ],
)
def test_an_edit_by_hand_is_found(change, folder, sentence, copy, capsys):
    edit(copy / folder / "07_twice.ipynb", change)
    assert run(copy, "--check") == 1
    said = capsys.readouterr().err
    assert f"{folder}/07_twice.ipynb: " in said
    assert sentence in said


def test_outputs_of_a_solution_are_its_own_business(copy):
    def change(notebook):
        last = next(cell for cell in reversed(notebook["cells"]) if cell["cell_type"] == "code")
        last["outputs"][0]["text"] = "5\n"

    edit(copy / "solutions" / "07_twice.ipynb", change)
    assert run(copy, "--check") == 0


@pytest.mark.parametrize("counts", [None, 7], ids=["never executed", "executed out of order"])
def test_a_solution_that_was_not_executed_from_top_to_bottom(counts, copy, capsys):
    def change(notebook):
        notebook["cells"][1]["execution_count"] = counts

    edit(copy / "solutions" / "07_twice.ipynb", change)
    assert run(copy, "--check") == 1
    assert "solutions/07_twice.ipynb: not executed once from top to bottom" in capsys.readouterr().err


def test_a_solution_without_outputs(copy, capsys):
    def change(notebook):
        for cell in notebook["cells"]:
            if "outputs" in cell:
                cell["outputs"] = []

    edit(copy / "solutions" / "07_twice.ipynb", change)
    assert run(copy, "--check") == 1
    assert "not executed once from top to bottom" in capsys.readouterr().err


def test_a_changed_source_makes_its_notebooks_stale(copy, capsys):
    house(copy, SOURCE.replace("That is all.", "That is not all."))
    assert run(copy, "--check") == 1
    said = capsys.readouterr().err
    assert "lessons/07_twice.ipynb: cells not in the source" in said
    assert "solutions/07_twice.ipynb: cells not in the source" in said
    assert "change the source, then run: python -m teach.build 07" in said


def test_a_notebook_without_a_source_and_a_source_without_notebooks(copy, capsys):
    (copy / "lessons" / "07_twice.ipynb").rename(copy / "lessons" / "08_thrice.ipynb")
    assert run(copy, "--check") == 1
    said = capsys.readouterr().err
    assert "lessons/08_thrice.ipynb has no source; write solutions/08_thrice.py, or delete the notebook" in said
    assert "lessons/07_twice.ipynb is missing; run: python -m teach.build 07" in said


def test_a_broken_notebook_is_named(copy, capsys):
    (copy / "lessons" / "07_twice.ipynb").write_text("{")
    assert run(copy, "--check") == 1
    assert "lessons/07_twice.ipynb: not a notebook (" in capsys.readouterr().err
