"""Tucker: by hand, against numpy and tensorly, HOOI never worse than HOSVD, and the layers that Tucker-2 makes."""

import copy
import itertools

import numpy as np
import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from low_rank_support import GEOMETRIES, WRONG_LAYERS, assert_same_function, make_conv, normal, storage_tolerance
from tensorly.decomposition import partial_tucker
from torch import nn

from mini_lib import zoo
from mini_lib.factorize.low_rank import (
    channel_svd_weights,
    hooi,
    hosvd,
    rank_errors,
    rebuild,
    relative_error,
    tucker2,
    tucker2_bound,
    tucker2_weights,
    unfold,
)

EPS = 2.0**-53

# LAPACK finds singular vectors that are exact for a matrix off by a few n roundings, n at most 300 here, and the error
# that they leave is that much off at most twice: for the matrix, and for what is measured. Ten times that.
TOLERANCE = 10 * 300 * EPS


@st.composite
def tensors_and_ranks(draw):
    """A small tensor of 2 to 4 modes, ranks for some of its modes, and sometimes entries that are equal or zero."""
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    tensor = normal(*shape, seed=draw(st.integers(0, 1000)))
    tensor = draw(st.sampled_from([tensor, tensor.round(), tensor.relu()]))
    modes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape), unique=True))
    return tensor, {mode: draw(st.integers(1, min(unfold(tensor, mode).shape))) for mode in modes}


def theirs(tensor: torch.Tensor, ranks: dict[int, int], **settings) -> float:
    """The error that tensorly's partial_tucker leaves, measured on what it rebuilds."""
    modes = list(ranks)
    (core, factors), _ = partial_tucker(tensor.numpy(), list(ranks.values()), modes, **{"random_state": 0, **settings})
    return relative_error(tensor, torch.from_numpy(tensorly.tenalg.multi_mode_dot(core, factors, modes)))


# --- the decompositions --------------------------------------------------------------------------------------------


def test_a_diagonal_tensor_by_hand():
    # entries 2 and 1 on the diagonal of 2 x 2 x 2: rank 1 keeps the 2, and loses 1 of sqrt(5)
    tensor = torch.zeros(2, 2, 2)
    tensor[0, 0, 0], tensor[1, 1, 1] = 2, 1
    for method in (hosvd, hooi):
        found = method(tensor, {0: 1, 1: 1, 2: 1})
        assert found.core.abs().item() == pytest.approx(2, rel=1e-15)
        assert found.error == pytest.approx(5**-0.5, rel=1e-15)


@pytest.mark.parametrize("ranks", [{0: 2, 1: 3}, {1: 2}, {2: 1, 0: 4}])
def test_hosvd_equals_numpys_singular_vectors(ranks):
    tensor = normal(4, 5, 3)
    projected = tensor.numpy()
    for mode, rank in ranks.items():
        u = np.linalg.svd(np.moveaxis(tensor.numpy(), mode, 0).reshape(tensor.shape[mode], -1))[0][:, :rank]
        projected = np.moveaxis(np.tensordot(u @ u.T, projected, (1, mode)), 0, mode)
    # the sign of a singular vector is free, so compare what is rebuilt
    assert torch.allclose(hosvd(tensor, ranks).rebuild(), torch.from_numpy(projected), rtol=0, atol=TOLERANCE * 10)


@given(tensors_and_ranks())
def test_hooi_is_never_worse_than_hosvd(case):
    tensor, ranks = case
    start, better = hosvd(tensor, ranks), hooi(tensor, ranks)
    assert better.error <= start.error + TOLERANCE
    for found in (start, better):
        assert found.error == pytest.approx(relative_error(tensor, found.rebuild()), abs=EPS)
        for mode, factor in found.factors.items():
            assert factor.shape == (tensor.shape[mode], ranks[mode])
            assert (factor.T @ factor - torch.eye(ranks[mode])).abs().max() <= TOLERANCE
        # Pythagoras: what is kept is the core. |T|^2 is 1 here, and the squares are off by a few n roundings
        whole = tensor.square().sum().item()
        assert found.core.square().sum().item() == pytest.approx(whole * (1 - found.error**2), abs=whole * TOLERANCE)


@given(tensors_and_ranks())
def test_hosvds_error_lies_between_its_bounds(case):
    tensor, ranks = case
    alone = torch.stack([rank_errors(unfold(tensor, mode))[rank] for mode, rank in ranks.items()])
    error = hosvd(tensor, ranks).error
    assert alone.max() - TOLERANCE <= error <= alone.norm() + TOLERANCE
    # and no Tucker decomposition at all is below the error of cutting one mode alone
    assert hooi(tensor, ranks).error >= alone.max() - TOLERANCE


@given(tensors_and_ranks(), st.integers(1, 6))
def test_each_sweep_of_hooi_can_only_help(case, sweeps):
    tensor, ranks = case
    fewer, more = (hooi(tensor, ranks, sweeps=count, tolerance=0.0).error for count in (sweeps, sweeps + 1))
    assert more <= fewer + TOLERANCE


@pytest.mark.parametrize("sweeps", [1, 3, 20])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ranks", [{0: 2, 1: 2, 2: 2}, {0: 3, 1: 2}, {1: 1, 3: 2}])
def test_no_worse_than_tensorly_after_as_many_sweeps(ranks, seed, sweeps):
    """Both start from the same HOSVD and go round the modes in the same order, so they should be at the same place.

    A step turns by roundings over the gap between the singular values at the cut. That is above 1e-4 of the largest in
    these, where 60 steps make 60 * TOLERANCE / 1e-4 at the very most.
    """
    tensor = normal(5, 4, 6, 3, seed=seed)
    gap = min((values[rank - 1] - values[rank]) / values[0] for values, rank in _at_the_cut(tensor, ranks))
    assert gap > 1e-4
    ours = hooi(tensor, ranks, sweeps=sweeps, tolerance=0.0)
    assert ours.error <= theirs(tensor, ranks, n_iter_max=sweeps, tol=0) + 60 * TOLERANCE / 1e-4


def _at_the_cut(tensor, ranks):
    return [(torch.linalg.svdvals(unfold(tensor, mode)), rank) for mode, rank in ranks.items()]


@pytest.mark.parametrize("ranks", [(8, 4), (16, 8), (24, 12)])
def test_a_trained_convolution_against_tensorly(ranks):
    conv = zoo.load("small_cnn").conv2
    modes = {0: ranks[0], 1: ranks[1]}
    found = tucker2(conv, rank_in=ranks[1], rank_out=ranks[0])
    weight = conv.weight.detach().double()
    # with tensorly's own stop, which is looser than ours
    assert found.predicted_error <= theirs(weight, modes) + TOLERANCE
    # gone round until rounding stops it, ours is as good as the best of ten of its random starts
    to_the_end = hooi(weight, modes, sweeps=1000, tolerance=0.0).error
    assert to_the_end <= min(from_random(weight, modes, seed) for seed in range(10)) + TOLERANCE
    assert found.predicted_error < tucker2(conv, ranks[1], ranks[0], "hosvd").predicted_error


def from_random(weight: torch.Tensor, ranks: dict[int, int], seed: int) -> float:
    return theirs(weight, ranks, init="random", random_state=seed, n_iter_max=50, tol=1e-8)


def test_a_planted_core_is_found_exactly():
    tensor = torch.einsum(
        "abc,ia,jb,kc->ijk", normal(2, 3, 2), normal(6, 2, seed=1), normal(5, 3, seed=2), normal(7, 2, seed=3)
    )
    assert hosvd(tensor, {0: 2, 1: 3, 2: 2}).error <= TOLERANCE
    assert hosvd(tensor, {0: 2, 1: 2, 2: 2}).error > 0.01


# --- the layer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["hosvd", "hooi"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_full_rank_is_exact(geometry, method, dtype):
    conv = make_conv(geometry, dtype)
    found = tucker2(conv, conv.in_channels, conv.out_channels, method)
    assert_same_function(found, normal(2, conv.in_channels, 9, 11, seed=3, dtype=dtype))
    assert found.predicted_error <= TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["hosvd", "hooi"])
def test_the_error_is_known_beforehand(method, dtype):
    conv = make_conv("two axes, two ways", dtype)
    for rank_in, rank_out in itertools.product(range(1, 5), range(1, 6)):
        found = tucker2(conv, rank_in, rank_out, method)
        assert found.ranks == (rank_in, rank_out)
        assert found.measured_error == pytest.approx(found.predicted_error, abs=storage_tolerance(found))


def test_rebuilding_by_algebra():
    found = tucker2(make_conv(dtype=torch.float64), 2, 3)
    inputs, core, outputs = (layer.weight for layer in found.layer)
    expected = torch.einsum("sc,tshw,nt->nchw", inputs[..., 0, 0], core, outputs[..., 0, 0])
    assert torch.allclose(rebuild(found.layer), expected, rtol=0, atol=1e-13)  # sums of 6 products below 10


def test_more_inputs_than_the_core_can_use():
    # 1 output of 3 x 1 places cannot tell more than 3 mixtures of inputs apart; asking for 4 is no error, only waste
    conv = nn.Conv2d(6, 4, (3, 1))
    found = tucker2(conv, rank_in=4, rank_out=1)
    assert found.layer[0].weight.shape == (4, 6, 1, 1)
    assert found.predicted_error == pytest.approx(tucker2(conv, 3, 1).predicted_error, abs=1e-6)  # HOOI's stop


def test_the_layer_is_left_alone():
    conv = make_conv().eval()
    before = copy.deepcopy(conv.state_dict())
    found = tucker2(conv, 2, 2)
    found.layer[2].bias.data.fill_(0)
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())
    assert not any(module.training for module in found.layer.modules())


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.data())
@settings(max_examples=40)
def test_it_pays_exactly_below_the_bound(outputs, inputs, kernel, draw):
    conv = nn.Conv2d(inputs, outputs, kernel, padding="same")
    shape = tuple(conv.weight.shape)
    rank_in = draw.draw(st.integers(1, min(inputs, outputs * kernel**2)))
    rank_out = draw.draw(st.integers(1, min(outputs, inputs * kernel**2)))
    found = tucker2(conv, rank_in, rank_out, "hosvd")
    assert found.parameters == tucker2_weights(shape, rank_in, rank_out) + outputs
    assert found.saves == (rank_out < tucker2_bound(shape, rank_in))
    assert found.macs((4, 5)) == 20 * tucker2_weights(shape, rank_in, rank_out)


def test_costs_by_hand():
    # 8 -> 16 channels, 3 x 3: all inputs kept costs the 8 x 8 of a useless first layer more than channel_svd
    assert tucker2_weights((16, 8, 3, 3), 8, 6) == channel_svd_weights((16, 8, 3, 3), 6) + 64
    # stride 2 on 8 x 8: the first layer runs at all 64 places, the others at 16
    found = tucker2(nn.Conv2d(8, 16, 3, stride=2, padding=1), 4, 6)
    assert found.macs((8, 8)) == 64 * 8 * 4 + 16 * (4 * 6 * 9 + 6 * 16)
    assert "costs more than it saves" in str(tucker2(nn.Conv2d(8, 16, 3), 8, 16))


# --- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "error", "message"), WRONG_LAYERS, ids=lambda value: type(value).__name__)
def test_layers_that_cannot_be_factorized(layer, error, message):
    with pytest.raises(error, match=message):
        tucker2(layer, 1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: tucker2(nn.Conv2d(8, 16, 3), 0, 4),
            "rank of mode 1 must be a whole number from 1 to 8, got 0; 8 is exact for mode 1 of a 16 x 8 x",
        ),
        (
            lambda: tucker2(nn.Conv2d(8, 16, 3), 9, 4),
            "rank of mode 1 must be a whole number from 1 to 8, got 9; 8 is exact",
        ),
        (lambda: tucker2(nn.Conv2d(8, 16, 3), 8, 17), "rank of mode 0 must be a whole number from 1 to 16, got 17"),
        (lambda: tucker2(nn.Conv2d(8, 16, 3), 1, 1, "als"), "method must be 'hosvd' or 'hooi', got 'als'"),
        (lambda: hosvd(torch.zeros(2, 2), {}), "ranks names no mode"),
        (lambda: hosvd(torch.zeros(2, 2), {2: 1}), "mode must be between 0 and 1"),
        (lambda: hooi(torch.zeros(2, 2), {0: 1}, sweeps=0), "sweeps must be a whole number of 1 or more, got 0"),
        (
            lambda: hooi(torch.zeros(2, 2), {0: 1}, tolerance=-1.0),
            "tolerance must be a finite number of 0 or more, got -1.0",
        ),
        (lambda: hooi(torch.full((2, 2), torch.nan), {0: 1}), "infinite or not a number"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
