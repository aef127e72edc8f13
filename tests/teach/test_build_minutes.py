"""The minutes of a lesson, counted by hand."""

import json

import nbformat
import pytest
from build_support import SOURCE, house, run

from teach.build.minutes import Minutes, lesson_minutes, pencil, words
from teach.build.notebook import cell_ids
from teach.build.source import read_source

SAID = "about 10 minutes (5 to read, 10 for the exercises)"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One, two -- three.", 3),
        ("## A *heading*\n\n- and\n- a list", 5),
        ("$$x = \\sum_i w_i x_i$$ and $y = 2$, by hand 3 · 4 = 12", 8),  # formula and formula by hand 3 4 12
        ("[the paper](https://example.org/a b) and ![a grid of dots](grid.png)", 7),
        ("<b>bold</b> <img alt='six dots'>", 1),
        ("Before.\n<details><summary>Hint 1: the idea</summary>\n\nNot read.\n</details>\nAfter.", 2),
    ],
)
def test_words_that_are_read(text, count):
    assert words(text) == count


def test_the_minutes_of_the_sample_lesson_counted_by_hand(tmp_path):
    """Words, code and outputs, one after the other.

    Words: title 6 + Lesson 07 {minutes} before it nothing 6 = 12; "Exercise 7.1 Twice a number (5 min) Write it." 9;
    the hint 0; "With pencil and paper" 4, "1. What is twice 3?" 5, "2. Of which number is 8 twice as much?" 9;
    "Summary" 1; twice "That is all." 6. In all 46, at 160 per minute.
    Code: check's definition 2 lines and its print, `print(sum(...))`: 3 lines of 3 s. Two cells print: 2 times 20 s.
    """
    found = lesson_minutes(read_source(house(tmp_path)), machine_s=90)
    assert found.reading == pytest.approx(46 / 160 + (3 * 3 + 2 * 20) / 60)
    assert found.exercises == 5 + 2 * 3
    assert found.machine == 1.5


def test_what_is_folded_or_not_in_the_lesson_is_not_read(tmp_path):
    whole = lesson_minutes(read_source(house(tmp_path))).reading
    more = SOURCE + '\n# %% tags=["solution-only"]\nprint(1)\n\n# %% [markdown] tags=["solution-only"]\n# Many words.\n'
    assert lesson_minutes(read_source(house(tmp_path, more))).reading == whole
    cell = "\n# %% {}\nx = 1\nprint(x)\n"
    seen = lesson_minutes(read_source(house(tmp_path, SOURCE + cell.format("")))).reading
    folded = lesson_minutes(read_source(house(tmp_path, SOURCE + cell.format('tags=["hide-input"]')))).reading
    assert (seen - whole, folded - whole) == pytest.approx(((2 * 3 + 20) / 60, 20 / 60))  # what it prints is looked at


def test_paper_problems_are_counted_in_their_section_alone(tmp_path):
    assert pencil(read_source(house(tmp_path))) == 2
    more = SOURCE.replace("# ## Summary", "# ## Summary\n#\n# **3.** is no problem")
    assert pencil(read_source(house(tmp_path, more))) == 2
    assert pencil(read_source(house(tmp_path, SOURCE.replace("## With", "## Without")))) == 0


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (Minutes(27.4, 52.4), "about 80 minutes (25 to read, 50 for the exercises)"),
        (Minutes(22.6, 47.6, 0.2), "about 70 minutes (25 to read, 50 for the exercises, 1 for the machine)"),
        (Minutes(1.0, 1.0, 1.6), "about 5 minutes (5 to read, 5 for the exercises, 2 for the machine)"),
    ],
)
def test_the_words_are_rounded_to_what_can_be_known(minutes, said):
    assert str(minutes) == said


def test_the_title_cell_of_both_notebooks_says_them(built):
    """1.1 to read, 11 for the exercises, and a part of a minute for the machine; the id stays when these change."""
    said = "Lesson 07 · about 10 minutes (5 to read, 10 for the exercises, 1 for the machine) · before it: nothing"
    for folder in ("lessons", "solutions"):
        title = nbformat.read(built / folder / "07_twice.ipynb", as_version=4).cells[0]
        assert title.source.splitlines()[2] == said
        assert title.id == cell_ids(read_source(built / "solutions" / "07_twice.py"))[0]


def test_texts_and_check_know_the_placeholder(tmp_path, capsys):
    house(tmp_path)
    assert run(tmp_path) == 0
    more = "# That is all." + " Many more words to be read." * 400  # 2400 words: 15 minutes
    house(tmp_path, SOURCE.replace("# That is all.", more, 1))
    assert run(tmp_path, "--check") == 1
    assert run(tmp_path, "--texts") == 0
    assert run(tmp_path, "--check") == 0, capsys.readouterr().err
    for folder in ("lessons", "solutions"):
        title = nbformat.read(tmp_path / folder / "07_twice.ipynb", as_version=4).cells[0].source
        assert "about 25 minutes (15 to read, 10 for the exercises, 1 for the machine)" in title


def test_a_lesson_that_never_ran_says_nothing_of_the_machine(tmp_path):
    house(tmp_path)
    assert run(tmp_path, "--lessons-only") == 0
    lesson = json.loads((tmp_path / "lessons" / "07_twice.ipynb").read_text())
    assert SAID in "".join(lesson["cells"][0]["source"])


def test_the_command_prints_a_line_for_each_lesson(tmp_path, capsys):
    house(tmp_path)
    assert run(tmp_path, "--minutes") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["lesson", "minutes", "reading", "exercises", "machine"]
    assert row.split()[:5] == ["07_twice", "10", "1.1", "11.0", "0.0"]
    assert row.endswith(SAID)
