"""Every small change of a right answer is refused by a case of its exercise, or judged to be as right.

Each answer of the solutions is changed in every way; of the changes to the answers of `also_correct`, some are tried,
always the same ones. All of them, which takes three minutes:

    EVERY_CHANGE=1 pytest tests/teach/test_twins.py
"""

import os

import pytest

from teach.exercise import Case, Exercise
from teach.exercises import exercises_of, find_exercise, lessons
from tools import twins as tool
from tools.mutants import mutants
from tools.slips import slips

SHARE = 1.0 if os.environ.get("EVERY_CHANGE") else 0.25  # of the changes to the answers of also_correct
# Five small changes of a fast schedule stay fast enough here; how fast they are depends on the machine.
BY_THE_CLOCK = ("9.7",)
IDS = [one.id for lesson in lessons() for one in exercises_of(lesson) if one.id not in BY_THE_CLOCK]


@pytest.mark.parametrize("id", IDS)
def test_every_changed_answer_is_refused_or_judged(id):
    exercise = find_exercise(id)
    survivors = []
    for answer in tool.answers(exercise):
        tried = tool.try_answer(answer, 1.0 if answer.who == "solution" else SHARE)
        survivors += [tool.shown(answer, one) for one in tried if one.outcome == "survived"]
    assert not survivors, (
        f"exercise {id}: no case tells these from a right answer; give it one, "
        "or say in tools/twins_judged.toml why they are as right:\n" + "\n".join(survivors)
    )


@pytest.mark.parametrize("lesson", lessons())
def test_every_judgement_is_of_lines_that_the_answer_still_has_and_no_case_refutes_it(lesson):
    for exercise in exercises_of(lesson):
        for answer in tool.answers(exercise):
            reasons = tool.judged(exercise.id, answer.who)
            by_change = {(one.after, one.was, one.now): one for one in tool.twins(answer)}
            by_change |= {("", one.was, one.now): one for one in by_change.values()}
            for change, why in reasons.items():
                assert change in by_change, f"{exercise.id} {answer.who} has changed; judge this again: {change[1]!r}"
                assert why
            fits = [by_change[change] for change in reasons]
            for one, outcome in tool.try_all(answer, fits) if fits else ():
                assert outcome == "passed", (
                    f"{exercise.id} {answer.who}: a case refuses {one.now!r}, it is not as right"
                )


def test_every_judgement_is_of_an_answer():
    known = {
        (exercise.id, answer.who)
        for lesson in lessons()
        for exercise in exercises_of(lesson)
        for answer in tool.answers(exercise)
    }
    rows = tool.rows(tool.JUDGED)
    assert {(row["exercise"], row.get("answer", "solution")) for row in rows} <= known


def larger(a, b):
    """The larger of two numbers."""
    return a if a > b else b


LARGER = Exercise("1.1", "The larger", larger, [Case(1, 2), Case(2, 1)], [])
TEXT = "def larger(a, b):\n    return a if a > b else b\n"


def outcomes(cases, source=TEXT):
    exercise = Exercise("1.1", "The larger", larger, cases, [])
    answer = tool.Answer(exercise, "solution", source, {})
    return {one.now: outcome for one, outcome in tool.try_all(answer, tool.twins(answer))}


def test_a_case_tells_a_changed_answer_from_the_right_one():
    """`>=` is as right; always the first argument is wrong where the second is larger."""
    found = outcomes([Case(1, 2), Case(2, 1)])
    assert found["return a if (a >= b) else b"] == "passed"
    assert found["return a if True else b"] == "refused"
    assert outcomes([Case(2, 1)])["return a if True else b"] == "passed"


def test_an_argument_that_no_case_varies_is_found():
    found = outcomes([Case(1, 2), Case(3, 2)])
    assert found["a is always that of the first case"] == "refused"
    assert found["b is always that of the first case"] == "passed"


def test_an_answer_without_an_end_is_refused_and_the_others_are_tried():
    source = "def larger(a, b):\n    while a < b:\n        a += 1\n    return a\n"
    found = outcomes([Case(1, 2), Case(3, 2)], source)
    assert found["a -= 1"] == "too slow"
    assert found["a += 2"] == "refused"
    assert found["return None"] == "refused"


def test_an_answer_that_does_not_pass_as_it_is_says_so():
    answer = tool.Answer(LARGER, "solution", "def larger(a, b):\n    return a\n", {})
    with pytest.raises(ValueError, match=r"exercise 1\.1: solution as it is: refused; expected it to pass"):
        list(tool.try_all(answer, []))


def test_a_share_of_the_changes_is_always_the_same():
    answer = tool.Answer(LARGER, "solution", TEXT, {})
    taken = [one for one in tool.twins(answer) if tool.picked(one, 0.5)]
    assert taken == [one for one in tool.twins(answer) if tool.picked(one, 0.5)]
    assert 0 < len(taken) < len(tool.twins(answer))


KINDS = {  # a line, and what a slip makes of it besides what tools/mutants.py does
    "x = a // b": {"x = a / b": "another division", "x = a": "term left out", "x = b // a": "operands swapped"},
    "x = round(a)": {"x = a": "step left out", "x = int(a)": "another call", "x = -(-a // 1)": "another call"},
    "x = torch.floor(a)": {
        "x = a": "step left out",
        "x = torch.round(a)": "another call",
        "x = torch.trunc(a)": "another call",
    },
    "x = a[b:c]": {"x = a[b:]": "slice bound left out", "x = a[:c]": "slice bound left out"},
    "x = a.T": {"x = a": "step left out"},
    "x = min(a, b)": {"x = a": "term left out", "x = b": "term left out"},
    "x = [a for a in b if c]": {"x = [a for a in b]": "condition left out"},
    "x = a if b else c": {"x = a if True else c": "branch always or never taken"},
    "x = a == b": {"x = a <= b": "comparison", "x = a >= b": "comparison"},
    "x = 1000000": {"x = 10000000": "constant", "x = 100000.0": "constant"},
    "def f(a, b): return a": {"def f(a, b): return b": "another name"},
}


@pytest.mark.parametrize("line", KINDS)
def test_the_slips_by_hand(line):
    found = {one.now: one.kind for one in mutants(line + "\n", slips)}
    assert KINDS[line].items() <= found.items()


def test_what_changes_no_value_is_left_out():
    assert "x = min(b, a)" not in {one.now for one in mutants("x = min(a, b)\n", slips)}
    assert "x = 1000001" not in {one.now for one in mutants("x = 1000000\n", slips)}
    assert mutants("x = a.numpy()\n", slips) == []
