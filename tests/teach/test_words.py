"""Values in words: one short line, whatever the value."""

import numpy
import pytest
import torch
from sample_exercises import SCALE

from teach import words
from teach.exercise import Case


@pytest.mark.parametrize(
    "thing, text",
    [
        (1e-7, "1e-07"),
        (123456789.0, "123456789.0"),
        (1e15, "1e+15"),
        (123456789.5, "1.23457e+08"),
        (-0.5, "-0.5"),
        (float("nan"), "nan"),
        (torch.tensor([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (torch.zeros(3, 4), "[0.0, 0.0, 0.0, ...] of shape (3, 4)"),
        (numpy.array([0.25]), "[0.25]"),
        ((1,), "(1,)"),
        (list(range(100)), "[0, 1, 2, ... 97 more]"),
        ({n: n for n in range(20)}, "{0: 0, 1: 1, 2: 2, ... 17 more}"),
        ([[[[[[1]]]]]], "[[[[[...]]]]]"),
        (torch.nn.ReLU(), "ReLU()"),
        (torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(9)]), "Sequential with 54 parameters"),
        (len, "len"),
        ("x" * 200, "'" + "x" * 76 + "..."),
    ],
)
def test_one_short_line(thing, text):
    assert words.value(thing) == text


def test_a_case_as_a_call_and_as_arguments():
    case = SCALE.cases[0]
    assert words.call(SCALE, case) == "`symmetric_scale([-1.0, 0.5], bits=2)`"
    assert words.arguments(SCALE, case) == "`w = [-1.0, 0.5], bits = 2`"


def test_a_named_case_goes_by_its_name():
    case = Case(torch.ones(1000), bits=2).called("a thousand ones")
    assert words.call(SCALE, case) == "`symmetric_scale(...)` for a thousand ones"
    assert words.arguments(SCALE, case) == "a thousand ones"
