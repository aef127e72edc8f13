"""Tensor trains: by hand, against tensorly, the loss known from the singular values, and the layers they make."""

import copy
import math

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from low_rank_support import (
    GEOMETRIES,
    WRONG_LAYERS,
    assert_same_function,
    make_conv,
    make_linear,
    normal,
    storage_tolerance,
)
from torch import nn

from mini_lib.factorize.low_rank import (
    rank_errors,
    rebuild,
    relative_error,
    tensor_train,
    tensor_train_conv,
    tensor_train_weights,
    truncated_svd,
    tt_svd,
)

EPS = 2.0**-53

# up to three decompositions, each off by a few n roundings, n at most 125 here; ten times that
TOLERANCE = 10 * 3 * 125 * EPS


def full_ranks(shape) -> tuple[int, ...]:
    """The ranks at which a tensor train of this shape is exact for every tensor."""
    return tuple(min(math.prod(shape[:cut]), math.prod(shape[cut:])) for cut in range(1, len(shape)))


@st.composite
def tensors_and_ranks(draw):
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    ranks = []
    for cut, full in enumerate(full_ranks(shape), start=1):
        ranks.append(draw(st.integers(1, min(full, (ranks or [1])[-1] * shape[cut - 1]))))
    return normal(*shape, seed=draw(st.integers(0, 1000))), ranks


def test_full_ranks_by_hand():
    assert full_ranks((2, 3, 4)) == (2, 4)  # cuts into 2 x 12 and 6 x 4


# --- the decomposition ---------------------------------------------------------------------------------------------


def test_a_sum_of_three_by_hand():
    # i + j + k needs rank 2 at each cut: what is right of it has to be told the sum so far, and to keep the ones
    i = torch.arange(3.0)
    tensor = i[:, None, None] + i[:, None] + i
    assert tt_svd(tensor, (2, 2)).error <= TOLERANCE
    assert tt_svd(tensor, (1, 2)).error > 0.05


@given(tensors_and_ranks())
def test_the_error_is_known_and_within_its_bounds(case):
    tensor, ranks = case
    found = tt_svd(tensor, ranks)
    assert found.ranks == tuple(ranks)
    assert found.error == pytest.approx(relative_error(tensor, found.rebuild()), abs=TOLERANCE)
    cuts = range(1, tensor.dim())
    alone = torch.stack(
        [rank_errors(tensor.flatten(0, cut - 1).flatten(1))[rank] for cut, rank in zip(cuts, ranks, strict=True)]
    )
    # no train of such ranks is below the error of one cut alone, and this one is not above all of them together
    assert alone.max() - TOLERANCE <= found.error <= alone.norm() + TOLERANCE
    for core in found.cores[:-1]:
        matrix = core.flatten(0, 1)
        assert (matrix.T @ matrix - torch.eye(matrix.shape[1])).abs().max() <= TOLERANCE


@pytest.mark.parametrize("ranks", [(1, 1, 1), (2, 3, 2), (3, 7, 3), (4, 12, 3)])
def test_no_worse_than_tensorly(ranks):
    tensor = normal(4, 5, 6, 3)
    cores = tensorly.decomposition.tensor_train(tensor.numpy(), rank=[1, *ranks, 1])
    theirs = relative_error(tensor, torch.from_numpy(tensorly.tt_to_tensor(cores)))
    assert tt_svd(tensor, ranks).error <= theirs + TOLERANCE


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_full_ranks_are_exact(shape):
    tensor = normal(*shape)
    found = tt_svd(tensor, full_ranks(shape))
    assert found.error == 0 and relative_error(tensor, found.rebuild()) <= TOLERANCE


# --- the layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("output_modes", "input_modes", "ranks"),
    [((2, 3), (4, 2), (6,)), ((3, 2), (2, 4), (6,)), ((2, 1, 3), (2, 2, 2), (4, 6)), ((1, 6), (8, 1), (6,))],
)
def test_full_ranks_are_exact_for_a_linear_layer(output_modes, input_modes, ranks, dtype):
    layer = make_linear(6, 8, dtype=dtype)
    found = tensor_train(layer, output_modes, input_modes, ranks)
    assert found.predicted_error == 0
    for shape in ((8,), (1, 8), (2, 3, 8)):
        assert_same_function(found, normal(*shape, seed=3, dtype=dtype))


def test_the_digits_of_a_linear_layer_by_hand():
    # a Kronecker product acts on each digit by itself: its train needs only rank 1
    first, second = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[7.0, 8.0, 9.0]])
    layer = nn.Linear(6, 3, bias=False)
    layer.weight.data = torch.kron(first, second)
    found = tensor_train(layer, (3, 1), (2, 3), (1,))
    assert found.predicted_error <= TOLERANCE and (found.parameters, found.dense_parameters) == (6 + 3, 18)
    assert_same_function(found, normal(4, 6, dtype=torch.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ranks", [(1, 1), (2, 3), (4, 5)])
def test_the_error_is_known_beforehand(ranks, dtype):
    found = tensor_train(make_linear(12, 18, dtype=dtype), (2, 3, 2), (3, 2, 3), ranks)
    assert found.ranks == ranks
    assert found.measured_error == pytest.approx(found.predicted_error, abs=storage_tolerance(found))


def test_rebuilding_by_algebra():
    found = tensor_train(make_linear(6, 8, dtype=torch.float64), (2, 3), (4, 2), (3,))
    first, second = (core.detach() for core in found.layer.cores)
    # the documented layout: [m_k * r_k, r_(k-1) * n_k]
    expected = torch.einsum("arb,crd->acbd", first.reshape(2, 3, 4), second.reshape(3, 3, 2)).reshape(6, 8)
    assert torch.allclose(rebuild(found.layer), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_full_ranks_are_exact_for_a_convolution(geometry, dtype):
    conv = make_conv(geometry, dtype)
    outputs, inputs, height, width = conv.weight.shape
    found = tensor_train_conv(conv, full_ranks((inputs, height, width, outputs)))
    assert_same_function(found, normal(2, inputs, 9, 11, seed=3, dtype=dtype))
    assert found.predicted_error == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ranks", [(1, 1, 1), (2, 3, 2), (3, 6, 4)])
def test_the_error_of_a_convolution_is_known_beforehand(ranks, dtype):
    found = tensor_train_conv(make_conv("two axes, two ways", dtype), ranks)
    assert found.measured_error == pytest.approx(found.predicted_error, abs=storage_tolerance(found))


def test_a_cut_at_the_middle_is_spatial_svd():
    # all ranks full but the middle one: the one cut is C * height against width * N
    conv = make_conv(dtype=torch.float64)
    found = tensor_train_conv(conv, (3, 4, 5))
    matrix = conv.weight.detach().permute(1, 2, 3, 0).reshape(9, 15)
    assert found.predicted_error == pytest.approx(truncated_svd(matrix, 4)[2], abs=TOLERANCE)


def test_the_layers_are_left_alone():
    for layer, make in (
        (make_linear(4, 4), lambda layer: tensor_train(layer, (2, 2), (2, 2), (2,))),
        (make_conv(), lambda layer: tensor_train_conv(layer, (2, 2, 2))),
    ):
        before = copy.deepcopy(layer.eval().state_dict())
        found = make(layer)
        for parameter in found.layer.parameters():
            parameter.data.fill_(0)
        assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
        assert not any(module.training for module in found.layer.modules())


def test_the_cores_can_be_trained():
    found = tensor_train(make_linear(4, 6), (2, 2), (2, 3), (3,))
    found.layer(normal(5, 6, dtype=torch.float32)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in found.layer.parameters())


# --- what it costs -------------------------------------------------------------------------------------------------


def test_costs_by_hand():
    # 12 x 18 weights, cores of 2x3, 3x2, 2x3 digits and ranks 2 and 3: 1*6*2 + 2*6*3 + 3*6*1 = 66
    found = tensor_train(make_linear(12, 18), (2, 3, 2), (3, 2, 3), (2, 3))
    assert tensor_train_weights((6, 6, 6), (2, 3)) == 66
    assert found.parameters == 66 + 12 and found.dense_parameters == 216 + 12 and found.saves
    # the first core runs for each of 2 * 3 digits to come, the second for 2 done, 3 to come, the third for 2 * 3 done
    assert found.macs() == 6 * 12 + 6 * 36 + 6 * 18
    assert found.dense_macs() == 216  # fewer weights than a third, and more MACs


@given(st.integers(1, 5), st.integers(1, 5), st.data())
@settings(max_examples=25)
def test_the_weights_of_a_convolution(outputs, inputs, draw):
    sizes = (inputs, 3, 2, outputs)
    ranks = []
    for cut, full in enumerate(full_ranks(sizes)):
        ranks.append(draw.draw(st.integers(1, min(full, (ranks or [1])[-1] * sizes[cut]))))
    found = tensor_train_conv(nn.Conv2d(inputs, outputs, (3, 2), padding="same"), ranks)
    weights = tensor_train_weights(sizes, ranks)
    assert found.parameters == weights + outputs and found.macs((4, 5)) == 20 * weights
    assert found.saves == (weights < outputs * inputs * 6)


# --- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "error", "message"), WRONG_LAYERS, ids=lambda value: type(value).__name__)
def test_layers_that_cannot_be_factorized(layer, error, message):
    with pytest.raises(error, match=message):
        tensor_train_conv(layer, (1, 1, 1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tensor_train(nn.Linear(8, 6), (2, 4), (2, 4), (1,)), ValueError,
         "output_modes must be whole numbers whose product is the 6 outputs, got 2 \\* 4 = 8"),
        (lambda: tensor_train(nn.Linear(8, 6), (2, 3), (2, 3), (1,)), ValueError, "product is the 8 inputs, got 2 "),
        (lambda: tensor_train(nn.Linear(8, 6), (2, 3), (2, 2, 2), (1,)), ValueError,
         "equally many sizes, got 2 and 3; fill up"),
        (lambda: tensor_train(nn.Linear(8, 6), (-2, -3), (2, 4), (1,)), ValueError,
         "each of output_modes must be a whole number of 1 or more, got -2; their product is the outputs"),
        (lambda: tensor_train(nn.Linear(8, 6), (2, 3), (2, 4), (5,)), ValueError,
         "rank 1 of the train must be a whole number from 1 to 4, got 5; 4 is exact for a cut into 4 x 12"),
        (lambda: tensor_train(nn.Linear(8, 6), (2, 3), (2, 4), (0,)), ValueError, "got 0"),
        (lambda: tensor_train(nn.Linear(8, 6), (2, 3), (2, 4), (1, 1)), ValueError, "of 2 modes has 1 ranks, got 2"),
        (lambda: tensor_train(nn.Linear(8, 6), (6,), (8,), ()), ValueError, "at least 2 modes"),
        (lambda: tensor_train(nn.Conv2d(1, 1, 1), (1,), (1,), ()), TypeError, "cannot factorize Conv2d as a linear"),
        (lambda: tensor_train_conv(nn.Conv2d(4, 4, 1), (1, 1, 1)), ValueError, "take a 1 x 1 kernel apart"),
        (lambda: tensor_train_conv(nn.Conv2d(4, 4, 3), (5, 1, 1)), ValueError, "rank 1 of the train .* got 5"),
        (lambda: tensor_train_weights((2, 2), (1, 1)), ValueError, "of 2 modes has 1 ranks, got 2"),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
