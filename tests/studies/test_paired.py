"""Paired differences: the t interval and the sign test against scipy and by hand, and Holm's correction."""

import itertools
import re
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from studies.paired import Paired, holm, paired

DIFFERENCES = st.lists(st.integers(-40, 40), min_size=2, max_size=8).map(lambda counts: [n / 1000 for n in counts])


@given(DIFFERENCES)
def test_the_p_value_is_the_share_of_signs_that_lie_as_far_out(differences):
    """All 2^n of them counted. Sums of thousandths are exact to 1e-15, and differ by 1e-3 where they differ."""
    far = abs(sum(differences)) - 1e-9
    signs = itertools.product((-1, 1), repeat=len(differences))
    outside = [abs(sum(sign * one for sign, one in zip(these, differences))) >= far for these in signs]
    assert Paired(tuple(differences)).p_value == pytest.approx(fmean(outside))


def test_means_that_are_equal_count_as_equal_however_they_were_summed():
    """The thousandths add up to 0, so no signs lie nearer to it. In doubles the sum is 4e-19, and some do."""
    assert Paired((0.005, -0.008, -0.007, 0.008, 0.009, -0.007)).p_value == 1


def test_the_interval_is_that_of_scipys_t_test():
    differences = (0.013, -0.004, 0.021, 0.008, 0.002)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert Paired(differences).interval(0.9) == pytest.approx((expected.low, expected.high))


def test_ten_seeds_that_all_agree_can_say_no_less_than_2_in_1024():
    assert Paired((0.01,) * 10).p_value == pytest.approx(2 / 1024)


def test_many_seeds_are_drawn_from_and_repeat():
    many = Paired(tuple(0.01 * (-1) ** n + 0.003 for n in range(20)))
    assert many.p_value == many.p_value
    assert many.p_value == pytest.approx(stats.ttest_1samp(many.differences, 0).pvalue, abs=0.05)


def test_holm_by_hand():
    # The smallest times 4, the next times 3, times 2, times 1; at most 1, and never less than the one before.
    assert holm([0.02, 0.001, 0.9, 0.03]) == pytest.approx((0.06, 0.004, 0.9, 0.06))
    assert holm([0.6, 0.7]) == (1.0, 1.0) and holm([]) == ()


@pytest.mark.parametrize("make, message", [
    (lambda: Paired((0.1,)), "a paired test needs at least two differences, got 1; run another seed"),
    (lambda: Paired((0.1, float("nan"))), "each value of a spread must be a finite number, got nan"),
    (lambda: Paired((0.1, 0.2)).interval(1.0), "confidence must lie in (0, 1), got 1.0; 0.95 is common"),
    (lambda: paired({0: 0.1, 1: 0.2}, {0: 0.1, 2: 0.2}), "and [1, 2] are in one alone; run the missing ones"),
])  # fmt: skip
def test_what_cannot_be_compared(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
