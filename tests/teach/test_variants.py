"""A slip that people write in several ways is one symptom."""

import pytest
import torch

from teach.exercise import Case, Exercise, Mistake
from teach.judge import judge
from teach.variants import of_tensors, variants

TWICE = variants("Too much.", lambda x, y=1: 2 * x * y, lambda x, y=1: 4 * x / y)


@pytest.mark.parametrize(
    ("got", "arguments", "shows"),
    [
        (6, {"x": 3}, True),  # the first variant, with its default
        (12, {"x": 3}, True),  # the second
        (12, {"x": 3, "y": 2}, True),
        (5, {"x": 3}, False),
        (6, {"x": 3, "y": 0}, False),  # the second divides by zero, and the first gives 0
        (None, {"x": 3}, False),
    ],
)
def test_a_value_of_any_variant_shows_it(got, arguments, shows):
    assert TWICE.shows(got, 3, arguments) is shows


def test_a_right_value_never_shows_it():
    assert not TWICE.shows(6, 6, {"x": 3})


def test_one_item_is_compared_and_the_others_may_be_wrong_in_any_way():
    second = variants("The second.", lambda x: (0, -x), item=1)
    assert second.shows((7, -3), (1, 3), {"x": 3})
    assert not second.shows((7, 3), (1, 3), {"x": 3})


def test_a_tensor_is_compared_by_value_within_the_tolerance():
    half = variants("Half.", lambda w: w / 2, rtol=1e-2)
    assert half.shows(torch.tensor([1.001, 2.0]), torch.tensor([2.0, 4.0]), {"w": torch.tensor([2.0, 4.0])})


@pytest.mark.parametrize("got", [[1.0, 3.0], torch.tensor([1.0, 3.0]), 4.0])
def test_a_property_of_tensors_is_seen_in_lists_and_numbers(got):
    larger = of_tensors(lambda got, expected, a: bool((got.sum() > expected.sum()).item()), "Large.", [lambda x: 2 * x])
    assert larger.shows(got, [1.0, 2.0], {})


def test_two_ways_to_write_a_slip_get_the_same_sentence():
    area = Exercise(
        "1.1",
        "Area",
        lambda side: side**2,
        function="area",
        cases=[Case(3), Case(4), Case(5), Case(7)],
        mistakes=[Mistake(lambda side: side, "Square it.")],
        symptoms=[variants("That goes around it.", lambda side: 4 * side, lambda side: 2 * side)],
    )
    for wrong in (lambda side: 4 * side, lambda side: side + side):
        assert judge(area, wrong).says == "That goes around it."
    assert judge(area, lambda side: 3 * side).says != "That goes around it."
