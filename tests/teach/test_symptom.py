"""Symptoms: named where they show in every failing case, after the mistakes, and where there are enough of them."""

from dataclasses import replace

import torch
from sample_exercises import MAGNITUDE, SCALE, asked

from teach.exercise import Case, Symptom
from teach.judge import judge

NEGATIVE = Symptom(lambda got, expected, arguments: got < 0 < arguments["w"].abs().max(), "Not negative.", [abs])


def test_a_symptom_explains_where_it_shows_in_every_failing_case():
    exercise = replace(SCALE, symptoms=[NEGATIVE])
    found = judge(exercise, lambda w, bits: -w.abs().mean() - bits)
    assert found.says == "Not negative." and found.mistake is NEGATIVE
    assert found.example == "For `w = [-1.0, 0.5], bits = 2` you returned -2.75, expected 1.0."
    assert judge(exercise, lambda w, bits: -1.5 * bits if bits == 2 else 7.0 * bits).mistake is None


def test_a_listed_mistake_is_named_before_a_symptom():
    exercise = replace(SCALE, symptoms=[Symptom(lambda got, expected, arguments: True, "Always.", [abs])])
    assert judge(exercise, lambda w, bits: w.max() / (2 ** (bits - 1) - 1)).says == MAGNITUDE


def test_a_symptom_needs_enough_failing_cases():
    symptom = Symptom(lambda got, expected, arguments: got == 0, "Never zero.", [abs])
    few = asked(lambda x: x, *map(Case, (1, 2, 3, 4, 5)), symptoms=[symptom])
    assert judge(few, lambda x: x if x > 2 else 0).mistake is None
    assert judge(few, lambda x: x if x > 3 else 0).mistake is symptom
    # one tensor of four different numbers is enough
    rich = asked(lambda x: torch.arange(x), Case(3), Case(4), Case(5), symptoms=[symptom])
    symptom_of_sum = replace(symptom, shows=lambda got, expected, arguments: got.sum() == 0)
    rich = replace(rich, symptoms=[symptom_of_sum])
    assert judge(rich, lambda x: torch.arange(x) * (x != 5)).mistake is symptom_of_sum
    assert judge(rich, lambda x: torch.arange(x) * (x != 3)).mistake is None


def test_the_case_shown_is_one_that_the_examples_fail_too():
    """The answer forgets two things; one of them is named, so the case shown must be one where that one matters."""
    forgotten = Symptom(lambda got, expected, arguments: got < expected, "Count the ends.", [lambda x, ends=0: x])
    exercise = asked(lambda x, ends=0: x + ends, Case(1), Case(2), Case(3, ends=2), Case(4, ends=3))
    found = judge(replace(exercise, symptoms=[forgotten]), lambda x, ends=0: x - 1)
    assert found.says == "Count the ends." and found.example.startswith("For `x = 3, ends = 2`")


def test_a_symptom_that_breaks_does_not_show():
    exercise = replace(SCALE, symptoms=[NEGATIVE])
    assert judge(exercise, lambda w, bits: ["not", "a", "number", bits]).mistake is None
    assert judge(exercise, lambda w, bits: [][bits]).mistake is None
