"""Optimal brain surgeon: what a removal costs is what it does, and nothing could make up for it better."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib.prune.second_order import (
    input_second_moments,
    obs_prune_row,
    obs_step,
    optimal_brain_damage,
    optimal_brain_surgeon,
    refit,
)
from mini_lib.second_moments import damped

EPS = 2**-52
# Second moments of 40 samples of at most 8 inputs, mixed: their condition is below 10^4 for all seeds used (it is
# checked in `samples`). A solve in float64 loses condition * k * 2^-52, and a chain of k solves k times that.
CLOSE = 1e4 * 8 * 8 * EPS


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def samples(inputs: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs [40, k] that go together, and their second moments."""
    x = normal(40, inputs, seed=seed) @ (torch.eye(inputs) + 0.4 * normal(inputs, inputs, seed=seed + 1))
    moments = x.T @ x / 40
    eigenvalues = torch.linalg.eigvalsh(moments)
    if eigenvalues[0] < 1e-4 * eigenvalues[-1]:
        return samples(inputs, seed + 1000)
    return x, moments


def half_error(row: torch.Tensor, after: torch.Tensor, x: torch.Tensor) -> float:
    """Half the mean squared change of the output, by running the samples."""
    return ((x @ (after - row)).square().mean() / 2).item()


def best_with(row: torch.Tensor, kept, x: torch.Tensor) -> torch.Tensor:
    """The weights that come closest to the old output with only these inputs, by numpy's least squares."""
    after = np.zeros(len(row))
    kept = np.asarray(kept)
    after[kept] = np.linalg.lstsq(x.numpy()[:, kept], (x @ row).numpy(), rcond=None)[0]
    return torch.from_numpy(after)


def test_a_step_by_hand():
    # H = [[2, 1], [1, 2]], H^-1 = [[2, -1], [-1, 2]] / 3. Without w_0 = 3: D = -3 / (2/3) * (2/3, -1/3) = (-3, 1.5),
    # so w = (0, 2.5). It costs 9 / (2 * 2/3) = 6.75, and D H D^T / 2 = (-4.5 * -3 + 0 * 1.5) / 2 = 6.75.
    row, inverse = torch.tensor([3.0, 1.0]), torch.tensor([[2.0, -1.0], [-1.0, 2.0]]) / 3
    after, left = obs_step(row, inverse, 0)
    # numbers below 4 in float32, a few roundings
    torch.testing.assert_close(after, torch.tensor([0.0, 2.5]), rtol=0, atol=2**-20)
    torch.testing.assert_close(left, torch.tensor([[0.0, 0.0], [0.0, 0.5]]), rtol=0, atol=2**-20)  # 1 / H_11
    assert row.tolist() == [3.0, 1.0]


def one_row(row: torch.Tensor) -> nn.Module:
    layer = nn.Linear(len(row), 1, bias=False, dtype=torch.float64)
    layer.weight.data = row[None].clone()
    return layer.eval()


@given(st.integers(2, 8), st.integers(0, 999), st.data())
@settings(max_examples=40)
def test_a_saliency_is_the_error_and_the_least_that_there_is(inputs, seed, draw):
    index = draw.draw(st.integers(0, inputs - 1))
    (x, moments), row = samples(inputs, seed), normal(inputs, seed=seed + 2)
    saliency = optimal_brain_surgeon(one_row(row), x, damp=0)["weight"][0, index].item()
    after, _ = obs_step(row, torch.linalg.inv(moments), index)
    scale = row.square().sum().item() * moments.trace().item()
    assert half_error(row, after, x) == pytest.approx(saliency, abs=CLOSE * scale)
    best = best_with(row, [j for j in range(inputs) if j != index], x)
    assert (after - best).abs().max() <= CLOSE * row.norm() and after[index] == 0
    # leaving the others as they are is another way to remove it, so it cannot cost less
    alone = torch.where(torch.arange(inputs) == index, 0, row)
    damage = optimal_brain_damage(one_row(row), x)["weight"][0, index].item()
    assert damage == pytest.approx(half_error(row, alone, x), abs=CLOSE * scale)
    assert saliency <= damage + CLOSE * scale


@given(st.integers(2, 8), st.integers(0, 999))
@settings(max_examples=20)
def test_the_inverse_that_is_left_is_that_of_the_inputs_that_are_left(inputs, seed):
    _, moments = samples(inputs, seed)
    row, left, rest = normal(inputs), torch.linalg.inv(moments), list(range(inputs))
    for index in torch.randperm(inputs, generator=torch.Generator().manual_seed(seed)).tolist()[:-1]:
        row, left = obs_step(row, left, index)
        rest.remove(index)
        expected = torch.zeros_like(left)
        expected[np.ix_(rest, rest)] = torch.linalg.inv(moments[rest][:, rest])
        assert (left - expected).abs().max() <= CLOSE * torch.linalg.inv(moments).norm()


@given(st.integers(2, 8), st.integers(0, 999), st.data())
@settings(max_examples=40)
def test_the_whole_row(inputs, seed, draw):
    keep = draw.draw(st.integers(1, inputs))
    (x, moments), row = samples(inputs, seed), normal(inputs, seed=seed + 2)
    pruned = obs_prune_row(row, moments, keep)
    scale = row.square().sum().item() * moments.trace().item()
    assert pruned.kept.sum() == keep and not pruned.weights[~pruned.kept].any()
    assert len(pruned.saliencies) == inputs - keep
    # steps that are each the best for what is left end at the best weights for the mask
    assert (pruned.weights - best_with(row, pruned.kept, x)).abs().max() <= CLOSE * row.norm()
    error = half_error(row, pruned.weights, x)
    assert pruned.saliencies.sum().item() == pytest.approx(error, abs=CLOSE * scale)
    # the truth: all masks, each with its best weights. Greedy may miss it, and can never beat it.
    masks = itertools.combinations(range(inputs), keep)
    truth = min(half_error(row, best_with(row, list(mask), x), x) for mask in masks)
    assert error >= truth - CLOSE * scale


def test_greedy_may_miss_the_best_mask():
    # Inputs 1 and 2 add up to input 0, nearly. The cheapest first step takes input 0, and then each of the others is
    # needed; the best single input is input 0.
    x = normal(400, 3, seed=3)
    x[:, 0] = x[:, 1] + x[:, 2] + 0.01 * x[:, 0]
    row = torch.tensor([0.2, 1.0, 1.0], dtype=torch.float64)
    pruned = obs_prune_row(row, x.T @ x / 400, keep=1)
    assert not pruned.kept[0]
    assert half_error(row, best_with(row, [0], x), x) < half_error(row, pruned.weights, x) / 10


@given(st.integers(2, 9), st.integers(0, 999), st.data())
@settings(max_examples=20)
def test_inputs_that_do_not_go_together(inputs, seed, draw):
    keep = draw.draw(st.integers(1, inputs))
    row, strengths = normal(inputs, seed=seed), normal(inputs, seed=seed + 1).exp()
    pruned = obs_prune_row(row, torch.diag(strengths), keep)
    # nothing can be made up for, so what stays stays as it is, and the largest w^2 H_jj stay
    assert torch.equal(pruned.weights, torch.where(pruned.kept, row, 0))
    best = (row.square() * strengths).argsort(descending=True)[:keep]
    assert set(best.tolist()) == set(pruned.kept.nonzero()[:, 0].tolist())


@given(st.integers(1, 4), st.integers(2, 8), st.integers(0, 999))
@settings(max_examples=20)
def test_refitting_is_least_squares(rows, inputs, seed):
    (x, moments), weight = samples(inputs, seed), normal(rows, inputs, seed=seed + 2)
    kept = normal(rows, inputs, seed=seed + 3) > 0
    after = refit(weight, kept, moments, damp=0)
    for row, stays, found in zip(weight, kept, after, strict=True):
        assert (found - best_with(row, stays, x)).abs().max() <= CLOSE * row.norm()


def test_refitting_with_damping_is_least_squares_with_one_more_sample_an_input():
    # damp * mean(H_jj) * I is what k more samples, each with one input on, add to the sum
    (x, moments), row = samples(5, 0), normal(5, seed=1)
    more = torch.eye(5).double() * (0.1 * moments.diagonal().mean() * 40).sqrt()
    kept = torch.tensor([True, False, True, True, False])
    after = refit(row[None], kept[None], moments, damp=0.1)[0]
    assert (after - best_with(row, kept, torch.cat([x, more]))).abs().max() <= CLOSE * row.norm()


def test_groups_are_priced_and_refitted_by_themselves():
    layer = nn.Conv2d(4, 4, 2, groups=2, bias=False, dtype=torch.float64).eval()
    x = normal(30, 4, 3, 3)
    moments, scores = input_second_moments(layer, x)[""], optimal_brain_surgeon(layer, x)["weight"]
    kept = normal(*layer.weight.shape, seed=2) > 0
    together = refit(layer.weight.detach(), kept, moments)
    for group in range(2):
        rows = slice(2 * group, 2 * group + 2)
        alone = nn.Conv2d(2, 2, 2, bias=False, dtype=torch.float64).eval()
        alone.weight.data = layer.weight.data[rows].clone()
        expected = optimal_brain_surgeon(alone, x[:, rows])["weight"]
        torch.testing.assert_close(scores[rows], expected, rtol=CLOSE, atol=0)
        expected = refit(alone.weight.detach(), kept[rows], damped(moments[group], 0), damp=0.01)
        torch.testing.assert_close(together[rows], expected, rtol=CLOSE, atol=CLOSE)


def test_a_row_that_keeps_all_is_left_alone():
    row = normal(4)
    pruned = obs_prune_row(row, samples(4, 0)[1], keep=4)
    assert torch.equal(pruned.weights, row) and pruned.kept.all() and len(pruned.saliencies) == 0


def test_what_is_refused():
    with pytest.raises(ValueError, match="weight 1 is gone already; remove one that is left"):
        obs_step(torch.ones(2), torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 1)
    with pytest.raises(ValueError, match=r"expected a row \[k\] and an inverse \[k, k\], got \[1, 2\] and \[2, 2\]"):
        obs_step(torch.ones(1, 2), torch.eye(2), 0)
    with pytest.raises(ValueError, match=r"keep must lie in 1 to the length of one row, got keep=0 for shape \[2\]"):
        obs_prune_row(torch.ones(2), torch.eye(2), 0)
    with pytest.raises(ValueError, match="got keep=3"):
        obs_prune_row(torch.ones(2), torch.eye(2), 3)
    with pytest.raises(ValueError, match="second moments are singular"):
        obs_prune_row(torch.ones(2), torch.ones(2, 2), 1)
    with pytest.raises(ValueError, match="second moments are singular: .*use damp=0.01"):
        optimal_brain_surgeon(nn.Linear(2, 1).eval(), torch.ones(3, 2), damp=0)
    with pytest.raises(ValueError, match=r"kept has shape \[2\] and the weight \[1, 2\]; pass the layer's mask"):
        refit(torch.ones(1, 2), torch.ones(2, dtype=torch.bool), torch.eye(2))
    both = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="second moments are singular: .*use damp=0.01"):
        refit(torch.ones(1, 2), both, torch.ones(2, 2), damp=0)
    assert refit(torch.ones(1, 2), torch.tensor([[True, False]]), torch.ones(2, 2), damp=0).tolist() == [[2, 0]]
