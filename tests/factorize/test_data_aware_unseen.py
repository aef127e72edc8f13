"""Data-aware SVD where the inputs leave a choice, and where a linear layer reads more than a matrix."""

import numpy as np
import pytest
import torch
from torch import nn

from mini_lib.factorize.data_aware import measured_output_error, output_svd, restore_mean_output
from mini_lib.factorize.low_rank import rebuild, svd_linear
from mini_lib.factorize.moments import input_moments

EPS = 2**-52


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0]).double().eval()
    layer.weight.data.copy_(weight)
    return layer


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (5, 7)])
@pytest.mark.parametrize("varying", [0, 1, 2])
@torch.no_grad()
def test_of_all_best_layers_it_is_the_one_nearest_to_the_weight(shape, varying):
    """The outputs vary in `varying` directions V. A best layer of higher rank keeps V^T W; the rest is free, and by
    Eckart and Young nothing of rank r - `varying` is nearer to W - V V^T W than its leading singular vectors.
    """
    layer = layer_of(normal(*shape, seed=1))
    x = normal(varying + 1, shape[1], seed=2)  # so many inputs vary in `varying` directions about their mean
    if varying == 0:
        x = x.repeat(2, 1)  # two at least
    moments = input_moments(nn.Sequential(layer).eval(), x)["0"]
    weight = layer.weight.numpy()
    outputs = (x - x.mean(0)).numpy() @ weight.T
    varied = np.linalg.svd(outputs.T)[0][:, :varying]
    left = np.linalg.svd(weight - varied @ (varied.T @ weight), compute_uv=False)
    for rank in range(max(varying, 1), min(shape) + 1):
        found = output_svd(layer, moments, rank)
        expected = np.linalg.norm(left[rank - varying :]) / np.linalg.norm(weight)
        # decompositions of small matrices: some 100 roundings, a root of them where the error itself is 0
        assert found.measured_error == pytest.approx(expected, abs=1e-7 if expected < 1e-6 else 1e-10)
        assert found.predicted_error == 0
        assert (found.layer(x) - layer(x)).abs().max() <= 1000 * EPS


def test_what_never_occurred_is_kept_by_its_weight_by_hand():
    """Inputs vary along the first axis alone. Rank 1 keeps its output; rank 2 adds the longer of the two others."""
    layer = layer_of(torch.diag(torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)))
    moments = input_moments(nn.Sequential(layer).eval(), torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]).double())["0"]
    for rank, kept in ((1, [1, 0, 0]), (2, [1, 0, 5]), (3, [1, 2, 5])):
        found = rebuild(output_svd(layer, moments, rank).layer).detach()
        assert (found - torch.diag(torch.tensor(kept)).double()).abs().max() <= 100 * EPS


@pytest.mark.parametrize("rank", [1, 2, 3])
@torch.no_grad()
def test_a_weight_of_low_rank_is_exact_from_its_rank_on(rank):
    """Nothing is left of the weight then, and directions of length 0 are arbitrary: none may be counted twice."""
    for weight in (torch.diag(torch.tensor([2.0, 0, 0])).double(), normal(5, 1) @ normal(1, 4, seed=1)):
        layer = layer_of(weight)
        x = normal(2, weight.shape[1], seed=2)  # two inputs vary in one direction
        found = output_svd(layer, input_moments(nn.Sequential(layer).eval(), x)["0"], rank)
        new = normal(9, weight.shape[1], seed=3)
        assert (found.layer(new) - layer(new)).abs().max() <= 1000 * EPS


@torch.no_grad()
def test_the_error_of_a_linear_layer_on_sequences_is_that_on_all_their_vectors():
    """By hand: in each of two places two features, 1 and 3 in the first, 10 and 14 in the second. About the means 2 and
    12 they vary by 1 and 2. The other layer is off by 1 in one feature.
    """
    x = torch.tensor([[[1.0, 10.0], [3.0, 14.0]], [[3.0, 10.0], [1.0, 14.0]]])  # [sequence, place, feature]
    layer, other = nn.Linear(2, 2, bias=False), nn.Linear(2, 2)
    layer.weight.copy_(torch.eye(2))
    other.weight.copy_(torch.eye(2))
    other.bias.copy_(torch.tensor([1.0, 0.0]))
    expected = (4 * 1 / (4 * 1 + 4 * 4)) ** 0.5  # four vectors, each off by 1; deviations of 1 and 2 in each
    assert measured_output_error(layer, other, x) == pytest.approx(expected, rel=1e-6)
    assert measured_output_error(layer, other, x.flatten(0, 1)) == pytest.approx(expected, rel=1e-6)


@torch.no_grad()
def test_a_linear_layer_is_factorized_on_sequences_as_on_their_vectors():
    layer = layer_of(normal(5, 4))
    x = normal(6, 3, 4, seed=1) * torch.tensor([3.0, 1.0, 0.5, 0.1]) + torch.tensor([5.0, 0.0, -2.0, 1.0])
    as_vectors = input_moments(nn.Sequential(layer).eval(), x.flatten(0, 1))["0"]
    moments = input_moments(nn.Sequential(layer).eval(), x)["0"]
    assert moments.count == as_vectors.count == 18
    assert (moments.covariance - as_vectors.covariance).abs().max() <= 1e-12
    for rank in (1, 2, 3):
        found = output_svd(layer, moments, rank)
        assert found.predicted_error == pytest.approx(measured_output_error(layer, found.layer, x), rel=1e-9)
        corrected = restore_mean_output(layer, svd_linear(layer, rank).layer, moments)
        gap = (corrected(x) - layer(x)).flatten(0, 1).mean(0)
        assert gap.abs().max() <= 1e-12
