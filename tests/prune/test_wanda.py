"""Wanda: by hand, against its formula in numpy and torchao, and where it is the best that a mask alone can be."""

import importlib
import itertools
import os
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import data, zoo
from mini_lib.prune import Mask, apply_mask, keep_top, magnitude
from mini_lib.prune.second_order import (
    activation_weighted,
    input_second_moments,
    optimal_brain_damage,
    optimal_brain_surgeon,
)
from mini_lib.second_moments import output_error

EPS = 2**-52


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def one_layer(weight: torch.Tensor) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return nn.Sequential(layer).eval()


def orthogonal_inputs(strengths: torch.Tensor) -> torch.Tensor:
    """Inputs whose second moments are exactly diagonal: one input at a time is on. H_jj = strength^2."""
    return torch.diag(strengths * len(strengths) ** 0.5)


def test_a_weight_by_hand():
    # input norms over three samples: sqrt(9 + 0 + 16) = 5 and sqrt(1 + 4 + 4) = 3; ours are theirs over sqrt(3)
    model, x = one_layer(torch.tensor([[1.0, -2.0], [3.0, 0.0]])), torch.tensor([[3.0, 1.0], [0.0, 2.0], [4.0, 2.0]])
    expected = torch.tensor([[5.0, 6.0], [15.0, 0.0]], dtype=torch.float64) / 3**0.5
    # a mean, a root and a product: a few roundings of numbers below 15
    assert (activation_weighted(model, x)["0.weight"] - expected).abs().max() <= 4 * 15 * EPS


def test_a_language_models_layer_against_numpy():
    # as in the paper's figure 1: inputs [N, L, in] are flattened to [N * L, in], and each column has its norm
    weight, x = normal(5, 8), normal(3, 7, 8, seed=1)
    theirs = np.abs(weight.numpy().astype(float)) * np.linalg.norm(x.numpy().astype(float).reshape(-1, 8), axis=0)
    ours = activation_weighted(one_layer(weight), x)["0.weight"].numpy() * 21**0.5
    # sums of 21 squares, relative to themselves
    np.testing.assert_allclose(ours, theirs, rtol=30 * EPS)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_convolution_against_numpy(groups):
    layer = nn.Conv2d(6, 12, 3, stride=2, padding=1, groups=groups).eval()
    x = normal(4, 6, 9, 9)
    padded = np.pad(x.numpy().astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros(layer.weight.shape)
    for out, inner, down, right in np.ndindex(*expected.shape):
        channel = out // (12 // groups) * (6 // groups) + inner
        seen = padded[:, channel, down : down + 9 : 2, right : right + 9 : 2]
        expected[out, inner, down, right] = abs(layer.weight[out, inner, down, right].item()) * np.sqrt(
            np.mean(seen**2)
        )
    # sums of 100 squares, relative to themselves
    np.testing.assert_allclose(activation_weighted(layer, x)["weight"].numpy(), expected, rtol=110 * EPS)


def torchao_mask(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """What torchao's Wanda keeps of one layer at sparsity 0.5."""
    if os.environ.get("CI"):
        wanda = importlib.import_module("torchao.sparsity.wanda")
    else:
        wanda = pytest.importorskip("torchao.sparsity.wanda", reason="torchao is not there: pip install -e '.[test]'")
    model = nn.Sequential(nn.Linear(layer.in_features, layer.out_features, bias=False)).eval()
    model[0].weight.data = layer.weight.data.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparsifier = wanda.WandaSparsifier(sparsity_level=0.5)
        sparsifier.prepare(model, config=None)
        model(x)
        sparsifier.step()
        sparsifier.squash_mask()
    return model[0].weight != 0


@pytest.mark.parametrize("seed", range(5))
def test_one_row_equals_torchao(seed):
    # torchao multiplies by the squared norm. The norm of one sample is |x|, so it is given sqrt|x|.
    model, x = one_layer(normal(1, 12, seed=seed)), normal(1, 12, seed=100 + seed)
    ours = keep_top(activation_weighted(model, x), 0.5, "row")["0.weight"]
    assert torch.equal(ours, torchao_mask(model[0], x.abs().sqrt()))


def test_torchao_ranks_the_whole_layer_and_the_paper_each_row():
    model = one_layer(torch.tensor([[1.0, 2.0, 3.0, 4.0], [50.0, 60.0, 70.0, 80.0]]))
    x = torch.ones(1, 4)
    scores = activation_weighted(model, x)
    by_row, by_layer = (keep_top(scores, 0.5, scope)["0.weight"] for scope in ("row", "layer"))
    assert by_row.sum(1).tolist() == [2, 2] and by_row.tolist() == [[False, False, True, True]] * 2
    assert by_layer.sum(1).tolist() == [0, 4] and torch.equal(by_layer, torchao_mask(model[0], x))


def test_scores_do_not_grow_with_the_calibration_data():
    model, x = one_layer(normal(3, 4)), normal(10, 4, seed=1)
    once, thrice = activation_weighted(model, x), activation_weighted(model, [x, x, x])
    # sums of at most 30 squares, and the root halves what is left
    torch.testing.assert_close(once["0.weight"], thrice["0.weight"], rtol=30 * EPS, atol=0)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 999))
@settings(max_examples=30)
def test_brain_damage_is_half_the_square(rows, inputs, seed):
    model, x = one_layer(normal(rows, inputs, seed=seed)), normal(7, inputs, seed=seed + 1)
    wanda, damage = activation_weighted(model, x)["0.weight"], optimal_brain_damage(model, x)["0.weight"]
    torch.testing.assert_close(damage, wanda.square() / 2, rtol=8 * EPS, atol=0)


@given(st.integers(2, 8), st.integers(0, 999))
@settings(max_examples=30)
def test_all_three_rank_alike_where_inputs_do_not_go_together(inputs, seed):
    model = one_layer(normal(3, inputs, seed=seed))
    x = orthogonal_inputs(normal(inputs, seed=seed + 1).abs() + 0.1)
    scores = activation_weighted(model, x), optimal_brain_damage(model, x), optimal_brain_surgeon(model, x, damp=0)
    first, *others = (score["0.weight"].argsort(dim=1) for score in scores)
    assert all(torch.equal(first, other) for other in others)
    # w^2 H_jj / 2 = w^2 / (2 [H^-1]_jj) for a diagonal H
    torch.testing.assert_close(scores[1]["0.weight"], scores[2]["0.weight"], rtol=16 * EPS, atol=0)


@given(st.integers(2, 8), st.sampled_from([0.25, 0.5, 0.75]), st.integers(0, 999))
@settings(max_examples=20)
def test_no_mask_is_better_where_inputs_do_not_go_together(inputs, density, seed):
    weight = normal(1, inputs, seed=seed)
    model, x = one_layer(weight), orthogonal_inputs(normal(inputs, seed=seed + 1).exp())
    count = round(density * inputs)
    if count == 0:
        return
    moments = input_second_moments(model, x)["0"]
    masks = [
        torch.zeros(1, inputs).index_fill_(1, torch.tensor(stay), 1)
        for stay in itertools.combinations(range(inputs), count)
    ]
    scores = {"Wanda": activation_weighted(model, x), "magnitude": magnitude(model)}
    kept = {name: keep_top(score, density, "row")["0.weight"] for name, score in scores.items()}
    errors = {name: output_error(weight, weight * mask, moments) for name, mask in kept.items()}
    least = min(output_error(weight, weight * mask, moments) for mask in masks)
    # the same sum of at most 8 terms, in float64
    assert errors["Wanda"] == pytest.approx(least, rel=100 * EPS, abs=100 * EPS)
    assert errors["Wanda"] <= errors["magnitude"] * (1 + 100 * EPS) + 100 * EPS


def test_it_cannot_see_that_inputs_go_together():
    # The strong first two inputs cancel: with the weights 1 and 1 they add nothing, and both can go. Wanda keeps them.
    weight, x = torch.tensor([[1.0, 1.0, 1.0, 1.0]]), torch.tensor([[9.0, -9.0, 1.0, 0.0], [-9.0, 9.0, 0.0, 1.0]])
    model = one_layer(weight)
    kept = keep_top(activation_weighted(model, x), 0.5, "row")["0.weight"]
    assert kept.tolist() == [[True, True, False, False]]
    moments = input_second_moments(model, x)["0"]
    assert output_error(weight, weight * kept, moments) == 1 and output_error(weight, weight * ~kept, moments) == 0


def errors_of_masks(model, calibration, layers) -> dict[str, dict[str, float]]:
    """The output error of half of each row's weights, chosen by either score; nothing is refitted."""
    moments, found = input_second_moments(model, calibration), {}
    scores = {"magnitude": magnitude(model), "Wanda": activation_weighted(model, calibration)}
    masks = {name: keep_top(score, 0.5, "row") for name, score in scores.items()}
    for layer in layers:
        weight = model.get_submodule(layer).weight.detach()
        found[layer] = {
            name: output_error(weight, weight * mask[f"{layer}.weight"], moments[layer]) for name, mask in masks.items()
        }
    return found


def test_layers_of_trained_models():
    # Behind batch norm and ReLU channels differ in strength, and Wanda does better; with one input channel it cannot.
    calibration = data.fashion().train.first(100).images
    found = errors_of_masks(zoo.load("small_cnn"), calibration, ("conv2", "conv3", "conv4"))
    assert all(errors["Wanda"] < errors["magnitude"] for errors in found.values())
    # Pixels of the border are always black: after standardisation strong, and all the same. Wanda keeps them all.
    found = errors_of_masks(zoo.load("lenet_300_100"), calibration, ("linear1", "linear2"))
    assert found["linear1"]["Wanda"] > 1.2 * found["linear1"]["magnitude"]
    assert found["linear2"]["Wanda"] < found["linear2"]["magnitude"]


def test_its_mask_is_one_for_the_model():
    model = zoo.load("depthwise_cnn")
    mask = keep_top(activation_weighted(model, data.fashion().train.first(20).images), 0.5, "row")
    assert isinstance(mask, Mask) and mask["depthwise1.weight"].flatten(1).sum(1).tolist() == [4] * 16
    assert (apply_mask(model, mask).depthwise1.weight != 0).flatten(1).sum(1).tolist() == [4] * 16


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\) first"):
        activation_weighted(nn.Linear(2, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match="calibration batch 0 holds NaN"):
        activation_weighted(nn.Linear(2, 2).eval(), torch.full((1, 2), torch.nan))
    with pytest.raises(TypeError, match="layer '0': it is a Embedding"):
        activation_weighted(nn.Sequential(nn.Embedding(2, 2)).eval(), torch.ones(1, 2), lambda name, _: name == "0")
