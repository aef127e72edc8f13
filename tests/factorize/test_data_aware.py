"""Data-aware SVD: moments by hand and against numpy, the optimum against a whitened SVD, the error against a run."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import data, fit, zoo
from mini_lib.calibration import observe
from mini_lib.factorize.data_aware import measured_output_error, output_errors, output_svd, restore_mean_output
from mini_lib.factorize.low_rank import channel_svd, rebuild, spatial_svd, svd_linear
from mini_lib.factorize.moments import input_moments, is_factorizable
from mini_lib.second_moments import Moments
from mini_lib.surgery import swap

EPS = 2**-52

LAYERS = {
    "wide": lambda: nn.Linear(12, 7),
    "tall": lambda: nn.Linear(5, 9, bias=False),
    "convolution": lambda: nn.Conv2d(3, 8, 3, padding=1),
    "stride": lambda: nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(1, 2), bias=False),
    "dilation": lambda: nn.Conv2d(2, 6, 3, dilation=(1, 2), padding=2),
    "same": lambda: nn.Conv2d(2, 30, (2, 3), padding="same", dilation=2),
    "reflected": lambda: nn.Conv2d(2, 6, 3, padding=(1, 2), padding_mode="reflect"),
    "1 x 1": lambda: nn.Conv2d(6, 4, 1, stride=2),
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    return LAYERS[name]().double().eval()


def inputs_of(layer: nn.Module, count: int = 40) -> torch.Tensor:
    """Inputs that go together and are not centred: noise through a fixed mixture, then a ReLU and a shift."""
    size = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    x = normal(count, size) if isinstance(layer, nn.Linear) else normal(count, size, 7, 6)
    mixture = normal(size, size, seed=2) * torch.linspace(2, 0.1, size, dtype=torch.float64)
    return torch.einsum("oi,ni...->no...", mixture, x).relu() + 0.3


def moments_of(layer: nn.Module, calibration) -> Moments:
    return input_moments(nn.Sequential(layer).eval(), calibration)["0"]


def directions(moments: Moments) -> int:
    """In how many directions the inputs were seen to vary at all."""
    return int(torch.linalg.matrix_rank(moments.covariance, hermitian=True))


def tolerance(weight: torch.Tensor, moments: Moments) -> float:
    """How far two ways to compute the squared relative error may lie apart.

    Both are sums of count products of inputs, off by count * eps each; the eigenvalues of C are off by k * eps * |C|,
    and one below that is taken for 0. An error of size d in C, or of eps in a product, moves ||D x||^2 by ||D||^2 * d,
    and ||D|| <= ||W||. All is relative to the output's variance. 10 for the few steps there are.
    """
    size = len(moments.mean)
    strength = torch.linalg.matrix_norm(moments.covariance, 2) + moments.mean.square().sum()
    whole = (weight @ moments.covariance * weight).sum()
    return (10 * (moments.count + size**2) * EPS * weight.square().sum() * strength / whole).item()


def test_moments_by_hand():
    # a kernel of 1 x 2 over the row (1, 2, 6) sees (1, 2) and (2, 6): mean (1.5, 4), deviations -+(.5, 2)
    model = nn.Sequential(nn.Conv2d(1, 1, (1, 2))).eval()
    found = input_moments(model, torch.tensor([[[[1.0, 2.0, 6.0]]]]))["0"]
    assert found.mean.tolist() == [1.5, 4.0]
    assert found.covariance.tolist() == [[0.25, 1.0], [1.0, 4.0]]
    assert (found.count, directions(found)) == (2, 1)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_moments_are_those_of_what_the_kernel_sees(name):
    layer = made(name)
    x = inputs_of(layer)
    if isinstance(layer, nn.Linear):
        seen = x
    else:  # the same convolution with unit vectors for weights: its outputs are what the windows hold
        reader = nn.Conv2d(
            layer.in_channels,
            layer.weight[0].numel(),
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            bias=False,
            padding_mode=layer.padding_mode,
            dtype=torch.float64,
        )
        reader.weight.data = torch.eye(layer.weight[0].numel(), dtype=torch.float64).reshape(reader.weight.shape)
        seen = reader(x).movedim(1, -1).flatten(0, -2)
    for batches in (x, x.split(7)):
        found = moments_of(layer, batches)
        assert found.count == len(seen)
        # sums of count products of at most `largest`, in another order, divided by count again
        largest = seen.abs().max().item() ** 2
        np.testing.assert_allclose(found.mean, seen.mean(0), rtol=0, atol=4 * len(seen) * EPS * largest**0.5)
        expected = np.cov(seen.numpy(), rowvar=False, bias=True)
        np.testing.assert_allclose(found.covariance, expected, rtol=0, atol=8 * len(seen) * EPS * largest)


def test_a_large_mean_does_not_drown_the_covariance():
    # values 10^8 +- 1 are exact; E[x^2] - mean^2 would be the difference of two numbers of 10^16, which lie 2 apart
    x = 1e8 + torch.tensor([[1.0], [-1.0]], dtype=torch.float64).repeat(50, 1)
    model = nn.Sequential(nn.Linear(1, 1)).double().eval()
    for batches in (x, x.split(10), x.split(7)):
        # a mean of 7 such values is rounded to 2^-26, which is squared by the merging
        assert input_moments(model, batches)["0"].covariance.item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_the_predicted_error_is_the_measured_one(name):
    layer = made(name)
    x = inputs_of(layer)
    moments = moments_of(layer, x)
    weight = layer.weight.flatten(1)
    errors = output_errors(layer, moments)
    assert len(errors) == min(weight.shape)
    for rank, error in enumerate(errors, start=1):
        found = output_svd(layer, moments, rank)
        assert found.predicted_error == error
        assert found.ranks == (rank,)
        measured = measured_output_error(layer, found.layer, x)
        assert error**2 == pytest.approx(measured**2, abs=tolerance(weight, moments))
        # the mean of the output is kept exactly
        gap = (layer(x) - found.layer(x)).transpose(0, 1).flatten(1).mean(1)
        assert gap.abs().max() <= 1e-12 * layer(x).abs().max()
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0


@pytest.mark.parametrize("name", ["wide", "tall", "convolution"])
@torch.no_grad()
def test_it_is_the_whitened_svd_where_that_exists(name):
    # the usual way: C = L L^T by Cholesky, the best W' L by Eckart-Young, W' by solving with L
    layer = made(name)
    moments = moments_of(layer, inputs_of(layer, 200))
    weight = layer.weight.flatten(1)
    root = np.linalg.cholesky(moments.covariance.numpy())
    left, values, right = np.linalg.svd(weight.numpy() @ root, full_matrices=False)
    for rank in (1, 3, 5):
        expected = (left[:, :rank] * values[:rank]) @ right[:rank] @ np.linalg.inv(root)
        found = rebuild(output_svd(layer, moments, rank).layer).flatten(1).numpy()
        # solving with L costs its condition; the singular vectors cost the inverse of the gap behind the rank
        gap = (values[rank - 1] - (values[rank] if rank < len(values) else 0)) / values[0]
        atol = 100 * EPS * np.linalg.cond(moments.covariance) / gap * abs(weight.numpy()).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 7), columns=st.integers(1, 7), count=st.integers(2, 20), seed=st.integers(0, 10**6),
    data_=st.data(),
)  # fmt: skip
@torch.no_grad()
def test_nothing_of_that_rank_is_better(rows, columns, count, seed, data_):
    layer = nn.Linear(columns, rows).double().eval()
    layer.weight.copy_(normal(rows, columns, seed=seed))
    layer.bias.zero_()
    x = normal(count, columns, seed=seed + 1) * normal(columns, seed=seed + 2) + normal(columns, seed=seed + 3)
    moments = moments_of(layer, x)
    rank = data_.draw(st.integers(1, min(rows, columns)))
    room = tolerance(layer.weight, moments)
    best = measured_output_error(layer, output_svd(layer, moments, rank).layer, x) ** 2
    plain = svd_linear(layer, rank).layer
    other = nn.Sequential(nn.Linear(columns, rank, bias=False), nn.Linear(rank, rows)).double().eval()
    for module in other:
        module.weight.copy_(normal(*module.weight.shape, seed=seed + 4))
    for rival in (plain, restore_mean_output(layer, plain, moments), restore_mean_output(layer, other, moments)):
        assert best <= measured_output_error(layer, rival, x) ** 2 + room
    # the bias alone never makes the error larger
    assert (
        measured_output_error(layer, restore_mean_output(layer, plain, moments), x) ** 2
        <= measured_output_error(layer, plain, x) ** 2 + room
    )


def test_white_inputs_make_it_the_plain_svd():
    layer = made("wide")
    moments = Moments(torch.zeros(12), torch.eye(12), 100)
    for rank in range(1, 8):
        found, plain = output_svd(layer, moments, rank), svd_linear(layer, rank)
        # two singular value decompositions of one matrix: values within k * eps of the largest
        assert found.predicted_error == pytest.approx(plain.predicted_error, abs=100 * EPS)
        assert found.measured_error == pytest.approx(plain.measured_error, abs=100 * EPS)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6)])
@torch.no_grad()
def test_few_samples_do_no_harm(shape):
    rows, columns = shape
    layer = nn.Linear(columns, rows).double().eval()
    x = normal(3, columns)  # three inputs vary in two directions about their mean
    moments = moments_of(layer, x)
    assert directions(moments) == 2
    room = tolerance(layer.weight, moments)
    assert output_errors(layer, moments)[1] == 0
    assert measured_output_error(layer, output_svd(layer, moments, 2).layer, x) ** 2 <= room
    for rank in range(1, min(shape) + 1):
        found = output_svd(layer, moments, rank)
        assert found.predicted_error**2 == pytest.approx(measured_output_error(layer, found.layer, x) ** 2, abs=room)
        # Of all best ones it is the one nearest to the weight: nearer than that of a pseudo-inverse, which forgets what
        # it has not seen.
        root, weight = moments.root().numpy(), layer.weight.numpy()
        left, values, right = np.linalg.svd(weight @ root, full_matrices=False)
        forgetful = (left[:, :rank] * values[:rank]) @ right[:rank] @ np.linalg.pinv(root, rcond=1e-8)
        # two decompositions of a matrix whose zeros are roots of rounding errors, 10^-8: it is far from 1e-6
        assert found.measured_error <= np.linalg.norm(weight - forgetful) / np.linalg.norm(weight) + 1e-6
    # full rank is exact for inputs that were never seen: some 10 products of numbers of about 1 an output
    new = normal(50, columns, seed=5)
    assert (found.layer(new) - layer(new)).abs().max() <= 1000 * EPS


@torch.no_grad()
def test_an_input_that_never_varies_moves_into_the_bias():
    layer = made("wide")
    x = torch.full((5, 12), 2.0, dtype=torch.float64)
    moments = moments_of(layer, x)
    found = output_svd(layer, moments, 1)
    assert found.predicted_error == 0
    assert (found.layer(x) - layer(x)).abs().max() <= 1000 * EPS


def test_the_form_of_the_new_layer():
    layer = made("stride").float().train()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    moments = Moments(torch.ones(18), torch.eye(18), 100)
    found = output_svd(layer, moments, 4)
    first, second = found.layer
    assert (first.kernel_size, first.stride, first.padding, first.out_channels) == ((3, 2), (2, 1), (1, 2), 4)
    assert first.bias is None
    assert (second.kernel_size, second.stride, second.padding) == ((1, 1), (1, 1), (0, 0))
    assert second.bias.dtype == torch.float32  # the old layer has none: the mean needs one
    assert found.layer.training
    assert found.dense is layer
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    # the factors share the size, as those of a plain SVD do
    assert torch.allclose(first.weight.flatten(1).norm(dim=1), second.weight.flatten(1).norm(dim=0), rtol=1e-5)


@pytest.mark.parametrize("method", [channel_svd, spatial_svd])
@torch.no_grad()
def test_the_bias_of_any_method_can_be_corrected(method):
    layer = made("convolution")
    x = inputs_of(layer)
    moments = moments_of(layer, x)
    plain = method(layer, 3).layer
    corrected = restore_mean_output(layer, plain, moments)
    mean = [made_of(x).transpose(0, 1).flatten(1).mean(1) for made_of in (layer, plain, corrected)]
    assert (mean[0] - mean[2]).abs().max() <= 1e-12
    assert (mean[0] - mean[1]).abs().max() > 0.01
    assert torch.equal(plain[1].bias, layer.bias)


def test_a_lower_output_error_can_be_a_wrong_answer_by_hand():
    # The first output is loud and means nothing; the second is quiet and is the class. The weight is longer for the
    # second, so a plain SVD keeps it; the output varies more in the first, so the data-aware one keeps that.
    x = torch.tensor([[10.0, 1.0], [-10.0, 1.0], [10.0, -1.0], [-10.0, -1.0]])
    labels = torch.tensor([1, 1, 0, 0])
    layer, reader = nn.Linear(2, 2), nn.Linear(2, 2)
    layer.weight.data, layer.bias.data = torch.diag(torch.tensor([1.0, 2.0])), torch.zeros(2)
    reader.weight.data, reader.bias.data = torch.tensor([[0.0, -1.0], [0.0, 1.0]]), torch.tensor([0.0, 0.1])
    model = nn.Sequential(layer, reader).eval()
    split = data.Split(x.clone(), labels)
    moments = input_moments(model, x)["0"]
    plain, aware = svd_linear(layer, 1).layer, output_svd(layer, moments, 1).layer
    # variances of the output: 100 and 4
    assert measured_output_error(layer, plain, x) == pytest.approx((100 / 104) ** 0.5, rel=1e-5)
    assert measured_output_error(layer, aware, x) == pytest.approx((4 / 104) ** 0.5, rel=1e-5)
    assert fit.accuracy(model, split) == 1
    assert fit.accuracy(swap(model, {"0": plain}), split) == 1
    assert fit.accuracy(swap(model, {"0": aware}), split) == 0.5


@pytest.fixture(scope="module")
def trained():
    """The trained MLP, the moments of its layers on training pictures, and what they read on validation pictures."""
    model, splits = zoo.load("lenet_300_100"), data.fashion()
    moments = input_moments(model, splits.train.first(1000).images)
    read = {}
    observe(model, [splits.validation.images], moments, lambda name, x, y: read.update({name: x}))
    return model, moments, read, splits.validation


def test_held_out_error_is_below_seven_tenths_of_the_plain_one(trained):
    model, moments, read, _ = trained
    for name, known in moments.items():
        layer = model.get_submodule(name)
        for rank in (8, 32):
            if rank < min(layer.weight.shape):
                aware = measured_output_error(layer, output_svd(layer, known, rank).layer, read[name])
                plain = measured_output_error(layer, svd_linear(layer, rank).layer, read[name])
                assert aware <= 0.7 * plain, (name, rank)


def test_a_lower_output_error_with_a_lower_accuracy_on_held_out_pictures(trained):
    # The bias of a plain SVD of the first layer, corrected: nearer to the output, and farther from the labels.
    model, moments, read, validation = trained
    layer, known = model.linear1, moments["linear1"]
    for rank in (6, 7, 8, 9):
        plain = svd_linear(layer, rank).layer
        corrected = restore_mean_output(layer, plain, known)
        assert measured_output_error(layer, corrected, read["linear1"]) < 0.8 * measured_output_error(
            layer, plain, read["linear1"]
        )
        fall = [fit.accuracy(swap(model, {"linear1": new}), validation) for new in (plain, corrected)]
        # 2,000 pictures: at equal accuracy the difference of two shares would have a standard deviation of less than
        # sqrt(2 * .25 / 2000) = .016, and 4 of them are .063
        assert fall[0] - fall[1] > 0.063


def test_bad_moments_say_why():
    with pytest.raises(ValueError, match=r"needs at least 2 inputs, got 1; calibrate with a hundred"):
        input_moments(nn.Sequential(nn.Linear(3, 2)).eval(), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"shape \[2\] and a covariance of shape \[3, 3\] do not fit"):
        Moments(torch.zeros(2), torch.eye(3), 10)
    with pytest.raises(ValueError, match="NaN or infinity"):
        Moments(torch.zeros(1), torch.tensor([[float("nan")]]), 10)
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).eval()
    with pytest.raises(TypeError, match=r"layer '1': it is a ReLU, and not nn.Linear or nn.Conv2d"):
        input_moments(model, torch.zeros(5, 3), lambda name, module: name == "1")
    with pytest.raises(ValueError, match="there is nothing to choose"):
        input_moments(nn.Sequential(nn.ReLU()).eval(), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="training mode"):
        input_moments(nn.Sequential(nn.Linear(3, 2)), torch.zeros(5, 3))
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)).eval()
    with pytest.raises(ValueError, match=r"layer '0' is a convolution in 2 groups"):
        input_moments(grouped, torch.zeros(5, 4, 6, 6), lambda name, module: isinstance(module, nn.Conv2d))
    with pytest.raises(ValueError, match="where chooses no layer"):
        input_moments(grouped, torch.zeros(5, 4, 6, 6))
    idle = nn.Sequential(nn.Linear(3, 2)).eval()
    idle.spare = nn.Linear(3, 2).eval()
    idle.forward = lambda x: idle[0](x)
    with pytest.raises(ValueError, match="'spare' did not run"):
        input_moments(idle, torch.zeros(5, 3))


@pytest.mark.parametrize("rank", [0, -1, 3, 1.0, True, "2"])
def test_a_rank_out_of_range_says_which_is_in(rank):
    layer, moments = nn.Linear(4, 2), Moments(torch.zeros(4), torch.eye(4), 10)
    error = ValueError if type(rank) is int else TypeError
    with pytest.raises(error, match=r"whole number from 1 to 2, got .*; 2 is exact for a 2 x 4 weight"):
        output_svd(layer, moments, rank)


def test_what_cannot_be_factorized_says_so():
    moments = Moments(torch.zeros(4), torch.eye(4), 10)
    with pytest.raises(TypeError, match=r"cannot factorize ReLU as a convolution"):
        output_svd(nn.ReLU(), moments, 1)
    with pytest.raises(ValueError, match=r"cannot factorize a convolution with groups=4"):
        output_svd(nn.Conv2d(4, 4, 2, groups=4), moments, 1)
    with pytest.raises(ValueError, match=r"of 4 inputs and the layer reads 5; take those of the same layer"):
        output_svd(nn.Linear(5, 3), moments, 1)
    with pytest.raises(ValueError, match=r"a 3 x 4 weight and the layer has 2 x 4"):
        restore_mean_output(nn.Linear(4, 2), svd_linear(nn.Linear(4, 3), 1).layer, moments)
    with pytest.raises(ValueError, match="does not vary on these inputs"):
        measured_output_error(nn.Linear(4, 2), nn.Linear(4, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="compare two forms of one layer"):
        measured_output_error(nn.Linear(4, 2), nn.Linear(4, 3), torch.zeros(3, 4))
    assert not is_factorizable("", nn.ConvTranspose2d(3, 3, 3))
