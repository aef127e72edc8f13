"""Products of codes in int32: the cross terms against Python's own integers, and the bound against the worst case."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import constant_terms, integer_matmul
from mini_lib.quantize.integer.matmul import accumulate, need_int32

WORST = 66_311  # 66,311 * 255 * 127 = 2,147,481,735, and 2**31 = 2,147,483,648


def by_python(inputs, weights, input_zero_point, weight_zero_points, bias):
    """The definition, in integers without end."""
    return [
        [
            sum((a - input_zero_point) * (w - zero_point) for a, w in zip(row, column)) + b
            for column, zero_point, b in zip(weights, weight_zero_points, bias)
        ]
        for row in inputs
    ]


def test_the_four_terms_by_hand():
    """Codes 200 and 10 around 128 stand for 72 and -118; weights 3 and -5 around 2 for 1 and -7: 72 + 826 = 898."""
    inputs = torch.tensor([[200, 10]], dtype=torch.uint8)
    weights = torch.tensor([[3, -5]], dtype=torch.int8)
    products, row, column = 200 * 3 - 10 * 5, 200 + 10, 3 - 5
    assert products - 2 * row - 128 * column + 2 * 128 * 2 == 898
    assert integer_matmul(inputs, weights, 128, 2).tolist() == [[898]]
    assert constant_terms(weights, 128, 2).tolist() == [-128 * column + 2 * 128 * 2]
    assert accumulate(inputs, weights, torch.tensor([768]), 2).tolist() == [[products - 2 * row + 768]]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_equal_to_pythons_integers(data):
    n, out, k = (data.draw(st.integers(1, 6)) for _ in range(3))
    codes = lambda low, high, *shape: data.draw(st.lists(st.integers(low, high), min_size=shape[0], max_size=shape[0]))  # noqa: E731
    inputs = [codes(0, 255, k) for _ in range(n)]
    weights = [codes(-128, 127, k) for _ in range(out)]
    bias, shifts, shift = codes(-(10**6), 10**6, out), codes(-128, 127, out), data.draw(st.integers(0, 255))
    ours = integer_matmul(
        torch.tensor(inputs, dtype=torch.uint8),
        torch.tensor(weights, dtype=torch.int8),
        shift,
        torch.tensor(shifts, dtype=torch.int32),
        torch.tensor(bias),
    )
    assert ours.dtype == torch.int32
    assert ours.tolist() == by_python(inputs, weights, shift, shifts, bias)


def test_groups_are_products_side_by_side():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (3, 5, 7), generator=generator)
    weights = torch.randint(-128, 128, (3, 4, 7), generator=generator)
    shifts = torch.randint(-128, 128, (3, 4), generator=generator)
    together = integer_matmul(inputs, weights, 9, shifts)
    for group in range(3):
        assert torch.equal(together[group], integer_matmul(inputs[group], weights[group], 9, shifts[group]))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sum_that_is_allowed_is_exact(sign):
    inputs = torch.full((1, WORST), 255, dtype=torch.uint8)
    weights = torch.full((1, WORST), sign * 127, dtype=torch.int8)
    assert integer_matmul(inputs, weights).item() == sign * WORST * 255 * 127
    assert integer_matmul(inputs, weights, 255).item() == 0  # on the way, the first term is as large as it gets
    assert integer_matmul(inputs, weights, 0, sign * 127).item() == 0


def test_what_could_leave_int32_is_refused():
    inputs, weights = torch.full((1, WORST + 1), 255), torch.full((1, WORST + 1), 127)
    says = (
        "the sum of 66312 products of up to 255 * 127, and a bias of up to 0, may reach 2147514120, beyond the "
        "2147483647 of an int32 accumulator; use fewer bits or inputs"
    )
    with pytest.raises(ValueError, match=re.escape(says)):
        integer_matmul(inputs, weights)
    with pytest.raises(ValueError, match="and a bias of up to 2000, may reach 2147483735"):
        integer_matmul(inputs[:, 1:], weights[:, 1:], bias=torch.tensor([2000]))
    with pytest.raises(ValueError, match=re.escape("up to 255 * 255")):  # a code -128 around 127 stands for -255
        integer_matmul(inputs, torch.full((1, WORST + 1), -128), 0, 127)
    assert WORST * 255 * 127 + 1912 == 2**31 - 1
    need_int32(WORST, 255, 127, bias=1912)
    with pytest.raises(ValueError, match="an int32 accumulator"):
        need_int32(WORST, 255, 127, bias=1913)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_step_on_the_way_goes_beyond_the_bound(data):
    """All four partial sums, in the order in which they are made, are within count * a * w + bias."""
    k = data.draw(st.integers(1, 8))
    zero_a, zero_w = data.draw(st.integers(0, 255)), data.draw(st.integers(-128, 127))
    draw = lambda low, high: data.draw(st.lists(st.integers(low, high), min_size=k, max_size=k))  # noqa: E731
    a, w, bias = draw(0, 255), draw(-128, 127), data.draw(st.integers(-1000, 1000))
    bound = k * 255 * 255 + abs(bias)
    constants = bias - zero_a * sum(w) + k * zero_a * zero_w
    products = sum(x * y for x, y in zip(a, w))
    steps = products, constants, products - zero_w * sum(a), products - zero_w * sum(a) + constants
    assert all(abs(step) <= bound for step in steps)


@pytest.mark.parametrize("which", ["inputs", "weights"])
def test_floats_are_no_codes(which):
    codes = {name: torch.ones(1, 2, dtype=torch.int32) for name in ("inputs", "weights")}
    codes[which] = codes[which].float()
    says = f"{which} must be codes, whole numbers, got torch.float32; to_codes gives them"
    with pytest.raises(TypeError, match=re.escape(says)):
        integer_matmul(**codes)


def test_zero_points_of_eight_bits_do_not_wrap_around():
    inputs, weights = torch.tensor([[250, 3]], dtype=torch.uint8), torch.tensor([[-100, 7]], dtype=torch.int8)
    small = torch.tensor(200, dtype=torch.uint8), torch.tensor([-50], dtype=torch.int8)
    # (250 - 200) (-100 + 50) + (3 - 200) (7 + 50)
    assert integer_matmul(inputs, weights, *small).tolist() == [[-2500 - 11229]]


def test_what_is_not_whole_or_does_not_fit_is_refused():
    codes = torch.ones(2, 3, dtype=torch.int8)
    with pytest.raises(TypeError, match="bias must be whole numbers, got torch.float32; round them first"):
        integer_matmul(codes, codes, bias=torch.tensor([0.5, 1.0]))
    with pytest.raises(TypeError, match="input_zero_point must be a whole number, got 0.5"):
        integer_matmul(codes, codes, 0.5)
    with pytest.raises(TypeError, match="inputs must be a tensor, got \\[1\\]"):
        integer_matmul([1], codes)
    with pytest.raises(
        ValueError, match=re.escape("inputs [2, 3] and weights [2, 2] do not fit; expected [..., n, k]")
    ):
        integer_matmul(codes, codes[:, :2])
    with pytest.raises(ValueError, match="not empty"):
        integer_matmul(codes[:0], codes)
