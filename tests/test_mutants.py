"""The mutation runner: every kind of change by hand, what is left alone, and a tiny module tried from end to end."""

import ast

import pytest

from tools import mutants as tool

KINDS = {  # a line, what it can become, and what kind of change that is
    "x = a < b": {"x = a <= b": "comparison", "x = a > b": "comparison"},
    "x = a == b": {"x = a != b": "comparison"},
    "x = (a + b) * c": {"x = (a + b) / c": "arithmetic", "x = (a - b) * c": "arithmetic"},
    "x = -y": {"x = y": "sign"},
    "x = 3": {"x = 4": "constant", "x = 2": "constant"},
    "x = True": {"x = False": "constant"},
    "x = a and b": {"x = a or b": "and or", "x = a": "one of several conditions", "x = b": "one of several conditions"},
    "x = f(a, b)": {"x = f(b, a)": "arguments swapped"},
    "x = f(a, dim=1)": {"x = f(a)": "argument dropped", "x = f(a, dim=0)": "axis", "x = f(a, dim=2)": "constant"},
    "x = y.amax(dim=-1)": {
        "x = y.amin(dim=-1)": "name",
        "x = y.amax()": "argument dropped",
        "x = y.amax(dim=0)": "axis",
        "x = y.amax(dim=-2)": "constant",
        "x = y.amax(dim=-0)": "constant",
    },
    "x = min(a)": {"x = max(a)": "name"},
    "x = y.abs()": {"x = y": "step left out"},
    "x = a if b else c": {"x = a if (not (b)) else c": "condition negated"},
    "x = [a for a in b]": {"x = [a for a in ()]": "nothing to loop over"},
    "x = range(a)": {"x = range(0)": "nothing to loop over", "x = range(a - 1)": "one pass fewer"},
    "f(a)": {"pass": "statement dropped"},
    "x[a] = b": {"pass": "statement dropped"},
    "x += a": {"pass": "statement dropped", "x -= a": "arithmetic"},
    "raise ValueError(a + 1)": {"pass": "statement dropped"},
    "for x in a: break": {"for x in (): break": "nothing to loop over", "for x in a: continue": "break or continue"},
    "if a: x = b": {"if not a: x = b": "condition negated"},
    "def f(a): return a": {"def f(a): return None": "returns nothing"},
}


@pytest.mark.parametrize("line", KINDS)
def test_every_kind_of_change_by_hand(line):
    assert {one.now: one.kind for one in tool.mutants(line + "\n")} == KINDS[line]


@pytest.mark.parametrize(
    "line",
    [
        '"""A docstring."""',
        "import a, b",
        "x = f'{a + 1}'",  # the text of a message
        "def f(a: int | None): pass",
        "x: dict[int, int]",
        "@dataclass(frozen=True)\nclass A: pass",
        "x = f(fix='use 1')",
    ],
)
def test_what_computes_nothing_is_left_alone(line):
    assert tool.mutants(line + "\n") == []


def test_a_change_replaces_its_own_characters_and_no_others():
    """In characters that take several bytes, over several lines, and with the comments kept."""
    source = 'é = "ü"; x = (\n    a  # first\n    + b\n)\nà = 2  # ö\n'
    found = [one.source for one in tool.mutants(source)]
    assert found[1:] == [source.replace("2", "3"), source.replace("2", "1")]
    assert ast.unparse(ast.parse(found[0])) == "é = 'ü'\nx = a - b\nà = 2"


def test_an_expression_keeps_its_place_among_others():
    """`a * b ** c` with another operator inside would be read in another order without parentheses."""
    found = {ast.unparse(ast.parse(one.source)) for one in tool.mutants("x = a * b ** c\n")}
    assert found == {"x = a / b ** c", "x = a * (b * c)"}


def test_chance_is_a_seed():
    source = "def f(a, b):\n    c = max(a, b) + 1\n    return c < 2 and g(a, b)\n"
    all_of_them = tool.mutants(source)
    assert tool.chosen(source, 5, "1") == tool.chosen(source, 5, "1") != tool.chosen(source, 5, "2")
    assert sorted(tool.chosen(source, 99, "1"), key=str) == sorted(all_of_them, key=str)
    assert len({one.source for one in all_of_them}) == len(all_of_them)


SOURCE = '''"""Counts."""


def among(value, low, high):
    """Whether a value lies between two others.

    >>> among(2, 1, 3)
    True
    """
    return low <= value and value < high


def count_down(start):
    while start > 0:
        start -= 1
    return start
'''
TEST = """
from tiny import among, count_down


def test_it():
    assert among(1, 1, 3) and not among(0, 1, 3)
    assert count_down(3) == 0
"""


def test_a_tiny_module_from_end_to_end(tmp_path, monkeypatch):
    """The upper end is not tested: `<=` and a missing `value < high` live on. A loop without an end is stopped."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tiny.py").write_text(SOURCE)
    (tmp_path / "tests" / "test_tiny.py").write_text(TEST)
    files = tool.tests_of("tiny.py", tmp_path)
    assert files == ["tiny.py", "tests/test_tiny.py"]
    expected = {
        "return low <= value and (value <= high)": "survived",
        "return low <= value": "survived",
        "return value < high": "killed",
    }
    by_line = {one.now: one for one in tool.mutants(SOURCE)}
    tried = list(tool.try_module(tmp_path, "tiny.py", files, [by_line[now] for now in expected]))
    assert {one.mutant.now: one.outcome for one in tried} == expected
    monkeypatch.setattr(tool, "limit_of", lambda seconds: 0.5)
    tried += tool.try_module(tmp_path, "tiny.py", files, [by_line["start += 1"]])
    assert tried[-1].outcome == "too slow"
    assert (tmp_path / "tiny.py").read_text() == SOURCE
    assert tool.table({"tiny.py": tried}).splitlines()[1].split() == ["tiny.py", "4", "2", "0", "2", "50.0%"]
    (tmp_path / "tests" / "test_tiny.py").write_text("def test_it():\n    assert 1 == 2\n")
    with pytest.raises(ValueError, match=r"the tests of tiny\.py fail as it is"):
        list(tool.try_module(tmp_path, "tiny.py", files, []))


def test_a_judged_mutant_is_equivalent(tmp_path):
    rows = '[[equivalent]]\nmodule = "a.py"\nwas = "x < 1"\nnow = "x <= 1"\nwhy = "x is never 1"\n'
    rows += '[[equivalent]]\nmodule = "a.py"\nafter = "if x:"\nwas = "break"\nnow = "continue"\nwhy = "the last"\n'
    (tmp_path / "judged.toml").write_text(rows)
    assert tool.judged("a.py", tmp_path / "judged.toml") == {
        ("", "x < 1", "x <= 1"): "x is never 1",
        ("if x:", "break", "continue"): "the last",
    }
    assert tool.judged("b.py", tmp_path / "judged.toml") == {}


def test_a_mutant_knows_the_line_before_it():
    source = "while a:\n    if b:\n        break\n    if c:\n        break\n"
    found = [(one.after, one.was) for one in tool.mutants(source) if one.kind == "break or continue"]
    assert found == [("if b:", "break"), ("if c:", "break")]


@pytest.mark.parametrize("module", tool.TESTS)
def test_the_modules_of_the_table_have_tests(module):
    assert all((tool.ROOT / name).is_file() for name in tool.tests_of(module))


def test_a_module_without_tests_says_so():
    with pytest.raises(ValueError, match=r"no test_nowhere\.py tests mini_lib/nowhere\.py; name its tests in TESTS"):
        tool.tests_of("mini_lib/nowhere.py")


def test_every_judgement_is_of_lines_that_the_module_still_has():
    for module in tool.TESTS:
        lines = {line.strip() for line in (tool.ROOT / module).read_text(encoding="utf-8").splitlines()}
        for (after, was, now), why in tool.judged(module).items():
            assert {*after.splitlines(), *was.splitlines()} <= lines, (
                f"{module} has changed; judge this mutant again: {was!r}"
            )
            assert was != now and why
