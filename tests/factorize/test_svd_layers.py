"""SVD of linear layers and convolutions: by hand, against scipy, exact at full rank, honest about its cost."""

import copy

import numpy as np
import pytest
import scipy.linalg
import torch
from fvcore.nn import FlopCountAnalysis
from hypothesis import given
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

from mini_lib import zoo
from mini_lib.factorize.low_rank import (
    Factorized,
    channel_matrix,
    channel_svd,
    channel_svd_bound,
    channel_svd_weights,
    rank_errors,
    rebuild,
    relative_error,
    spatial_matrix,
    spatial_svd,
    spatial_svd_bound,
    spatial_svd_weights,
    svd_linear,
    svd_linear_bound,
    svd_linear_weights,
    truncated_svd,
)

EPS = 2.0**-53


def full_rank(conv: nn.Conv2d, method) -> int:
    return min((channel_matrix if method is channel_svd else spatial_matrix)(conv).shape)


# --- the decomposition ---------------------------------------------------------------------------------------------


def test_a_matrix_by_hand():
    # orthogonal rows of length 5 and 10: these are the singular values; rank 1 keeps the longer row and loses 5
    left, right, error = truncated_svd(torch.tensor([[3.0, 4.0], [-8.0, 6.0]]), 1)
    assert torch.allclose(left @ right, torch.tensor([[0.0, 0.0], [-8.0, 6.0]], dtype=torch.float64), atol=1e-14)
    assert error == pytest.approx((25 / 125) ** 0.5, abs=1e-15)
    assert left.norm().item() == pytest.approx(right.norm().item(), rel=1e-14)  # both carry the root of 10


@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_errors_equal_scipys(rows, columns, draw):
    rank, matrix = draw.draw(st.integers(1, min(rows, columns))), normal(rows, columns, seed=rows * 10 + columns)
    u, s, vh = scipy.linalg.svd(matrix.numpy(), full_matrices=False)
    theirs = np.linalg.norm(matrix.numpy() - u[:, :rank] * s[:rank] @ vh[:rank]) / np.linalg.norm(matrix.numpy())
    left, right, predicted = truncated_svd(matrix, rank)
    # LAPACK's singular values and rebuilt matrices are right to about n roundings of the largest; n = 8, and ten times
    tolerance = 80 * EPS
    assert predicted == pytest.approx(theirs, abs=tolerance)
    assert relative_error(matrix, left @ right) <= theirs + tolerance
    assert rank_errors(matrix)[rank].item() == pytest.approx(theirs, abs=tolerance)


def test_no_other_pair_of_that_rank_is_closer():
    # Eckart and Young, tried on pairs that are good: least squares against random directions, and nudges of the best
    matrix = normal(6, 5)
    best = truncated_svd(matrix, 2)
    for seed in range(50):
        left = best[0] + 0.1 * normal(6, 2, seed=seed) if seed % 2 else normal(6, 2, seed=seed)
        assert relative_error(matrix, left @ torch.linalg.lstsq(left, matrix).solution) >= best[2] - 80 * EPS


def test_errors_of_all_ranks():
    assert rank_errors(torch.zeros(2, 3)).tolist() == [0, 0, 0]
    errors = rank_errors(normal(7, 4))
    assert errors[0] == 1 and errors[-1] == 0 and (errors.diff() < 0).all()
    # digits of the last errors: a matrix whose smallest value is 1e-12 of the largest
    tiny = torch.diag(torch.tensor([1.0, 1e-12], dtype=torch.float64))
    assert rank_errors(tiny)[1].item() == pytest.approx(1e-12, abs=0)


# --- the layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
def test_full_rank_is_exact_for_a_linear_layer(dtype, bias):
    layer = make_linear(5, 7, dtype=dtype)
    if not bias:
        layer.bias = None
    found = svd_linear(layer, 5)
    assert_same_function(found, normal(2, 3, 7, seed=3, dtype=dtype))
    assert found.predicted_error == 0 and found.ranks == (5,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", [channel_svd, spatial_svd])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_full_rank_is_exact_for_a_convolution(method, geometry, dtype):
    conv = make_conv(geometry, dtype)
    found = method(conv, full_rank(conv, method))
    assert_same_function(found, normal(2, conv.in_channels, 9, 11, seed=3, dtype=dtype))
    assert found.predicted_error == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", [channel_svd, spatial_svd])
@pytest.mark.parametrize("geometry", ["plain", "two axes, two ways", "same, even kernel", "reflect"])
def test_the_error_is_known_beforehand(method, geometry, dtype):
    conv = make_conv(geometry, dtype)
    for rank in range(1, full_rank(conv, method) + 1):
        found = method(conv, rank)
        # the discarded singular values here, the rebuilt weight there
        assert found.measured_error == pytest.approx(found.predicted_error, abs=storage_tolerance(found))
        assert_the_layer_has_the_weight(found)


def assert_the_layer_has_the_weight(found: Factorized) -> None:
    """At any rank the factors are one convolution, with the weight that `rebuild` says they have."""
    one = copy.deepcopy(found.dense)
    one.weight.data = rebuild(found.layer).to(one.weight.dtype)
    x = normal(1, one.in_channels, 8, 9, seed=5, dtype=one.weight.dtype)
    # storing the rebuilt weight is one rounding more; the bound has room for twice as many as the factors make
    assert_same_function(Factorized(found.layer, one, found.ranks, 0.0), x)


def test_rebuilding_by_algebra():
    found = spatial_svd(make_conv(dtype=torch.float64), 2)
    down, across = found.layer
    expected = torch.einsum("rch,nrw->nchw", down.weight[..., 0], across.weight[:, :, 0])
    assert torch.allclose(rebuild(found.layer), expected, rtol=0, atol=1e-14)  # sums of 2 products below 3
    found = channel_svd(make_conv(dtype=torch.float64), 2)
    expected = torch.einsum("rchw,nr->nchw", found.layer[0].weight, found.layer[1].weight[..., 0, 0])
    assert torch.allclose(rebuild(found.layer), expected, rtol=0, atol=1e-14)
    found = svd_linear(make_linear(4, 3, dtype=torch.float64), 2)
    assert torch.allclose(rebuild(found.layer), found.layer[1].weight @ found.layer[0].weight, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rank", [4, 16])
def test_a_trained_layer_against_scipy(rank):
    conv = zoo.load("small_cnn").conv2
    for method, rows in ((channel_svd, (0, 1, 2, 3)), (spatial_svd, (1, 2, 0, 3))):
        found = method(conv, rank)
        matrix = conv.weight.detach().double().permute(rows).numpy()
        matrix = matrix.reshape(found.dense.out_channels if method is channel_svd else 16 * 3, -1)
        s = scipy.linalg.svdvals(matrix)
        theirs = np.sqrt((s[rank:] ** 2).sum() / (s**2).sum())
        # singular values to n roundings of the largest, n = 288
        assert found.predicted_error == pytest.approx(theirs, abs=288 * EPS)
        assert found.measured_error == pytest.approx(theirs, abs=storage_tolerance(found) + 288 * EPS)


def test_the_layer_is_left_alone_and_its_state_is_kept():
    conv = make_conv().eval()
    conv.weight.requires_grad_(False)
    before = copy.deepcopy(conv.state_dict())
    found = channel_svd(conv, 2)
    found.layer[1].bias.data.fill_(0)
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())
    assert not any(module.training for module in found.layer.modules())
    assert [parameter.requires_grad for parameter in found.layer.parameters()] == [False, False, True]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_factors_have_the_type_of_the_layer(dtype):
    found = svd_linear(make_linear(4, 4, dtype=dtype), 4)
    assert {parameter.dtype for parameter in found.layer.parameters()} == {dtype}
    assert 0 < found.measured_error <= storage_tolerance(found)


def test_the_factors_can_be_trained():
    found = spatial_svd(make_conv("stride and padding"), 3)
    found.layer(normal(1, 3, 6, 6, dtype=torch.float32)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in found.layer.parameters())


def test_a_layer_of_zeros_loses_nothing():
    layer = nn.Linear(3, 4)
    layer.weight.data.zero_()
    found = svd_linear(layer, 2)
    assert found.predicted_error == found.measured_error == 0


# --- what it costs -------------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_a_linear_layer_pays_exactly_below_the_bound(outputs, inputs, draw):
    rank = draw.draw(st.integers(1, min(outputs, inputs)))
    found = svd_linear(make_linear(outputs, inputs), rank)
    assert found.parameters == svd_linear_weights(outputs, inputs, rank) + outputs
    assert found.saves == (rank < svd_linear_bound(outputs, inputs))
    assert (found.macs() < found.dense_macs()) == found.saves


def test_the_bound_by_hand():
    # 6 x 3 weights: 18; rank 2 makes 2 * 9 = 18, as many; rank 1 makes 9
    assert svd_linear_bound(6, 3) == 2
    assert not svd_linear(make_linear(6, 3), 2).saves and svd_linear(make_linear(6, 3), 1).saves
    assert "costs more" not in str(svd_linear(make_linear(6, 3), 1))
    assert str(svd_linear(make_linear(6, 3), 2)).endswith("parameters 24 -> 24: costs more than it saves")


@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 4), st.integers(2, 4), st.data())
def test_a_convolution_pays_exactly_below_the_bound(outputs, inputs, height, width, draw):
    conv = nn.Conv2d(inputs, outputs, (height, width), padding="same")
    shape = tuple(conv.weight.shape)
    for method, weights, bound in (
        (channel_svd, channel_svd_weights, channel_svd_bound),
        (spatial_svd, spatial_svd_weights, spatial_svd_bound),
    ):
        rank = draw.draw(st.integers(1, full_rank(conv, method)))
        found = method(conv, rank)
        assert found.parameters == weights(shape, rank) + outputs
        assert found.saves == (rank < bound(shape))
        assert found.macs((5, 6)) == 5 * 6 * weights(shape, rank)  # all of it at every place


@pytest.mark.parametrize("method", [channel_svd, spatial_svd])
@pytest.mark.parametrize("geometry", ["plain", "stride and padding", "two axes, two ways"])
def test_macs_equal_fvcores(method, geometry):
    found = method(make_conv(geometry), 2)
    x = torch.zeros(1, found.dense.in_channels, 9, 11)
    counts = [FlopCountAnalysis(layer, x).unsupported_ops_warnings(False) for layer in (found.layer, found.dense)]
    assert [found.macs((9, 11)), found.dense_macs((9, 11))] == [count.total() for count in counts]


def test_a_stride_makes_the_first_of_two_factors_dearer():
    # 8 x 8 places in, 4 x 4 out. K x 1 strides along the height: 4 x 8 places of 4 * 3 * 2, then 4 x 4 of 2 * 3 * 4
    found = spatial_svd(nn.Conv2d(4, 4, 3, stride=2, padding=1), 2)
    assert found.macs((8, 8)) == 32 * 24 + 16 * 24
    assert found.dense_macs((8, 8)) == 16 * 4 * 4 * 9


# --- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [channel_svd, spatial_svd])
@pytest.mark.parametrize(("layer", "error", "message"), WRONG_LAYERS, ids=lambda value: type(value).__name__)
def test_layers_that_cannot_be_factorized(method, layer, error, message):
    with pytest.raises(error, match=message):
        method(layer, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: svd_linear(nn.Linear(128, 64), 0), ValueError, "from 1 to 64, got 0; 64 is exact for a 64 x 128 w"),
        (lambda: svd_linear(nn.Linear(128, 64), 65), ValueError, "from 1 to 64, got 65"),
        (lambda: svd_linear(nn.Conv2d(1, 1, 1), 1), TypeError, "cannot factorize Conv2d as a linear layer; pass an nn"),
        (lambda: channel_svd(nn.Conv2d(2, 32, 3), 19), ValueError, "to 18, got 19; 18 is exact for a 32 x 18 weight"),
        (lambda: spatial_svd(nn.Conv2d(2, 32, 3), 7), ValueError, "from 1 to 6, got 7; 6 is exact for a 6 x 96 weight"),
        (lambda: spatial_svd(nn.Conv2d(2, 2, 1), 1), ValueError, "take a 1 x 1 kernel apart .* use channel_svd"),
        (lambda: spatial_svd(nn.Conv2d(2, 2, (3, 1)), 1), ValueError, "take a 3 x 1 kernel apart"),
        (lambda: channel_svd(make_conv(), 2).macs(), ValueError, "depend on the image; pass its size"),
        (lambda: rebuild(nn.ReLU()), TypeError, "cannot rebuild a weight from ReLU"),
        (lambda: Factorized(nn.ReLU(), None, (1,), 0.0), TypeError, "dense must be of type Module, got None"),
        (lambda: Factorized(nn.ReLU(), nn.ReLU(), (1,), float("nan")), ValueError, "predicted_error must be a finite"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_weight_that_is_not_finite():
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = float("inf")
    with pytest.raises(ValueError, match="infinite or not a number"):
        svd_linear(layer, 1)
