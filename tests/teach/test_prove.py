"""prove: an exercise that does not keep its promises is refused, by the promise that it breaks."""

from dataclasses import replace

import pytest
import torch
from sample_exercises import SCALE, asked

from teach.exercise import Case, Mistake, Symptom
from teach.prove import prove


def test_a_good_exercise_is_proven():
    prove(SCALE)


def spoils(w, bits):
    return w.abs_().max() / (2 ** (bits - 1) - 1)


ALREADY = Mistake(lambda w, bits: max(w.tolist()) / (2 ** (bits - 1) - 1), "Said after the one that is the same.")
HARMLESS = Mistake(lambda w, bits: abs(w).max() / (2 ** (bits - 1) - 1), "This is no mistake at all.")


NEGATIVE = "A scale is a length: it cannot be negative."
SMALLEST = Symptom(
    lambda got, expected, arguments: got < 0 and arguments["bits"] > 1,
    NEGATIVE,
    examples=[lambda w, bits: -w.abs().max() / (bits + 5), lambda w, bits: -w.abs().mean() - bits],
)


def test_a_symptom_is_proven_with_the_exercise():
    prove(replace(SCALE, symptoms=[SMALLEST]))


def always(*examples):
    return dict(symptoms=(Symptom(lambda got, expected, arguments: True, "Always.", examples),))


@pytest.mark.parametrize(
    "change, complaint",
    [
        (dict(also_correct=()), "also_correct: expected at least 1 answer written differently, got none"),
        (dict(mistakes=SCALE.mistakes[:2]), "mistakes: expected at least 3 that people really make, got 2"),
        (dict(also_correct=(lambda w, bits: 1.0,)), "correct answer 1: expected 'passed', got '2.1 not yet. It"),
        (dict(also_correct=(spoils,)), "correct answer 1: expected 'passed', got '2.1 not yet. The values are right"),
        (dict(mistakes=(*SCALE.mistakes, HARMLESS)), "mistake 4: expected 'not yet', got '2.1 passed"),
        (dict(mistakes=(*SCALE.mistakes, ALREADY)), "mistake 4: expected its own sentence 'Said after"),
        (always(lambda w, bits: 1.0 * bits), "symptom 1: 'Always.' shows in the right answer of case 1"),
        (
            dict(symptoms=(replace(SMALLEST, examples=(lambda w, bits: w.max() / (2 ** (bits - 1) - 1),)),)),
            f"symptom 1, example 1: expected its own sentence '{NEGATIVE}', got '2.1 not yet. The largest weight",
        ),
        (
            dict(symptoms=(replace(SMALLEST, examples=(lambda w, bits: w.abs().max() / (2 ** (bits - 1) - 1),)),)),
            "symptom 1, example 1: expected 'not yet', got '2.1 passed",
        ),
        (dict(cases=SCALE.cases[:1]), "the first right value for every call: expected 'not yet', got '2.1 passed"),
        (dict(reference=spoils), "the reference in case 1: it modifies its argument w"),
    ],
)
def test_a_broken_promise_is_named(change, complaint):
    with pytest.raises(AssertionError) as refused:
        # one case cannot tell the mistakes apart from a right answer, so let the mistakes be plain there
        if "cases" in change:
            change = change | {"mistakes": tuple(Mistake(lambda w, bits, n=n: n, f"Not {n}.") for n in (2, 3, 4))}
        prove(replace(SCALE, **change))
    assert complaint in str(refused.value)


def test_a_reference_whose_value_cannot_be_compared_is_refused():
    wrong = [Mistake(lambda n, k=k: k, f"Not {k}.") for k in (7, 8, 9)]
    same = [lambda n: torch.nn.Linear(n, n)]
    exercise = asked(lambda n: torch.nn.Linear(n, n), Case(1), Case(2), mistakes=wrong, also_correct=same)
    with pytest.raises(AssertionError, match="it returns a Linear, which is not plain data; give the exercise a view"):
        prove(exercise)
