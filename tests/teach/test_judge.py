"""Verdicts: what passes, what does not, and whether the sentence shown is the one that helps."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_exercises import ASYMMETRIC, LAST_CODE, MAGNITUDE, SCALE, asked, symmetric_scale

from teach.exercise import Case, Mistake
from teach.judge import judge, verdict
from teach.outcome import Outcome, from_json, to_json
from teach.run import run

TOP = 2**3 - 1  # the last code at 4 bits


def test_the_message_of_the_course():
    found = judge(SCALE, lambda w, bits: w.max() / (2 ** (bits - 1) - 1))
    assert found.text == (
        "2.1 not yet. The largest weight may be negative: take the largest magnitude. "
        "For `w = [-1.0, 0.5], bits = 2` you returned 0.5, expected 1.0."
    )
    assert found.mistake is SCALE.mistakes[1] and found.points == 0


@pytest.mark.parametrize(
    "answer",
    [
        lambda w, bits: w.abs().max() / (2 ** (bits - 1) - 1),
        lambda w, bits: max(abs(x) for x in w.tolist()) / (2 ** (bits - 1) - 1),
        lambda w, bits: numpy.abs(w.numpy()).max() / (2 ** (bits - 1) - 1),
        lambda w, bits: torch.linalg.vector_norm(w.double(), ord=float("inf")) / (2 ** (bits - 1) - 1),
        lambda w, bits: float(max(w.max(), -w.min())) / (2 ** (bits - 1) - 1),
    ],
    ids=["torch", "loops", "numpy", "double", "two sides"],
)
def test_every_correct_answer_passes(answer):
    found = judge(SCALE, answer)
    assert (found.state, found.points) == ("passed", 2)
    assert found.text == "2.1 passed. Right in 12 of 12 cases."


def test_a_function_that_is_missing_or_still_the_stub_is_not_attempted():
    def stub(w, bits):
        raise NotImplementedError

    assert judge(SCALE, None).text == (
        "2.1 not attempted yet. There is no function `symmetric_scale` yet: "
        "run the exercise's cell first, then this one."
    )
    assert judge(SCALE, stub).text == (
        "2.1 not attempted yet. Write `symmetric_scale` in the cell above, run it, then run this one."
    )


def test_a_stub_that_is_half_written_is_not_yet():
    def half(w, bits):
        if bits == 2:
            return w.abs().max()
        raise NotImplementedError

    found = judge(SCALE, half)
    assert found.state == "not yet"
    assert found.example == "For `w = [3.0], bits = 8` it still says `raise NotImplementedError`."


@pytest.mark.parametrize("mistake", range(3))
def test_a_mistake_is_known_however_it_is_written(mistake):
    in_plain_python = [
        lambda w, bits: max(abs(x) for x in w.tolist()) / 2 ** (bits - 1),
        lambda w, bits: max(w.tolist()) / (2 ** (bits - 1) - 1),
        lambda w, bits: (max(w.tolist()) - min(w.tolist())) / (2**bits - 1),
    ]
    found = judge(SCALE, in_plain_python[mistake])
    assert found.says == (LAST_CODE, MAGNITUDE, ASYMMETRIC)[mistake]


def test_an_unexplained_answer_gets_the_smallest_case():
    found = judge(SCALE, lambda w, bits: w.abs().mean() / (2 ** (bits - 1) - 1))
    assert found.text == "2.1 not yet. For `w = [-1.0, 0.5], bits = 2` you returned 0.75, expected 1.0."
    assert found.mistake is None


def test_a_case_that_happens_to_be_right_is_no_counter_example():
    found = judge(SCALE, lambda w, bits: w.abs().max() / (bits - 1))
    # bits = 2 gives 1.0 / 1, which is right; bits = 8 gives 3 / 7 instead of 3 / 127.
    assert found.text == "2.1 not yet. For `w = [3.0], bits = 8` you returned 0.428571, expected 0.023622."


def test_an_exception_shows_its_call_and_its_line():
    def answer(w, bits):
        return w / nothing  # noqa: F821

    found = judge(SCALE, answer)
    line = answer.__code__.co_firstlineno + 1
    assert found.text == (
        "2.1 not yet. `symmetric_scale([-1.0, 0.5], bits=2)` raised NameError: name 'nothing' is not defined. "
        f"Look at line {line} of your cell: `return w / nothing  # noqa: F821`."
    )


def test_a_wrong_signature_shows_the_right_one():
    found = judge(SCALE, lambda w: 1.0)
    assert found.text.endswith(
        "The call itself failed: the parameter `bits` is missing; keep the signature `def symmetric_scale(w, bits)`."
    )


@pytest.mark.parametrize("value", [1.0, 0, "scale", [1.0], torch.ones(2)])
def test_a_constant_is_found_out(value):
    found = judge(SCALE, lambda w, bits: value)
    assert found.state == "not yet" and found.says == "It returns the same value whatever you pass."


def test_a_constant_is_right_where_the_answer_is_one():
    assert judge(asked(lambda x: 3, Case(1), Case(2)), lambda x: 3).state == "passed"


@pytest.mark.parametrize(
    "value, hint",
    [
        (None, "you returned None, expected 1.0: one path through your function ends without"),
        (float("nan"), "NaN comes from 0 / 0"),
    ],
)
def test_none_and_nan_are_explained_rather_than_called_constant(value, hint):
    def answer(w, bits):
        if value:
            return value

    found = judge(SCALE, answer)
    assert found.says == "" and hint in found.example


def test_a_right_answer_that_changes_its_argument_is_not_yet():
    def answer(w, bits):
        return w.abs_().max() / (2 ** (bits - 1) - 1)

    assert judge(SCALE, answer).text == (
        "2.1 not yet. The values are right, but your function changed its argument `w`: work on a copy. "
        "After the call with `w = [-1.0, 0.5], bits = 2`, `w` had changed."
    )


def test_a_listed_mistake_may_be_to_change_the_argument():
    def keeps_positive(w):
        w[w < 0] = 0
        return w

    mistake = Mistake(keeps_positive, "Indexing writes into the caller's tensor.")
    exercise = asked(lambda w: w.clamp(min=0), Case(torch.tensor([-1.0, 1.0])), mistakes=[mistake])

    def answer(w):
        return w.clamp_(min=0)

    assert judge(exercise, answer).says == "Indexing writes into the caller's tensor."
    assert judge(exercise, lambda w: torch.where(w < 0, 0, w)).state == "passed"


def test_changing_one_argument_is_not_explained_by_changing_another():
    def spoils_first(a, b):
        total = a + b
        a.clear()
        return total

    def spoils_second(a, b):
        total = a + b
        b.clear()
        return total

    mistake = Mistake(spoils_first, "The first list is the caller's.")
    exercise = asked(lambda a, b: a + b, Case([1], [2]), Case([3], [4]), mistakes=[mistake])
    assert judge(exercise, spoils_first).mistake is mistake
    found = judge(exercise, spoils_second)
    assert found.mistake is None and "changed its argument `b`" in found.says


def test_an_answer_that_calls_the_librarys_own_is_not_yet():
    says = "2.1 not yet. This calls `symmetric_scale`, which does the exercise for you: write it yourself."
    assert judge(SCALE, lambda w, bits: symmetric_scale(w, bits)).text == says
    assert judge(SCALE, symmetric_scale).text == (
        "2.1 not yet. `symmetric_scale` is the library's own function here: write it yourself."
    )


def test_something_that_is_no_function_is_not_yet():
    assert judge(SCALE, 3).text == (
        "2.1 not yet. `symmetric_scale` is 3; expected a function: run the exercise's cell again."
    )


def test_an_answer_with_two_mistakes_hears_of_a_listed_one():
    # It takes the largest weight for the largest magnitude, and is wrong at 8 bits besides.
    def two(w, bits):
        return w.max() / (2 ** (bits - 1) - 1) + (1 if bits == 8 else 0)

    found = judge(SCALE, two)
    assert found.says == MAGNITUDE
    assert found.example == "For `w = [-1.0, 0.5], bits = 2` you returned 0.5, expected 1.0."


def test_the_first_of_two_mistakes_that_fit_is_named():
    both = [Mistake(lambda x: -x, "First."), Mistake(lambda x: 0 - x, "Second.")]
    assert judge(asked(lambda x: x, Case(1), Case(2), mistakes=both), lambda x: x * -1).says == "First."


def test_a_mistake_that_shares_one_failing_case_only_is_not_named():
    # The mistake is wrong for negative x alone, of which there is one: sharing it proves nothing.
    mistake = Mistake(lambda x: max(x, 0), "Keep the sign.")
    exercise = asked(lambda x: x, Case(1), Case(2), Case(-1), mistakes=[mistake])
    assert judge(exercise, lambda x: 1 if x == 1 else 0).mistake is None
    assert judge(exercise, lambda x: x if x > 0 else 0).mistake is mistake


def test_exceptions_explain_an_answer_only_if_they_say_the_same():
    mistake = Mistake(lambda x: x.upper(), "A number has no case.")
    exercise = asked(lambda x: x, Case(1), Case(2), mistakes=[mistake])
    assert judge(exercise, lambda x: x.upper()).mistake is mistake
    assert judge(exercise, lambda x: x.lower()).mistake is None


def test_a_reference_may_raise_on_purpose():
    def reference(bits):
        if bits < 1:
            raise ValueError("bits must be positive")
        return 2**bits

    def right(bits):
        if bits <= 0:
            raise ValueError("no such width")
        return 1 << bits

    def raises_another(bits):
        return 2**bits if bits > 0 else 1 / 0

    exercise = asked(reference, Case(0), Case(3))
    assert judge(exercise, right).state == "passed"
    assert judge(exercise, lambda bits: 2**bits).example == "For `bits = 0` you returned 1, expected a ValueError."
    assert "raised ZeroDivisionError: division by zero" in judge(exercise, raises_another).text


def test_printing_is_shown_with_the_failing_case_only():
    def answer(w, bits):
        print("largest", bits)
        return 0.0 if bits == 8 else w.abs().max() / (2 ** (bits - 1) - 1)

    assert judge(SCALE, answer).text.endswith("It printed `largest 8`.")


def test_a_comparison_of_its_own_that_breaks_is_a_difference():
    def first_item(got, expected):
        return None if got[0] == expected[0] else "you erred"

    exercise = asked(lambda x: [x], Case(1), compare=first_item)
    assert judge(exercise, lambda x: [x]).state == "passed"
    assert judge(exercise, lambda x: [0]).example == "For `x = 1` you erred."
    assert judge(exercise, lambda x: 7).example == "For `x = 1` you returned an integer, 7; expected a list, [1]."


def test_the_grader_gets_the_same_verdict_from_outcomes_as_text():
    for answer in (lambda w, bits: w.max() / (2 ** (bits - 1) - 1), lambda w, bits: 1 / 0, symmetric_scale):
        outcomes = from_json(to_json(run(SCALE, answer, watch=False)))
        direct = verdict(SCALE, run(SCALE, answer, watch=False))
        assert verdict(SCALE, outcomes) == direct


def test_a_wrong_number_of_outcomes_is_refused():
    with pytest.raises(ValueError, match="exercise 2.1 has 12 cases, got 1 outcomes; run them all"):
        verdict(SCALE, [Outcome("returned", 1.0)])


def huge_integer():
    return 10**6000  # longer than Python will print


STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(huge_integer) | st.builds(object),
    lambda v: st.lists(v) | st.tuples(v) | st.dictionaries(st.text(), v),
    max_leaves=6,
)


@given(STRANGE)
@settings(deadline=None, max_examples=60)
def test_no_returned_value_can_break_the_judge(value):
    of_a_list = asked(lambda x: [1.0, x], Case(1), Case(2))
    of_a_dict = asked(lambda x: {"a": torch.ones(x)}, Case(3))
    for exercise in (SCALE, of_a_list, of_a_dict):
        found = judge(exercise, lambda *args, **kwargs: value)
        assert found.state == "not yet" and found.text and found.html


def test_a_list_that_holds_itself_cannot_break_the_judge():
    loop = []
    loop.append(loop)
    found = judge(SCALE, lambda w, bits: loop)
    assert "you returned a list, which cannot be used as the answer: RecursionError" in found.text
