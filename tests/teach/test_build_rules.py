"""What the builder refuses in a source, each with the sentence that helps."""

import pytest
from build_support import SOURCE, Stated, house, run

from teach.build.source import read_source

ANSWER = "    ### BEGIN SOLUTION\n    doubled = x + x\n    return doubled\n    ### END SOLUTION\n"
REST = '    return doubled\n    ### END SOLUTION\n\n# %% tags=["check"]\ncheck("7.1")\n'
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
        ANSWER,
        "    return 1\n\n### BEGIN SOLUTION\nz = 1\n### END SOLUTION\n",
        "not inside a function",
    ),
    "another function": ("def twice", "def double", "the region is in 'double', but exercise 7.1 checks 'twice'"),
    "an exercise without a name": (' name="ex-7-1"', "", 'needs a name such as name="ex-7-1", got None'),
    "an unknown exercise": ('"ex-7-1"', '"ex-7-9"', "exercise 7.9 is not among the exercises of lesson 7 (7.1)"),
    "an exercise without a cell": ('"ex-7-1"', '"ex-7-9"', "no cell for exercise 7.1"),
    "another title": ("Twice a number (5", "Double it (5", "must stand '### Exercise 7.1 - Twice a number (N min)'"),
    "no minutes": (" (5 min)", "", "must stand '### Exercise 7.1 - Twice a number (N min)'"),
    "no check cell": ('# %% tags=["check"]\ncheck("7.1")\n', "", "an exercise without a check"),
    "a check of another exercise": (
        'check("7.1")\n',
        'check("7.2")\n',
        "this checks 7.2, but the code cell before it is exercise 7.1",
    ),
    "a check that is not called": ('\ncheck("7.1")', '\nprint("7.1")', 'a check cell calls check("2.1")'),
    "a check whose panel is lost": ('check("7.1")\n', 'v = check("7.1")\nNone\n', "must be the last line of its cell"),
    "a check after nothing": (
        "# %% [markdown]\n# # How",
        '# %% tags=["check"]\ncheck("7.1")\n\n# %% [markdown]\n# # How',
        "the code cell before it is missing",
    ),
    "a later cell on the learner's function": (
        "sum([2, 2])",
        "twice(2)",
        "this cell uses 'twice', which exercise 7.1 has the learner write",
    ),
    "the answer in a hint": (
        "# Add it to itself.",
        "# doubled = x + x\n# return doubled",
        "gives away the answer to 7.1: 'doubled = x + x'",
    ),
    "a telling line elsewhere": (
        f"doubled = x + x\n{REST}",
        f"doubled = sum([x for _ in range(2)])\n{REST}\n# %%\nx = 2\ndoubled = sum([x for _ in range(2)])\n",
        "gives away the answer to 7.1: 'doubled = sum(",
    ),
    "an unknown tag": ('tags=["check"]', 'tags=["chek"]', "unknown tag 'chek'; use one of exercise, check,"),
    "a name that is no id": (
        "# %%\nimport",
        '# %% name="Import cell"\nimport',
        "name 'Import cell' cannot be a cell id",
    ),
    "a name used twice": ("# %%\nimport", '# %% name="ex-7-1"\nimport', "name 'ex-7-1' is used 2 times"),
    "a hint without an empty line": ("</summary>\n#\n", "</summary>\n", "an empty line after </summary>"),
    "a hint on the summary's line": ("</summary>\n", "</summary> Add\n", "an empty line after </summary>"),
    "a hint that is not closed": ("# </details>", "# that", "as many <details> as </details>"),
    "a picture without words": ("# Write it.", "# ![](grid.png)", "a picture without alternative text"),
    "an HTML picture without words": ("# Write it.", '# <img src="grid.png">', "a picture without alternative text"),
    "other metadata": ("# %%\nimport", '# %% slideshow="x"\nimport', "unknown cell metadata ['slideshow']"),
    "text before the first cell": (
        "# %% [markdown]\n# # How",
        "import os\n\n# %% [markdown]\n# # How",
        "put nothing before it",
    ),
    "what is not Python": ("import os\n", 'import os\n"""\n', "07_twice.py: not Python:"),
    "a markdown exercise": (
        "# %% [markdown]\n# That",
        '# %% [markdown] tags=["exercise"]\n# That',
        "is a code cell, not markdown",
    ),
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


# ---- what stands on an answer: an unsolved lesson runs, and does what its solution does

SECOND = SOURCE[SOURCE.index("# %% [markdown]\n# ### Exercise") : SOURCE.index("# %% [markdown]\n# <details>")]
SECOND = SECOND.replace("7.1", "7.2").replace("7-1", "7-2").replace("twice", "thrice").replace("doubled", "tripled")
HELPER = "LIMIT = 9\n\n\ndef twice(x):"
USES = "this cell uses {!r}, which exercise 7.1 has the learner write"
STANDS_ON_AN_ANSWER = {
    "a call": ("twice(2)", USES.format("twice")),
    "another name of the exercise's cell": ("print(LIMIT)", USES.format("LIMIT")),
    "in an f-string": ('f"{twice(2)}"', USES.format("twice")),
    "handed on": ("list(map(twice, [1]))", USES.format("twice")),
    "in a function": ("def f(x):\n    return twice(x)", USES.format("twice")),
    "in a method": ("class C:\n    def f(self):\n        return twice(1)", USES.format("twice")),
    "in a lambda's default": ("f = lambda x=twice: x", USES.format("twice")),
    "in a comprehension": ("[twice(x) for x in (1, 2)]", USES.format("twice")),
    "a decorator": ("@twice\ndef f(): pass", USES.format("twice")),
    "deep inside": ("if os:\n    for x in ():\n        with x:\n            twice(x)", USES.format("twice")),
    "added to": ("LIMIT += 1", USES.format("LIMIT")),
    "read, then bound anew": ("twice = twice", USES.format("twice")),
    "bound anew in one way only": ("if os:\n    twice = 1\nprint(twice)", USES.format("twice")),
    "bound anew by a loop that may not run": ("for twice in ():\n    pass\nprint(twice)", USES.format("twice")),
    "bound anew by what may fail": ("try:\n    twice = 1\nexcept OSError:\n    print(twice)", USES.format("twice")),
    "bound anew by what may be skipped": ("os and (twice := 1)\nprint(twice)", USES.format("twice")),
    "only annotated": ("twice: int\nprint(twice)", USES.format("twice")),
    "bound anew in a function alone": ("def f():\n    twice = 1\nprint(twice)", USES.format("twice")),
    "in a text that is run": ('eval("twice(2)")', USES.format("twice")),
    "in a magic": ("%timeit twice(2)", USES.format("twice")),
    "in a cell magic": ("%%time\ntwice(2)", USES.format("twice")),
    "through globals": ('globals()["twice"](2)', USES.format("twice")),
    "awaited": ("await twice(2)", USES.format("twice")),
}  # fmt: skip


@pytest.mark.parametrize("way", STANDS_ON_AN_ANSWER)
def test_a_cell_that_stands_on_an_answer_is_refused(way, tmp_path, capsys):
    cell, sentence = STANDS_ON_AN_ANSWER[way]
    house(tmp_path, f"{SOURCE.replace('def twice(x):', HELPER)}\n# %%\n{cell}\n")
    assert run(tmp_path, "--lessons-only") == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "cells",
    [
        "# %%\ntwice = sum\nprint(twice([1, 2]))\n\n# %%\nprint(twice([3]))",  # bound anew, here and later
        "# %%\nfrom os import path as twice\n\n# %%\ntwice",
        "# %%\n(twice, [*LIMIT]), x = (1, (2, 3)), 4\nprint(twice, LIMIT)",
        "# %%\nfor twice in (1, 2):\n    print(twice)",  # bound by the loop before its first round
        "# %%\nwith open(os.devnull) as twice:\n    print(twice)",
        "# %%\ntry:\n    x = 1\nexcept OSError:\n    twice = 1\n    print(twice)\nelse:\n    LIMIT = 2\n    LIMIT",
        "# %%\nmatch os:\n    case 1:\n        twice = 1\n        print(twice)",
        "# %%\ndef f(twice, *, LIMIT=3):\n    return twice + LIMIT",  # names of the function's own
        "# %%\nprint([twice for twice in (1, 2)], (lambda twice: twice)(3))",
        "# %%\nos.twice = 1\nprint(os.twice, dict(twice=2), 'twice(2)')",  # an attribute, a keyword, a text
        '# %% tags=["check"]\nprint(LIMIT)\ncheck("7.2")',  # a check may
    ],
    ids=lambda cells: cells.split("\n", 1)[1][:40],
)
def test_what_only_looks_like_an_answer_is_not_refused(cells, tmp_path, capsys):
    text = SOURCE.replace("def twice(x):", HELPER)
    if "check" in cells:
        text += SECOND.partition("# %% tags")[0]
    house(tmp_path, f"{text}\n{cells}\n")
    exercises = (Stated(), Stated(id="7.2", function="thrice")) if "check" in cells else (Stated(),)
    assert run(tmp_path, "--lessons-only", exercises=exercises) == 0, capsys.readouterr().err


def test_an_exercise_does_not_stand_on_the_one_before(tmp_path, capsys):
    house(tmp_path, SOURCE + "\n" + SECOND.replace("x + x", "twice(x) + x"))
    assert run(tmp_path, "--lessons-only", exercises=(Stated(), Stated(id="7.2", function="thrice"))) == 1
    assert USES.format("twice") in capsys.readouterr().err


@pytest.mark.parametrize("user", ["def tell():\n    return {}", "tell = lambda: {}"])
def test_an_exercise_does_not_take_a_name_that_an_earlier_function_looks_up(user, tmp_path, capsys):
    before = user.format("twice")
    house(tmp_path, SOURCE.replace("import os\n", f"import os\n\ntwice = 2\n{before}\n", 1))
    assert run(tmp_path, "--lessons-only") == 1
    said = (
        "this cell binds 'twice', which a function of the cell at line 6 looks up when it is called; use another name"
    )
    assert said in capsys.readouterr().err
    house(tmp_path, SOURCE.replace("import os\n", f"import os\n\ntwice = 2\n{user.format('os')}\n", 1))
    assert run(tmp_path, "--lessons-only") == 0


def test_an_answer_that_binds_a_global_name_binds_it_for_all(tmp_path, capsys):
    answer = ANSWER.replace("doubled = x + x\n", "global memory\n    memory = doubled = x + x\n")
    house(tmp_path, SOURCE.replace(ANSWER, answer) + "\n# %%\nprint(memory)\n")
    assert run(tmp_path, "--lessons-only") == 1
    assert USES.format("memory") in capsys.readouterr().err


def test_the_lesson_needs_nothing_that_only_the_solution_has(tmp_path, capsys):
    shift = '# %% tags=["solution-only"]\nshift = 1\n'
    house(tmp_path, f"{SOURCE}\n{shift}\n# %%\nprint(shift)\n")
    assert run(tmp_path, "--lessons-only") == 1
    line = 3 + SOURCE.count("\n")
    assert f"this cell uses 'shift', which only the solution has (line {line - 1})" in capsys.readouterr().err
    house(tmp_path, f"{SOURCE}\n{shift}\n# %%\nshift = 2\nprint(shift)\n")
    assert run(tmp_path, "--lessons-only") == 0


def test_a_refusal_names_the_line_an_editor_can_open(tmp_path, capsys):
    house(tmp_path, SOURCE.replace("def twice", "def double"))
    run(tmp_path, "--lessons-only")
    line = 1 + SOURCE[: SOURCE.index('# %% name="ex-7-1"')].count("\n")
    assert f"solutions/07_twice.py:{line}: the region is in 'double'" in capsys.readouterr().err


def test_exercises_in_another_order_than_listed_are_refused(tmp_path, capsys):
    house(tmp_path, SOURCE + "\n" + SECOND)
    other = Stated(id="7.2", function="thrice")
    assert run(tmp_path, "--lessons-only", exercises=(Stated(), other)) == 0
    assert run(tmp_path, "--lessons-only", exercises=(other, Stated())) == 1
    assert (
        "the exercises stand in the order ['7.1', '7.2'], but are listed as ['7.2', '7.1']" in capsys.readouterr().err
    )


def test_a_lesson_asked_for_that_is_not_there(tmp_path, capsys):
    house(tmp_path)
    with pytest.raises(SystemExit):
        run(tmp_path, "8")
    assert "no source for lesson 8" in capsys.readouterr().err


def test_a_file_name_that_is_no_lesson(tmp_path):
    (tmp_path / "twice.py").write_text("# %%\n1\n")
    with pytest.raises(ValueError, match="'twice.py' is not a lesson's name: use two digits and a topic"):
        read_source(tmp_path / "twice.py")
