"""CP by alternating least squares: planted components found, tensorly's steps met, and the layers it makes."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from low_rank_support import GEOMETRIES, WRONG_LAYERS, assert_same_function, make_conv, normal, storage_tolerance
from tensorly.cp_tensor import CPTensor, cp_to_tensor
from tensorly.decomposition import parafac
from torch import nn

from mini_lib import zoo
from mini_lib.factorize.low_rank import cp, cp_als, cp_bound, cp_weights, full_cp_rank, rebuild, relative_error
from mini_lib.factorize.low_rank.canonical import alternate, khatri_rao, random_start, svd_start

EPS = 2.0**-53


def planted(shape: tuple[int, ...], rank: int, seed: int = 0, noise: float = 0.0) -> tuple[torch.Tensor, list]:
    """A sum of `rank` outer products of normal columns, noise of this relative size, and the columns."""
    factors = random_start(torch.empty(shape), rank, seed + 500)  # not the seed of any start: that would give it away
    exact = (factors[0] @ khatri_rao(factors[1:]).T).reshape(shape)
    disturbance = normal(*shape, seed=seed + 1000)
    return exact + noise * exact.norm() / disturbance.norm() * disturbance, factors


def theirs(tensor: torch.Tensor, rank: int, **settings) -> float:
    """The error that tensorly's parafac leaves, measured on what it rebuilds."""
    return relative_error(tensor, torch.from_numpy(cp_to_tensor(parafac(tensor.numpy(), rank, **settings))))


def worst_condition(factors) -> float:
    """The condition of the worst of the normal equations from which these factors came."""
    modes = range(len(factors))
    held = [[factor for other, factor in enumerate(factors) if other != place] for place in modes]
    return max(torch.linalg.cond(khatri_rao(some)).item() ** 2 for some in held)


def as_theirs(start: list[torch.Tensor]) -> CPTensor:
    return CPTensor((np.ones(start[0].shape[1]), [factor.numpy().copy() for factor in start]))


# --- the decomposition ---------------------------------------------------------------------------------------------


def test_one_component_by_hand():
    # (3, 4) x (1, 0) x (0, 2): one component of weight 5 * 1 * 2
    tensor = torch.zeros(2, 2, 2)
    tensor[:, 0, 1] = torch.tensor([6.0, 8.0])
    found = cp_als(tensor, 1)
    assert found.weights.item() == pytest.approx(10, rel=1e-14)
    assert found.factors[0].abs().flatten().tolist() == pytest.approx([0.6, 0.8], rel=1e-14)
    assert found.error <= 10 * EPS and found.cancellation == pytest.approx(1, rel=1e-14)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(1, 3))
def test_khatri_rao_equals_scipys(sizes, rank):
    factors = [normal(size, rank, seed=size) for size in sizes]
    expected = factors[0].numpy()
    for factor in factors[1:]:
        expected = scipy.linalg.khatri_rao(expected, factor.numpy())
    np.testing.assert_array_equal(khatri_rao(factors).numpy(), expected)


@pytest.mark.parametrize("seed", range(5))
def test_planted_components_are_found_up_to_order_and_sign(seed):
    # three columns in general position in each of three modes: no other three components make this tensor
    # (J. Kruskal, "Three-way arrays", 1977: ranks 3 + 3 + 3 >= 2 * 3 + 2)
    tensor, factors = planted((6, 5, 4), 3, seed)
    found = cp_als(tensor, 3, sweeps=2000, tolerance=0.0)
    assert found.error < 1e-12  # it falls by a share with each sweep, until rounding takes over
    for factor, original in zip(found.factors, factors, strict=True):
        alike = (factor.T @ original).abs()
        assert sorted(alike.argmax(dim=1).tolist()) == [0, 1, 2]
        assert alike.max(dim=1).values.min() > 1 - 1e-6


@pytest.mark.parametrize("sweeps", [1, 2, 10])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("shape", "rank"), [((6, 5, 4), 3), ((8, 6, 3, 3), 5), ((4, 7), 2)])
def test_from_the_same_start_it_is_where_tensorly_is(shape, rank, seed, sweeps):
    """Same least squares in the same order: the same factors, up to roundings times how ill-posed the problems are.

    The normal equations multiply a rounding by the condition of their matrix, which stays below 1e6 in these; 10 sweeps
    of 4 of them make 40 * 1e6 * 2^-53 < 1e-8.
    """
    tensor, start = normal(*shape, seed=seed), random_start(torch.empty(shape), rank, seed)
    expected = theirs(tensor, rank, init=as_theirs(start), n_iter_max=sweeps, tol=0)
    ours = alternate(tensor, start, sweeps, tolerance=0.0)
    assert worst_condition(ours.factors) < 1e6
    assert ours.error == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("shape", "rank"), [((10, 8, 3, 3), 4), ((12, 6, 5), 3)])
@pytest.mark.parametrize("seed", range(3))
def test_best_of_five_starts_is_no_worse_than_tensorlys(shape, rank, seed):
    # Components under noise: the best fit is far below any other, so both find it. Ours goes on until a sweep gains no
    # more than rounding, so it lies where theirs can only come from above; errors are right to n roundings, n = 720.
    tensor, _ = planted(shape, rank, seed, noise=0.3)
    ours = cp_als(tensor, rank, starts=5, sweeps=500, tolerance=0.0)
    others = [theirs(tensor, rank, init="svd", n_iter_max=500, random_state=0)]
    others += [theirs(tensor, rank, init="random", random_state=k, n_iter_max=500) for k in range(1, 5)]
    assert ours.error <= min(others) + 10 * 720 * EPS


@pytest.mark.parametrize("rank", [4, 12])
def test_a_trained_convolution_against_tensorly(rank):
    # The weight of a trained layer has no few components in it: five starts end in five places, none of them ours
    # alone. So both get the same five, and as many sweeps.
    weight = zoo.load("small_cnn").conv2.weight.detach().double()
    starts = [svd_start(weight, rank), *(random_start(weight, rank, seed) for seed in range(1, 5))]
    ours = cp_als(weight, rank, starts=5, sweeps=30, tolerance=0.0)
    best = min(theirs(weight, rank, init=as_theirs(start), n_iter_max=30, tol=0) for start in starts)
    assert ours.error <= best + 1e-8  # the derivation is that of the test of the same start


@given(st.lists(st.integers(2, 4), min_size=3, max_size=4), st.integers(1, 3), st.integers(0, 999))
@settings(max_examples=50)
def test_no_sweep_makes_it_worse(shape, rank, seed):
    tensor = normal(*shape, seed=seed)
    found = alternate(tensor, random_start(tensor, rank, seed), sweeps=1, tolerance=0.0)
    for _ in range(5):
        assert found.error == pytest.approx(relative_error(tensor, found.rebuild()), abs=EPS)
        for factor in found.factors:
            assert (factor.norm(dim=0) - 1).abs().max() < 10 * EPS
        following = alternate(tensor, found.factors, sweeps=1, tolerance=0.0)
        # each of the 4 least squares is best up to roundings times the condition of its normal equations
        assume(worst_condition(following.factors) < 1e6)
        assert following.error <= found.error + 4 * 1e6 * EPS
        found = following


def test_it_returns_the_best_sweep_and_stops_as_told():
    tensor = normal(5, 4, 3)
    start = random_start(tensor, 3, seed=0)
    errors = [alternate(tensor, start, sweeps, tolerance=0.0).error for sweeps in range(1, 30)]
    assert errors == sorted(errors, reverse=True)
    stopped = alternate(tensor, start, 30, tolerance=1e-3)
    assert (
        errors[stopped.sweeps - 2] - errors[stopped.sweeps - 1]
        <= 1e-3
        < errors[stopped.sweeps - 3] - errors[stopped.sweeps - 2]
    )


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple))
def test_full_rank_is_exact_without_a_search(shape):
    tensor = normal(*shape)
    found = cp_als(tensor, full_cp_rank(shape))
    # each entry is a weight times a share of it: two roundings
    assert found.error == 0 and relative_error(tensor, found.rebuild()) <= 3 * EPS
    assert found.cancellation <= len(found.weights) ** 0.5 + 1e-9  # at right angles to each other: nothing cancels


def test_two_components_that_run_away_from_each_other():
    # a.a.b + a.b.a + b.a.a is no sum of two products, but as near to one as one likes (de Silva and Lim 2008, 4.3):
    # n (a + b/n)^3 - n a^3, two components of size n that all but cancel
    tensor = torch.zeros(2, 2, 2)
    tensor[0, 0, 1] = tensor[0, 1, 0] = tensor[1, 0, 0] = 1
    start = random_start(tensor, 2, seed=0)
    runs = [alternate(tensor, start, sweeps, tolerance=0.0) for sweeps in (10, 100, 1000)]
    errors, sizes = zip(*((run.error, run.cancellation) for run in runs), strict=True)
    assert errors[0] > errors[1] > errors[2] > 0
    assert 1 < sizes[0] < sizes[1] < sizes[2]
    assert cp_als(tensor, 3, tolerance=0.0, sweeps=2000).error < errors[2]


def test_the_same_seed_gives_the_same_and_torchs_own_generator_is_left_alone():
    tensor, state = normal(5, 4, 3), torch.get_rng_state()
    one, two, three = (cp_als(tensor, 2, starts=2, seed=seed, sweeps=3) for seed in (7, 7, 8))
    assert torch.equal(one.weights, two.weights) and torch.equal(state, torch.get_rng_state())
    assert not torch.equal(random_start(tensor, 2, 7)[0], random_start(tensor, 2, 8)[0])
    assert three.error <= 1


def test_more_starts_can_only_help():
    tensor = normal(6, 5, 4)
    errors = [cp_als(tensor, 3, starts=starts).error for starts in (1, 3, 6)]
    assert errors[0] >= errors[1] >= errors[2]


def test_the_start_from_singular_vectors_fills_up_small_modes():
    first, second = svd_start(normal(5, 2), 4)
    assert first.shape == (5, 4) and second.shape == (2, 4)
    assert torch.allclose(second.norm(dim=0), torch.ones(4, dtype=torch.float64), atol=1e-14)


def test_a_tensor_of_zeros():
    found = cp_als(torch.zeros(3, 3, 3), 2)
    assert found.error == 0 and found.cancellation == 1 and not found.rebuild().any()


# --- the layer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_full_rank_is_exact(geometry, dtype):
    conv = make_conv(geometry, dtype)
    found = cp(conv, full_cp_rank(conv.weight.shape))
    assert_same_function(found, normal(2, conv.in_channels, 9, 11, seed=3, dtype=dtype))
    assert found.predicted_error == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_error_is_known_beforehand(rank, dtype):
    found = cp(make_conv("two axes, two ways", dtype), rank, sweeps=50)
    assert found.ranks == (rank,)
    assert found.measured_error == pytest.approx(found.predicted_error, abs=storage_tolerance(found))


def test_rebuilding_by_algebra():
    found = cp(make_conv(dtype=torch.float64), 3, sweeps=20)
    inputs, down, across, outputs = (layer.weight for layer in found.layer)
    expected = torch.einsum(
        "rc,rh,rw,nr->nchw", inputs[..., 0, 0], down[:, 0, :, 0], across[:, 0, 0], outputs[..., 0, 0]
    )
    assert torch.allclose(rebuild(found.layer), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_chain_is_the_convolution_it_stands_for_at_any_rank(geometry):
    conv = make_conv(geometry, torch.float64)
    found, one = cp(conv, 3, sweeps=20), copy.deepcopy(conv)
    one.weight.data = rebuild(found.layer)
    assert_same_function(type(found)(found.layer, one, found.ranks, 0.0), normal(1, conv.in_channels, 8, 9, seed=4))


def test_the_layer_is_left_alone():
    conv = make_conv().eval()
    before = copy.deepcopy(conv.state_dict())
    found = cp(conv, 2, sweeps=5)
    found.layer[3].bias.data.fill_(0)
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())
    assert not any(module.training for module in found.layer.modules())


@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 4), st.integers(2, 4), st.data())
@settings(max_examples=25)
def test_it_pays_exactly_below_the_bound(outputs, inputs, height, width, draw):
    conv = nn.Conv2d(inputs, outputs, (height, width), padding="same")
    shape = tuple(conv.weight.shape)
    rank = draw.draw(st.integers(1, full_cp_rank(shape)))
    found = cp(conv, rank, starts=1, sweeps=1)
    assert found.parameters == cp_weights(shape, rank) + outputs
    assert found.saves == (rank < cp_bound(shape))
    assert found.macs((5, 5)) == 25 * cp_weights(shape, rank)


def test_costs_by_hand():
    # 8 -> 16 channels, 3 x 3, stride 2 on 8 x 8: 64 places for the first, 4 x 8 once the height is halved, then 16
    found = cp(nn.Conv2d(8, 16, 3, stride=2, padding=1), 5, sweeps=1)
    assert found.macs((8, 8)) == 5 * (64 * 8 + 32 * 3 + 16 * 3 + 16 * 16)
    assert cp_bound((16, 8, 3, 3)) == Fraction(1152, 30)


# --- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "error", "message"), WRONG_LAYERS, ids=lambda value: type(value).__name__)
def test_layers_that_cannot_be_factorized(layer, error, message):
    with pytest.raises(error, match=message):
        cp(layer, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cp(nn.Conv2d(8, 16, 3), 0), "rank must be a whole number from 1 to 72, got 0; 72 is exact for a 16"),
        (lambda: cp(nn.Conv2d(8, 16, 3), 73), "got 73"),
        (lambda: cp(nn.Conv2d(8, 16, 1), 1), "take a 1 x 1 kernel apart .* use channel_svd"),
        (lambda: cp_als(torch.zeros(3), 1), "at least 2 modes, got 1"),
        (lambda: cp_als(torch.zeros(3, 3), 1, starts=0), "starts must be a whole number of 1 or more, got 0"),
        (lambda: cp_als(torch.zeros(3, 3), 1, sweeps=0), "sweeps must be a whole number of 1 or more, got 0"),
        (lambda: cp_als(torch.zeros(3, 3), 1, tolerance=-1.0), "tolerance must be a finite number of 0 or more"),
        (lambda: cp_als(torch.full((3, 3), torch.inf), 1), "infinite or not a number"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
