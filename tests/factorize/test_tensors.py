"""Tensor algebra: by hand, against tensorly, and the rules that hold for every tensor."""

import pytest
import tensorly
import torch
from hypothesis import given
from hypothesis import strategies as st
from low_rank_support import normal

from mini_lib.factorize.low_rank import mode_product, refold, relative_error, unfold
from mini_lib.factorize.low_rank.tensors import check_rank, double, leading_vectors

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
EPS = 2.0**-53


def test_unfolding_by_hand():
    # tensor[i, j, k] = 100 i + 10 j + k: the digits say where an entry comes from
    tensor = torch.tensor([[[0, 1], [10, 11], [20, 21]], [[100, 101], [110, 111], [120, 121]]])
    assert unfold(tensor, 1).tolist() == [[0, 1, 100, 101], [10, 11, 110, 111], [20, 21, 120, 121]]
    assert torch.equal(refold(unfold(tensor, 1), 1, (2, 3, 2)), tensor)


@given(SHAPES, st.data())
def test_unfolding_equals_tensorly_and_folds_back(shape, draw):
    mode, tensor = draw.draw(st.integers(0, len(shape) - 1)), normal(*shape)
    assert unfold(tensor, mode).numpy().tolist() == tensorly.unfold(tensor.numpy(), mode).tolist()
    assert torch.equal(refold(unfold(tensor, mode), mode, shape), tensor)


@given(SHAPES, st.integers(1, 4), st.data())
def test_mode_product_equals_tensorly(shape, rows, draw):
    mode = draw.draw(st.integers(0, len(shape) - 1))
    tensor, matrix = normal(*shape), normal(rows, shape[mode], seed=1)
    theirs = torch.from_numpy(tensorly.tenalg.mode_dot(tensor.numpy(), matrix.numpy(), mode))
    # sums of at most 4 products, in any order
    bound = 2 * 5 * EPS * mode_product(tensor.abs(), matrix.abs(), mode)
    assert ((mode_product(tensor, matrix, mode) - theirs).abs() <= bound).all()


def test_products_along_two_modes_commute_and_along_one_multiply():
    # whole numbers: exact, so equal bit by bit
    tensor = torch.arange(24.0).reshape(2, 3, 4)
    first, last, more = torch.arange(10.0).reshape(5, 2), torch.arange(8.0).reshape(2, 4), torch.arange(5.0)[None]
    assert torch.equal(
        mode_product(mode_product(tensor, first, 0), last, 2), mode_product(mode_product(tensor, last, 2), first, 0)
    )
    assert torch.equal(mode_product(mode_product(tensor, first, 0), more, 0), mode_product(tensor, more @ first, 0))


def test_relative_error_by_hand():
    assert relative_error(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)) == 1
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_leading_vectors_are_orthonormal_also_where_the_matrix_is_short_of_columns(shape):
    matrix = normal(*shape)
    found = leading_vectors(matrix, shape[0])
    # LAPACK: a few n roundings
    assert (found.T @ found - torch.eye(shape[0])).abs().max() < 100 * EPS
    assert relative_error(matrix, found @ (found.T @ matrix)) < 100 * EPS


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unfold(torch.zeros(2, 3), 2), "mode must be between 0 and 1 for a tensor of 2 modes, got 2"),
        (lambda: unfold(torch.zeros(2, 3), -1), "mode must be between 0 and 1"),
        (lambda: refold(torch.zeros(2, 5), 0, (2, 3)), "unfolds along mode 0 into 2 x 3, got a matrix of shape .2, 5."),
        (lambda: mode_product(torch.zeros(2, 3), torch.zeros(3, 2), 1), "needs 3 columns, got shape .3, 2."),
        (lambda: check_rank(0, 64, "a 64 x 128 weight"), "rank must be a whole number from 1 to 64, got 0; 64 is exact "
                                                         "for a 64 x 128 weight"),
        (lambda: check_rank(65, 64, "a weight"), "got 65"),
        (lambda: double(torch.tensor([1.0, float("nan")])), "shape .2,. holds values that are infinite or not a numb"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("rank", [True, 2.0])
def test_a_rank_is_a_whole_number(rank):
    with pytest.raises(
        TypeError, match=f"^rank must be a whole number from 1 to 64, got {rank}; 64 is exact for a weight$"
    ):
        check_rank(rank, 64, "a weight")
