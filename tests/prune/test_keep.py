"""From scores to a mask: torch's own pruning, cases worked by hand, and counts that must hold for all scores."""

import copy
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from mini_lib.prune import Mask, keep_top, magnitude, random_scores
from mini_lib.prune.keep import keep_top_per_layer

SCOPES = ("global", "layer", "row")
SHAPES = ({"a": (7,)}, {"a": (4, 5), "b": (3, 1)}, {"a": (6, 2, 3, 3), "b": (5, 6), "c": (10, 5)})


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def distinct(shapes, seed=0):
    """Scores of these shapes that are all different, in random order."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [torch.Size(shape).numel() for shape in shapes.values()]
    parts = torch.randperm(sum(sizes), generator=generator).float().split(sizes)
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts)}


def tied(shapes, seed=0):
    """Scores with only four different values: nearly every decision is between equals."""
    return {name: values % 4 for name, values in distinct(shapes, seed).items()}


def net(seed=0):
    """Three layers whose weights are of one size, so that none is emptied, and all different."""
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Flatten(), nn.Linear(54, 20), nn.Linear(20, 4))
    normal_(model, seed)
    return model


def normal_(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator)
    sizes = torch.cat([weight.flatten().abs() for weight in model.parameters()])
    assert sizes.unique().numel() == sizes.numel()  # no ties, which torch breaks as it likes


any_scores = st.builds(
    lambda make, shapes, seed: make(shapes, seed),
    st.sampled_from((distinct, tied)),
    st.sampled_from(SHAPES),
    st.integers(0, 99),
)
any_density = st.floats(min_value=0.01, max_value=1.0)


def keep_or_nothing(*arguments, **named):
    """The mask, or None where a layer would be pruned to nothing, which is an error by design."""
    try:
        return keep_top(*arguments, **named)
    except ValueError as error:
        assert "to nothing" in str(error)
        return None


def competitors(tensors, scope):
    """All groups of weights that compete with each other, as vectors."""
    if scope == "global":
        return [torch.cat([tensor.flatten() for tensor in tensors.values()])]
    if scope == "layer":
        return [tensor.flatten() for tensor in tensors.values()]
    return [row.flatten() for tensor in tensors.values() for row in tensor]


# --- by hand -------------------------------------------------------------------------------------------------------

BY_HAND = {"first": torch.tensor([[1.0, 8.0], [7.0, 6.0]]), "second": torch.tensor([[5.0, 4.0], [3.0, 2.0]])}


def test_the_three_scopes_by_hand():
    # Globally the four best of eight are 8, 7, 6, 5; of each layer 8, 7 and 5, 4; of each row 8 | 7 and 5 | 3.
    found = {scope: keep_top(BY_HAND, 0.5, scope) for scope in SCOPES}
    assert {scope: [mask[name].int().tolist() for name in mask] for scope, mask in found.items()} == {
        "global": [[[0, 1], [1, 1]], [[1, 0], [0, 0]]],
        "layer": [[[0, 1], [1, 0]], [[1, 1], [0, 0]]],
        "row": [[[0, 1], [1, 0]], [[1, 0], [1, 0]]],
    }
    assert keep_top(BY_HAND, 0.5) == found["global"]


def test_the_row_of_a_convolution_is_a_filter():
    scores = {"conv": torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[40.0, 30.0]], [[20.0, 10.0]]]])}  # [2, 2, 1, 2]
    assert keep_top(scores, 0.5, "row")["conv"].int().tolist() == [[[[0, 0]], [[1, 1]]], [[[1, 1]], [[0, 0]]]]


def test_at_least_is_taken_from_the_others_globally():
    # Three of eight: 8, 7, 6 without, and 8, 7, 5 with one for each layer.
    scores = {"first": BY_HAND["first"], "second": BY_HAND["second"]}
    mask = keep_top(scores, 3 / 8, at_least=1)
    assert mask["first"].int().tolist() == [[0, 1], [1, 0]]
    assert mask["second"].int().tolist() == [[1, 0], [0, 0]]


def test_at_least_raises_too_small_a_share_within_a_layer():
    # A tenth of four rounds to none. Two rows give one each.
    assert keep_top({"w": BY_HAND["first"]}, 0.1, "layer", at_least=1)["w"].int().tolist() == [[0, 1], [0, 0]]
    assert keep_top({"w": BY_HAND["first"]}, 0.1, "row", at_least=1)["w"].int().tolist() == [[0, 1], [1, 0]]
    assert keep_top({"w": BY_HAND["first"]}, 0.1, "row", at_least=3)["w"].all()


def test_half_a_weight_is_rounded_to_the_even_number():
    five = {"w": torch.arange(5.0)}
    assert keep_top(five, 0.5)["w"].tolist() == [False, False, False, True, True]  # 2.5 -> 2
    assert keep_top(five, 0.7)["w"].sum() == 4  # 3.5 -> 4


def test_infinite_scores_and_signed_zeros_have_a_rank():
    scores = {"w": torch.tensor([-torch.inf, 0.0, -0.0, torch.inf])}
    assert keep_top(scores, 0.25)["w"].tolist() == [False, False, False, True]
    assert keep_top(scores, 0.5)["w"].tolist() == [False, True, False, True]  # equal: the first
    # What is out ranks below a score of minus infinity that is still in.
    among = Mask({"w": torch.tensor([True, False, False, False])})
    assert keep_top(scores, 0.25, among=among) == among


def test_small_differences_count_in_the_scores_own_precision():
    # 1 and the float64 after it are one float32. Layers of several precisions compete as they are.
    scores = {"a": torch.tensor([1.0, 1 + 2**-52], dtype=torch.float64), "b": torch.tensor([2.0, 0.5])}
    assert keep_top(scores, 0.5)["a"].tolist() == [False, True]


# --- torch's own pruning -------------------------------------------------------------------------------------------


def agreeing(total):
    """Densities d for which torch, that prunes round((1 - d) * n), keeps the round(d * n) that we keep."""
    found = [
        density
        for density in (0.9, 0.75, 0.5, 0.31, 0.2, 0.1, 0.05)
        if total - round((1 - density) * total) == round(density * total)
    ]
    assert len(found) >= 4
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_layers_mask_is_that_of_torch_l1_unstructured(seed):
    for layer in (nn.Linear(54, 20), nn.Conv2d(2, 6, 3), nn.Conv1d(3, 5, 7)):
        normal_(layer, seed)
        for density in agreeing(layer.weight.numel()):
            theirs = torch_prune.l1_unstructured(copy.deepcopy(layer), "weight", amount=1 - density)
            assert torch.equal(keep_top(magnitude(layer), density, "layer")["weight"], theirs.weight_mask.bool())


@pytest.mark.parametrize("seed", range(3))
def test_the_global_mask_is_that_of_torch_global_unstructured(seed):
    total = sum(values.numel() for values in magnitude(net()).values())
    for density in agreeing(total):
        theirs = net(seed)
        torch_prune.global_unstructured(
            [(theirs[place], "weight") for place in (0, 2, 3)], torch_prune.L1Unstructured, amount=1 - density
        )
        ours = keep_top(magnitude(net(seed)), density)
        for place in (0, 2, 3):
            assert torch.equal(ours[f"{place}.weight"], theirs[place].weight_mask.bool())


def test_random_pruning_takes_as_many_as_torch_random_unstructured():
    model = net()
    theirs = torch_prune.random_unstructured(net()[2], "weight", amount=0.8)
    ours = keep_top(random_scores(model, seed=0), 0.2, "layer")
    assert ours["2.weight"].sum() == theirs.weight_mask.sum() == 216  # a fifth of 1080


def test_pruning_what_is_left_is_torchs_second_pruning():
    # torch prunes a share of the survivors: 1080 -> 540 -> 135, an eighth. Given as one density among the survivors.
    layer = net()[2]
    first = keep_top(magnitude(layer), 0.5)
    second = keep_top(random_scores(layer, seed=1), 0.125, among=first)
    torch_prune.l1_unstructured(layer, "weight", amount=0.5)
    torch_prune.l1_unstructured(layer, "weight", amount=0.75, importance_scores=random_scores_of(layer, seed=1))
    assert torch.equal(second["weight"], layer.weight_mask.bool())


def random_scores_of(layer, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(layer.weight.shape, generator=generator)


# --- properties ----------------------------------------------------------------------------------------------------


@given(any_scores, any_density, st.sampled_from(SCOPES))
def test_exactly_the_rounded_count_stays_and_none_that_is_out_is_better(scores, density, scope):
    mask = keep_or_nothing(scores, density, scope)
    if mask is None:
        return
    assert list(mask) == list(scores)
    assert all(mask[name].shape == scores[name].shape for name in mask)
    for kept, score in zip(competitors(mask.tensors, scope), competitors(scores, scope)):
        assert kept.sum() == round(density * kept.numel())
        if not kept.all() and kept.any():
            worst, best_out = score[kept].min(), score[~kept].max()
            assert worst >= best_out
            # Among equals at the edge the kept ones come first.
            edge = kept[score == worst]
            assert not (edge[1:] & ~edge[:-1]).any()


@given(any_scores, any_density, any_density, st.sampled_from(SCOPES))
def test_a_lower_density_keeps_a_part_of_a_higher_one(scores, one, other, scope):
    low, high = (keep_or_nothing(scores, density, scope) for density in sorted((one, other)))
    if low is None:
        return
    assert all(not (low[name] & ~high[name]).any() for name in low)
    # So pruning in steps with unchanged scores ends where pruning at once does.
    assert keep_top(scores, min(one, other), scope, among=high) == low


@given(any_scores, any_scores, any_density, any_density, st.sampled_from(SCOPES))
def test_what_is_pruned_does_not_come_back_whatever_the_scores(scores, others, one, other, scope):
    if {name: values.shape for name, values in scores.items()} != {name: v.shape for name, v in others.items()}:
        others = {name: -values for name, values in scores.items()}
    high = keep_or_nothing(scores, max(one, other), scope)
    low = None if high is None else keep_or_nothing(others, min(one, other), scope, among=high)
    if low is None:
        return
    assert all(not (low[name] & ~high[name]).any() for name in low)
    for kept in competitors(low.tensors, scope):
        assert kept.sum() == round(min(one, other) * kept.numel())  # of all weights, not of the survivors
    # The best of the survivors, in a second way: what is out gets the worst score of all.
    lowered = {name: values.masked_fill(~high[name], -1e9) for name, values in others.items()}
    assert keep_or_nothing(lowered, min(one, other), scope) == low


@given(any_scores, any_density, st.sampled_from(SCOPES), st.integers(1, 3))
def test_at_least_so_many_stay_in_every_layer(scores, density, scope, at_least):
    total = sum(values.numel() for values in scores.values())
    if scope == "global" and at_least * len(scores) > round(density * total):
        with pytest.raises(ValueError, match="does not fit into"):
            keep_top(scores, density, scope, at_least=at_least)
        return
    mask = keep_top(scores, density, scope, at_least=at_least)
    assert all(layer.kept >= at_least for layer in mask.layers())
    if scope == "global":
        assert mask.kept == round(density * total)
        # No layer has more than it needs where it pushed out something better.
        for layer in mask.layers():
            kept, out = mask[layer.name], {name: ~mask[name] for name in mask}
            if layer.kept > at_least:
                assert scores[layer.name][kept].min() >= max(
                    (scores[name][out[name]].max() for name in mask if out[name].any()), default=-torch.inf
                )
    else:
        plain = keep_or_nothing(scores, density, scope)
        if plain is not None and all(layer.kept >= at_least for layer in plain.layers()):
            assert mask == plain


@given(any_scores, st.data())
def test_a_density_for_each_layer(scores, data):
    densities = {name: data.draw(any_density) for name in scores}
    scope = data.draw(st.sampled_from(("layer", "row")))
    alone = {name: keep_or_nothing({name: scores[name]}, densities[name], scope) for name in scores}
    if None in alone.values():
        return
    mask = keep_top_per_layer(scores, densities, scope)
    assert list(mask) == list(scores)
    assert all(torch.equal(mask[name], alone[name][name]) for name in scores)
    assert keep_top_per_layer(scores, densities, scope, among=mask) == mask
    # With the same density in each layer it is the scope "layer".
    same = keep_or_nothing(scores, 0.5, "layer")
    assert same is None or keep_top_per_layer(scores, dict.fromkeys(reversed(scores), 0.5)) == same


def test_scores_are_not_changed_and_may_need_gradients():
    scores = {"w": torch.randn(3, 4, requires_grad=True)}
    before = scores["w"].detach().clone()
    mask = keep_top(scores, 0.5)
    assert torch.equal(scores["w"].detach(), before) and not mask["w"].requires_grad


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0, -0.5, 1.0001, 20, float("nan")])
def test_a_density_outside_the_range_is_refused(density):
    with pytest.raises(
        ValueError, match=says(f"density must lie in (0, 1], got {density}; 0.2 keeps a fifth of the weights")
    ):
        keep_top(BY_HAND, density)


@pytest.mark.parametrize("density", ["0.2", None, True, torch.tensor(0.2)])
def test_a_density_that_is_no_number_is_refused(density):
    message = f"density must be a number in (0, 1], got {density!r}; 0.2 keeps a fifth of the weights"
    with pytest.raises(TypeError, match=says(message)):
        keep_top(BY_HAND, density)


W = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
HALF = Mask({"w": torch.tensor([[True, False], [True, False]])})

REFUSED = {
    "scope must be 'global', 'layer' or 'row', got 'channel'; 'global' ranks all weights together":
        lambda: keep_top({"w": W}, 0.5, "channel"),
    "scores hold no weight; make them with magnitude(model), say":
        lambda: keep_top({}, 0.5),
    "the scores of 'w' hold NaN, which has no rank; find the layer that went to NaN":
        lambda: keep_top({"w": torch.tensor([1.0, torch.nan])}, 0.5),
    "density 0.5 (scope 'global') would prune 'b' to nothing: 0 of 4 weights stay; use a higher density or at_least=1":
        lambda: keep_top({"a": W + 10, "b": W}, 0.5),
    "density 0.1 (scope 'layer') would prune 'w' to nothing: 0 of 4 weights stay; use a higher density or at_least=1":
        lambda: keep_top({"w": W}, 0.1, "layer"),
    "density 0.2 (scope 'row') would prune 'w' to nothing: 0 of 4 weights stay; use a higher density or at_least=1":
        lambda: keep_top({"w": W}, 0.2, "row"),
    "among masks 'w', but the scores are of 'v'; score the weights that the mask is for":
        lambda: keep_top({"v": W}, 0.5, among=HALF),
    "among masks 'w', but the scores are of 'w', 'v'; score the weights that the mask is for":
        lambda: keep_top({"w": W, "v": W}, 0.5, among=HALF),
    "among has shape [2, 2] for 'w', but its scores have [4]; score the model that the mask belongs to":
        lambda: keep_top({"w": W.flatten()}, 0.5, among=HALF),
    "density 0.75 (scope 'global') asks for 3 weights, but `among` keeps 2, and a pruned weight does not come back; "
    "use a lower density":
        lambda: keep_top({"w": W}, 0.75, among=HALF),
    "density 0.75 (scope 'layer') asks for 3 weights of 'w', but `among` keeps 2, and a pruned weight does not come "
    "back; use a lower density":
        lambda: keep_top({"w": W}, 0.75, "layer", among=HALF),
    "density 0.5 (scope 'row') asks for 2 weights of 'w', as many in each row, but `among` keeps 2, and a "
    "pruned weight does not come back; use a lower density":
        lambda: keep_top({"w": W}, 0.5, "row", among=Mask({"w": torch.tensor([[True, True], [False, False]])})),
    "at_least must be a whole number of 0 or more, got -1; 1 keeps a layer alive":
        lambda: keep_top({"w": W}, 0.5, at_least=-1),
    "at_least=5 is more than the 4 weights that 'w' has left; use a smaller one":
        lambda: keep_top({"w": W}, 0.5, "layer", at_least=5),
    "at_least=3 is more than the 2 weights that 'w' has left; use a smaller one":
        lambda: keep_top({"w": W}, 0.5, among=HALF, at_least=3),
    "at_least=2 in each of 2 layers does not fit into the 3 of 8 weights that density 0.375 keeps; use a smaller "
    "at_least or a higher density":
        lambda: keep_top({"a": W, "b": W}, 0.375, at_least=2),
    "densities are given for 'v', but the scores are of 'w'; give one density for each, 1.0 for a layer that stays "
    "whole":
        lambda: keep_top_per_layer({"w": W}, {"v": 0.5}),
    "densities are given for nothing, but the scores are of 'w'; give one density for each, 1.0 for a layer that "
    "stays whole":
        lambda: keep_top_per_layer({"w": W}, {}),
    "among masks 'w', but the scores are of 'v'; score the weights that the mask is for ":
        lambda: keep_top_per_layer({"v": W}, {"v": 0.5}, among=HALF),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_each_refusal_says_why(message):
    with pytest.raises(ValueError, match=says(message.strip())):
        REFUSED[message]()


def test_weights_are_kept_in_whole_numbers():
    message = "at_least must be a whole number of 0 or more, got 0.5; 1 keeps a layer alive"
    with pytest.raises(TypeError, match=says(message)):
        keep_top({"w": W}, 0.5, at_least=0.5)


@pytest.mark.parametrize(
    ("scores", "got"), [(torch.tensor([1, 2]), "torch.int64"), (torch.tensor([True]), "torch.bool"), ([1.0], "list")]
)
def test_scores_that_are_no_floats_are_refused(scores, got):
    with pytest.raises(
        TypeError, match=says(f"the scores of 'w' must be a floating-point tensor, got {got}; use scores.float()")
    ):
        keep_top({"w": scores}, 0.5)
