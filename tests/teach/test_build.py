"""The builder: what it cuts, what it keeps, and how it runs a solution."""

from pathlib import Path

import nbformat
import pytest
from build_support import SOURCE, house, run
from hypothesis import given, settings
from hypothesis import strategies as st

from teach.build import command
from teach.build.notebook import NOTEBOOK_METADATA, as_text, cell_ids, lesson_notebook, solution_notebook, stub
from teach.build.source import read_source


def notebooks(root: Path, text: str = SOURCE):
    """The lesson and the solution of a source, not executed."""
    source = read_source(house(root, text))
    return lesson_notebook(source, {"7.1": 2}), solution_notebook(source, {"7.1": 2})


# ---- the lesson and the solution


def test_the_answer_is_cut_and_the_stub_raises(tmp_path):
    lesson, _ = notebooks(tmp_path)
    cell = next(cell for cell in lesson.cells if cell.id == "ex-7-1")
    assert cell.source == (
        'def twice(x):\n    """Twice `x`."""\n    raise NotImplementedError("Exercise 7.1: write your answer here")'
    )
    names = {}
    exec(cell.source, names)
    with pytest.raises(NotImplementedError, match="Exercise 7.1: write your answer here"):
        names["twice"](3)


def test_no_answer_and_no_solution_only_cell_is_in_the_lesson(tmp_path):
    text = as_text(notebooks(tmp_path)[0])
    assert "doubled" not in text
    assert "SOLUTION" not in text
    assert "A shift by one bit" not in text
    assert "Add it to itself." in text


def test_the_solution_keeps_the_answer_and_loses_the_markers(tmp_path):
    text = as_text(notebooks(tmp_path)[1])
    assert "doubled = x + x" in text
    assert "A shift by one bit" in text
    assert "SOLUTION" not in text


def test_the_metadata_is_what_nbgrader_reads(tmp_path):
    lesson, solution = notebooks(tmp_path)
    for notebook in (lesson, solution):
        cells = {cell.id: cell for cell in notebook.cells}
        assert cells["ex-7-1"].metadata.nbgrader == {
            "grade": False,
            "grade_id": "ex-7-1",
            "locked": False,
            "schema_version": 3,
            "solution": True,
            "task": False,
        }
        assert cells["check-7-1"].metadata.nbgrader == {
            "grade": True,
            "grade_id": "check-7-1",
            "locked": True,
            "points": 2,
            "schema_version": 3,
            "solution": False,
            "task": False,
        }
        assert not cells["check-7-1"].metadata.deletable
        assert "jupytext" not in notebook.metadata


def test_ids_are_the_same_in_lesson_and_solution_and_follow_their_text(tmp_path):
    lesson, solution = notebooks(tmp_path)
    kept = [cell.id for cell in solution.cells if "solution-only" not in cell.metadata.get("tags", ())]
    assert [cell.id for cell in lesson.cells] == kept
    assert len(set(kept)) == len(kept)
    before = cell_ids(read_source(house(tmp_path)))
    after = cell_ids(read_source(house(tmp_path, "# %% [markdown]\n# A new first cell.\n\n" + SOURCE)))
    assert after[1:] == before
    assert before[-1] == f"{before[-2]}_2"  # the same text twice


def test_a_folded_cell_is_folded_the_way_jupyterlab_knows(tmp_path):
    """`source_hidden` is in nbformat's own schema, which no viewer refuses; the output is not hidden."""
    for notebook in notebooks(tmp_path, SOURCE.replace('tags=["nbval-check-output"]', 'tags=["hide-input"]')):
        folded = [cell for cell in notebook.cells if "jupyter" in cell.metadata]
        assert [dict(cell.metadata) for cell in folded] == [
            {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
        ]
        nbformat.validate(notebook)


@settings(deadline=None)
@given(st.integers(1, 8), st.lists(st.sampled_from(["y = x", "if x:", "    return x", "", "# note"]), min_size=1))
def test_a_stub_holds_nothing_of_the_answer_and_raises_at_its_indentation(depth, answer):
    space = " " * depth
    body = "\n".join(space + line for line in ["### BEGIN SOLUTION", *answer, "### END SOLUTION"])
    cut = stub(f"def f(x):\n{body}\n# after", "1.1")
    assert cut == f'def f(x):\n{space}raise NotImplementedError("Exercise 1.1: write your answer here")\n# after'


# ---- executing


def test_building_executes_the_solution_and_leaves_the_lesson_without_outputs(built, capsys):
    solution = nbformat.read(built / "solutions" / "07_twice.ipynb", as_version=4)
    lesson = nbformat.read(built / "lessons" / "07_twice.ipynb", as_version=4)
    assert [cell.outputs[0].text for cell in solution.cells if cell.get("outputs")] == ["7.1 passed\n", "4\n"]
    assert solution.metadata == lesson.metadata == NOTEBOOK_METADATA  # not this Python's exact version
    assert [cell.execution_count for cell in solution.cells if cell.cell_type == "code"] == [1, 2, 3, 4]
    assert all(not cell.outputs and cell.execution_count is None for cell in lesson.cells if cell.cell_type == "code")


def test_a_second_build_gives_the_same_bytes(built, tmp_path):
    house(tmp_path)
    assert run(tmp_path) == 0
    for folder in ("lessons", "solutions"):
        name = f"{folder}/07_twice.ipynb"
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes()
        assert b"\r" not in (tmp_path / name).read_bytes()
        assert (tmp_path / name).read_bytes().endswith(b"}\n")


def test_the_kernel_gets_the_courses_switches_and_a_folder_of_its_own(tmp_path, capsys):
    show = 'print([os.environ["COURSE_" + k] for k in ("STRICT", "STATIC")], os.listdir("."))'
    house(tmp_path, SOURCE.replace("print(sum([2, 2]))", show))
    assert run(tmp_path) == 0
    assert "07_twice: 12 cells ran in " in capsys.readouterr().out
    text = (tmp_path / "solutions" / "07_twice.ipynb").read_text()
    assert "['1', '1'] []" in text


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("print(os.getcwd())", "which is true on this machine only"),
        ("1 / 0", "did not run"),
        ('print("x" * 1_000_000)', "a notebook stays under 1000000"),
    ],
)
def test_a_solution_that_may_not_be_kept_is_not_written(code, sentence, tmp_path, capsys):
    house(tmp_path, SOURCE.replace("print(sum([2, 2]))", code))
    assert run(tmp_path) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*/*.ipynb"))


def test_a_folder_without_sources_is_not_called_right(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--check"], root=tmp_path)
    said = f"no source of a lesson in {tmp_path / 'solutions'}; build in a clone of the course"
    assert said in capsys.readouterr().err
