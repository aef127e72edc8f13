"""The builder: what it cuts, what it keeps, what it refuses, and what it finds changed by hand."""

import json
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.teach.build import command, outputs
from mini_lib.teach.build.notebook import NOTEBOOK_METADATA, as_text, cell_ids, lesson_notebook, solution_notebook, stub
from mini_lib.teach.build.source import read_source

SOURCE = '''\
# %% [markdown]
# # How much is twice as much?

# %%
import os

def check(id):
    print(id, "passed")

# %% [markdown]
# ### Exercise 7.1 - Twice a number (5 min)
# Write it.

# %% name="ex-7-1" tags=["exercise"]
def twice(x):
    """Twice `x`."""
    ### BEGIN SOLUTION
    doubled = x + x
    return doubled
    ### END SOLUTION

# %% tags=["check"]
check("7.1")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Add it to itself.
# </details>

# %% [markdown] tags=["solution-only"]
# A shift by one bit does it too.

# %% tags=["nbval-check-output"]
print(sum([2, 2]))

# %% [markdown]
# That is all.

# %% [markdown]
# That is all.
'''


@dataclass(frozen=True)
class Stated:
    """As much of an exercise as the builder asks of it."""

    id: str = "7.1"
    title: str = "Twice a number"
    function: str = "twice"
    points: int = 2


def house(root: Path, text: str = SOURCE) -> Path:
    """A house with one lesson's source in it; returns the source's path."""
    path = root / "solutions" / "07_twice.py"
    path.parent.mkdir(exist_ok=True)
    (root / "lessons").mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def run(root: Path, *arguments: str, exercises=(Stated(),)) -> int:
    """The command on a house of our own."""
    return command.main(arguments, root=root, exercises=lambda lesson: exercises)


def notebooks(root: Path, text: str = SOURCE):
    """The lesson and the solution of a source, not executed."""
    source = read_source(house(root, text))
    return lesson_notebook(source, {"7.1": 2}), solution_notebook(source, {"7.1": 2})


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A house whose one lesson has been built, executed and all: tests look at it or change a copy."""
    root = tmp_path_factory.mktemp("house")
    house(root)
    assert run(root) == 0
    return root


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
            "grade": False, "grade_id": "ex-7-1", "locked": False, "schema_version": 3, "solution": True, "task": False,
        }
        assert cells["check-7-1"].metadata.nbgrader == {
            "grade": True, "grade_id": "check-7-1", "locked": True, "points": 2,
            "schema_version": 3, "solution": False, "task": False,
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
    lesson, _ = notebooks(tmp_path, SOURCE.replace('tags=["nbval-check-output"]', 'tags=["hide-input"]'))
    assert [cell.metadata.jupyter.source_hidden for cell in lesson.cells if "jupyter" in cell.metadata] == [True]


@settings(deadline=None)
@given(st.integers(1, 8), st.lists(st.sampled_from(["y = x", "if x:", "    return x", "", "# note"]), min_size=1))
def test_a_stub_holds_nothing_of_the_answer_and_raises_at_its_indentation(depth, answer):
    space = " " * depth
    body = "\n".join(space + line for line in ["### BEGIN SOLUTION", *answer, "### END SOLUTION"])
    cut = stub(f"def f(x):\n{body}\n# after", "1.1")
    assert cut == f'def f(x):\n{space}raise NotImplementedError("Exercise 1.1: write your answer here")\n# after'


# ---- refusals

ANSWER = "    ### BEGIN SOLUTION\n    doubled = x + x\n    return doubled\n    ### END SOLUTION\n"
REFUSED = {
    "no region": (ANSWER, "    return x\n", "has one region, '### BEGIN SOLUTION' to '### END SOLUTION'; found none"),
    "two regions": (ANSWER, ANSWER + ANSWER, "an exercise has one region"),
    "a marker left over": ("    ### END SOLUTION\n", "", "an exercise has one region"),
    "an empty region": ("    doubled = x + x\n    return doubled\n", "\n", "the solution region is empty"),
    "a region in an untagged cell": ('"ex-7-1" tags=["exercise"]', '"ex-7-1"', 'without the tag "exercise"'),
    "a marker in markdown": ("# Write it.", "# ### BEGIN SOLUTION", 'without the tag "exercise"'),
    "a misspelt marker": ("### BEGIN SOLUTION", "## BEGIN SOLUTION", "an exercise has one region"),
    "a stub that does not compile": (ANSWER, ANSWER.replace("    ###", "  ###"), "the stub does not compile"),
    "a region outside a function": (
        ANSWER, "    return 1\n\n### BEGIN SOLUTION\nz = 1\n### END SOLUTION\n", "not inside a function"),
    "another function": ("def twice", "def double", "the region is in 'double', but exercise 7.1 checks 'twice'"),
    "an exercise without a name": (' name="ex-7-1"', "", 'needs a name such as name="ex-7-1", got None'),
    "an unknown exercise": ('"ex-7-1"', '"ex-7-9"', "exercise 7.9 is not among the exercises of lesson 7 (7.1)"),
    "an exercise without a cell": ('"ex-7-1"', '"ex-7-9"', "no cell for exercise 7.1"),
    "another title": ("Twice a number (5", "Double it (5", "must stand '### Exercise 7.1 - Twice a number (N min)'"),
    "no minutes": (" (5 min)", "", "must stand '### Exercise 7.1 - Twice a number (N min)'"),
    "no check cell": ('# %% tags=["check"]\ncheck("7.1")\n', "", "an exercise without a check"),
    "a check of another exercise": ('check("7.1")\n', 'check("7.2")\n', "this checks 7.2, but the code cell before it is exercise 7.1"),
    "a check that is not called": ('\ncheck("7.1")', '\nprint("7.1")', 'a check cell calls check("2.1")'),
    "a check whose panel is lost": ('check("7.1")\n', 'v = check("7.1")\nNone\n', "must be the last line of its cell"),
    "a check after nothing": ("# %% [markdown]\n# # How", '# %% tags=["check"]\ncheck("7.1")\n\n# %% [markdown]\n# # How', "the code cell before it is missing"),
    "a later cell on the learner's function": ("sum([2, 2])", "twice(2)", "this cell uses 'twice', which exercise 7.1 has the learner write"),
    "the answer in a hint": ("# Add it to itself.", "# doubled = x + x\n# return doubled", "gives away the answer to 7.1: 'doubled = x + x'"),
    "a telling line elsewhere": (
        "doubled = x + x\n    return doubled\n    ### END SOLUTION\n\n# %% tags=[\"check\"]\ncheck(\"7.1\")\n",
        "doubled = sum([x for _ in range(2)])\n    return doubled\n    ### END SOLUTION\n\n# %% tags=[\"check\"]\ncheck(\"7.1\")\n"
        "\n# %%\nx = 2\ndoubled = sum([x for _ in range(2)])\n", "gives away the answer to 7.1: 'doubled = sum("),
    "an unknown tag": ('tags=["check"]', 'tags=["chek"]', "unknown tag 'chek'; use one of exercise, check,"),
    "a name that is no id": ('# %%\nimport', '# %% name="Import cell"\nimport', "name 'Import cell' cannot be a cell id"),
    "a name used twice": ('# %%\nimport', '# %% name="ex-7-1"\nimport', "name 'ex-7-1' is used 2 times"),
    "a hint without an empty line": ("</summary>\n#\n", "</summary>\n", "an empty line after </summary>"),
    "a hint on the summary's line": ("</summary>\n", "</summary> Add\n", "an empty line after </summary>"),
    "a hint that is not closed": ("# </details>", "# that", "as many <details> as </details>"),
    "a picture without words": ("# Write it.", "# ![](grid.png)", "a picture without alternative text"),
    "an HTML picture without words": ("# Write it.", '# <img src="grid.png">', "a picture without alternative text"),
    "other metadata": ("# %%\nimport", '# %% slideshow="x"\nimport', "unknown cell metadata ['slideshow']"),
    "text before the first cell": ("# %% [markdown]\n# # How", "import os\n\n# %% [markdown]\n# # How", "put nothing before it"),
    "what is not Python": ("import os\n", 'import os\n"""\n', "07_twice.py: not Python:"),
    "a markdown exercise": ('# %% [markdown]\n# That', '# %% [markdown] tags=["exercise"]\n# That', "is a code cell, not markdown"),
}


@pytest.mark.parametrize("change", REFUSED, ids=str)
def test_refused_with_a_sentence_that_helps(change, tmp_path, capsys):
    old, new, sentence = REFUSED[change]
    assert old in SOURCE
    house(tmp_path, SOURCE.replace(old, new, 1))
    assert run(tmp_path, "--lessons-only") == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "07_twice.py:" in said
    assert list((tmp_path / "lessons").iterdir()) == []


@pytest.mark.parametrize(
    "cell",
    [
        '# %% tags=["solution-only"]\nprint(twice(2))',
        '# %% [markdown] tags=["solution-only"]\n# doubled = x + x\n# return doubled',
        "# %%\ndoubled = x + x",  # short, and not all of it
        "# %%\nmini_lib.twice(2)",
        "# %%\nx = 1  # %% no cell",
        "# %%\ntext = '''\n# %% no cell\n'''",
        '# %% [markdown]\n# ![A grid](grid.png) <img src="grid.png" alt="A grid">',
    ],
)
def test_what_is_not_refused(cell, tmp_path):
    house(tmp_path, f"{SOURCE}\n{cell}\n")
    assert run(tmp_path, "--lessons-only") == 0


def test_a_refusal_names_the_line_an_editor_can_open(tmp_path, capsys):
    house(tmp_path, SOURCE.replace("def twice", "def double"))
    run(tmp_path, "--lessons-only")
    line = 1 + SOURCE[: SOURCE.index('# %% name="ex-7-1"')].count("\n")
    assert f"solutions/07_twice.py:{line}: the region is in 'double'" in capsys.readouterr().err


def test_exercises_in_another_order_than_listed_are_refused(tmp_path, capsys):
    second = SOURCE[SOURCE.index("# %% [markdown]\n# ### Exercise") : SOURCE.index("# %% [markdown]\n# <details>")]
    second = second.replace("7.1", "7.2").replace("7-1", "7-2").replace("twice", "thrice").replace("doubled", "tripled")
    house(tmp_path, SOURCE + "\n" + second)
    other = Stated(id="7.2", function="thrice")
    assert run(tmp_path, "--lessons-only", exercises=(Stated(), other)) == 0
    assert run(tmp_path, "--lessons-only", exercises=(other, Stated())) == 1
    assert "the exercises stand in the order ['7.1', '7.2'], but are listed as ['7.2', '7.1']" in capsys.readouterr().err


def test_a_lesson_asked_for_that_is_not_there(tmp_path, capsys):
    house(tmp_path)
    with pytest.raises(SystemExit):
        run(tmp_path, "8")
    assert "no source for lesson 8" in capsys.readouterr().err


def test_a_file_name_that_is_no_lesson(tmp_path):
    (tmp_path / "twice.py").write_text("# %%\n1\n")
    with pytest.raises(ValueError, match="'twice.py' is not a lesson's name: use two digits and a topic"):
        read_source(tmp_path / "twice.py")


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
    assert "07_twice: 10 cells ran in " in capsys.readouterr().out
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


# ---- outputs


def one_output(output) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("x", id="some-cell", outputs=[output])
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})


def test_widgets_and_progress_bars_are_taken_out_and_their_pictures_stay():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "IntSlider(value=2)"}
    display, stream = "display_data", "stream"
    drawn = nbformat.v4.new_output(display, data=view | {"image/png": "QUJD"}, metadata={"image/png": {"alt": "a"}})
    bar = nbformat.v4.new_output(stream, name="stderr", text="\r 10%|#    | 1/10 [00:01<00:09]\r100%\n")
    for output, left in [(nbformat.v4.new_output(display, data=view), []), (bar, []), (drawn, [["image/png", "text/plain"]])]:
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
        (nbformat.v4.new_output("stream", name="stderr", text="UserWarning: old\n"), "wrote to stderr: 'UserWarning: old'"),
        (nbformat.v4.new_output("stream", name="stdout", text="<Thing at 0x7f00deadbeef>"), "shows 'at 0x7f00deadbeef'"),
        (nbformat.v4.new_output("stream", name="stdout", text="/the/house/solutions/a.py"), "shows '/the/house/'"),
        (nbformat.v4.new_output("display_data", data={"text/html": f"<b>{Path.home()}/x</b>"}), "true on this machine only"),
        (nbformat.v4.new_output("display_data", data={"text/plain": "3/9 [00:12<00:24]"}), "shows '00:12<00:24'"),
        (nbformat.v4.new_output("display_data", data={"image/png": "QUJD"}), "image/png without alternative text"),
        (nbformat.v4.new_output("display_data", data={"text/html": "<p><img src='data:x' alt=''>"}), "an HTML picture without alt"),
        (nbformat.v4.new_output("error", ename="OSError", evalue="no"), "raised OSError: no"),
    ],
)
def test_outputs_that_are_refused(output, sentence):
    (found,) = outputs.problems(one_output(output), Path("/the/house"))
    assert found.startswith("cell some-cell: ")
    assert sentence in found


def test_outputs_that_are_kept():
    for data in ({"text/plain": "<Figure size 640x480 with 1 Axes>"}, {"text/html": "<img src='data:AA/tmp/A' alt='4 bits: 0.912'>"}):
        assert outputs.problems(one_output(nbformat.v4.new_output("display_data", data=data)), Path("/the/house")) == []


# ---- drift


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """A built house that the test may spoil."""
    house(tmp_path)
    for folder in ("lessons", "solutions"):
        (tmp_path / folder / "07_twice.ipynb").write_bytes((built / folder / "07_twice.ipynb").read_bytes())
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
    edit(copy / "solutions" / "07_twice.ipynb", lambda notebook: notebook["cells"][-3]["outputs"][0].update(text="5\n"))
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
    assert "change the source, then run: python -m mini_lib.teach.build 07" in said


def test_a_notebook_without_a_source_and_a_source_without_notebooks(copy, capsys):
    (copy / "lessons" / "07_twice.ipynb").rename(copy / "lessons" / "08_thrice.ipynb")
    assert run(copy, "--check") == 1
    said = capsys.readouterr().err
    assert "lessons/08_thrice.ipynb has no source; write solutions/08_thrice.py, or delete the notebook" in said
    assert "lessons/07_twice.ipynb is missing; run: python -m mini_lib.teach.build 07" in said


def test_a_broken_notebook_is_named(copy, capsys):
    (copy / "lessons" / "07_twice.ipynb").write_text("{")
    assert run(copy, "--check") == 1
    assert "lessons/07_twice.ipynb: not a notebook (" in capsys.readouterr().err
