"""What the text of a wrong answer gives away: `return` inside a loop, `^` for a power; here and in the grader."""

import pytest
from sample_exercises import asked
from test_explain import from_the_grader, in_a_cell

from teach.exercise import Case, Mistake, Symptom
from teach.judge import judge
from teach.outcome import Outcome, from_json, to_json
from teach.run import run
from teach.slips.code import IN_LOOP, SAYS, XOR, slips_of

ROWS = [Case([1, 2]), Case([3]), Case([2, 5, 8]), Case([4, 4, 1, 7])]


def written(*body):
    return in_a_cell("def answer(x):\n" + "".join(f"    {line}\n" for line in body))


IN_THE_LOOP = ("total = 0", "for one in x:", "    total += one", "    return total")
SEARCHES = [
    ("for one in x:", "    if one > 2:", "        return one", "return 0"),
    ("for one in x:", "    if one < 3:", "        continue", "    twice = one", "    return twice", "return 0"),
    ("while True:", "    x = x[1:]", "    if len(x) < 2:", "        break", "    return x", "return 0"),
    ("for one in x:", "    return one"),
    ("if x:", "    for one in x:", "        twice = one", "        return twice", "return 0"),
    ("def inner(row):", "    for one in row:", "        twice = one", "        return twice", "return inner(x)"),
    ("total = 0", "for one in x:", "    total += one", "return total"),
]


def test_a_return_at_the_end_of_a_loop_is_seen():
    assert slips_of(written(*IN_THE_LOOP)) == (IN_LOOP,)
    nested = ("total = 0", "for row in x:", "    for one in row:", "        total += one", "        return total")
    assert slips_of(written(*nested)) == (IN_LOOP,)


@pytest.mark.parametrize("body", SEARCHES)
def test_a_return_that_may_be_meant_is_not(body):
    assert slips_of(written(*body)) == ()


@pytest.mark.parametrize("line", ["return x ^ 2", "return 2 ^ x", "return (1 - x) ^ 3.0", "x ^= 2", "return 10 ^ x"])
def test_a_power_is_seen(line):
    assert slips_of(written(line)) == (XOR,)


@pytest.mark.parametrize("line", ["return x ^ x", "return x ^ 128", "return x ^ True", "return x**2", "return '^'"])
def test_bits_and_masks_are_not_powers(line):
    assert slips_of(written(line)) == ()


def test_a_wrong_answer_hears_of_its_return():
    found = judge(asked(sum, *ROWS, parameters=["x"]), written(*IN_THE_LOOP))
    assert found.says == SAYS[IN_LOOP]
    assert found.example == "For `x = [1, 2]` you returned 1, expected 3."


def test_a_listed_mistake_comes_first():
    exercise = asked(sum, *ROWS, parameters=["x"], mistakes=[Mistake(lambda x: x[0], "Only the first.")])
    assert judge(exercise, written(*IN_THE_LOOP)).says == "Only the first."


def test_a_right_answer_with_a_return_in_a_loop_passes():
    exercise = asked(lambda x: x[0], *ROWS)
    assert judge(exercise, written("for one in x:", "    found = one", "    return found")).state == "passed"


def test_a_wrong_answer_hears_of_its_power():
    exercise = asked(lambda x: 3**x - 2**x, *map(Case, (1, 2, 3, 4)))
    assert judge(exercise, written("return 3**x - (2 ^ x) * 7")).says == SAYS[XOR]


def test_floats_have_no_exclusive_or():
    found = judge(asked(lambda x: (1 - x) ** 3, *map(Case, (0.5, 0.25, 0.2))), written("return (1 - x) ^ 3"))
    assert found.says == SAYS[XOR]
    assert "unsupported operand type(s) for ^" in found.example


def test_another_exception_is_not_of_the_power():
    exercise = asked(lambda x: x**2, *map(Case, (1, 2, 3)))
    assert judge(exercise, written("y = x ^ 2", "return y / 0")).says == ""


def test_where_the_right_answer_has_one_it_is_not_the_slip():
    exercise = asked(written("return (x ^ 2) + 5"), *map(Case, (1, 2, 3, 4)))
    assert judge(exercise, written("return (x ^ 2) * x * 3")).says != SAYS[XOR]


def test_the_grader_says_the_same():
    exercise = asked(sum, *ROWS, parameters=["x"])
    assert from_the_grader(exercise, written(*IN_THE_LOOP)) == judge(exercise, written(*IN_THE_LOOP))


def test_the_names_cross_as_text():
    sent = run(asked(sum, *ROWS, parameters=["x"]), written(*IN_THE_LOOP))
    assert sent[0].slips == (IN_LOOP,)
    assert from_json(to_json(sent)) == sent
    forged = from_json(to_json([Outcome("returned", 1, slips=("You are right.",))]))
    assert forged[0].slips == ("You are right.",)  # a name that nobody knows: no sentence comes of it


def test_a_symptom_says_nothing_of_none():
    number = Symptom(lambda got, expected, given: not isinstance(got, list), "That is one number.", [len])
    exercise = asked(lambda x: x, *ROWS, symptoms=[number])
    assert judge(exercise, lambda x: x[0]).says == "That is one number."
    assert judge(exercise, written("print(x)")).says == ""
    legal = asked(lambda x: x if len(x) > 1 else None, *ROWS, symptoms=[number])
    assert judge(legal, written("return None if len(x) != 1 else 5")).says == "That is one number."
