"""SparseGPT: exact identities, an independent account of every column, and its place among the other methods."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import data, zoo
from mini_lib.fit import accuracy
from mini_lib.prune import apply_mask, is_prunable, keep_top, magnitude
from mini_lib.prune.second_order import (
    activation_weighted,
    compare_methods,
    input_second_moments,
    obs_prune_row,
    refit,
    sparse_gpt,
    sparse_gpt_weight,
)
from mini_lib.second_moments import damped, output_error

EPS = 2**-52
# Second moments of 60 samples with damping 0.01 have a condition below 2 * k / 0.01 (largest eigenvalue at most the
# trace, k times the mean; smallest at least 0.01 of the mean): below 2,000 for k up to 8. Each of k columns is moved by
# at most k others through two triangular solves: 2,000 * 8 * 8 * 4 * 2^-52.
CLOSE = 2000 * 8 * 8 * 4 * EPS


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def second_moments(inputs: int, seed: int, groups: int | None = None) -> torch.Tensor:
    """H of inputs that go together."""
    mix = torch.eye(inputs) + 0.5 * normal(*([groups] if groups else []), inputs, inputs, seed=seed)
    x = normal(*([groups] if groups else []), 60, inputs, seed=seed + 1) @ mix
    return x.mT @ x / 60


def how(density_or_pair) -> dict:
    return {"n_of_m": density_or_pair} if isinstance(density_or_pair, tuple) else {"density": density_or_pair}


CHOICES = st.sampled_from([0.25, 0.5, 0.6, 0.875, (2, 4), (1, 2), (3, 4), (1, 4)])


def test_two_weights_by_hand():
    # H = [[2, 1], [1, 1]], H^-1 = [[1, -1], [-1, 2]], U = [[1, -1], [0, 1]]. Prices w^2 / U_ii^2: 1 and 4, so the
    # first weight goes, and the second moves by -1 / 1 * -1 = +1.
    moments = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    weight, kept = sparse_gpt_weight(torch.tensor([[1.0, 2.0]]), moments, density=0.5, damp=0)
    assert kept.tolist() == [[False, True]]
    # a few roundings of numbers below 4 in float64, then one to float32
    assert weight[0, 0] == 0 and weight[0, 1].item() == pytest.approx(3.0, abs=2**-22)
    # y = x_1 + 2 x_2 became 3 x_2: D = (-1, 1), D H D^T = 1, of W H W^T = 2 + 4 + 4 = 10
    assert output_error(torch.tensor([[1.0, 2.0]]), weight, moments) == pytest.approx(0.1, abs=2**-22)


@given(st.integers(1, 5), st.sampled_from([4, 8, 12]), st.sampled_from([4, 8, 128]), CHOICES, st.integers(0, 999))
@settings(max_examples=40)
def test_isotropic_inputs_make_it_magnitude_pruning(rows, inputs, block, choice, seed):
    weight = normal(rows, inputs, seed=seed)
    after, kept = sparse_gpt_weight(weight, 3.0 * torch.eye(inputs), block=block, **how(choice))
    assert torch.equal(after, torch.where(kept, weight, 0))  # nothing moves
    if isinstance(choice, tuple):
        groups = kept.reshape(-1, choice[1])
        expected = weight.abs().reshape(-1, choice[1]).argsort(dim=1, descending=True)[:, : choice[0]]
        assert groups.sum(1).tolist() == [choice[0]] * len(groups) and groups.gather(1, expected).all()
    elif block >= inputs:
        assert torch.equal(kept, keep_top({"w": weight.abs()}, choice, "layer")["w"])
    else:
        for start in range(0, inputs, block):
            part, stays = weight[:, start : start + block].abs(), kept[:, start : start + block]
            assert not stays.any() or stays.all() or part[stays].min() > part[~stays].max()


@given(st.integers(1, 5), st.sampled_from([4, 8]), CHOICES, st.integers(0, 999))
@settings(max_examples=40)
def test_inputs_that_do_not_go_together_make_it_wandas_ranking(rows, inputs, choice, seed):
    weight, strengths = normal(rows, inputs, seed=seed), normal(inputs, seed=seed + 1).exp()
    after, kept = sparse_gpt_weight(weight, torch.diag(strengths), damp=0, **how(choice))
    assert torch.equal(after, torch.where(kept, weight, 0))
    scores = weight.abs() * strengths.sqrt()
    if isinstance(choice, tuple):
        order = scores.reshape(-1, choice[1]).argsort(dim=1, descending=True)[:, : choice[0]]
        assert kept.reshape(-1, choice[1]).gather(1, order).all() and kept.sum() == order.numel()
    else:
        assert torch.equal(kept, keep_top({"w": scores}, choice, "layer")["w"])


@given(st.integers(1, 4), st.sampled_from([4, 8]), st.sampled_from([4, 8, 128]), CHOICES, st.integers(0, 999))
@settings(max_examples=60)
def test_the_error_is_the_sum_of_what_each_removal_cost(rows, inputs, block, choice, seed):
    # Let E_ri = w_ri / U_ii when weight (r, i) goes and 0 where one stays. Then D = -E U, so E can be read off from D,
    # and since H^-1 = U^T U, D H D^T = E U H U^T E^T = E E^T: the error is the sum of squares.
    weight, moments = normal(rows, inputs, seed=seed), second_moments(inputs, seed + 1)
    after, kept = sparse_gpt_weight(weight, moments, block=block, **how(choice))
    used = damped(moments, 0.01)
    upper = torch.from_numpy(np.linalg.cholesky(np.linalg.inv(used.numpy()))).mT
    change = after - weight
    prices = torch.linalg.solve_triangular(upper, -change, upper=True, left=False)
    scale = weight.norm() * used.trace().sqrt()
    assert prices[kept].abs().max() <= CLOSE * scale if kept.any() else True
    assert not after[~kept].any()
    error = (change @ used * change).sum()
    assert abs(prices.square().sum() - error) <= CLOSE * scale**2


def by_the_book(weight: np.ndarray, moments: np.ndarray, block: int, density, n_of_m):
    """SparseGPT without its shortcuts: no Cholesky, no running update, a least-squares problem for every column.

    At column i the columns before it are settled. A removal there costs w^2 / [(H_F)^-1]_00, F = the columns from i on.
    The columns after it are the ones that, with those before as they are, come closest to the old output.
    """
    rows, inputs = weight.shape
    settled, kept, counted = weight.copy(), np.ones(weight.shape, dtype=bool), 0
    root = np.linalg.cholesky(moments).T  # |root d|^2 = d H d^T
    free = [np.linalg.inv(moments[i:, i:])[0, 0] for i in range(inputs)]

    def best_after(row: int, i: int) -> np.ndarray:
        """What row would be with its columns before i as settled, and the others as good as they can be."""
        now = settled[row].copy()
        gone = root[:, :i] @ (weight[row, :i] - settled[row, :i])
        now[i:] = weight[row, i:] + np.linalg.lstsq(root[:, i:], gone, rcond=None)[0]
        return now

    for i in range(inputs):
        now = np.stack([best_after(row, i) for row in range(rows)])
        if (n_of_m and i % n_of_m[1] == 0) or (not n_of_m and i % block == 0):
            end = i + n_of_m[1] if n_of_m else min(i + block, inputs)
            prices = now[:, i:end] ** 2 / np.array(free[i:end])
            if n_of_m:
                for row in range(rows):
                    kept[row, i + np.argsort(-prices[row], kind="stable")[n_of_m[0] :]] = False
            else:
                stays = round(density * (rows * end)) - counted
                counted += stays
                flat = np.zeros(prices.size, dtype=bool)
                flat[np.argsort(-prices.ravel(), kind="stable")[:stays]] = True
                kept[:, i:end] = flat.reshape(prices.shape)
        settled[:, i] = np.where(kept[:, i], now[:, i], 0)
    return settled, kept


@given(st.integers(1, 4), st.sampled_from([4, 8]), st.sampled_from([4, 8, 128]), CHOICES, st.integers(0, 999))
@settings(max_examples=60)
def test_every_column_against_least_squares(rows, inputs, block, choice, seed):
    weight, moments = normal(rows, inputs, seed=seed), second_moments(inputs, seed + 1)
    after, kept = sparse_gpt_weight(weight, moments, block=block, **how(choice))
    asked = {"density": None, "n_of_m": None} | how(choice)
    expected, stays = by_the_book(weight.numpy(), damped(moments, 0.01).numpy(), block, **asked)
    assert np.array_equal(kept.numpy(), stays)
    assert np.abs(after.numpy() - expected).max() <= CLOSE * weight.norm()


@given(st.sampled_from([2, 4, 5, 8]), CHOICES, st.integers(0, 999))
@settings(max_examples=40)
def test_it_is_bounded_by_the_best_weights_and_by_the_best_mask(inputs, choice, seed):
    if isinstance(choice, tuple):
        choice = choice[0] / choice[1]
    weight, moments = normal(1, inputs, seed=seed), second_moments(inputs, seed + 1)
    used = damped(moments, 0.01)
    after, kept = (
        sparse_gpt_weight(weight, moments, density=choice) if round(choice * inputs) else (weight, weight > -9)
    )
    error = output_error(weight, after, used)
    assert error >= output_error(weight, refit(weight, kept, used, damp=0), used) - CLOSE * inputs
    masks = []
    for stay in itertools.combinations(range(inputs), int(kept.sum())):
        masks.append(torch.zeros(1, inputs, dtype=torch.bool).index_fill_(1, torch.tensor(stay), True))
    truth = min(output_error(weight, refit(weight, mask, used, damp=0), used) for mask in masks)
    assert error >= truth - CLOSE * inputs
    surgeon = obs_prune_row(weight[0], used, int(kept.sum())).weights[None]
    assert output_error(weight, surgeon, used) >= truth - CLOSE * inputs


@given(st.integers(1, 7), st.integers(1, 11), st.integers(1, 12), st.floats(0.05, 1), st.integers(0, 99))
@settings(max_examples=60)
def test_counts_are_exact(rows, inputs, block, density, seed):
    weight = normal(rows, inputs, seed=seed)
    if round(density * weight.numel()) == 0:
        return
    after, kept = sparse_gpt_weight(weight, second_moments(inputs, seed), density=density, block=block)
    assert kept.sum() == round(density * (rows * inputs))
    for end in range(block, inputs, block):
        assert kept[:, :end].sum() == round(density * (rows * end))
    assert after.shape == weight.shape and after.dtype == weight.dtype


def test_the_block_changes_who_competes_and_not_the_arithmetic():
    # with n:m the mask does not depend on the block, and the columns behind it move by the same sums
    weight, moments = normal(3, 16, seed=1), second_moments(16, 2)
    (one, kept), (other, same) = (sparse_gpt_weight(weight, moments, n_of_m=(2, 4), block=size) for size in (4, 128))
    assert torch.equal(kept, same) and (one - other).abs().max() <= 16 * CLOSE


@pytest.mark.parametrize("n_of_m", [(2, 4), (1, 2)])
def test_groups_are_layers_of_their_own(n_of_m):
    weight, moments = normal(6, 2, 2, 2, seed=1), second_moments(8, 2, groups=3)
    together, kept = sparse_gpt_weight(weight, moments, n_of_m=n_of_m)
    for group in range(3):
        rows = slice(2 * group, 2 * group + 2)
        alone, stays = sparse_gpt_weight(weight[rows], moments[group], n_of_m=n_of_m)
        assert torch.equal(kept[rows], stays) and (together[rows] - alone).abs().max() <= CLOSE * weight.norm()


def test_groups_share_one_density():
    # the second group reads inputs 100 times as strong, so all that goes, goes from the first
    weight, moments = torch.ones(2, 4), torch.stack([torch.eye(4), 1e4 * torch.eye(4)])
    _, kept = sparse_gpt_weight(weight, moments, density=0.5)
    assert kept.tolist() == [[False] * 4, [True] * 4]


def test_later_layers_read_what_pruned_ones_give():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    x = normal(50, 8).float()
    pruned, mask = sparse_gpt(model, x, density=0.5)
    first, kept = sparse_gpt_weight(model[0].weight, input_second_moments(model, x)["0"], density=0.5)
    assert torch.equal(pruned[0].weight, first) and torch.equal(mask["0.weight"], kept)
    half = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), model[2]).eval()
    half[0].weight.data, half[0].bias.data = first.data, model[0].bias.data
    moments = input_second_moments(half, x)["2"]
    assert not torch.equal(moments, input_second_moments(model, x)["2"])
    second, kept = sparse_gpt_weight(model[2].weight, moments, density=0.5)
    assert torch.equal(pruned[2].weight, second) and torch.equal(mask["2.weight"], kept)


def test_layers_are_taken_in_the_order_in_which_they_run():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.second(self.first(x).relu())

    torch.manual_seed(1)
    model, x = Backwards().eval(), normal(50, 4).float()
    pruned, mask = sparse_gpt(model, x, density=0.5)
    expected, _ = sparse_gpt_weight(model.first.weight, input_second_moments(model, x)["first"], density=0.5)
    assert torch.equal(pruned.first.weight, expected) and list(mask) == ["second.weight", "first.weight"]


def test_the_model_that_comes_back():
    model = zoo.load("small_cnn")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = data.fashion().train.first(50).images
    no_first = lambda name, module: is_prunable(name, module) and name != "conv1"  # noqa: E731
    pruned, mask = sparse_gpt(model, x, n_of_m=(2, 4), where=no_first)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert list(mask) == ["conv2.weight", "conv3.weight", "conv4.weight", "linear.weight"] and mask.density == 0.5
    mask.check(model)
    for name, value in pruned.state_dict().items():
        if name in mask.tensors:
            assert not value[~mask[name]].any()
            assert mask[name].reshape(-1, 4).sum(1).unique().tolist() == [2]
        else:
            assert torch.equal(value, before[name])
    assert not pruned.training and all(parameter.requires_grad for parameter in pruned.parameters())


def outliers(seed: int) -> tuple[nn.Module, torch.Tensor]:
    """A linear layer behind features of which a few are 20 times as strong, and all of which go together a little."""
    torch.manual_seed(seed)
    layer = nn.Linear(64, 32, bias=False)
    strengths = torch.ones(64).index_fill_(0, torch.randperm(64)[:4], 20.0)
    mix = torch.eye(64) + 0.05 * torch.randn(64, 64)
    return nn.Sequential(layer).eval(), (torch.randn(512, 64) @ mix) * strengths


def table(rows) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row.layer, {})[row.method] = row.output_error
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("choice", [0.5, 0.25, (2, 4)])
def test_the_published_order_where_some_features_are_strong(seed, choice):
    model, x = outliers(seed)
    found = table(compare_methods(model, x, **how(choice)))["0"]
    assert found["SparseGPT"] < found["Wanda"] < found["magnitude"]
    # and the best weights for a mask are at least as good as those that it had
    assert found["Wanda, refit"] < found["Wanda"] and found["magnitude, refit"] < found["magnitude"]


@pytest.mark.parametrize("name, choice", [("small_cnn", (2, 4)), ("depthwise_cnn", 0.5), ("lenet_300_100", (2, 4))])
def test_on_trained_models_it_beats_a_mask_alone_in_every_layer(name, choice):
    fits = lambda name, module: is_prunable(name, module) and module.weight[0].numel() % 4 == 0  # noqa: E731
    where = fits if isinstance(choice, tuple) else is_prunable
    found = table(compare_methods(zoo.load(name), data.fashion().train.first(100).images, where=where, **how(choice)))
    assert all(errors["SparseGPT"] < min(errors["Wanda"], errors["magnitude"]) for errors in found.values())


def test_accuracy_follows_the_error_except_where_loud_channels_hide_quiet_ones():
    splits = data.fashion()
    calibration, validation = splits.train.first(100).images, splits.validation

    def pruned(model, where=is_prunable):
        scores = {"magnitude": magnitude(model, where), "Wanda": activation_weighted(model, calibration, where)}
        found = {score: apply_mask(model, keep_top(scores[score], 0.5, "layer")) for score in scores}
        found["SparseGPT"] = sparse_gpt(model, calibration, density=0.5, where=where)[0]
        return found, {method: accuracy(one, validation) for method, one in found.items()}

    _, wide = pruned(zoo.load("small_cnn"))
    assert wide["SparseGPT"] > wide["Wanda"] + 0.05 and wide["Wanda"] > wide["magnitude"]

    # A depthwise channel of small output costs little error, so all its nine weights go: but the batch norm behind
    # makes all channels equally loud, and it is missed. Less error in each layer, and fewer pictures right.
    model = zoo.load("depthwise_cnn")
    models, thin = pruned(model)
    empty = {
        method: sum(
            int((weight.flatten(1) == 0).all(1).sum())
            for name, weight in one.named_parameters()
            if name.startswith("depthwise") and name.endswith(".weight") and weight.dim() == 4
        )
        for method, one in models.items()
    }
    assert empty["SparseGPT"] > 10 > empty["magnitude"] and thin["SparseGPT"] < thin["magnitude"]
    _, without = pruned(model, lambda name, module: is_prunable(name, module) and not name.startswith("depthwise"))
    assert without["SparseGPT"] > without["Wanda"] + 0.05 and without["Wanda"] > without["magnitude"]


def test_a_dead_layer_is_pruned_by_magnitude():
    weight, kept = sparse_gpt_weight(torch.tensor([[1.0, -3.0]]), torch.zeros(2, 2), density=0.5)
    assert weight.tolist() == [[0.0, -3.0]] and kept.tolist() == [[False, True]]


def test_what_is_refused():
    weight, moments = torch.ones(2, 6), torch.eye(6)
    for asked, says in (
        ({}, "give either density or n_of_m, got density=None and n_of_m=None"),
        ({"density": 0.5, "n_of_m": (2, 4)}, "give either density or n_of_m"),
        ({"density": 0}, r"density must lie in \(0, 1\], got 0; 0.2 keeps a fifth"),
        ({"density": 0.01}, "density 0.01 would prune it to nothing: 0 of 12 weights; use a higher density"),
        ({"density": 0.5, "block": 0}, "block must be a whole number of 1 or more, got 0; the paper has 128"),
        ({"density": 0.5, "damp": -1}, "damp must be a finite number of 0 or more, got -1"),
        ({"n_of_m": (5, 4)}, r"n_of_m: n must be a whole number from 1 to 4, got 5; \(2, 4\) keeps two of each four"),
        ({"n_of_m": (0, 4)}, r"n must be a whole number from 1 to 4, got 0; \(2, 4\) keeps two of each four"),
        ({"n_of_m": (2, 4)}, "groups of 4 do not fill the 6 inputs of a row; leave the layer out in where"),
        ({"n_of_m": (1, 3), "block": 4}, "groups of 3 do not fill a block of 4 columns; use a block that 3 divides"),
    ):
        with pytest.raises(ValueError, match=says):
            sparse_gpt_weight(weight, moments, **asked)
    with pytest.raises(ValueError, match="do not fit a weight of shape"):
        sparse_gpt_weight(weight, torch.eye(5), density=0.5)
    with pytest.raises(ValueError, match="second moments are singular: .*use damp=0.01"):
        sparse_gpt_weight(weight, torch.ones(6, 6), density=0.5, damp=0)

    model = zoo.small_cnn().eval()
    with pytest.raises(ValueError, match="layer 'conv1': groups of 4 do not fill the 9 inputs of a row"):
        sparse_gpt(model, torch.zeros(1, 1, 28, 28), n_of_m=(2, 4))
    with pytest.raises(ValueError, match="layer 'conv1': density 2 must|layer 'conv1': density must lie"):
        sparse_gpt(model, torch.zeros(1, 1, 28, 28), density=2)
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\) first"):
        sparse_gpt(model.train(), torch.zeros(1, 1, 28, 28), density=0.5)
    with pytest.raises(ValueError, match="scope must be 'row' or 'layer', got 'global'; each layer is pruned alone"):
        compare_methods(model.eval(), torch.zeros(1, 1, 28, 28), 0.5, scope="global")
    with pytest.raises(ValueError, match="layer 'conv1': give either density or n_of_m"):
        compare_methods(model, torch.ones(1, 1, 28, 28))
