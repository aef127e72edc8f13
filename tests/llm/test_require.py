"""The checks of numbers: what passes, what does not, and the words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.require import not_negative, positive, whole


@given(st.integers(-3, 3), st.integers(-5, 5))
def test_whole_passes_exactly_the_whole_numbers_from_the_least_on(least, value):
    if value >= least:
        assert whole("n", value, least, "use more") is None
    else:
        with pytest.raises(ValueError) as error:
            whole("n", value, least, "use more")
        assert str(error.value) == f"n must be a whole number of {least} or more, got {value}; use more"


@pytest.mark.parametrize("value", [True, 2.0, "2", None, [2], math.nan], ids=repr)
def test_whole_does_not_guess(value):
    with pytest.raises(TypeError) as error:
        whole("batch", value, 1, "use 1 for a single user")
    assert str(error.value) == f"batch must be a whole number of 1 or more, got {value!r}; use 1 for a single user"


@pytest.mark.parametrize("value", [1, 4.5, 1e-300, 1.7e308], ids=repr)
def test_positive_passes_numbers_above_zero(value):
    assert positive("bits", value, "use 4, 8 or 16") is None


@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, math.inf, -math.inf, math.nan], ids=repr)
def test_positive_refuses_what_is_not_above_zero_or_not_finite(value):
    with pytest.raises(ValueError) as error:
        positive("bits", value, "use 4, 8 or 16")
    assert str(error.value) == f"bits must be a finite number above 0, got {value}; use 4, 8 or 16"


@pytest.mark.parametrize("value", [True, "8", None, 8j], ids=repr)
def test_positive_refuses_what_is_not_a_number(value):
    with pytest.raises(TypeError) as error:
        positive("bits", value, "use 4, 8 or 16")
    assert str(error.value) == f"bits must be a finite number above 0, got {value!r}; use 4, 8 or 16"


@pytest.mark.parametrize("value", [0, 0.0, 3, 1e-300], ids=repr)
def test_not_negative_passes_zero(value):
    assert not_negative("wait_s", value, "time runs forward") is None


@pytest.mark.parametrize("value", [-1, -1e-300, math.inf, math.nan], ids=repr)
def test_not_negative_refuses_what_is_below_zero_or_not_finite(value):
    with pytest.raises(ValueError) as error:
        not_negative("wait_s", value, "time runs forward")
    assert str(error.value) == f"wait_s must be a finite number of 0 or more, got {value}; time runs forward"


@pytest.mark.parametrize("value", [False, "0", None], ids=repr)
def test_not_negative_refuses_what_is_not_a_number(value):
    with pytest.raises(TypeError) as error:
        not_negative("wait_s", value, "time runs forward")
    assert str(error.value) == f"wait_s must be a finite number of 0 or more, got {value!r}; time runs forward"
