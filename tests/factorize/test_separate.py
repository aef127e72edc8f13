"""A convolution as a depthwise-separable layer: exact where ranks allow, the best where not, the error known before."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import costs, zoo
from mini_lib.factorize import layers
from mini_lib.factorize.separable import as_convolution, separable_errors, separable_table, separate, slice_ranks

EPS = 2**-52  # of float64
HALF = 2**-24  # one rounding to float32, relative


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def conv_with(weight: torch.Tensor, groups: int = 1, bias: bool = False, **window: object) -> nn.Conv2d:
    """A convolution with this weight [N, M / groups, K, K], in its float type."""
    outputs, inputs, *kernel = weight.shape
    conv = nn.Conv2d(inputs * groups, outputs, kernel, groups=groups, bias=bias, **window).to(weight.dtype)
    conv.weight.data = weight.clone()
    return conv


def low_rank_kernel(outputs: int, inputs: int, kernel: tuple[int, int], rank: int, seed: int) -> torch.Tensor:
    """A kernel whose slices are sums of `rank` outer products."""
    mixing, spatial = normal(outputs, inputs, rank, seed=seed), normal(inputs, rank, *kernel, seed=seed + 1)
    return torch.einsum("nir,irhw->nihw", mixing, spatial)


def impulse_responses(layer: nn.Module, inputs: int, kernel: tuple[int, int]) -> torch.Tensor:
    """The kernel [N, M, K, K] that a layer has, read off its answers to a single lit pixel: no weight is looked at."""
    height, width = kernel
    x = torch.zeros(inputs, inputs, 2 * height - 1, 2 * width - 1, dtype=torch.float64)
    x[range(inputs), range(inputs), height - 1, width - 1] = 1
    with torch.no_grad():
        return layer(x).transpose(0, 1).flip(2, 3)


# --- the best, against scipy and against search --------------------------------------------------------------------


def scipy_best(weight: np.ndarray, multiplier: int) -> np.ndarray:
    """The kernel of the best layer: slice by slice, with another program's SVD."""
    best = np.empty_like(weight)
    for channel in range(weight.shape[1]):
        left, values, right = scipy.linalg.svd(weight[:, channel].reshape(len(weight), -1), lapack_driver="gesvd")
        cut = left[:, :multiplier] * values[:multiplier] @ right[:multiplier]
        best[:, channel] = cut.reshape(weight[:, channel].shape)
    return best


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 4), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.data())
def test_the_layer_is_scipys_and_its_error_is_known_beforehand(outputs, inputs, kernel, data):
    weight = normal(outputs, inputs, *kernel, seed=data.draw(st.integers(0, 99)))
    multiplier = data.draw(st.integers(1, min(outputs, kernel[0] * kernel[1])))
    conv = conv_with(weight)
    fit = separate(conv, multiplier)
    made = impulse_responses(fit.layer, inputs, kernel)

    # An SVD is backward stable: its factors give W back up to a small multiple (50 is ample for 9 x 7) of eps * |W|.
    # The error itself is compared, which is as exact even where the subspaces are ill-conditioned.
    norm = weight.norm().item()
    theirs = np.linalg.norm(weight.numpy() - scipy_best(weight.numpy(), multiplier)) / norm
    measured = ((weight - made).norm() / norm).item()
    assert abs(fit.relative_error - theirs) <= 50 * EPS
    assert abs(fit.relative_error - measured) <= 50 * EPS
    assert abs(fit.relative_error - separable_errors(conv)[multiplier - 1]) <= 50 * EPS
    # and it loses exactly what it leaves out: the rest is at right angles to it
    assert abs((made * (weight - made)).sum()) <= 200 * EPS * norm**2


@pytest.mark.parametrize("multiplier", [1, 2, 4])
def test_no_change_of_the_weights_comes_below(multiplier):
    weight = normal(6, 3, 3, 3)
    fit = separate(conv_with(weight), multiplier)
    mixing, spatial = fit.layer.pointwise.weight.detach(), fit.layer.depthwise.weight.detach()

    def error(mixing: torch.Tensor, spatial: torch.Tensor) -> float:
        made = torch.einsum("nir,irhw->nihw", mixing.reshape(6, 3, multiplier), spatial.reshape(3, multiplier, 3, 3))
        return ((weight - made).norm() / weight.norm()).item()

    for seed in range(200):
        size = 10.0 ** -(seed % 7)
        other = error(
            mixing + size * normal(*mixing.shape, seed=seed), spatial + size * normal(*spatial.shape, seed=-seed - 1)
        )
        # 162 squares are added, each with a few roundings
        assert other >= fit.relative_error * (1 - 200 * EPS)


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_search_by_gradient_never_comes_below_and_gets_there(multiplier, seed):
    weight = normal(6, 3, 3, 3)
    optimum = separate(conv_with(weight), multiplier).relative_error
    layer = layers.depthwise_separable(3, 6, 3, multiplier=multiplier, padding=0, bias=False).double()
    for number, parameter in enumerate(layer.parameters()):
        parameter.data = normal(*parameter.shape, seed=100 + 10 * seed + number)
    search = torch.optim.LBFGS(
        layer.parameters(), max_iter=300, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        mixing, spatial = (
            layer.pointwise.weight.reshape(6, 3, multiplier),
            layer.depthwise.weight.reshape(3, multiplier, 3, 3),
        )
        return (weight - torch.einsum("nir,irhw->nihw", mixing, spatial)).square().sum() / weight.square().sum()

    def step() -> torch.Tensor:
        search.zero_grad()
        value = loss()
        value.backward()
        return value

    search.step(step)
    found = loss().item() ** 0.5
    assert found >= optimum * (1 - 200 * EPS)
    # All other stationary points are saddles, so the search ends at the optimum; near it the loss is quadratic, and a
    # gradient of 1e-6 leaves far less than a thousandth. This shows that the search was a real opponent.
    assert found <= optimum * 1.001


# --- equality ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)), st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    st.booleans(), st.integers(0, 99), st.data(),
)  # fmt: skip
def test_slices_of_rank_r_are_exact_with_multiplier_r(
    groups, inputs, outputs, kernel, stride, padding, dilation, padding_mode, bias, seed, data
):
    rank = data.draw(st.integers(1, min(outputs, kernel[0] * kernel[1])))
    weight = torch.cat([low_rank_kernel(outputs, inputs, kernel, rank, seed + 2 * g) for g in range(groups)])
    conv = conv_with(weight, groups, bias, stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode)
    x = normal(2, inputs * groups, 8, 9, seed=seed)
    fit = separate(conv, rank)

    assert fit.is_exact and fit.ranks == (rank,) * (inputs * groups)
    # Per output at most 3 * 9 products of weights up to norm |W|; SVD and sums stay within 200 roundings of it each.
    bound = 27 * 200 * EPS * float(weight.norm() * x.abs().max())
    assert (fit.layer(x) - conv(x)).abs().max() <= bound
    assert (as_convolution(fit.layer)(x) - conv(x)).abs().max() <= bound
    for name in ("stride", "padding", "dilation", "padding_mode"):
        assert getattr(as_convolution(fit.layer), name) == getattr(conv, name)


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
@pytest.mark.parametrize("window", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": (0, 3)}], ids=str)
def test_equal_to_five_digits_in_float32(rank, window):
    conv = conv_with(low_rank_kernel(16, 8, (3, 3), rank, seed=rank).float(), bias=True, **window)
    x = normal(4, 8, 14, 14).float()
    expected, got = conv(x), separate(conv, rank).layer(x)
    # 72 products and then 8 * r of them, each rounded at 6e-8: errors add up like a walk of 140 steps, 7e-7
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.booleans())
def test_every_separable_layer_is_a_convolution(groups, inputs, outputs, multiplier, inner_bias, outer_bias):
    depthwise = layers.depthwise(inputs * groups, 3, multiplier=multiplier, stride=2, bias=inner_bias)
    pointwise = layers.grouped(inputs * groups * multiplier, outputs * groups, 1, groups, bias=outer_bias)
    layer = nn.Sequential(depthwise, pointwise).double()
    conv, x = as_convolution(layer), normal(2, inputs * groups, 7, 8)
    assert (conv.bias is not None) == (inner_bias or outer_bias)
    # at most 3 * 3 * 9 products of weights below 1 and inputs below 5
    assert (conv(x) - layer(x)).abs().max() <= 81 * 90 * 5 * EPS
    assert max(slice_ranks(conv)) <= multiplier


def test_nothing_else_changes():
    conv = nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular").to(torch.bfloat16).eval()
    conv.weight.requires_grad_(False)
    before, state = conv.weight.clone(), torch.get_rng_state()
    fit = separate(conv, 2)
    assert torch.equal(conv.weight, before) and torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in fit.layer.modules())
    depthwise, pointwise = fit.layer
    assert depthwise.padding == "same" and depthwise.padding_mode == "circular" and depthwise.bias is None
    assert {depthwise.weight.dtype, pointwise.weight.dtype, pointwise.bias.dtype} == {torch.bfloat16}
    assert torch.equal(pointwise.bias, conv.bias) and pointwise.bias is not conv.bias
    assert not depthwise.weight.requires_grad and not pointwise.weight.requires_grad
    assert all(module.training for module in separate(nn.Conv2d(3, 4, 3), 2).layer.modules())


# --- ranks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_ranks_survive_the_rounding_of_the_weights_at_any_scale(dtype, scale):
    # Rounding moves W[:, i] by at most eps / 2 * |W[:, i]|, and |W[:, i]| <= sqrt(rank) * s_1 with rank <= 9: the new
    # singular values are below 1.5 * eps * s_1, and the threshold is 16 * eps * s_1.
    for rank in range(1, 6):
        weight = low_rank_kernel(16, 2, (3, 3), rank, seed=rank)
        weight[:, 0] = 0
        assert slice_ranks(conv_with((scale * weight).to(dtype))) == (0, rank)


def test_a_kernel_of_zeros_is_reproduced():
    fit = separate(conv_with(torch.zeros(2, 2, 3, 3)), 1)
    assert (fit.relative_error, fit.ranks, fit.is_exact) == (0.0, (0, 0), True)


# --- the table of the lesson ---------------------------------------------------------------------------------------


def test_a_random_kernel_is_far_from_separable():
    # A random 16 x 8 x 3 x 3 kernel was measured at .853, .495, .126 and 0 with multiplier 1, 4, 8 and 9. What
    # belongs to the one kernel that was drawn is its deviation from the mean over many; two of three of such lie
    # within one standard deviation, and all but one in twenty within two.
    drawn = np.array([separable_errors(conv_with(normal(16, 8, 3, 3, seed=seed))) for seed in range(100)])
    for multiplier, measured in ((1, 0.853), (4, 0.495), (8, 0.126)):
        errors = drawn[:, multiplier - 1]
        assert abs(errors.mean() - measured) <= 2 * errors.std()
        assert errors.std() < 0.02
    assert (drawn[:, 8] == 0).all()


def test_exactness_costs_more_than_the_convolution():
    conv = conv_with(normal(16, 8, 3, 3).float())
    fit = separate(conv, 9)
    x = torch.zeros(1, 8, 14, 14)
    assert (costs.parameters(fit.layer), costs.parameters(conv)) == (1800, 1152)
    assert fit.cost_ratio == Fraction(1800, 1152) == Fraction(costs.macs(fit.layer, x), costs.macs(conv, x))
    assert fit.is_exact and not fit.saves_macs
    assert fit.summary == "multiplier 9: exact; 156% of the MACs and weights: nothing is saved, keep the convolution"
    # 1/16 + 1/9 = .1736: up to 5 of them save
    assert [separate(conv, r).saves_macs for r in (1, 5, 6)] == [True, True, False]
    assert not separate(nn.Conv2d(1, 2, (1, 2)), 1).saves_macs  # 1/2 + 1/2: as much is not less
    # 1.5625, printed half to even
    last = separable_table(conv).splitlines()[-1]
    assert last.split() == ["9", "0.000", "1,800", "1.562,", "no", "gain"]


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(1, 2), st.data())
def test_the_cost_is_that_of_the_counted_layers(groups, inputs, outputs, stride, data):
    conv = nn.Conv2d(inputs * groups, outputs * groups, 3, stride, groups=groups, bias=False)
    fit = separate(conv, data.draw(st.integers(1, min(outputs, 9))))
    x = torch.zeros(1, inputs * groups, 9, 8)
    assert fit.cost_ratio == Fraction(costs.macs(fit.layer, x), costs.macs(conv, x))
    assert fit.cost_ratio == Fraction(costs.parameters(fit.layer), costs.parameters(conv))


# --- a trained model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3", "conv4"])
def test_trained_layers(name):
    conv = zoo.load("small_cnn").get_submodule(name)
    errors = separable_errors(conv)
    assert len(errors) == 9 and list(errors) == sorted(errors, reverse=True) and errors[-1] == 0
    assert errors[0] > 0.1 and max(slice_ranks(conv)) == 9  # trained, yet not separable
    for multiplier in (1, 3, 9):
        fit = separate(conv, multiplier)
        made = impulse_responses(
            nn.Sequential(*(conv_with(part.weight.double(), part.groups) for part in fit.layer)),
            conv.in_channels,
            (3, 3),
        )
        measured = ((conv.weight.double() - made).norm() / conv.weight.double().norm()).item()
        # Both factors are rounded to float32: each of r products moves by 2 roundings, in norm at most
        # 2 * HALF * sum(s_j) <= 2 * HALF * sqrt(r) * |W|.
        assert abs(measured - fit.relative_error) <= 2 * HALF * multiplier**0.5 + 50 * EPS


# --- bad input -----------------------------------------------------------------------------------------------------

BAD_MULTIPLIERS = {
    0: "multiplier must be a whole number from 1 to 9, got 0; 9 is exact for 16 outputs and a 3x3 kernel",
    10: "multiplier must be a whole number from 1 to 9, got 10; 9 is exact for 16 outputs and a 3x3 kernel",
}


@pytest.mark.parametrize(("multiplier", "message"), BAD_MULTIPLIERS.items())
def test_a_multiplier_out_of_range(multiplier, message):
    with pytest.raises(ValueError, match=message):
        separate(nn.Conv2d(8, 16, 3), multiplier)


def test_bounds_follow_the_smaller_side_and_the_group():
    with pytest.raises(ValueError, match="from 1 to 4, got 5; 4 is exact for 4 outputs and a 3x3 kernel"):
        separate(nn.Conv2d(8, 4, 3), 5)
    with pytest.raises(ValueError, match="from 1 to 2, got 3; 2 is exact for 2 outputs and a 5x1 kernel"):
        separate(nn.Conv2d(8, 4, (5, 1), groups=2), 3)
    with pytest.raises(TypeError, match="multiplier must be a whole number from 1 to 4, got 1.0"):
        separate(nn.Conv2d(8, 4, 3), 1.0)


NO_CONVOLUTIONS = (
    nn.Linear(4, 4), nn.Conv1d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3), nn.LazyConv2d(4, 3), torch.zeros(4, 4, 3, 3),
)  # fmt: skip


@pytest.mark.parametrize("layer", NO_CONVOLUTIONS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("ask", [slice_ranks, separable_errors, separable_table, lambda layer: separate(layer, 1)])
def test_not_a_convolution(layer, ask):
    with pytest.raises(
        TypeError, match=f"conv must be a plain nn.Conv2d, got {type(layer).__name__}; a layer of another"
    ):
        ask(layer)


def test_weights_that_are_not_finite():
    conv = nn.Conv2d(2, 2, 3)
    conv.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(
        ValueError, match="a tensor of shape .2, 2, 3, 3. holds values that are infinite or not a number"
    ):
        separate(conv, 1)


def test_what_is_not_a_separable_layer():
    with pytest.raises(TypeError, match="two nn.Conv2d, got Conv2d, ReLU, Conv2d; pass what depthwise_separable"):
        as_convolution(nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.ReLU(), nn.Conv2d(2, 2, 1)))
    with pytest.raises(TypeError, match="got Linear"):
        as_convolution(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="must be depthwise, groups = in_channels = 2, got groups 1"):
        as_convolution(nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1)))
    for second in (nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1, stride=2), nn.Conv2d(2, 2, 1, padding=1)):
        with pytest.raises(ValueError, match="must be pointwise, 1x1 with stride 1 and no padding, got kernel"):
            as_convolution(nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), second))
    with pytest.raises(ValueError, match="must take the 4 channels of the first, got 2"):
        as_convolution(nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(2, 2, 1)))
