"""What explains a wrong answer: how much evidence each accusation needs, and what is said instead of a wrong one."""

import linecache

import pytest
import torch
from sample_exercises import SCALE, asked

from teach.exercise import Case, Mistake
from teach.judge import judge, verdict
from teach.outcome import from_json, to_json
from teach.run import run

NUMBERS = [Case(n) for n in (1, 2, 3, 4, 5, 6)]


def in_a_cell(source, name="answer"):
    """A function of a notebook's cell, whose text is known to linecache."""
    file = f"<cell {abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"torch": torch}
    exec(compile(source, file, "exec"), names)
    return names[name]


def from_the_grader(exercise, answer):
    """The verdict where the outcomes came from another process, as text."""
    return verdict(exercise, from_json(to_json(run(exercise, answer))))


class TestAConstant:
    def test_three_cases_make_one(self):
        assert judge(asked(lambda x: x, *NUMBERS[:3]), lambda x: 9).says == (
            "It returns the same value whatever you pass."
        )
        assert judge(asked(lambda x: x, *NUMBERS[:2]), lambda x: 9).says == ""

    def test_nearly_the_same_is_not_the_same(self):
        exercise = asked(lambda x: x / 10, *NUMBERS, rtol=0.5)
        assert judge(exercise, lambda x: 9 + x * 1e-9).says == ""

    def test_an_iterator_is_no_constant(self):
        found = judge(asked(lambda x: [x, 2 * x], *NUMBERS), lambda x: (n * x for n in (1, 2)))
        assert found.says == ""
        assert found.example == (
            "For `x = 1` you returned a generator, which holds no values yet: turn it into a list with `list(...)`."
        )
        found = judge(asked(lambda x: (x, 2 * x), *NUMBERS), lambda x: map(abs, (x, 2 * x)))
        assert "turn it into a tuple with `tuple(...)`" in found.example


class TestHalfOfAMistake:
    @pytest.fixture
    def exercise(self):
        """The mistake is wrong for negative numbers alone."""
        cases = [Case(n) for n in (1, 2, 3, -1, -2, -3)]
        return asked(lambda x: x, *cases, mistakes=[Mistake(abs, "Keep the sign.")])

    def test_three_cases_of_it_name_it(self, exercise):
        assert judge(exercise, lambda x: abs(x) + (x == 1)).says == "Keep the sign."

    def test_two_do_not(self, exercise):
        few = asked(exercise.reference, *exercise.cases[:5], mistakes=exercise.mistakes)
        assert judge(few, lambda x: abs(x) + (x == 1)).mistake is None

    def test_three_of_one_value_do_not(self):
        cases = [Case(n) for n in (1, 2, 3, -1, -2, -3)]
        exercise = asked(lambda x: x, *cases, mistakes=[Mistake(lambda x: max(x, 0), "Keep the sign.")])
        assert judge(exercise, lambda x: 7 if x == 1 else max(x, 0)).mistake is None

    def test_a_small_part_of_what_fails_does_not(self):
        cases = [Case(n) for n in (1, 2, 3, 4, 5, 6, 7, -1, -2, -3)]
        exercise = asked(lambda x: x, *cases, mistakes=[Mistake(abs, "Keep the sign.")])
        assert judge(exercise, lambda x: abs(x) if x < 0 else x**2 + 3).mistake is None


class TestAnItem:
    @pytest.fixture
    def exercise(self):
        mistakes = [
            Mistake(lambda x: (-x, 3 * x + 1), "The second one is taken from the first."),
            Mistake(lambda x: (x**2, x), "They are exchanged."),
        ]
        return asked(lambda x: (x, x**2), *NUMBERS, mistakes=mistakes)

    def test_a_right_item_does_not_hide_the_mistake_of_the_other(self, exercise):
        found = judge(exercise, lambda x: (x, 3 * x + 1))
        assert found.mistake is exercise.mistakes[0]
        assert found.example == "For `x = 1` you returned (1, 4), expected (1, 1)."

    def test_nor_does_one_that_is_wrong_in_another_way(self, exercise):
        assert judge(exercise, lambda x: (7 + x, 3 * x + 1)).mistake is exercise.mistakes[0]

    def test_it_must_be_the_same_in_every_case(self, exercise):
        assert judge(exercise, lambda x: (x, 3 * x + 1 if x < 6 else 0)).mistake is None

    def test_a_copy_of_the_other_item_is_no_exchange(self, exercise):
        assert judge(exercise, lambda x: (x, x)).mistake is None

    def test_items_of_a_dict(self):
        mistake = Mistake(lambda x: {"a": 0, "b": 3 * x + 1}, "Both are wrong.")
        exercise = asked(lambda x: {"a": x, "b": x**2}, *NUMBERS, mistakes=[mistake])
        assert judge(exercise, lambda x: {"a": x, "b": 3 * x + 1}).mistake is mistake


class TestTheFirstCasesOnly:
    def test_it_is_said(self):
        answer = {1: 1, 2: 4, 3: 9}
        found = judge(asked(lambda x: x**2, *NUMBERS), lambda x: answer.get(x, x * 5 % 7))
        assert found.says == "Right in the 3 small cases, wrong in all 3 later ones: it does not work in general."
        assert found.example == "For `x = 4` you returned 6, expected 16."

    def test_one_right_case_proves_nothing(self):
        found = judge(asked(lambda x: x**2, *NUMBERS), lambda x: 1 if x == 1 else x * 5 % 7)
        assert found.says == ""


class TestTheLeftoverRaise:
    EXERCISE = asked(lambda x: x / 2, *NUMBERS)

    @pytest.mark.parametrize("judged", [judge, from_the_grader])
    def test_below_the_raise(self, judged):
        found = judged(self.EXERCISE, in_a_cell("def answer(x):\n    raise NotImplementedError\n    return x / 2\n"))
        assert found.text == (
            "1.1 not yet. Line 2 of your cell still says `raise NotImplementedError`, and nothing below it is run: "
            "take that line out."
        )

    @pytest.mark.parametrize("judged", [judge, from_the_grader])
    def test_above_the_raise(self, judged):
        found = judged(self.EXERCISE, in_a_cell("def answer(x):\n    half = x / 2\n    raise NotImplementedError\n"))
        assert found.text == (
            "1.1 not yet. Line 3 of your cell still says `raise NotImplementedError`, "
            "and your function comes to it: put `return` with your result in its place."
        )

    def test_a_path_that_comes_to_it(self):
        source = "def answer(x):\n    if x > 1:\n        return x / 2\n    raise NotImplementedError\n"
        assert "and your function comes to it" in judge(self.EXERCISE, in_a_cell(source)).says

    def test_the_stub_alone_is_not_attempted(self):
        found = judge(self.EXERCISE, in_a_cell("def answer(x):\n    '''Half.'''\n    raise NotImplementedError\n"))
        assert found.state == "not attempted"


class TestNothingReturned:
    EXERCISE = asked(lambda x: x / 2, *NUMBERS)

    @pytest.mark.parametrize("judged", [judge, from_the_grader])
    def test_without_return(self, judged):
        found = judged(self.EXERCISE, in_a_cell("def answer(x):\n    half = x / 2\n"))
        assert found.example == "For `x = 1` you returned None, expected 0.5: did you forget `return`?"

    @pytest.mark.parametrize("judged", [judge, from_the_grader])
    def test_one_path_without_return(self, judged):
        found = judged(self.EXERCISE, in_a_cell("def answer(x):\n    if x > 3:\n        return x / 2\n"))
        assert found.example == (
            "For `x = 1` you returned None, expected 0.5: one path through your function ends without `return`."
        )

    def test_a_value_that_is_none(self):
        found = judge(self.EXERCISE, in_a_cell("def answer(x):\n    return [].sort()\n"))
        assert found.example == "For `x = 1` you returned None, expected 0.5."

    def test_none_may_be_right_elsewhere(self):
        exercise = asked(lambda x: x if x < 4 else None, *NUMBERS)
        found = judge(exercise, in_a_cell("def answer(x):\n    half = x / 2\n"))
        assert found.example == "For `x = 1` you returned None, expected 1."


class TestTheCall:
    @staticmethod
    def reference(w, bits=4):
        return w * bits

    @pytest.fixture
    def exercise(self):
        return asked(self.reference, Case(1), Case(2, bits=3), Case(5, bits=7))

    @pytest.mark.parametrize(
        "parameters, what",
        [
            ("w", "the parameter `bits` is missing; keep"),
            ("w, bit=4", "the parameter `bits` is called `bit` in your function; keep"),
            ("w, bits", "the default `bits=4` is missing; keep"),
            ("w, bits, more", "the default `bits=4` is missing; keep"),
            ("w, more, bits=4", "your extra parameter `more` gets no value; keep"),
            ("", "the parameters `w, bits` are missing; keep"),
        ],
    )
    @pytest.mark.parametrize("judged", [judge, from_the_grader])
    def test_what_is_wrong_with_the_signature(self, exercise, parameters, what, judged):
        found = judged(exercise, in_a_cell(f"def answer({parameters}):\n    return 4\n"))
        assert f"The call itself failed: {what} the signature `def answer(w, bits=4)`." in found.text

    def test_an_error_inside_something_built_in_is_no_wrong_signature(self):
        found = judge(asked(lambda x: x, Case("one"), Case("two")), int)
        assert found.text == (
            "1.1 not yet. `int('one')` raised ValueError: invalid literal for int() with base 10: 'one'."
        )


class TestTheCounterExample:
    def test_a_case_that_can_be_typed_is_preferred(self):
        long, short = Case(torch.arange(64.0)), Case(torch.arange(3.0))
        exercise = asked(lambda w: w.sum(), long, short)
        assert judge(exercise, lambda w: w.sum() * 3 + 1).example == (
            "For `w = [0.0, 1.0, 2.0]` you returned 10.0, expected 3.0."
        )

    def test_a_long_argument_is_described_where_no_case_can_be_typed(self):
        exercise = asked(lambda w, n: n * w.sum(), Case(torch.arange(64.0), 2), Case(torch.arange(9.0), 3))
        assert judge(exercise, lambda w, n: n * w.sum() + 7).example == (
            "For `n = 2` and `w` of shape (64,) you returned 4039.0, expected 4032.0."
        )


def test_the_function_that_the_learner_called_is_named():
    """The library's own answer may be reached through another of its functions."""
    library = in_a_cell(
        "__name__ = 'library'\ndef inner(x):\n    return x / 2\ndef outer(x):\n    return inner(x)\n", "outer"
    )
    exercise = asked(library.__globals__["inner"], *NUMBERS)
    found = judge(exercise, lambda x: library(x))
    assert found.text == "1.1 not yet. This calls `outer`, which does the exercise for you: write it yourself."


@pytest.mark.parametrize("judged", [judge, from_the_grader])
def test_a_general_slip_is_named_in_the_grader_as_well(judged):
    found = judged(SCALE, lambda w, bits: 8 * w.abs().max() / (2 ** (bits - 1) - 1))
    assert found.text == (
        "2.1 not yet. It is always 8 times too large. A byte has 8 bits: are these bits instead of bytes? "
        "For `w = [-1.0, 0.5], bits = 2` you returned 8.0, expected 1.0."
    )
