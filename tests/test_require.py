"""The checks of arguments: what passes, what does not, and the words."""

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.require import callable_, checked, finite, not_negative, of_type, one_of, positive, share, shown, whole

FIX = "do this instead"
HUGE, TINY = 1.7e308, 5e-324
ENDLESS = [math.inf, -math.inf, math.nan]
NO_INT = [True, False, 2.0, "2", None, [2], math.nan, np.float64(2.0), np.bool_(True)]
NO_NUMBER = [True, False, "1", None, 1j, [1.0], np.array(0.5), np.bool_(True)]


def refused(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@given(st.integers(-3, 3), st.integers(-3, 3), st.integers(-5, 5))
def test_whole_passes_exactly_the_whole_numbers_between_its_ends(one, other, value):
    low, high = sorted((one, other))
    if low <= value <= high:
        assert whole("n", value, low=low, high=high, fix=FIX) == value
    else:
        with refused(ValueError, f"n must be a whole number from {low} to {high}, got {value}; {FIX}"):
            whole("n", value, low=low, high=high, fix=FIX)


@pytest.mark.parametrize(
    ("ends", "passes", "fails", "wanted"),
    [
        ({"low": 1}, [1, 2, 2**63 - 1], [0, -1], "a whole number of 1 or more"),
        ({"low": 0}, [0, 7], [-1], "a whole number of 0 or more"),
        ({"high": -1}, [-1, 1 - 2**63], [0, 1], "a whole number of -1 or less"),
        ({"low": 2, "high": 2}, [2], [1, 3], "a whole number from 2 to 2"),
        ({}, [1 - 2**63, 0, 5], [], "a whole number"),
    ],
)
def test_whole_counts_its_ends_in(ends, passes, fails, wanted):
    for value in passes:
        assert whole("n", value, **ends, fix=FIX) == value
    for value in fails:
        with refused(ValueError, f"n must be {wanted}, got {value}; {FIX}"):
            whole("n", value, **ends, fix=FIX)
    for value in NO_INT:
        with refused(TypeError, f"n must be {wanted}, got {value!r}; {FIX}"):
            whole("n", value, **ends, fix=FIX)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_a_whole_number_of_numpy_becomes_one_of_python(kind):
    # as it came, 100 * 100 would wrap round to 16 in 8 bits
    number = whole("n", kind(100), low=1, fix=FIX)
    assert type(number) is int and number * number == 10_000


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**400, 10**10_000], ids=["above", "below", "far", "endless"])
def test_a_count_beyond_64_bits_is_refused_in_few_words(value):
    with pytest.raises(ValueError, match="^n must fit into 64 bits, got .{,40}; do this instead$"):
        whole("n", value, fix=FIX)


NUMBERS = [
    (finite, "a finite number", [0, -1, 4.5, -HUGE, TINY, np.float64(0.5)], ENDLESS),
    (positive, "a finite number above 0", [1, 4.5, TINY, HUGE, np.float64(0.5)], [0, 0.0, -0.0, -1, -TINY, *ENDLESS]),
    (not_negative, "a finite number of 0 or more", [0, 0.0, -0.0, 3, TINY, HUGE], [-1, -TINY, *ENDLESS]),
]


@pytest.mark.parametrize(
    ("check", "wanted", "passes", "fails"), NUMBERS, ids=lambda value: getattr(value, "__name__", "")
)
def test_numbers_pass_as_they_are_or_are_refused(check, wanted, passes, fails):
    for value in passes:
        assert check("x", value, fix=FIX) == value and type(check("x", value, fix=FIX)) in (int, float)
    for value in fails:
        with refused(ValueError, f"x must be {wanted}, got {value}; {FIX}"):
            check("x", value, fix=FIX)
    for value in NO_NUMBER:
        with refused(TypeError, f"x must be {wanted}, got {value!r}; {FIX}"):
            check("x", value, fix=FIX)
    with refused(ValueError, f"x must be {wanted}, got a number of 401 digits; {FIX}"):
        check("x", 10**400, fix=FIX)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("one", [False, True])
def test_a_share_lies_between_ends_that_may_be_left_out(zero, one):
    ends = {"zero": zero, "one": one}
    written = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
    just_below = math.nextafter(1, 0)
    passes = [TINY, 0.5, just_below, np.float64(0.5), *([0, 0.0, -0.0] if zero else []), *([1, 1.0] if one else [])]
    fails = [-TINY, -1, math.nextafter(1, 2), 20, math.inf, -math.inf, math.nan]
    fails += ([] if zero else [0, 0.0]) + ([] if one else [1, 1.0])
    for value in passes:
        assert share("x", value, **ends, fix=FIX) == value and type(share("x", value, **ends, fix=FIX)) in (int, float)
    for value in fails:
        with refused(ValueError, f"x must lie in {written}, got {value}; {FIX}"):
            share("x", value, **ends, fix=FIX)
    for value in NO_NUMBER:
        with refused(TypeError, f"x must be a number in {written}, got {value!r}; {FIX}"):
            share("x", value, **ends, fix=FIX)


def test_a_share_is_above_zero_and_may_be_one_unless_told_otherwise():
    assert share("x", 1, fix=FIX) == 1
    with refused(ValueError, f"x must lie in (0, 1], got 0; {FIX}"):
        share("x", 0, fix=FIX)


@pytest.mark.parametrize(
    ("choices", "listed"),
    [(("a",), "'a'"), (("a", "b"), "'a' or 'b'"), (["a", "b", 3], "'a', 'b' or 3"), ((None, 1.5), "None or 1.5")],
)
def test_one_of_lists_the_choices(choices, listed):
    for choice in choices:
        assert one_of("x", choice, choices, fix=FIX) is choice
    for value in ("ab", "A", 2, [1]):
        with refused(ValueError, f"x must be {listed}, got {value!r}; {FIX}"):
            one_of("x", value, choices, fix=FIX)
    with refused(ValueError, f"x must be {listed}, got a ndarray of shape [2]; {FIX}"):
        one_of("x", np.array([1, 2]), choices, fix=FIX)


def test_types_and_callables():
    assert of_type("x", 2, (int, str), fix=FIX) == 2 and callable_("f", len, fix=FIX) is len
    with refused(TypeError, f"x must be of type int or str, got 2.5; {FIX}"):
        of_type("x", 2.5, (int, str), fix=FIX)
    with refused(TypeError, f"f must be callable, got None; {FIX}"):
        callable_("f", None, fix=FIX)


def test_a_checked_field_holds_the_plain_number():
    @dataclass(frozen=True)
    class Shares:
        kept: float

        def __post_init__(self):
            checked(self, "kept", share, fix=FIX)

    assert type(Shares(np.float32(0.5)).kept) is float
    with refused(ValueError, f"kept must lie in (0, 1], got 2; {FIX}"):
        Shares(2)


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (10**39, "1" + "0" * 39),
        (10**40, "a number of 41 digits"),
        (10**41 - 1, "a number of 41 digits"),
        (-(10**400), "a number of 401 digits"),
        (np.zeros((2, 3)), "a ndarray of shape [2, 3]"),
        ("a" * 1000, None),
        ([0] * 1000, None),
        (Unspeakable(), None),
    ],
)
def test_a_value_is_shown_in_few_characters(value, says):
    assert len(shown(value)) <= 110 and (says is None or shown(value) == says)
