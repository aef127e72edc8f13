"""What a layer reads, as second moments: by hand, against windows read by torch itself, and against real outputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib.second_moments import (
    by_group,
    damped,
    inverse,
    mean_squares_of,
    moments_of,
    output_error,
    second_moments_of,
)

EPS = 2**-52


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(3, 4, 3),
    "stride and padding": lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 2)),
    "dilation": lambda: nn.Conv2d(3, 4, 3, dilation=(1, 2)),
    "same": lambda: nn.Conv2d(3, 4, (2, 3), padding="same", dilation=2),
    "valid": lambda: nn.Conv2d(3, 4, 3, padding="valid"),
    "reflected": lambda: nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="reflect"),
    "groups": lambda: nn.Conv2d(6, 4, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(3, 6, 3, stride=2, groups=3, bias=False),
    "1d": lambda: nn.Conv1d(3, 4, 5, stride=2, padding=2, dilation=2),
    "1d depthwise": lambda: nn.Conv1d(4, 4, 3, groups=4),
}


def reader_of(layer: nn.Module) -> nn.Module:
    """The same convolution with unit vectors for weights: its outputs are what the windows hold."""
    inputs = layer.weight[0].numel()
    reader = type(layer)(
        layer.in_channels,
        layer.groups * inputs,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias=False,
        padding_mode=layer.padding_mode,
        dtype=torch.float64,
    )
    unit = torch.eye(inputs, dtype=torch.float64).repeat(layer.groups, 1)
    reader.weight.data = unit.reshape(reader.weight.shape)
    return reader


def images(layer: nn.Module, count: int = 5) -> torch.Tensor:
    return normal(count, layer.in_channels, *((9, 8) if isinstance(layer, nn.Conv2d) else (15,)))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@torch.no_grad()
def test_a_convolution_reads_windows(name):
    layer = CONVOLUTIONS[name]().double().eval()
    x, groups = images(layer), layer.groups
    windows = reader_of(layer)(x).flatten(2).transpose(0, 1).flatten(1).reshape(groups, layer.weight[0].numel(), -1)
    expected = torch.stack([one @ one.T / one.shape[1] for one in windows])
    found = second_moments_of(layer, x, {"": layer})[""]
    assert found.shape == (expected.shape if groups > 1 else expected.shape[1:])
    # sums of as many products as there are windows, in another order; the products average below 10
    assert (found.reshape(expected.shape) - expected).abs().max() <= 10 * windows.shape[2] * EPS


@pytest.mark.parametrize("name", CONVOLUTIONS)
@torch.no_grad()
def test_they_price_the_output_of_a_layer(name):
    # E[|D x|^2] = tr(D H D^T): the error is measured by running both layers, bias taken off
    layer, other = (CONVOLUTIONS[name]().double().eval() for _ in range(2))
    other.bias = layer.bias
    x = images(layer)
    bias = layer.bias.reshape(1, -1, *[1] * (x.dim() - 2)) if layer.bias is not None else 0
    expected = ((other(x) - layer(x)).square().sum() / (layer(x) - bias).square().sum()).item()
    found = output_error(layer.weight, other.weight, second_moments_of(layer, x, {"": layer})[""])
    # both sums have at most 10^4 positive terms, so each is off by 10^4 * 2^-52 of itself at most
    assert found == pytest.approx(expected, rel=4e4 * EPS)


def test_a_convolution_by_hand():
    # a kernel of 1 x 2 over the rows (1, 2, 3) sees (1, 2) and (2, 3): squares 1 + 4 and 4 + 9, products 2 + 6
    model = nn.Sequential(nn.Conv2d(1, 1, (1, 2))).eval()
    found = second_moments_of(model, torch.tensor([[[[1.0, 2.0, 3.0]]]]), {"0": model[0]})
    assert found["0"].tolist() == [[2.5, 4.0], [4.0, 6.5]]


def test_linear_layers_take_any_leading_axes():
    model, x = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 3)).eval(), normal(4, 5, 6).float()
    found = second_moments_of(model, x, {"0": model[0], "1": model[1]})
    flat = x.reshape(-1, 6).double()
    assert list(found) == ["0", "1"] and found["0"].dtype == torch.float64
    # 20 products below 20, summed in another order
    assert (found["0"] - flat.T @ flat / 20).abs().max() <= 20 * 20 * EPS


def test_batches_count_by_their_size_and_a_layer_that_runs_twice_counts_twice():
    model, x = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1)).eval(), normal(150, 2, 5, 5).float()
    whole, parts = (second_moments_of(model, data, {"0": model[0]})["0"] for data in (x, x.split(64)))
    # 150 images of 25 places each; entries below 2
    assert (whole - parts).abs().max() <= 2 * 3750 * EPS

    twice = nn.Linear(1, 1, bias=False).eval()
    twice.weight.data.fill_(2.0)
    model = nn.Sequential(twice, twice).eval()
    assert second_moments_of(model, torch.ones(1, 1), {"0": twice})["0"].item() == (1 + 4) / 2


@pytest.mark.parametrize("name", ["plain", "depthwise", "1d"])
def test_mean_squares_are_the_diagonal(name):
    layer = CONVOLUTIONS[name]().double().eval()
    diagonal = second_moments_of(layer, images(layer), {"": layer})[""].diagonal(dim1=-2, dim2=-1)
    # at most 5 * 42 squares that average below 2
    assert (mean_squares_of(layer, images(layer), {"": layer})[""] - diagonal).abs().max() <= 2 * 210 * EPS


@given(st.integers(1, 6), st.integers(1, 6), st.floats(1e-3, 1e3), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_error_is_relative(inputs, outputs, scale, seed):
    x, weight, after = normal(9, inputs, seed=seed), normal(outputs, inputs, seed=seed + 1), normal(outputs, inputs)
    moments = x.T @ x
    error = output_error(weight, after, moments)
    assert output_error(weight, weight, moments) == 0
    assert output_error(weight, torch.zeros_like(weight), moments) == pytest.approx(1, rel=100 * EPS)
    # products and sums of up to 6 * 6 * 6 terms; cancellation within a row is bounded by the condition of 9 samples
    assert output_error(weight, after, scale * moments) == pytest.approx(error, rel=1e-9)
    assert output_error(scale * weight, scale * after, moments) == pytest.approx(error, rel=1e-9)


def test_damping_adds_a_share_of_the_mean_diagonal_to_each_group():
    moments = torch.stack([torch.diag(torch.tensor([4.0, 0.0])), torch.zeros(2, 2)]).double()
    assert damped(moments, 0.01)[0].tolist() == [[4.02, 0], [0, 0.02]]
    assert torch.equal(damped(moments, 0.01)[1], torch.eye(2).double())  # nothing comes in: any H will do
    assert torch.equal(damped(moments, 0)[0], moments[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_damping_does_not_hide_what_is_not_finite(bad):
    moments = torch.eye(3).double()
    moments[1, 1] = bad
    for refuses in (damped, lambda moments, damp: inverse(damped(moments, damp))):
        with pytest.raises(ValueError, match="second moments hold NaN or infinity; check the calibration data"):
            refuses(torch.stack([torch.eye(3).double(), moments]), 0.01)


def test_an_inverse_is_one_or_is_refused():
    x = normal(50, 6)
    moments = x.T @ x / 50
    # the condition of 50 samples of 6 normal inputs is below 10: 10 * 6 * 2^-52 with room for the constant of LAPACK
    assert (inverse(moments) @ moments - torch.eye(6)).abs().max() <= 1e-13
    x[:, 3] = x[:, 0] + x[:, 1]
    for singular in (x.T @ x, torch.diag(torch.tensor([1.0, 0.0]).double()), -moments):
        with pytest.raises(ValueError, match="second moments are singular: .*; use damp=0.01"):
            inverse(singular)
    assert inverse(damped(x.T @ x, 0.01)).isfinite().all()


def test_the_mean_and_the_covariance_give_the_second_moments_back():
    layer, x = CONVOLUTIONS["stride and padding"]().double().eval(), images(CONVOLUTIONS["plain"]())
    moments = moments_of(layer, x.split(2), {"": layer})[""]
    whole = second_moments_of(layer, x, {"": layer})[""]
    # E[x x^T] = C + mean mean^T: sums of 5 * 5 * 11 products that average below 10, each off by an eps
    assert moments.count == 5 * 5 * 11
    assert (moments.covariance + moments.mean.outer(moments.mean) - whole).abs().max() <= 10 * 275 * EPS


def test_layers_that_cannot_be_read_are_refused():
    two = nn.Bilinear(2, 2, 1).eval()
    for look in (second_moments_of, mean_squares_of, moments_of):
        with pytest.raises(
            TypeError, match="layer 'two' is a Bilinear, and second moments can be computed only for Linear, Conv1d"
        ):
            look(two, torch.ones(3, 2), {"two": two})
    grouped = nn.Conv2d(4, 4, 3, groups=2).eval()
    with pytest.raises(ValueError, match="layer 'conv' reads different inputs in each of 2 groups; leave it out"):
        moments_of(grouped, torch.ones(3, 4, 6, 6), {"conv": grouped})


def test_second_moments_of_another_layer_are_refused():
    with pytest.raises(ValueError, match=r"shape \[3, 3\] do not fit a weight of shape \[4, 2\]: expected \[2, 2\]"):
        by_group(torch.ones(4, 2), torch.eye(3))
    with pytest.raises(ValueError, match="do not fit a weight"):
        by_group(torch.ones(4, 2), torch.ones(3, 2, 2))  # 3 groups do not divide 4 rows
    with pytest.raises(ValueError, match="do not fit a weight"):
        by_group(torch.ones(4, 2), torch.ones(2))
    with pytest.raises(ValueError, match=r"before has shape \[1, 2\] and after \[2, 1\]; compare two weights of one"):
        output_error(torch.ones(1, 2), torch.ones(2, 1), torch.eye(2))
    with pytest.raises(ValueError, match="the layer's output is zero on the calibration data"):
        output_error(torch.ones(1, 2), torch.ones(1, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="damp must be a finite number of 0 or more, got -1; 0.01 adds 1%"):
        damped(torch.eye(2), -1)
