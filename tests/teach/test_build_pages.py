"""What makes a page quiet: cells that draw are folded, sections end in a takeaway, problems for paper have answers."""

import pytest
from build_support import SOURCE, house, run

from teach.build import pages
from teach.build.folding import MOST_VISIBLE, Lines, lines_of
from teach.build.source import read_source

DRAWS = """
def draw(x):
    figure, axes = plt.subplots()
    axes.plot(x)
    return figure

show(draw([1]), alt="A line.")
"""
LINES = {
    "nothing": ("", Lines(0, 0)),
    "computing": ("x = [1,\n     2]\n# a comment\n\ny = sum(x)", Lines(0, 3)),
    "imports and questions": ('import os\npredict(\n    "1.a", "How many?"\n)\nreveal("1.a", 2)', Lines(0, 0)),
    "a function that draws, and its call": (DRAWS, Lines(5, 0)),
    "a slider": ("def f(bits):\n    return plt.figure()\n\nexplore(f, bits=(1, 2))", Lines(3, 0)),
    "one that only computes": ("def f(x):\n    return x.plot\n\ny = f(1)", Lines(0, 3)),
    "axes by another name": ("f, (left, right) = plt.subplots(1, 2)\nleft.plot(x)\nx.sum()", Lines(2, 1)),
    "axes from a loop": (
        "f, all = plt.subplots(2)\nfor one, y in zip(all, x):\n    one.plot(y)\nall[0].set(xlim=1)",
        Lines(4, 0),
    ),
    "a loop that also computes": ("for one in x:\n    y.append(one + 1)\n    plt.plot(one)", Lines(1, 2)),
    "a printed result": ('print(f"{x:.2f} of {y}")', Lines(0, 1)),
    "a printed table": ('print(f"{x:<8}{y:>8.2f}")\nfor one in x:\n    print(one)', Lines(3, 0)),
    "a table in a list": ('for one in x:\n    rows.append((one, f"{one:.1f}"))\nprint(aligned(rows))', Lines(3, 0)),
    "a list that computes": ("for one in x:\n    rows.append(one + 1)", Lines(0, 2)),
    "both ways of an if": ("if x:\n    plt.plot(x)\nelse:\n    plt.bar(x)", Lines(4, 0)),
    "a magic": ("%timeit sum(x)\nplt.plot(x)", Lines(1, 1)),
}


@pytest.mark.parametrize("case", LINES)
def test_which_lines_draw(case):
    text, expected = LINES[case]
    assert lines_of(text) == expected


def test_a_call_of_a_function_that_an_earlier_cell_defined_draws():
    drawers = set()
    assert lines_of('def table(rows):\n    for one in rows:\n        print(f"{one:>9}")', drawers) == Lines(3, 0)
    assert lines_of("rows = [1]\ntable(\n    rows\n)", drawers) == Lines(3, 1)
    assert lines_of("rows = [1]\ntable(\n    rows\n)") == Lines(0, 4)


# ---- the rules, and the switch

SECTION = """
# %% [markdown]
# ## 1 Twice
#
# Twice 3 is 6.

# %%
print(2 * 3)

# %% [markdown]
# > **Takeaway.** Twice a number is the number plus itself.

# %% tags=["solution-only"]
assert 2 * 3 == 6

"""
PENCIL = "# %% [markdown]\n# ## With pencil and paper"
QUIET = SOURCE.replace(PENCIL, SECTION.lstrip() + PENCIL)
CELL = "# %%\nprint(2 * 3)\n"
TAKEAWAY = "# > **Takeaway.** Twice a number is the number plus itself."
LOUD = {
    "a cell that only draws": (CELL, f"# %%{DRAWS}", "5 of the 5 lines of this cell draw a figure or line up a table"),
    "a cell that mostly draws": (CELL, f"# %%\nx = 1\nx += 1{DRAWS}", "5 of the 7 lines of this cell draw"),
    "a cell that draws long": (
        CELL,
        "# %%\n" + 13 * "plt.plot(1)\n" + 20 * "x = 1\n",
        "13 of the 33 lines of this cell draw",
    ),
    "too much code": (CELL, "# %%\n" + "x = 1\n" * (MOST_VISIBLE - 2), f"shows {MOST_VISIBLE + 1} lines of code"),
    "no takeaway": (f"# %% [markdown]\n{TAKEAWAY}\n", "", "the section '## 1 Twice' has 0 takeaways; end it with one"),
    "two takeaways": (CELL, f"# %% [markdown]\n{TAKEAWAY}\n", "the section '## 1 Twice' has 2 takeaways"),
    "a takeaway with more in its cell": (TAKEAWAY, f"{TAKEAWAY}\n#\n# And on.", "a cell of its own with one line"),
    "two sentences": (TAKEAWAY, f"{TAKEAWAY} It is even.", "a takeaway is one sentence; found 'Twice a number is the"),
    "no sentence": (TAKEAWAY, TAKEAWAY[:-1], "a takeaway is one sentence"),
    "a takeaway too early": (TAKEAWAY, f"{TAKEAWAY}\n\n{CELL}", "is not its last cell"),
    "a takeaway in no section": ("# ## Summary", f"# ## Summary\n\n# %% [markdown]\n{TAKEAWAY}", "this one is in none"),
    "a section within a cell": ("# ## 1 Twice", "# So.\n#\n# ## 1 Twice", "a numbered section starts its cell"),
    "no problems for paper": ("# ## With pencil and paper", "# ## Homework", "0 sections '## With pencil and paper'"),
    "one problem": ("# **2.**", "# Two:", "the problems are numbered 1; write two or three"),
    "an answer that is missing": ("# Of 4: 4 + 4 = 8.\n", "", "2 problems, 2 answers"),
    "an answer by another name": ("<summary>Answer</summary>", "<summary>Hint</summary>", "2 problems, 1 answers"),
    "problems after the summary": ("# %% [markdown]\n# ## Summary\n", "", "stands after the summary; put it before"),
    "typed minutes": ("{minutes}", "about 5 minutes", "under the title must stand 'Lesson 07 · {minutes} · '"),
}  # fmt: skip


@pytest.fixture
def no_exceptions(monkeypatch):
    monkeypatch.setattr(pages, "NOT_YET", set())


def test_a_quiet_page_is_built(tmp_path, no_exceptions, capsys):
    house(tmp_path, QUIET)
    assert run(tmp_path, "--lessons-only") == 0, capsys.readouterr().err


@pytest.mark.parametrize("what", LOUD)
def test_what_is_not_quiet_is_refused(what, tmp_path, no_exceptions, capsys):
    old, new, sentence = LOUD[what]
    assert old in QUIET
    house(tmp_path, QUIET.replace(old, new, 1))
    assert run(tmp_path, "--lessons-only") == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "solutions/07_twice.py:" in said


@pytest.mark.parametrize(
    "cell",
    [
        "plt.plot(1)\nplt.plot(2)\n",  # two lines push nothing away
        3 * "plt.plot(1)\n" + 3 * "x = 1\n",  # as many that compute
        12 * "plt.plot(1)\n" + 12 * "x = 1\n",
        "x = 1\n" * (MOST_VISIBLE - 4),  # with the four lines that are there
    ],
)
def test_what_is_quiet_enough(cell, tmp_path, no_exceptions, capsys):
    house(tmp_path, f"{QUIET}\n# %%\n{cell}")
    assert run(tmp_path, "--lessons-only") == 0, capsys.readouterr().err


@pytest.mark.parametrize("tag", ["hide-input", "solution-only"])
def test_a_cell_that_draws_may_be_folded_or_be_the_solutions_alone(tag, tmp_path, no_exceptions, capsys):
    house(tmp_path, QUIET + f'\n# %% tags=["{tag}"]{DRAWS}' + "x = 1\n" * MOST_VISIBLE)
    assert run(tmp_path, "--lessons-only") == 0, capsys.readouterr().err


def test_a_lesson_that_is_not_there_yet_is_built_and_its_problems_are_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pages, "NOT_YET", {7})
    house(tmp_path, QUIET.replace(TAKEAWAY, "# Twice."))
    assert run(tmp_path, "--lessons-only") == 0
    assert run(tmp_path, "--page", "07") == 0
    line = 1 + QUIET[: QUIET.index("# %% [markdown]\n# ## 1")].count("\n")
    assert f"solutions/07_twice.py:{line}: the section '## 1 Twice' has 0 takeaways" in capsys.readouterr().out


def test_the_page_report_names_the_cells_that_a_slide_shows(tmp_path, capsys):
    house(
        tmp_path,
        QUIET.replace(CELL, f'# %% name="fig-twice"\n{CELL[5:]}\n# %% name="out-twice" tags=["hide-input"]\n1'),
    )
    (tmp_path / "slides").mkdir()
    deck = "![x](figures/07_fig-twice.png)\n\n```text out-twice\n1\n```\n"
    (tmp_path / "slides" / "07_twice.md").write_text(deck)
    assert run(tmp_path, "--page") == 0
    said = capsys.readouterr().out
    assert "fig-twice is on a slide, and in the lesson (visible lines: 1)" in said
    assert "out-twice is on a slide, and in the lesson (folded)" in said


def test_the_lessons_of_the_course_are_quiet(request):
    """All but those that are still being rewritten."""
    sources = [read_source(path) for path in sorted(request.config.rootpath.glob("solutions/[0-9][0-9]_*.py"))]
    assert sources and {source.lesson for source in sources} >= pages.NOT_YET
    assert [one for source in sources if source.lesson not in pages.NOT_YET for one in pages.problems(source)] == []
