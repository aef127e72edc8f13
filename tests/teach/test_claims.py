"""The builder and the claims: a page whose text and numbers part is refused."""

from pathlib import Path

import nbformat
import pytest
from build_support import SOURCE, house, run

from teach.claim import MIME_TYPE

CLAIMED = SOURCE.replace(
    "# That is all.\n",
    """\
# Twice 2.1 is **4.2**, which is more.

# %% tags=["solution-only"]
from teach.claim import claim

twice = 2 * 2.1
claim("Twice 2.1 is 4.2, which is more", None, twice, holds=twice > 2.1)

# %% [markdown]
# That is all.
""",
    1,
)


def built(root: Path, text: str = CLAIMED, *arguments: str) -> int:
    house(root, text)
    return run(root, *arguments)


def test_a_claim_that_holds_is_kept_in_the_solution_alone(tmp_path):
    assert built(tmp_path) == 0
    solution = (tmp_path / "solutions" / "07_twice.ipynb").read_text()
    assert MIME_TYPE in solution and "claim" not in (tmp_path / "lessons" / "07_twice.ipynb").read_text()
    assert run(tmp_path, "--check") == 0


def test_a_build_fails_where_the_text_says_something_else(tmp_path, capsys):
    assert built(tmp_path, CLAIMED.replace("4.2", "4.4")) == 1
    problem = "the claim 'Twice 2.1 is 4.4, which is more' says 4.4, but it is 4.2; change the text or the cell"
    assert problem in capsys.readouterr().err
    assert run(tmp_path, "--check") == 1  # it is written, so that its author sees the numbers, and stays refused
    assert problem in capsys.readouterr().err


def test_a_build_fails_where_something_else_is_measured(tmp_path, capsys):
    assert built(tmp_path, CLAIMED.replace("2 * 2.1", "2 * 2.2")) == 1
    assert "says 4.2, but it is 4.4" in capsys.readouterr().err
    assert built(tmp_path, CLAIMED.replace("holds=twice > 2.1", "holds=twice < 2.1")) == 1
    assert "does not hold" in capsys.readouterr().err


def test_a_claim_quotes_its_page(tmp_path, capsys):
    assert built(tmp_path, CLAIMED.replace("**4.2**", "**4.3**")) == 1
    assert "the lesson does not say 'Twice 2.1 is 4.2, which is more'; quote it" in capsys.readouterr().err
    other = CLAIMED.replace("holds=twice > 2.1", 'page="README.md"')
    assert built(tmp_path, other) == 1
    assert "README.md does not say 'Twice 2.1 is 4.2, which is more'" in capsys.readouterr().err
    (tmp_path / "README.md").write_text("Note: twice 2.1\nis more.\nTwice 2.1 is\n`4.2`, which is more.")
    assert built(tmp_path, other) == 0


def test_a_claim_may_quote_a_string_of_the_lesson(tmp_path):
    text = CLAIMED.replace("print(sum([2, 2]))", 'print("two and two " "are 4")').replace(
        '"Twice 2.1 is 4.2, which is more", None, twice', '"two and two are 4", twice - .2'
    )
    assert built(tmp_path, text) == 0


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ('tags=["solution-only"]\nfrom', "\nfrom", 'a claim in a cell of the lesson; give its cell the tag "solution-'),
        ('"Twice 2.1 is 4.2, which is more"', "f'{1}'", "a claim quotes the page: write its sentence and its page out"),
        ("None, twice, holds=twice > 2.1", "None, 4.2, holds=True", "is compared with no variable, so it cannot fail"),
        ('is more"', 'is mo"', "the lesson does not say 'Twice 2.1 is 4.2, which is mo'"),
        (
            'Twice 2.1 is 4.2, which is more", None, twice',
            'Twice 2.1 is 4", None, twice',
            "does not say 'Twice 2.1 is 4'",
        ),
        ("holds=twice > 2.1", 'page="solutions/07_twice.py"', "a claim cannot quote 'solutions/07_twice.py'"),
        ("holds=twice > 2.1", "within=twice", "the tolerance of 'Twice 2.1 is 4.2, which is more' is computed"),
        ('claim("', 'c = claim\nc("', "is not written out in its cell; call claim(...) there"),
        ("claim(", "if 0:\n    claim(", "the claim 'Twice 2.1 is 4.2, which is more' was not compared"),
    ],
)
def test_a_claim_that_claims_nothing_is_refused(old, new, problem, tmp_path, capsys):
    before, mark, after = CLAIMED.rpartition(old)
    assert built(tmp_path, before + new * bool(mark) + after) == 1
    assert problem in capsys.readouterr().err


# ---- a change of the text alone


def test_a_text_is_changed_without_running_anything(tmp_path, capsys):
    clock = CLAIMED.replace("print(sum([2, 2]))", "import time\nprint(time.perf_counter())").replace(
        '"nbval-check-output"', ""
    )
    assert built(tmp_path, clock) == 0
    path = tmp_path / "solutions" / "07_twice.ipynb"
    before = nbformat.read(path, as_version=4)
    assert built(tmp_path, clock.replace("is **4.2**", "is **4**").replace("is 4.2,", "is 4,"), "--texts") == 0
    after = nbformat.read(path, as_version=4)
    assert "is **4**" in path.read_text() and run(tmp_path, "--check") == 0
    assert [cell.outputs for cell in after.cells if "perf_counter" in cell.source] == [
        cell.outputs for cell in before.cells if "perf_counter" in cell.source
    ]
    assert built(tmp_path, clock.replace("is **4.2**", "is **5**").replace("is 4.2,", "is 5,"), "--texts") == 1
    assert "says 5, but it is 4.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "old, new", [("sum([2, 2])", "sum([2, 3])"), ("2 * 2.1", "2 + 2.2"), ("print(sum", "sum; print(sum")]
)
def test_code_that_has_changed_is_run(old, new, tmp_path, capsys):
    assert built(tmp_path) == 0
    assert built(tmp_path, CLAIMED.replace(old, new), "--texts") == 1
    assert "its code has changed since it was built; build without --texts" in capsys.readouterr().err


def test_texts_need_a_notebook_that_was_built(tmp_path, capsys):
    assert built(tmp_path, CLAIMED, "--texts") == 1
    assert "solutions/07_twice.ipynb has not been built yet; build without --texts" in capsys.readouterr().err


def test_a_number_that_was_not_measured_is_run_again(tmp_path, capsys):
    assert built(tmp_path) == 0
    assert built(tmp_path, CLAIMED.replace("Twice 2.1 is", "Twice 2.2 is"), "--texts") == 1
    assert "a number has changed that was not measured; build without --texts" in capsys.readouterr().err


def test_claims_that_did_not_run_in_their_order_are_run_again(tmp_path, capsys):
    late = CLAIMED.replace(
        'claim("Twice 2.1 is 4.2, which is more", None, twice, holds=twice > 2.1)',
        'def later():\n    claim("is 4.2", twice)\n\n\nclaim("Twice 2.1 is", twice / 2)\nlater()',
    )
    assert built(tmp_path, late) == 0
    assert built(tmp_path, late, "--texts") == 1
    assert "its claims are not those that ran" in capsys.readouterr().err
