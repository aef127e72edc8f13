"""Comparison by value: whatever type carries the right value is right, and what differs is said."""

import dataclasses
from unittest import mock

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teach.compare import difference, identical
from teach.exercise import FLOAT32_TOLERANCE
from teach.plain import Opaque, plain

NUMBERS = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-30)  # where float32 keeps its 24 bits


@dataclasses.dataclass
class Cost:
    macs: int
    name: str


@pytest.mark.parametrize("got", [0.5, numpy.float32(0.5), torch.tensor(0.5), torch.tensor(0.5, dtype=torch.float16)])
def test_one_number_in_any_type_is_right(got):
    assert difference(plain(got), 0.5) is None


def test_rows_in_a_list_make_a_matrix():
    got = plain([torch.tensor([1.0, 2.0]), numpy.array([3, 4]), [5.0, 6.0]])
    assert difference(got, torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])) is None


@pytest.mark.parametrize(
    "got", [[1.0, 2.0], (1, 2), numpy.array([1.0, 2.0]), torch.tensor([1, 2]), torch.tensor([1.0, 2.0]).double()]
)
@pytest.mark.parametrize("expected", [torch.tensor([1.0, 2.0]), [1.0, 2.0], (1, 2)])
def test_a_row_of_numbers_in_any_type_is_right(got, expected):
    assert difference(plain(got), plain(expected)) is None


def test_codes_held_as_floats_are_right():
    assert difference(torch.tensor([-7.0, 3.0]), torch.tensor([-7, 3], dtype=torch.int8)) is None
    assert difference(12.0, 12) is None


@pytest.mark.parametrize(
    "got, expected, clause",
    [
        (0.5, 1.0, "you returned 0.5, expected 1.0"),
        (None, 1.0, "you returned None, expected 1.0"),
        (None, torch.ones(2), "you returned None, expected [1.0, 1.0]"),
        (True, 1, "you returned True, expected 1: return a number, not a truth value"),
        (1, True, "you returned 1, expected True"),
        (13, 12, "you returned 13, expected 12"),
        (12.5, 12, "you returned 12.5, expected 12"),
        (float("nan"), 1.0, "you returned nan, expected 1.0: NaN comes from 0 / 0 or from infinity minus infinity"),
        (float("inf"), 1.0, "you returned inf, expected 1.0"),
        (1.0, float("inf"), "you returned 1.0, expected inf"),
        ("int8", 1.0, "you returned a string, 'int8'; expected a number, 1.0"),
        (torch.ones(1), 1.0, "you returned a tensor of shape (1,), expected one number, 1.0"),
        (0.5, torch.ones(2), "you returned a number, 0.5; expected a tensor of shape (2,), [1.0, 1.0]"),
        (torch.ones(2), torch.ones(2, 1), "you returned shape (2,), expected shape (2, 1)"),
        (torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]), "you returned [1.0, 3.0], expected [1.0, 2.0]"),
        (
            torch.tensor([1, 0]),
            torch.tensor([True, False]),
            "you returned a tensor of numbers, expected a tensor of True and False",
        ),
        (
            [[1.0], [1.0, 2.0]],
            torch.ones(2, 2),
            "you returned a list, [[1.0], [1.0, 2.0]]; expected a tensor of shape (2, 2), [[1.0, 1.0], [1.0, 1.0]]",
        ),
        ([], torch.ones(2), "you returned shape (0,), expected shape (2,)"),
        ((1, 2), (1, 3), "you returned (1, 2), expected (1, 3)"),
        ((1,), (1, 3), "you returned 1 item, expected 2: (1, 3)"),
        (1, (1, 3), "you returned one value, 1; expected 2: (1, 3)"),
        (
            torch.ones(2, 3),
            (torch.ones(3), 1),
            "you returned one value, a tensor of shape (2, 3); expected 2: ([1.0, 1.0",
        ),
        (torch.ones(5), (1, 3), "you returned one value, a tensor of shape (5,); expected 2: (1, 3)"),
        (torch.ones(2), (1, 3), "you returned [1.0, 1.0], expected (1, 3)"),
        (1, [1, 3], "you returned an integer, 1; expected a list, [1, 3]"),
        ((1, torch.ones(2)), (1, torch.zeros(2)), "in item 1 you returned [1.0, 1.0], expected [0.0, 0.0]"),
        ((1, None), (1, torch.zeros(2)), "in item 1 you returned None, expected [0.0, 0.0]"),
        ([[1, [2]]], [[1, [3]]], "in item 1 in item 0 you returned [2], expected [3]"),
        ({"a": [1.0]}, {"a": torch.zeros(1)}, "for 'a' you returned [1.0], expected [0.0]"),
        ([10**100], torch.ones(1), "you returned a list, [1000000"),
        ({"a": 1}, {"b": 1}, "you returned no entry 'b', expected 1 there"),
        ({"a": 1, "b": 2}, {"a": 1}, "you returned an extra entry 'b'; expected only ['a']"),
        ({"a": 1}, {"a": 2}, "for 'a' you returned 1, expected 2"),
        ([1], {"a": 2}, "you returned a list, [1]; expected a dict, {'a': 2}"),
        ("row", "column", "you returned 'row', expected 'column'"),
        ({1}, {1, 2}, "you returned {1}, expected {1, 2}"),
        (1.0, None, "you returned 1.0, expected None"),
        (Opaque("generator"), [1], "you returned a generator, which holds no values yet: turn it into a list"),
        (Opaque("map", "TypeError: no"), (1, 2), "you returned a map, which holds no values yet: turn it into a tuple"),
        (Opaque("method"), 1.0, "you returned a function, not its result: call it with `(...)`"),
        (Opaque("dict", "no key 'w'"), 1.0, "you returned a dict, which cannot be used as the answer: no key 'w'"),
        (10**300, 1.0, "you returned 1"),
    ],
)
def test_what_differs_is_said(got, expected, clause):
    assert difference(got, expected).startswith(clause)


def test_texts_are_never_made_into_an_array():
    long = ["x" * 3_000_000] + [""] * 170  # as an array: 2 GB, every item as long as the longest
    with mock.patch("numpy.array", side_effect=AssertionError):
        assert difference(long, torch.ones(171)).startswith("you returned a list, ['xxx")


def test_one_wrong_element_of_many_is_pointed_at():
    expected = torch.arange(24.0).reshape(4, 6)
    got = expected.clone()
    got[2, 3] = -1.0
    assert difference(got, expected) == "you returned -1.0 at index [2, 3], expected 15.0 (1 of 24 values differ)"
    got[2, 3] = float("nan")
    assert "at index [2, 3], expected 15.0 (1 of 24 values differ): NaN comes from" in difference(got, expected)


def test_values_that_print_alike_are_printed_with_more_digits():
    assert difference(1.0001, 1.0) == "you returned 1.0001, expected 1.0"
    assert difference(1.00001, 1.0) == "you returned 1.00001, expected 1.0"
    assert difference(1000.01, 1000.0, rtol=0) == "you returned 1000.01, expected 1000.0"
    assert difference(1 + 2**-20, 1.0, rtol=0) == "you returned 1.00000095, expected 1.0"


def test_nan_and_infinity_are_right_where_they_are_expected():
    both = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0])
    assert difference(both, both.clone()) is None
    assert difference(float("nan"), float("nan")) is None
    for other in (-float("inf"), 1.0, float("nan")):
        assert difference(torch.tensor([other, 1.0]), torch.tensor([float("inf"), 1.0])) is not None


@given(st.lists(NUMBERS, min_size=1, max_size=20))
@settings(deadline=None)
def test_float32_roundings_are_forgiven(numbers):
    exact = torch.tensor(numbers, dtype=torch.float64)
    assert difference(exact.float(), exact) is None
    assert difference(exact, exact.float()) is None


@given(st.lists(NUMBERS.filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=20), st.data())
@settings(deadline=None)
def test_an_error_of_a_thousandth_of_the_largest_is_not_forgiven(numbers, data):
    expected = torch.tensor(numbers, dtype=torch.float64)
    at = data.draw(st.integers(0, len(numbers) - 1))
    got = expected.clone()
    got[at] += 1e-3 * expected.abs().max()
    assert difference(got, expected) is not None


def test_the_tolerance_is_where_it_is_said_to_be():
    # Half of the tolerance passes and twice of it does not; 1 + x is exact in double.
    assert difference(1 + FLOAT32_TOLERANCE / 2, 1.0) is None
    assert difference(1 + 2 * FLOAT32_TOLERANCE, 1.0) is not None
    assert difference(0.1, 0.0) is not None and difference(0.1, 0.0, atol=0.2) is None


def test_what_cancellation_leaves_is_forgiven_and_no_more():
    # 1000 + 1e-5 - 1000 in float32: half a unit of 1000 is 3e-5, so the small element is rounding noise.
    expected = torch.tensor([1000.0, 0.0])
    assert difference(torch.tensor([1000.0, 3e-5]), expected) is None
    assert difference(torch.tensor([1000.0, 3e-3]), expected) is not None


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.int64, torch.bfloat16])
def test_integers_are_exact_in_every_dtype(dtype):
    expected = torch.tensor([1, 2, 3])
    assert difference(expected.to(dtype), expected) is None
    assert difference((expected + 1).to(dtype), expected) is not None


@pytest.mark.parametrize(
    "make, change",
    [
        (lambda: torch.tensor([1.0, float("nan")]), lambda x: x.mul_(2)),
        (lambda: numpy.array([1.0, numpy.nan]), lambda x: x.fill(0)),
        (lambda: [1, [2]], lambda x: x[1].append(3)),
        (lambda: {"a": torch.ones(2)}, lambda x: x.pop("a")),
        (lambda: torch.nn.Linear(2, 2).requires_grad_(False), lambda x: x.weight.zero_()),
        (lambda: torch.nn.BatchNorm1d(2), lambda x: x.eval()),
        (lambda: torch.nn.Sequential(torch.nn.ReLU()), lambda x: x.append(torch.nn.ReLU())),
        (lambda: Cost(1, "a"), lambda x: setattr(x, "macs", 2)),
    ],
)
def test_any_change_of_an_argument_is_seen(make, change):
    torch.manual_seed(0)
    one = make()
    torch.manual_seed(0)
    other = make()
    assert identical(one, other)
    change(other)
    assert not identical(one, other)


def test_arguments_of_another_type_or_dtype_are_not_identical():
    assert not identical(1, 1.0)
    assert not identical(torch.ones(2), torch.ones(2).double())
    assert not identical(torch.ones(2), torch.ones(2, device="meta"))  # and no error, though meta holds no values
