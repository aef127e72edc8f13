"""Affine expressions: arithmetic against plain numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.loops.affine import Affine, affine

NAMES = ("i", "j", "k")
whole = st.integers(-20, 20)
expressions = st.builds(
    lambda counts, constant: sum((affine(n) * c for n, c in zip(NAMES, counts, strict=True)), affine(constant)),
    st.tuples(whole, whole, whole),
    whole,
)
points = st.fixed_dictionaries(dict.fromkeys(NAMES, whole))


@given(expressions, expressions, whole, points)
def test_arithmetic_is_that_of_the_values(one, two, factor, point):
    assert (one + two).value(point) == one.value(point) + two.value(point)
    assert (one - two).value(point) == one.value(point) - two.value(point)
    assert (one * factor).value(point) == one.value(point) * factor
    assert (factor - one).value(point) == factor - one.value(point)


@given(expressions, expressions, expressions, points)
def test_variables_are_substituted_all_at_once(outer, one, two, point):
    replaced = outer.substitute({"i": one, "j": two}).value(point)
    assert replaced == outer.value({"i": one.value(point), "j": two.value(point), "k": point["k"]})


@given(expressions, st.fixed_dictionaries({name: st.tuples(st.integers(-3, 0), st.integers(0, 3)) for name in NAMES}))
def test_extremes_over_a_box_are_reached_at_its_corners(one, box):
    values = [one.value({"i": i, "j": j, "k": k}) for i in box["i"] for j in box["j"] for k in box["k"]]
    assert one.extremes(box) == (min(values), max(values))


@given(expressions)
def test_equal_expressions_are_equal_values_and_its_text_reads_back(one):
    assert one == one + 0 and hash(one) == hash(one * 1)
    assert eval(str(one), {name: affine(name) for name in NAMES}) in (one, one.constant)


def test_what_is_no_whole_number_and_no_name_is_refused():
    for value in (1.5, None, True):
        message = (
            f"a term of an affine expression must be a whole number, got {value}; give an int, a name or an Affine"
        )
        with pytest.raises(TypeError, match=message):
            affine(value)
    assert affine(3) == Affine((), 3)
